/* guest_config() and guest_config_now(); see toolstack.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <platform.h>

#include "../config.h"
#include "guest_internal.h"
#include "hyp.h"
#include "nodes.h"
#include "toolstack.h"

/* It was checked when the domain was created. */
static void ignore(void *arg, enum plat_level level, const char *file, unsigned int line,
                   const char *text)
{
    (void)arg;
    (void)level;
    (void)file;
    (void)line;
    (void)text;
}

int guest_parse_config(struct toolstack *t, const char *text, struct domain_config *c)
{
    struct config_source source = { .file = "",
                                    .text = text,
                                    .len_bytes = strlen(text),
                                    .served = CONFIG_SERVE_DISK | CONFIG_SERVE_VIF,
                                    .report = ignore };
    int rc = config_parse(c, &source);

    return rc ? toolstack_fail(t, -rc, "a configuration in the store: %s", strerror(-rc)) : 0;
}

int guest_config(struct toolstack *t, domid_t id, struct domain_config *c)
{
    char *text;
    int rc;

    if (t->store == NULL)
        return toolstack_fail(t, ENOTSUP, "there is no store");
    text = nodes_config(t, id);
    if (text == NULL)
        return toolstack_fail(t, errno, "domain %u: its configuration: %s", id, strerror(errno));
    rc = guest_parse_config(t, text, c);
    free(text);
    return rc ? toolstack_fail(t, errno, "domain %u: its configuration: %s", id, strerror(errno))
              : 0;
}

static uint64_t number(struct toolstack *t, domid_t id, const char *leaf)
{
    char *text = nodes_read(t, id, leaf);
    uint64_t n = text ? strtoull(text, NULL, 10) : 0;

    free(text);
    return n;
}

void guest_name_now(struct toolstack *t, domid_t id, struct domain_config *c)
{
    char *name = guest_name(t, id);

    if (name)
        snprintf(c->name, sizeof(c->name), "%.63s", name);
    free(name);
}

/* As many as it was told to have: a domain that ends, or is saved, has taken them out of use by itself. */
static void vcpus_now(struct toolstack *t, const guest_info_t *info, struct domain_config *c)
{
    unsigned int online = 0;

    c->max_vcpus = info->max_vcpu_id + 1;
    for (unsigned int v = 0; v < c->max_vcpus; v++) {
        char leaf[32], *state;

        snprintf(leaf, sizeof(leaf), "cpu/%u/availability", v);
        state = nodes_read(t, info->domain, leaf);
        online += state && strcmp(state, "online") == 0;
        free(state);
    }
    c->nr_vcpus = online ? online : c->max_vcpus;
}

uint64_t guest_target_kib(struct toolstack *t, domid_t id)
{
    return t->store ? number(t, id, "memory/target") : 0;
}

uint64_t guest_most_kib(struct toolstack *t, const guest_info_t *info)
{
    uint64_t kib = t->store ? number(t, info->domain, "memory/static-max") : 0;

    return kib ? kib : info->max_pages * (HYP_PAGE / 1024);
}

int guest_allow(struct toolstack *t, domid_t id, uint64_t kib, uint64_t most_kib)
{
    const uint64_t more_kib = 1024;

    if (hyp_max_memory(t->hyp, id, kib + more_kib < most_kib ? kib + more_kib : most_kib))
        return toolstack_fail(t, errno, "domain %u: its limit of memory: %s", id, strerror(errno));
    return 0;
}

void guest_config_now(struct toolstack *t, const guest_info_t *info, struct domain_config *c)
{
    uint64_t kib = guest_target_kib(t, info->domain);
    uint16_t weight, cap;

    guest_name_now(t, info->domain, c);
    c->has_uuid = true;
    memcpy(c->uuid, info->handle, sizeof(c->uuid));
    c->max_memory_kib = guest_most_kib(t, info);
    if (kib >= 1024)
        c->memory_kib = kib;
    if (c->memory_kib > c->max_memory_kib)
        c->memory_kib = c->max_memory_kib;
    vcpus_now(t, info, c);
    if (hyp_get_shares(t->hyp, info->domain, &weight, &cap) == 0) {
        c->weight = weight;
        c->cap_percent = cap;
    }
}
