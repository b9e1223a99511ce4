/*
 * All ways into ring 0 and back. This text, the descriptor tables and the entry stacks lie in a
 * top-level slot of their own (design, section 5), so C is called through a 64-bit address.
 *
 * The frame of a guest is struct cpu_user_regs at the top of the CPU's entry stack (%gs:ENTRY_regs),
 * whatever the way in:
 *
 *      es ds fs gs      not saved here: they stay loaded (vcpu.c saves them at a context switch)
 *      ss               } by the CPU, or by entry_syscall
 *      rsp rflags cs rip}
 *      vector:error     entry_vector in the upper half of the error code's word
 *      rdi ... r15      here
 *
 * C runs on the CPU's execution stack, from its top: nothing is on it when a guest runs.
 */
#include "x86/asm.h"

#define TRAP_SYSCALL 256
#define SYSCALL_BYTES 2 /* the instruction is executed again after -ERESTART */
#define ERESTART 85
#define GUEST_CS32 0xe023
#define GUEST_CS64 0xe033
#define GUEST_DS 0xe02b
#define MSR_GS_BASE 0xc0000101
#define VECTORS_WITH_IST (1 << 1 | 1 << 2 | 1 << 8 | 1 << 18)
#define VECTORS_WITH_ERROR_CODE (1 << 8 | 0xf << 10 | 1 << 14 | 1 << 17 | 1 << 21 | 3 << 29)

#define GPRS_BUT_RCX_R11(do) \
        do(r15) do(r14) do(r13) do(r12) do(rbp) do(rbx) do(r10) do(r9) do(r8) do(rax) do(rdx) do(rsi) do(rdi)
#define HYPERCALL_REGS(do) do(r10) do(r9) do(r8) do(rdx) do(rsi) do(rdi) /* that C may clobber */
#define POP(r) popq REGS_##r(%rax);
#define SAVE(r) mov %r, REGS_##r(%rsp);
#define LOAD(r) mov REGS_##r(%rsp), %r;
#define SAVE_GPRS SAVE(rcx) SAVE(r11) GPRS_BUT_RCX_R11(SAVE) /* into the frame at %rsp */
#define LOAD_GPRS LOAD(rcx) LOAD(r11) GPRS_BUT_RCX_R11(LOAD)

.macro CALL_C fn                /* from the entry slot; clobbers rax */
        movabs  $\fn, %rax
        call    *%rax
.endm

.macro CALL_C_ON_FRAME fn       /* fn(the frame at %rsp) below it; clobbers rdi and rbx, too */
        mov     %rsp, %rdi
        mov     %rsp, %rbx
        and     $~15, %rsp
        CALL_C  \fn
        mov     %rbx, %rsp
.endm

.macro SERVE_GUEST fn, first=   /* fn(the frame at %rsp) on the execution stack, and back to a guest */
        mov     %rsp, %rdi
        mov     %gs:ENTRY_stack_top, %rsp
        \first
        CALL_C  \fn
        jmp     entry_exit
.endm

        .section .entry.text, "ax"

/* SYSCALL leaves: rip in rcx, rflags in r11, the guest's stack loaded, interrupts off (SFMASK). */
.macro SYSCALL_ENTRY cs         /* clobbers rcx */
        swapgs
        mov     %rsp, %gs:ENTRY_scratch
        mov     %gs:ENTRY_regs, %rsp
        SAVE_GPRS
        mov     %rcx, REGS_rip(%rsp)
        mov     %r11, REGS_rflags(%rsp)
        mov     %gs:ENTRY_scratch, %rcx
        mov     %rcx, REGS_rsp(%rsp)
        movq    $\cs, REGS_cs(%rsp)
        movq    $GUEST_DS, REGS_ss(%rsp)
        movl    $TRAP_SYSCALL, REGS_entry_vector(%rsp)
.endm

/*
 * From a guest's kernel: a hypercall. Its arguments are where C wants them but for r10, and what C
 * preserves is not loaded again; whoever changes more of the frame than rax and the arguments
 * (iret) leaves by exit_to_guest(). As soon as there is anything else to do, by entry_exit.
 */
FUNC(entry_syscall)
        SYSCALL_ENTRY GUEST_CS64
        mov     %gs:ENTRY_pcpu, %rcx
        mov     PCPU_running(%rcx), %rcx
        cmpb    $0, VCPU_kernel_mode(%rcx)
        je      1f
        mov     %gs:ENTRY_stack_top, %rsp
        sti
        mov     %rax, %r9
        mov     %r10, %rcx
        CALL_C  hypercall
        cli
        mov     %gs:ENTRY_regs, %rsp
        cmp     $-ERESTART, %rax
        je      2f
        mov     %rax, REGS_rax(%rsp)
