/* All that x86/ calls in the folders above it. */
#pragma once
#include "lib/types.h"

struct vcpu;
struct cpu_user_regs;

/*
 * Hypercalls are called from entry.S by the table of hypercall/. What they return goes to the guest's
 * rax, but for -ERESTART: then the guest executes its SYSCALL again (with the arguments that are in
 * arch_guest_regs() by then); of get_debugreg this number is a result, too.
 */

/**
 * Exceptions of a guest that may be ours to handle. Each returns true if the instruction was
 * emulated or the fault repaired and the guest goes on; false: bounce it to the guest. emulate/
 */
bool guest_general_protection(struct vcpu *v, struct cpu_user_regs *regs);
bool guest_invalid_opcode(struct vcpu *v, struct cpu_user_regs *regs);
bool guest_page_fault(struct vcpu *v, struct cpu_user_regs *regs, uint64_t cr2);

/** A device interrupt arrived on this vector (interrupts off); irq/ acknowledges it. */
void irq_interrupt(unsigned int vector);

/** Run all pending softirqs; may switch to another vCPU. Interrupts on or off at entry, off at return. */
void softirq_run(void);

/** The first code that runs on a CPU that has nothing else to do. sched/ */
noreturn void idle_loop(void);

/** When the command line is known. console/ */
void console_options(void);

/** Everything is mapped and one CPU runs: bring up the rest. Never returns. domain/ */
noreturn void hypervisor_main(void);
