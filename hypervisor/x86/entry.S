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
#define GUEST_CS64 0xe033
#define GUEST_DS 0xe02b
#define MSR_GS_BASE 0xc0000101

/* The assembler's names for offsets.h's, so that .irp can form them. */
#define F(r) .set F_##r, REGS_##r;
        F(rdi) F(rsi) F(rdx) F(rcx) F(rax) F(r8) F(r9) F(r10)
        F(r11) F(rbx) F(rbp) F(r12) F(r13) F(r14) F(r15)

.macro SAVE_GPRS                /* into the frame at %rsp */
        .irp r, rdi, rsi, rdx, rcx, rax, r8, r9, r10, r11, rbx, rbp, r12, r13, r14, r15
        mov     %\r, F_\r(%rsp)
        .endr
.endm

.macro RESTORE_GPRS_BUT_RCX_R11
        .irp r, r15, r14, r13, r12, rbp, rbx, r10, r9, r8, rax, rdx, rsi, rdi
        mov     F_\r(%rsp), %\r
        .endr
.endm

.macro CALL_C fn                /* from the entry slot; clobbers rax */
        movabs  $\fn, %rax
        call    *%rax
.endm

        .section .entry.text, "ax"

/* SYSCALL leaves: rip in rcx, rflags in r11, the guest's stack loaded, interrupts off (SFMASK). */
.macro SYSCALL_ENTRY handler, cs
        swapgs
        mov     %rsp, %gs:ENTRY_scratch
        mov     %gs:ENTRY_regs, %rsp
        SAVE_GPRS
        mov     %rcx, REGS_rip(%rsp)
        mov     %r11, REGS_rflags(%rsp)
        mov     %gs:ENTRY_scratch, %rax
        mov     %rax, REGS_rsp(%rsp)
        movq    $\cs, REGS_cs(%rsp)
        movq    $GUEST_DS, REGS_ss(%rsp)
        movl    $TRAP_SYSCALL, REGS_entry_vector(%rsp)
        mov     %rsp, %rdi
        mov     %gs:ENTRY_stack_top, %rsp
        sti
        CALL_C  \handler
        jmp     entry_exit
.endm

FUNC(entry_syscall)
        SYSCALL_ENTRY syscall_from_guest, GUEST_CS64
END(entry_syscall)

FUNC(entry_syscall32)
        SYSCALL_ENTRY syscall32_from_guest, 0xe023
END(entry_syscall32)

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
        movq    $0, REGS_rip(%rsp)
        movq    $0, REGS_rsp(%rsp)
        movq    $0xe023, REGS_cs(%rsp)
        movq    $GUEST_DS, REGS_ss(%rsp)
        movl    $0, REGS_entry_vector(%rsp)
        mov     %rsp, %rdi
        mov     %gs:ENTRY_stack_top, %rsp
        pushq   $0x202
        popfq
        CALL_C  sysenter_from_guest
        jmp     entry_exit
END(entry_sysenter)

/* The word above the CPU's frame is vector:error. From a guest the frame is in its place already. */
FUNC(trap_common)
        cld
        testb   $3, 16(%rsp)
        jz      trap_in_hv
        swapgs
        sub     $REGS_error_code, %rsp
trap_save:
        SAVE_GPRS
        mov     %rsp, %rdi
        mov     %gs:ENTRY_stack_top, %rsp
        CALL_C  trap_from_guest
        jmp     entry_exit

/*
 * From ring 0. The only such trap with the guest's GS loaded is a fault of the iretq that returns
 * to it: its frame still holds all but the general registers, which are the guest's own now.
 */
trap_in_hv:
        push    %rax
        lea     iret_to_guest(%rip), %rax
        cmp     %rax, 16(%rsp)
        je      1f
        pop     %rax
        sub     $REGS_error_code, %rsp
        SAVE_GPRS
        mov     %rsp, %rdi
        mov     %rsp, %rbx
        and     $~15, %rsp
        CALL_C  trap_from_hv
        mov     %rbx, %rsp
