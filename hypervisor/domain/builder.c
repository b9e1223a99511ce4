/*
 * The initial domain: an ELF kernel and a ramdisk from the boot loader become a PV guest, laid out
 * as the ABI has it.
 *
 * Pseudo-physical frames (pfns) from 0: the kernel where its ELF headers want it, [the ramdisk, if
 * the kernel wants it mapped], [the p2m list, if the kernel names no address for it], start_info,
 * page tables, boot stack, room up to a multiple of 4 MiB. All of that is mapped from virt_base on.
 * Behind it the ramdisk, and the p2m list with the tables that map it elsewhere; then ordinary memory.
 *
 * The p2m list is written in its own frames from the start, 0 for a pfn that has no frame yet.
 */
#include "domain/domain.h"

#include <xen/version.h>

#include "domain/elf.h"
#include "emulate/emulate.h"
#include "lib/cmdline.h"
#include "lib/errno.h"
#include "lib/lib.h"
#include "lib/print.h"
#include "memory/heap.h"
#include "paging/paging.h"
#include "sched/sched.h"
#include "sched/time.h"
#include "x86/acpi.h"
#include "x86/arch.h"
#include "x86/multiboot.h"

#define HV_SPARE_PAGES (MIB(4) >> PAGE_SHIFT) /* for our own structures, whatever dom0_mem says */
#define SLACK_BYTES KIB(512)
#define REGION_ALIGN MIB(4)
#define P2M_PER_FRAME (PAGE_SIZE / 8)
#define PT_FLAGS (PTE_P | PTE_RW | PTE_US | PTE_A | PTE_D)

struct builder {
    struct domain *d;
    struct elf_kernel k;
    const struct boot_module *kernel, *initrd; /* initrd NULL: none */
    uint64_t nr_pages;
    mfn_t *p2m_frames;                         /* frames of the p2m list */

    /* the layout, in pfns */
    uint64_t initrd_pfn, nr_initrd, p2m_pfn, nr_p2m, info_pfn, pt_pfn, nr_pt, stack_pfn, region_end;
    uint64_t p2m_pt_pfn, nr_p2m_pt;            /* tables for INIT_P2M, directly behind the list */
    uint64_t needed;

    uint64_t pt_next, pt_end;                  /* tables that map_page() may use */
    mfn_t l4;
};

static struct builder b;

/* ---- how much memory ---- */

static uint64_t option_pages(const struct mem_size_option *o, uint64_t avail)
{
    uint64_t n = o->bytes >> PAGE_SHIFT;

    return !o->negative ? n : n < avail ? avail - n : 0;
}

static void choose_size(void)
{
    uint64_t avail = heap_free_pages(), all_but;

    avail = (avail > HV_SPARE_PAGES ? avail - HV_SPARE_PAGES : 0) + b.nr_initrd;
    all_but = MIN(avail / 16, MIB(128) >> PAGE_SHIFT);
    b.nr_pages = options.dom0_mem.given ? option_pages(&options.dom0_mem, avail) : avail - all_but;
    if (options.dom0_mem_min.given)
        b.nr_pages = MAX(b.nr_pages, option_pages(&options.dom0_mem_min, avail));
    if (options.dom0_mem_max.given)
        b.nr_pages = MIN(b.nr_pages, option_pages(&options.dom0_mem_max, avail));
    b.nr_pages = MIN(b.nr_pages, avail);
}

/* ---- layout ---- */

/* Tables of levels 1 to 3 that map [start, end). */
static uint64_t tables_for(uint64_t start, uint64_t end)
{
    uint64_t n = 0;

    for (unsigned int shift = PAGE_SHIFT + 9; shift <= PAGE_SHIFT + 27; shift += 9)
        n += ((end - 1) >> shift) - (start >> shift) + 1;
    return n;
}

static bool va_range_usable(uint64_t start, uint64_t bytes)
{
    uint64_t last = start + bytes - 1;

    return last >= start && va_is_canonical(start) && va_is_canonical(last) &&
           start >> 47 == last >> 47 && (last < HV_VIRT_START || start >= HV_VIRT_END);
}

static uint64_t va_of(uint64_t pfn) { return b.k.virt_base + (pfn << PAGE_SHIFT); }

