/*
 * Domctl on vCPUs, and VCPUOP_initialise's context: what a toolstack sets is there or refused with
 * nothing changed, and what it gets can be set again. Domains, frames and page tables are the real ones.
 */
#include <CUnit/Basic.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "fake.h"

#include <xen/arch-x86/cpufeatureset.h>
#include <xen/sched.h>

#include "console/console.h"
#include "domain/domain.h"
#include "emulate/emulate.h"
#include "event/evtchn.h"
#include "hypercall/domctl.h"
#include "irq/irq.h"
#include "lib/cmdline.h"
#include "lib/errno.h"
#include "memory/heap.h"
#include "paging/paging.h"
#include "sched/sched.h"
#include "sched/time.h"
#include "sched/timer.h"
#include "x86/cpu.h"

#define RAM_FRAMES 4096u
#define VA 0x10000000000ULL
#define W (PTE_P | PTE_RW | PTE_US | PTE_A | PTE_D)
#define XSTATE_BYTES (576 + 256) /* with AVX */

struct cpu_features cpu_features = { .fpu_bytes = XSTATE_BYTES, .xsave = true };

/* ---- folders that only count ---- */
void sched_vcpu_init(struct vcpu *v) {}
void sched_vcpu_destroy(struct vcpu *v) {}
int evtchn_domain_create(struct domain *d) { return 0; }
void evtchn_domain_destroy(struct domain *d) {}
int evtchn_domain_relinquish(struct domain *d) { return 0; }
void vcpu_pause_set(struct vcpu *v, uint32_t f) { atomic_fetch_or(&v->pause_flags, f); }
void vcpu_pause_sync(struct vcpu *v, uint32_t f) { vcpu_pause_set(v, f); }
void vcpu_pause_clear(struct vcpu *v, uint32_t f) { atomic_fetch_and(&v->pause_flags, ~f); }
void vcpu_runstate_get(struct vcpu *v, struct vcpu_runstate_info *out) { *out = v->runstate; }
mfn_t vcpu_info_release(struct vcpu *v) { return INVALID_MFN; }
long vcpu_send_nmi(struct vcpu *v) { return 0; }
void sched_set_params(struct vcpu *v, uint16_t weight, uint32_t cap) {}
int sched_set_affinity(struct vcpu *v, uint64_t hard, uint64_t soft) { return 0; }
void timer_set(struct timer *t, uint64_t when) {}
void timer_kill(struct timer *t) {}
void console_drain(void) {}
void domain_audit(void) {}
void arch_print_regs(const struct cpu_user_regs *regs) {}
noreturn void arch_reboot(void) { abort(); }
noreturn void arch_halt_forever(void) { abort(); }
bool pci_conf_port(struct domain *d, uint16_t p, unsigned int n, bool w, uint32_t *x)
{
    return false;
}
uint32_t arch_port_in(uint16_t port, unsigned int bytes) { return ~0u; }
void arch_port_out(uint16_t port, unsigned int bytes, uint32_t value) {}
int arch_rdmsr_safe(uint32_t msr, uint64_t *value) { return -EFAULT; }
void arch_set_tsc_aux(uint64_t value) {}

/* A CPU with AVX and RDTSCP. */
void arch_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
    memset(out, 0, 16);
    if (leaf == 0)
        out[0] = 0xd;
    else if (leaf == 1)
        out[2] = ~0u;
    else if (leaf == 0xd && subleaf == 0)
        out[0] = 7, out[1] = out[2] = XSTATE_BYTES;
    else if (leaf == 0xd && subleaf == 2)
        out[0] = 256, out[1] = 576;
    else if (leaf == 0x80000000)
        out[0] = 0x80000008;
    else if (leaf == 0x80000001)
        out[3] = 1u << 27;
}

/* As x86/vcpu.c does it. */
static unsigned int nr_unloaded;
void arch_vcpu_unload(struct vcpu *v)
{
    CU_ASSERT_EQUAL(fake_locks_held(), 0);
    CU_ASSERT_TRUE(v->domain->pause_count > 0);
    nr_unloaded++;
}
int arch_vcpu_create(struct vcpu *v)
{
    v->arch.traps = alloc_page();
    v->arch.fpu = xmalloc(cpu_features.fpu_bytes);
    v->arch.kernel_mode = true;
    v->arch.dr[6] = 0xffff0ff0;
    v->arch.dr[7] = 0x400;
    v->arch.xcr0 = 1;
    v->arch.cr0 = 0x80050033;
    v->arch.cr4 = 0x6a0;
    memset(v->arch.gdt_frames, 0xff, sizeof(v->arch.gdt_frames));
    memset(v->arch.ldt_frames, 0xff, sizeof(v->arch.ldt_frames));
    arch_vcpu_set_fpu(v, NULL, 0);
    return 0;
}
void arch_vcpu_destroy(struct vcpu *v)
{
    free_page(v->arch.traps);
    xfree(v->arch.fpu);
}

/* ---- fixture ---- */

static struct domain *dom0, *d;
static struct vcpu *v;
static struct vcpu_guest_context c, got;
static struct xen_domctl op;
static uint64_t free_at_start;
static uint64_t l4, user_l4, gdt, ldt, l1;

