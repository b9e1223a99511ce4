/*
 * The way in: number to handler, results and continuations.
 *
 * A handler that has run long enough returns -ERESTART; before, it calls hypercall_continue() if it
 * wants to go on with other arguments. Outside a multicall the guest is rewound to its SYSCALL
 * instruction; inside, the entry is rewritten and the multicall itself continued.
 */
#include "hypercall/hypercall.h"

#include "event/evtchn.h"

long hc_none(uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5) { return -ENOSYS; }

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Woverride-init"
/*
 * What has a number and no handler: sched_op_compat, event_channel_op_compat, physdev_op_compat
 * (superseded since Xen 3.1.1, 3.2, 3.2.2), xsm_op (no XSM; libxl carries on), hvm_op and dm_op (no HVM
 * guests), tmem_op (gone since Xen 4.13), arch_0 (machine checks: Linux says so in one line and goes
 * on); xenoprof_op, kexec_op, argo_op.
 */
#define HC(nr) [__HYPERVISOR_##nr] = HANDLER(nr)
hypercall_fn *const hypercall_table[NR_HYPERCALLS] = { [0 ... NR_HYPERCALLS - 1] = hc_none,
                                                       HYPERCALLS(HC) };
#pragma GCC diagnostic pop

#define CHECK_ENTRIES 8u /* after so many entries of a multicall: has an event come? */

/* ---- results and continuations ---- */

/* What arguments a multicall's entry goes on with. */
struct continuation {
    uint64_t args[5];
    unsigned int nr_args; /* 0: its own */
};

long hypercall_continue(unsigned int nr_args, const uint64_t *args)
{
    struct continuation *c = this_pcpu()->multicall;
    struct cpu_user_regs *regs = arch_guest_regs();
    uint64_t *const slots[] = { &regs->rdi, &regs->rsi, &regs->rdx, &regs->r10, &regs->r8 };

    BUG_ON(nr_args > ARRAY_SIZE(slots));
    for (unsigned int i = 0; i < nr_args; i++)
        *(c ? &c->args[i] : slots[i]) = args[i];
    if (c)
        c->nr_args = nr_args;
    return -ERESTART;
}

bool hypercall_preempt_check(void)
{
    return atomic_load_explicit(&this_pcpu()->softirqs, memory_order_relaxed) ||
           vcpu_has_events(current);
}

/* x86/entry.S does this for hypercalls that are not in a multicall. */
static long hypercall(uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5, uint64_t nr)
{
    long rc = -ENOSYS;

    this_pcpu()->nr_hypercalls++;
    if (likely(nr < NR_HYPERCALLS))
        rc = hypercall_table[array_index_nospec(nr, NR_HYPERCALLS)](a1, a2, a3, a4, a5);
    ASSERT(this_pcpu()->locks_held == 0);
    return rc;
}

/* ---- multicall ---- */

/* The result of this is any value of the guest's, -ERESTART too. It is never preempted. */
static bool is_any_value(uint64_t nr) { return nr == __HYPERVISOR_get_debugreg; }

/**
 * HYPERVISOR_multicall: a list of hypercalls in one.
 * @list  guest address of nr struct multicall_entry; result is OUT, the rest IN (changed when an
 *        entry is preempted). iret and multicall as entries answer -EINVAL in their result.
 * Returns 0, or -EFAULT when an entry cannot be read or its result not written (those before it
 * have been executed). Preemptible between and inside entries.
 */
long hc_multicall(uint64_t list, uint64_t nr, uint64_t a3, uint64_t a4, uint64_t a5)
{
    struct pcpu *c = this_pcpu(); /* a hypercall never changes CPUs */
    struct continuation go_on;
    uint32_t left = (uint32_t)nr;
    long rc = 0, result;

    c->multicall = &go_on;
    for (; left; left--, list += sizeof(struct multicall_entry)) {
        struct multicall_entry e; /* a private copy: of the guest's only the result is written */

        if (left != (uint32_t)nr && (atomic_load_explicit(&c->softirqs, memory_order_relaxed) ||
                                     (left % CHECK_ENTRIES == 0 && hypercall_preempt_check()))) {
            rc = -ERESTART;
            break;
        }
        rc = copy_from_guest(&e, _gva(list), sizeof(e));
        if (unlikely(rc))
            break;
        go_on.nr_args = 0;
        if (unlikely(e.op == __HYPERVISOR_iret || e.op == __HYPERVISOR_multicall))
            result = -EINVAL; /* they would leave the kernel's context, or nest without bound */
        else
            result = hypercall(e.args[0], e.args[1], e.args[2], e.args[3], e.args[4], e.op);
        if (unlikely(result == -ERESTART) && !is_any_value(e.op)) { /* stopped half way */
            rc = copy_to_guest(_gva(list + offsetof(struct multicall_entry, args)), go_on.args,
                               go_on.nr_args * sizeof(*go_on.args))
                     ?: -ERESTART;
            break;
        }
        rc = copy_to_guest(_gva(list + offsetof(struct multicall_entry, result)), &result,
                           sizeof(result));
        if (unlikely(rc))
            break;
    }
    c->multicall = NULL;
    if (rc == -ERESTART)
        return hypercall_continue(2, (uint64_t[]){ list, left });
    return rc;
}
