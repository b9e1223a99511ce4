/* xl channel-list: the consoles of domains beside the first, as the store has them. */
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "lib/channels.h"
#include "print.h"
#include "xl.h"

static void show(struct xl *x, struct json *j, domid_t id, const struct channel_info *info)
{
    const struct xl_channel c = { .index = info->number - 1,
                                  .backend_id = info->backend_id,
                                  .state = info->state,
                                  .port = info->port,
                                  .ring_ref = info->ring_ref,
                                  .name = info->name,
                                  .connection = info->connection,
                                  .path = info->path };

    if (j)
        json_channel(j, id, &c);
    else
        print_channel(&x->out, &c);
}

int xl_channel_list(struct xl *x, const struct options *o)
{
    struct json json = { .out = &x->out }, *j = option_value(o, "json") ? &json : NULL;
    int rc = EXIT_OK;

    if (j)
        json_array(j, NULL);
    else
        print_channels_head(&x->out);
    for (unsigned int i = 0; i < o->nr_args; i++) {
        struct channel_info *list;
        domid_t id;
        size_t nr;

        if (guest_find(&x->tools, o->args[i], &id)) {
            rc = xl_fail(x, "%s is an invalid domain identifier", o->args[i]);
            continue;
        }
        if (channels_list(&x->tools, id, &list, &nr))
            rc = xl_fail(x, "xl: %s", x->tools.error);
        for (size_t n = 0; n < nr; n++)
            show(x, j, id, &list[n]);
        free(list);
    }
    if (j)
        json_end(j);
    return rc;
}
