/*
 * multicall: a list of hypercalls in one. Each entry is copied in once and run from the private
 * copy; of the guest's entry only the result is written, or op and args when it has to go on later.
 */
#include "hypercall/ops.h"

#include "lib/errno.h"
#include "x86/arch.h"

static long multicall_continue(guest_va_t list, uint64_t left)
{
    const uint64_t args[] = { gva_x(list), left };

    return hypercall_continue(__HYPERVISOR_multicall, 2, args);
}

/* Run one entry at va; -ERESTART when it stopped half way and was rewritten to go on. */
static long multicall_entry_run(guest_va_t va)
{
    struct multicall_entry e;
    long rc;

    if (copy_from_guest(&e, va, sizeof(e)))
        return -EFAULT;
    if (e.op == __HYPERVISOR_iret || e.op == __HYPERVISOR_multicall) {
        rc = -EINVAL; /* would leave the kernel's context, or nest without bound */
    } else {
        hypercall_set_multicall(&e);
        rc = hypercall_call(e.op, (const uint64_t *)e.args);
        hypercall_set_multicall(NULL);
    }
    if (rc == -ERESTART)
        return copy_to_guest(va, &e.op, sizeof(e.op)) ||
                       copy_to_guest(_gva(gva_x(va) + offsetof(struct multicall_entry, args)),
                                     e.args, sizeof(e.args))
                   ? -EFAULT
                   : -ERESTART;
    e.result = (xen_ulong_t)rc;
    return copy_to_guest(_gva(gva_x(va) + offsetof(struct multicall_entry, result)), &e.result,
                         sizeof(e.result));
}

/**
 * HYPERVISOR_multicall.
 * @list  guest address of nr struct multicall_entry; result is OUT, the rest IN (changed when an
 *        entry is preempted). iret and multicall as entries answer -EINVAL in their result.
 * Returns 0, or -EFAULT when an entry cannot be read or its result not written (those before it
 * have been executed). Preemptible between and inside entries.
 */
long hc_multicall(uint64_t list, uint64_t nr, uint64_t a3, uint64_t a4, uint64_t a5)
{
    guest_va_t va = _gva(list);

    nr = (uint32_t)nr;
    for (uint64_t i = 0; i < nr; i++) {
        long rc;

        if (i && hypercall_preempt_check())
            return multicall_continue(va, nr - i);
        rc = multicall_entry_run(va);
        if (rc == -ERESTART)
            return multicall_continue(va, nr - i);
        if (rc)
            return rc;
        va = gva_index(va, 1, sizeof(struct multicall_entry));
    }
    return 0;
}
