/*
 * The pure parts of xl, without a hypervisor: a program that takes xl's command lines and prints three domains
 * that do not exist. Debian's scripts are run on it (scripts.sh).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../dom0-tools/options.h"
#include "../../dom0-tools/print.h"

static struct domain_config config;
static struct text out, err;
static struct json json = { .out = &out };

static const struct xl_domain domains[] = {
    { .id = 0, .name = "Domain-0", .memory_kib = 1048576, .nr_vcpus = 2, .state = XL_RUNNING },
    { .id = 3, .name = "web", .memory_kib = 262144, .nr_vcpus = 4, .state = XL_BLOCKED },
    { .id = 12, .name = "mail.example", .memory_kib = 524288, .nr_vcpus = 1, .state = XL_PAUSED },
};
enum { NR_DOMAINS = sizeof(domains) / sizeof(domains[0]) };

static void report(void *arg, enum plat_level level, const char *file, unsigned int line,
                   const char *text)
{
    (void)arg;
    text_printf(&err, "%s:%u: %s%s\n", file, line, level == PLAT_WARNING ? "warning: " : "", text);
}

static int create(const struct options *o)
{
    const char *file = option_value(o, "f");
    struct config_source source = { .report = report };
    FILE *f;
    static char text[65536];

    file = file ? file : o->nr_args ? o->args[0] : "";
    f = fopen(file, "r");
    if (f == NULL || option_value(o, "n") == NULL)
        return EXIT_FAILED;
    source.file = file;
    source.text = text;
    source.len_bytes = fread(text, 1, sizeof(text), f);
    fclose(f);
    if (config_parse(&config, &source) != 0)
        return EXIT_FAILED;
    config_json(&json, NULL, &config);
    return EXIT_OK;
}

static int list(const struct options *o)
{
    bool is_long = option_value(o, "l") != NULL, found = false;

    if (is_long)
        json_array(&json, NULL);
    else
        print_list_head(&out, 0);
    for (unsigned int i = 0; i < NR_DOMAINS; i++) {
        if (o->nr_args && strcmp(o->args[0], domains[i].name) != 0)
            continue;
        found = true;
        snprintf(config.name, sizeof(config.name), "%s", domains[i].name);
        if (is_long)
            json_long(&json, domains[i].id, &config);
        else
            print_list(&out, 0, &domains[i]);
    }
    if (is_long)
        json_end(&json);
    return found ? EXIT_OK : EXIT_FAILED;
}

static int info(void)
{
    struct xl_info i = { .total_mib = 2048, .free_mib = 100 };
    const char **texts[] = { &i.host,           &i.release,      &i.version,  &i.machine,
                             &i.virt_caps,      &i.xen_extra,    &i.xen_caps, &i.scheduler,
                             &i.changeset,      &i.command_line, &i.compiler, &i.compile_by,
                             &i.compile_domain, &i.compile_date, &i.build_id };

    for (unsigned int k = 0; k < sizeof(texts) / sizeof(texts[0]); k++)
        *texts[k] = "x";
    print_info(&out, &i);
    return EXIT_OK;
}

static int execute(const struct options *o)
{
    switch (o->id) {
    case COMMAND_CREATE: return create(o);
    case COMMAND_LIST: return list(o);
    case COMMAND_INFO: return info();
    default: return EXIT_OK; /* the line was right */
    }
}

int main(int argc, char **argv)
{
    struct options o;
    int rc = options_parse(&o, argc - 1, argv + 1, &out, &err);

    if (rc < 0)
        rc = execute(&o);
    fputs(out.bytes ? out.bytes : "", stdout);
    fputs(err.bytes ? err.bytes : "", stderr);
    return rc;
}
