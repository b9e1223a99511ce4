/*
 * All ways into ring 0 and back. This text and the descriptor tables lie in a top-level slot of their
 * own (design, section 5). It is assembled twice: entry_guarded.S has it with GUARDED, for CPUs with
 * flaws, where it does what cpu_features.guards says. There, with GUARD_ROOT, a guest runs on a root that
 * shows of ours this slot alone: so nothing else is touched outside ENTER_ROOT and LEAVE_ROOT, and the
 * CPU's part of a frame is in struct small_stack while it is loaded.
 *
 * The frame of a guest is struct cpu_user_regs at the end of C's stack (%gs:ENTRY_regs), whatever the
 * way in:
 *
 *      es ds fs gs      not saved here: they stay loaded (vcpu.c saves them at a context switch)
 *      ss               } by the CPU, or by entry_syscall
 *      rsp rflags cs rip}
 *      vector:error     entry_vector in the upper half of the error code's word
 *      rdi ... r15      here
 *
 * C runs below it, from %gs:ENTRY_stack_top on: nothing is there when a guest runs.
 */
#include "x86/asm.h"

#define TRAP_SYSCALL 256
#define SYSCALL_BYTES 2 /* the instruction is executed again after -RESTART, C's ERESTART */
#define ENOSYS 38
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
#define FRAME(do) do(rip) do(cs) do(rflags) do(rsp) do(ss)
#define IN_SMALL(r) (ENTRY_small + SMALL_entry - 8 - REGS_ss + REGS_##r)
#define FROM_SMALL(r) mov %gs:IN_SMALL(r), %rax; mov %rax, REGS_##r(%rsp);
#define TO_SMALL(r) mov REGS_##r(%rsp), %rax; mov %rax, %gs:IN_SMALL(r);
#define SAVE_GPRS SAVE(rcx) SAVE(r11) GPRS_BUT_RCX_R11(SAVE) /* into the frame at %rsp */
#define LOAD_GPRS LOAD(rcx) LOAD(r11) GPRS_BUT_RCX_R11(LOAD)

.macro CALL_ON_FRAME fn         /* fn(the frame at %rsp) below it; clobbers rdi and rbx */
        mov     %rsp, %rdi
        mov     %rsp, %rbx
        and     $~15, %rsp
        call    \fn
        mov     %rbx, %rsp
.endm

.macro CALL_WITH_OUR_GS         /* trap_ist_from_hv(the frame at %rsp); clobbers all but r15 */
        mov     $MSR_GS_BASE, %ecx
        rdmsr
        mov     %eax, %r12d
        mov     %edx, %r13d
        mov     REGS_es(%rsp), %eax     /* the stack's `entry` */
        mov     REGS_es + 4(%rsp), %edx
        wrmsr
        CALL_ON_FRAME trap_ist_from_hv
        mov     $MSR_GS_BASE, %ecx
        mov     %r12d, %eax
        mov     %r13d, %edx
        wrmsr
.endm

#ifdef GUARDED
#define E(name) name##_guarded

/* GS is ours, rsp is free: to our root, if a guest's is loaded. Clobbers rsp, flags. */
.macro ENTER_ROOT
        testb   $GUARD_ROOT, %gs:ENTRY_guards
        jz      91f
        mov     %gs:ENTRY_own_root, %rsp
        mov     %rsp, %cr3
        movq    $0, %gs:ENTRY_guest_root
91:
.endm

/* No C runs from here on: what LEAVE_ROOT and the next ENTER_ROOT want. Clobbers rdi, rdx, flags. */
.macro NOTE_ROOTS
        testb   $GUARD_ROOT, %gs:ENTRY_guards
        jz      92f
        mov     %cr3, %rdi
        mov     %rdi, %gs:ENTRY_own_root
        mov     %gs:ENTRY_pcpu, %rdx
        mov     PCPU_running(%rdx), %rdx
        mov     VCPU_cr3_kernel(%rdx), %rdi
        cmpb    $0, VCPU_kernel_mode(%rdx)
        cmove   VCPU_cr3_user(%rdx), %rdi
        mov     %rdi, %gs:ENTRY_guest_root
92:
.endm

