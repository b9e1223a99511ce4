/*
 * A plugin for QEMU's TCG that tells what executes how many instructions, by address: for several programs at
 * once that are each known (a hypervisor and the control domain on it), where profile.c knows the hypervisor's
 * reasons.
 *
 *   qemu-system-x86_64 ... -plugin parts.so,out=FILE[,map=FILE]
 *
 * map   "ADDRESS NAME" for each line, ascending: from that address on it is called NAME
 * out   written when QEMU exits: window, name, instructions; tab-separated, without those that are 0
 *
 * Windows are those of mark.h. What the map does not know is "user" (below 1 << 63), "hypervisor" (its part
 * of the address space, by the ABI) or "kernel". A repeated string instruction counts as often as it repeats.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "install.h"
#include "mark.h"
#include "qemu_plugin.h"

enum { NR_PARTS = 8192, NR_WINDOWS = 64 };

struct part {
    uint64_t start;
    const char *name;
};

static struct part parts[NR_PARTS] = {
    { 0, "user" },
    { 0xffff800000000000u, "hypervisor" },
    { 0xffff880000000000u, "kernel" },
};
static unsigned int nr_parts = 3;
static const char *out_path;

static uint64_t executed[NR_PARTS]; /* added to by the translated code itself */
static uint64_t seen[NR_PARTS];     /* how much of it is in a window already */
static uint64_t windows[NR_WINDOWS][NR_PARTS];
static unsigned int window, made;

static unsigned int part_of(uint64_t addr)
{
    unsigned int low = 0, high = nr_parts;

    while (high - low > 1) { /* parts[low].start <= addr < parts[high].start */
        unsigned int middle = (low + high) / 2;

        if (parts[middle].start <= addr)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* What has run since the last time belongs to the window. */
static void account(void)
{
    for (unsigned int i = 0; i < nr_parts; i++) {
        windows[window][i] += executed[i] - seen[i];
        seen[i] = executed[i];
    }
}

static void mark(unsigned int vcpu, void *arg)
{
    uintptr_t n = (uintptr_t)arg;

    (void)vcpu;
    account();
    if (n == MARK_NEXT)
        window = made < NR_WINDOWS - 1 ? ++made : made;
    else
        window = n < NR_WINDOWS ? (unsigned int)n : 0;
}

static void translate(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    (void)id;
    for (size_t i = 0, nr = qemu_plugin_tb_n_insns(tb); i < nr; i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
        const uint8_t *bytes = qemu_plugin_insn_data(insn);
        uint32_t number;

        qemu_plugin_register_vcpu_insn_exec_inline(insn, QEMU_PLUGIN_INLINE_ADD_U64,
                                                   &executed[part_of(qemu_plugin_insn_vaddr(insn))],
                                                   1);
        if (qemu_plugin_insn_size(insn) != 7 || memcmp(bytes, "\x0f\x1f\x80", 3) != 0)
            continue;
        memcpy(&number, bytes + 3, sizeof(number));
        if (number - MARK <= MARK_NEXT)
            qemu_plugin_register_vcpu_insn_exec_cb(insn, mark, QEMU_PLUGIN_CB_NO_REGS,
                                                   (void *)(uintptr_t)(number - MARK));
    }
}

static void finish(qemu_plugin_id_t id, void *arg)
{
    FILE *f = fopen(out_path, "w");

    (void)id;
    (void)arg;
    if (f == NULL) {
        perror(out_path);
        return;
    }
    account();
    for (unsigned int w = 0; w <= made; w++)
        for (unsigned int i = 0; i < nr_parts; i++)
            if (windows[w][i])
                fprintf(f, "%u\t%s\t%" PRIu64 "\n", w, parts[i].name, windows[w][i]);
    fclose(f);
}

static int by_start(const void *a, const void *b)
{
    const struct part *x = a, *y = b;

    return (x->start > y->start) - (x->start < y->start);
}

static bool map_read(const char *path)
{
    FILE *f = fopen(path, "r");
    char line[256], name[200];
    uint64_t start;

    if (f == NULL) {
        perror(path);
        return false;
    }
    while (fgets(line, sizeof(line), f)) {
        if (nr_parts == NR_PARTS || sscanf(line, "%" SCNx64 " %199s", &start, name) != 2) {
            fprintf(stderr, "parts: %s: too long, or not understood: %s", path, line);
            fclose(f);
            return false;
        }
        parts[nr_parts++] = (struct part){ start, strdup(name) };
    }
    fclose(f);
    qsort(parts, nr_parts, sizeof(parts[0]), by_start);
    return true;
}

int qemu_plugin_install(qemu_plugin_id_t id, const struct qemu_info_t *info, int argc, char **argv)
{
    const struct install how = { .name = "parts",
                                 .argument = "map=",
                                 .read = map_read,
                                 .out_path = &out_path,
                                 .translate = translate,
                                 .finish = finish };

    (void)info;
    return install(id, argc, argv, &how);
}