/* start_info, tables and stack from pfn on; the tables map themselves as well. */
static void lay_out_tables(uint64_t pfn)
{
    uint64_t need = 1;

    b.info_pfn = pfn;
    b.pt_pfn = pfn + 1;
    do {
        b.nr_pt = need;
        b.stack_pfn = b.pt_pfn + b.nr_pt;
        b.region_end = (ROUND_UP(va_of(b.stack_pfn + 1) + SLACK_BYTES, REGION_ALIGN) -
                        b.k.virt_base) >> PAGE_SHIFT;
        need = 1 + tables_for(b.k.virt_base, va_of(b.region_end));
    } while (need > b.nr_pt);
    if (!va_range_usable(b.k.virt_base, b.region_end << PAGE_SHIFT))
        panic("dom0: kernel, tables and stack do not fit behind 0x%lx", b.k.virt_base);
}

static void lay_out(void)
{
    bool p2m_apart = b.k.init_p2m != ELF_NONE;
    uint64_t pfn = DIV_ROUND_UP(b.k.phys_end, PAGE_SIZE);

    b.nr_p2m = DIV_ROUND_UP(MAX(b.nr_pages, 1UL), P2M_PER_FRAME);
    if (!b.k.mod_start_pfn) {
        b.initrd_pfn = pfn;
        pfn += b.nr_initrd;
    }
    if (!p2m_apart) {
        b.p2m_pfn = pfn;
        pfn += b.nr_p2m;
    }
    lay_out_tables(pfn);
    b.needed = b.region_end;
    if (b.k.mod_start_pfn) {
        b.initrd_pfn = b.needed;
        b.needed += b.nr_initrd;
    }
    if (p2m_apart) {
        uint64_t bytes = b.nr_p2m << PAGE_SHIFT;

        if (!va_range_usable(b.k.init_p2m, bytes) ||
            (b.k.init_p2m < va_of(b.region_end) && b.k.init_p2m + bytes > b.k.virt_base))
            panic("dom0: p2m list of 0x%lx bytes does not fit at 0x%lx", bytes, b.k.init_p2m);
        b.p2m_pfn = b.needed;
        b.p2m_pt_pfn = b.p2m_pfn + b.nr_p2m;
        b.nr_p2m_pt = tables_for(b.k.init_p2m, b.k.init_p2m + bytes);
        b.needed = b.p2m_pt_pfn + b.nr_p2m_pt;
    }
    if (b.needed > b.nr_pages)
        panic("dom0: %lu MiB for it, but kernel, ramdisk and tables need %lu MiB", b.nr_pages >> 8,
              (b.needed >> 8) + 1);
}

/* ---- frames ---- */

static uint64_t *p2m_slot(uint64_t pfn)
{
    BUG_ON(pfn >= b.nr_pages);
    return (uint64_t *)mfn_to_virt(b.p2m_frames[pfn / P2M_PER_FRAME]) + pfn % P2M_PER_FRAME;
}

static mfn_t p2m_get(uint64_t pfn)
{
    uint64_t m = *p2m_slot(pfn);

    BUG_ON(m == 0);
    return _mfn(m);
}

static void p2m_set(uint64_t pfn, mfn_t m)
{
    *p2m_slot(pfn) = mfn_x(m);
    m2p_set(m, pfn);
}

/* As many frames in one piece as there are, n at most; returns the order. */
static unsigned int alloc_chunk(uint64_t n, mfn_t *m)
{
    unsigned int order = MIN(fls64(n) - 1, HEAP_MAX_ORDER);

    while (domain_alloc_pages(b.d, order, 0, m))
        if (order-- == 0)
            panic("dom0: out of memory, %lu of %lu pages", b.d->nr_pages, b.nr_pages);
    return order;
}

static void alloc_p2m_list(void)
{
    b.p2m_frames = xmalloc_pages(b.nr_p2m * sizeof(mfn_t));
    if (b.p2m_frames == NULL)
        panic("dom0: out of memory for %lu KiB of p2m list", b.nr_p2m * 4);
    for (uint64_t i = 0; i < b.nr_p2m;) {
        mfn_t m;
        uint64_t n = 1UL << alloc_chunk(b.nr_p2m - i, &m);

        for (; n--; m.v++, i++) {
            memset(mfn_to_virt(m), 0, PAGE_SIZE);
            b.p2m_frames[i] = m;
        }
    }
    for (uint64_t i = 0; i < b.nr_p2m; i++)
        p2m_set(b.p2m_pfn + i, b.p2m_frames[i]);
}