static uint64_t page(void)
{
    mfn_t m = _mfn(0);

    CU_ASSERT_EQUAL_FATAL(domain_alloc_pages(d, 0, 0, &m), 0);
    return mfn_x(m);
}
static pte_t *table(uint64_t mfn) { return mfn_to_virt(_mfn(mfn)); }

/* A context as libxenguest and as a suspended Linux have it, with all that names frames. */
static void make_context(void)
{
    uint64_t l2 = page(), l3 = page();

    l1 = page(), l4 = page(), user_l4 = page(), gdt = page(), ldt = page();
    table(l4)[pt_index(VA, 4)] = pte_make(l3, W);
    table(l3)[pt_index(VA, 3)] = pte_make(l2, W);
    table(l2)[pt_index(VA, 2)] = pte_make(l1, W);
    table(l1)[pt_index(VA, 1)] = pte_make(ldt, PTE_P | PTE_US | PTE_A);
    memset(&c, 0, sizeof(c));
    c.flags = VGCF_in_kernel | VGCF_online | VGCF_I387_VALID | VGCF_syscall_disables_events;
    c.fpu_ctxt.x[0] = 0x7f;
    c.fpu_ctxt.x[1] = 2;    /* FCW */
    c.fpu_ctxt.x[160] = 77; /* XMM0 */
    c.user_regs.rip = 0xffffffff81000000;
    c.user_regs.rsp = 0xffffffff82000000;
    c.user_regs.rdx = 0x1234;
    c.user_regs.rflags = 0x1202; /* IOPL 1 */
    c.user_regs.cs = FLAT_KERNEL_CS;
    c.user_regs.ss = c.kernel_ss = FLAT_KERNEL_SS;
    c.kernel_sp = 0xffffffff82001000;
    c.trap_ctxt[14] = (struct trap_info){ 14, 4, FLAT_KERNEL_CS, 0xffffffff81000100 };
    c.trap_ctxt[128] = (struct trap_info){ 128, 3, FLAT_KERNEL_CS, 0xffffffff81000200 };
    c.gdt_frames[0] = gdt;
    c.gdt_ents = 512;
    c.ldt_base = VA;
    c.ldt_ents = 16;
    c.ctrlreg[0] = 0x8005003b; /* TS */
    c.ctrlreg[1] = user_l4 << PAGE_SHIFT;
    c.ctrlreg[2] = 0xdead;
    c.ctrlreg[3] = l4 << PAGE_SHIFT;
    c.ctrlreg[4] = 0x6a0 | CR4_OSXSAVE | 1 << 20; /* and SMEP, which is not its to set */
    c.debugreg[0] = 0x401000;
    c.debugreg[7] = 0x401;
    c.event_callback_eip = 0xffffffff81000300;
    c.failsafe_callback_eip = 0xffffffff81000400;
    c.syscall_callback_eip = 0xffffffff81000500;
    c.vm_assist = 1ULL << VMASST_TYPE_runstate_update_flag;
    c.fs_base = 0x7f0000000000;
    c.gs_base_kernel = 0xffff888000000000;
    c.gs_base_user = 3;
}

static void setup(void)
{
    fake_reset(1);
    if (fake_ram == NULL) {
        fake_ram_create(RAM_FRAMES);
        heap_add_ram(0, RAM_FRAMES * PAGE_SIZE);
        heap_free_range(PAGE_SIZE, RAM_FRAMES * PAGE_SIZE);
    }
    arch_xcr0_mask = 7;
    cpuid_policy_init();
    free_at_start = heap_free_pages();
    dom0 = fake_domain(0, 1);
    fake_current(dom0->vcpu[0]);
    dom0->roles = ROLES_ALL;
    domain_list = dom0;
    CU_ASSERT_EQUAL_FATAL(domain_create(1, &(struct xen_domctl_createdomain){ .max_vcpus = 2 }, &d),
                          0);
    d->max_pages = 100;
    CU_ASSERT_EQUAL_FATAL(vcpu_create(d, 0), 0);
    CU_ASSERT_EQUAL_FATAL(vcpu_create(d, 1), 0);
    v = d->vcpu[0];
    make_context();
    fake_guest_map(&op, sizeof(op), FAKE_READ_WRITE);
    fake_guest_map(&c, sizeof(c), FAKE_READ_ONLY);
    fake_guest_map(&got, sizeof(got), FAKE_READ_WRITE);
    nr_unloaded = 0;
}

static void teardown(void)
{
    long rc;

    CU_ASSERT_EQUAL(fake_locks_held(), 0);
    CU_ASSERT_EQUAL(paging_audit(), 0);
    CU_ASSERT_EQUAL(d->pause_count, 1);
    do
        rc = domain_kill(d);
    while (rc == -ERESTART);
    CU_ASSERT_EQUAL(rc, 0);
    CU_ASSERT_PTR_NULL(domain_get_by_id(dom0, 1));
    CU_ASSERT_EQUAL(heap_audit(), 0);
    CU_ASSERT_EQUAL(heap_free_pages(), free_at_start);
    domain_list = NULL;
    fake_domain_free(dom0);
    fake_current(NULL);
}

