/*
 * The machine that host tests run on: RAM is an array, guest memory is host memory that was
 * announced, CPUs are structs. Functions of folders that a test does not link are weak stubs here.
 */
#pragma once
#include "memory/frame.h"
#include "memory/guest_copy.h"

/** Fresh machine: nr_cpus CPUs, CPU 0 current, no guest memory mapped, counters zero. */
void fake_reset(unsigned int nr_cpus);
/** RAM of nr_frames frames (frame table and M2P too), all marked RAM and free for the test's use. */
void fake_ram_create(uint64_t nr_frames);
void fake_cpu(unsigned int id);           /* play CPU id from now on, in this thread */
#define FAKE_APIC_ID(cpu) (2 * (cpu) + 1) /* what arch_cpu_apic_id() answers */

/** A bare domain with nr_vcpus vCPUs, shared_info and vcpu_info in host memory; refs 1. */
struct domain *fake_domain(domid_t id, unsigned int nr_vcpus);
void fake_domain_free(struct domain *d);
/** Make v the current vCPU of the CPU that is played. */
void fake_current(struct vcpu *v);

#define FAKE_READ_ONLY 1
#define FAKE_READ_WRITE 3
/** Guest copies work inside [p, p + len) only, with these rights; at most 16 areas. */
void fake_guest_map(void *p, size_t len, int rights);
void fake_guest_unmap_all(void);
static inline guest_va_t fake_va(void *p) { return _gva((uint64_t)(uintptr_t)p); }
/** The n-th guest copy from now fails (1: the next); 0: none. Likewise for allocations. */
void fake_fail_copy(unsigned int n);
void fake_fail_alloc(unsigned int n);

unsigned int fake_refs(const struct domain *d);
unsigned int fake_locks_held(void);

/* what the code under test did */
extern uint64_t fake_now_ns;          /* arch_time_ns() */
extern uint64_t fake_timer_deadline;  /* last arch_timer_program() */
extern uint64_t fake_kicked;          /* mask of arch_cpu_kick() */
extern unsigned int fake_tlb_flushes; /* full ones, any CPU */
extern unsigned int fake_tlb_page_flushes;
extern unsigned int fake_crashes;   /* domain_crash() calls */
extern unsigned int fake_unblocked; /* vcpu_unblock() calls (when sched/ is not linked) */
extern unsigned int fake_virqs, fake_last_virq; /* virq_send_* when event/ is not linked */
/** Every "hypercall_continue" is recorded here. */
extern uint64_t fake_continued_args[6];
/** What hypercall_preempt_check() answers: true at every n-th call (0: never). */
extern unsigned int fake_preempt_every;
/** The last lines printed by print()/gprint(). */
extern char fake_printed[4096];
