/* The hypercall table, one array indexed by number, and the handlers of this folder. */
#pragma once
#include "memory/guest_copy.h"

typedef long hypercall_fn(uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5);

#define NR_HYPERCALLS 64
extern hypercall_fn *const hypercall_table[NR_HYPERCALLS]; /* hc_none where there is none */
long hc_none(uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5); /* -ENOSYS */

/* Who we say we are: XENVER_version and its kin, and hypfs_op's /buildinfo. */
#define XEN_MAJOR 4u
#define XEN_MINOR 17u
#define XEN_EXTRA ".0-xen-like"
#define XEN_COMPILER "cc " __VERSION__

/** rc of paging/, whose -EAGAIN means -ERESTART to the guest: it executes the hypercall again. */
static inline long or_again(long rc) { return rc == -EAGAIN ? -ERESTART : rc; }

/**
 * Give v, which is paused and unloaded or was never up, the context at `from`, and let it be up or down as
 * VGCF_online says; first: it must not have one yet, else -EEXIST, and begins with its events masked.
 * 0; -EFAULT; -ENOMEM; -EINVAL, -EPERM (debug registers), -EOPNOTSUPP (v has a context, and this
 * one names other frames): nothing is changed. Preemptible.
 */
long vcpu_context_set(struct vcpu *v, guest_va_t from, bool first);

/** An NMI for v, wherever it is. Returns 0. */
long vcpu_send_nmi(struct vcpu *v);

/*
 * Those that have a handler, hc_NAME. platform_op has no EDD, DDC and EFI information, xenpmu_op
 * answers as Xen's with vpmu off; the arguments of iret are on the guest's stack.
 */
#define HYPERCALLS(X)                                                                              \
    X(set_trap_table), X(mmu_update), X(set_gdt), X(stack_switch), X(set_callbacks),               \
        X(fpu_taskswitch), X(platform_op), X(set_debugreg), X(get_debugreg), X(update_descriptor), \
        X(memory_op), X(multicall), X(update_va_mapping), X(set_timer_op), X(xen_version),         \
        X(console_io), X(vm_assist), X(update_va_mapping_otherdomain), X(iret), X(vcpu_op),        \
        X(set_segment_base), X(mmuext_op), X(nmi_op), X(sched_op), X(callback_op),                 \
        X(event_channel_op), X(physdev_op), X(xenpmu_op), X(sysctl), X(domctl), X(hypfs_op),       \
        X(grant_table_op)
#define HANDLER(nr) hc_##nr
hypercall_fn HYPERCALLS(HANDLER);

/** The domain behind d in the list (NULL: the first) with a reference, that on d is dropped; or NULL. */
struct domain *domain_next(struct domain *d);
