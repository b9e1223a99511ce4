/* How profile.c and parts.c begin: out=FILE, and one more file that is read at the start. Included once. */
#pragma once
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "qemu_plugin.h"

struct install {
    const char *name;               /* of the plugin, in its messages */
    const char *argument;           /* "map=": of the other file */
    bool (*read)(const char *path); /* it; false: it has said why not */
    const char **out_path;          /* receives out=FILE */
    qemu_plugin_tb_fn *translate;   /* each block */
    qemu_plugin_exit_fn *finish;    /* at the end */
};

PLUGIN_EXPORT int qemu_plugin_version = PLUGIN_INTERFACE;

/* The plugin's, which qemu_plugin_install() of each has. */
PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const struct qemu_info_t *info, int argc,
                                      char **argv);

/* Returns what that returns: 0, 1. */
static int install(qemu_plugin_id_t id, int argc, char **argv, const struct install *how)
{
    size_t len = strlen(how->argument);

    for (int i = 0; i < argc; i++) {
        if (strncmp(argv[i], "out=", 4) == 0) {
            *how->out_path = strdup(argv[i] + 4);
        } else if (strncmp(argv[i], how->argument, len) != 0 || !how->read(argv[i] + len)) {
            fprintf(stderr, "%s: cannot take %s\n", how->name, argv[i]);
            return 1;
        }
    }
    if (*how->out_path == NULL) {
        fprintf(stderr, "%s: out=FILE is missing\n", how->name);
        return 1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, how->translate);
    qemu_plugin_register_atexit_cb(id, how->finish, NULL);
    return 0;
}