/* To the guest's root and buffers cleared; rsp, and all that is loaded, stays. Clobbers flags. */
.macro LEAVE_ROOT
        testb   $GUARD_ROOT, %gs:ENTRY_guards
        jz      93f
        mov     %rsp, %gs:ENTRY_scratch
        mov     %gs:ENTRY_guest_root, %rsp
        mov     %rsp, %cr3
        mov     %gs:ENTRY_scratch, %rsp
93:     testb   $GUARD_VERW, %gs:ENTRY_guards
        jz      94f
        verw    %gs:ENTRY_verw
94:
.endm

/*
 * On C's stack, before the first indirect branch, return or address that a guest could have an
 * interest in; the LFENCE holds those back until the conditions are known. Clobbers rcx, flags.
 */
.macro GUARD_ENTRY
        testb   $GUARD_RSB, %gs:ENTRY_guards
        jz      96f
        mov     $8, %ecx
95:     .rept   4                       /* 32 in all: no return stack is deeper */
        call    98f
97:     pause                           /* where a return may speculate */
        lfence
        jmp     97b
98:
        .endr
        dec     %ecx
        jnz     95b
        add     $32 * 8, %rsp
96:     testb   $GUARD_BHB, %gs:ENTRY_guards
        jz      99f
        call    clear_branch_history
99:     lfence
.endm
#else
#define E(name) name
#define ENTER_ROOT
#define NOTE_ROOTS
#define LEAVE_ROOT
#define GUARD_ENTRY
#endif

.macro SERVE_GUEST fn, first=   /* fn(the frame at %rsp) on C's stack, and back to a guest */
        mov     %rsp, %rdi
        mov     %gs:ENTRY_stack_top, %rsp
        GUARD_ENTRY
        \first
        call    \fn
        jmp     entry_exit
.endm

        .section .entry.text, "ax"

/* SYSCALL leaves: rip in rcx, rflags in r11, the guest's stack loaded, interrupts off (SFMASK). */
.macro SYSCALL_ENTRY cs         /* clobbers rcx */
        swapgs
        mov     %rsp, %gs:ENTRY_scratch
        ENTER_ROOT
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
FUNC(E(entry_syscall))
        SYSCALL_ENTRY GUEST_CS64
        mov     %gs:ENTRY_pcpu, %rcx
        mov     PCPU_running(%rcx), %r11
        cmpb    $0, VCPU_kernel_mode(%r11)
        je      1f
        incq    PCPU_nr_hypercalls(%rcx)
        mov     %gs:ENTRY_stack_top, %rsp
        GUARD_ENTRY
        sti
        cmp     $NR_HYPERCALLS, %rax
        jae     6f
        sbb     %rcx, %rcx              /* nor speculatively */
        and     %rcx, %rax
        lea     hypercall_table(%rip), %rcx
        mov     (%rcx,%rax,8), %rax
        mov     %r10, %rcx
        call    __x86_indirect_thunk_rax
        cli
        mov     %gs:ENTRY_regs, %rsp
        cmp     $-RESTART, %rax
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
        NOTE_ROOTS
        HYPERCALL_REGS(LOAD)
        mov     REGS_rflags(%rsp), %r11
        mov     REGS_rsp(%rsp), %rsp
        LEAVE_ROOT
        swapgs
        sysretq
1:      mov     %rsp, %rdi
        mov     %gs:ENTRY_stack_top, %rsp
        GUARD_ENTRY
        sti
        call    syscall_from_user
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
        call    deliver_event
        mov     %gs:ENTRY_regs, %rsp
        mov     %gs:ENTRY_pcpu, %rdx
        cmpl    $0, PCPU_softirqs(%rdx) /* a domain that was crashed does not go on */
        jne     entry_exit
        mov     REGS_rax(%rsp), %rax
        jmp     5b
6:      cli
        mov     %gs:ENTRY_regs, %rsp
        mov     $-ENOSYS, %rax
        mov     %rax, REGS_rax(%rsp)
        jmp     exit_by_sysret

FUNC(E(entry_syscall32))
        SYSCALL_ENTRY GUEST_CS32
        SERVE_GUEST syscall32_from_guest, sti

/*
 * SYSENTER loads no return address: the guest's handler knows it. rsp is the end of the first small
 * stack, by the MSR. The CPU clears no flag but IF: TF's #DB at the first instruction is dealt with
 * there, and NT, DF and AC go before C sees them.
 */