exit_by_sysret:                         /* rax and what C preserves are loaded, rcx and r11 do not count */
        mov     %gs:ENTRY_pcpu, %rdx
        cmpl    $0, PCPU_softirqs(%rdx)
        jne     entry_exit
        mov     PCPU_running(%rdx), %rdi
        cmpw    $0, VCPU_nmi_pending(%rdi)
        jne     entry_exit
        mov     VCPU_info(%rdi), %rcx
        cmpb    $0, INFO_pending(%rcx)
        jne     4f
5:      mov     REGS_rip(%rsp), %rcx
        mov     %rcx, %rdx              /* SYSRET to a non-canonical address faults in ring 0 */
        shl     $16, %rdx
        sar     $16, %rdx
        cmp     %rcx, %rdx
        jne     entry_exit
        HYPERCALL_REGS(LOAD)
        mov     REGS_rflags(%rsp), %r11
        mov     REGS_rsp(%rsp), %rsp
        swapgs
        sysretq
1:      mov     %rsp, %rdi
        mov     %gs:ENTRY_stack_top, %rsp
        sti
        CALL_C  syscall_from_user
        cli
        mov     %gs:ENTRY_regs, %rsp
        cmpw    $GUEST_CS64, REGS_cs(%rsp) /* a callback; an exception's handler may have any */
        jne     entry_exit
        mov     REGS_rax(%rsp), %rax
        jmp     exit_by_sysret
2:      cmpq    $HYPERVISOR_get_debugreg, REGS_rax(%rsp)        /* that answers any value of the guest's */
        je      3f
        subq    $SYSCALL_BYTES, REGS_rip(%rsp)
        jmp     entry_exit
3:      mov     %rax, REGS_rax(%rsp)
        jmp     entry_exit
4:      cmpb    $0, INFO_mask(%rcx)
        jne     5b
        mov     %gs:ENTRY_stack_top, %rsp
        CALL_C  deliver_event
        mov     %gs:ENTRY_regs, %rsp
        mov     %gs:ENTRY_pcpu, %rdx
        cmpl    $0, PCPU_softirqs(%rdx) /* a domain that was crashed does not go on */
        jne     entry_exit
        mov     REGS_rax(%rsp), %rax
        jmp     5b

FUNC(entry_syscall32)
        SYSCALL_ENTRY GUEST_CS32
        SERVE_GUEST syscall32_from_guest, sti

/*
 * SYSENTER loads no return address: the guest's handler knows it. rsp is the entry stack's top by
 * the MSR. The CPU clears no flag but IF: TF's #DB at the first instruction is dealt with there,
 * and NT, DF and AC go before C sees them.
 */
FUNC(entry_sysenter)
        swapgs
        mov     %gs:ENTRY_regs, %rsp
        SAVE_GPRS
        pushfq
        popq    REGS_rflags(%rsp)
        pushq   $2
        popfq
        movq    $0, REGS_rip(%rsp)
        movq    $0, REGS_rsp(%rsp)
        movq    $GUEST_CS32, REGS_cs(%rsp)
        movq    $GUEST_DS, REGS_ss(%rsp)
        movl    $0, REGS_entry_vector(%rsp)
        SERVE_GUEST sysenter_from_guest, sti

/* The word above the CPU's frame is vector:error. From a guest the frame is in its place already. */
FUNC(trap_common)
        cld
        testb   $3, 16(%rsp)
        jz      trap_in_hv
        swapgs
        sub     $REGS_error_code, %rsp
trap_save:
        SAVE_GPRS
        SERVE_GUEST trap_from_guest

/*
 * From ring 0. The only such trap with the guest's GS loaded is a fault of the iretq that returns
 * to it: its frame still holds all but the general registers, which are the guest's own now.
 */
trap_in_hv:
        push    %rax
        lea     iret_to_guest(%rip), %rax
        cmp     %rax, 16(%rsp)
        pop     %rax
        je      1f
        sub     $REGS_error_code, %rsp
        SAVE_GPRS
        CALL_C_ON_FRAME trap_from_hv
trap_return_hv:
        LOAD_GPRS
        add     $REGS_rip, %rsp
        iretq