/* What dom0 is answered when it asks for this of a domain. */
static long call(struct domain *whose, uint32_t cmd)
{
    op.cmd = cmd;
    op.interface_version = XEN_DOMCTL_INTERFACE_VERSION;
    op.domain = whose->domain_id;
    return hc_domctl((uint64_t)(uintptr_t)&op, 0, 0, 0, 0);
}

static void op_on(uint32_t id, void *ctxt)
{
    memset(&op, 0, sizeof(op));
    op.u.vcpucontext.vcpu = id;
    set_xen_guest_handle(op.u.vcpucontext.ctxt, ctxt);
}
static long set(void)
{
    long rc;

    op_on(0, &c);
    do
        rc = call(d, XEN_DOMCTL_setvcpucontext);
    while (rc == -ERESTART);
    return rc;
}
static long get(void)
{
    op_on(0, &got);
    return call(d, XEN_DOMCTL_getvcpucontext);
}

/* ---- contexts ---- */

static void test_a_context_comes_back_as_it_was_set(void)
{
    setup();
    CU_ASSERT_EQUAL(get(), -ENODATA);
    CU_ASSERT_EQUAL(set(), 0);
    CU_ASSERT_EQUAL(nr_unloaded, 2);
    CU_ASSERT_TRUE(v->is_initialised && !(v->pause_flags & VPF_DOWN));
    CU_ASSERT_EQUAL(v->arch.cr3_kernel, l4 << PAGE_SHIFT);
    CU_ASSERT_EQUAL(v->arch.iopl, 1);
    CU_ASSERT_EQUAL(v->arch.regs.rflags >> 12 & 3, 0); /* the real one is none of its business */
    CU_ASSERT_EQUAL(d->vm_assist, c.vm_assist);
    CU_ASSERT_EQUAL(get(), 0);
    CU_ASSERT_EQUAL(got.ctrlreg[4], 0x6a0 | CR4_OSXSAVE);
    c.ctrlreg[4] = got.ctrlreg[4];
    CU_ASSERT_EQUAL(got.debugreg[6], 0xffff0ff0);
    c.debugreg[6] = got.debugreg[6];
    CU_ASSERT_EQUAL(got.user_regs.cs, FLAT_KERNEL_CS);
    for (unsigned int i = 0; i < 256; i++) {
        CU_ASSERT_EQUAL(got.trap_ctxt[i].vector, i);
        c.trap_ctxt[i].vector = (uint8_t)i;
    }
    CU_ASSERT_EQUAL(memcmp(&got, &c, sizeof(c)), 0);
    CU_ASSERT_EQUAL(set(), 0); /* what resumes a domain that was not saved after all */
    teardown();
}

static void test_a_vcpu_in_user_mode(void)
{
    setup();
    c.flags = VGCF_I387_VALID;
    CU_ASSERT_EQUAL(set(), 0);
    CU_ASSERT_FALSE(v->arch.kernel_mode);
    CU_ASSERT_TRUE(v->pause_flags & VPF_DOWN);
    CU_ASSERT_EQUAL(arch_vcpu_root(v), user_l4 << PAGE_SHIFT);
    CU_ASSERT_EQUAL(get(), 0);
    CU_ASSERT_EQUAL(got.flags, VGCF_I387_VALID);
    teardown();
    setup();
    c.flags = 0;
    c.ctrlreg[1] = 0; /* without a root for it */
    CU_ASSERT_EQUAL(set(), -EINVAL);
    CU_ASSERT_FALSE(v->is_initialised);
    CU_ASSERT_EQUAL(v->arch.cr3_kernel, 0);
    teardown();
}

/* The n-th way to be refused; false: there are no more. */
static bool spoil(unsigned int n, long *rc)
{
    *rc = -EINVAL;
    switch (n) {
    case 0: c.gdt_ents = MAX_GDT_ENTRIES + 1; break;
    case 1: c.gdt_ents = 1ULL << 32; break;
    case 2: c.gdt_frames[0] = RAM_FRAMES + 5; break;
    case 3: c.gdt_frames[0] = l4; break; /* two types at once */
    case 4: c.ldt_ents = 8193; break;
    case 5: c.ldt_base = HV_VIRT_START; break;
    case 6: c.ldt_base = VA + 8; break;
    case 7: c.ctrlreg[3] = 0; break;
    case 8: c.ctrlreg[3] = gdt << PAGE_SHIFT; break;
    case 9: c.ctrlreg[3] = 1 << PAGE_SHIFT; break; /* nobody's */
    case 10: c.ctrlreg[1] = ~0ULL; break;
    case 11: c.ctrlreg[1] = gdt << PAGE_SHIFT; break;
    case 12: c.fs_base = 1ULL << 47; break;
    case 13: c.gs_base_kernel = 1ULL << 63; break;
    case 14: c.gs_base_user = 1ULL << 47; break;
    case 15: c.event_callback_eip = 1ULL << 47; break;
    case 16: c.failsafe_callback_eip = 1ULL << 47; break;
    case 17: c.syscall_callback_eip = 1ULL << 47; break;
    case 18: c.trap_ctxt[255].address = 1ULL << 47; break;
    case 19: c.ldt_ents = 8193; break;
    case 20: c.debugreg[6] = 1ULL << 32; break;
    case 21:
        c.debugreg[0] = HV_VIRT_START;
        *rc = -EPERM;
        break;
    case 22:
        c.debugreg[7] = 1 << 13;
        *rc = -EPERM;
        break; /* GD */
    case 23:
        c.debugreg[7] = 0x00020001;
        *rc = -EPERM;
        break; /* I/O */
    case 24:
        c.debugreg[3] = 0xffff800000000000;
        *rc = -EPERM;
        break;
    default: return false;
    }
    return true;
}