FUNC(E(entry_sysenter))
        pushfq                          /* to where ss is on an interrupt */
        swapgs
        ENTER_ROOT
        mov     %gs:ENTRY_regs, %rsp
        SAVE_GPRS
        mov     %gs:IN_SMALL(ss), %rax
        mov     %rax, REGS_rflags(%rsp)
        pushq   $2
        popfq
        movq    $0, REGS_rip(%rsp)
        movq    $0, REGS_rsp(%rsp)
        movq    $GUEST_CS32, REGS_cs(%rsp)
        movq    $GUEST_DS, REGS_ss(%rsp)
        movl    $0, REGS_entry_vector(%rsp)
        SERVE_GUEST sysenter_from_guest, sti

/*
 * The word above the CPU's frame is vector:error. From a guest the frame is in its place already, but
 * with GUARD_ROOT. The LFENCEs: a wrong guess of where it came from would use the wrong GS.
 */
FUNC(E(trap_common))
        cld
        testb   $3, 16(%rsp)
        jz      trap_in_hv
        swapgs
        lfence
#ifdef GUARDED
        testb   $GUARD_ROOT, %gs:ENTRY_guards
        jz      1f
        ENTER_ROOT
        mov     %gs:ENTRY_regs, %rsp
        SAVE(rax)
        mov     %gs:IN_SMALL(error_code), %rax
        mov     %rax, REGS_error_code(%rsp)
        FRAME(FROM_SMALL)
        LOAD(rax)
        jmp     trap_save
1:
#endif
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
        movq    $0, -8(%rsp)            /* it may be a guest's, and guests may see this stack */
        je      1f
        lfence
        sub     $REGS_error_code, %rsp
        SAVE_GPRS
        CALL_ON_FRAME trap_from_hv
trap_return_hv:
        LOAD_GPRS
        add     $REGS_rip, %rsp
        iretq
1:      swapgs
        lfence
        ENTER_ROOT
        mov     %gs:ENTRY_regs, %rsp
        SAVE_GPRS
        SERVE_GUEST iret_fault

/*
 * NMI, #MC, #DB and #DF come on their own stacks, at any instruction of ring 0, so GS cannot be trusted
 * there: above the frame is what it must be. From a guest they are like any other trap.
 */
FUNC(E(trap_ist))
        cld
        testb   $3, 16(%rsp)
        jz      1f
        swapgs
        lfence
        mov     %rax, %gs:ENTRY_scratch
#ifdef GUARDED
        mov     %rsp, %rax
        ENTER_ROOT
        mov     %rax, %rsp
#endif
        mov     %gs:ENTRY_regs, %rax
        POP(error_code) POP(rip) POP(cs) POP(rflags) POP(rsp) POP(ss)
        mov     %rax, %rsp
        mov     %gs:ENTRY_scratch, %rax
        movq    $0, %gs:ENTRY_scratch
        jmp     trap_save
1:      lfence
#ifdef GUARDED
        push    %rax
        push    %rdx
        mov     8 * 8(%rsp), %rax       /* entry */
        testb   $GUARD_ROOT, ENTRY_guards(%rax)
        jnz     2f
        pop     %rdx
        pop     %rax
#endif
        sub     $REGS_error_code, %rsp
        SAVE_GPRS
        CALL_WITH_OUR_GS
        jmp     trap_return_hv
#ifdef GUARDED
/*
 * Maybe on a guest's root, in the text above or below: then guest_root is set, and to that root it
 * goes back. The frame moves to a stack that guests do not see, at once, as do registers of C.
 */
2:      mov     %cr3, %rdx
        push    %rdx
        mov     ENTRY_own_root(%rax), %rdx
        cmpq    $0, ENTRY_guest_root(%rax)
        je      3f
        mov     %rdx, %cr3
3:      mov     %rsp, %rax
        mov     10 * 8(%rsp), %rsp      /* stack */
        .irp    word, 8, 7, 6, 5, 4, 3  /* ss ... vector:error */
        pushq   \word * 8(%rax)
        .endr
        sub     $REGS_error_code, %rsp
        mov     8(%rax), %rdx
        SAVE_GPRS
        mov     16(%rax), %rdx
        mov     %rdx, REGS_rax(%rsp)
        movq    $0, 8(%rax)
        movq    $0, 16(%rax)
        mov     %rax, %r15
        CALL_WITH_OUR_GS
        mov     (%r15), %rax
        mov     %cr3, %rdx
        cmp     %rax, %rdx
        je      trap_return_hv
        mov     9 * 8(%r15), %rax       /* entry */
        testb   $GUARD_VERW, ENTRY_guards(%rax)
        jz      4f
        verw    ENTRY_verw(%rax)
