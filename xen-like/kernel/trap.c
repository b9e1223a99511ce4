/* Exceptions: the trap table, the way from a stub to a handler, and the crash dump. */
#include <setjmp.h>
#include <stddef.h>
#include <string.h>

#include <rt/hypercall.h>
#include <rt/kernel.h>
#include <rt/memory.h>
#include <rt/trap.h>

#include <xen/callback.h>

#include "internal.h"

enum { VECTOR_BREAKPOINT = 3, VECTOR_OVERFLOW, VECTOR_GP = 13, VECTOR_PAGE_FAULT };

extern char try_begin[], try_failed[];

/* A trap_try() that goes on, on the stack of its thread. */
struct trap_try {
    struct trap_try *outer;
    struct cpu_user_regs *regs;
    jmp_buf back;
};

static trap_fn handlers[TRAP_VECTORS];

static const char *const names[TRAP_VECTORS] = { "divide error",
                                                 "debug",
                                                 "NMI",
                                                 "breakpoint",
                                                 "overflow",
                                                 "bound",
                                                 "invalid opcode",
                                                 "no FPU",
                                                 "double fault",
                                                 "9",
                                                 "invalid TSS",
                                                 "segment not present",
                                                 "stack fault",
                                                 "general protection",
                                                 "page fault",
                                                 "15",
                                                 "x87 error",
                                                 "alignment check",
                                                 "machine check",
                                                 "SIMD error" };

/* Flags: the privilege that may raise it by "int n"; with 4, events would be off in the handler. */
void trap_table_fill(struct trap_info *table)
{
    for (uint8_t v = 0; v < TRAP_VECTORS; v++)
        table[v] = (struct trap_info){ v, v == VECTOR_BREAKPOINT || v == VECTOR_OVERFLOW ? 3 : 0,
                                       FLAT_KERNEL_CS,
                                       (uint64_t)trap_stubs + (uint64_t)v * TRAP_STUB_BYTES };
}

static void callback_register(uint16_t type, char *stub)
{
    struct callback_register r = { .type = type, .address = (uint64_t)stub };

    if (hc(callback_op, CALLBACKOP_register, &r))
        panic("callback %u cannot be registered", type);
}

void traps_init(void)
{
    struct trap_info table[TRAP_VECTORS + 1] = { 0 }; /* an empty one ends it */

    trap_table_fill(table);
    if (hc(set_trap_table, table))
        panic("the trap table is refused");
    callback_register(CALLBACKTYPE_event, event_stub);
    callback_register(CALLBACKTYPE_failsafe, failsafe_stub);
    callback_register(CALLBACKTYPE_syscall, syscall_stub);
}

void trap_handler_set(unsigned int vector, trap_fn fn)
{
    if (vector < TRAP_VECTORS)
        handlers[vector] = fn;
}

uint64_t trap_fault_address(void) { return this_cpu()->vcpu_info->arch.cr2; }

/* A return address may be the first of the next function: it is the call before it that counts. */
static void print_address(uint64_t address, bool is_return)
{
    char name[80];

    symbol_name(is_return ? address - 1 : address, name, sizeof(name));
    kprint("  %016lx %s\n", address, name);
}

/*
 * rip, if it is not 0, and return addresses by the chain of frame pointers, which newlib is built with, too. Each frame is
 * read with care and must lie above the one before.
 */
void backtrace(uint64_t rip, uint64_t rbp)
{
    kprint("Call trace:\n");
    if (rip)
        print_address(rip, false);
    for (unsigned int n = 0; n < 32; n++) {
        uint64_t up, ret;

        if (rbp % 8 || try_read64((void *)rbp, &up) || try_read64((void *)(rbp + 8), &ret) ||
            ret == 0)
            return;
        print_address(ret, true);
        rbp = up > rbp ? up : 0;
    }
}

void trap_dump(const struct cpu_user_regs *regs)
{
    uint64_t word;

    kprint("rax %016lx  rbx %016lx  rcx %016lx  rdx %016lx\n", regs->rax, regs->rbx, regs->rcx,
           regs->rdx);
    kprint("rsi %016lx  rdi %016lx  rbp %016lx  rsp %016lx\n", regs->rsi, regs->rdi, regs->rbp,
           regs->rsp);
    kprint("r8  %016lx  r9  %016lx  r10 %016lx  r11 %016lx\n", regs->r8, regs->r9, regs->r10,
           regs->r11);
    kprint("r12 %016lx  r13 %016lx  r14 %016lx  r15 %016lx\n", regs->r12, regs->r13, regs->r14,
           regs->r15);
    kprint("rip %04x:%016lx  ss %04x  rflags %lx  cr2 %016lx\n", regs->cs, regs->rip, regs->ss,
           regs->rflags, trap_fault_address());
    kprint("Stack:");
    for (unsigned int i = 0; i < 12 && try_read64((uint64_t *)regs->rsp + i, &word) == 0; i++)
        kprint("%s%016lx", i % 4 ? " " : "\n  ", word);
    kprint("\n");
    backtrace(regs->rip, regs->rbp);
}

static void crash(const struct cpu_user_regs *regs)
{
    static unsigned int crashing;
    unsigned int v = regs->entry_vector;

    if (group_in_own_code()) {
        kprint("thread %s: %s (%u), error code 0x%x\n", thread_name(thread_self()),
               v < TRAP_VECTORS && names[v] ? names[v] : "unexpected entry", v, regs->error_code);
        trap_dump(regs);
        group_fail();
    }
    events_off();
    if (__atomic_exchange_n(&crashing, 1, __ATOMIC_SEQ_CST))
        domain_shutdown(SHUTDOWN_crash); /* another vCPU is at it, or the dump itself trapped */
    kprint("\nkernel crash on vCPU %u, thread %s: %s (%u), error code 0x%x\n", this_cpu()->id,
           thread_name(thread_self()), v < TRAP_VECTORS && names[v] ? names[v] : "unexpected entry",
           v, regs->error_code);
    trap_dump(regs);
    domain_shutdown(SHUTDOWN_crash);
}

/* longjmp() is where execution goes on, as if called, with the registers that it wants. */
static void give_up(struct trap_try *t, struct cpu_user_regs *regs)
{
    memcpy(t->regs, regs, offsetof(struct cpu_user_regs, es));
    this_cpu()->current->trying = t->outer;
    regs->rip = (uint64_t)longjmp;
    regs->rdi = (uint64_t)t->back;
    regs->rsi = 1;
}

int trap_try(void (*fn)(void *arg), void *arg, struct cpu_user_regs *regs)
{
    struct cpu_user_regs unused;
    struct trap_try t = { .outer = this_cpu()->current->trying, .regs = regs ? regs : &unused };

    if (setjmp(t.back))
        return (int)t.regs->entry_vector;
    this_cpu()->current->trying = &t;
    fn(arg);
    this_cpu()->current->trying = t.outer;
    return -1;
}

void kernel_entry(struct cpu_user_regs *regs)
{
    unsigned int v = regs->entry_vector;

    if (v == ENTRY_EVENT) {
        event_upcall();
        thread_end_if_killed();
    } else if ((v == VECTOR_PAGE_FAULT || v == VECTOR_GP) && regs->rip >= (uint64_t)try_begin &&
               regs->rip < (uint64_t)try_failed) {
        regs->rip = (uint64_t)try_failed;
    } else if (v < TRAP_VECTORS && handlers[v]) {
        handlers[v](regs);
    } else if (v < TRAP_VECTORS && this_cpu()->current->trying && this_cpu()->in_handler == 0) {
        give_up(this_cpu()->current->trying, regs);
    } else {
        crash(regs);
    }
}
