/* xl block-attach, block-detach, block-list, network-attach, network-detach, network-list. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "lib/devices.h"
#include "lib/vdev.h"
#include "xl.h"

static int failed(struct xl *x) { return xl_fail(x, "xl: %s", x->tools.error); }

static bool find_domain(struct xl *x, const char *name, domid_t *id)
{
    if (x->tools.store)
        return xl_domain_of(x, name, id);
    xl_fail(x, "xl: there is no store");
    return false;
}

/* ---- lists ---- */

/* A device as it is listed; what the guest says is -1 where it says nothing. */
struct row {
    const struct device_at *at;
    domid_t id, backend;
    int64_t state, port, ring, rx_ring; /* of an interface ring is that of tx */
};

static struct row describe(struct xl *x, domid_t id, const struct device_at *at)
{
    struct toolstack *t = &x->tools;
    bool is_vif = strcmp(at->kind, "vif") == 0;

    return (struct row){
        .at = at,
        .id = id,
        .backend = (domid_t)strtoul(at->backend + strlen("/local/domain/"), NULL, 10),
        .state = devices_read_number(t, at->frontend, "state"),
        .port = devices_read_number(t, at->frontend, "event-channel"),
        .ring = devices_read_number(t, at->frontend, is_vif ? "tx-ring-ref" : "ring-ref"),
        .rx_ring = is_vif ? devices_read_number(t, at->frontend, "rx-ring-ref") : -1
    };
}

static void print_mac(const uint8_t mac[6], char text[18])
{
    snprintf(text, 18, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4],
             mac[5]);
}

static void put_row(struct text *t, const struct row *r, const char *mac)
{
    if (mac == NULL)
        text_printf(t, "%-5" PRIu32 " %-3u %-6u %-5d %-6d %-8d %s\n", r->at->devid, r->backend,
                    r->id, (int)r->state, (int)r->port, (int)r->ring, r->at->backend);
    else
        text_printf(t, "%-3" PRIu32 " %-2u %-17s %5" PRIu32 " %5d %6d %5d/%-11d %-30s\n",
                    r->at->devid, r->backend, mac, r->at->devid, (int)r->state, (int)r->port,
                    (int)r->ring, (int)r->rx_ring, r->at->backend);
}

static void json_row(struct xl *x, struct json *j, const struct row *r, const char *mac)
{
    static const char *const leaves[] = { "params", "mode", "bridge", "ip", "rate" };
    char name[VDEV_NAME];

    json_object(j, NULL);
    json_uint(j, "domid", r->id);
    json_uint(j, "devid", r->at->devid);
    if (mac) {
        json_string(j, "mac", mac);
    } else {
        vdev_name(r->at->devid, name);
        json_string(j, "vdev", name);
    }
    json_uint(j, "backend_domid", r->backend);
    json_int(j, "state", r->state);
    json_int(j, "event_channel", r->port);
    json_int(j, mac ? "tx_ring_ref" : "ring_ref", r->ring);
    if (mac)
        json_int(j, "rx_ring_ref", r->rx_ring);
    json_string(j, "frontend", r->at->frontend);
    json_string(j, "backend", r->at->backend);
    for (size_t i = 0; i < sizeof(leaves) / sizeof(leaves[0]); i++) {
        char *value = devices_read(&x->tools, r->at->backend, leaves[i]);

        if (value)
            json_string(j, leaves[i], value);
        free(value);
    }
    json_end(j);
}

/* @j  NULL: a table */
static int list_domain(struct xl *x, struct json *j, domid_t id, const char *kind)
{
    bool is_vif = strcmp(kind, "vif") == 0;
    struct device_at *list;
    size_t nr;

    if (devices_list(&x->tools, id, &list, &nr))
        return failed(x);
    for (size_t i = 0; i < nr; i++) {
        char text[18] = "";
        uint8_t mac[6];
        struct row r;

        if (strcmp(list[i].kind, kind) != 0)
            continue;
        r = describe(x, id, &list[i]);
        if (is_vif && devices_read_mac(&x->tools, list[i].frontend, mac))
            print_mac(mac, text);
        if (j)
            json_row(x, j, &r, is_vif ? text : NULL);
        else
            put_row(&x->out, &r, is_vif ? text : NULL);
    }
    free(list);
    return EXIT_OK;
}

/* @absent  the exit code when a domain is not there, which is xl's */
static int list(struct xl *x, const struct options *o, const char *kind, const char *head,
                int absent)
{
    struct json j = { .out = &x->out };
    bool json = option_value(o, "json") != NULL;
    int rc = EXIT_OK, one;
    domid_t id;

    if (json)
        json_array(&j, NULL);
    else
        text_printf(&x->out, "%s%-30s\n", head, "BE-path");
    for (unsigned int i = 0; i < o->nr_args; i++) {
        one = find_domain(x, o->args[i], &id) ? list_domain(x, json ? &j : NULL, id, kind) : absent;
        rc = one ? one : rc;
    }
    if (json)
        json_end(&j);
    return rc;
}

