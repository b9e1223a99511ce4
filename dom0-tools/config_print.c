/* A configuration as text and as JSON. See config.h. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "config_internal.h"
#include "json.h"

void put_quoted(struct text *t, const char *string)
{
    text_puts(t, "\"");
    for (; *string; string++) {
        if (*string == '"' || *string == '\\')
            text_puts(t, "\\");
        text_put(t, string, 1);
    }
    text_puts(t, "\"");
}

static void put_text(struct text *t, const char *key, const char *value)
{
    if (*value == '\0')
        return;
    text_printf(t, "%s = ", key);
    put_quoted(t, value);
    text_puts(t, "\n");
}

static bool are_alike(const struct config_affinity *a, unsigned int nr_vcpus)
{
    for (unsigned int i = 1; i < a->nr_vcpus; i++) {
        if (memcmp(&a->vcpu[i], &a->vcpu[0], sizeof(a->vcpu[0])) != 0)
            return false;
    }
    return a->nr_vcpus == nr_vcpus;
}

static void put_affinity(struct text *t, const char *key, const struct domain_config *c,
                         const struct config_affinity *a)
{
    bool alike = are_alike(a, c->max_vcpus);
    char cpus[4 * CONFIG_CPUS];

    if (a->nr_vcpus == 0)
        return;
    text_printf(t, alike ? "%s = " : "%s = [", key);
    for (unsigned int i = 0; i < (alike ? 1 : a->nr_vcpus); i++) {
        config_print_cpus(&a->vcpu[i], CONFIG_CPUS, cpus, sizeof(cpus));
        text_printf(t, i ? ", \"%s\"" : "\"%s\"", cpus);
    }
    text_puts(t, alike ? "\n" : "]\n");
}

/* A parameter of a specification, if it has a value. */
static void add(struct text *t, const char *key, const char *value)
{
    if (*value)
        text_printf(t, "%s=%s,", key, value);
}

static void put_disk(struct text *t, const struct config_disk *d)
{
    char bytes[1024];
    struct text spec = { .bytes = bytes, .size = sizeof(bytes), .fixed = true };

    text_printf(&spec, "vdev=%s,format=%s,access=%s,", d->vdev, config_formats[d->format],
                d->read_only ? "ro" : "rw");
    add(&spec, "backend", d->backend);
    add(&spec, "backendtype", config_backends[d->backend_type]);
    add(&spec, "script", d->script);
    text_printf(&spec, "%s%s%s%starget=%s", d->cdrom ? "cdrom," : "",
                d->direct_io_safe ? "direct-io-safe," : "", d->discard ? "" : "no-discard,",
                d->trusted ? "" : "untrusted,", d->target);
    put_quoted(t, bytes);
}

static void print_mac(const uint8_t mac[6], char buf[18])
{
    snprintf(buf, 18, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4],
             mac[5]);
}

static void put_vif(struct text *t, const struct config_vif *v)
{
    char bytes[1024], mac[18];
    struct text spec = { .bytes = bytes, .size = sizeof(bytes), .fixed = true };

    print_mac(v->mac, mac);
    add(&spec, "mac", v->has_mac ? mac : "");
    add(&spec, "bridge", v->bridge);
    add(&spec, "gatewaydev", v->gateway);
    add(&spec, "vifname", v->vifname);
    add(&spec, "script", v->script);
    add(&spec, "ip", v->ip);
    add(&spec, "backend", v->backend);
    if (v->rate_bytes)
        text_printf(&spec, "rate=%" PRIu64 "B/s@%" PRIu32 "us,", v->rate_bytes,
                    v->rate_interval_us);
    if (v->mtu)
        text_printf(&spec, "mtu=%u,", v->mtu);
    if (!v->trusted)
        text_puts(&spec, "untrusted,");
    text_printf(&spec, "devid=%" PRIu32, v->devid);
    put_quoted(t, bytes);
}

static void put_devices(struct text *t, const struct domain_config *c)
{
    for (unsigned int i = 0; i < c->nr_disks; i++) {
        text_puts(t, i ? ", " : "disk = [");
        put_disk(t, &c->disk[i]);
    }
    text_puts(t, c->nr_disks ? "]\n" : "");
    for (unsigned int i = 0; i < c->nr_vifs; i++) {
        text_puts(t, i ? ", " : "vif = [");
        put_vif(t, &c->vif[i]);
    }
    text_puts(t, c->nr_vifs ? "]\n" : "");
    put_channels(t, c);
}

size_t config_print(const struct domain_config *c, char *buf, size_t size)
{
    struct text t = { .bytes = buf, .size = size, .fixed = true };
    char uuid[37];

    config_print_uuid(c->uuid, uuid);
    put_text(&t, "name", c->name);
    put_text(&t, "uuid", c->has_uuid ? uuid : "");
    put_text(&t, "kernel", c->kernel);
    put_text(&t, "ramdisk", c->ramdisk);
    put_text(&t, "cmdline", c->cmdline);
    text_printf(&t, "memory = %" PRIu64 "\nmaxmem = %" PRIu64 "\nvcpus = %u\nmaxvcpus = %u\n",
                c->memory_kib >> 10, c->max_memory_kib >> 10, c->nr_vcpus, c->max_vcpus);
    put_affinity(&t, "cpus", c, &c->cpus);
    put_affinity(&t, "cpus_soft", c, &c->cpus_soft);
    if (c->weight)
        text_printf(&t, "cpu_weight = %u\n", c->weight);
    if (c->cap_percent)
        text_printf(&t, "cap = %u\n", c->cap_percent);
    put_text(&t, "pool", c->pool);
    if (c->tsc_mode)
        put_text(&t, "tsc_mode", config_tsc_name(c->tsc_mode));
    put_devices(&t, c);
    put_text(&t, "on_poweroff", config_action_name(c->on_poweroff));
    put_text(&t, "on_reboot", config_action_name(c->on_reboot));
    put_text(&t, "on_watchdog", config_action_name(c->on_watchdog));
    put_text(&t, "on_crash", config_action_name(c->on_crash));
    return t.len_bytes;
}

