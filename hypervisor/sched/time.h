/*
 * The time ABI: vcpu_time_info, the wall clock, timers of vCPUs.
 *
 * A guest with the native TSC computes with the very numbers that arch_time_ns() uses, so its system
 * time and ours are one, for ever. With an emulated TSC (vtsc) the guest's TSC is system time since
 * d->tsc_start_ns scaled to d->tsc_khz, by default the machine's. At each switch to a vCPU its time info is written anew: with vtsc it has to be,
 * else it may be new, registered meanwhile, or overwritten by the guest or by who restored it.
 */
#pragma once
#include "memory/objects.h"

#include <xen/domctl.h>

/** At boot: what sends VIRQ_TIMER (event/'s virq_send_vcpu(), which is above this folder). */
void time_register_virq(void (*send)(struct vcpu *v, uint32_t virq));

/** Timers of a new vCPU; and of one that will never run again. */
void vcpu_timers_init(struct vcpu *v);
void vcpu_timers_kill(struct vcpu *v);
/** VIRQ_TIMER at this system time, at once if it is past; 0: not at all. */
void vcpu_set_timer(struct vcpu *v, uint64_t at_ns);
/** Wake v from SCHEDOP_poll at this time; 0: not at all. */
void vcpu_set_poll_timer(struct vcpu *v, uint64_t at_ns);

/**
 * Write *from to the current guest's area (0: none), which another of its CPUs may be reading: it is
 * not to be trusted while the 8 bytes at offset mark are those of *from, and done is what they become.
 */
void guest_area_write(guest_va_t area, const void *from, size_t len, size_t mark, uint64_t done);
/** Write v's time info, and into its registered area if v is current. schedule() does it at each switch. */
void vcpu_time_update(struct vcpu *v);
/** Write d's wall clock into its shared_info. */
void domain_wallclock_update(struct domain *d);
/** XENPF_settime64 by the hardware domain: the machine's wall clock. Takes L_DOMLIST. */
void wallclock_set(uint64_t secs, uint32_t nsecs, uint64_t system_time_ns);
/** What a guest's emulated rdtsc returns. */
uint64_t guest_tsc(const struct vcpu *v);

/*
 * As in domctl's settscinfo and CPUID leaf 0x40000x03. The default: native where the TSC is reliable
 * and in the hardware domain, else emulated.
 */
enum tsc_mode { TSC_MODE_DEFAULT, TSC_MODE_ALWAYS_EMULATE, TSC_MODE_NATIVE };
/**
 * Domctl's settscinfo, before d's vCPUs run: the mode, the frequency (0: the machine's; another one is
 * emulated in the default mode), how far the TSC has come, and how often d was restored, for CPUID.
 * 0, or -EINVAL: no such mode, or below 100 MHz.
 */
int domain_set_tsc(struct domain *d, const struct xen_domctl_tsc_info *info);
/** What to give to domain_set_tsc() where d goes on; the incarnation as it is. */
void domain_get_tsc(const struct domain *d, struct xen_domctl_tsc_info *info);
