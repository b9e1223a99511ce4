/*
 * rt/cpu.h: the domain's vCPUs.
 *
 * The kernel begins on vCPU 0. Another vCPU either runs threads, as vCPU 0 does (cpus_start()), or
 * one function of its own and nothing else (cpu_run()), which is what a test wants that needs two
 * things to happen at once.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include <xen/xen.h>

enum { MAX_CPUS = 16 };

struct thread;
struct timer;

/** One per vCPU, found through its gs segment. */
struct cpu {
    struct cpu *self;
    unsigned int id; /* the vCPU's number */
    bool online;
    bool is_idle;            /* it waits for a thread; guarded by the scheduler's lock */
    unsigned int in_handler; /* depth of upcalls: 1 in a handler of an event */
    struct vcpu_info *vcpu_info;
    struct thread *current, *idle; /* idle: what the vCPU began with */
    struct timer *timers;          /* those set here, earliest first */
    struct timer *timer_running;   /* whose callback is being called here */
    unsigned int ipi_port;
};

/**
 * The vCPU that this runs on. A thread is on the same one until it waits or yields.
 * The asm is volatile so that no value from before a wait is used after it.
 */
static inline struct cpu *this_cpu(void)
{
    struct cpu *c;

    __asm__ volatile("mov %%gs:0, %0" : "=r"(c));
    return c;
}

/** All vCPUs; those of numbers that the domain does not have are never online. */
extern struct cpu cpus[MAX_CPUS];

/**
 * Start all vCPUs of the domain that are still down; they take threads from now on.
 * Returns how many vCPUs run threads, at least 1. A thread of vCPU 0, once.
 */
unsigned int cpus_start(void);

/**
 * Start vCPU id with fn(arg), its events on, and nothing else. When fn returns, it goes down.
 * fn may do what an event handler may, and use stdio; where a thread would wait it spins.
 * @id  1..MAX_CPUS-1
 * Returns 0 or Xen's -errno: -2 (ENOENT) no such vCPU, -17 (EEXIST) it is up; -12 (ENOMEM). A thread.
 */
long cpu_run(unsigned int id, void (*fn)(void *arg), void *arg);

/** Inside a loop that waits for another vCPU: let that one run. */
void cpu_relax(void);
