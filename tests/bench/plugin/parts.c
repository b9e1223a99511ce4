/*
 * A plugin for QEMU's TCG that tells what executes how many instructions, by address: for several programs at
 * once that are each known (a hypervisor and the control domain on it), where profile.c knows the hypervisor's
 * reasons.
 *
 *   qemu-system-x86_64 ... -plugin parts.so,out=FILE[,map=FILE]
 *
 * map   "ADDRESS NAME" for each line, ascending: from that address on it is called NAME
 * out   written when QEMU exits: window, name, instructions, those of them that are repeated moves (REP MOVS);
 *       tab-separated, without those that are 0
 *
 * Windows are those of mark.h. What the map does not know is "user" (below 1 << 63), "hypervisor" (its part
 * of the address space, by the ABI) or a kernel. A repeated string instruction counts as often as it repeats.
 *
 * Linux has the same addresses in all domains: they are told apart by where in the machine's memory the code lies.
 * "kernel-1" is the one that was executed first, "kernel-2" all others. That is known for a kernel's image, which is
 * in one piece per domain or in few: those of the first were all executed before another kernel begins, which it does
 * where the first one has begun. A page of modules belongs to the kernel whose image was executed between two
 * executions of it with nothing of the hypervisor in between, as then the domain cannot have been switched.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "install.h"
#include "mark.h"
#include "qemu_plugin.h"

enum { NR_PARTS = 8192, NR_WINDOWS = 64, NR_PAGES = 4096, NR_PIECES = 256, PAGE_SHIFT = 12 };

/* Counters: those of the map's parts, of kernels, of pages of modules. */
enum { KERNEL_1 = NR_PARTS, KERNEL_2, MODULES, PAGES, NR_COUNTERS = PAGES + NR_PAGES };

#define HYPERVISOR_START 0xffff800000000000u
#define KERNEL_START 0xffff880000000000u
#define IMAGE_START 0xffffffff81000000u /* of Linux: its kernel's own code, then modules */
#define IMAGE_END 0xffffffffa0000000u

struct part {
    uint64_t start;
    const char *name;
};

static struct part parts[NR_PARTS] = {
    { 0, "user" },
    { HYPERVISOR_START, "hypervisor" },
    { KERNEL_START, "kernel" },
};
static unsigned int nr_parts = 3;
static const char *out_path;

struct counts {
    uint64_t all, moves;
};

/* Added to by the translated code itself. */
static struct counts executed[NR_COUNTERS];
static uint64_t in_hypervisor, in_image[2]; /* blocks, the latter of KERNEL_1 and KERNEL_2 */

static struct counts seen[NR_COUNTERS]; /* how much of it is in a window already */
static struct counts windows[NR_WINDOWS][PAGES];
static unsigned int window, made;

/* Where a piece of an image lies, and whose it is. */
static struct piece {
    uintptr_t offset; /* host address less virtual address */
    unsigned int owner;
} pieces[NR_PIECES];
static unsigned int nr_pieces;
static bool another;                                            /* kernel has begun */
static bool has_first[(IMAGE_END - IMAGE_START) >> PAGE_SHIFT]; /* pages of the first one */

