/* Private to hypercall/: the handlers of its own, and what its files share. */
#pragma once
#include "hypercall/hypercall.h"
#include "lib/errno.h"

/** Call handler nr; -ENOSYS if there is none. */
long hypercall_call(uint64_t nr, const uint64_t a[5]);
/** Continuations go to e from now on (NULL: to the guest's registers); returns where they went. */
struct multicall_entry *hypercall_set_multicall(struct multicall_entry *e);

/** True for the two answers of paging/ that mean: the guest executes the hypercall again. */
static inline bool try_again(long rc) { return rc == -ERESTART || rc == -EAGAIN; }

hypercall_fn hc_set_trap_table, hc_set_gdt, hc_stack_switch, hc_set_callbacks, hc_fpu_taskswitch,
    hc_sched_op_compat, hc_platform_op, hc_set_debugreg, hc_get_debugreg, hc_update_descriptor,
    hc_memory_op, hc_multicall, hc_set_timer_op, hc_xen_version, hc_vm_assist, hc_vcpu_op,
    hc_set_segment_base, hc_nmi_op, hc_sched_op, hc_callback_op, hc_xenpmu_op;