1:      swapgs
        mov     %gs:ENTRY_regs, %rsp
        SAVE_GPRS
        SERVE_GUEST iret_fault

/*
 * NMI, #MC, #DB and #DF come on their own stacks, at any instruction of ring 0, so GS cannot be trusted
 * there: the top word of the stack has what it must be. From a guest they are like any other trap.
 */
FUNC(trap_ist)
        cld
        testb   $3, 16(%rsp)
        jz      1f
        swapgs
        mov     %rax, %gs:ENTRY_scratch
        mov     %gs:ENTRY_regs, %rax
        POP(error_code) POP(rip) POP(cs) POP(rflags) POP(rsp) POP(ss)
        mov     %rax, %rsp
        mov     %gs:ENTRY_scratch, %rax
        jmp     trap_save
1:      sub     $REGS_error_code, %rsp
        SAVE_GPRS
        mov     $MSR_GS_BASE, %ecx
        rdmsr
        mov     %eax, %r12d
        mov     %edx, %r13d
        mov     %rsp, %rax              /* the pointer at the top: two pages, the stack's second */
        or      $0xfff, %rax
        mov     -11(%rax), %edx
        mov     -15(%rax), %eax
        wrmsr
        CALL_C_ON_FRAME trap_ist_from_hv
        mov     $MSR_GS_BASE, %ecx
        mov     %r12d, %eax
        mov     %r13d, %edx
        wrmsr
        jmp     trap_return_hv

/* A stub per vector, 16 bytes each: vector and error code in one word, then the common part. */
FUNC(entry_stubs)
        .set    vec, 0
        .rept   256
        .balign 16
        .if     vec >= 32 || ((VECTORS_WITH_ERROR_CODE >> (vec & 31)) & 1) == 0
        pushq   $0
        .endif
        movl    $vec, 4(%rsp)
        .if     vec < 32 && ((VECTORS_WITH_IST >> (vec & 31)) & 1) == 1
        jmp     trap_ist
        .else
        jmp     trap_common
        .endif
        .set    vec, vec + 1
        .endr

/*
 * The way to a guest, but for the short one of hypercalls (entry_syscall). Softirqs first (they may
 * switch vCPUs), then what the guest has to be told, then its registers. Interrupts stay off from
 * the last check on.
 */
FUNC(entry_exit)
        cli
        mov     %gs:ENTRY_stack_top, %rsp
        mov     %gs:ENTRY_pcpu, %rbx
        cmpl    $0, PCPU_softirqs(%rbx)
        jne     3f
1:      mov     PCPU_running(%rbx), %rdi
        cmpw    $0, VCPU_nmi_pending(%rdi)
        jne     6f
7:      mov     VCPU_info(%rdi), %rcx
        cmpb    $0, INFO_pending(%rcx)
        je      2f
        cmpb    $0, INFO_mask(%rcx)
        je      4f
2:      mov     %gs:ENTRY_regs, %rsp
        cmpl    $TRAP_SYSCALL, REGS_entry_vector(%rsp)
        jne     5f
        mov     REGS_rip(%rsp), %rcx
        mov     %rcx, %rax              /* SYSRET to a non-canonical address faults in ring 0 */
        sar     $47, %rax
        add     $1, %eax
        cmp     $1, %eax
        ja      5f
        cmpw    $GUEST_CS64, REGS_cs(%rsp)
        jne     5f
        mov     REGS_rflags(%rsp), %r11
        GPRS_BUT_RCX_R11(LOAD)
        mov     REGS_rsp(%rsp), %rsp
        swapgs
        sysretq
6:      CALL_C  deliver_nmis
        cmpl    $0, PCPU_softirqs(%rbx)
        jne     3f
        mov     PCPU_running(%rbx), %rdi
        jmp     7b
4:      CALL_C  deliver_event
        cmpl    $0, PCPU_softirqs(%rbx) /* a domain that was crashed does not go on */
        je      2b
3:      CALL_C  softirq_run
        mov     PCPU_running(%rbx), %rdi
        cmpb    $0, VCPU_is_idle(%rdi)
        je      1b
        CALL_C  idle_loop
5:      LOAD_GPRS
        add     $REGS_rip, %rsp
        swapgs
iret_to_guest:
        iretq

        .text

/* The same for C: drops the stack. */
FUNC(exit_to_guest)
        movabs  $entry_exit, %rax
        jmp     *%rax

        .section .note.GNU-stack, "", @progbits
