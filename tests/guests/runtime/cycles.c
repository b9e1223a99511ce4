/*
 * tests/drop-in/cycles.c, a program of Debian's libraries, on ours: domains by hypercalls, and nothing of
 * them stays behind.
 */
#define __XEN_TOOLS__ 1                 /* for domctl.h and sysctl.h */
int cycles_main(int argc, char **argv); /* the program's own, which is nobody's here */
#define main cycles_main
#include "../../drop-in/cycles.c"
#undef main

#include <rt/verdict.h>

/* Xen frees the last of a domain some time after nobody finds the domain any more. */
static struct figures figures_at_rest(void)
{
    struct figures at_first, now = take_figures();
    unsigned int tries = 0, same = 0;

    while (same < 10 && ++tries < PATIENCE) {
        at_first = now;
        usleep(100000);
        now = take_figures();
        same = memcmp(&now, &at_first, sizeof(now)) ? 0 : same + 1;
    }
    return now;
}

static struct figures figures_when(const struct figures *expected)
{
    struct figures now = take_figures();

    for (unsigned int n = 0; memcmp(&now, expected, sizeof(now)) && n < PATIENCE; n++) {
        usleep(100000);
        now = take_figures();
    }
    return now;
}

int main(int argc, char **argv)
{
    unsigned int count = (unsigned int)strtoul(argv[argc - 1], NULL, 10);
    struct figures before, after;

    if (count == 0)
        verdict_error("the number of domains is missing");
    open_all();
    run(2); /* what the runtime keeps for good when it maps the first frames of others does not count */
    before = figures_at_rest();
    show_figures(&before);
    run(count);
    after = figures_when(&before);
    show_figures(&after);
    CHECK_EQ(after.nr_free, before.nr_free);
    CHECK_EQ(after.nr_frames, before.nr_frames);
    CHECK_EQ(after.nr_domains, before.nr_domains);
    CHECK_EQ(after.nr_ports, before.nr_ports);
    return verdict();
}
