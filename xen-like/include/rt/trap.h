/*
 * rt/trap.h: exceptions.
 *
 * The hypervisor reflects an exception of the kernel to a stub that the trap table names; the stub
 * saves the registers and calls the handler set here. An exception without a handler is the end:
 * registers, stack and a backtrace with symbols go to the console, and the domain crashes.
 */
#pragma once
#include <stdint.h>

#include <xen/xen.h>

enum { TRAP_VECTORS = 32 };

/**
 * A handler: it may change what regs hold, and execution goes on from there.
 * regs->entry_vector is the exception's number, regs->error_code 0 if it has none.
 * It runs on the stack of what trapped, whose events are on or off as they were.
 */
typedef void (*trap_fn)(struct cpu_user_regs *regs);

/**
 * Set the handler of an exception, for all vCPUs.
 * @vector  0..31 @fn  NULL: none, a crash
 * Any thread; not while the exception may be on its way on another vCPU.
 */
void trap_handler_set(unsigned int vector, trap_fn fn);

/** The address of the page fault that this vCPU took last. */
uint64_t trap_fault_address(void);

/**
 * Call fn(arg), which may trap: an exception without a handler ends it, and not the kernel.
 * @regs  what it was like at the exception, up to ss; may be NULL
 * Returns the exception's number, or -1 if fn returned. What fn held (locks, memory) it holds still.
 * Nests. A thread, or a function of cpu_run().
 */
int trap_try(void (*fn)(void *arg), void *arg, struct cpu_user_regs *regs);

/** Print regs, the top of the stack and a backtrace. Any context. */
void trap_dump(const struct cpu_user_regs *regs);

/**
 * Read, or write, eight bytes at an address that may be bad.
 * Return 0, or -14 (Xen's EFAULT) if there was a page fault or a general protection fault.
 * Any context.
 */
int try_read64(const volatile void *from, uint64_t *to);
int try_write64(volatile void *to, uint64_t value);