static void test_a_refused_context_changes_nothing(void)
{
    struct arch_vcpu before;
    struct guest_trap traps[256];
    uint8_t fpu[XSTATE_BYTES];
    long want = 0;

    for (unsigned int n = 0; spoil(n, &want); n++) {
        setup();
        before = v->arch;
        memcpy(traps, v->arch.traps, sizeof(traps));
        memcpy(fpu, v->arch.fpu, sizeof(fpu));
        spoil(n, &want);
        if (set() != want)
            printf("case %u: %ld, not %ld\n", n, set(), want);
        CU_ASSERT_EQUAL(set(), want);
        CU_ASSERT_EQUAL(memcmp(&before, &v->arch, sizeof(before)), 0);
        CU_ASSERT_EQUAL(memcmp(traps, v->arch.traps, sizeof(traps)), 0);
        CU_ASSERT_EQUAL(memcmp(fpu, v->arch.fpu, sizeof(fpu)), 0);
        CU_ASSERT_TRUE(!v->is_initialised && (v->pause_flags & VPF_DOWN) && d->vm_assist == 0);
        CU_ASSERT_FALSE(frame_table[l4].type_info & PGT_VALID);
        CU_ASSERT_FALSE(frame_table[user_l4].type_info & PGT_VALID);
        CU_ASSERT_FALSE(frame_table[gdt].type_info & PGT_VALID);
        teardown();
    }
}

/* Whatever is accepted is harmless: nothing of ring 0, of our memory or of the machine's flags. */
static void test_random_contexts(void)
{
    unsigned int accepted = 0, refused = 0;

    srandom(7);
    for (unsigned int n = 0; n < 3000; n++) {
        const struct arch_vcpu *a = NULL;

        setup();
        a = &v->arch;
        for (unsigned int k = (unsigned int)random() % 8 + 1; k; k--) {
            size_t at = k % 2 ? (size_t)random() % sizeof(c) /* most of it: FPU and traps */
                              : offsetof(struct vcpu_guest_context, ldt_base) +
                                    (size_t)random() %
                                        (sizeof(c) - offsetof(struct vcpu_guest_context, ldt_base));

            ((uint8_t *)&c)[at] ^= (uint8_t)(1u << random() % 8);
        }
        if (set()) {
            refused++;
            CU_ASSERT_TRUE(!v->is_initialised && a->cr3_kernel == 0 && a->nr_gdt_ents == 0);
        } else {
            accepted++;
            CU_ASSERT_TRUE((a->regs.cs & 3) == 3 && (a->regs.ss & 3) == 3);
            CU_ASSERT_EQUAL(a->regs.rflags & ~0x254dd5ULL, 0x202);
            CU_ASSERT_EQUAL(a->cr4 & ~(0x6a0ULL | CR4_TSD | CR4_DE | CR4_OSXSAVE), 0);
            CU_ASSERT_EQUAL(a->dr[7] & (1 << 13 | 0xffffffffULL << 32), 0);
            for (unsigned int i = 0; i < 4; i++)
                CU_ASSERT_FALSE(a->dr[i] - HV_VIRT_START < HV_VIRT_END - HV_VIRT_START);
            for (unsigned int i = 0; i < 256; i++)
                CU_ASSERT_TRUE(va_is_canonical(a->traps[i].address) && a->traps[i].flags < 8 &&
                               (a->traps[i].cs < 4 || (a->traps[i].cs & 3) == 3));
            CU_ASSERT_EQUAL(get(), 0);
        }
        teardown();
    }
    CU_ASSERT_TRUE(accepted > 100 && refused > 100);
}

static void test_of_a_vcpu_with_a_context_frames_stay(void)
{
    struct arch_vcpu before;
    long want = 0;

    for (unsigned int n = 0; spoil(n, &want); n++) {
        setup();
        CU_ASSERT_EQUAL(set(), 0);
        before = v->arch;
        spoil(n, &want);
        CU_ASSERT_NOT_EQUAL(set(), 0);
        CU_ASSERT_EQUAL(memcmp(&before, &v->arch, sizeof(before)), 0);
        CU_ASSERT_FALSE(v->pause_flags & VPF_DOWN);
        teardown();
    }
    setup();
    CU_ASSERT_EQUAL(set(), 0);
    c.ctrlreg[1] = 0;
    CU_ASSERT_EQUAL(set(), -EOPNOTSUPP);
    c.ctrlreg[1] = user_l4 << PAGE_SHIFT;
    c.gdt_ents = 0;
    CU_ASSERT_EQUAL(set(), -EOPNOTSUPP);
    c.gdt_ents = 512;
    c.ldt_base += PAGE_SIZE;
    CU_ASSERT_EQUAL(set(), -EOPNOTSUPP);
    c.ldt_base -= PAGE_SIZE;
    c.flags &= ~(unsigned long)VGCF_online;
    c.user_regs.rax = 1;
    c.vm_assist = 0;
    CU_ASSERT_EQUAL(set(), 0);
    CU_ASSERT_TRUE(v->pause_flags & VPF_DOWN);
    CU_ASSERT_EQUAL(v->arch.regs.rax, 1);
    CU_ASSERT_NOT_EQUAL(d->vm_assist, 0); /* was set with the first */
    teardown();
}