/* Frames for all pfns that have none. */
static void alloc_rest(void)
{
    for (uint64_t pfn = 0; pfn < b.nr_pages;) {
        uint64_t n = 0;

        while (pfn + n < b.nr_pages && n < 1UL << HEAP_MAX_ORDER && *p2m_slot(pfn + n) == 0)
            n++;
        if (n == 0) {
            pfn++;
        } else {
            mfn_t m;

            for (n = 1UL << alloc_chunk(n, &m); n--; m.v++, pfn++)
                p2m_set(pfn, m);
        }
    }
}

/* ---- contents ---- */

/* The frames of the module become the domain's; what is no part of the file is cleared. */
static void hand_over_initrd(void)
{
    uint64_t start = b.initrd->start, bytes = b.initrd->end - start;

    for (uint64_t i = 0; i < b.nr_initrd; i++) {
        mfn_t m = _mfn((start >> PAGE_SHIFT) + i);
        int rc = domain_assign_page(b.d, m);

        if (rc)
            panic("dom0: ramdisk frame 0x%lx cannot be handed over: %d", mfn_x(m), rc);
        p2m_set(b.initrd_pfn + i, m);
    }
    if (bytes % PAGE_SIZE)
        memset((char *)maddr_to_virt(start) + bytes, 0, PAGE_SIZE - bytes % PAGE_SIZE);
}

static int put(void *ctx, uint64_t offset, const void *src, uint64_t len)
{
    while (len) {
        uint64_t at = b.k.phys_start + offset, n = MIN(len, PAGE_SIZE - at % PAGE_SIZE);
        char *to = (char *)mfn_to_virt(p2m_get(at >> PAGE_SHIFT)) + at % PAGE_SIZE;

        if (src) {
            memcpy(to, src, n);
            src = (const char *)src + n;
        } else {
            memset(to, 0, n);
        }
        offset += n;
        len -= n;
    }
    return 0;
}

/* A module that does not begin at a page: its bytes are copied into the domain's memory. */
static void copy_initrd(void)
{
    const char *from = maddr_to_virt(b.initrd->start);
    uint64_t left = b.initrd->end - b.initrd->start;

    for (uint64_t i = 0; left; i++) {
        char *to = mfn_to_virt(p2m_get(b.initrd_pfn + i));
        uint64_t n = MIN(left, PAGE_SIZE);

        memset(to, 0, PAGE_SIZE);
        memcpy(to, from + i * PAGE_SIZE, n);
        left -= n;
    }
}

static bool initrd_aligned(void) { return b.initrd->start % PAGE_SIZE == 0; }

/* ---- page tables ---- */

static pte_t *table_new(mfn_t *m)
{
    pte_t *t;

    BUG_ON(b.pt_next == b.pt_end);
    *m = p2m_get(b.pt_next++);
    t = mfn_to_virt(*m);
    memset(t, 0, PAGE_SIZE);
    return t;
}

static void map_page(uint64_t va, mfn_t m, uint64_t flags)
{
    pte_t *t = mfn_to_virt(b.l4);

    for (unsigned int level = 4; level > 1; level--) {
        pte_t *e = &t[pt_index(va, level)];

        if (*e == 0) {
            mfn_t table;

            t = table_new(&table);
            *e = pte_make(mfn_x(table), PT_FLAGS);
        } else {
            t = mfn_to_virt(_mfn(pte_mfn(*e)));
        }
    }
    t[pt_index(va, 1)] = pte_make(mfn_x(m), flags);
}

static void build_tables(void)
{
    b.pt_next = b.pt_pfn;
    b.pt_end = b.pt_pfn + b.nr_pt;
    table_new(&b.l4);
    for (uint64_t pfn = 0; pfn < b.region_end; pfn++) {
        bool is_table = pfn >= b.pt_pfn && pfn < b.pt_pfn + b.nr_pt;

        map_page(va_of(pfn), p2m_get(pfn), is_table ? PT_FLAGS & ~PTE_RW : PT_FLAGS);
    }
    for (; b.pt_next < b.pt_end; b.pt_next++) /* the estimate was generous: leave nothing undefined */
        memset(mfn_to_virt(p2m_get(b.pt_next)), 0, PAGE_SIZE);
    b.pt_next = b.p2m_pt_pfn;
    b.pt_end = b.p2m_pt_pfn + b.nr_p2m_pt;
    if (b.k.init_p2m != ELF_NONE)
        for (uint64_t i = 0; i < b.nr_p2m; i++)
            map_page(b.k.init_p2m + (i << PAGE_SHIFT), b.p2m_frames[i], PT_FLAGS);
}

