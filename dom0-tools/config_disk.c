/* disk= by xl-disk-configuration(5), its deprecated forms included. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "config_spec.h"

const char *const config_formats[CONFIG_NR_FORMATS] = { "raw", "qcow", "qcow2", "vhd", "qed" };
const char *const config_backends[CONFIG_NR_BACKENDS] = { "", "phy", "qdisk" };

static void disk_format(struct spec *s, const struct param *p, void *member, const char *value)
{
    int format = *value ? name_index(config_formats, CONFIG_NR_FORMATS, value) : CONFIG_RAW;

    (void)p;
    if (format < 0)
        spec_wrong(s, value, "is no format");
    else
        *(enum config_format *)member = (enum config_format)format;
}

/* "xvda", "hdc1", "sdaa15": letters, and digits of a partition. */
static bool is_partition(const char *name)
{
    size_t letters = strspn(name, "abcdefghijklmnopqrstuvwxyz");
    size_t digits = strspn(name + letters, "0123456789");

    return letters >= 1 && letters <= 3 && digits <= 4 && name[letters + digits] == '\0';
}

/* Beside these "d0", "d0p3", or the number of a device. */
static bool is_vdev(const char *name)
{
    uint64_t number;

    if (strncmp(name, "xvd", 3) == 0)
        return is_partition(name + 3);
    if (strncmp(name, "hd", 2) == 0 || strncmp(name, "sd", 2) == 0)
        return is_partition(name + 2);
    if (*name == 'd') {
        size_t digits = strspn(++name, "0123456789");

        name += digits;
        if (digits && *name == 'p') {
            digits = strspn(++name, "0123456789");
            name += digits;
        }
        return digits && *name == '\0';
    }
    return config_parse_number(name, UINT32_MAX, &number);
}

/* Behind it ":cdrom" or ":disk" may stand. */
static void disk_vdev(struct spec *s, const struct param *p, void *member, const char *value)
{
    struct config_disk *d = (void *)((char *)member - p->offset);
    char name[sizeof(d->vdev)];
    size_t len = strcspn(value, ":");
    bool cdrom = strcmp(value + len, ":cdrom") == 0;

    if (len < sizeof(name)) {
        memcpy(name, value, len);
        name[len] = '\0';
        if (is_vdev(name) && (cdrom || value[len] == '\0' || strcmp(value + len, ":disk") == 0)) {
            memcpy(d->vdev, name, len + 1);
            d->cdrom |= cdrom;
            return;
        }
    }
    spec_wrong(s, value, "is no virtual device");
}

static bool is_access(const char *value)
{
    static const char *const words[] = { "", "r", "ro", "w", "rw" };

    return name_index(words, 5, value) >= 0;
}

static void disk_access(struct spec *s, const struct param *p, void *member, const char *value)
{
    (void)p;
    if (!is_access(value))
        spec_wrong(s, value, "is none of r, ro, w, rw");
    *(bool *)member = *value == 'r' && strcmp(value, "rw") != 0;
}

static void disk_devtype(struct spec *s, const struct param *p, void *member, const char *value)
{
    (void)p;
    if (strcmp(value, "cdrom") == 0)
        *(bool *)member = true;
    else if (*value && strcmp(value, "disk") != 0)
        spec_wrong(s, value, "is no type of a disk");
}

static void disk_backendtype(struct spec *s, const struct param *p, void *member, const char *value)
{
    int type = name_index(config_backends, CONFIG_NR_BACKENDS, value);

    (void)p;
    if (type < 0)
        spec_wrong(s, value, "is no type of a backend here");
    else
        *(enum config_backend_type *)member = (enum config_backend_type)type;
}

static void disk_specification(struct spec *s, const struct param *p, void *member,
                               const char *value)
{
    (void)p;
    (void)member;
    if (*value && strcmp(value, "xen") != 0)
        spec_wrong(s, value, "is not served: only xen is");
}

enum { TARGET, FORMAT, VDEV, ACCESS, NR_POSITIONS }; /* the first of the table */

#define AT(member) offsetof(struct config_disk, member)
#define TEXT(member) AT(member), sizeof(((struct config_disk *)0)->member), false

static const struct param params[] = {
    [TARGET] = { "target", param_text, TEXT(target) },
    [FORMAT] = { "format", disk_format, AT(format), 0, false },
    [VDEV] = { "vdev", disk_vdev, AT(vdev), 0, false },
    [ACCESS] = { "access", disk_access, AT(read_only), 0, false },
    { "devtype", disk_devtype, AT(cdrom), 0, false },
    { "backend", param_text, TEXT(backend) },
    { "backendtype", disk_backendtype, AT(backend_type), 0, false },
    { "script", param_text, TEXT(script) },
    { "specification", disk_specification, 0, 0, false },
    { "cdrom", param_flag, AT(cdrom), true, true },
    { "direct-io-safe", param_flag, AT(direct_io_safe), true, true },
    { "discard", param_flag, AT(discard), true, true },
    { "no-discard", param_flag, AT(discard), false, true },
    { "trusted", param_flag, AT(trusted), true, true },
    { "untrusted", param_flag, AT(trusted), false, true },
};
enum { NR_PARAMS = sizeof(params) / sizeof(params[0]) };

