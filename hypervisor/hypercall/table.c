/*
 * The way in: number to handler, results and continuations.
 *
 * A handler that has run long enough calls hypercall_continue() with the arguments to go on with
 * and returns -ERESTART. Outside a multicall that rewinds the guest to its SYSCALL instruction;
 * inside, the entry is rewritten and the multicall itself continued (multicall.c).
 */
#include "hypercall/ops.h"

#include "console/console.h"
#include "event/evtchn.h"
#include "irq/irq.h"
#include "lib/errno.h"
#include "lib/lib.h"
#include "paging/paging.h"
#include "x86/upcalls.h"

#define SYSCALL_BYTES 2 /* length of the instruction that is executed again */

#define HC(nr, fn, args, note) [__HYPERVISOR_##nr] = { #nr, fn, args, note }
#define NONE(nr, note) [__HYPERVISOR_##nr] = { #nr, NULL, 0, note }

const struct hypercall hypercall_table[NR_HYPERCALLS] = {
    HC(set_trap_table, hc_set_trap_table, 1, NULL),
    HC(mmu_update, hc_mmu_update, 4, NULL),
    HC(set_gdt, hc_set_gdt, 2, NULL),
    HC(stack_switch, hc_stack_switch, 2, NULL),
    HC(set_callbacks, hc_set_callbacks, 3, NULL),
    HC(fpu_taskswitch, hc_fpu_taskswitch, 1, NULL),
    HC(sched_op_compat, hc_sched_op_compat, 2, NULL),
    HC(platform_op, hc_platform_op, 1, "firmware_info: -ESRCH, as without EDD and DDC; EFI -ENOSYS"),
    HC(set_debugreg, hc_set_debugreg, 2, NULL),
    HC(get_debugreg, hc_get_debugreg, 1, NULL),
    HC(update_descriptor, hc_update_descriptor, 2, NULL),
    HC(memory_op, hc_memory_op, 2, NULL),
    HC(multicall, hc_multicall, 2, NULL),
    HC(update_va_mapping, hc_update_va_mapping, 3, NULL),
    HC(set_timer_op, hc_set_timer_op, 1, NULL),
    HC(event_channel_op_compat, hc_event_channel_op_compat, 1, NULL),
    HC(xen_version, hc_xen_version, 2, NULL),
    HC(console_io, hc_console_io, 3, NULL),
    NONE(physdev_op_compat, "superseded since Xen 3.2.2"),
    NONE(grant_table_op, "later; Linux runs without grants"),
    HC(vm_assist, hc_vm_assist, 2, NULL),
    HC(update_va_mapping_otherdomain, hc_update_va_mapping_otherdomain, 4, NULL),
    HC(iret, hc_iret, 0, "the arguments are on the guest's stack"),
    HC(vcpu_op, hc_vcpu_op, 3, NULL),
    HC(set_segment_base, hc_set_segment_base, 2, NULL),
    HC(mmuext_op, hc_mmuext_op, 4, NULL),
    NONE(xsm_op, "no XSM; libxl carries on"),
    HC(nmi_op, hc_nmi_op, 2, NULL),
    HC(sched_op, hc_sched_op, 2, NULL),
    HC(callback_op, hc_callback_op, 2, NULL),
    NONE(xenoprof_op, "not built"),
    HC(event_channel_op, hc_event_channel_op, 2, NULL),
    HC(physdev_op, hc_physdev_op, 2, NULL),
    NONE(hvm_op, "no HVM guests"),
    NONE(sysctl, "later: toolstack"),
    NONE(domctl, "later: toolstack"),
    NONE(kexec_op, "not built"),
    NONE(tmem_op, "removed from Xen 4.13"),
    NONE(argo_op, "not built"),
    HC(xenpmu_op, hc_xenpmu_op, 2, "-EOPNOTSUPP, as Xen with vpmu off; Linux expects it"),
    NONE(dm_op, "no HVM guests"),
    NONE(hypfs_op, "later"),
    NONE(arch_0, "machine checks: later; Linux says so in one line and goes on"),
};

/* ---- results and continuations ---- */

/* The entry of the multicall that this CPU is in, or NULL: a hypercall never changes CPUs. */
static struct multicall_entry *mc_entry[NR_CPUS];

struct multicall_entry *hypercall_set_multicall(struct multicall_entry *e)
{
    struct multicall_entry **slot = &mc_entry[this_pcpu()->id], *old = *slot;

    *slot = e;
    return old;
}

long hypercall_continue(unsigned int nr, unsigned int nr_args, const uint64_t *args)
{
    struct multicall_entry *e = mc_entry[this_pcpu()->id];
    struct cpu_user_regs *regs;

    if (e) {
        e->op = nr;
        for (unsigned int i = 0; i < nr_args; i++)
            e->args[i] = args[i];
        return -ERESTART;
    }
    regs = arch_guest_regs();
    uint64_t *const slots[] = { &regs->rdi, &regs->rsi, &regs->rdx, &regs->r10, &regs->r8 };

    BUG_ON(nr_args > ARRAY_SIZE(slots));
    regs->rax = nr;
    regs->rip -= SYSCALL_BYTES;
    for (unsigned int i = 0; i < nr_args; i++)
        *slots[i] = args[i];
    return -ERESTART;
}

bool hypercall_preempt_check(void)
{
    return atomic_load_explicit(&this_pcpu()->softirqs, memory_order_relaxed) ||
           vcpu_has_events(current);
}

long hypercall_call(uint64_t nr, const uint64_t a[5])
{
    hypercall_fn *fn;

    if (nr >= NR_HYPERCALLS)
        return -ENOSYS;
    fn = hypercall_table[array_index_nospec(nr, NR_HYPERCALLS)].fn;
    return fn ? fn(a[0], a[1], a[2], a[3], a[4]) : -ENOSYS;
}

void hypercall_dispatch(struct cpu_user_regs *regs)
{
    uint64_t nr = regs->rax;
    hypercall_fn *fn = NULL;
    long rc;

    this_pcpu()->nr_hypercalls++;
    if (likely(nr < NR_HYPERCALLS))
        fn = hypercall_table[array_index_nospec(nr, NR_HYPERCALLS)].fn;
    if (unlikely(fn == NULL)) {
        regs->rax = (uint64_t)-ENOSYS;
        return;
    }
    rc = fn(regs->rdi, regs->rsi, regs->rdx, regs->r10, regs->r8);
    ASSERT(this_pcpu()->locks_held == 0);
    /* A continuation has set up rax itself; what IRET returns is the guest's, any number. */
    if (likely(rc != -ERESTART) || nr == __HYPERVISOR_iret)
        regs->rax = (uint64_t)rc;
}
