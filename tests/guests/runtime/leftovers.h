/* What could be left over of domains and devices, as the control domain can see it, for tests that nothing is. */
#pragma once
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xenstore.h>

#include "../../../dom0-tools/lib/hyp.h"

/** Grants that domains have mapped, as debug key g shows them: a line for each handle. -1: it does not show domain 0. */
static inline long nr_mapped(struct hyp *hyp)
{
    static char text[16384];
    uint32_t index = 0;
    bool shown = false;
    long n = 0;
    int len;

    while (hyp_messages(hyp, text, sizeof(text), &index, true) > 0)
        ;
    index = 0;
    if (hyp_debug_keys(hyp, "g"))
        return -1;
    len = hyp_messages(hyp, text, sizeof(text) - 1, &index, true);
    text[len > 0 ? len : 0] = '\0';
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        shown |= strstr(line, " d0") != NULL;
        n += strstr(line, " handle ") != NULL;
    }
    return shown ? n : -1;
}

/** Nodes of the store, that one and all below it. */
static inline long nr_nodes(struct xs_handle *xs, const char *path)
{
    unsigned int nr = 0;
    char **names = xs_directory(xs, XBT_NULL, path, &nr);
    long n = 1;

    for (unsigned int i = 0; names && i < nr; i++) {
        char below[256];

        if (snprintf(below, sizeof(below), "%s/%s", path[1] ? path : "", names[i]) <
            (int)sizeof(below))
            n += nr_nodes(xs, below);
    }
    free(names);
    return n;
}
