/* A configuration out of the JSON that xl keeps with a domain; see config.h. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "config_internal.h"
#include "json_read.h"

struct maker {
    struct domain_config *c;
    const char *wrong; /* NULL: nothing yet */
    bool pv;
};

static void fail(struct maker *m, const char *what)
{
    if (m->wrong == NULL)
        m->wrong = what;
}

static void take_string(struct maker *m, const struct json_value *v, char *to, size_t size,
                        const char *name)
{
    bool ok = v->type == JSON_TEXT && v->whole && strlen(v->text) < size;

    for (const char *s = v->text; ok && *s; s++)
        ok = (unsigned char)*s >= ' ' && *s != 0x7f;
    if (v->type == JSON_NULL)
        return;
    if (ok)
        snprintf(to, size, "%s", v->text);
    else
        fail(m, name);
}

static uint64_t take_number(struct maker *m, const struct json_value *v, uint64_t most,
                            const char *name)
{
    if (v->type == JSON_NUMBER && v->whole && v->number <= most)
        return v->number;
    fail(m, name);
    return 0;
}

static void take_enum(struct maker *m, const struct json_value *v, enum config_action *to,
                      const char *name)
{
    for (int a = 0; a < CONFIG_NR_ACTIONS; a++)
        if (v->type == JSON_TEXT && strcmp(v->text, config_action_name(a)) == 0) {
            *to = a;
            return;
        }
    fail(m, name);
}

static void take_tsc(struct maker *m, const struct json_value *v)
{
    for (int mode = 0; mode < CONFIG_NR_TSC; mode++)
        if (v->type == JSON_TEXT && strcmp(v->text, config_tsc_name(mode)) == 0) {
            m->c->tsc_mode = mode;
            return;
        }
    fail(m, "tsc_mode");
}

/* A set of CPUs is an array of their numbers. */
static void take_cpu(struct maker *m, const struct json_value *v, struct config_affinity *a)
{
    unsigned int vcpu = v->place[2].index;
    uint64_t cpu = take_number(m, v, UINT32_MAX, "a CPU of an affinity");

    if (vcpu >= CONFIG_VCPUS)
        return fail(m, "an affinity of too many vCPUs");
    if (vcpu >= a->nr_vcpus)
        a->nr_vcpus = vcpu + 1;
    if (cpu < CONFIG_CPUS) /* libxl has one for each that there may be */
        a->vcpu[vcpu].word[cpu / 64] |= 1ull << (cpu % 64);
}

static void take_build_info(struct maker *m, const struct json_value *v)
{
    const uint64_t most_kib = 1ull << 34; /* 16 TiB */
    struct domain_config *c = m->c;
    const char *key = v->depth > 1 ? v->place[1].key : "";

    if (json_is_at(v, "b_info/avail_vcpus/*")) {
        if (take_number(m, v, CONFIG_VCPUS - 1, "avail_vcpus") != c->nr_vcpus++)
            fail(m, "avail_vcpus");
    } else if (json_is_at(v, "b_info/vcpu_hard_affinity/*/*")) {
        take_cpu(m, v, &c->cpus);
    } else if (json_is_at(v, "b_info/vcpu_soft_affinity/*/*")) {
        take_cpu(m, v, &c->cpus_soft);
    } else if (json_is_at(v, "b_info/sched_params/weight")) {
        c->weight = (unsigned int)take_number(m, v, 65535, "weight");
    } else if (json_is_at(v, "b_info/sched_params/cap")) {
        c->cap_percent = (unsigned int)take_number(m, v, 65535, "cap");
    } else if (v->depth != 2) {
        return;
    } else if (strcmp(key, "max_vcpus") == 0) {
        c->max_vcpus = (unsigned int)take_number(m, v, CONFIG_VCPUS, key);
    } else if (strcmp(key, "tsc_mode") == 0) {
        take_tsc(m, v);
    } else if (strcmp(key, "max_memkb") == 0) {
        c->max_memory_kib = take_number(m, v, most_kib, key);
    } else if (strcmp(key, "target_memkb") == 0) {
        c->memory_kib = take_number(m, v, most_kib, key);
    } else if (strcmp(key, "kernel") == 0) {
        take_string(m, v, c->kernel, sizeof(c->kernel), "kernel");
    } else if (strcmp(key, "ramdisk") == 0) {
        take_string(m, v, c->ramdisk, sizeof(c->ramdisk), "ramdisk");
    } else if (strcmp(key, "cmdline") == 0) {
        take_string(m, v, c->cmdline, sizeof(c->cmdline), "cmdline");
    } else if (strcmp(key, "bootloader") == 0 && v->type != JSON_NULL) {
        fail(m, "bootloader: not served");
    }
}

/* ---- devices ---- */

/* What is left to libxl, which then says yes. */
static void take_flag(struct maker *m, const struct json_value *v, bool *to, const char *name)
{
    if (v->type == JSON_NULL || (v->type == JSON_TEXT && strcmp(v->text, "<default>") == 0))
        return;
    if (v->type == JSON_NUMBER)
        *to = take_number(m, v, 1, name);
    else if (v->type == JSON_TEXT &&
             (strcmp(v->text, "True") == 0 || strcmp(v->text, "False") == 0))
        *to = v->text[0] == 'T';
    else
        fail(m, name);
}