/* ---- start_info and registers ---- */

static uint32_t fill_vga(dom0_vga_console_info_t *vga)
{
    const struct boot_framebuffer *f = &boot_info.framebuffer;

    if (boot_info.has_framebuffer && f->type == 1) {
        vga->video_type = boot_info.is_efi ? XEN_VGATYPE_EFI_LFB : XEN_VGATYPE_VESA_LFB;
        vga->u.vesa_lfb.width = (uint16_t)f->width;
        vga->u.vesa_lfb.height = (uint16_t)f->height;
        vga->u.vesa_lfb.bytes_per_line = (uint16_t)f->pitch_bytes;
        vga->u.vesa_lfb.bits_per_pixel = f->bpp;
        vga->u.vesa_lfb.lfb_base = (uint32_t)f->maddr;
        vga->u.vesa_lfb.ext_lfb_base = (uint32_t)(f->maddr >> 32);
        vga->u.vesa_lfb.lfb_size =
            (uint32_t)DIV_ROUND_UP((uint64_t)f->pitch_bytes * f->height, KIB(64));
        vga->u.vesa_lfb.red_pos = f->red_pos;
        vga->u.vesa_lfb.red_size = f->red_size;
        vga->u.vesa_lfb.green_pos = f->green_pos;
        vga->u.vesa_lfb.green_size = f->green_size;
        vga->u.vesa_lfb.blue_pos = f->blue_pos;
        vga->u.vesa_lfb.blue_size = f->blue_size;
    } else if (!boot_info.is_efi) {
        vga->video_type = XEN_VGATYPE_TEXT_MODE_3;
        vga->u.text_mode_3.font_height = 16;
        vga->u.text_mode_3.rows = 25;
        vga->u.text_mode_3.columns = 80;
    } else {
        return 0;
    }
    return sizeof(*vga);
}

static void fill_command_line(struct start_info *si)
{
    const char *line = b.kernel->cmdline;

    if (line[0] == '/') /* a boot loader that puts the file's name first */
        while (*line && *line++ != ' ')
            ;
    if (xl_strlcpy((char *)si->cmd_line, line, sizeof(si->cmd_line)) >= sizeof(si->cmd_line))
        print(LOG_WARN, "dom0: command line cut to %u bytes", MAX_GUEST_CMDLINE - 1);
}

static void fill_start_info(void)
{
    struct start_info *si = mfn_to_virt(p2m_get(b.info_pfn));

    memset(si, 0, PAGE_SIZE);
    xl_strlcpy(si->magic, "xen-3.0-x86_64p", sizeof(si->magic));
    si->nr_pages = b.nr_pages;
    si->shared_info = mfn_x(b.d->shared_info_mfn) << PAGE_SHIFT;
    si->flags = SIF_PRIVILEGED | SIF_INITDOMAIN | 3u << 8; /* C and P states are asked for, as by Xen */
    si->pt_base = va_of(b.pt_pfn);
    si->nr_pt_frames = b.nr_pt;
    si->mfn_list = b.k.init_p2m != ELF_NONE ? b.k.init_p2m : va_of(b.p2m_pfn);
    if (b.k.init_p2m != ELF_NONE) {
        si->first_p2m_pfn = b.p2m_pfn;
        si->nr_p2m_frames = b.nr_p2m + b.nr_p2m_pt;
    }
    if (b.initrd) {
        si->mod_start = b.k.mod_start_pfn ? b.initrd_pfn : va_of(b.initrd_pfn);
        si->mod_len = b.initrd->end - b.initrd->start;
        si->flags |= b.k.mod_start_pfn ? SIF_MOD_START_PFN : 0;
    }
    si->console.dom0.info_off = sizeof(*si);
    si->console.dom0.info_size = fill_vga((dom0_vga_console_info_t *)(si + 1));
    fill_command_line(si);
}

