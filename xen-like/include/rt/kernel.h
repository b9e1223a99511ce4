/*
 * rt/kernel.h: what the hypervisor handed over, the console of last resort, and the end.
 *
 * A kernel defines main(). It is called as a thread of vCPU 0, with events on, argv[0] being
 * "kernel" and the rest the words of the kernel's command line. When main() returns or calls
 * exit(), the buffers of stdio are written out and the domain powers off; abort() crashes it.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include <xen/xen.h>
#include <xen/sched.h>

/** What the hypervisor (or the domain's builder) tells the kernel; <xen/xen.h> explains each field. */
extern struct start_info *start_info;

/** The page shared with the hypervisor: event channel bits, per-vCPU information, wall-clock time. */
extern struct shared_info *shared_info;

/** True in the initial domain, whose console is the hypervisor's (console_io). */
static inline bool is_initial_domain(void) { return (start_info->flags & SIF_INITDOMAIN) != 0; }

/**
 * Print on the console at once, past stdio. The initial domain's console is the hypervisor's, that of
 * another domain is a ring; if nobody empties it for a second, what is printed is dropped.
 * @fmt  as printf's, without floating point; the line is cut at 400 bytes
 * Any context, also in event handlers and on every vCPU.
 */
void kprint(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/**
 * The kernel cannot go on: say why, with a backtrace, and let the domain crash.
 * @fmt  as kprint's. Any context. Does not return.
 */
void panic(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));

/**
 * End the domain without writing out anything.
 * @reason  SHUTDOWN_poweroff, _reboot, _suspend or _crash of <xen/sched.h>
 * Any context. Does not return.
 */
void domain_shutdown(unsigned int reason) __attribute__((noreturn));
