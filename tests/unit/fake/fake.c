/* See fake.h. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake.h"
#include "grant/grant.h"
#include "lib/cmdline.h"
#include "domain/domain.h"
#include "emulate/emulate.h"
#include "lib/print.h"
#include "memory/heap.h"
#include "paging/paging.h"
#include "sched/time.h"
#include "x86/pte.h"

#define WEAK __attribute__((weak))
#define FAKE_MAX_CPUS 8

static struct pcpu cpus[FAKE_MAX_CPUS];
static unsigned int nr_cpus_online;
_Thread_local struct pcpu *fake_pcpu = &cpus[0];
_Thread_local bool fake_irqs_on;
void (*fake_relax)(void);
uint8_t *fake_ram;
struct page_info *fake_frame_table;
uint64_t *fake_m2p;
static uint64_t ram_frames;

uint64_t fake_now_ns, fake_timer_deadline, fake_kicked;
unsigned int fake_tlb_flushes, fake_tlb_page_flushes, fake_crashes, fake_unblocked;
unsigned int fake_virqs, fake_last_virq, fake_preempt_every;
uint64_t fake_continued_args[6];
char fake_printed[4096];
static unsigned int copy_fails_in, alloc_fails_in, preempt_calls;
static struct {
    uint8_t *p;
    size_t len;
    int rights;
} areas[16];
static unsigned int nr_areas;

void fake_reset(unsigned int nr_cpus)
{
    memset(cpus, 0, sizeof(cpus));
    for (unsigned int i = 0; i < FAKE_MAX_CPUS; i++)
        cpus[i].id = i;
    nr_cpus_online = nr_cpus;
    fake_pcpu = &cpus[0];
    fake_irqs_on = true;
    fake_relax = NULL;
    fake_now_ns = fake_timer_deadline = fake_kicked = 0;
    fake_tlb_flushes = fake_tlb_page_flushes = fake_crashes = fake_unblocked = 0;
    fake_virqs = fake_last_virq = fake_preempt_every = preempt_calls = 0;
    copy_fails_in = alloc_fails_in = nr_areas = 0;
    fake_printed[0] = 0;
}

WEAK uint64_t max_mfn;
WEAK bool frame_group_valid[DIRECTMAP_BYTES >> (PAGE_SHIFT + FRAME_GROUP_SHIFT)];

void fake_ram_create(uint64_t nr_frames)
{
    free(fake_ram);
    free(fake_frame_table);
    free(fake_m2p);
    fake_ram = aligned_alloc(PAGE_SIZE, nr_frames * PAGE_SIZE);
    fake_frame_table = calloc(nr_frames, sizeof(struct page_info));
    fake_m2p = malloc(nr_frames * sizeof(uint64_t));
    memset(fake_ram, 0, nr_frames * PAGE_SIZE);
    memset(fake_m2p, 0xff, nr_frames * sizeof(uint64_t));
    ram_frames = max_mfn = nr_frames;
    memset(frame_group_valid, true, sizeof(frame_group_valid));
    for (uint64_t i = 0; i < nr_frames; i++)
        fake_frame_table[i].count_info = PGC_RAM | PGC_HV;
}

void fake_cpu(unsigned int id) { fake_pcpu = &cpus[id]; }

extern struct domain *domain_by_id[DOMID_FIRST_RESERVED] __attribute__((weak)); /* memory/frame.c */

struct domain *fake_domain(domid_t id, unsigned int nr_vcpus)
{
    struct domain *d = calloc(1, sizeof(*d));