static void start_vcpu(struct vcpu *v)
{
    struct vcpu_guest_context *c = xmalloc_pages(sizeof(*c));
    int rc;

    if (c == NULL)
        panic("dom0: out of memory for its first vCPU");
    c->flags = VGCF_in_kernel | VGCF_online;
    c->user_regs.rip = b.k.entry;
    c->user_regs.rsp = va_of(b.stack_pfn + 1);
    c->user_regs.rsi = va_of(b.info_pfn);
    c->user_regs.rflags = 0x202; /* IF */
    c->user_regs.cs = FLAT_KERNEL_CS;
    c->user_regs.ss = FLAT_KERNEL_SS;
    c->kernel_ss = FLAT_KERNEL_SS;
    c->kernel_sp = c->user_regs.rsp;
    rc = arch_vcpu_set_context(v, c);
    xfree_pages(c, sizeof(*c));
    if (rc)
        panic("dom0: registers refused: %d", rc);
    do /* pinned, as Linux finds it on Xen and unpins it */
        rc = paging_pin(b.d, b.l4, PGT_L4);
    while (rc == -ERESTART || rc == -EAGAIN);
    if (rc == 0)
        rc = vcpu_set_root(v, b.l4, false);
    if (rc)
        panic("dom0: its initial page tables are refused: %d", rc);
    v->is_initialised = true;
    vcpu_pause_clear(v, VPF_DOWN);
}

/* ---- what it may touch ---- */

static void deny_ports(uint8_t *bitmap, uint32_t first, uint32_t last)
{
    for (uint32_t p = first; p <= last; p++)
        bitmap[p / 8] |= (uint8_t)(1u << p % 8);
}

/* All ports but those of devices that are ours: PICs, PIT with speaker gate, PCI configuration, UART. */
static void permit_ports(struct domain *d)
{
    d->io_bitmap = xmalloc_pages(NR_IOPORTS / 8);
    if (d->io_bitmap == NULL)
        panic("dom0: out of memory for its port map");
    deny_ports(d->io_bitmap, 0x20, 0x21);
    deny_ports(d->io_bitmap, 0xa0, 0xa1);
    deny_ports(d->io_bitmap, 0x40, 0x43);
    deny_ports(d->io_bitmap, 0x61, 0x61);
    deny_ports(d->io_bitmap, 0xcf8, 0xcff);
    if (options.console_com >= 0) {
        uint16_t base = options.com[options.console_com].io_base;

        deny_ports(d->io_bitmap, base, base + 7u);
    }
}

static void iomem_add(struct domain *d, uint64_t first, uint64_t end)
{
    if (first >= end)
        return;
    if (d->nr_iomem == NR_IOMEM_RANGES) {
        print(LOG_WARN, "dom0: device memory 0x%lx..0x%lx not permitted: too many ranges",
              first << PAGE_SHIFT, end << PAGE_SHIFT);
        return;
    }
    d->iomem[d->nr_iomem++] = (struct mfn_range){ first, end - 1 };
}

/* The lowest range [*start, *end) of frames from `from` on that is RAM or an interrupt controller's. */
static bool next_forbidden(uint64_t from, uint64_t *start, uint64_t *end)
{
    struct { uint64_t s, e; } r;
    unsigned int n = boot_info.nr_ranges + acpi_info.nr_ioapics + 1;

    *start = UINT64_MAX;
    for (unsigned int i = 0; i < n; i++) {
        if (i < boot_info.nr_ranges) {
            if (boot_info.ranges[i].type != BOOT_MEM_RAM)
                continue;
            r.s = DIV_ROUND_UP(boot_info.ranges[i].start, PAGE_SIZE);
            r.e = boot_info.ranges[i].end >> PAGE_SHIFT;
        } else if (i < n - 1) {
            r.s = acpi_info.ioapics[i - boot_info.nr_ranges].maddr >> PAGE_SHIFT;
            r.e = r.s + 1;
        } else { /* local APICs and the window of message-signalled interrupts */
            r.s = 0xfee00;
            r.e = 0xfef00;
        }
        if (r.s < r.e && r.e > from && MAX(r.s, from) < *start) {
            *start = MAX(r.s, from);
            *end = r.e;
        }
    }
    return *start != UINT64_MAX;
}

/*
 * Device memory is all that is not RAM. The HPET stays permitted, as on Xen, where it is read-only:
 * firmware's AML looks at it, and we use it for calibration at most.
 */
