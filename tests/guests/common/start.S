/*
 * Start of day of the test kernels: ELF notes, first instructions, entry stubs, way to user mode.
 * Per kernel (guests.mk): NO_HYPERCALL_PAGE drops that note, INIT_P2M puts the p2m elsewhere.
 */
#include <xen/elfnote.h>
#include <xen/xen.h>

#define VIRT_BASE 0xffffffff80000000

        .macro  note type, kind:req, value:vararg
        .p2align 2
        .long   4, 9f - 8f, \type
        .asciz  "Xen"
8:      .\kind  \value
9:      .p2align 2
        .endm

        .pushsection .note.Xen, "a", @note
        note    XEN_ELFNOTE_GUEST_OS, asciz, "xen-like-test"
        note    XEN_ELFNOTE_GUEST_VERSION, asciz, "1"
        note    XEN_ELFNOTE_XEN_VERSION, asciz, "xen-3.0"
        note    XEN_ELFNOTE_VIRT_BASE, quad, VIRT_BASE
        note    XEN_ELFNOTE_PADDR_OFFSET, quad, 0
        note    XEN_ELFNOTE_ENTRY, quad, start
        note    XEN_ELFNOTE_FEATURES, asciz, "!writable_page_tables|pae_pgdir_above_4gb"
        note    XEN_ELFNOTE_SUPPORTED_FEATURES, long, 0x801
        note    XEN_ELFNOTE_PAE_MODE, asciz, "yes"
        note    XEN_ELFNOTE_LOADER, asciz, "generic"
        note    XEN_ELFNOTE_L1_MFN_VALID, quad, 1, 1
        note    XEN_ELFNOTE_SUSPEND_CANCEL, long, 1
        note    XEN_ELFNOTE_MOD_START_PFN, long, 1
        note    XEN_ELFNOTE_HV_START_LOW, quad, 0xffff800000000000
#ifdef INIT_P2M
        note    XEN_ELFNOTE_INIT_P2M, quad, INIT_P2M
#endif
#ifndef NO_HYPERCALL_PAGE
        note    XEN_ELFNOTE_HYPERCALL_PAGE, quad, hypercall_page
#endif
        .popsection

        .section .text.start, "ax"
        .globl  hypercall_page
        .p2align 12
hypercall_page:                         /* the hypervisor writes it; untouched, it traps */
        .fill   4096, 1, 0xcc

        .globl  start
start:                                  /* rsi: struct start_info */
        cld
        lea     boot_stack_top(%rip), %rsp
        xor     %ebp, %ebp
        mov     %rsi, %rdi
        call    guest_start
        ud2

/* VCPUOP_initialise: other vCPUs begin here, rdi and rsp as their context says. */
        .globl  start_secondary
start_secondary:
        cld
        xor     %ebp, %ebp
        call    guest_start_secondary
        ud2

/*
 * One stub per vector, 32 bytes apart. The stack becomes a struct cpu_user_regs up to ss, with
 * entry_vector set, whether or not there was an error code.
 */
        .text
        .macro  stub vector, has_error
        .p2align 5
        pop     %rcx
        pop     %r11
        .if     !(\has_error)
        push    $0
        .endif
        movl    $\vector, 4(%rsp)
        jmp     trap_common
        .endm

        .globl  trap_stubs
        .p2align 5
trap_stubs:
        .set    vec, 0
        .rept   256
        .set    has_error, (vec == 8) | ((vec >= 10) & (vec <= 14)) | (vec == 17) | (vec == 21)
        stub    vec, has_error
        .set    vec, vec + 1
        .endr

        .globl  event_entry, syscall_entry, nmi_entry, failsafe_entry, sysenter_entry
event_entry:
        stub    256, 0
syscall_entry:
        stub    257, 0
nmi_entry:
        stub    258, 0
sysenter_entry:
        stub    260, 0
        .p2align 5
failsafe_entry:                         /* ds es fs gs come between r11 and rip */
        pop     %rcx
        pop     %r11
        push    %rax
        mov     8(%rsp), %rax
        mov     %rax, failsafe_selectors(%rip)
        mov     16(%rsp), %rax
        mov     %rax, failsafe_selectors + 8(%rip)
        mov     24(%rsp), %rax
        mov     %rax, failsafe_selectors + 16(%rip)
        mov     32(%rsp), %rax
        mov     %rax, failsafe_selectors + 24(%rip)
        pop     %rax
        add     $32, %rsp
        push    $0
        movl    $259, 4(%rsp)

trap_common:
        push    %rdi
        push    %rsi
        push    %rdx
        push    %rcx
        push    %rax
        push    %r8
        push    %r9
        push    %r10
        push    %r11
        push    %rbx
        push    %rbp
        push    %r12
        push    %r13
        push    %r14
        push    %r15
        cld
        mov     %rsp, %rdi
        mov     %rsp, %rbp
        and     $-16, %rsp
        call    trap_entry
        mov     %rbp, %rsp
/* rsp: a struct cpu_user_regs up to ss. Goes there by HYPERVISOR_iret. */
iret_regs:
        pop     %r15
        pop     %r14
        pop     %r13
        pop     %r12
        pop     %rbp
        pop     %rbx
        pop     %r11
        pop     %r10
        pop     %r9
        pop     %r8
        pop     %rax
        pop     %rcx
        pop     %rdx
        pop     %rsi
        pop     %rdi
        movq    $0, (%rsp)              /* error code slot: iret_context.flags */
        push    %rcx
        push    %r11
        push    %rax
        mov     $__HYPERVISOR_iret, %eax
        syscall
        ud2

/* void user_enter(struct cpu_user_regs *): run until the next entry from user mode. */
        .globl  user_enter
user_enter:
        push    %rbx
        push    %rbp
        push    %r12
        push    %r13
        push    %r14
        push    %r15
        mov     %rsp, user_return_sp(%rip)
        mov     %rdi, user_regs(%rip)
        sub     $(21 * 8), %rsp
        mov     %rdi, %rsi
        mov     %rsp, %rdi
        mov     $21, %ecx
        rep movsq
        jmp     iret_regs

/* void user_leave(void): from trap_entry, back to the caller of user_enter. */
        .globl  user_leave
user_leave:
        mov     user_return_sp(%rip), %rsp
        pop     %r15
        pop     %r14
        pop     %r13
        pop     %r12
        pop     %rbp
        pop     %rbx
        ret

/* void iret_raw(const struct iret_context *): the hypercall with these nine words on the stack. */
        .globl  iret_raw
iret_raw:
        push    %rbx
        push    %rbp
        push    %r12
        push    %r13
        push    %r14
        push    %r15
        mov     %rsp, user_return_sp(%rip)
        sub     $(9 * 8), %rsp
        mov     %rdi, %rsi
        mov     %rsp, %rdi
        mov     $9, %ecx
        rep movsq
        mov     $__HYPERVISOR_iret, %eax
        syscall
        ud2

        .bss
        .globl  user_regs, failsafe_selectors, boot_stack_top, trap_stack_top
        .p2align 4
user_return_sp: .quad 0
user_regs:      .quad 0
failsafe_selectors: .fill 4, 8, 0
        .p2align 12
        .skip   4 * 4096
boot_stack_top:
        .skip   4 * 4096
trap_stack_top:
        .section .note.GNU-stack, "", @progbits