static void test_a_preempted_context_goes_on(void)
{
    unsigned int restarts = 0;
    long rc;

    setup();
    fake_preempt_every = 1;
    op_on(0, &c);
    while ((rc = call(d, XEN_DOMCTL_setvcpucontext)) == -ERESTART && restarts < 10000) {
        CU_ASSERT_FALSE(v->is_initialised);
        restarts++;
    }
    CU_ASSERT_EQUAL(rc, 0);
    CU_ASSERT_TRUE(restarts > 0);
    fake_preempt_every = 0;
    CU_ASSERT_EQUAL(get(), 0);
    CU_ASSERT_EQUAL(got.ctrlreg[3], c.ctrlreg[3]);
    teardown();
}

static void test_a_vcpu_is_reset(void)
{
    setup();
    CU_ASSERT_EQUAL(set(), 0);
    op_on(0, NULL);
    CU_ASSERT_EQUAL(call(d, XEN_DOMCTL_setvcpucontext), 0);
    CU_ASSERT_TRUE(!v->is_initialised && (v->pause_flags & VPF_DOWN));
    CU_ASSERT_TRUE(v->arch.cr3_kernel == 0 && v->arch.cr3_user == 0 && v->arch.nr_gdt_ents == 0);
    CU_ASSERT_EQUAL(get(), -ENODATA);
    CU_ASSERT_EQUAL(paging_audit(), 0);
    CU_ASSERT_EQUAL(set(), 0); /* and initialised again */
    teardown();
}

static void test_who_and_what_there_is_not(void)
{
    setup();
    op_on(2, &c);
    CU_ASSERT_EQUAL(call(d, XEN_DOMCTL_setvcpucontext), -ESRCH);
    CU_ASSERT_EQUAL(call(d, XEN_DOMCTL_getvcpucontext), -ESRCH);
    CU_ASSERT_EQUAL(call(d, XEN_DOMCTL_getvcpuinfo), -ESRCH);
    op_on(~0u, &c);
    CU_ASSERT_EQUAL(call(d, XEN_DOMCTL_setvcpucontext), -ESRCH);
    op_on(0, &c);
    CU_ASSERT_EQUAL(call(dom0, XEN_DOMCTL_setvcpucontext), -EINVAL);
    CU_ASSERT_EQUAL(call(dom0, XEN_DOMCTL_getvcpucontext), -EINVAL);
    CU_ASSERT_EQUAL(call(dom0, XEN_DOMCTL_set_ext_vcpucontext), -EINVAL);
    CU_ASSERT_EQUAL(call(dom0, XEN_DOMCTL_setvcpuextstate), -EINVAL);
    CU_ASSERT_EQUAL(call(dom0, XEN_DOMCTL_getvcpuextstate), -EINVAL);
    CU_ASSERT_EQUAL(call(dom0, XEN_DOMCTL_set_vcpu_msrs), -EINVAL);
    CU_ASSERT_EQUAL(call(dom0, XEN_DOMCTL_settscinfo), -EINVAL);
    op_on(0, (char *)&c + 8); /* beyond what is mapped */
    CU_ASSERT_EQUAL(call(d, XEN_DOMCTL_setvcpucontext), -EFAULT);
    CU_ASSERT_EQUAL(set(), 0);
    op_on(0, &c); /* read-only */
    CU_ASSERT_EQUAL(call(d, XEN_DOMCTL_getvcpucontext), -EFAULT);
    teardown();
}

static void test_vcpu_info(void)
{
    setup();
    memset(&op, 0xff, sizeof(op));
    op.u.getvcpuinfo.vcpu = 1;
    d->vcpu[1]->runstate.state = RUNSTATE_running;
    d->vcpu[1]->runstate.time[RUNSTATE_running] = 4711;
    d->vcpu[1]->processor = 3;
    CU_ASSERT_EQUAL(call(d, XEN_DOMCTL_getvcpuinfo), 0);
    CU_ASSERT_EQUAL(op.u.getvcpuinfo.online, 0);
    CU_ASSERT_EQUAL(op.u.getvcpuinfo.blocked, 0);
    CU_ASSERT_EQUAL(op.u.getvcpuinfo.running, 1);
    CU_ASSERT_EQUAL(op.u.getvcpuinfo.cpu_time, 4711);
    CU_ASSERT_EQUAL(op.u.getvcpuinfo.cpu, 3);
    op.u.getvcpuinfo.vcpu = 0;
    atomic_store(&v->pause_flags, VPF_BLOCKED);
    v->runstate.state = RUNSTATE_blocked;
    CU_ASSERT_EQUAL(call(d, XEN_DOMCTL_getvcpuinfo), 0);
    CU_ASSERT_EQUAL(op.u.getvcpuinfo.online, 1);
    CU_ASSERT_EQUAL(op.u.getvcpuinfo.blocked, 1);
    CU_ASSERT_EQUAL(op.u.getvcpuinfo.running, 0);
    teardown();
}

