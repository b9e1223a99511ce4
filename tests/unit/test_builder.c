/*
 * domain/builder.c: a synthetic kernel and ramdisk become a domain in the fake machine's RAM, with
 * the real memory/ and paging/. Each case runs in a process of its own: there is one domain 0. What holds
 * for it is checked of a domain beside it as well (c.beside).
 */
#include <CUnit/Basic.h>
#include <elf.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fake.h"

#include <xen/elfnote.h>
#include <xen/sched.h>

#include "console/console.h"
#include "domain/domain.h"
#include "event/evtchn.h"
#include "emulate/emulate.h"
#include "irq/irq.h"
#include "lib/cmdline.h"
#include "lib/errno.h"
#include "memory/heap.h"
#include "paging/paging.h"
#include "sched/sched.h"
#include "sched/time.h"
#include "sched/timer.h"
#include "x86/acpi.h"
#include "x86/multiboot.h"

#define RAM_FRAMES 16384u /* 64 MiB */
#define HEAP_START MIB(1)
#define HEAP_END MIB(48)
#define KERNEL_AT MIB(48)
#define INITRD_AT MIB(56)
#define FIRST_KERNEL_AT MIB(60) /* domain 0's, if a domain beside it is what is to be built */
#define BESIDE_PAGES (MIB(16) >> PAGE_SHIFT)
#define INITRD_BYTES 0x5123u
#define BASE 0xffffffff80000000ULL
#define P2M_VA 0x8000000000ULL

#define CMDLINE "placeholder root=/dev/xvda"

struct boot_info boot_info;
struct acpi_info acpi_info;

/* What is to be built, and what went wrong last. */
static struct {
    bool init_p2m, mod_pfn, hypercall_page, initrd, initrd_shifted, initrd_at_0, efi, framebuffer;
    bool kernel_at_0;    /* and its first segment begins with the file */
    const char *beside;  /* the text of the domain's module, NULL: it is domain 0 */
    bool no_vcpus;       /* vCPUs of domains beside domain 0 cannot be made */
    bool shifted, twice; /* text lies elsewhere in its pages; data are the text's bytes again */
    uint64_t kernel_memsz, virt_base, p2m_va;
} c;
static struct vcpu_guest_context context;
static char panic_text[256];

/* ---- folders that only count ---- */
int arch_vcpu_set_context(struct vcpu *v, const struct vcpu_guest_context *x)
{
    context = *x;
    return 0;
}
int arch_vcpu_create(struct vcpu *v)
{
    memset(v->arch.gdt_frames, 0xff, sizeof(v->arch.gdt_frames)); /* INVALID_MFN */
    memset(v->arch.ldt_frames, 0xff, sizeof(v->arch.ldt_frames));
    return c.no_vcpus && v->domain->domain_id && v->vcpu_id ? -ENOMEM : 0;
}
void sched_vcpu_init(struct vcpu *v) {}
void sched_vcpu_destroy(struct vcpu *v) {}
void vcpu_timers_init(struct vcpu *v) {}
void vcpu_timers_kill(struct vcpu *v) {}
int evtchn_domain_create(struct domain *d) { return 0; }
void evtchn_domain_destroy(struct domain *d) {}
static long next_port; /* of the domain that is built */
long evtchn_alloc_unbound(struct domain *of, domid_t remote)
{
    return remote == 0 ? ++next_port : -1;
}
int evtchn_domain_relinquish(struct domain *d) { return 0; }
void vcpu_pause_set(struct vcpu *v, uint32_t f) { atomic_fetch_or(&v->pause_flags, f); }
void vcpu_pause_sync(struct vcpu *v, uint32_t f) { vcpu_pause_set(v, f); }
void vcpu_pause_clear(struct vcpu *v, uint32_t f) { atomic_fetch_and(&v->pause_flags, ~f); }
mfn_t vcpu_info_release(struct vcpu *v) { return INVALID_MFN; }
void vcpu_set_timer(struct vcpu *v, uint64_t t) {}
void vcpu_set_poll_timer(struct vcpu *v, uint64_t t) {}
void timer_set(struct timer *t, uint64_t when) {}
void timer_kill(struct timer *t) {}
void console_drain(void) {}
void domain_audit(void) {}
void arch_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t out[4]) { memset(out, 0, 16); }
void domain_wallclock_update(struct domain *d) {}
int domain_set_tsc(struct domain *d, const struct xen_domctl_tsc_info *info) { return 0; }
void hypercall_page_fill(void *page) { memset(page, 0xcc, PAGE_SIZE); }
void arch_print_regs(const struct cpu_user_regs *regs) {}
noreturn void arch_reboot(void) { abort(); }
noreturn void arch_halt_forever(void) { abort(); }

