/* CONTROL: the commands that xenstore.txt names and that make sense here. */
#include "internal.h"

#include <stdio.h>

static int control_check(struct op *op)
{
    /* Of the state as it was before this request: a step is not whole yet. */
    return out_printf(op, "%s", store_check(op->s) ? "OK" : "the store is inconsistent");
}

static int control_log(struct op *op)
{
    const char *what = arg_string(op);

    if (what == NULL || (strcmp(what, "on") != 0 && strcmp(what, "off") != 0))
        return -EINVAL;
    op->s->log_requests = strcmp(what, "on") == 0;
    return out_printf(op, "OK");
}

static int control_print(struct op *op)
{
    const char *text = arg_string(op);

    if (text == NULL)
        return -EINVAL;
    say(op->s, "%.200s", text);
    return out_printf(op, "OK");
}

static int control_memreport(struct op *op)
{
    return out_printf(op, "memory: %zu of %zu bytes in %zu objects", arena_used(op->a),
                      arena_size(op->a), op->a->nr_objects);
}

static uint64_t amount(const struct op *op, domid_t domain, enum quota quota)
{
    const struct state *st = op->st;
    char key[4];

    switch (quota) {
    case QUOTA_NODES: return map_count_prefix(op->a, st->root[ROOT_OWNED], key, key16(key, domain));
    case QUOTA_WATCHES:
        return map_count_prefix(op->a, st->root[ROOT_WATCHERS], key, key32(key, domain));
    case QUOTA_TRANSACTIONS:
        return map_count_prefix(op->a, st->root[ROOT_TX], key, key32(key, domain));
    case QUOTA_OUTSTANDING:
        return map_sum_prefix(op->a, st->root[ROOT_QUEUE], key, key32(key, domain));
    case QUOTA_MEMORY:
    case QUOTA_MEMORY_SOFT:
    case QUOTA_MEMORY_SHARE: return memory_of(op, domain, domain);
    default: return 0;
    }
}

static int show_all(struct op *op)
{
    int rc = 0;

    for (int q = 0; q < NR_QUOTAS && rc == 0; q++)
        rc = out_printf(op, "%s%s: %llu", q ? "\n" : "", quota_names[q],
                        (unsigned long long)quota_of(op, STORE_ALL, q));
    return rc;
}

/* Name, what it has (of what is counted), what it may have, how often that was not enough. */
static int show_domain(struct op *op, domid_t domain)
{
    int rc = 0;

    for (int q = 0; q < NR_QUOTAS && rc == 0; q++) {
        const struct entry *hits;
        char key[3];

        key16(key, domain);
        key[2] = (char)q;
        hits = map_find(op->a, op->st->root[ROOT_HITS], key, sizeof(key));
        rc = out_printf(op, "%s%s: %llu of %llu, hit %llu times", q ? "\n" : "", quota_names[q],
                        (unsigned long long)amount(op, domain, q),
                        (unsigned long long)quota_of(op, domain, q),
                        (unsigned long long)(hits ? hits->word[0] : 0));
    }
    return rc;
}

static void quota_put(struct op *op, domid_t domain, enum quota quota, uint64_t value)
{
    char key[3];

    key16(key, domain);
    key[2] = (char)quota;
    map_put(op->a, &op->st->root[ROOT_QUOTAS], key, sizeof(key), 1)->word[0] = value;
}

/* set NAME VALUE [DOMAIN] */
static int quota_set(struct op *op)
{
    const char *name = arg_string(op), *text = arg_string(op);
    domid_t domain = STORE_ALL;
    uint64_t value;
    int q = 0;

    if (name == NULL || text == NULL || !parse_number(text, UINT32_MAX, &value) ||
        (op->in_len && arg_domain(op, &domain)))
        return -EINVAL;
    while (q < NR_QUOTAS && strcmp(name, quota_names[q]) != 0)
        q++;
    if (q == NR_QUOTAS)
        return -EINVAL;
    quota_put(op, domain, q, value);
    return out_printf(op, "OK");
}

static int control_quota(struct op *op)
{
    const char *what;
    uint64_t domain;

    if (op->in_len == 0)
        return show_all(op);
    what = arg_string(op);
    if (what == NULL)
        return -EINVAL;
    if (strcmp(what, "set") == 0)
        return quota_set(op);
    if (!parse_number(what, 65535, &domain))
        return -EINVAL;
    return show_domain(op, (domid_t)domain);
}

/* As Xen's xenstored names it: "memory" is all that can be set softly. */
static int control_quota_soft(struct op *op)
{
    const char *what, *text;
    uint64_t value;

    if (op->in_len == 0)
        return out_printf(op, "memory: %llu",
                          (unsigned long long)quota_of(op, STORE_ALL, QUOTA_MEMORY_SOFT));
    what = arg_string(op);
    if (what == NULL || strcmp(what, "set") != 0 || (what = arg_string(op)) == NULL ||
        strcmp(what, "memory") != 0 || (text = arg_string(op)) == NULL || op->in_len ||
        !parse_number(text, UINT32_MAX, &value))
        return -EINVAL;
    quota_put(op, STORE_ALL, QUOTA_MEMORY_SOFT, value);
    return out_printf(op, "OK");
}

static int control_help(struct op *op);

static const struct command {
    const char *name, *arguments;
    int (*fn)(struct op *op);
} commands[] = {
    { "check", "", control_check },
    { "help", "", control_help },
    { "log", "on|off", control_log },
    { "memreport", "", control_memreport },
    { "print", "<text>", control_print },
    { "quota", "[set <name> <value> [<domid>]|<domid>]", control_quota },
    { "quota-soft", "[set memory <value>]", control_quota_soft },
};
enum { NR_COMMANDS = sizeof(commands) / sizeof(commands[0]) };

static int control_help(struct op *op)
{
    int rc = 0;

    for (int i = 0; i < NR_COMMANDS && rc == 0; i++)
        rc = out_printf(op, "%s%s%s%s", i ? "\n" : "", commands[i].name,
                        *commands[i].arguments ? " " : "", commands[i].arguments);
    return rc;
}

int op_control(struct op *op)
{
    const char *name = arg_string(op);

    if (name == NULL)
        return -EINVAL;
    for (int i = 0; i < NR_COMMANDS; i++)
        if (strcmp(name, commands[i].name) == 0) {
            int rc = commands[i].fn(op);

            return rc ? rc : out_add(op, "", 1);
        }
    return -EINVAL;
}
