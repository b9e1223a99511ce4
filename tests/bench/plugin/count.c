/*
 * A plugin for QEMU's user mode: how many instructions the program has executed, as a number that other
 * processes read while it runs.
 *
 *   qemu-x86_64 -plugin count.so,out=FILE PROGRAM...
 *
 * out   8 bytes, the number. A block counts as a whole when it starts. System calls are one instruction.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "qemu_plugin.h"

static uint64_t *count;

static void translate(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    (void)id;
    qemu_plugin_register_vcpu_tb_exec_inline(tb, QEMU_PLUGIN_INLINE_ADD_U64, count,
                                             qemu_plugin_tb_n_insns(tb));
}

PLUGIN_EXPORT int qemu_plugin_version = PLUGIN_INTERFACE;

PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const struct qemu_info_t *info, int argc,
                                      char **argv);
PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const struct qemu_info_t *info, int argc,
                                      char **argv)
{
    void *at;
    int fd;

    (void)info;
    if (argc != 1 || strncmp(argv[0], "out=", 4) != 0) {
        fprintf(stderr, "count: out=FILE is missing\n");
        return 1;
    }
    fd = open(argv[0] + 4, O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || ftruncate(fd, sizeof(*count))) {
        perror(argv[0] + 4);
        return 1;
    }
    at = mmap(NULL, sizeof(*count), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (at == MAP_FAILED) {
        perror("mmap");
        return 1;
    }
    count = at;
    qemu_plugin_register_vcpu_tb_trans_cb(id, translate);
    return 0;
}
