/* XSA-213: a multicall that leaves the kernel's page tables in its middle. advisories/xsa-213.md. */
#include "xsa.h"

extern char u_nothing[];
__asm__(".pushsection .user, \"ax\"\n"
        ".globl u_nothing\n"
        "u_nothing: ud2\n"
        ".popsection");

static struct multicall_entry calls[16];
static unsigned int nr;

static struct multicall_entry *add(uint64_t op, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    struct multicall_entry *e = &calls[nr++];

    *e = (struct multicall_entry){ .op = op, .result = 0x7777 };
    e->args[0] = a;
    e->args[1] = b;
    e->args[2] = c;
    e->args[3] = d;
    return e;
}

/* The multicall with a good IRET frame at its stack pointer: back here, or to user mode. */
static long multicall_on_frame(uint64_t cs, uint64_t ss, uint64_t flags)
{
    struct iret_context *f = (struct iret_context *)((char *)page_alloc() + 2048);
    long rc;

    *f =
        (struct iret_context){ .rax = 0x9999, .flags = flags, .cs = cs, .rflags = 0x202, .ss = ss };
    __asm__ volatile("mov %%rsp, %%rbx\n"
                     "mov %%rbx, 56(%[f])\n" /* the frame's rsp */
                     "lea 1f(%%rip), %%rax\n"
                     "mov %%rax, 32(%[f])\n" /* its rip */
                     "mov %[nr], %%eax\n"
                     "mov %[f], %%rsp\n"
                     "syscall\n"
                     "1: mov %%rbx, %%rsp\n"
                     : "=&a"(rc)
                     : [f] "r"(f), [nr] "i"(__HYPERVISOR_multicall), "D"(calls), "S"((long)nr)
                     : "rbx", "rcx", "r11", "memory");
    nr = 0;
    return rc;
}

static bool in_kernel_mode(void)
{
    uint64_t cr3;

    __asm__ volatile("mov %%cr3, %0" : "=r"(cr3));
    return cr3 == virt_to_maddr(kernel_root);
}

/* What was an escape: after the IRET the calls that follow work on a table for the wrong mode. */
static void iret_then_update(void)
{
    uint64_t *page = page_alloc();
    unsigned int wrong = 0;

    if (on_xen()) { /* does the iret, which ends the multicall there: no way back for us */
        attack("multicall.iret", 1, 0);
        return;
    }
    for (unsigned int way = 0; way < 4; way++) {
        uint64_t cs = way & 1 ? FLAT_KERNEL_CS : USER_CS, ss = way & 1 ? FLAT_KERNEL_SS : USER_SS;
        struct multicall_entry *iret, *at_user, *at_kernel, *root;
        long rc;

        iret = add(__HYPERVISOR_iret, 0, 0, 0, 0);
        /* only the user's root has a table there */
        at_user = add(__HYPERVISOR_update_va_mapping, USER_CODE, PTE(page, PTE_FLAGS), 0, 0);
        at_kernel =
            add(__HYPERVISOR_update_va_mapping, (uint64_t)page, PTE(page, PTE_RO), UVMF_INVLPG, 0);
        root = add(__HYPERVISOR_xen_version, XENVER_pagesize, 0, 0, 0);
        rc = multicall_on_frame(cs, ss, way & 2 ? VGCF_in_syscall : 0);
        CHECK_EQ(rc, 0);
        wrong += iret->result != (unsigned long)-EINVAL;
        wrong += at_user->result != (unsigned long)-EINVAL;
        wrong += at_kernel->result != 0 || root->result != 4096;
        wrong += !in_kernel_mode();
        TRY("movb $1, (%0)", : : "r"(page) : "memory");
        wrong += !trapped(TRAP_PF); /* the change went into the table that the kernel runs on */
        page_set_rw(page);
    }
    attack("multicall.iret", wrong, 0);
    CHECK_EQ(PTE_MFN(*pte_of(user_root, USER_CODE, 1)), virt_to_mfn(user_code_start));
}

/* The root changes in the middle, which is permitted: what follows is about the new one. */
static void roots_in_the_middle(void)
{
    uint64_t *root = page_alloc(), *page = page_alloc();
    struct mmuext_op to = { .cmd = MMUEXT_NEW_BASEPTR }, back = to, drop = to;
    struct multicall_entry *in_new, *in_old, *e[4];
    unsigned int wrong = 0;

    for (unsigned int i = 0; i < 512; i++)
        if ((i < 256 || i >= 272) && i != SCRATCH >> 39)
            root[i] = kernel_root[i];
    page_set_ro(root);
    CHECK_EQ(pin(4, root), 0);
    to.arg1.mfn = virt_to_mfn(root);
    back.arg1.mfn = virt_to_mfn(kernel_root);
    drop.cmd = MMUEXT_UNPIN_TABLE;
    drop.arg1.mfn = virt_to_mfn(root);
    for (unsigned int round = 0; round < 20; round++) {
        e[0] = add(__HYPERVISOR_mmuext_op, (uint64_t)&to, 1, 0, DOMID_SELF);
        in_new = add(__HYPERVISOR_update_va_mapping, SCRATCH, PTE(page, PTE_FLAGS), 0, 0);
        e[1] = add(__HYPERVISOR_mmuext_op, (uint64_t)&drop, 1, 0, DOMID_SELF); /* still in use */
        e[2] = add(__HYPERVISOR_mmuext_op, (uint64_t)&back, 1, 0, DOMID_SELF); /* now it dies */
        in_old = add(__HYPERVISOR_update_va_mapping, SCRATCH, PTE(page, PTE_FLAGS), 0, 0);
        e[3] = add(__HYPERVISOR_update_va_mapping, (uint64_t)root, PTE(root, PTE_FLAGS),
                   UVMF_INVLPG, 0);
        CHECK_EQ(hc(multicall, calls, nr), 0);
        nr = 0;
        wrong += in_new->result != (unsigned long)-EINVAL || in_old->result != 0;
        for (unsigned int i = 0; i < 4; i++)
            wrong += e[i]->result != 0;
        wrong += *(volatile uint64_t *)SCRATCH != round || !in_kernel_mode();
        root[300] = 0; /* it is ours again */
        *(volatile uint64_t *)SCRATCH = round + 1;
        page_set_ro(root);
        CHECK_EQ(pin(4, root), 0);
    }
    CHECK_EQ(unpin(root), 0);
    attack("multicall.roots", wrong, 0);
}

void test_main(void)
{
    attacks_begin();
    scratch_tree();
    user_init();
    iret_then_update();
    roots_in_the_middle();
    witness_check();
}