    d->domain_id = id;
    d->page_key = page_key(id);
    if (domain_by_id && id < DOMID_FIRST_RESERVED)
        domain_by_id[id] = d;
    d->max_vcpus = nr_vcpus;
    d->refs = 1;
    d->max_pages = ~0ULL;
    d->lock = SPINLOCK_INIT(L_DOMAIN);
    d->page_lock = SPINLOCK_INIT(L_HEAP);
    d->mmu_lock = SPINLOCK_INIT(L_PAGE);
    d->event_lock = SPINLOCK_INIT(L_EVENT);
    d->shared_info = aligned_alloc(PAGE_SIZE, PAGE_SIZE);
    memset(d->shared_info, 0, PAGE_SIZE);
    d->shared_info_mfn = INVALID_MFN;
    for (unsigned int i = 0; i < nr_vcpus; i++) {
        struct vcpu *v = aligned_alloc(64, ROUND_UP(sizeof(*v), 64UL));

        memset(v, 0, sizeof(*v));
        v->domain = d;
        v->vcpu_id = i;
        v->info = (vcpu_info_t *)&d->shared_info->vcpu_info[i];
        v->info_mfn = INVALID_MFN;
        v->arch.kernel_mode = true;
        memset(v->arch.gdt_frames, 0xff, sizeof(v->arch.gdt_frames)); /* INVALID_MFN */
        memset(v->arch.ldt_frames, 0xff, sizeof(v->arch.ldt_frames));
        d->vcpu[i] = v;
    }
    return d;
}

void fake_domain_free(struct domain *d)
{
    for (unsigned int i = 0; i < d->max_vcpus; i++)
        free(d->vcpu[i]);
    free(d->shared_info);
    free(d);
}

void fake_current(struct vcpu *v) { fake_pcpu->running = v; }
unsigned int fake_refs(const struct domain *d) { return d->refs; }
unsigned int fake_locks_held(void) { return fake_pcpu->locks_held; }

void fake_guest_map(void *p, size_t len, int rights)
{
    if (nr_areas == ARRAY_SIZE(areas))
        abort();
    areas[nr_areas].p = p;
    areas[nr_areas].len = len;
    areas[nr_areas++].rights = rights;
}
void fake_guest_unmap_all(void) { nr_areas = 0; }
void fake_fail_copy(unsigned int n) { copy_fails_in = n; }
void fake_fail_alloc(unsigned int n) { alloc_fails_in = n; }

static bool copy_allowed(uint64_t va, size_t len, int rights)
{
    if (copy_fails_in && --copy_fails_in == 0)
        return false;
    for (unsigned int i = 0; i < nr_areas; i++) {
        uint64_t s = (uint64_t)(uintptr_t)areas[i].p;

        if (va >= s && len <= areas[i].len && va - s <= areas[i].len - len &&
            (areas[i].rights & rights) == rights)
            return true;
    }
    return false;
}

WEAK size_t arch_copy_from_guest(void *dst, uint64_t va, size_t len)
{
    if (fake_pcpu->locks_held)
        abort(); /* a guest copy under a spinlock */
    if (!copy_allowed(va, len, FAKE_READ_ONLY))
        return len;
    memcpy(dst, (void *)(uintptr_t)va, len);
    return 0;
}
WEAK size_t arch_copy_to_guest(uint64_t va, const void *src, size_t len)
{
    if (fake_pcpu->locks_held)
        abort();
    if (!copy_allowed(va, len, FAKE_READ_WRITE))
        return len;
    memcpy((void *)(uintptr_t)va, src, len);
    return 0;
}

