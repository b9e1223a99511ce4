/*
 * A plugin for QEMU's TCG that counts what a hypervisor executes from its Multiboot2 entry to the
 * first instruction of its initial domain, address by address; then it ends QEMU. It sees Xen as it
 * sees ours. One CPU, -icount shift=0: an instruction is a tick, and so is each repetition of a
 * string instruction.
 *
 * Timed waits are told apart without symbols: the same instruction reads a clock or a port WAIT_READS
 * times in a row and more, never more than WAIT_PERIOD instructions apart.
 *
 *   qemu-system-x86_64 ... -plugin growth_plugin.so,out=FILE,image=FILE
 *
 * image  the hypervisor, an ELF with a Multiboot2 header, not compressed: the entry is known by what
 *        is there
 * out    "total INSTRUCTIONS WAITED", then for each address "address instructions bytes";
 *        tab-separated, addresses and bytes in hexadecimal
 */
#include <elf.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugin/qemu_plugin.h"

#define HV_END 0xffff880000000000ULL /* the hypervisor's part of the address space, by the ABI */
#define LOAD_ALIGN 0x200000u         /* GRUB moves both hypervisors by multiples of it */
#define NR_SITES (1u << 21)
#define CODE_MAX 16u
#define CODE_MIN 5u /* a jump, Xen's entry */
#define WAIT_READS 1000u
#define WAIT_PERIOD 300u

struct site { /* an instruction; the same address may have another one later */
    uint64_t addr, count;
    uint8_t bytes, code[15];
    uint64_t last_read, row; /* of a clock: the total then, and how many in a row by now */
};

static struct site *sites[NR_SITES];
static const char *out_path;
static uint64_t entry;
static uint8_t entry_code[CODE_MAX];
static size_t entry_bytes;
static bool entered;
static uint64_t total;                /* added to by the translated code itself */
static uint64_t waited, waited_until; /* until when waits are in it */

static void die(const char *why)
{
    fprintf(stderr, "growth_plugin: %s\n", why);
    exit(2);
}

static struct site *site_get(uint64_t addr, const uint8_t *code, size_t bytes)
{
    uint32_t h = (uint32_t)((addr ^ addr >> 32) * 2654435761u ^ code[0]) % NR_SITES;

    for (unsigned int tries = 0; tries < NR_SITES; tries++, h = (h + 1) % NR_SITES) {
        struct site *s = sites[h];

        if (s && s->addr == addr && s->bytes == bytes && memcmp(s->code, code, bytes) == 0)
            return s;
        if (s)
            continue;
        s = calloc(1, sizeof(*s));
        if (s == NULL)
            break;
        s->addr = addr;
        s->bytes = (uint8_t)bytes;
        memcpy(s->code, code, bytes);
        return sites[h] = s;
    }
    die("no room");
    return NULL;
}

static void at_entry(unsigned int vcpu, void *arg)
{
    (void)vcpu;
    (void)arg;
    entered = true;
    total = 0;
    for (unsigned int i = 0; i < NR_SITES; i++)
        if (sites[i])
            sites[i]->count = sites[i]->last_read = sites[i]->row = 0;
}

static void clock_read(unsigned int vcpu, void *arg)
{
    struct site *s = arg;
    uint64_t from = s->last_read;

    (void)vcpu;
    s->last_read = total;
    s->row = total - from <= WAIT_PERIOD ? s->row + 1 : 0;
    if (s->row == 0 || !entered)
        return;
    if (s->row == WAIT_READS) /* the last ones as well; about: they need not be of one length */
        from -= (total - from) * (WAIT_READS - 1);
    else if (s->row < WAIT_READS)
        return;
    from = from > waited_until ? from : waited_until;
    waited += total - from;
    waited_until = total;
}

/* RDTSC, IN of any kind, or a load from the place of the HPET's counter in its registers. */
static bool reads_clock(const uint8_t *code, size_t bytes)
{
    return (bytes == 2 && code[0] == 0x0f && code[1] == 0x31) ||
           (bytes == 1 && (code[0] == 0xec || code[0] == 0xed)) ||
           (bytes == 2 && (code[0] == 0xe4 || code[0] == 0xe5)) ||
           (bytes == 2 && code[0] == 0x66 && code[1] == 0xed) ||
           (bytes == 6 && code[0] == 0x8b && code[1] >> 6 == 2 && code[2] == 0xf0 && code[3] == 0);
}

static void in_guest(unsigned int vcpu, void *arg)
{
    FILE *f;

    (void)vcpu;
    (void)arg;
    if (!entered)
        return;
    f = fopen(out_path, "w");
    if (f == NULL)
        die("cannot write out");
    fprintf(f, "total\t%" PRIu64 "\t%" PRIu64 "\n", total, waited);
    for (unsigned int i = 0; i < NR_SITES; i++) {
        const struct site *s = sites[i];

        if (s == NULL || s->count == 0)
            continue;
        fprintf(f, "%016" PRIx64 "\t%" PRIu64 "\t", s->addr, s->count);
        for (unsigned int k = 0; k < s->bytes; k++)
            fprintf(f, "%02x", s->code[k]);
        fprintf(f, "\n");
    }
    fclose(f);
    exit(0);
}