static void test_ext_context(void)
{
    struct xen_domctl_ext_vcpucontext *e = &op.u.ext_vcpucontext;

    setup();
    memset(&op, 0xff, sizeof(op));
    e->vcpu = 0;
    CU_ASSERT_EQUAL(call(d, XEN_DOMCTL_get_ext_vcpucontext), 0);
    CU_ASSERT_EQUAL(e->size, sizeof(*e));
    CU_ASSERT_TRUE(e->size <= 128);
    CU_ASSERT_EQUAL(e->mcg_cap, 0);
    e->sysenter_callback_eip = 0xffffffff81000000;
    e->sysenter_disables_events = 1;
    e->syscall32_callback_eip = 0xffffffff81000100;
    e->syscall32_callback_cs = 0x10;
    CU_ASSERT_EQUAL(call(d, XEN_DOMCTL_set_ext_vcpucontext), 0);
    CU_ASSERT_EQUAL(v->arch.sysenter_cb.address, 0xffffffff81000000);
    CU_ASSERT_TRUE(v->arch.sysenter_cb.mask_events && !v->arch.syscall32_cb.mask_events);
    memset(&op, 0xff, sizeof(op));
    e->vcpu = 0;
    CU_ASSERT_EQUAL(call(d, XEN_DOMCTL_get_ext_vcpucontext), 0);
    CU_ASSERT_EQUAL(e->syscall32_callback_eip, 0xffffffff81000100);
    CU_ASSERT_EQUAL(e->syscall32_callback_cs, FLAT_KERNEL_CS);
    e->syscall32_callback_eip = 1;
    e->sysenter_callback_eip = 1ULL << 47;
    CU_ASSERT_EQUAL(call(d, XEN_DOMCTL_set_ext_vcpucontext), -EINVAL);
    CU_ASSERT_EQUAL(v->arch.syscall32_cb.address, 0xffffffff81000100);
    e->sysenter_callback_eip = 1;
    e->mcg_cap = 0x1000802;
    CU_ASSERT_EQUAL(call(d, XEN_DOMCTL_set_ext_vcpucontext), -EINVAL);
    e->mcg_cap = 0;
    e->size = 8;
    CU_ASSERT_EQUAL(call(d, XEN_DOMCTL_set_ext_vcpucontext), -EINVAL);
    e->size = (uint32_t)offsetof(struct xen_domctl_ext_vcpucontext, mcg_cap);
    CU_ASSERT_EQUAL(call(d, XEN_DOMCTL_set_ext_vcpucontext), 0);
    CU_ASSERT_EQUAL(v->arch.syscall32_cb.address, 1);
    teardown();
}

/* ---- XSAVE ---- */

static struct {
    uint64_t xcr0, accum;
    uint8_t area[XSTATE_BYTES];
} x __attribute__((aligned(64)));

static struct xen_domctl_vcpuextstate *extstate(uint64_t size, uint64_t mask)
{
    memset(&op, 0, sizeof(op));
    op.u.vcpuextstate.size = size;
    op.u.vcpuextstate.xfeature_mask = mask;
    set_xen_guest_handle(op.u.vcpuextstate.buffer, (void *)&x);
    return &op.u.vcpuextstate;
}
static uint64_t *header(void) { return (uint64_t *)(x.area + 512); }
static void make_xstate(void)
{
    memset(&x, 0, sizeof(x));
    x.xcr0 = x.accum = 7;
    x.area[0] = 0x7f, x.area[1] = 2;
    *(uint32_t *)(x.area + 24) = 0x1f80;
    header()[0] = 7;
    x.area[576] = 99; /* AVX */
    fake_guest_map(&x, sizeof(x), FAKE_READ_WRITE);
}

static void test_extended_state_comes_back(void)
{
    struct xen_domctl_vcpuextstate *e;

    setup();
    e = extstate(0, 0);
    CU_ASSERT_EQUAL(call(d, XEN_DOMCTL_getvcpuextstate), 0);
    CU_ASSERT_EQUAL(e->size, 16 + 576); /* it has x87 alone */
    CU_ASSERT_EQUAL(e->xfeature_mask, 7);
    make_xstate();
    extstate(sizeof(x), 0);
    CU_ASSERT_EQUAL(call(d, XEN_DOMCTL_setvcpuextstate), 0);
    CU_ASSERT_EQUAL(v->arch.xcr0, 7);
    CU_ASSERT_EQUAL(((uint8_t *)v->arch.fpu)[576], 99);
    memset(&x, 0, sizeof(x));
    e = extstate(0, 0);
    set_xen_guest_handle(e->buffer, NULL);
    CU_ASSERT_EQUAL(call(d, XEN_DOMCTL_getvcpuextstate), 0);
    CU_ASSERT_EQUAL(e->size, sizeof(x));
    extstate(sizeof(x) - 1, 7);
    CU_ASSERT_EQUAL(call(d, XEN_DOMCTL_getvcpuextstate), -EINVAL);
    extstate(sizeof(x), 3);
    CU_ASSERT_EQUAL(call(d, XEN_DOMCTL_getvcpuextstate), -EINVAL);
    CU_ASSERT_EQUAL(x.xcr0, 0);
    extstate(sizeof(x), 7);
    CU_ASSERT_EQUAL(call(d, XEN_DOMCTL_getvcpuextstate), 0);
    CU_ASSERT_TRUE(x.xcr0 == 7 && x.accum == 7 && x.area[576] == 99 && header()[0] == 7);
    teardown();
}