4:      mov     REGS_rflags(%rsp), %rax /* nothing else was changed */
        mov     %rax, 6 * 8(%r15)
        mov     REGS_r15(%rsp), %rax
        mov     %rax, 8(%r15)
        mov     REGS_rax(%rsp), %rax
        mov     %rax, 16(%r15)
        LOAD(rcx) LOAD(r11) LOAD(r14) LOAD(r13) LOAD(r12) LOAD(rbp) LOAD(rbx) LOAD(r10) LOAD(r9) LOAD(r8)
        LOAD(rdx) LOAD(rsi) LOAD(rdi)
        mov     %r15, %rsp
        pop     %rax
        mov     %rax, %cr3
        pop     %r15
        pop     %rax
        movq    $0, -8(%rsp)
        movq    $0, -16(%rsp)
        add     $8, %rsp
        iretq
#endif

/* A stub per vector, 16 bytes each: vector and error code in one word, then the common part. */
FUNC(E(entry_stubs))
        .set    vec, 0
        .rept   256
        .balign 16
        .if     vec >= 32 || ((VECTORS_WITH_ERROR_CODE >> (vec & 31)) & 1) == 0
        pushq   $0
        .endif
        movl    $vec, 4(%rsp)
        .if     vec < 32 && ((VECTORS_WITH_IST >> (vec & 31)) & 1) == 1
        jmp     E(trap_ist)
        .else
        jmp     E(trap_common)
        .endif
        .set    vec, vec + 1
        .endr

/*
 * The way to a guest, but for the short one of hypercalls (entry_syscall). Softirqs first (they may
 * switch vCPUs), then what the guest has to be told, then its registers. Interrupts stay off from
 * the last check on.
 */
FUNC(E(entry_exit))
#ifdef GUARDED
entry_exit:
#endif
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
        NOTE_ROOTS
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
        LEAVE_ROOT
        swapgs
        sysretq
6:      call    deliver_nmis
        cmpl    $0, PCPU_softirqs(%rbx)
        jne     3f
        mov     PCPU_running(%rbx), %rdi
        jmp     7b
4:      call    deliver_event
        cmpl    $0, PCPU_softirqs(%rbx) /* a domain that was crashed does not go on */
        je      2b
3:      call    softirq_run
        mov     PCPU_running(%rbx), %rdi
        cmpb    $0, VCPU_is_idle(%rdi)
        je      1b
        call    idle_loop
5:
#ifdef GUARDED
        testb   $GUARD_ROOT, %gs:ENTRY_guards
        jz      8f
        FRAME(TO_SMALL)
        LOAD_GPRS
        mov     %gs:ENTRY_small_rip, %rsp
        jmp     9f
8:
#endif
        LOAD_GPRS
        add     $REGS_rip, %rsp
9:      LEAVE_ROOT
        swapgs
iret_to_guest:
        iretq

#ifdef GUARDED
/* Taken branches by the hundred. Clobbers rcx, flags. */
clear_branch_history:
        push    %rax
        mov     $8, %ecx
1:      call    2f
        dec     %ecx
        jnz     1b
        pop     %rax
        ret
2:      mov     $12, %eax
3:      jmp     4f
        nop
4:      dec     %eax
        jnz     3b
        ret
#else
        .text

/* The same for C: drops the stack. */
FUNC(exit_to_guest)
        cmpl    $0, cpu_features + CPU_guards(%rip)
        je      entry_exit
        jmp     entry_exit_guarded

/* What the compiler makes indirect calls and jumps of: a return whose guess is known. */
.macro THUNK reg
FUNC(__x86_indirect_thunk_\reg)
        call    1f
2:      pause
        lfence
        jmp     2b
1:      mov     %\reg, (%rsp)
        ret
.endm
        .irp    reg, rax, rbx, rcx, rdx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15
        THUNK   \reg
        .endr
        .set    __llvm_retpoline_r11, __x86_indirect_thunk_r11
        .globl  __llvm_retpoline_r11
#endif

        .section .note.GNU-stack, "", @progbits
