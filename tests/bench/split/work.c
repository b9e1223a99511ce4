/*
 * What guests do for `make bench-split`, on both sides. Each row is a window of tests/bench/plugin, numbered in the
 * order of begin() as the console tells: "WORKLOAD number name units unit".
 *
 *   split block DEVICE     reads and writes of a disk
 *   split packets FROM TO  packets to an address that each guest forwards to the other
 *   split send ADDRESS     a stream and packets by sockets, to who does
 *   split serve            for ever
 *
 * Before a window the same is done for an eighth of its units, so that what is done once is not counted.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../plugin/mark.h"
#include "split.h"

enum { SETTLED_US = 20000 };

void must(bool good, const char *what)
{
    if (good)
        return;
    printf("WORKLOAD-FAILURE %s: %s\n", what, strerror(errno));
    exit(1);
}

void begin(const char *name, unsigned int units, const char *unit)
{
    static unsigned int number;
    const char *first = getenv("FIRST_WINDOW"); /* of this process, 1 otherwise */

    if (number == 0 && first)
        number = (unsigned int)strtoul(first, NULL, 10) - 1;
    printf("WORKLOAD\t%u\t%s\t%u\t%s\n", ++number, name, units, unit);
    usleep(SETTLED_US); /* the console */
    mark_window(MARK_NEXT);
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc == 3 && strcmp(argv[1], "block") == 0)
        return block_all(argv[2]);
    if (argc == 4 && strcmp(argv[1], "packets") == 0)
        return packets_all(argv[2], argv[3]);
    if (argc == 3 && strcmp(argv[1], "send") == 0)
        return send_all(argv[2]);
    if (argc == 2 && strcmp(argv[1], "serve") == 0)
        serve();
    fprintf(stderr, "usage: split block DEVICE | packets FROM TO | send ADDRESS | serve\n");
    return 2;
}
