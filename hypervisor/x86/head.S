/*
 * From GRUB's hand-over (Multiboot2, i386 machine state: protected mode, paging off, eax = magic,
 * ebx = address of the boot information) to boot_start() in boot.c. GRUB may load the image at any
 * 2 MiB boundary (relocatable header tag), so 32-bit code reaches everything through %ebp, the
 * physical address of the image's first byte.
 */
#include "x86/asm.h"

#define MB2_HEADER_MAGIC 0xe85250d6
#define PHYS(sym) (sym - IMAGE_VIRT)(%ebp)

        .section .boot.header, "a"
        .balign 8
mb2_header:
        .long   MB2_HEADER_MAGIC, 0, mb2_end - mb2_header
        .long   -(MB2_HEADER_MAGIC + (mb2_end - mb2_header))
        /* information wanted: memory map and the load base */
        .balign 8
        .word   1, 0
        .long   16, 6, 21
        /* entry address (physical, as linked) */
        .balign 8
        .word   3, 0
        .long   12, start32 - IMAGE_VIRT + IMAGE_PHYS
        /* the screen: whatever there is, optional; GRUB then tells of it */
        .balign 8
        .word   5, 1
        .long   20, 0, 0, 0
        /* modules page aligned, so that a ramdisk's frames can be handed over whole */
        .balign 8
        .word   6, 0
        .long   8
        /* relocatable: 1 MiB .. 4 GiB, 2 MiB aligned, lowest preferred */
        .balign 8
        .word   10, 0
        .long   24, 0x00100000, 0xffffffff, 0x00200000, 1
        .balign 8
        .word   0, 0
        .long   8
mb2_end:

.macro FILL table, first, count, step   /* entries of a zeroed page table */
        lea     PHYS(\table), %edi
        lea     \first, %eax
        mov     $\count, %ecx
1:      mov     %eax, (%edi)
        add     $\step, %eax
        add     $8, %edi
        loop    1b
.endm

.macro LONG_MODE                        /* but for %cs, on the page tables at eax */
        mov     %eax, %cr3
        mov     $0x6a0, %eax            /* CR4: PAE, PGE, OSFXSR, OSXMMEXCPT */
        mov     %eax, %cr4
        mov     $0xc0000080, %ecx       /* EFER: LME, NXE, SCE */
        rdmsr
        or      $0x901, %eax
        wrmsr
        mov     $0x80010033, %eax       /* CR0: PG, WP, NE, ET, MP, PE */
        mov     %eax, %cr0
.endm

        .section .boot.text, "ax"
        .code32
        .globl  start32
start32:
        cli
        cld
        mov     %eax, %edi
        rdtsc                                   /* boot's length is told from here on */
        mov     %eax, %esi
        /* the boot information's second word is reserved: room to ask where we are */
        lea     8(%ebx), %esp
        call    1f
1:      pop     %ebp
        sub     $(1b - IMAGE_VIRT), %ebp
        lea     PHYS(boot_stack_end), %esp
        mov     %ebx, PHYS(boot_mbi)
        mov     %ebp, PHYS(boot_phys)
        mov     %esi, PHYS(boot_tsc)
        mov     %edx, PHYS(boot_tsc + 4)

        lea     PHYS(msg_magic), %esi
        cmp     $0x36d76289, %edi
        jne     die32
        lea     PHYS(msg_long_mode), %esi
        mov     $0x80000000, %eax
        cpuid
        cmp     $0x80000001, %eax
        jb      die32
        mov     $0x80000001, %eax
        cpuid
        bt      $29, %edx
        jnc     die32
        lea     PHYS(msg_nx), %esi
        bt      $20, %edx
        jnc     die32

        /* boot page tables: the first 4 GiB at 0 and in the direct map, and the image */
        FILL    boot_l2_id, 0x83, 2048, 0x200000        /* present, writable, 2 MiB */
        FILL    boot_l2_img, 0x83(%ebp), 8, 0x200000
        FILL    boot_l3_id, PHYS(boot_l2_id + 3), 4, 0x1000
        lea     PHYS(boot_l2_img + 3), %eax
        mov     %eax, PHYS(boot_l3_img)
        lea     PHYS(boot_l3_id + 3), %eax
        mov     %eax, PHYS(boot_l4)
        mov     %eax, PHYS(boot_l4 + 262 * 8)
        lea     PHYS(boot_l3_img + 3), %eax
        mov     %eax, PHYS(boot_l4 + 258 * 8)

        lea     PHYS(boot_l4), %eax
        LONG_MODE
        lea     PHYS(boot_gdt), %eax
        mov     %eax, PHYS(boot_gdtr + 2)
        lgdt    PHYS(boot_gdtr)
        lea     PHYS(start64), %eax
        push    $8
        push    %eax
        lret