/* ---- JSON ---- */

static void json_text(struct json *j, const char *key, const char *value)
{
    if (*value)
        json_string(j, key, value);
}

static void json_affinity(struct json *j, const char *key, const struct config_affinity *a)
{
    if (a->nr_vcpus == 0)
        return;
    json_array(j, key);
    for (unsigned int i = 0; i < a->nr_vcpus; i++) {
        json_array(j, NULL);
        for (unsigned int cpu = 0; cpu < CONFIG_CPUS; cpu++) {
            if (a->vcpu[i].word[cpu / 64] >> (cpu % 64) & 1)
                json_uint(j, NULL, cpu);
        }
        json_end(j);
    }
    json_end(j);
}

static void json_create_info(struct json *j, const struct domain_config *c)
{
    char uuid[37];

    json_object(j, "c_info");
    json_string(j, "type", "pv");
    json_string(j, "name", c->name); /* never the last: scripts want the comma */
    config_print_uuid(c->uuid, uuid);
    json_string(j, "uuid", uuid);
    json_text(j, "pool_name", c->pool);
    json_string(j, "passthrough", "disabled"); /* else libxl asks for an IOMMU */
    json_end(j);
}

static void json_build_info(struct json *j, const struct domain_config *c)
{
    json_object(j, "b_info");
    json_uint(j, "max_vcpus", c->max_vcpus);
    json_array(j, "avail_vcpus");
    for (unsigned int i = 0; i < c->nr_vcpus; i++)
        json_uint(j, NULL, i);
    json_end(j);
    json_affinity(j, "vcpu_hard_affinity", &c->cpus);
    json_affinity(j, "vcpu_soft_affinity", &c->cpus_soft);
    json_uint(j, "max_memkb", c->max_memory_kib);
    json_uint(j, "target_memkb", c->memory_kib);
    json_object(j, "sched_params");
    if (c->weight)
        json_uint(j, "weight", c->weight);
    if (c->cap_percent)
        json_uint(j, "cap", c->cap_percent);
    json_end(j);
    if (c->tsc_mode)
        json_string(j, "tsc_mode", config_tsc_name(c->tsc_mode));
    json_text(j, "kernel", c->kernel);
    json_text(j, "cmdline", c->cmdline);
    json_text(j, "ramdisk", c->ramdisk);
    json_object(j, "type.pv");
    json_end(j);
    json_object(j, "arch_x86"); /* else it takes a saved domain for one of Xen before 4.15 */
    json_string(j, "msr_relaxed", "False");
    json_end(j);
    json_end(j);
}

/* As libxl writes what may be left to it, and is not. */
static void json_flag(struct json *j, const char *key, bool value)
{
    json_string(j, key, value ? "True" : "False");
}

void config_json_disk(struct json *j, const char *key, const struct config_disk *d)
{
    json_object(j, key);
    json_text(j, "backend_domname", d->backend);
    json_text(j, "pdev_path", d->target);
    json_string(j, "vdev", d->vdev);
    json_text(j, "backend", config_backends[d->backend_type]);
    json_string(j, "format", config_formats[d->format]);
    json_text(j, "script", d->script);
    json_uint(j, "removable", d->cdrom);
    json_uint(j, "readwrite", !d->read_only);
    json_uint(j, "is_cdrom", d->cdrom);
    json_flag(j, "direct_io_safe", d->direct_io_safe);
    json_flag(j, "discard_enable", d->discard);
    json_flag(j, "trusted", d->trusted);
    json_end(j);
}

void config_json_vif(struct json *j, const char *key, const struct config_vif *v)
{
    char mac[18];

    json_object(j, key);
    if (v->devid != UINT32_MAX)
        json_uint(j, "devid", v->devid);
    print_mac(v->mac, mac);
    json_text(j, "mac", v->has_mac ? mac : "");
    json_text(j, "bridge", v->bridge);
    json_text(j, "gatewaydev", v->gateway);
    json_text(j, "ifname", v->vifname);
    json_text(j, "script", v->script);
    json_text(j, "ip", v->ip);
    json_string(j, "nictype", "vif"); /* else libxl takes it for an HVM domain's */
    json_text(j, "backend_domname", v->backend);
    if (v->mtu)
        json_uint(j, "mtu", v->mtu);
    if (v->rate_bytes) {
        json_uint(j, "rate_bytes_per_interval", config_rate_per_interval(v));
        json_uint(j, "rate_interval_usecs", v->rate_interval_us);
    }
    json_flag(j, "trusted", v->trusted);
    json_end(j);
}

void config_json(struct json *j, const char *key, const struct domain_config *c)
{
    json_object(j, key);
    json_create_info(j, c);
    json_build_info(j, c);
    json_array(j, "disks");
    for (unsigned int i = 0; i < c->nr_disks; i++)
        config_json_disk(j, NULL, &c->disk[i]);
    json_end(j);
    json_array(j, "nics");
    for (unsigned int i = 0; i < c->nr_vifs; i++)
        config_json_vif(j, NULL, &c->vif[i]);
    json_end(j);
    json_channels(j, c);
    json_string(j, "on_poweroff", config_action_name(c->on_poweroff));
    json_string(j, "on_reboot", config_action_name(c->on_reboot));
    json_string(j, "on_watchdog", config_action_name(c->on_watchdog));
    json_string(j, "on_crash", config_action_name(c->on_crash));
    json_end(j);
}