int xl_block_list(struct xl *x, const struct options *o)
{
    return list(x, o, "vbd", "Vdev  BE  handle state evt-ch ring-ref ", EXIT_OK);
}

int xl_network_list(struct xl *x, const struct options *o)
{
    return list(x, o, "vif", "Idx BE Mac Addr.         handle state evt-ch   tx-/rx-ring-ref ",
                EXIT_FAILED);
}

/* ---- attach ---- */

/* The words behind the domain are one specification. EXIT_OK; else err says that it is too long. */
static int join(struct xl *x, const struct options *o, char *spec, size_t size)
{
    size_t len = 0;

    spec[0] = '\0';
    for (unsigned int i = 1; i < o->nr_args && len < size; i++)
        len += (size_t)snprintf(spec + len, size - len, "%s%s", i > 1 ? "," : "", o->args[i]);
    return len < size ? EXIT_OK : xl_fail(x, "xl: too long a specification");
}

int xl_block_attach(struct xl *x, const struct options *o)
{
    const struct config_source source = { .file = "block-attach", .report = xl_report, .arg = x };
    struct json j = { .out = &x->out };
    struct config_disk disk;
    char spec[1024];
    domid_t id;
    int rc;

    if (!find_domain(x, o->args[0], &id) || join(x, o, spec, sizeof(spec)) ||
        config_parse_disk(&disk, spec, &source))
        return EXIT_FAILED;
    if (o->dry) {
        text_puts(&x->out, "disk: ");
        config_json_disk(&j, NULL, &disk);
        return EXIT_OK;
    }
    xl_heed_interrupts(x, true);
    rc = devices_attach_disk(&x->tools, id, &disk) ? failed(x) : EXIT_OK;
    xl_heed_interrupts(x, false);
    return rc;
}

int xl_network_attach(struct xl *x, const struct options *o)
{
    const struct config_source source = { .file = "network-attach", .report = xl_report, .arg = x };
    struct json j = { .out = &x->out };
    struct config_vif vif;
    char spec[1024];
    domid_t id;
    int rc;

    if (!find_domain(x, o->args[0], &id) || join(x, o, spec, sizeof(spec)) ||
        config_parse_vif(&vif, spec, &source))
        return EXIT_FAILED;
    if (o->dry) {
        text_puts(&x->out, "vif: ");
        config_json_vif(&j, NULL, &vif);
        return EXIT_OK;
    }
    devices_make_mac(&vif);
    xl_heed_interrupts(x, true);
    rc = devices_attach_vif(&x->tools, id, &vif) ? failed(x) : EXIT_OK;
    xl_heed_interrupts(x, false);
    return rc;
}

/* ---- detach ---- */

/* The device of that number, or, if mac is not NULL, that address. */
static bool find_device(struct xl *x, domid_t id, const char *kind, uint32_t devid,
                        const uint8_t *mac, struct device_at *found)
{
    struct device_at *list;
    bool is = false;
    uint8_t its[6];
    size_t nr;

    if (devices_list(&x->tools, id, &list, &nr))
        return failed(x), false;
    for (size_t i = 0; i < nr && !is; i++) {
        if (strcmp(list[i].kind, kind) != 0)
            continue;
        is = mac ? devices_read_mac(&x->tools, list[i].frontend, its) && memcmp(its, mac, 6) == 0
                 : list[i].devid == devid;
        *found = list[i];
    }
    free(list);
    return is;
}

static int detach(struct xl *x, domid_t id, const struct device_at *at, bool force)
{
    int rc;

    xl_heed_interrupts(x, true);
    rc = devices_detach(&x->tools, id, at, force) ? failed(x) : EXIT_OK;
    xl_heed_interrupts(x, false);
    return rc;
}

int xl_block_detach(struct xl *x, const struct options *o)
{
    struct device_at at;
    uint32_t devid;
    domid_t id;

    if (!find_domain(x, o->args[0], &id))
        return EXIT_FAILED;
    if (!vdev_number(o->args[1], &devid) || !find_device(x, id, "vbd", devid, NULL, &at))
        return xl_fail(x, "Error: Device %s not connected.", o->args[1]);
    return detach(x, id, &at, option_value(o, "f") != NULL);
}

int xl_network_detach(struct xl *x, const struct options *o)
{
    const char *which = o->args[1];
    struct device_at at;
    uint8_t mac[6];
    bool by_mac = config_parse_mac(which, mac);
    char *end;
    unsigned long devid = strtoul(which, &end, 10);
    domid_t id;

    if (!find_domain(x, o->args[0], &id))
        return EXIT_FAILED;
    if (!by_mac && (*which < '0' || *which > '9' || *end || devid > UINT32_MAX))
        return xl_fail(x, "Unknown device %s.", which);
    if (!find_device(x, id, "vif", (uint32_t)devid, by_mac ? mac : NULL, &at))
        return xl_fail(x, "Unknown device %s.", which);
    return detach(x, id, &at, false);
}