WEAK bool arch_l1tf_affected;
WEAK bool arch_null_clears_base;
WEAK unsigned int arch_paddr_bits = 40;
WEAK _Atomic uint64_t arch_tlb_clock;
WEAK uint64_t arch_xcr0_mask;
WEAK struct pcpu *arch_pcpu(uint32_t id) { return &cpus[id]; }
WEAK void arch_cache_flush(const void *p, size_t len)
{
    (void)p;
    (void)len;
}
WEAK struct options options;
WEAK void arch_stop_other_cpus(void) {}
WEAK void console_force(void) {}
WEAK void arch_cache_writeback(uint64_t cpus) { (void)cpus; }
WEAK void arch_flush_tlb_local(void)
{
    fake_tlb_flushes++;
    fake_pcpu->tlb_flush_time = ++arch_tlb_clock;
}
WEAK void arch_flush_tlb_page_local(uint64_t va)
{
    (void)va;
    fake_tlb_page_flushes++;
}
WEAK void arch_flush_tlb_mask(uint64_t mask)
{
    fake_tlb_flushes++;
    arch_tlb_clock++;
    for (unsigned int i = 0; i < FAKE_MAX_CPUS; i++)
        if (mask >> i & 1)
            cpus[i].tlb_flush_time = arch_tlb_clock;
}
WEAK void arch_flush_tlb_page_mask(uint64_t mask, uint64_t va)
{
    (void)mask;
    (void)va;
    fake_tlb_page_flushes++;
}
WEAK void arch_l4_init_hv_slots(pte_t *l4)
{
    for (unsigned int i = HV_FIRST_SLOT; i <= HV_LAST_SLOT; i++)
        l4[i] = 0x8000000000000001ULL | (uint64_t)i << 12;
}
WEAK uint64_t arch_vcpu_root(const struct vcpu *v)
{
    return v->arch.kernel_mode ? v->arch.cr3_kernel : v->arch.cr3_user;
}
WEAK void arch_vcpu_roots_changed(struct vcpu *v)
{
    (void)v;
    arch_flush_tlb_local();
}
static struct cpu_user_regs fake_regs[FAKE_MAX_CPUS];
WEAK struct cpu_user_regs *arch_guest_regs(void) { return &fake_regs[fake_pcpu->id]; }
WEAK int arch_vcpu_create(struct vcpu *v)
{
    memset(v->arch.gdt_frames, 0xff, sizeof(v->arch.gdt_frames)); /* INVALID_MFN */
    memset(v->arch.ldt_frames, 0xff, sizeof(v->arch.ldt_frames));
    return 0;
}
WEAK void arch_vcpu_destroy(struct vcpu *v) { (void)v; }
WEAK void arch_context_switch(struct vcpu *prev, struct vcpu *next)
{
    prev->running = false;
    next->running = true;
    fake_pcpu->running = next;
}
WEAK void arch_vcpu_gdt_changed(struct vcpu *v) { (void)v; }
WEAK void arch_vcpu_ldt_changed(struct vcpu *v) { (void)v; }
WEAK void arch_vcpu_set_base(struct vcpu *v, uint64_t *base, uint64_t value)
{
    (void)v;
    *base = value;
}
WEAK void arch_vcpu_debugregs_changed(struct vcpu *v) { (void)v; }
WEAK void arch_vcpu_crs_changed(struct vcpu *v) { (void)v; }
WEAK void arch_vcpu_set_xcr0(struct vcpu *v, uint64_t x) { v->arch.xcr0 = x; }
WEAK void arch_inject_exception(struct vcpu *v, unsigned int n, uint32_t ec)
{
    (void)v;
    (void)n;
    (void)ec;
}
WEAK void arch_inject_page_fault(struct vcpu *v, uint64_t cr2, uint32_t ec)
{
    (void)v;
    (void)cr2;
    (void)ec;
}
WEAK long hypercall_continue(unsigned int nr_args, const uint64_t *args)
{
    memcpy(fake_continued_args, args, nr_args * sizeof(*args));
    return -85; /* -ERESTART */
}
WEAK bool hypercall_preempt_check(void)
{
    return fake_preempt_every && ++preempt_calls % fake_preempt_every == 0;
}

WEAK uint64_t arch_time_ns(void) { return fake_now_ns; }
WEAK uint64_t arch_tsc(void) { return fake_now_ns; }
WEAK uint64_t arch_tsc_khz(void) { return 1000000; }
WEAK struct tsc_scale arch_tsc_scale = { 0, 0x80000000u, 1 };
WEAK bool arch_tsc_reliable;
WEAK noreturn void exit_to_guest(void) { abort(); }
WEAK uint64_t arch_boot_wallclock_s(void) { return 1700000000; }
WEAK void arch_timer_program(uint64_t t) { fake_timer_deadline = t; }
WEAK void arch_cpu_kick(uint32_t id) { fake_kicked |= 1ULL << id; }
WEAK uint32_t arch_cpu_apic_id(uint32_t id) { return FAKE_APIC_ID(id); }
WEAK void arch_start_cpus(void (*init)(struct pcpu *c))
{
    for (unsigned int i = 1; i < nr_cpus_online; i++)
        init(&cpus[i]);
}
WEAK void arch_watchdog_start(void) {}
WEAK volatile void *arch_map_mmio(uint64_t maddr, size_t bytes)
{
    (void)maddr;
    (void)bytes;
    return NULL;
}
WEAK void arch_idle(void) {}
WEAK uint64_t arch_cpus_online(void)
{
    return nr_cpus_online >= 64 ? ~0ULL : (1ULL << nr_cpus_online) - 1;
}