static bool is_entry(struct qemu_plugin_tb *tb)
{
    size_t done = 0;

    if ((qemu_plugin_tb_vaddr(tb) ^ entry) % LOAD_ALIGN)
        return false;
    for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb) && done < entry_bytes; i++) {
        const struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
        size_t n = qemu_plugin_insn_size(insn);

        n = n < entry_bytes - done ? n : entry_bytes - done;
        if (memcmp(entry_code + done, qemu_plugin_insn_data(insn), n))
            return false;
        done += n;
    }
    return done >= CODE_MIN;
}

static void translate(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    uint64_t addr = qemu_plugin_tb_vaddr(tb);

    (void)id;
    if (addr >= HV_END) {
        qemu_plugin_register_vcpu_tb_exec_cb(tb, in_guest, QEMU_PLUGIN_CB_NO_REGS, NULL);
        return;
    }
    for (size_t i = 0, nr = qemu_plugin_tb_n_insns(tb); i < nr; i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
        struct site *s = site_get(qemu_plugin_insn_vaddr(insn), qemu_plugin_insn_data(insn),
                                  qemu_plugin_insn_size(insn));

        qemu_plugin_register_vcpu_insn_exec_inline(insn, QEMU_PLUGIN_INLINE_ADD_U64, &s->count, 1);
        qemu_plugin_register_vcpu_insn_exec_inline(insn, QEMU_PLUGIN_INLINE_ADD_U64, &total, 1);
        if (reads_clock(s->code, s->bytes))
            qemu_plugin_register_vcpu_insn_exec_cb(insn, clock_read, QEMU_PLUGIN_CB_NO_REGS, s);
    }
    if (is_entry(tb))
        qemu_plugin_register_vcpu_tb_exec_cb(tb, at_entry, QEMU_PLUGIN_CB_NO_REGS, NULL);
}

/* ---- the entry: the header's tag of type 3, or where the ELF begins ---- */

static uint8_t image[1 << 23];
static size_t image_bytes;

static uint32_t word(size_t at)
{
    uint32_t v = 0;

    if (at + sizeof(v) <= image_bytes)
        memcpy(&v, image + at, sizeof(v));
    return v;
}

/* What a segment of the file has from the entry on. */
static void take_code(uint64_t paddr, uint64_t offset, uint64_t bytes)
{
    uint64_t at = offset + (entry - paddr);

    if (entry < paddr || entry - paddr >= bytes || at >= image_bytes)
        return;
    entry_bytes = image_bytes - at < CODE_MAX ? image_bytes - at : CODE_MAX;
    memcpy(entry_code, image + at, entry_bytes);
}

static void find_entry(const char *path)
{
    const Elf64_Ehdr *e64 = (const Elf64_Ehdr *)image;
    const Elf32_Ehdr *e32 = (const Elf32_Ehdr *)image;
    FILE *f = fopen(path, "rb");
    bool is64;
    size_t at;

    if (f == NULL)
        die("cannot read the image");
    image_bytes = fread(image, 1, sizeof(image), f);
    fclose(f);
    is64 = image[EI_CLASS] == ELFCLASS64;
    entry = is64 ? e64->e_entry : e32->e_entry;
    for (at = 0; at < 32768 && word(at) != 0xe85250d6; at += 8)
        ;
    for (at += 16; (word(at) & 0xffff) != 0; at += (word(at + 4) + 7) & ~7u) {
        if (at >= image_bytes || word(at + 4) < 8)
            die("the image has no Multiboot2 header");
        if ((word(at) & 0xffff) == 3)
            entry = word(at + 8);
    }
    for (unsigned int i = 0; i < (is64 ? e64->e_phnum : e32->e_phnum); i++) {
        const Elf64_Phdr *p64 = (const Elf64_Phdr *)(image + e64->e_phoff) + i;
        const Elf32_Phdr *p32 = (const Elf32_Phdr *)(image + e32->e_phoff) + i;

        if (is64 && p64->p_type == PT_LOAD)
            take_code(p64->p_paddr, p64->p_offset, p64->p_filesz);
        else if (!is64 && p32->p_type == PT_LOAD)
            take_code(p32->p_paddr, p32->p_offset, p32->p_filesz);
    }
}

PLUGIN_EXPORT int qemu_plugin_version = PLUGIN_INTERFACE;

PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const struct qemu_info_t *info, int argc,
                                      char **argv);
int qemu_plugin_install(qemu_plugin_id_t id, const struct qemu_info_t *info, int argc, char **argv)
{
    (void)info;
    for (int i = 0; i < argc; i++) {
        if (strncmp(argv[i], "out=", 4) == 0)
            out_path = strdup(argv[i] + 4);
        else if (strncmp(argv[i], "image=", 6) == 0)
            find_entry(argv[i] + 6);
    }
    if (out_path == NULL || entry_bytes < CODE_MIN)
        return -1;
    qemu_plugin_register_vcpu_tb_trans_cb(id, translate);
    return 0;
}