/* What a prefix of a target meant in former times. False: it is none. */
static bool take_prefix(struct spec *s, struct config_disk *d, const char *prefix)
{
    static const char *const ignored[] = {
        "tap", "tap2", "tapdisk", "aio", "ioemu", "file", "phy"
    };
    static const char *const scripts[] = { "iscsi", "nbd", "enbd", "drbd" };
    int format = name_index(config_formats, CONFIG_NR_FORMATS, prefix);

    if (format >= 0) {
        d->format = (enum config_format)format;
        s->given |= 1u << FORMAT;
    } else if (name_index(scripts, 4, prefix) >= 0) {
        snprintf(d->script, sizeof(d->script), "block-%s", prefix);
    } else {
        return name_index(ignored, 7, prefix) >= 0;
    }
    return true;
}

/* "tap:aio:qcow2:/path". Returns the target behind the prefixes. */
static const char *take_prefixes(struct spec *s, struct config_disk *d, const char *target)
{
    const char *colon;

    while ((colon = strchr(target, ':')) != NULL) {
        char prefix[8];
        size_t len = (size_t)(colon - target);

        if (len >= sizeof(prefix))
            break;
        memcpy(prefix, target, len);
        prefix[len] = '\0';
        if (!take_prefix(s, d, prefix))
            break;
        target = colon + 1;
    }
    return target;
}

/* "TARGET,VDEV[:TYPE],ACCESS" has no format: there are three, and the second is a device. */
static bool is_old_form(const char *text)
{
    const char *second = strchr(text, ','), *third = second ? strchr(second + 1, ',') : NULL;
    char vdev[16];
    size_t len;

    if (third == NULL || strchr(text, '='))
        return false;
    second += 1 + strspn(second + 1, " \t");
    third += 1 + strspn(third + 1, " \t");
    len = strcspn(second, ":,");
    if (len >= sizeof(vdev) || *third == '\0' || !is_access(third))
        return false;
    memcpy(vdev, second, len);
    vdev[len] = '\0';
    return is_vdev(vdev);
}

/* The first position that has not been given. Empty ones may stand behind the last. */
static void take_position(struct spec *s, struct config_disk *d, const char *value)
{
    unsigned int i = 0;

    while (i < NR_POSITIONS && s->given >> i & 1)
        i++;
    if (i == NR_POSITIONS && *value)
        spec_wrong(s, value, "is one parameter too many");
    if (i < NR_POSITIONS)
        param_take(s, params, i, d, i == TARGET ? take_prefixes(s, d, value) : value);
}

static void take_one(struct spec *s, struct config_disk *d, char *param)
{
    unsigned int i = param_find(params, NR_PARAMS, param);
    char *value = strchr(param, '=');

    if (i == NR_PARAMS && value) {
        spec_wrong(s, param, "is no parameter of a disk");
    } else if (i == NR_PARAMS) {
        take_position(s, d, param);
    } else if (i == TARGET) { /* all the rest, commas included */
        if (s->rest)
            s->rest[-1] = ',';
        s->rest = NULL;
        if (d->target[0] == '\0')
            s->given &= ~(uint64_t)(1 << TARGET);
        param_take(s, params, i, d, value + 1);
    } else {
        param_take(s, params, i, d, value ? value + 1 : "");
    }
}

/* A CD is read only; a path is below /dev unless it says where it is. */
static void complete(struct spec *s, struct config_disk *d)
{
    char target[CONFIG_PATH];

    d->read_only |= d->cdrom;
    if (s->failed)
        return;
    if (d->vdev[0] == '\0' && strchr(d->target, ','))
        spec_wrong(s, d->target,
                   "is all target: target= takes the rest of the line, vdev= goes before it");
    else if (d->vdev[0] == '\0')
        spec_wrong(s, NULL, "a disk has no vdev");
    else if (d->target[0] == '\0' && !d->cdrom)
        spec_wrong(s, d->vdev, "has no target");
    if (d->target[0] == '\0' || d->target[0] == '/' || d->script[0])
        return;
    memcpy(target, d->target, sizeof(target));
    if (snprintf(d->target, sizeof(d->target), "/dev/%s", target) >= (int)sizeof(d->target))
        spec_wrong(s, target, "is too long");
}

static void take_disk(struct job *j, struct config_disk *d, const struct value *v)
{
    struct spec s;

    *d = (struct config_disk){ .discard = true, .trusted = true };
    if (!spec_begin(&s, j, v))
        return;
    if (is_old_form(s.text))
        s.given |= 1u << FORMAT;
    for (char *param; !s.failed && (param = spec_next(&s)) != NULL;)
        take_one(&s, d, param);
    complete(&s, d);
}

int config_parse_disk(struct config_disk *disk, const char *text,
                      const struct config_source *source)
{
    struct job j = { .source = source, .key = "disk", .file = source->file };
    const struct value v = { .text = text };

    take_disk(&j, disk, &v);
    return j.errors ? -EINVAL : 0;
}

void take_disks(struct job *j, const struct value *v)
{
    struct domain_config *c = j->c;

    for (v = v->first; v; v = v->next) {
        struct config_disk *d = &c->disk[c->nr_disks];

        if (c->nr_disks == CONFIG_DEVICES) {
            complain(j, PLAT_ERROR, v->line, v->text, "is one disk too many");
            return;
        }
        take_disk(j, d, v);
        for (unsigned int i = 0; i < c->nr_disks; i++) {
            if (d->vdev[0] && strcmp(c->disk[i].vdev, d->vdev) == 0)
                complain(j, PLAT_ERROR, v->line, d->vdev, "is there twice");
        }
        c->nr_disks++;
    }
}