/* In our own form there are commas between these. */
static void take_parameter(struct maker *m, const struct json_value *v, char *to, size_t size,
                           const char *name)
{
    take_string(m, v, to, size, name);
    if (strchr(to, ','))
        fail(m, name);
}

static void take_name(struct maker *m, const struct json_value *v, const char *const *names,
                      unsigned int nr, unsigned int *to, const char *name)
{
    int i = v->type == JSON_TEXT ? name_index(names, nr, v->text) : -1;

    if (i >= 0)
        *to = (unsigned int)i;
    else if (v->type != JSON_NULL && (v->type != JSON_TEXT || strcmp(v->text, "unknown") != 0))
        fail(m, name);
}

#define TAKE_TEXT(member, name) take_parameter(m, v, (member), sizeof(member), name)

static void take_disk(struct maker *m, const struct json_value *v)
{
    unsigned int n = v->place[1].index, choice;
    const char *key = v->place[2].key;
    struct config_disk *d = &m->c->disk[n];

    if (n >= CONFIG_DEVICES)
        return fail(m, "too many disks");
    if (n >= m->c->nr_disks) {
        m->c->nr_disks = n + 1;
        *d = (struct config_disk){ .read_only = true, .discard = true, .trusted = true };
    }
    if (strcmp(key, "backend_domname") == 0)
        TAKE_TEXT(d->backend, key);
    else if (strcmp(key, "backend_domid") == 0 && take_number(m, v, UINT16_MAX, key))
        fail(m, "backend_domid: by name only");
    else if (strcmp(key, "pdev_path") == 0)
        TAKE_TEXT(d->target, key);
    else if (strcmp(key, "vdev") == 0)
        TAKE_TEXT(d->vdev, key);
    else if (strcmp(key, "script") == 0)
        TAKE_TEXT(d->script, key);
    else if (strcmp(key, "readwrite") == 0)
        d->read_only = take_number(m, v, 1, key) == 0;
    else if (strcmp(key, "is_cdrom") == 0)
        d->cdrom = take_number(m, v, 1, key) != 0;
    else if (strcmp(key, "direct_io_safe") == 0)
        take_flag(m, v, &d->direct_io_safe, "direct_io_safe");
    else if (strcmp(key, "discard_enable") == 0)
        take_flag(m, v, &d->discard, "discard_enable");
    else if (strcmp(key, "trusted") == 0)
        take_flag(m, v, &d->trusted, "trusted");
    if (strcmp(key, "format") == 0) {
        choice = d->format;
        take_name(m, v, config_formats, CONFIG_NR_FORMATS, &choice, "format");
        d->format = choice;
    } else if (strcmp(key, "backend") == 0) {
        choice = d->backend_type;
        take_name(m, v, config_backends, CONFIG_NR_BACKENDS, &choice, "backend");
        d->backend_type = choice;
    }
}

static void take_mac(struct maker *m, const struct json_value *v, struct config_vif *vif)
{
    vif->has_mac = v->type == JSON_TEXT && config_parse_mac(v->text, vif->mac);
    if (!vif->has_mac && v->type != JSON_NULL)
        fail(m, "mac");
}

static void take_vif(struct maker *m, const struct json_value *v)
{
    unsigned int n = v->place[1].index;
    const char *key = v->place[2].key;
    struct config_vif *vif = &m->c->vif[n];

    if (n >= CONFIG_DEVICES)
        return fail(m, "too many nics");
    if (n >= m->c->nr_vifs) {
        m->c->nr_vifs = n + 1;
        *vif = (struct config_vif){ .trusted = true, .devid = n };
    }
    if (strcmp(key, "backend_domname") == 0)
        TAKE_TEXT(vif->backend, key);
    else if (strcmp(key, "backend_domid") == 0 && take_number(m, v, UINT16_MAX, key))
        fail(m, "backend_domid: by name only");
    else if (strcmp(key, "devid") == 0)
        vif->devid = (uint32_t)take_number(m, v, 65535, key);
    else if (strcmp(key, "mtu") == 0)
        vif->mtu = (uint16_t)take_number(m, v, 65535, key);
    else if (strcmp(key, "mac") == 0)
        take_mac(m, v, vif);
    else if (strcmp(key, "ip") == 0)
        TAKE_TEXT(vif->ip, key);
    else if (strcmp(key, "bridge") == 0)
        TAKE_TEXT(vif->bridge, key);
    else if (strcmp(key, "ifname") == 0)
        TAKE_TEXT(vif->vifname, key);
    else if (strcmp(key, "gatewaydev") == 0)
        TAKE_TEXT(vif->gateway, key);
    else if (strcmp(key, "script") == 0)
        TAKE_TEXT(vif->script, key);
    else if (strcmp(key, "rate_bytes_per_interval") == 0)
        vif->rate_bytes =
            take_number(m, v, 1000000000000, key); /* made whole in complete_devices() */
    else if (strcmp(key, "rate_interval_usecs") == 0)
        vif->rate_interval_us = (uint32_t)take_number(m, v, UINT32_MAX, key);
    else if (strcmp(key, "trusted") == 0)
        take_flag(m, v, &vif->trusted, "trusted");
}

