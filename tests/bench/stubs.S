/*
 * The guest's side of entries, as short as it can be: what is measured is the hypervisor. A frame
 * is rcx, r11, error code if there is one, rip, cs, rflags, rsp, ss; HYPERVISOR_iret wants rax, r11,
 * rcx, flags in place of the first.
 */
#include <xen/xen.h>

#define VCPU_UPCALL_PENDING 0
#define SAMPLES 60
#define IN_SYSCALL 0x100

        .macro  IRET flags
        pushq   $\flags
        push    %rcx
        push    %r11
        push    %rax
        mov     $__HYPERVISOR_iret, %eax
        syscall
        .endm

        .text
        .globl  bench_upcall, bench_fault, bench_syscall, bench_user
/* shared_info begins with 32 vcpu_info of 64 bytes, vCPU 0's first; then come the ports' pending bits. */
bench_upcall:
        mov     %rdx, saved(%rip)
        mov     shared_info(%rip), %rcx
        movb    $0, VCPU_UPCALL_PENDING(%rcx)
        movq    $0, 8(%rcx)
        mov     bench_port(%rip), %rdx
        lock btr %rdx, 32*64(%rcx)
        mov     saved(%rip), %rdx
        pop     %rcx
        pop     %r11
        IRET    0

bench_fault:                            /* behind an instruction of two bytes */
        pop     %rcx
        pop     %r11
        add     $8, %rsp
        addq    $2, (%rsp)
        IRET    0

bench_syscall:
        rdtsc
        shl     $32, %rdx
        or      %rdx, %rax
        mov     nr(%rip), %rdx
        mov     %rax, bench_syscall_tsc(, %rdx, 8)
        inc     %rdx
        mov     %rdx, nr(%rip)
        cmp     $SAMPLES + 1, %rdx
        je      1f
        pop     %rcx
        pop     %r11
        IRET    IN_SYSCALL
1:      mov     back(%rip), %rsp
        pop     %r15
        pop     %r14
        pop     %r13
        pop     %r12
        pop     %rbp
        pop     %rbx
        ret

bench_user:                             /* rip, rsp */
        push    %rbx
        push    %rbp
        push    %r12
        push    %r13
        push    %r14
        push    %r15
        mov     %rsp, back(%rip)
        pushq   $FLAT_USER_SS64
        push    %rsi
        pushq   $0x202
        pushq   $FLAT_USER_CS64
        push    %rdi
        IRET    IN_SYSCALL

        .bss
        .globl  bench_port, bench_syscall_tsc
        .balign 8
bench_port: .quad 0
saved:  .quad 0
back:   .quad 0
nr:     .quad 0
bench_syscall_tsc: .fill SAMPLES + 1, 8, 0
        .section .note.GNU-stack, "", @progbits
