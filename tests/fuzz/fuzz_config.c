/* dom0-tools/config.c: the input is a file; what stands behind a zero byte is an override. */
#include "fuzz.h"

#include "../../dom0-tools/config.h"
#include "../../dom0-tools/json.h"

static unsigned int errors;

static void report(void *arg, enum plat_level level, const char *file, unsigned int line,
                   const char *text)
{
    (void)arg;
    errors += level == PLAT_ERROR;
    BUG_ON(file[0] == '\0' || line > 131072);
    BUG_ON(text[0] == '\0' || strlen(text) > 255);
    for (; *text; text++)
        BUG_ON(*text < ' ' || *text > '~');
}

static int parse(struct domain_config *c, const char *text, size_t len, char *override)
{
    struct config_source source = { .file = "f",
                                    .text = text,
                                    .len_bytes = len,
                                    .overrides = &override,
                                    .nr_overrides = override != NULL,
                                    .served = CONFIG_SERVE_DISK | CONFIG_SERVE_VIF,
                                    .report = report };
    int rc;

    errors = 0;
    rc = config_parse(c, &source);
    BUG_ON(rc != 0 && rc != -22); /* EINVAL */
    BUG_ON((rc == 0) != (errors == 0));
    return rc;
}

static void check_ranges(const struct domain_config *c)
{
    BUG_ON(c->name[0] == '\0' || c->kernel[0] == '\0');
    BUG_ON(c->memory_kib < 1024 || c->max_memory_kib < c->memory_kib);
    BUG_ON(c->nr_vcpus < 1 || c->max_vcpus < c->nr_vcpus || c->max_vcpus > CONFIG_VCPUS);
    BUG_ON(c->cpus.nr_vcpus > c->max_vcpus || c->cpus_soft.nr_vcpus > c->max_vcpus);
    BUG_ON(c->nr_disks > CONFIG_DEVICES || c->nr_vifs > CONFIG_DEVICES ||
           c->nr_channels > CONFIG_DEVICES);
    BUG_ON(c->weight > 65535 || c->cap_percent > 65535);
    BUG_ON(c->on_poweroff >= CONFIG_NR_ACTIONS || c->on_reboot >= CONFIG_NR_ACTIONS ||
           c->on_crash >= CONFIG_NR_ACTIONS || c->on_watchdog >= CONFIG_NR_ACTIONS);
    for (unsigned int i = 0; i < c->nr_disks; i++)
        BUG_ON(c->disk[i].vdev[0] == '\0' || c->disk[i].format >= CONFIG_NR_FORMATS);
    for (unsigned int i = 0; i < c->nr_channels; i++)
        BUG_ON(c->channel[i].name[0] == '\0' ||
               (c->channel[i].connection == CONFIG_SOCKET) != (c->channel[i].path[0] == '/'));
}

/* Printed and parsed, it is the same. */
static void check_repeats(const struct domain_config *c)
{
    static struct domain_config again;
    size_t len = config_print(c, NULL, 0);
    char *text = malloc(len + 1);

    BUG_ON(config_print(c, text, len + 1) != len || strlen(text) != len);
    BUG_ON(parse(&again, text, len, NULL) != 0);
    BUG_ON(memcmp(c, &again, sizeof(again)) != 0);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct domain_config c;
    const uint8_t *zero = size ? memchr(data, 0, size) : NULL;
    size_t len = zero ? (size_t)(zero - data) : size;
    char *file = malloc(len ? len : 1);
    char *override = zero ? strndup((const char *)zero + 1, size - len - 1) : NULL;
    struct text out = { 0 };
    struct json j = { .out = &out };

    memcpy(file, data, len);
    if (parse(&c, file, len, override) == 0) {
        check_ranges(&c);
        check_repeats(&c);
        config_json(&j, NULL, &c);
        BUG_ON(out.failed || j.depth != 0);
    }
    text_free(&out);
    free(override);
    free(file);
    return 0;
}
