/*
 * What a guest's top-level table shows of the hypervisor: on a CPU with Meltdown, or with xpti, nothing but
 * the entry code's slot and the M2P. There the hypervisor itself runs on other roots, so its
 * copies to and from our memory have to see each change of a top-level entry as we do: many slots in turn,
 * entries that are replaced and that go away, on this and on another vCPU, and a user's root that is
 * exchanged while the kernel's is loaded. On other CPUs the same must hold. dom0_max_vcpus=2.
 */
#include "guest.h"

#define FIRST_SLOT 2u
#define NR_SLOTS 20u
#define ENTRY(page, flags) (virt_to_mfn(page) << 12 | (flags))

extern char u_insn[];
__asm__(".pushsection .user, \"ax\"\n"
        ".globl u_insn\n"
        "u_insn: ud2\n .ascii \"xen\"\n cpuid\n syscall\n ud2\n"
        ".popsection");

static uint64_t *l3[NR_SLOTS + 1]; /* of each slot, and one to take another's place */
static char *page[NR_SLOTS + 1];

static bool is_affected(void)
{
    static xen_commandline_t line;

    CHECK_EQ(hc(xen_version, XENVER_commandline, line), 0);
    if (has_word(line, "xpti") || has_word(line, "xpti=no"))
        return has_word(line, "xpti");
    return xen_cpuid(0, 0).b == 0x756e6547; /* QEMU knows none without */
}

static void slots(void)
{
    uint64_t shown = 0;

    for (unsigned int i = 256; i < 272; i++)
        shown |= (kernel_root[i] & PTE_P) << (i - 256);
    print("slots 256..271 that are there: %lx\n", shown);
    if (is_affected())
        CHECK_EQ(shown, 3);
    else
        CHECK(shown > 3);
}

static void *at(unsigned int slot) { return (void *)((uint64_t)(FIRST_SLOT + slot) << 39); }

/* Tables for one page, to be hung into any slot. */
static void tree(unsigned int i)
{
    uint64_t *l2 = page_alloc(), *l1 = page_alloc();

    l3[i] = page_alloc();
    page[i] = page_alloc();
    l1[0] = ENTRY(page[i], PTE_FLAGS);
    l2[0] = ENTRY(l1, PTE_FLAGS);
    l3[i][0] = ENTRY(l2, PTE_FLAGS);
    page_set_ro(l1);
    page_set_ro(l2);
    page_set_ro(l3[i]);
}

static void hang(uint64_t *root, unsigned int slot, const uint64_t *table)
{
    CHECK_EQ(pte_write(&root[FIRST_SLOT + slot], table ? ENTRY(table, PTE_FLAGS) : 0), 0);
}

/* Where does the hypervisor write to, when it is told to write to va? */
static unsigned int written(void *va)
{
    unsigned int i = 0;

    for (unsigned int n = 0; n <= NR_SLOTS; n++)
        memset(page[n], 0, 8);
    if (hc(xen_version, XENVER_extraversion, va) < 0)
        return NR_SLOTS + 1;
    while (i < NR_SLOTS && page[i][0] == 0)
        i++;
    CHECK(page[i][0] != 0);
    return i;
}

static void many(void)
{
    for (unsigned int round = 0; round < 3; round++)
        for (unsigned int i = 0; i < NR_SLOTS; i++)
            CHECK_EQ(written(at(i * 7 % NR_SLOTS)), i * 7 % NR_SLOTS);
}

static void changes(void)
{
    for (unsigned int i = 0; i < NR_SLOTS; i += 3) {
        CHECK_EQ(written(at(i)), i);
        hang(kernel_root, i, l3[NR_SLOTS]);
        mmuext(MMUEXT_INVLPG_LOCAL, (uint64_t)at(i), 0);
        CHECK_EQ(written(at(i)), NR_SLOTS);
        hang(kernel_root, i, NULL);
        mmuext(MMUEXT_INVLPG_LOCAL, (uint64_t)at(i), 0);
        CHECK_EQ(written(at(i)), NR_SLOTS + 1);
        hang(kernel_root, i, l3[i]);
        CHECK_EQ(written(at(i)), i);
    }
}

/* The other vCPU, on the same root, says where its writes to slot 0 go. */
static volatile uint64_t asked, answered;
static volatile unsigned int answer;

static void other(void)
{
    for (uint64_t n = 1;; n++) {
        while (asked < n)
            cpu_relax();
        answer = written(at(0));
        barrier();
        answered = n;
    }
}

static unsigned int ask(void)
{
    uint64_t n = ++asked;

    CHECK(wait_until(&answered, n));
    return answer;
}

static void flush(bool one)
{
    CHECK_EQ(one ? mmuext(MMUEXT_INVLPG_ALL, (uint64_t)at(0), 0)
                 : mmuext(MMUEXT_TLB_FLUSH_ALL, 0, 0),
             0);
}

static void two_vcpus(void)
{
    CHECK_EQ(vcpu_start(1, other), 0);
    for (unsigned int i = 0; i < 20; i++) {
        CHECK_EQ(ask(), 0);
        hang(kernel_root, 0, l3[NR_SLOTS]);
        flush(i & 1);
        CHECK_EQ(ask(), NR_SLOTS);
        hang(kernel_root, 0, NULL);
        flush(i & 1);
        CHECK_EQ(ask(), NR_SLOTS + 1);
        hang(kernel_root, 0, l3[0]);
    }
}

/* The hypervisor reads an instruction in user mode: by the root of then. */
static void user_roots(void)
{
    uint64_t *second, *first;
    struct cpu_user_regs r;

    user_init();
    first = user_root;
    user_init();
    second = user_root;
    for (unsigned int i = 0; i < 4; i++) {
        CHECK_EQ(mmuext(MMUEXT_NEW_USER_BASEPTR, virt_to_mfn(i & 1 ? second : first), 0), 0);
        if (i == 2) /* nothing is there */
            CHECK_EQ(pte_write(&first[USER_CODE >> 39], 0), 0);
        user_regs_init(&r, u_insn);
        r.rax = 0x40000000;
        CHECK_EQ(user_run(&r), i == 2 ? TRAP_PF : ENTRY_SYSCALL);
        if (i != 2)
            CHECK_EQ(r.rbx, 0x566e6558); /* XenV */
    }
}

void test_main(void)
{
    slots();
    for (unsigned int i = 0; i <= NR_SLOTS; i++)
        tree(i);
    for (unsigned int i = 0; i < NR_SLOTS; i++)
        hang(kernel_root, i, l3[i]);
    many();
    changes();
    two_vcpus();
    user_roots();
    many();
}
