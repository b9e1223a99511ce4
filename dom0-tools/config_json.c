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

/* As libxl has them: each has a backend, which has to be made and removed. */
static bool is_devices(const char *key)
{
    static const char *const keys[] = { "disks", "nics",     "pcidevs", "dtdevs",     "vfbs",
                                        "vkbs",  "vtpms",    "p9s",     "pvcallsifs", "vdispls",
                                        "vsnds", "usbctrls", "usbdevs" };

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
    } else if (is_devices(key)) {
        fail(m, "it has devices, which are not served yet");
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
    complete(&m);
    if (m.wrong)
        snprintf(wrong, wrong_bytes, "%s", m.wrong);
    return m.wrong ? -EINVAL : 0;
}