/* ---- folders that a test may leave out ---- */
WEAK void print(enum log_level level, const char *fmt, ...)
{
    size_t have = strlen(fake_printed);
    va_list ap;

    (void)level;
    if (have > sizeof(fake_printed) / 2)
        have = 0;
    va_start(ap, fmt);
    vsnprintf(fake_printed + have, sizeof(fake_printed) - have, fmt, ap);
    va_end(ap);
}
WEAK noreturn void panic(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    abort();
}
WEAK noreturn void bug_at(const char *file, int line, const char *what)
{
    fprintf(stderr, "BUG at %s:%d: %s\n", file, line, what);
    abort();
}
WEAK noreturn void reboot_or_halt(void) { abort(); }
WEAK void domain_crash(struct domain *d, const char *fmt, ...)
{
    (void)d;
    (void)fmt;
    fake_crashes++;
}
WEAK struct domain *domain_list;
WEAK struct spinlock domain_list_lock = SPINLOCK_INIT(L_DOMLIST);
WEAK struct domain *hardware_domain;
WEAK struct domain *domain_get_by_id(struct domain *caller, domid_t id)
{
    if (id == DOMID_SELF || id == caller->domain_id) {
        domain_get(caller);
        return caller;
    }
    for (struct domain *d = domain_list; d; d = d->next)
        if (d->domain_id == id) {
            domain_get(d);
            return d;
        }
    return NULL;
}
WEAK int policy_check(const struct domain *caller, const struct domain *target, enum right what)
{
    (void)what;
    return caller == target || caller->is_privileged ? 0 : -EPERM;
}
WEAK int domain_get_for(struct domain *caller, domid_t id, enum right what, struct domain **out)
{
    int rc = -ESRCH;

    *out = domain_get_by_id(caller, id);
    if (*out && (rc = policy_check(caller, *out, what)) != 0) {
        domain_put(*out);
        *out = NULL;
    }
    return rc;
}
WEAK void domain_put(struct domain *d) { atomic_fetch_sub(&d->refs, 1); }
WEAK void vcpu_unblock(struct vcpu *v)
{
    fake_unblocked++;
    atomic_fetch_and(&v->pause_flags, ~(VPF_BLOCKED | VPF_POLL));
}
WEAK void virq_send_vcpu(struct vcpu *v, uint32_t virq)
{
    (void)v;
    fake_virqs++;
    fake_last_virq = virq;
}
WEAK void virq_send_global(struct domain *d, uint32_t virq)
{
    (void)d;
    fake_virqs++;
    fake_last_virq = virq;
}

WEAK const char *symbol_lookup(uint64_t addr, uint64_t *offset)
{
    (void)addr;
    (void)offset;
    return NULL;
}

