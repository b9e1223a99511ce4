/* xl as a program of a Linux control domain. */
#include <xenstore.h>

#include "xl_terminal.h"

int main(int argc, char **argv)
{
    static const struct xl_home home = { .show = terminal_show,
                                         .console = terminal_console,
                                         .wait = terminal_wait,
                                         .kernel = terminal_kernel };
    struct xl x = { .home = &home };
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
    terminal_show(&x);
    return rc;
}