static void complete_devices(struct maker *m)
{
    for (unsigned int i = 0; i < m->c->nr_disks; i++)
        if (m->c->disk[i].vdev[0] == '\0')
            fail(m, "a disk has no vdev");
    for (unsigned int i = 0; i < m->c->nr_vifs; i++) {
        struct config_vif *v = &m->c->vif[i];

        if (v->rate_bytes && v->rate_interval_us == 0)
            fail(m, "rate_interval_usecs");
        else if (v->rate_bytes)
            v->rate_bytes = v->rate_bytes * 1000000 / v->rate_interval_us;
        if (v->rate_bytes == 0)
            v->rate_interval_us = 0;
    }
}

/* Of libxl; each has a backend, which has to be made and removed. */
static bool is_devices(const char *key)
{
    static const char *const keys[] = { "pcidevs", "dtdevs",   "vfbs",       "vkbs",
                                        "vtpms",   "p9s",      "pvcallsifs", "vdispls",
                                        "vsnds",   "usbctrls", "usbdevs" };

    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        if (strcmp(key, keys[i]) == 0)
            return true;
    return false;
}

static void take_value(void *arg, const struct json_value *v)
{
    struct maker *m = arg;
    struct domain_config *c = m->c;
    const char *key = v->depth ? v->place[0].key : "";

    if (json_is_at(v, "c_info/type")) {
        m->pv = v->type == JSON_TEXT && strcmp(v->text, "pv") == 0;
    } else if (json_is_at(v, "c_info/name")) {
        take_string(m, v, c->name, sizeof(c->name), "name");
    } else if (json_is_at(v, "c_info/uuid")) {
        static const uint8_t none[sizeof(c->uuid)]; /* one is to be made up */

        if (v->type != JSON_TEXT || config_parse_uuid(c->uuid, v->text))
            fail(m, "uuid");
        else
            c->has_uuid = memcmp(c->uuid, none, sizeof(none)) != 0;
    } else if (json_is_at(v, "c_info/pool_name")) {
        take_string(m, v, c->pool, sizeof(c->pool), "pool_name");
    } else if (strcmp(key, "b_info") == 0) {
        take_build_info(m, v);
    } else if (strcmp(key, "channels") == 0) {
        if (!take_json_channel(c, v))
            fail(m, "channels");
    } else if (strcmp(key, "disks") == 0 && v->depth == 3) {
        take_disk(m, v);
    } else if (strcmp(key, "nics") == 0 && v->depth == 3) {
        take_vif(m, v);
    } else if (is_devices(key)) {
        fail(m, "it has devices that are not served");
    } else if (json_is_at(v, "on_poweroff")) {
        take_enum(m, v, &c->on_poweroff, key);
    } else if (json_is_at(v, "on_reboot")) {
        take_enum(m, v, &c->on_reboot, key);
    } else if (json_is_at(v, "on_watchdog")) {
        take_enum(m, v, &c->on_watchdog, key);
    } else if (json_is_at(v, "on_crash")) {
        take_enum(m, v, &c->on_crash, key);
    }
}

/* What was left out, and what contradicts itself. */
static void complete(struct maker *m)
{
    struct domain_config *c = m->c;

    if (c->max_vcpus == 0)
        c->max_vcpus = 1;
    if (c->nr_vcpus == 0)
        c->nr_vcpus = 1;
    if (c->max_memory_kib == 0)
        c->max_memory_kib = c->memory_kib;
    if (c->memory_kib == 0)
        c->memory_kib = c->max_memory_kib;
    if (!m->pv)
        fail(m, "type: only pv is served");
    if (c->name[0] == '\0' || strchr(c->name, '/'))
        fail(m, "name");
    if (c->kernel[0] == '\0')
        fail(m, "kernel: it has none");
    if (!channels_are_whole(c))
        fail(m, "channels");
    if (c->nr_vcpus > c->max_vcpus)
        fail(m, "max_vcpus");
    if (c->memory_kib < 1024 || c->memory_kib > c->max_memory_kib)
        fail(m, "target_memkb, max_memkb");
}

int config_from_json(struct domain_config *c, const char *text, size_t len, char *wrong,
                     size_t wrong_bytes)
{
    struct maker m = { .c = c };
    const char *syntax;
    size_t at;

    memset(c, 0, sizeof(*c));
    c->on_reboot = CONFIG_RESTART;
    syntax = json_read(text, len, take_value, &m, &at);
    if (syntax) {
        snprintf(wrong, wrong_bytes, "byte %zu: %s", at, syntax);
        return -EINVAL;
    }
    complete_devices(&m);
    complete(&m);
    if (m.wrong)
        snprintf(wrong, wrong_bytes, "%s", m.wrong);
    return m.wrong ? -EINVAL : 0;
}
