/*
 * The domains that the machine boots with: an ELF kernel and a ramdisk from the boot loader become a PV
 * guest, laid out as the ABI has it. One after the other; the initial domain, domain 0, has the devices
 * and is told of the screen, the others get rings for a store and a console that are yet to come.
 *
 * Pseudo-physical frames (pfns) from 0: the kernel where its ELF headers want it, [the ramdisk, if
 * the kernel wants it mapped], [the p2m list, if the kernel names no address for it], start_info,
 * [the two rings,] page tables, boot stack, room up to a multiple of 4 MiB. All of that is mapped from virt_base on.
 * Behind it the ramdisk, and the p2m list with the tables that map it elsewhere; then ordinary memory.
 *
 * The frames of the p2m list are one piece, so that the builder can write and read it as an array.
 */
#include "domain/domain.h"

#include <xen/domctl.h>

#include "domain/elf.h"
#include "domain/modules.h"
#include "emulate/emulate.h"
#include "event/evtchn.h"
#include "lib/cmdline.h"
#include "memory/heap.h"
#include "paging/paging.h"
#include "sched/sched.h"
#include "sched/time.h"
#include "x86/acpi.h"

#define PORTS_DEFAULT 1023                    /* the highest one of a guest, as libxl has it */
#define HV_SPARE_PAGES (MIB(4) >> PAGE_SHIFT) /* for our own structures, whatever dom0_mem says */
#define SLACK_BYTES KIB(512)
#define REGION_ALIGN MIB(4)
#define P2M_PER_FRAME (PAGE_SIZE / 8)
#define PT_FLAGS (PTE_P | PTE_RW | PTE_US | PTE_A | PTE_D)

struct builder {
    const struct boot_domain *boot;
    char name[DOMAIN_NAME_BYTES + 8]; /* for messages */
    bool is_dom0;
    domid_t id;
    struct domain *d; /* NULL: not yet created */
    struct elf_kernel k;
    const struct boot_module *kernel, *initrd; /* initrd NULL: none */
    uint64_t nr_pages, max_pages;
    uint64_t *p2m; /* by pfn; 0: it has no frame yet */
    struct {       /* of each segment: the frames of the module that become the domain's */
        uint64_t first, end;
    } whole[ELF_MAX_SEGMENTS];

    /* the layout, in pfns; nr_p2m_pt: tables for INIT_P2M, directly behind the list */
    uint64_t initrd_pfn, nr_initrd, p2m_pfn, nr_p2m, nr_p2m_pt;
    uint64_t info_pfn, pt_pfn, nr_pt, stack_pfn, region_end;
    uint64_t needed; /* the first pfn of ordinary memory */
    uint64_t p2m_va;
};

static struct builder b;

static uint64_t module_bytes(const struct boot_module *m) { return m->end - m->start; }

/* ---- how much memory ---- */