static struct page {
    uintptr_t frame;    /* its host address >> PAGE_SHIFT */
    unsigned int owner; /* KERNEL_1, KERNEL_2; MODULES: not known yet */
} pages[NR_PAGES];
static unsigned int nr_pages;
static uint64_t last_hypervisor, last_image[2];

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
    for (unsigned int i = 0; i < PAGES + nr_pages; i++) {
        struct counts *to = &windows[window][i < PAGES ? i : pages[i - PAGES].owner];

        to->all += executed[i].all - seen[i].all;
        to->moves += executed[i].moves - seen[i].moves;
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

/* ---- whose code it is ---- */

static unsigned int image_of(uintptr_t host, uint64_t addr)
{
    bool *first = &has_first[(addr - IMAGE_START) >> PAGE_SHIFT];
    uintptr_t offset = host - (uintptr_t)addr;
    unsigned int i;

    for (i = 0; i < nr_pieces && pieces[i].offset != offset; i++)
        ;
    if (i == NR_PIECES)
        return KERNEL_2;
    if (i == nr_pieces) {
        another |= *first;
        pieces[nr_pieces++] = (struct piece){ offset, another ? KERNEL_2 : KERNEL_1 };
    }
    *first |= pieces[i].owner == KERNEL_1;
    return pieces[i].owner;
}

static unsigned int page_of(uintptr_t host)
{
    unsigned int i;

    for (i = 0; i < nr_pages && pages[i].frame != host >> PAGE_SHIFT; i++)
        ;
    if (i == NR_PAGES)
        return MODULES;
    if (i == nr_pages)
        pages[nr_pages++] = (struct page){ host >> PAGE_SHIFT, MODULES };
    return PAGES + i;
}

static void execute_module(unsigned int vcpu, void *arg)
{
    struct page *page = arg;

    (void)vcpu;
    for (unsigned int i = 0; i < 2; i++) {
        if (in_hypervisor == last_hypervisor && in_image[i] != last_image[i])
            page->owner = KERNEL_1 + i;
        last_image[i] = in_image[i];
    }
    last_hypervisor = in_hypervisor;
}

static unsigned int counter_of(const struct qemu_plugin_insn *insn)
{
    uint64_t addr = qemu_plugin_insn_vaddr(insn);
    uintptr_t host = (uintptr_t)qemu_plugin_insn_haddr(insn);
    unsigned int part = part_of(addr);

    if (addr < IMAGE_START || strchr(parts[part].name, ':') || host == 0)
        return part;
    return addr < IMAGE_END ? image_of(host, addr) : page_of(host);
}

/* A block lies in one page, or begins there. */
static void instrument_block(struct qemu_plugin_tb *tb)
{
    unsigned int counter = counter_of(qemu_plugin_tb_get_insn(tb, 0));
    uint64_t addr = qemu_plugin_tb_vaddr(tb);

    if (addr >= HYPERVISOR_START && addr < KERNEL_START)
        qemu_plugin_register_vcpu_tb_exec_inline(tb, QEMU_PLUGIN_INLINE_ADD_U64, &in_hypervisor, 1);
    else if (counter == KERNEL_1 || counter == KERNEL_2)
        qemu_plugin_register_vcpu_tb_exec_inline(tb, QEMU_PLUGIN_INLINE_ADD_U64,
                                                 &in_image[counter - KERNEL_1], 1);
    else if (counter >= PAGES)
        qemu_plugin_register_vcpu_tb_exec_cb(tb, execute_module, QEMU_PLUGIN_CB_NO_REGS,
                                             &pages[counter - PAGES]);
}

/* F3 A4, or with REX.W F3 48 A5; of other widths nobody's. */
static bool is_move(const struct qemu_plugin_insn *insn)
{
    const uint8_t *bytes = qemu_plugin_insn_data(insn);
    size_t size = qemu_plugin_insn_size(insn);

    return (size == 2 && bytes[0] == 0xf3 && (bytes[1] == 0xa4 || bytes[1] == 0xa5)) ||
           (size == 3 && bytes[0] == 0xf3 && bytes[1] == 0x48 && bytes[2] == 0xa5);
}

static void count(struct qemu_plugin_insn *insn, uint64_t *counter, uint64_t insns)
{
    qemu_plugin_register_vcpu_insn_exec_inline(insn, QEMU_PLUGIN_INLINE_ADD_U64, counter, insns);
}

static bool is_mark(const struct qemu_plugin_insn *insn, uint32_t *number)
{
    const uint8_t *bytes = qemu_plugin_insn_data(insn);

    if (qemu_plugin_insn_size(insn) != 7 || memcmp(bytes, "\x0f\x1f\x80", 3) != 0)
        return false;
    memcpy(number, bytes + 3, sizeof(*number));
    *number -= MARK;
    return *number <= MARK_NEXT;
}

/*
 * Instructions that follow each other and belong together are added at once when the first is executed: where one of them
 * faults those behind it are counted again. A repeated one ends its block, and each repetition is a block.
 */
static void translate(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    size_t nr = qemu_plugin_tb_n_insns(tb), end;

    (void)id;
    instrument_block(tb);
    for (size_t i = 0; i < nr; i = end) {
        struct qemu_plugin_insn *first = qemu_plugin_tb_get_insn(tb, i);
        unsigned int counter = counter_of(first);
        uint32_t number;

        for (end = i; end < nr; end++) {
            struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, end);
            bool marks = is_mark(insn, &number);

            if (counter_of(insn) != counter || (marks && end > i))
                break;
            if (is_move(insn))
                count(insn, &executed[counter].moves, 1);
            if (marks) /* counts in the window that begins */
                qemu_plugin_register_vcpu_insn_exec_cb(insn, mark, QEMU_PLUGIN_CB_NO_REGS,
                                                       (void *)(uintptr_t)number);
        }
        count(first, &executed[counter].all, end - i);
    }
}

static const char *counter_name(unsigned int i)
{
    static const char *const kernels[] = { "kernel-1", "kernel-2", "modules" };

    return i < NR_PARTS ? parts[i].name : kernels[i - NR_PARTS];
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
        for (unsigned int i = 0; i < PAGES; i++)
            if (windows[w][i].all)
                fprintf(f, "%u\t%s\t%" PRIu64 "\t%" PRIu64 "\n", w, counter_name(i),
                        windows[w][i].all, windows[w][i].moves);
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
