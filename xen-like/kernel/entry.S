/*
 * Where a PV kernel begins: the ELF notes by which the hypervisor knows it, the first instructions,
 * the stubs through which the hypervisor enters it, and the switch between two threads.
 *
 * A PV kernel runs in ring 3. It never sees an interrupt or exception of the machine: the
 * hypervisor pushes a frame onto the current stack (rcx, r11, error code if there is one, rip, cs,
 * rflags, rsp, ss) and goes on at an address that the kernel has registered. The way back is a hypercall, iret.
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
        note    XEN_ELFNOTE_GUEST_OS, asciz, "xen-like-runtime"
        note    XEN_ELFNOTE_GUEST_VERSION, asciz, "1"
        note    XEN_ELFNOTE_XEN_VERSION, asciz, "xen-3.0"
        note    XEN_ELFNOTE_VIRT_BASE, quad, VIRT_BASE
        note    XEN_ELFNOTE_PADDR_OFFSET, quad, 0
        note    XEN_ELFNOTE_ENTRY, quad, start
        note    XEN_ELFNOTE_HYPERCALL_PAGE, quad, hypercall_page
        note    XEN_ELFNOTE_FEATURES, asciz, "!writable_page_tables|pae_pgdir_above_4gb"
        note    XEN_ELFNOTE_SUPPORTED_FEATURES, long, 0x801     /* and it may be the initial domain */
        note    XEN_ELFNOTE_PAE_MODE, asciz, "yes"
        note    XEN_ELFNOTE_LOADER, asciz, "generic"
        note    XEN_ELFNOTE_L1_MFN_VALID, quad, 1, 1
        note    XEN_ELFNOTE_MOD_START_PFN, long, 1              /* the ramdisk need not be mapped */
        note    XEN_ELFNOTE_HV_START_LOW, quad, 0xffff800000000000
        .popsection

        .section .text.start, "ax"
        .globl  hypercall_page
        .p2align 12
hypercall_page:                         /* 32 bytes per hypercall; the hypervisor writes them */
        .fill   4096, 1, 0xcc

        .globl  start, start_secondary
start:                                  /* rsi: struct start_info */
        cld
        lea     boot_stack + 4 * 4096(%rip), %rsp
        xor     %ebp, %ebp
        mov     %rsi, %rdi
        call    kernel_start
        ud2

start_secondary:                        /* a further vCPU; rdi, rsp and gs are its context's */
        cld
        xor     %ebp, %ebp
        call    kernel_start_secondary
        ud2

/*
 * Entries: one stub per exception, 32 bytes apart, and those of the callbacks. The frame becomes a
 * struct cpu_user_regs up to ss, with entry_vector set and an error code in any case.
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
        jmp     entry
        .endm

        .globl  trap_stubs, event_stub, failsafe_stub, syscall_stub
        .p2align 5
trap_stubs:
        .set    vec, 0
        .rept   32
        .set    has_error, (vec == 8) | ((vec >= 10) & (vec <= 14)) | (vec == 17) | (vec == 21)
        stub    vec, has_error
        .set    vec, vec + 1
        .endr
event_stub:
        stub    256, 0
syscall_stub:                           /* from user mode, which there is none of */
        stub    257, 0
        .p2align 5
failsafe_stub:                          /* an iret of ours went wrong; ds es fs gs lie before rip */
        pop     %rcx
        pop     %r11
        add     $32, %rsp
        push    $0
        movl    $258, 4(%rsp)

entry:
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
        mov     %rsp, %rbx
        /* for backtraces: a frame that continues in what was interrupted */
        push    16 * 8(%rdi)
        push    %rbp
        mov     %rsp, %rbp
        /* the handler may use SSE, and so may have what it interrupts */
        sub     $512, %rsp
        and     $-16, %rsp
        fxsave64 (%rsp)
        call    kernel_entry
        fxrstor64 (%rsp)
        mov     %rbx, %rsp
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
        movq    $0, (%rsp)              /* where the error code was: flags of iret */
        push    %rcx
        push    %r11
        push    %rax
        mov     $__HYPERVISOR_iret, %eax
        syscall                         /* rax r11 rcx flags rip cs rflags rsp ss */
        ud2

/*
 * void thread_switch(void **save, void *load): store our stack pointer, take that one. What a C
 * function may expect to survive a call is on the stack, the control words of x87 and SSE among it.
 */
        .globl  thread_switch, thread_first
thread_switch:
        push    %rbp
        push    %rbx
        push    %r12
        push    %r13
        push    %r14
        push    %r15
        sub     $8, %rsp
        stmxcsr (%rsp)
        fnstcw  4(%rsp)
        mov     %rsp, (%rdi)
        mov     %rsi, %rsp
        ldmxcsr (%rsp)
        fldcw   4(%rsp)
        add     $8, %rsp
        pop     %r15
        pop     %r14
        pop     %r13
        pop     %r12
        pop     %rbx
        pop     %rbp
        ret

thread_first:                           /* where a new thread's first switch returns to */
        xor     %ebp, %ebp
        call    thread_begin
        ud2

/* int try_read64(const volatile void *, uint64_t *), int try_write64(volatile void *, uint64_t) */
        .globl  try_read64, try_write64, try_begin, try_failed
try_begin:
try_read64:
        mov     (%rdi), %rax
        mov     %rax, (%rsi)
        xor     %eax, %eax
        ret
try_write64:
        mov     %rsi, (%rdi)
        xor     %eax, %eax
        ret
try_failed:                             /* a fault in one of them goes on here */
        mov     $-14, %eax              /* -EFAULT */
        ret

/* Constructors and destructors are called by newlib from the arrays; these are their old form. */
        .globl  _init, _fini
_init:
_fini:  ret

        .bss
        .p2align 12
        .globl  boot_stack
boot_stack:
        .skip   4 * 4096
        .section .note.GNU-stack, "", @progbits