static bool alloc_fails(void) { return alloc_fails_in && --alloc_fails_in == 0; }
WEAK void *xmalloc(size_t bytes) { return alloc_fails() ? NULL : calloc(1, bytes); }
WEAK void xfree(void *p) { free(p); }
WEAK void *xmalloc_pages(size_t bytes) { return alloc_fails() ? NULL : calloc(1, bytes); }
WEAK void xfree_pages(void *p, size_t bytes)
{
    (void)bytes;
    free(p);
}
WEAK void *alloc_page(void)
{
    void *p = alloc_fails() ? NULL : aligned_alloc(PAGE_SIZE, PAGE_SIZE);

    if (p)
        memset(p, 0, PAGE_SIZE);
    return p;
}
WEAK void free_page(void *p) { free(p); }
WEAK void arch_inject_soft_interrupt(struct vcpu *v, unsigned int n)
{
    (void)v;
    (void)n;
}
WEAK void arch_vcpu_save_bases(struct vcpu *v) { (void)v; }
WEAK void arch_vcpu_load_gs_user(struct vcpu *v, uint16_t sel)
{
    (void)v;
    (void)sel;
}
WEAK void arch_vcpu_unload(struct vcpu *v) { (void)v; }
WEAK int grant_domain_create(struct domain *d, int32_t grant_frames, int32_t maptrack_frames)
{
    d->max_grant_frames = (uint32_t)grant_frames;
    d->max_maptrack_frames = (uint32_t)maptrack_frames;
    return 0;
}
WEAK int grant_domain_relinquish(struct domain *d)
{
    (void)d;
    return 0;
}
WEAK void grant_domain_destroy(struct domain *d) { (void)d; }
WEAK unsigned int grant_audit(void) { return 0; }
WEAK void grant_print(struct domain *d) {}

/* of emulate/, domain/, paging/ and x86/, for domctl on vCPUs */
WEAK int guest_debugreg(unsigned int n, uint64_t *value)
{
    (void)n;
    (void)value;
    return 0;
}
WEAK int guest_set_debugreg(struct vcpu *v, unsigned int n, uint64_t value)
{
    v->arch.dr[n] = value;
    return 0;
}
WEAK int desc_update(struct domain *d, uint64_t maddr, uint64_t desc)
{
    (void)d;
    (void)maddr;
    (void)desc;
    return 0;
}
WEAK uint64_t guest_cr4_bits(const struct domain *d)
{
    (void)d;
    return 0;
}
WEAK bool guest_xcr0_ok(const struct domain *d, uint64_t x)
{
    (void)d;
    return x == 1;
}
WEAK uint32_t xstate_bytes(uint64_t xcr0)
{
    (void)xcr0;
    return 576;
}
WEAK void guest_cpuid(const struct vcpu *v, uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
    (void)v;
    (void)leaf;
    (void)subleaf;
    memset(out, 0, 4 * sizeof(*out));
}
WEAK const struct cpu_policy *cpu_policy_of(const struct domain *d)
{
    static const struct cpu_policy none;

    (void)d;
    return &none;
}
WEAK bool cpu_policy_row(const struct cpu_policy *p, unsigned int i, struct policy_row *out)
{
    (void)p;
    (void)i;
    memset(out, 0, sizeof(*out));
    return false;
}
WEAK int cpu_policy_check(struct cpu_policy *p, unsigned int *bad_row)
{
    (void)p;
    (void)bad_row;
    return 0;
}
WEAK int domain_set_tsc(struct domain *d, const struct xen_domctl_tsc_info *info)
{
    (void)d;
    (void)info;
    return 0;
}
WEAK void domain_get_tsc(const struct domain *d, struct xen_domctl_tsc_info *info)
{
    (void)d;
    memset(info, 0, sizeof(*info));
}
WEAK int arch_rdmsr_safe(uint32_t msr, uint64_t *value)
{
    (void)msr;
    *value = 0;
    return 0;
}
WEAK void arch_vcpu_get_context(const struct vcpu *v, struct vcpu_guest_context *c)
{
    (void)v;
    (void)c;
}
WEAK void arch_vcpu_set_fpu(struct vcpu *v, const void *from, size_t bytes)
{
    (void)v;
    (void)from;
    (void)bytes;
}
WEAK void domain_pause(struct domain *d) { d->pause_count++; }
WEAK void domain_unpause(struct domain *d) { d->pause_count--; }
WEAK void vcpu_drop_roots(struct vcpu *v) { v->arch.cr3_kernel = v->arch.cr3_user = 0; }
WEAK bool grant_is_mapped(const struct domain *d)
{
    (void)d;
    return false;
}
