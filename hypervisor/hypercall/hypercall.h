/* The hypercall table, one array indexed by number, and the handlers of this folder. */
#pragma once
#include "memory/guest_copy.h"

typedef long hypercall_fn(uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5);

struct hypercall {
    const char *name;
    hypercall_fn *fn; /* NULL: -ENOSYS, as the note says */
    uint8_t nr_args;
    const char *note; /* why it is not there, or what its row in the census says */
};
#define NR_HYPERCALLS 64
extern const struct hypercall hypercall_table[NR_HYPERCALLS];

/** rc, or if that is paging/'s way to say so: the guest executes the hypercall again. */
static inline long or_again(long rc, unsigned int nr, unsigned int nr_args, const uint64_t *args)
{
    return rc == -ERESTART || rc == -EAGAIN ? hypercall_continue(nr, nr_args, args) : rc;
}

hypercall_fn hc_set_trap_table, hc_set_gdt, hc_stack_switch, hc_set_callbacks, hc_fpu_taskswitch,
    hc_platform_op, hc_set_debugreg, hc_get_debugreg, hc_update_descriptor, hc_memory_op,
    hc_multicall, hc_set_timer_op, hc_xen_version, hc_vm_assist, hc_vcpu_op, hc_set_segment_base,
    hc_nmi_op, hc_sched_op, hc_callback_op, hc_xenpmu_op;
