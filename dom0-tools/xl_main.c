/* xl as a program of a Linux control domain. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xenstore.h>

#include "xl.h"

static void show(struct text *t, FILE *where)
{
    if (t->len_bytes)
        fwrite(t->bytes, 1, t->len_bytes, where);
    text_free(t);
}

int main(int argc, char **argv)
{
    struct xl x = { .tools = { .hyp = NULL } };
    struct options o;
    int rc = options_parse(&o, argc - 1, argv + 1, &x.out, &x.err);
    struct xs_handle *store;

    if (rc < 0) { /* no help or mistake, for which nobody needs a hypervisor */
        store = xs_open(0);
        if (toolstack_open(&x.tools, store, 0))
            rc = xl_fail(&x, "xl: %s", x.tools.error);
        else if (store == NULL)
            rc = xl_fail(&x, "xl: the store cannot be reached");
        else
            rc = xl_run(&x, argc - 1, argv + 1);
        toolstack_close(&x.tools);
        if (store)
            xs_close(store);
    }
    show(&x.out, stdout);
    show(&x.err, stderr);
    return rc;
}