trap_return_hv:
        mov     REGS_rcx(%rsp), %rcx
        mov     REGS_r11(%rsp), %r11
        RESTORE_GPRS_BUT_RCX_R11
        add     $REGS_rip, %rsp
        iretq
1:      swapgs
        mov     8(%rsp), %rax           /* vector:error of the fault */
        mov     %rax, %gs:ENTRY_scratch
        pop     %rax
        mov     %gs:ENTRY_regs, %rsp
        SAVE_GPRS
        mov     %gs:ENTRY_scratch, %rax
        mov     %rax, REGS_error_code(%rsp)
        mov     %rsp, %rdi
        mov     %gs:ENTRY_stack_top, %rsp
        CALL_C  iret_fault
        jmp     entry_exit
END(trap_common)

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
        popq    REGS_error_code(%rax)
        popq    REGS_rip(%rax)
        popq    REGS_cs(%rax)
        popq    REGS_rflags(%rax)
        popq    REGS_rsp(%rax)
        popq    REGS_ss(%rax)
        mov     %rax, %rsp
        mov     %gs:ENTRY_scratch, %rax
        jmp     trap_save
1:      sub     $REGS_error_code, %rsp
        SAVE_GPRS
        mov     %rsp, %rbx
        mov     $MSR_GS_BASE, %ecx
        rdmsr
        mov     %eax, %r12d
        mov     %edx, %r13d
        mov     %rsp, %rax              /* the pointer at the top: two pages, the stack's second */
        or      $0xfff, %rax
        mov     -15(%rax), %rax
        mov     %rax, %rdx
        shr     $32, %rdx
        wrmsr
        mov     %rbx, %rdi
        and     $~15, %rsp
        CALL_C  trap_ist_from_hv
        mov     $MSR_GS_BASE, %ecx
        mov     %r12d, %eax
        mov     %r13d, %edx
        wrmsr
        mov     %rbx, %rsp
        jmp     trap_return_hv
END(trap_ist)

.macro STUB vec, common=trap_common, has_error=0
        .balign 16
stub_\vec:
        .if (\has_error) == 0
        pushq   $0
        .endif
        movl    $\vec, 4(%rsp)
        jmp     \common
        .pushsection .rodata.stubs, "a"
        .quad   stub_\vec
        .popsection
.endm

        .pushsection .rodata.stubs, "a"
        .balign 8
        .globl  exception_stubs
exception_stubs:
        .popsection
        .irp    vec, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, \
                22, 23, 24, 25, 26, 27, 28, 29, 30, 31
        .if     \vec == 1 || \vec == 2 || \vec == 18
        STUB    \vec, trap_ist
        .elseif \vec == 8
        STUB    \vec, trap_ist, 1
        .else
        STUB    \vec, trap_common, ((1 << \vec) & (0xf << 10 | 1 << 14 | 1 << 17 | 1 << 21 | 3 << 29))
        .endif
        .endr

        /* vectors 32..255: 16 bytes each */
        .globl  irq_stubs
        .balign 16
irq_stubs:
        .set    vec, 32
        .rept   224
        .balign 16
        pushq   $0
        movl    $vec, 4(%rsp)
        jmp     trap_common
        .set    vec, vec + 1
        .endr

/*
 * The only way to a guest. Softirqs first (they may switch vCPUs), then what the guest has to be
 * told, then its registers. Interrupts stay off from the last check on.
 */
FUNC(entry_exit)
        cli
        mov     %gs:ENTRY_stack_top, %rsp
        mov     %gs:ENTRY_pcpu, %rbx
        cmpl    $0, PCPU_softirqs(%rbx)
        jne     3f
1:      mov     PCPU_running(%rbx), %rdi
        cmpw    $0, VCPU_nmi_pending(%rdi)
        jne     4f
        mov     VCPU_info(%rdi), %rcx
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
        RESTORE_GPRS_BUT_RCX_R11
        mov     REGS_rsp(%rsp), %rsp
        swapgs
        sysretq
3:      CALL_C  softirq_run
        mov     PCPU_running(%rbx), %rdi
        cmpb    $0, VCPU_is_idle(%rdi)
        je      1b
        movabs  $idle_loop, %rax
        jmp     *%rax
