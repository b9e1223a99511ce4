/* dom0-tools/options.c: the input is a line typed at the prompt. */
#include "fuzz.h"

#include "../../dom0-tools/options.h"

enum { WORDS = 80 };

static void check(const struct options *o, int rc, const struct text *out, const struct text *err)
{
    BUG_ON(out->failed || err->failed || rc < -1 || rc > EXIT_USAGE);
    BUG_ON((rc < 0) !=
           (out->len_bytes + err->len_bytes == 0)); /* whatever ends here says something */
    if (rc >= 0)
        return;
    BUG_ON(o->id >= NR_COMMANDS || (o->dry && !commands[o->id].can_dry));
    BUG_ON(o->nr_args < commands[o->id].min_args || o->nr_args > commands[o->id].max_args);
    for (unsigned int i = 0; i < o->nr_args; i++)
        BUG_ON(strlen(o->args[i]) > 4096);
    for (unsigned int i = 0; i < OPTIONS; i++)
        BUG_ON(o->value[i] && commands[o->id].option[i].help == NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *line = strndup((const char *)data, size), *words[WORDS];
    int nr = words_split(line, words, WORDS);
    struct text out = { 0 }, err = { 0 };
    static struct options o;
    unsigned long long kib;

    BUG_ON(nr > WORDS);
    if (nr >= 0)
        check(&o, options_parse(&o, nr, words, &out, &err), &out, &err);
    if (nr > 0 && parse_size(words[0], &kib) == 0)
        BUG_ON(kib >> 53);
    text_free(&out);
    text_free(&err);
    free(line);
    return 0;
}