/*
 * Where the other CPUs begin, in real mode: start_cpus.c copies this to a page below 1 MiB and fills
 * in the three addresses. They go to long mode at once, on the boot page tables.
 */
        .code16
        .globl  ap_trampoline, ap_fill, ap_trampoline_end
ap_trampoline:
        cli
        mov     %cs, %ax
        mov     %ax, %ds
        lgdtl   ap_gdtr - ap_trampoline
        mov     ap_fill - ap_trampoline, %eax
        LONG_MODE
        ljmpl   *(ap_jump - ap_trampoline)
        .balign 8
ap_fill:
        .long   0                               /* boot_l4 */
ap_jump:
        .long   0                               /* the identity map's start_ap64 */
        .word   8
ap_gdtr:
        .word   15
        .long   0                               /* boot_gdt */
ap_trampoline_end:
        .code32

/* Say %esi on COM1 (115200 8n1) and stop. */
die32:
        lea     PHYS(uart_init), %edi
        mov     $6, %ecx
1:      movzbl  (%edi), %edx
        add     $0x3f8, %edx
        mov     1(%edi), %al
        out     %al, %dx
        add     $2, %edi
        loop    1b
2:      mov     $0x3fd, %edx
        in      %dx, %al
        test    $0x20, %al
        jz      2b
        lodsb
        mov     $0x3f8, %edx
        out     %al, %dx
        test    %al, %al
        jnz     2b
3:      hlt
        jmp     3b

        .code64
start64:
        movabs  $1f, %rax                       /* from the identity map to where we are linked */
        jmp     *%rax
1:      movabs  $boot_stack_end - STACK_FRAME_ROOM, %rsp
        mov     boot_mbi(%rip), %edi
        mov     boot_phys(%rip), %esi
        mov     boot_tsc(%rip), %rdx
        xor     %ebp, %ebp
        call    boot_start
        ud2

        .globl  start_ap64
start_ap64:
        movabs  $1f, %rax
        jmp     *%rax
1:      mov     ap_root(%rip), %rax             /* the hypervisor's own */
        mov     %rax, %cr3
        mov     ap_stack(%rip), %rsp
        xor     %ebp, %ebp
        call    ap_start
        ud2

        .section .boot.data, "aw"
        .balign 8
        .globl  boot_gdt, boot_l4
boot_gdt:
        .quad   0, 0x00af9a000000ffff
boot_gdtr:
        .word   15
        .long   0, 0
boot_mbi:
        .long   0
boot_phys:
        .long   0
boot_tsc:
        .long   0, 0
uart_init:                                      /* register, value */
        .byte   3, 0x80, 0, 1, 1, 0, 3, 3, 2, 7, 1, 0
msg_magic:
        .asciz  "(XEN) Panic: not loaded by Multiboot2 (use GRUB's multiboot2 command)\r\n"
msg_long_mode:
        .asciz  "(XEN) Panic: CPU without long mode (CPUID 0x80000001 EDX bit 29 is 0): a 64-bit x86 CPU is needed\r\n"
msg_nx:
        .asciz  "(XEN) Panic: CPU without NX (CPUID 0x80000001 EDX bit 20 is 0): no-execute pages are needed\r\n"

        .section .boot.bss, "aw", @nobits
        .balign 4096
boot_l4:        .skip 4096
boot_l3_id:     .skip 4096
boot_l2_id:     .skip 4096 * 4
boot_l3_img:    .skip 4096
boot_l2_img:    .skip 4096

        /* the first CPU's stack for good: STACK_SIZE_CHECK */
        .section .bss.boot_stack, "aw", @nobits
        .balign 4096
        .globl  boot_stack_guard, boot_stack_end
boot_stack_guard:                               /* boot.c unmaps this page */
        .skip   4096 + STACK_SIZE_CHECK
boot_stack_end:

        .section .note.GNU-stack, "", @progbits
