/* xl why. */
#include <stdlib.h>

#include "json.h"
#include "lib/why.h"
#include "print.h"
#include "xl.h"

int xl_why(struct xl *x, const struct options *o)
{
    struct json j = { .out = &x->out };
    struct why *w;
    int rc = EXIT_OK;
    domid_t id;

    if (!xl_domain_of(x, o->args[0], &id))
        return EXIT_FAILED;
    w = malloc(sizeof(*w));
    if (w == NULL)
        return xl_fail(x, "xl: no memory");
    if (why_ask(&x->tools, id, w))
        rc = xl_fail(x, "xl: %s", x->tools.error);
    else if (option_value(o, "json"))
        json_why(&j, w);
    else
        print_why(&x->out, w);
    free(w);
    return rc;
}