static void permit_iomem(struct domain *d)
{
    uint64_t limit = 1UL << (arch_paddr_bits - PAGE_SHIFT), at = 0, s, e;
    uint32_t r[4];

    arch_cpuid(0, 0, r);
    if (r[1] == 0x68747541) /* "Auth": AMD's HyperTransport owns the last 12 GiB */
        limit -= GIB(12) >> PAGE_SHIFT;
    while (at < limit && next_forbidden(at, &s, &e)) {
        iomem_add(d, at, MIN(s, limit));
        at = e;
    }
    iomem_add(d, at, limit);
}

/* ---- all together ---- */

static uint32_t nr_vcpus(void)
{
    uint32_t online = (uint32_t)popcount64(arch_cpus_online());

    return MIN(options.dom0_max_vcpus ? options.dom0_max_vcpus : online, (uint32_t)MAX_VCPUS);
}

static void create_domain(void)
{
    uint64_t max_pages = UINT32_MAX;
    uint32_t n = nr_vcpus();
    int rc;

    if (options.dom0_mem_max.given)
        max_pages = MAX(option_pages(&options.dom0_mem_max, b.nr_pages), b.nr_pages);
    rc = domain_create(0, DOMCREATE_PRIVILEGED | DOMCREATE_HARDWARE, n, max_pages, &b.d);
    if (rc == 0)
        rc = domain_set_tsc_mode(b.d, TSC_MODE_DEFAULT);
    for (uint32_t i = 0; rc == 0 && i < n; i++)
        rc = vcpu_create(b.d, i);
    if (rc)
        panic("dom0: cannot be created: %d", rc);
    permit_ports(b.d);
    permit_iomem(b.d);
}

static void find_modules(void)
{
    if (boot_info.nr_modules == 0)
        panic("dom0: no kernel: GRUB needs a line module2 /KERNEL");
    b.kernel = &boot_info.modules[0];
    if (!elf_parse(&b.k, maddr_to_virt(b.kernel->start), b.kernel->end - b.kernel->start))
        panic("dom0 kernel: %s", b.k.error);
    if (boot_info.nr_modules > 1 && boot_info.modules[1].end > boot_info.modules[1].start) {
        b.initrd = &boot_info.modules[1];
        b.nr_initrd = DIV_ROUND_UP(b.initrd->end - b.initrd->start, PAGE_SIZE);
    }
}

static void print_summary(void)
{
    const struct elf_kernel *k = &b.k;

    print(LOG_INFO, "dom0: %lu MiB, %u vCPUs, kernel \"%s %s\" 0x%lx-0x%lx, entry 0x%lx",
          b.nr_pages >> 8, b.d->max_vcpus, k->guest_os, k->guest_version, k->virt_start, k->virt_end,
          k->entry);
    print(LOG_INFO, "dom0: ramdisk %lu KiB at pfn 0x%lx, p2m list at 0x%lx, start_info 0x%lx",
          b.nr_initrd * 4, b.initrd_pfn,
          k->init_p2m != ELF_NONE ? k->init_p2m : va_of(b.p2m_pfn), va_of(b.info_pfn));
    print(LOG_INFO, "dom0: %lu page tables at 0x%lx, stack 0x%lx, mapped up to 0x%lx", b.nr_pt,
          va_of(b.pt_pfn), va_of(b.stack_pfn), va_of(b.region_end));
}

struct domain *dom0_build(void)
{
    b = (struct builder){ 0 };
    find_modules();
    choose_size();
    lay_out();
    create_domain();
    alloc_p2m_list();
    if (b.initrd && initrd_aligned())
        hand_over_initrd();
    alloc_rest();
    if (elf_load(&b.k, put, NULL))
        panic("dom0: kernel cannot be loaded");
    if (b.initrd && !initrd_aligned())
        copy_initrd();
    if (b.k.hypercall_page != ELF_NONE)
        hypercall_page_fill(mfn_to_virt(p2m_get((b.k.hypercall_page - b.k.virt_base) >> PAGE_SHIFT)));
    build_tables();
    fill_start_info();
    start_vcpu(b.d->vcpu[0]);
    domain_wallclock_update(b.d);
    print_summary();
    xfree_pages(b.p2m_frames, b.nr_p2m * sizeof(mfn_t));
    heap_free_range(b.kernel->start, b.kernel->end);
    if (b.initrd && !initrd_aligned())
        heap_free_range(b.initrd->start, b.initrd->end);
    return b.d;
}