/* AMD's have one bit more than Intel's. */
static uint32_t mxcsr_mask_of_cpu(void)
{
    static uint32_t image[128] __attribute__((aligned(16)));

    __asm__ volatile("fxsave64 %0" : "=m"(image));
    return image[7] ?: 0xffbf;
}

static void test_no_state_that_xrstor_refuses(void)
{
    static const struct {
        uint64_t xcr0, accum, bv, comp, reserved, size;
        bool ok;
    } t[] = {
        { 7, 7, 7, 0, 0, 0, true },
        { 1, 7, 7, 0, 0, 0, true },
        { 7, 7, 0, 0, 0, 0, true },
        { 0, 7, 7, 0, 0, 0, false },        /* x87 is always there */
        { 5, 7, 7, 0, 0, 0, false },        /* AVX without SSE */
        { 7, 3, 3, 0, 0, 16 + 576, false }, /* enabled, never enabled */
        { 3, 3, 7, 0, 0, 16 + 576, false }, /* a state that there is no room for */
        { 3, 3, 3, 0, 0, 16 + 576, true },
        { 3, 3, 3, 0, 0, 0, false },          /* a size of something else */
        { 0xe7, 0xe7, 7, 0, 0, 0, false },    /* not this CPU's */
        { 7, 7, 7, 1ULL << 63, 0, 0, false }, /* compacted */
        { 7, 7, 7, 0, 1, 0, false },
        { 7, 7, 1ULL << 62 | 7, 0, 0, 0, false },
        { 7, 7, 7, 0, 0, 16, false },
        { 7, 7, 7, 0, 0, 8, false },
        { 7, 7, 7, 0, 0, sizeof(x) + 1, false },
        { 7, 7, 7, 0, 0, ~0ULL, false },
    };

    for (unsigned int i = 0; i < ARRAY_SIZE(t); i++) {
        setup();
        make_xstate();
        x.xcr0 = t[i].xcr0;
        x.accum = t[i].accum;
        header()[0] = t[i].bv;
        header()[1] = t[i].comp;
        header()[7] = t[i].reserved;
        *(uint32_t *)(x.area + 24) = ~0u; /* MXCSR */
        extstate(t[i].size ?: sizeof(x), 0);
        CU_ASSERT_EQUAL(call(d, XEN_DOMCTL_setvcpuextstate), t[i].ok ? 0 : -EINVAL);
        CU_ASSERT_EQUAL(v->arch.xcr0, t[i].ok ? t[i].xcr0 : 1);
        /* reserved bits would fault */
        CU_ASSERT_EQUAL(((uint32_t *)v->arch.fpu)[6] & ~mxcsr_mask_of_cpu(), 0);
        teardown();
    }
    setup(); /* a domain without AVX on a CPU that has it */
    d->cpu_policy = xmalloc(sizeof(*d->cpu_policy));
    *d->cpu_policy = *cpu_policy_of(NULL);
    d->cpu_policy->row[0xd].reg[0] = 3;
    make_xstate();
    extstate(sizeof(x), 0);
    CU_ASSERT_EQUAL(call(d, XEN_DOMCTL_setvcpuextstate), -EINVAL);
    teardown();
}

static void test_a_cpu_without_xsave(void)
{
    setup();
    arch_xcr0_mask = 0;
    cpuid_policy_init();
    CU_ASSERT_EQUAL(extstate(0, 0)->size, 0);
    op.u.vcpuextstate.size = 5;
    set_xen_guest_handle(op.u.vcpuextstate.buffer, NULL);
    CU_ASSERT_EQUAL(call(d, XEN_DOMCTL_getvcpuextstate), 0);
    CU_ASSERT_TRUE(op.u.vcpuextstate.size == 0 && op.u.vcpuextstate.xfeature_mask == 0);
    make_xstate();
    x.xcr0 = x.accum = header()[0] = 1;
    extstate(16 + 576, 0);
    CU_ASSERT_EQUAL(call(d, XEN_DOMCTL_setvcpuextstate), -EINVAL);
    teardown();
}

/* ---- MSRs and time ---- */