/* ---- a process per case ---- */

#define PANICKED 7
#define CHECK(cond)                                                    \
    do {                                                               \
        if (!(cond)) {                                                 \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond); \
            _exit(1);                                                  \
        }                                                              \
    } while (0)

static int result_pipe[2];

noreturn void panic(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(panic_text, sizeof(panic_text), fmt, ap);
    va_end(ap);
    if (write(result_pipe[1], panic_text, sizeof(panic_text)) < 0)
        _exit(1);
    _exit(PANICKED);
}

/* 0: all checks hold; PANICKED with panic_text; else failed. */
static int in_child(void (*fn)(void))
{
    int status;

    CU_ASSERT_EQUAL_FATAL(pipe(result_pipe), 0);
    if (fork() == 0) {
        fn();
        _exit(0);
    }
    wait(&status);
    panic_text[0] = 0;
    if (WIFEXITED(status) && WEXITSTATUS(status) == PANICKED)
        CU_ASSERT(read(result_pipe[0], panic_text, sizeof(panic_text)) > 0);
    close(result_pipe[0]);
    close(result_pipe[1]);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* ---- the modules ---- */

static size_t notes_len;

static void note(uint8_t *image, uint32_t type, const void *desc, uint32_t len)
{
    uint8_t *p = image + 0x400 + notes_len;
    Elf64_Nhdr n = { 4, len, type };

    memcpy(p, &n, sizeof(n));
    memcpy(p + 12, "Xen", 4);
    memcpy(p + 16, desc, len);
    notes_len += 16 + ROUND_UP(len, 4u);
}
static void note_text(uint8_t *image, uint32_t type, const char *s)
{
    note(image, type, s, (uint32_t)strlen(s) + 1);
}
static void note_num(uint8_t *image, uint32_t type, uint64_t v) { note(image, type, &v, 8); }

static uint64_t text_at(void) /* in the file */
{
    return c.kernel_at_0 ? 0 : c.shifted ? 0x1080 : 0x1000;
}
static uint8_t text_byte(uint64_t i) { return (uint8_t)(i * 7 + i / 251 + 1); }
static uint64_t data_bytes(void) { return c.twice ? 0x2000 : 0x30; }
static uint8_t data_byte(uint64_t i) { return c.twice ? text_byte(i + 0x10) : 0xda; }

/* Text of two pages and a bit at 2 MiB, data with zeros behind it at 2 MiB + 0x4010. */
static void write_kernel(uint64_t where, const char *text)
{
    uint8_t *image = (uint8_t *)fake_ram + where;
    struct boot_module *m = &boot_info.modules[boot_info.nr_modules++];
    Elf64_Ehdr *eh = (Elf64_Ehdr *)image;
    Elf64_Phdr *ph = (Elf64_Phdr *)(eh + 1);

    memcpy(eh->e_ident, "\177ELF\2\1\1", 7);
    eh->e_type = ET_EXEC;
    eh->e_machine = EM_X86_64;
    eh->e_version = 1;
    eh->e_phoff = sizeof(*eh);
    eh->e_ehsize = sizeof(*eh);
    eh->e_phentsize = sizeof(*ph);
    eh->e_phnum = 3;
    eh->e_entry = c.virt_base + 0x200000;
    ph[0] = (Elf64_Phdr){ PT_LOAD,  PF_R | PF_X, 0x1000, BASE + 0x200000,
                          0x200000, 0x2100,      0x2100, 0x1000 };
    ph[0].p_offset = text_at();
    ph[1] = (Elf64_Phdr){ PT_LOAD,  PF_R | PF_W,  0x4010,         BASE + 0x204010,
                          0x204010, data_bytes(), c.kernel_memsz, 0x10 };
    if (c.twice)
        ph[1].p_offset = text_at() + 0x10;
    notes_len = 0;
    note_text(image, XEN_ELFNOTE_GUEST_OS, "test");
    note_text(image, XEN_ELFNOTE_XEN_VERSION, "xen-3.0");
    note_num(image, XEN_ELFNOTE_VIRT_BASE, c.virt_base);
    note_num(image, XEN_ELFNOTE_PADDR_OFFSET, 0);
    note_num(image, XEN_ELFNOTE_ENTRY, c.virt_base + 0x200040);
    note_text(image, XEN_ELFNOTE_LOADER, "generic");
    if (c.init_p2m)
        note_num(image, XEN_ELFNOTE_INIT_P2M, c.p2m_va);
    if (c.mod_pfn) {
        uint32_t one = 1;

        note(image, XEN_ELFNOTE_MOD_START_PFN, &one, 4);
    }
    if (c.hypercall_page)
        note_num(image, XEN_ELFNOTE_HYPERCALL_PAGE, BASE + 0x201000);
    ph[2] = (Elf64_Phdr){ PT_NOTE, PF_R, 0x400, 0, 0, notes_len, notes_len, 4 };
    for (unsigned int i = c.kernel_at_0 ? 0x1000 : 0; i < 0x2100; i++) /* not over the headers */
        image[text_at() + i] = text_byte(i);
    memset(image + 0x4010, 0xda, 0x30);
    m->start = where;
    m->end = where + 0x4040;
    strcpy(m->cmdline, text);
}

static uint64_t initrd_at(void)
{
    return c.initrd_at_0 ? 0 : INITRD_AT + (c.initrd_shifted ? 0x80 : 0);
}
static uint8_t initrd_byte(uint64_t i) { return (uint8_t)(i * 13 + 5); }

static void write_initrd(void)
{
    uint8_t *p = (uint8_t *)fake_ram + initrd_at();

    memset((uint8_t *)fake_ram + INITRD_AT, 0xee, ROUND_UP(INITRD_BYTES, PAGE_SIZE) + PAGE_SIZE);
    for (uint64_t i = 0; i < INITRD_BYTES; i++)
        p[i] = initrd_byte(i);
    boot_info.modules[boot_info.nr_modules] =
        (struct boot_module){ .start = initrd_at(), .end = initrd_at() + INITRD_BYTES };
    strcpy(boot_info.modules[boot_info.nr_modules++].cmdline, c.beside ? "ramdisk-of=web" : "");
}

static void machine(void)
{
    fake_reset(1);
    fake_ram_create(RAM_FRAMES);
    memset((uint8_t *)fake_ram + HEAP_START, 0x5a, HEAP_END - HEAP_START); /* what others left */
    heap_add_ram(0, RAM_FRAMES * PAGE_SIZE);
    heap_free_range(HEAP_START, HEAP_END);
    boot_info.efi_system_table = c.efi ? 0x7fe18018 : 0;
    boot_info.framebuffer = (struct boot_framebuffer){ .maddr = 0x4080000000,
                                                       .pitch_bytes = 5120,
                                                       .width = 1280,
                                                       .height = 800,
                                                       .bpp = 32,
                                                       .type = c.framebuffer,
                                                       .red_pos = 16,
                                                       .blue_size = 8 };
    boot_info.nr_ranges = 3;
    boot_info.ranges[0] = (struct boot_range){ 0, 0x9fc00, BOOT_MEM_RAM };
    boot_info.ranges[1] = (struct boot_range){ 0xf0000, 0x100000, BOOT_MEM_RESERVED };
    boot_info.ranges[2] = (struct boot_range){ MIB(1), RAM_FRAMES * PAGE_SIZE, BOOT_MEM_RAM };
    acpi_info.nr_ioapics = 1;
    acpi_info.ioapics[0].maddr = 0xfec00000;
    options.com1_baud = 115200;
    idle_domain_create();
    fake_current(idle_vcpu_create(0));
    if (c.beside)
        write_kernel(FIRST_KERNEL_AT, "first");
    write_kernel(c.kernel_at_0 ? 0 : KERNEL_AT, c.beside ? c.beside : CMDLINE);
    if (c.initrd)
        write_initrd();
}

/* ---- what must hold ---- */

static struct domain *d;
static const struct start_info *si;
static const uint64_t *p2m_virt(uint64_t pfn);

/* The entry for va in the domain's own tables, 0 if there is none. */
static pte_t walk(uint64_t va)
{
    pte_t e = d->vcpu[0]->arch.cr3_kernel;

    for (unsigned int level = 4; level; level--) {
        const pte_t *t = mfn_to_virt(_mfn(pte_mfn(e)));

        e = t[pt_index(va, level)];
        if (!(e & PTE_P))
            return 0;
        CHECK(e & PTE_US);
    }
    return e;
}

static void *at(uint64_t va)
{
    pte_t e = walk(va);

    CHECK(e != 0);
    return (uint8_t *)mfn_to_virt(_mfn(pte_mfn(e))) + va % PAGE_SIZE;
}

static const uint64_t *p2m_virt(uint64_t pfn) { return at(si->mfn_list + pfn * 8); }

static void check_p2m(void)
{
    for (uint64_t pfn = 0; pfn < si->nr_pages; pfn++) {
        uint64_t m = *p2m_virt(pfn);
        uint64_t x = mfn_to_page(_mfn(m))->count_info;

        CHECK(m != 0 && mfn_valid(_mfn(m)));
        CHECK(m2p_get(_mfn(m)) == pfn);
        CHECK((x & PGC_ALLOCATED) && PGC_OWNER(x) == d->domain_id);
        CHECK(!c.beside || *(uint64_t *)mfn_to_virt(_mfn(m)) != 0x5a5a5a5a5a5a5a5a);
    }
    CHECK(d->nr_pages == si->nr_pages);
}

static void check_region(void)
{
    uint64_t pt_pfn = (si->pt_base - BASE) >> PAGE_SHIFT, end;

    for (end = 0; walk(BASE + (end << PAGE_SHIFT)); end++) {
        pte_t e = walk(BASE + (end << PAGE_SHIFT));
        bool table = end >= pt_pfn && end < pt_pfn + si->nr_pt_frames;

        CHECK(pte_mfn(e) == *p2m_virt(end));
        CHECK(!(e & PTE_RW) == table);
    }
    CHECK((end << PAGE_SHIFT) % MIB(4) == 0);
    CHECK((end << PAGE_SHIFT) + BASE >= context.user_regs.rsp + KIB(512));
    CHECK(pte_mfn(d->vcpu[0]->arch.cr3_kernel) == pte_mfn(walk(si->pt_base)));
}

static void check_kernel(void)
{
    for (uint64_t i = 0; i < 0x2100; i++) {
        bool hc = c.hypercall_page && i >= 0x1000 && i < 0x2000;

        CHECK(*(uint8_t *)at(BASE + 0x200000 + i) == (hc ? 0xcc : text_byte(i)));
    }
    /* whole pages are the module's own */
    for (uint64_t i = 0; i < 0x3000; i += PAGE_SIZE)
        CHECK((pte_mfn(walk(BASE + 0x200000 + i)) == (KERNEL_AT + 0x1000 + i) >> PAGE_SHIFT) ==
              (!c.shifted && i < 0x2000));
    for (uint64_t i = 0; i < c.kernel_memsz; i++)
        CHECK(*(uint8_t *)at(BASE + 0x204010 + i) == (i < data_bytes() ? data_byte(i) : 0));
}

static void check_initrd(void)
{
    uint64_t end = ROUND_UP(INITRD_BYTES, PAGE_SIZE);

    CHECK(si->mod_len == (c.initrd ? INITRD_BYTES : 0));
    CHECK(!(si->flags & SIF_MOD_START_PFN) == !(c.initrd && c.mod_pfn));
    for (uint64_t i = 0; c.initrd && i < end; i++) {
        uint64_t pfn =
            (c.mod_pfn ? si->mod_start : (si->mod_start - BASE) >> PAGE_SHIFT) + i / PAGE_SIZE;
        mfn_t m = _mfn(*p2m_virt(pfn));

        CHECK(((uint8_t *)mfn_to_virt(m))[i % PAGE_SIZE] ==
              (i < INITRD_BYTES ? initrd_byte(i) : 0));
        CHECK(mfn_x(m) == (INITRD_AT + i) >> PAGE_SHIFT);
        CHECK(c.mod_pfn ||
              *(uint8_t *)at(si->mod_start + i) == (i < INITRD_BYTES ? initrd_byte(i) : 0));
    }
}

/* UEFI has no text mode: without a framebuffer there is nothing to tell of. */
static void check_vga(void)
{
    const dom0_vga_console_info_t *vga =
        (const void *)((const char *)si + si->console.dom0.info_off);

    CHECK(si->console.dom0.info_off == 0x490);
    CHECK(si->console.dom0.info_size == (c.efi && !c.framebuffer ? 0 : 0x28));
    if (c.framebuffer) {
        CHECK(vga->video_type == (c.efi ? XEN_VGATYPE_EFI_LFB : XEN_VGATYPE_VESA_LFB));
        CHECK(vga->u.vesa_lfb.width == 1280 && vga->u.vesa_lfb.height == 800);
        CHECK(vga->u.vesa_lfb.bytes_per_line == 5120 && vga->u.vesa_lfb.bits_per_pixel == 32);
        CHECK(vga->u.vesa_lfb.lfb_base == 0x80000000 && vga->u.vesa_lfb.ext_lfb_base == 0x40);
        CHECK(vga->u.vesa_lfb.lfb_size == 63); /* of 64 KiB */
        CHECK(vga->u.vesa_lfb.red_pos == 16 && vga->u.vesa_lfb.blue_size == 8);
    } else if (!c.efi) {
        CHECK(vga->video_type == XEN_VGATYPE_TEXT_MODE_3 && vga->u.text_mode_3.columns == 80);
    }
}

/* They wait for who serves them, empty. */
static void check_rings(void)
{
    uint64_t pfn = (context.user_regs.rsi - BASE) >> PAGE_SHIFT;
    static const uint8_t zeroes[PAGE_SIZE];

    CHECK(si->store_mfn == *p2m_virt(pfn + 1) && si->console.domU.mfn == *p2m_virt(pfn + 2));
    CHECK(memcmp(at(BASE + ((pfn + 1) << PAGE_SHIFT)), zeroes, PAGE_SIZE) == 0);
    CHECK(memcmp(at(BASE + ((pfn + 2) << PAGE_SHIFT)), zeroes, PAGE_SIZE) == 0);
    CHECK(si->pt_base == BASE + ((pfn + 3) << PAGE_SHIFT));
    CHECK(si->store_evtchn == 1 && si->console.domU.evtchn == 2);
    CHECK(mfn_x(d->store_mfn) == si->store_mfn && mfn_x(d->console_mfn) == si->console.domU.mfn);
    CHECK(d->store_port == 1 && d->console_port == 2);
}

static void check_start_info(void)
{
    if (c.beside) {
        CHECK(strcmp(si->magic, "xen-3.0-x86_64") == 0);
        CHECK((si->flags & ~8u) == (d->is_privileged ? SIF_PRIVILEGED : 0));
        check_rings();
    } else {
        CHECK(strcmp(si->magic, "xen-3.0-x86_64p") == 0);
        CHECK((si->flags & ~8u) == 0x303);
        check_vga();
    }
    CHECK(si->shared_info == mfn_x(d->shared_info_mfn) << PAGE_SHIFT);
    CHECK(strcmp((const char *)si->cmd_line, CMDLINE) == 0);
    CHECK(si->mfn_list == (c.init_p2m ? P2M_VA : si->mfn_list));
    if (c.init_p2m) {
        uint64_t frames = DIV_ROUND_UP(si->nr_pages, 512);

        CHECK(si->nr_p2m_frames == frames + 3);
        for (uint64_t i = 0; i < frames; i++)
            CHECK(pte_mfn(walk(P2M_VA + i * PAGE_SIZE)) == *p2m_virt(si->first_p2m_pfn + i));
    }
    CHECK(context.user_regs.rip == BASE + 0x200040);
    CHECK(context.user_regs.cs == FLAT_KERNEL_CS && context.user_regs.ss == FLAT_KERNEL_SS);
    CHECK(context.user_regs.rsp % PAGE_SIZE == 0 && walk(context.user_regs.rsp - 8));
    CHECK(context.flags & VGCF_in_kernel);
}

static bool port_denied(uint16_t p) { return !ranges_have(&d->ioports, p); }

static bool iomem_permitted(uint64_t mfn)
{
    for (unsigned int i = 0; i < d->iomem.nr; i++)
        if (mfn >= d->iomem.of[i].first && mfn <= d->iomem.of[i].last)
            return true;
    return false;
}

static void check_policy(void)
{
    if (c.beside) {
        CHECK(d->ioports.nr == 0 && d->iomem.nr == 0 && !d->is_hwdom);
        return;
    }
    CHECK(port_denied(0x20) && port_denied(0x3f8) && port_denied(0x3ff) && port_denied(0xcfc));
    CHECK(port_denied(0x43) && !port_denied(0x2f8) && !port_denied(0x60) && !port_denied(0x400));
    for (uint64_t m = 0; m < RAM_FRAMES; m++)
        CHECK(iomem_permitted(m) == (m >= 0x9f && m < 0x100));
    CHECK(!iomem_permitted(0xfec00) && iomem_permitted(0xfec01));
    CHECK(!iomem_permitted(0xfee00) && !iomem_permitted(0xfeeff) && iomem_permitted(0xfef00));
    CHECK(iomem_permitted(0xfed00) && iomem_permitted((1ULL << (arch_paddr_bits - 12)) - 1));
    CHECK(!iomem_permitted(1ULL << (arch_paddr_bits - 12)));
}

static void kill_all(void)
{
    hardware_domain = NULL;
    while (domain_list)
        domain_kill(domain_list);
    CHECK(heap_audit() == 0);
}

static void build_and_check(void)
{
    uint64_t free_before;

    machine();
    free_before = heap_free_pages();
    domains_build();
    d = c.beside ? domain_list->next : domain_list;
    CHECK(d && hardware_domain == domain_list && hardware_domain->is_privileged);
    CHECK(d->vcpu[0]->is_initialised);
    CHECK(!(d->vcpu[0]->pause_flags & VPF_DOWN) && (d->vcpu[0]->pause_flags & VPF_PAUSED));
    si = at(context.user_regs.rsi);
    check_p2m();
    check_region();
    check_start_info();
    check_policy();
    check_initrd();
    check_kernel();
    if (paging_audit())
        fprintf(stderr, "%s\n", fake_printed);
    CHECK(paging_audit() == 0);
    CHECK(heap_audit() == 0);
    CHECK(heap_free_pages() < free_before);
    /* and all of it comes back */
    kill_all();
    free_before += 5 + (c.initrd ? 6 : 0) + (c.beside ? 5 : 0);
    if (heap_free_pages() + 8 < free_before || heap_free_pages() > free_before)
        fprintf(stderr, "free: %lu, expected %lu\n", heap_free_pages(), free_before);
    CHECK(heap_free_pages() + 8 >= free_before && heap_free_pages() <= free_before);
}

#define BESIDE "domain=web memory=16M,max:20M vcpus=3 -- " CMDLINE

static void defaults(void)
{
    memset(&c, 0, sizeof(c));
    options.dom0_mem_bytes[0] = options.dom0_mem_bytes[1] = 0;
    c.init_p2m = c.mod_pfn = c.initrd = true;
    c.kernel_memsz = 0x9000;
    c.virt_base = BASE;
    c.p2m_va = P2M_VA;
}

static void test_every_kind_of_kernel_is_built(void)
{
    for (unsigned int i = 0; i < 64; i++) {
        defaults();
        c.init_p2m = i & 1;
        c.mod_pfn = i & 2;
        c.hypercall_page = i & 4;
        c.initrd = i & 8;
        c.shifted = i & 16;
        c.twice = i & 32;
        CU_ASSERT_EQUAL(in_child(build_and_check), 0);
    }
}

static void test_the_screen_is_told_as_the_firmware_left_it(void)
{
    for (unsigned int i = 0; i < 4; i++) {
        defaults();
        c.efi = i & 1;
        c.framebuffer = i & 2;
        CU_ASSERT_EQUAL(in_child(build_and_check), 0);
    }
}

static void test_sizes(void)
{
    static const struct {
        uint64_t mib, max_mib;
        int rc;
    } sizes[] = {
        { 1, 0, PANICKED }, { 4, 0, PANICKED }, { 5, 0, 0 },   { 6, 0, 0 },  { 7, 0, 0 },
        { 16, 0, 0 },       { 33, 0, 0 },       { 100, 0, 0 }, { 33, 6, 0 }, { 33, 4, PANICKED },
        { 6, 33, 0 },       { 0, 6, 0 },        { 0, 0, 0 },
    };

    for (unsigned int i = 0; i < ARRAY_SIZE(sizes); i++) {
        defaults();
        options.dom0_mem_bytes[0] = MIB(sizes[i].mib);
        options.dom0_mem_bytes[1] = MIB(sizes[i].max_mib);
        CU_ASSERT_EQUAL(in_child(build_and_check), sizes[i].rc);
        if (sizes[i].rc == PANICKED) {
            CU_ASSERT_PTR_NOT_NULL(strstr(panic_text, "dom0: "));
            CU_ASSERT_PTR_NOT_NULL(strstr(panic_text, "need "));
        }
    }
}

static void test_the_same_beside_domain_0(void)
{
    static const char *const texts[] = {
        BESIDE, "role=control console domain=web\tmemory=16384 -- " CMDLINE,
        "domain=web placeholder role=driver memory=16m --   " CMDLINE
    };

    for (unsigned int i = 0; i < 64 * ARRAY_SIZE(texts); i++) {
        defaults();
        c.init_p2m = i & 1;
        c.mod_pfn = i & 2;
        c.hypercall_page = i & 4;
        c.initrd = i & 8;
        c.shifted = i & 16;
        c.twice = i & 32;
        c.beside = texts[i / 64];
        CU_ASSERT_EQUAL(in_child(build_and_check), 0);
    }
}

/* ---- what a domain beside domain 0 has, and when there is none ---- */

static void check_domains(void)
{
    machine();
    domains_build();
    d = domain_list->next;
    CHECK(d && d->domain_id == 1 && strcmp(d->name, "web") == 0 && d->max_vcpus == 3);
    CHECK(d->nr_pages == BESIDE_PAGES && d->max_pages == MIB(20) >> PAGE_SHIFT &&
          !d->is_privileged);
    CHECK(d->roles == 0 && d->console_line == NULL && d->vcpu[2]);
    CHECK(d->max_evtchn_port == 1023 && domain_list->max_evtchn_port == ~0u);
    CHECK(d->nr_memory_map == 1 &&
          memcmp(d->memory_map, (uint32_t[]){ 0, 0, MIB(20), 0, BOOT_MEM_RAM }, 20) == 0);
    CHECK(domain_list->nr_memory_map == 0);
    CHECK(strcmp(domain_list->name, "Domain-0") == 0 && domain_list->roles == ROLES_ALL);
    /* domain 0 has left what its neighbour wants, and kept what is its own */
    CHECK(domain_list->nr_pages > (MIB(20) >> PAGE_SHIFT));
}

static void check_control_and_console(void)
{
    machine();
    domains_build();
    d = domain_list->next;
    CHECK(d->is_privileged && !d->is_hwdom && d->roles == ROLE_CONTROL && d->console_line);
}

/* Two kernels that cannot be, and one that can: it has the first id. */
static void check_others_go_on(void)
{
    machine();
    write_kernel(KERNEL_AT + MIB(1), "domain=good memory=8M");
    memset((uint8_t *)fake_ram + KERNEL_AT, 'x', 64);
    domains_build();
    d = domain_list->next;
    CHECK(d && d->domain_id == 1 && strcmp(d->name, "good") == 0 && d->next == NULL);
}

static const char *why;

/* It is said, domain 0 runs, and what the other was to be made of is free. */
static void check_not_started(void)
{
    uint64_t free_before;

    machine();
    if (c.kernel_memsz == 0)
        memset((uint8_t *)fake_ram + KERNEL_AT, 'x', 64);
    free_before = heap_free_pages();
    domains_build();
    if (!strstr(fake_printed, why))
        fprintf(stderr, "\"%s\" does not say \"%s\"\n", fake_printed, why);
    CHECK(strstr(fake_printed, why));
    CHECK(hardware_domain == domain_list && domain_list->next == NULL);
    CHECK(paging_audit() == 0);
    kill_all();
    free_before += 5 + 4 + (c.initrd ? 5 : 0);
    if (heap_free_pages() + 8 < free_before || heap_free_pages() > free_before)
        fprintf(stderr, "free: %lu, expected %lu\n", heap_free_pages(), free_before);
    CHECK(heap_free_pages() + 8 >= free_before && heap_free_pages() <= free_before);
}

static void not_started(const char *text, const char *reason)
{
    c.beside = text;
    why = reason;
    CU_ASSERT_EQUAL(in_child(check_not_started), 0);
}

static void test_domains_beside_domain_0(void)
{
    defaults();
    c.beside = BESIDE;
    CU_ASSERT_EQUAL(in_child(check_domains), 0);
    options.dom0_mem_bytes[0] = MIB(24);
    CU_ASSERT_EQUAL(in_child(check_domains), 0);
    c.beside = "domain=web memory=16M role=control console";
    CU_ASSERT_EQUAL(in_child(check_control_and_console), 0);
    c.beside = BESIDE;
    CU_ASSERT_EQUAL(in_child(check_others_go_on), 0);
}

static void test_one_that_cannot_be_built_is_named_and_left_out(void)
{
    defaults();
    not_started("domain=web memory=1T", "domain web is not started: 1048576 MiB for it, but only ");
    not_started("domain=web memory=40M", "domain web is not started: 40 MiB for it, but only ");
    not_started("domain=web memory=4M", "domain web is not started: 4 MiB for it, but kernel, ");
    not_started("domain=web memory=1", "domain web is not started: 0 MiB for it, but kernel, ");
    options.dom0_mem_bytes[0] = MIB(40); /* domain 0 comes first */
    not_started("domain=web memory=16M", "domain web is not started: 16 MiB for it, but only ");
    options.dom0_mem_bytes[0] = 0;
    c.no_vcpus = true;
    not_started("domain=web memory=16M vcpus=3", "domain web is not started: out of memory");
    defaults();
    c.initrd_shifted = true;
    not_started("domain=web memory=16M", "domain web is not started: ramdisk at 0x3800080");
    c.kernel_memsz = 0; /* no kernel */
    not_started("domain=web memory=16M", "domain web is not started: kernel is no ELF file");
}

static void build(void)
{
    machine();
    domains_build();
}

/* Frame 0 is nobody's: page_get() takes it for all numbers that are too high. */
static void build_at_0(void)
{
    build();
    CHECK(PGC_COUNT(frame_table[0].count_info) == 0);
    CHECK(page_get(_mfn(max_mfn + 7), hardware_domain) == NULL);
}

static void build_without_modules(void)
{
    machine();
    boot_info.nr_modules = 0;
    domains_build();
}

static void build_from_garbage(void)
{
    machine();
    memset((uint8_t *)fake_ram + KERNEL_AT, 'x', 64);
    domains_build();
}

static void test_a_kernel_at_0_is_copied(void)
{
    defaults();
    c.kernel_at_0 = true;
    CU_ASSERT_EQUAL(in_child(build_at_0), 0);
}

static void test_what_cannot_be_built_is_named(void)
{
    defaults();
    CU_ASSERT_EQUAL(in_child(build_without_modules), PANICKED);
    CU_ASSERT_PTR_NOT_NULL(strstr(panic_text, "dom0: no kernel"));
    CU_ASSERT_EQUAL(in_child(build_from_garbage), PANICKED);
    CU_ASSERT_EQUAL(strncmp(panic_text, "dom0: kernel ", 13), 0);
    defaults();
    c.initrd_shifted = true;
    CU_ASSERT_EQUAL(in_child(build), PANICKED);
    CU_ASSERT_PTR_NOT_NULL(strstr(panic_text, "dom0: ramdisk at 0x3800080"));
    defaults();
    c.initrd_at_0 = true; /* where GRUB may put it on UEFI; frame 0 must be nobody's: page_get() */
    CU_ASSERT_EQUAL(in_child(build), PANICKED);
    CU_ASSERT_PTR_NOT_NULL(strstr(panic_text, "dom0: ramdisk at 0x0"));
    defaults();
    c.kernel_memsz = MIB(100);
    CU_ASSERT_EQUAL(in_child(build), PANICKED);
    CU_ASSERT_PTR_NOT_NULL(strstr(panic_text, "need"));
    c.kernel_memsz = 0x7fdfb000; /* up to the end of the address space */
    CU_ASSERT_EQUAL(in_child(build), PANICKED);
}

/* Where a kernel or its p2m list would not be in a guest's part of the address space, in one piece. */
static void test_bad_addresses_are_refused(void)
{
    static const uint64_t bad_starts[] = { 0xffff800000000000, 0xffff87ffffff8000,
                                           0x00007fffffff8000, 0x0000800000000000,
                                           0xffff7fffffff8000, 0xffffffffffff7000,
                                           0xffffffffffff8000, 0xffff7fffffff0000,
                                           0xfffffffffffff000, 0xffff880000000800 };

    for (unsigned int i = 0; i < ARRAY_SIZE(bad_starts); i++) {
        defaults();
        c.virt_base = bad_starts[i];
        CU_ASSERT_EQUAL(in_child(build), PANICKED);
        CU_ASSERT_PTR_NOT_NULL(strstr(panic_text, "address space"));
        defaults();
        c.p2m_va = bad_starts[i];
        CU_ASSERT_EQUAL(in_child(build), PANICKED);
        CU_ASSERT_PTR_NOT_NULL(strstr(panic_text, "dom0: p2m list of"));
    }
    defaults();
    c.virt_base = 0x7fffffd80000; /* the kernel fits, but not what comes behind it */
    CU_ASSERT_EQUAL(in_child(build), PANICKED);
    CU_ASSERT_PTR_NOT_NULL(strstr(panic_text, "dom0: kernel, tables and stack do not fit"));
    defaults();
    c.p2m_va = BASE + 0x200000;
    CU_ASSERT_EQUAL(in_child(build), PANICKED);
    CU_ASSERT_PTR_NOT_NULL(strstr(panic_text, "dom0: p2m list of"));
    c.p2m_va = BASE - PAGE_SIZE; /* reaches into it */
    CU_ASSERT_EQUAL(in_child(build), PANICKED);
    CU_ASSERT_PTR_NOT_NULL(strstr(panic_text, "dom0: p2m list of"));
    c.p2m_va = P2M_VA + 8;
    CU_ASSERT_EQUAL(in_child(build), PANICKED);
    CU_ASSERT_PTR_NOT_NULL(strstr(panic_text, "dom0: p2m list of"));
}

int main(void)
{
    unsigned int failed;

    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("builder", NULL, NULL);

    CU_ADD_TEST(s, test_every_kind_of_kernel_is_built);
    CU_ADD_TEST(s, test_the_same_beside_domain_0);
    CU_ADD_TEST(s, test_domains_beside_domain_0);
    CU_ADD_TEST(s, test_one_that_cannot_be_built_is_named_and_left_out);
    CU_ADD_TEST(s, test_the_screen_is_told_as_the_firmware_left_it);
    CU_ADD_TEST(s, test_sizes);
    CU_ADD_TEST(s, test_a_kernel_at_0_is_copied);
    CU_ADD_TEST(s, test_what_cannot_be_built_is_named);
    CU_ADD_TEST(s, test_bad_addresses_are_refused);
    CU_basic_set_mode(CU_BRM_NORMAL);
    CU_basic_run_tests();
    failed = CU_get_number_of_failures();
    CU_cleanup_registry();
    return failed != 0;
}