/* Domain 0 takes what there is, but for so many pages; or less, if that is wanted. */
static bool choose_size(uint64_t reserved)
{
    uint64_t avail = heap_free_pages(), spare = HV_SPARE_PAGES + reserved;
    const uint64_t *mem = b.boot->mem_bytes;

    avail = (avail > spare ? avail - spare : 0) + b.nr_initrd;
    if (!b.is_dom0) {
        b.nr_pages = mem[0] >> PAGE_SHIFT;
        b.max_pages = MAX(mem[1] >> PAGE_SHIFT, b.nr_pages);
        return b.nr_pages <= avail || elf_bad(&b.k, "%lu MiB for it, but only %lu MiB are free",
                                              b.nr_pages >> 8, avail >> 8);
    }
    b.nr_pages = mem[0] ? mem[0] >> PAGE_SHIFT : avail - MIN(avail / 16, MIB(128) >> PAGE_SHIFT);
    b.max_pages = mem[1] >> PAGE_SHIFT ?: UINT32_MAX;
    b.nr_pages = MIN(b.nr_pages, b.max_pages);
    b.nr_pages = MIN(b.nr_pages, avail);
    return true;
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

static uint64_t va_of(uint64_t pfn) { return b.k.virt_base + (pfn << PAGE_SHIFT); }

/* The next n pfns. */
static uint64_t take(uint64_t n)
{
    b.needed += n;
    return b.needed - n;
}

/* start_info, rings, tables and stack; the tables map themselves as well. */
static bool lay_out_tables(void)
{
    uint64_t need = 1, end;

    b.info_pfn = take(b.is_dom0 ? 1 : 3);
    b.pt_pfn = b.needed;
    do {
        b.nr_pt = need;
        b.stack_pfn = b.pt_pfn + b.nr_pt;
        end = ROUND_UP(va_of(b.stack_pfn + 1) + SLACK_BYTES, REGION_ALIGN);
        if (!va_range_usable(b.k.virt_base, end))
            return elf_bad(&b.k, "kernel, tables and stack do not fit behind 0x%lx", b.k.virt_base);
        need = 1 + tables_for(b.k.virt_base, end);
    } while (need > b.nr_pt);
    b.needed = b.region_end = (end - b.k.virt_base) >> PAGE_SHIFT;
    return true;
}

static bool lay_out(void)
{
    uint64_t p2m_end;

    b.nr_p2m = DIV_ROUND_UP(MAX(b.nr_pages, 1UL), P2M_PER_FRAME);
    b.needed = DIV_ROUND_UP(b.k.phys_end, PAGE_SIZE);
    if (!b.k.mod_start_pfn)
        b.initrd_pfn = take(b.nr_initrd);
    if (b.k.init_p2m == ELF_NONE)
        b.p2m_pfn = take(b.nr_p2m);
    b.p2m_va = b.k.init_p2m == ELF_NONE ? va_of(b.p2m_pfn) : b.k.init_p2m;
    p2m_end = b.p2m_va + (b.nr_p2m << PAGE_SHIFT);
    if (!lay_out_tables())
        return false;
    if (b.k.mod_start_pfn)
        b.initrd_pfn = take(b.nr_initrd);
    if (b.k.init_p2m != ELF_NONE) {
        if (!va_range_usable(b.p2m_va, p2m_end) ||
            (b.p2m_va < va_of(b.region_end) && p2m_end > b.k.virt_base))
            return elf_bad(&b.k, "p2m list of %lu pages does not fit at 0x%lx", b.nr_p2m, b.p2m_va);
        b.nr_p2m_pt = tables_for(b.p2m_va, p2m_end);
        b.p2m_pfn = take(b.nr_p2m + b.nr_p2m_pt);
    }
    if (b.needed > b.nr_pages)
        return elf_bad(&b.k, "%lu MiB for it, but kernel, ramdisk and tables need %lu MiB",
                       b.nr_pages >> 8, (b.needed >> 8) + 1);
    return true;
}

/* ---- frames ---- */

/* A pfn of the layout, once it has a frame. */
static void *pfn_virt(uint64_t pfn) { return mfn_to_virt(_mfn(b.p2m[pfn])); }

/* n frames of ours become the domain's, with what is in them. */
static void give_frames(uint64_t pfn, uint64_t mfn, uint64_t n)
{
    BUG_ON(domain_assign_pages(b.d, _mfn(mfn), n)); /* it is not too many: choose_size() */
    for (; n > 0; n--) {
        m2p_set(_mfn(mfn), pfn);
        b.p2m[pfn++] = mfn++;
    }
}

/* New frames for [pfn, end), in pieces as large as there are, not scrubbed. */
static void alloc_frames(uint64_t pfn, uint64_t end)
{
    while (pfn < end) {
        unsigned int order = MIN(fls64(end - pfn) - 1, HEAP_MAX_ORDER);
        mfn_t m;

        while (m = heap_alloc(order, 0), mfn_x(m) == mfn_x(INVALID_MFN))
            if (order-- == 0)
                panic("%s: out of memory, %lu of %lu pages", b.name, b.d->nr_pages, b.nr_pages);
        give_frames(pfn, mfn_x(m), 1UL << order);
        pfn += 1UL << order;
    }
}

/* Those of [pfn, end) that have no frame yet get one, cleared. */
static void alloc_clear_frames(uint64_t pfn, uint64_t end)
{
    for (uint64_t stop; pfn < end; pfn = stop + 1) {
        for (stop = pfn; stop < end && b.p2m[stop] == 0;)
            stop++;
        alloc_frames(pfn, stop);
        for (uint64_t i = pfn; i < stop; i++)
            (memset)(pfn_virt(i), 0, PAGE_SIZE);
    }
}

/* Domain 0 has the memory as the machine started with it; that may be secrets of whoever had it then. */
static void alloc_ordinary_frames(uint64_t pfn, uint64_t end)
{
    if (b.is_dom0)
        alloc_frames(pfn, end);
    else
        alloc_clear_frames(pfn, end);
}

/*
 * Where a segment's bytes lie in the module as they will lie in its pages, whole pages need no copy.
 * No page of the file is given twice: segments that come with an earlier part of it are copied.
 */
static void give_kernel(void)
{
    uint64_t given = 1; /* frame 0 is never anybody's: see page_get() */

    for (uint32_t i = 0; i < b.k.nr_segments; i++) {
        const struct elf_segment *s = &b.k.segments[i];
        uint64_t maddr = b.kernel->start + s->file_offset, skip = -s->paddr % PAGE_SIZE;
        uint64_t first = (maddr + skip) >> PAGE_SHIFT, end = (maddr + s->file_bytes) >> PAGE_SHIFT;

        b.whole[i].first = b.whole[i].end = given;
        if ((maddr - s->paddr) % PAGE_SIZE || first < given || first >= end)
            continue;
        b.whole[i].first = first;
        b.whole[i].end = given = end;
        give_frames((s->paddr + skip) >> PAGE_SHIFT, first, end - first);
    }
}

/* Behind the list's frames nothing is wanted that choose_size() has not seen to be there. */
static bool populate(void)
{
    uint64_t first = b.k.phys_start >> PAGE_SHIFT;

    b.p2m = xmalloc_pages(b.nr_p2m << PAGE_SHIFT);
    if (b.p2m == NULL)
        return elf_bad(&b.k, "out of memory for a p2m list of %lu pages", b.nr_p2m);
    give_frames(b.p2m_pfn, mfn_x(virt_to_mfn(b.p2m)), b.nr_p2m);
    if (b.initrd) {
        give_frames(b.initrd_pfn, b.initrd->start >> PAGE_SHIFT, b.nr_initrd);
        /* what is no part of the file */
        memset(maddr_to_virt(b.initrd->end), 0, -b.initrd->end % PAGE_SIZE);
    }
    give_kernel();
    alloc_ordinary_frames(0, first);
    alloc_clear_frames(first, b.stack_pfn + 1);
    alloc_ordinary_frames(b.stack_pfn + 1, b.region_end);
    alloc_clear_frames(b.region_end, b.needed); /* tables for the p2m list */
    alloc_ordinary_frames(b.needed, b.nr_pages);
    return true;
}

/* ---- contents ---- */

/* Bytes [at, end) of the file, which follow one another from pseudo-physical address to on. */
static void load(uint64_t to, uint64_t at, uint64_t end)
{
    for (uint64_t n; at < end; at += n, to += n) {
        n = MIN(end - at, PAGE_SIZE - to % PAGE_SIZE);
        memcpy((char *)pfn_virt(to >> PAGE_SHIFT) + to % PAGE_SIZE, b.k.image + at, n);
    }
}

/* What the file has of each segment, but for the pages given; the rest is zero already. */
static void load_kernel(void)
{
    uint64_t module = b.kernel->start;

    for (uint32_t i = 0; i < b.k.nr_segments; i++) {
        const struct elf_segment *s = &b.k.segments[i];
        uint64_t at = s->file_offset, end = at + s->file_bytes, given_end = at;

        if (b.whole[i].first < b.whole[i].end) {
            given_end = (b.whole[i].end << PAGE_SHIFT) - module;
            load(s->paddr, at, (b.whole[i].first << PAGE_SHIFT) - module);
        }
        load(s->paddr + (given_end - at), given_end, end);
    }
    /* the module's other pages are free */
    for (uint32_t i = 0; i < b.k.nr_segments; i++) {
        heap_free_range(module, b.whole[i].first << PAGE_SHIFT);
        module = MAX(module, b.whole[i].end << PAGE_SHIFT);
    }
    heap_free_range(module, b.kernel->end);
    if (b.k.hypercall_page != ELF_NONE)
        hypercall_page_fill(pfn_virt((b.k.hypercall_page - b.k.virt_base) >> PAGE_SHIFT));
}

/* Map the n pfns from first on at va, with tables from the pfns [table, table_end). */
static void map(uint64_t va, uint64_t first, uint64_t n, uint64_t table, uint64_t table_end)
{
    for (uint64_t pfn = first, stop; pfn < first + n;) {
        pte_t *e = (pte_t *)pfn_virt(b.pt_pfn) + pt_index(va, 4);

        for (unsigned int level = 3; level > 0; level--) {
            BUG_ON(*e == 0 && table == table_end);
            if (*e == 0)
                *e = pte_make(b.p2m[table++], PT_FLAGS);
            e = (pte_t *)maddr_to_virt(*e & PTE_ADDR_MASK) + pt_index(va, level);
        }
        stop = MIN(first + n, pfn + PTES_PER_TABLE - pt_index(va, 1));
        for (; pfn < stop; pfn++, va += PAGE_SIZE) /* tables read-only */
            *e++ = pte_make(b.p2m[pfn], pfn - b.pt_pfn < b.nr_pt ? PT_FLAGS & ~PTE_RW : PT_FLAGS);
    }
}

/* ---- start_info and registers ---- */

static uint32_t fill_vga(dom0_vga_console_info_t *vga)
{
    const struct boot_framebuffer *f = &boot_info.framebuffer;
    __typeof__(vga->u.vesa_lfb) *lfb = &vga->u.vesa_lfb;

    if (f->type == 1) {
        vga->video_type = boot_info.efi_system_table ? XEN_VGATYPE_EFI_LFB : XEN_VGATYPE_VESA_LFB;
        lfb->width = (uint16_t)f->width;
        lfb->height = (uint16_t)f->height;
        lfb->bytes_per_line = (uint16_t)f->pitch_bytes;
        lfb->bits_per_pixel = f->bpp;
        lfb->lfb_base = (uint32_t)f->maddr;
        lfb->ext_lfb_base = (uint32_t)(f->maddr >> 32);
        lfb->lfb_size = (uint32_t)DIV_ROUND_UP((uint64_t)f->pitch_bytes * f->height, KIB(64));
        memcpy(&lfb->red_pos, &f->red_pos, 6); /* in both: position, size of each colour */
    } else if (!boot_info.efi_system_table) {
        vga->video_type = XEN_VGATYPE_TEXT_MODE_3;
        vga->u.text_mode_3.font_height = 16;
        vga->u.text_mode_3.rows = 25;
        vga->u.text_mode_3.columns = 80;
    }
    return vga->video_type ? sizeof(*vga) : 0;
}

/* As libxl does it for the domains that it builds. */
static void add_rings(struct start_info *si)
{
    struct domain *d = b.d;
    long store_port = evtchn_alloc_unbound(d, 0), console_port = evtchn_alloc_unbound(d, 0);

    BUG_ON(store_port < 0 || console_port < 0);
    d->store_port = si->store_evtchn = (evtchn_port_t)store_port;
    d->console_port = si->console.domU.evtchn = (evtchn_port_t)console_port;
    si->store_mfn = b.p2m[b.info_pfn + 1];
    si->console.domU.mfn = b.p2m[b.info_pfn + 2];
    d->store_mfn = _mfn(si->store_mfn);
    d->console_mfn = _mfn(si->console.domU.mfn);
}

static void fill_start_info(void)
{
    struct start_info *si = pfn_virt(b.info_pfn);

    xl_snprintf(si->magic, sizeof(si->magic), "xen-3.0-x86_64%s", b.is_dom0 ? "p" : "");
    si->nr_pages = b.nr_pages;
    si->shared_info = mfn_x(b.d->shared_info_mfn) << PAGE_SHIFT;
    si->flags = b.d->is_privileged ? SIF_PRIVILEGED : 0;
    if (b.is_dom0)
        si->flags |= SIF_INITDOMAIN | 3u << 8; /* C and P states, as Xen has it */
    si->pt_base = va_of(b.pt_pfn);
    si->nr_pt_frames = b.nr_pt;
    si->mfn_list = b.p2m_va;
    if (b.nr_p2m_pt) {
        si->first_p2m_pfn = b.p2m_pfn;
        si->nr_p2m_frames = b.nr_p2m + b.nr_p2m_pt;
    }
    if (b.initrd) {
        si->mod_start = b.k.mod_start_pfn ? b.initrd_pfn : va_of(b.initrd_pfn);
        si->mod_len = module_bytes(b.initrd);
        si->flags |= b.k.mod_start_pfn ? SIF_MOD_START_PFN : 0;
    }
    if (b.is_dom0) {
        si->console.dom0.info_off = sizeof(*si);
        si->console.dom0.info_size = fill_vga((dom0_vga_console_info_t *)(si + 1));
    } else {
        add_rings(si);
    }
    _Static_assert(sizeof(si->cmd_line) >= sizeof(b.kernel->cmdline), "it is never cut");
    xl_strlcpy((char *)si->cmd_line, b.boot->cmdline, sizeof(si->cmd_line));
}

static void start_vcpu(struct vcpu *v)
{
    /* freed with all that only boot uses */
    static struct vcpu_guest_context c = {
        .flags = VGCF_in_kernel | VGCF_online,
        .user_regs = { .cs = FLAT_KERNEL_CS, .ss = FLAT_KERNEL_SS, .rflags = 0x202 /* IF */ },
        .kernel_ss = FLAT_KERNEL_SS
    };
    mfn_t l4 = _mfn(b.p2m[b.pt_pfn]);
    int rc;

    c.user_regs.rip = b.k.entry;
    c.user_regs.rsp = va_of(b.stack_pfn + 1);
    c.user_regs.rsi = va_of(b.info_pfn);
    c.kernel_sp = c.user_regs.rsp;
    if (arch_vcpu_set_context(v, &c))
        panic("%s: its registers are refused", b.name);
    do /* pinned, as Linux finds it on Xen and unpins it */
        rc = paging_pin(b.d, l4, PGT_L4);
    while (rc == -ERESTART || rc == -EAGAIN);
    rc = rc ?: vcpu_set_root(v, l4, false);
    if (rc)
        panic("%s: its initial page tables are refused: %d", b.name, rc);
    v->is_initialised = true;
    vcpu_pause_clear(v, VPF_DOWN);
}

/* ---- what it may touch ---- */

/* All ports but those of devices that are ours: PICs, PIT with speaker gate, PCI configuration, UART. */
static void permit_ports(struct domain *d)
{
    const uint16_t ours[][2] = {
        /* first, number */
        { 0x20, 2 }, { 0xa0, 2 },  { 0x40, 4 },
        { 0x61, 1 }, { 0xcf8, 8 }, { COM1_IO, options.console_com1 && options.com1_baud ? 8 : 0 },
    };

    (void)domain_ranges_change(d, &d->ioports, 0, NR_IOPORTS - 1, true); /* there is room */
    for (unsigned int i = 0; i < ARRAY_SIZE(ours); i++)
        if (ours[i][1])
            (void)domain_ranges_change(d, &d->ioports, ours[i][0], ours[i][0] + ours[i][1] - 1u,
                                       false);
}

static void iomem_deny(struct domain *d, uint64_t first, uint64_t end)
{
    if (first >= end || domain_ranges_change(d, &d->iomem, first, end - 1, false) == 0)
        return;
    print(LOG_WARN, "dom0: no device memory below frame 0x%lx: too many ranges", end);
    (void)domain_ranges_change(d, &d->iomem, 0, end - 1, false);
}

/*
 * Device memory is all that is not RAM or an interrupt controller. The HPET is read-only, as on
 * Xen: firmware's AML looks at it, but its interrupts are writes to any address.
 */
static void permit_iomem(struct domain *d)
{
    uint64_t limit = 1UL << (arch_paddr_bits - PAGE_SHIFT);
    uint32_t r[4];

    arch_cpuid(0, 0, r);
    if (r[1] == 0x68747541) /* "Auth": AMD's HyperTransport owns the last 12 GiB */
        limit -= GIB(12) >> PAGE_SHIFT;
    (void)domain_ranges_change(d, &d->iomem, 0, limit - 1, true);
    for (uint32_t i = 0; i < boot_info.nr_ranges; i++)
        if (boot_info.ranges[i].type == BOOT_MEM_RAM)
            iomem_deny(d, DIV_ROUND_UP(boot_info.ranges[i].start, PAGE_SIZE),
                       boot_info.ranges[i].end >> PAGE_SHIFT);
    for (uint32_t i = 0; i < acpi_info.nr_ioapics; i++) {
        uint64_t m = acpi_info.ioapics[i].maddr >> PAGE_SHIFT;

        iomem_deny(d, m, m + 1);
    }
    if (acpi_info.hpet_maddr)
        (void)domain_ranges_change(d, &d->iomem_ro, acpi_info.hpet_maddr >> PAGE_SHIFT,
                                   acpi_info.hpet_maddr >> PAGE_SHIFT, true);
    iomem_deny(d, 0xfee00, 0xfef00); /* local APICs and message-signalled interrupts */
}

/* ---- all together ---- */

/* All is RAM, up to its limit. */
static bool set_memory_map(struct domain *d)
{
    uint64_t *e820 = alloc_page();

    if (e820 == NULL)
        return false;
    e820[1] = d->max_pages << PAGE_SHIFT;
    e820[2] = BOOT_MEM_RAM;
    d->memory_map = (uint8_t *)e820;
    d->nr_memory_map = 1;
    return true;
}

static bool create_domain(void)
{
    const struct xen_domctl_createdomain config = {
        .ssidref = SSIDREF_OF(b.boot->roles),
        .max_vcpus = b.boot->nr_vcpus ?: fls64(arch_cpus_online()),
        .max_evtchn_port = b.is_dom0 ? ~0u : PORTS_DEFAULT,
        .max_grant_frames = -1,
        .max_maptrack_frames = -1
    };
    int rc = domain_create(b.id, &config, &b.d);

    if (rc)
        return elf_bad(&b.k, "cannot be created: %d", rc);
    xl_strlcpy(b.d->name, b.boot->name, sizeof(b.d->name));
    b.d->max_pages = b.max_pages;
    for (uint32_t i = 0; rc == 0 && i < b.d->max_vcpus; i++)
        rc = vcpu_create(b.d, i);
    b.d->console_line = b.boot->console ? alloc_page() : NULL;
    if (rc || (b.boot->console && b.d->console_line == NULL))
        return elf_bad(&b.k, "out of memory");
    if (!b.is_dom0)
        return set_memory_map(b.d) || elf_bad(&b.k, "out of memory");
    permit_ports(b.d);
    permit_iomem(b.d);
    return true;
}

static bool find_modules(void)
{
    b.kernel = b.boot->kernel;
    if (b.kernel == NULL)
        return elf_bad(&b.k, "no kernel: GRUB needs a line module2 /KERNEL");
    if (!elf_parse(&b.k, maddr_to_virt(b.kernel->start), module_bytes(b.kernel)))
        return false;
    if (b.boot->ramdisk && module_bytes(b.boot->ramdisk)) {
        b.initrd = b.boot->ramdisk;
        b.nr_initrd = DIV_ROUND_UP(module_bytes(b.initrd), PAGE_SIZE);
        if (b.initrd->start % PAGE_SIZE || b.initrd->start == 0) /* GRUB aligns modules */
            return elf_bad(&b.k, "ramdisk at 0x%lx: no page boundary, or 0", b.initrd->start);
    }
    return true;
}

static void fill(void)
{
    load_kernel();
    map(b.k.virt_base, 0, b.region_end, b.pt_pfn + 1, b.pt_pfn + b.nr_pt);
    /* again, if that was in there */
    map(b.p2m_va, b.p2m_pfn, b.nr_p2m, b.p2m_pfn + b.nr_p2m, b.p2m_pfn + b.nr_p2m + b.nr_p2m_pt);
    fill_start_info();
    start_vcpu(b.d->vcpu[0]);
    domain_wallclock_update(b.d);
    print(LOG_INFO, "%s: %lu MiB, %u vCPUs, kernel 0x%lx-0x%lx, start_info 0x%lx", b.name,
          b.nr_pages >> 8, b.d->max_vcpus, b.k.virt_base + b.k.phys_start,
          b.k.virt_base + b.k.phys_end, va_of(b.info_pfn));
}

/* False: b.k.error says why not, and nothing is left of it but the modules. */
static bool build(const struct boot_domain *boot, domid_t id, uint64_t reserved)
{
    memset(&b, 0, sizeof(b));
    b.boot = boot;
    b.id = id;
    b.is_dom0 = id == 0;
    if (b.is_dom0)
        xl_strlcpy(b.name, "dom0", sizeof(b.name));
    else
        xl_snprintf(b.name, sizeof(b.name), "d%u (%s)", id, boot->name);
    if (!find_modules() || !choose_size(reserved))
        return false;
    /* domain 0 comes before those that want so much that it cannot be */
    if (!lay_out() && (reserved == 0 || !choose_size(0) || !lay_out()))
        return false;
    if (create_domain() && populate()) {
        fill();
        return true;
    }
    while (b.d && domain_kill(b.d) == -ERESTART)
        ;
    return false;
}

void domains_build(void)
{
    static struct boot_domain list[BOOT_MAX_MODULES + 1];
    unsigned int n = modules_parse(list);
    uint64_t reserved = 0; /* for the others, if domain 0's size is not given */
    domid_t id = 1;

    for (unsigned int i = 1; i < n && !options.dom0_mem_bytes[0]; i++)
        reserved += HV_SPARE_PAGES + MIN(list[i].mem_bytes[0] >> PAGE_SHIFT, heap_free_pages());
    if (!build(&list[0], 0, reserved))
        panic("dom0: %s", b.k.error);
    for (unsigned int i = 1; i < n; i++)
        if (build(&list[i], id, 0)) {
            id++;
        } else {
            print(LOG_ERR, "domain %s is not started: %s", list[i].name, b.k.error);
            module_free(list[i].kernel);
            if (list[i].ramdisk)
                module_free(list[i].ramdisk);
        }
}