4:      CALL_C  deliver_pending
        jmp     2b
5:      mov     REGS_rcx(%rsp), %rcx
        mov     REGS_r11(%rsp), %r11
        RESTORE_GPRS_BUT_RCX_R11
        add     $REGS_rip, %rsp
        swapgs
        .globl  iret_to_guest
iret_to_guest:
        iretq
END(entry_exit)

        .pushsection .rodata, "a"
        .balign 8
        .globl  entry_points
entry_points:
        .quad   entry_syscall, entry_syscall32, entry_sysenter, irq_stubs
        .popsection

        .text

/* The same for C: drops the stack. */
FUNC(exit_to_guest)
        movabs  $entry_exit, %rax
        jmp     *%rax
END(exit_to_guest)

/* An NMI stays blocked until an IRET: make one. */
FUNC(nmi_unblock)
        pop     %rcx
        mov     %rsp, %rax
        mov     %ss, %edx
        push    %rdx
        push    %rax
        pushfq
        mov     %cs, %edx
        push    %rdx
        push    %rcx
        iretq
END(nmi_unblock)

/* bool load_segment_X(uint16_t sel): true if the selector faulted; then 0 is loaded. */
.macro LOAD_SEGMENT seg
FUNC(load_segment_\seg)
        xor     %eax, %eax
1:      mov     %edi, %\seg
        ret
2:      mov     %eax, %\seg
        inc     %eax
        ret
        EX_TABLE(1b, 2b)
END(load_segment_\seg)
.endm
        LOAD_SEGMENT ds
        LOAD_SEGMENT es
        LOAD_SEGMENT fs

/*
 * uint64_t load_segment_gs(uint16_t sel, bool *faulted): the base that came with it. The base is
 * ours again at return; an NMI in between finds its own way (trap_ist). Interrupts off.
 */
FUNC(load_segment_gs)
        mov     %gs:ENTRY_pcpu, %r8
        mov     $MSR_GS_BASE, %ecx
        rdmsr
        mov     %eax, %r9d
        mov     %edx, %r10d
        movb    $0, (%rsi)
1:      mov     %edi, %gs
        rdmsr
        shl     $32, %rdx
        mov     %eax, %edi
        or      %rdx, %rdi
        mov     %r9d, %eax
        mov     %r10d, %edx
        wrmsr
        mov     %rdi, %rax
        ret
2:      movb    $1, (%rsi)
        xor     %edi, %edi
        jmp     1b
        EX_TABLE(1b, 2b)
END(load_segment_gs)

/*
 * size_t copy_guest(void *dst, const void *src, size_t len): bytes not copied. The 8-byte part
 * first; a fault anywhere gives what is left.
 */
FUNC(copy_guest)
        mov     %rdx, %rcx
        shr     $3, %rcx
        and     $7, %edx
1:      rep movsq
        mov     %edx, %ecx
2:      rep movsb
        xor     %eax, %eax
        ret
3:      lea     (%rdx, %rcx, 8), %rax
        ret
4:      mov     %rcx, %rax
        ret
        EX_TABLE(1b, 3b)
        EX_TABLE(2b, 4b)
END(copy_guest)

/* int msr_read(uint32_t msr, uint64_t *value), int msr_write(uint32_t msr, uint64_t value): 0 or -EFAULT */
FUNC(arch_rdmsr_safe)
        mov     %edi, %ecx
1:      rdmsr
        shl     $32, %rdx
        or      %rdx, %rax
        mov     %rax, (%rsi)
        xor     %eax, %eax
        ret
2:      mov     $-14, %eax
        ret
        EX_TABLE(1b, 2b)
END(arch_rdmsr_safe)

FUNC(arch_wrmsr_safe)
        mov     %edi, %ecx
        mov     %esi, %eax
        mov     %rsi, %rdx
        shr     $32, %rdx
1:      wrmsr
        xor     %eax, %eax
        ret
2:      mov     $-14, %eax
        ret
        EX_TABLE(1b, 2b)
END(arch_wrmsr_safe)

        .section .note.GNU-stack, "", @progbits
