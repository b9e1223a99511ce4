/* vif= by xl-network-configuration(5). */
#include <errno.h>
#include <string.h>

#include "config_spec.h"

static int hex_digit(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *at = c ? strchr(digits, c >= 'A' && c <= 'F' ? c - 'A' + 'a' : c) : NULL;

    return at ? (int)(at - digits) : -1;
}

bool config_parse_mac(const char *text, uint8_t mac[6])
{
    for (unsigned int i = 0; i < 6; i++, text += 3) {
        int high = hex_digit(text[0]), low = high < 0 ? -1 : hex_digit(text[1]);

        if (low < 0 || text[2] != (i < 5 ? ':' : '\0'))
            return false;
        mac[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

/* Not the address of a group, nor that of nobody. */
static void vif_mac(struct spec *s, const struct param *p, void *member, const char *value)
{
    static const uint8_t nobody[6];
    struct config_vif *v = (void *)((char *)member - p->offset);

    v->has_mac = config_parse_mac(value, v->mac);
    if (!v->has_mac)
        spec_wrong(s, value, "is no MAC address");
    else if (v->mac[0] & 1)
        spec_wrong(s, value, "is the MAC address of a group");
    else if (memcmp(v->mac, nobody, sizeof(nobody)) == 0)
        spec_wrong(s, value, "is nobody's MAC address");
}

static void vif_mtu(struct spec *s, const struct param *p, void *member, const char *value)
{
    uint64_t number;

    (void)p;
    if (!config_parse_number(value, 65535, &number) || number < 68)
        spec_wrong(s, value, "is no MTU");
    else
        *(uint16_t *)member = (uint16_t)number;
}

static void vif_devid(struct spec *s, const struct param *p, void *member, const char *value)
{
    uint64_t number;

    (void)p;
    if (!config_parse_number(value, 65535, &number))
        spec_wrong(s, value, "is no number of a device");
    else
        *(uint32_t *)member = (uint32_t)number;
}

#define RATE_MAX 1000000000000000u /* no sum of these is too large for 64 bits */

/* Decimal, 1 or more. Returns what stands behind, NULL: it is no such number. */
static const char *take_count(const char *text, uint64_t *number)
{
    for (*number = 0; *text >= '0' && *text <= '9' && *number <= RATE_MAX; text++)
        *number = *number * 10 + (uint64_t)(*text - '0');
    return *number && *number <= RATE_MAX ? text : NULL;
}

/* "10Mb/s": bits or bytes. Returns what stands behind, NULL: it is none. */
static const char *take_rate(const char *at, uint64_t *rate)
{
    static const char prefixes[] = "KMG";
    const char *prefix;

    at = take_count(at, rate);
    if (at == NULL)
        return NULL;
    prefix = *at ? strchr(prefixes, *at) : NULL;
    if (prefix) {
        for (const char *p = prefixes; p <= prefix && *rate <= RATE_MAX; p++)
            *rate *= 1000;
        at++;
    }
    if ((*at != 'b' && *at != 'B') || at[1] != '/' || at[2] != 's')
        return NULL;
    *rate = *at == 'b' ? *rate / 8 : *rate;
    return *rate && *rate <= RATE_MAX ? at + 3 : NULL;
}

/* "50ms": how often it is granted. Without a unit it is microseconds. */
static bool parse_interval(const char *text, uint32_t *interval_us)
{
    static const struct {
        const char *name;
        uint32_t us;
    } units[] = { { "", 1 }, { "us", 1 }, { "ms", 1000 }, { "s", 1000000 } };
    uint64_t number;

    text = take_count(text, &number);
    for (unsigned int i = 0; text && i < 4; i++) {
        if (strcmp(text, units[i].name) == 0 && number <= UINT32_MAX / units[i].us) {
            *interval_us = (uint32_t)number * units[i].us;
            return true;
        }
    }
    return false;
}

uint64_t config_rate_per_interval(const struct config_vif *v)
{
    return v->rate_bytes / 1000000 * v->rate_interval_us +
           v->rate_bytes % 1000000 * v->rate_interval_us / 1000000;
}

static bool parse_rate(const char *at, struct config_vif *v)
{
    at = take_rate(at, &v->rate_bytes);
    v->rate_interval_us = 50000;
    return at && (*at == '\0' || (*at == '@' && parse_interval(at + 1, &v->rate_interval_us)));
}

static void vif_rate(struct spec *s, const struct param *p, void *member, const char *value)
{
    if (!parse_rate(value, (void *)((char *)member - p->offset)))
        spec_wrong(s, value, "is no rate");
}

#define AT(member) offsetof(struct config_vif, member)
#define TEXT(member) AT(member), sizeof(((struct config_vif *)0)->member), false

static const struct param params[] = {
    { "mac", vif_mac, AT(mac), 0, false },
    { "bridge", param_text, TEXT(bridge) },
    { "gatewaydev", param_text, TEXT(gateway) },
    { "netdev", param_text, TEXT(gateway) }, /* its old name */
    { "vifname", param_text, TEXT(vifname) },
    { "script", param_text, TEXT(script) },
    { "ip", param_text, TEXT(ip) },
    { "backend", param_text, TEXT(backend) },
    { "rate", vif_rate, AT(rate_bytes), 0, false },
    { "devid", vif_devid, AT(devid), 0, false },
    { "mtu", vif_mtu, AT(mtu), 0, false },
    { "trusted", param_flag, AT(trusted), true, true },
    { "untrusted", param_flag, AT(trusted), false, true },
    { "type", param_ignored, 0, 0, false }, /* these are of HVM domains only */
    { "model", param_ignored, 0, 0, false },
};
enum { NR_PARAMS = sizeof(params) / sizeof(params[0]) };

static void take_vif(struct job *j, struct config_vif *vif, const struct value *v)
{
    struct spec s;

    if (!spec_begin(&s, j, v))
        return;
    for (char *param; !s.failed && (param = spec_next(&s)) != NULL;) {
        unsigned int i = param_find(params, NR_PARAMS, param);
        char *value = strchr(param, '=');

        if (i < NR_PARAMS)
            param_take(&s, params, i, vif, value ? value + 1 : "");
        else if (*param)
            spec_wrong(&s, param, "is no parameter of a vif");
    }
}

int config_parse_vif(struct config_vif *vif, const char *text, const struct config_source *source)
{
    struct job j = { .source = source, .key = "vif", .file = source->file };
    const struct value v = { .text = text };

    *vif = (struct config_vif){ .trusted = true, .devid = UINT32_MAX };
    take_vif(&j, vif, &v);
    return j.errors ? -EINVAL : 0;
}

void take_vifs(struct job *j, const struct value *v)
{
    struct domain_config *c = j->c;

    for (v = v->first; v; v = v->next) {
        struct config_vif *vif = &c->vif[c->nr_vifs];

        if (c->nr_vifs == CONFIG_DEVICES) {
            complain(j, PLAT_ERROR, v->line, v->text, "is one vif too many");
            return;
        }
        *vif = (struct config_vif){ .trusted = true, .devid = c->nr_vifs };
        take_vif(j, vif, v);
        for (unsigned int i = 0; i < c->nr_vifs; i++) {
            if (c->vif[i].devid == vif->devid)
                complain(j, PLAT_ERROR, v->line, v->text, "has the number of another vif");
        }
        c->nr_vifs++;
    }
}