static void test_msrs(void)
{
    struct xen_domctl_vcpu_msrs *m = &op.u.vcpu_msrs;
    static struct xen_domctl_vcpu_msr msr[2];

    setup();
    fake_guest_map(msr, sizeof(msr), FAKE_READ_WRITE);
    memset(&op, 0, sizeof(op));
    CU_ASSERT_EQUAL(call(d, XEN_DOMCTL_get_vcpu_msrs), 0);
    CU_ASSERT_EQUAL(m->msr_count, 1);
    set_xen_guest_handle(m->msrs, msr);
    CU_ASSERT_EQUAL(call(d, XEN_DOMCTL_get_vcpu_msrs), 0);
    CU_ASSERT_EQUAL(m->msr_count, 0); /* none in use */
    msr[0] = (struct xen_domctl_vcpu_msr){ 0xc0000103, 0, 0x1005 };
    m->msr_count = 1;
    CU_ASSERT_EQUAL(call(d, XEN_DOMCTL_set_vcpu_msrs), 0);
    CU_ASSERT_EQUAL(v->arch.tsc_aux, 0x1005);
    m->msr_count = 0;
    CU_ASSERT_EQUAL(call(d, XEN_DOMCTL_get_vcpu_msrs), -ENOBUFS);
    CU_ASSERT_EQUAL(m->msr_count, 1);
    memset(msr, 0, sizeof(msr));
    CU_ASSERT_EQUAL(call(d, XEN_DOMCTL_get_vcpu_msrs), 0);
    CU_ASSERT_TRUE(m->msr_count == 1 && msr[0].index == 0xc0000103 && msr[0].value == 0x1005);
    for (unsigned int i = 0; i < 4; i++) {
        msr[0] = (struct xen_domctl_vcpu_msr){ 0xc0000103, 0, 1 };
        if (i == 0)
            msr[0].index = 0x10a;
        else if (i == 1)
            msr[0].reserved = 1;
        else if (i == 2)
            msr[0].value = 1ULL << 32;
        m->msr_count = i == 3 ? 2 : 1;
        CU_ASSERT_EQUAL(call(d, XEN_DOMCTL_set_vcpu_msrs), -EINVAL);
        CU_ASSERT_EQUAL(m->msr_count, 0); /* the first one */
        CU_ASSERT_EQUAL(v->arch.tsc_aux, 0x1005);
    }
    teardown();
}

static void test_tsc_info(void)
{
    struct xen_domctl_tsc_info *t = &op.u.tsc_info;

    setup();
    memset(&op, 0, sizeof(op));
    t->tsc_mode = TSC_MODE_ALWAYS_EMULATE;
    t->incarnation = 4;
    t->elapsed_nsec = 1000;
    CU_ASSERT_EQUAL(call(d, XEN_DOMCTL_settscinfo), 0);
    CU_ASSERT_TRUE(d->vtsc);
    memset(&op, 0xff, sizeof(op));
    fake_now_ns += 500;
    CU_ASSERT_EQUAL(call(d, XEN_DOMCTL_gettscinfo), 0);
    CU_ASSERT_TRUE(t->tsc_mode == 1 && t->incarnation == 5 && t->elapsed_nsec == 1500);
    CU_ASSERT_TRUE(t->gtsc_khz == 1000000 && t->pad == 0);
    t->tsc_mode = 3;
    CU_ASSERT_EQUAL(call(d, XEN_DOMCTL_settscinfo), -EINVAL);
    t->tsc_mode = TSC_MODE_NATIVE;
    v->runstate.time[RUNSTATE_running] = 1;
    CU_ASSERT_EQUAL(call(d, XEN_DOMCTL_settscinfo), -EEXIST);
    CU_ASSERT_TRUE(d->vtsc);
    teardown();
}

int main(void)
{
    CU_pSuite s;

    CU_initialize_registry();
    cpu_features.xsave = false; /* this one cannot set XCR0 */
    fpu_init();
    cpu_features = (struct cpu_features){ .xsave = true, .fpu_bytes = XSTATE_BYTES };
    s = CU_add_suite("vcpuctl", NULL, NULL);
    CU_ADD_TEST(s, test_a_context_comes_back_as_it_was_set);
    CU_ADD_TEST(s, test_a_vcpu_in_user_mode);
    CU_ADD_TEST(s, test_a_refused_context_changes_nothing);
    CU_ADD_TEST(s, test_random_contexts);
    CU_ADD_TEST(s, test_of_a_vcpu_with_a_context_frames_stay);
    CU_ADD_TEST(s, test_a_preempted_context_goes_on);
    CU_ADD_TEST(s, test_a_vcpu_is_reset);
    CU_ADD_TEST(s, test_who_and_what_there_is_not);
    CU_ADD_TEST(s, test_vcpu_info);
    CU_ADD_TEST(s, test_ext_context);
    CU_ADD_TEST(s, test_extended_state_comes_back);
    CU_ADD_TEST(s, test_no_state_that_xrstor_refuses);
    CU_ADD_TEST(s, test_a_cpu_without_xsave);
    CU_ADD_TEST(s, test_msrs);
    CU_ADD_TEST(s, test_tsc_info);
    CU_basic_set_mode(CU_BRM_NORMAL);
    CU_basic_run_tests();
    fake_ram_create(1);
    return CU_get_number_of_failures() != 0;
}
