/*
 * Emulation: page-table writes compared with what this CPU does with the same instruction, and the
 * privileged instructions with what the ABI says.
 */
#include <CUnit/Basic.h>
#include <stdlib.h>
#include <string.h>

#include "emulate/decode.h"
#include "emulate/emulate.h"
#include "fake.h"
#include "irq/irq.h"
#include "lib/errno.h"
#include "paging/paging.h"
#include "sched/time.h"
#include "x86/upcalls.h"

/* ---- the machine ---- */

#define TABLE_MFN 10 /* the L1 table that is written to */
#define TABLE_VA 0xffffc90000123000ULL

static struct domain *d;
static struct vcpu *v;
static struct cpu_user_regs regs;
static unsigned int injected, last_vector, last_error, soft_vector, nr_flushes;
static unsigned int races, refuse_writes, nr_writes, retry_rc;
static uint64_t last_cr2, entry_before, root_set;
static unsigned int roots_loaded;
static int root_rc;
static struct {
    uint16_t port;
    unsigned int bytes, nr;
    uint32_t out, in;
} io;

void arch_inject_page_fault(struct vcpu *x, uint64_t cr2, uint32_t ec)
{
    (void)x;
    injected++;
    last_vector = 14;
    last_cr2 = cr2;
    last_error = ec;
}
void arch_inject_exception(struct vcpu *x, unsigned int vector, uint32_t ec)
{
    (void)x;
    injected++;
    last_vector = vector;
    last_error = ec;
}
void arch_inject_soft_interrupt(struct vcpu *x, unsigned int vector)
{
    (void)x;
    soft_vector = vector;
}
void arch_flush_tlb_page_local(uint64_t va)
{
    (void)va;
    nr_flushes++;
}
void arch_vcpu_roots_changed(struct vcpu *x)
{
    roots_loaded++;
    CU_ASSERT_EQUAL(x->arch.kernel_mode, roots_loaded % 2);
}
uint32_t arch_port_in(uint16_t port, unsigned int bytes)
{
    io.port = port;
    io.bytes = bytes;
    io.nr++;
    return io.in++;
}
void arch_port_out(uint16_t port, unsigned int bytes, uint32_t value)
{
    io.port = port;
    io.bytes = bytes;
    io.nr++;
    io.out = value;
}
bool pci_conf_port(struct domain *x, uint16_t port, unsigned int bytes, bool write, uint32_t *value)
{
    if (!x->is_hwdom || port != 0xcf8 || bytes != 4)
        return false;
    if (!write)
        *value = 0x80001234;
    return true;
}
uint64_t guest_tsc(const struct vcpu *x)
{
    return x->domain->vtsc ? 0x1122334455667788 : fake_now_ns;
}
int arch_rdmsr_safe(uint32_t msr, uint64_t *value)
{
    (void)msr;
    *value = 0;
    return -EFAULT;
}
void arch_set_tsc_aux(uint64_t value) { (void)value; }
void arch_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
    __asm__ volatile("cpuid"
                     : "=a"(out[0]), "=b"(out[1]), "=c"(out[2]), "=d"(out[3])
                     : "a"(leaf), "c"(subleaf));
}
int vcpu_set_root(struct vcpu *x, mfn_t m, bool user)
{
    (void)x;
    CU_ASSERT_FALSE(user);
    root_set = mfn_x(m);
    return root_rc;
}
bool page_get_writable(struct domain *x, mfn_t m)
{
    (void)x;
    return mfn_x(m) == 20;
}
void page_put_writable(mfn_t m) { CU_ASSERT_EQUAL(mfn_x(m), 20); }
void page_free(struct page_info *pg)
{
    (void)pg;
    CU_FAIL("a reference too many was dropped");
}

/* Now and then the entry changes between the emulator's look at it and its store. */
int paging_emulated_write(struct vcpu *x, const struct page_info *pg, pte_t *e, pte_t new,
                          pte_t *expect)
{
    (void)x;
    CU_ASSERT_EQUAL(mfn_x(page_to_mfn(pg)), TABLE_MFN);
    CU_ASSERT_EQUAL((uintptr_t)e % sizeof(*e), 0);
    CU_ASSERT_TRUE((uintptr_t)e - (uintptr_t)mfn_to_virt(_mfn(TABLE_MFN)) < PAGE_SIZE);
    nr_writes++;
    if (refuse_writes)
        return -EINVAL;
    if (retry_rc)
        return -(int)retry_rc;
    if (expect && races) {
        races--;
        *e ^= 1ULL << random() % 64;
    }
    entry_before = *e;
    if (expect && *e != *expect) {
        *expect = *e;
        return 1;
    }
    *e = new;
    return 0;
}

static void link_tables(uint64_t va, uint64_t l1e)
{
    const uint64_t t[5] = { 0, 4, 3, 2, 1 }; /* mfn of the table of each level */

    for (unsigned int level = 4; level > 1; level--)
        ((pte_t *)mfn_to_virt(_mfn(t[level])))[pt_index(va, level)] =
            pte_make(t[level - 1], PTE_P | PTE_RW | PTE_US | PTE_A);
    ((pte_t *)mfn_to_virt(_mfn(t[1])))[pt_index(va, 1)] = l1e;
}

static void own(uint64_t mfn, uint64_t type)
{
    struct page_info *pg = mfn_to_page(_mfn(mfn));

    pg->count_info = PGC_RAM | PGC_ALLOCATED | (uint64_t)d->domain_id << PGC_OWNER_SHIFT | 2;
    pg->type_info = type;
}

static void tear_down(void)
{
    if (d == NULL)
        return;
    free(v->arch.traps);
    fake_domain_free(d);
    d = NULL;
}

static void reset(void)
{
    fake_reset(1);
    fake_ram_create(64);
    tear_down();
    d = fake_domain(1, 1);
    v = d->vcpu[0];
    v->arch.traps = calloc(256, sizeof(struct guest_trap));
    fake_current(v);
    v->arch.cr3_kernel = 1 << PAGE_SHIFT;
    v->arch.iopl = 1;
    link_tables(TABLE_VA, pte_make(TABLE_MFN, PTE_P | PTE_US | PTE_A));
    own(TABLE_MFN, TABLE_OF(d->domain_id, PGT_L1) | 1);
    memset(&regs, 0, sizeof(regs));
    regs.cs = FLAT_KERNEL_CS64;
    regs.rflags = 0x202;
    injected = soft_vector = nr_flushes = races = refuse_writes = nr_writes = retry_rc = 0;
    memset(&io, 0, sizeof(io));
    cpuid_policy_init();
}

/* Run the emulator on bytes as the guest's code. */
static bool fault_gp(const void *code, size_t len)
{
    static uint8_t buf[64];

    memset(buf, 0x90, sizeof(buf));
    memcpy(buf, code, len);
    fake_guest_unmap_all();
    fake_guest_map(buf, sizeof(buf), FAKE_READ_ONLY);
    regs.rip = (uint64_t)(uintptr_t)buf;
    regs.error_code = 0;
    return guest_general_protection(v, &regs);
}
#define GP(bytes) fault_gp(bytes, sizeof(bytes) - 1)

/* ---- page-table writes, against this CPU ---- */

struct native {
    uint64_t rax, rcx, rdx, rbx, rdi, rflags;
};

/* One function per instruction: load registers, execute at a label, store them. rdi: the operand. */
/* clang-format off: one a line */
#define WRITES(X)                           \
    X(0, 8, "mov %%rax, (%%rdi)")           \
    X(1, 4, "mov %%ecx, (%%rdi)")           \
    X(2, 2, "mov %%dx, (%%rdi)")            \
    X(3, 8, "movq $-7, (%%rdi)")            \
    X(4, 4, "movl $0x12345678, (%%rdi)")    \
    X(5, 2, "movw $0x8765, (%%rdi)")        \
    X(6, 1, "movb $0x5a, (%%rdi)")          \
    X(7, 8, "xchg %%rax, (%%rdi)")          \
    X(8, 4, "xchg %%ecx, (%%rdi)")          \
    X(9, 2, "xchg %%dx, (%%rdi)")           \
    X(10, 8, "lock cmpxchg %%rcx, (%%rdi)") \
    X(11, 4, "lock cmpxchg %%edx, (%%rdi)") \
    X(12, 2, "cmpxchg %%bx, (%%rdi)")       \
    X(13, 8, "cmpxchg %%rdx, (%%rdi)")      \
    X(14, 2, "lock cmpxchg %%cx, (%%rdi)")  \
    X(15, 8, "and %%rax, (%%rdi)")          \
    X(16, 4, "lock or %%ecx, (%%rdi)")      \
    X(17, 2, "xor %%dx, (%%rdi)")           \
    X(18, 8, "lock xor %%rcx, (%%rdi)")     \
    X(19, 4, "lock and %%eax, (%%rdi)")     \
    X(20, 8, "or %%rbx, (%%rdi)")           \
    X(21, 1, "lock andb $0xfd, (%%rdi)")    \
    X(22, 1, "lock orb $0x80, (%%rdi)")     \
    X(23, 1, "xorb $0x41, (%%rdi)")         \
    X(24, 8, "andq $-3, (%%rdi)")           \
    X(25, 8, "orq $0x63, (%%rdi)")          \
    X(26, 4, "xorl $0x12345678, (%%rdi)")   \
    X(27, 2, "andw $0x7fff, (%%rdi)")       \
    X(28, 2, "lock orw $-2, (%%rdi)")       \
    X(29, 8, "lock andq $-0x1000, (%%rdi)") \
    X(30, 8, "lock btrq $1, (%%rdi)")       \
    X(31, 8, "btsq $63, (%%rdi)")           \
    X(32, 4, "btcl $37, (%%rdi)")           \
    X(33, 2, "lock btsw $5, (%%rdi)")       \
    X(34, 8, "lock xor %%rax, (%%rdi)")     \
    X(35, 4, "and %%ecx, (%%rdi)")          \
    X(36, 8, "lock btrq %%rcx, (%%rdi)")    \
    X(37, 4, "btsl %%edx, (%%rdi)")         \
    X(38, 2, "btcw %%bx, (%%rdi)")          \
    X(39, 8, "mov %%rbx, 0x40(%%rdi)")      \
    X(40, 8, "xchg %%rcx, -0x40(%%rdi)")    \
    X(41, 8, "mov %%rdx, -0x123(%%rdi)")    \
    X(42, 8, "xchg %%rax, 0x123(%%rdi)")    \
    X(43, 8, "movq $0, 8(%%rdi)")
/* clang-format on */

#define NATIVE(n, size, text)                                                          \
    extern const uint8_t code##n[], code##n##_end[];                                   \
    static noinline void native##n(struct native *s)                                   \
    {                                                                                  \
        register struct native *r8 __asm__("r8") = s;                                  \
                                                                                       \
        __asm__ volatile("lea -128(%%rsp), %%rsp; pushq 40(%%r8); popfq;"              \
                         "mov (%%r8), %%rax; mov 8(%%r8), %%rcx; mov 16(%%r8), %%rdx;" \
                         "mov 24(%%r8), %%rbx; mov 32(%%r8), %%rdi;"                   \
                         "code" #n ": " text "; code" #n "_end: "                      \
                         "pushfq; popq 40(%%r8); lea 128(%%rsp), %%rsp;"               \
                         "mov %%rax, (%%r8); mov %%rcx, 8(%%r8); mov %%rdx, 16(%%r8);" \
                         "mov %%rbx, 24(%%r8); mov %%rdi, 32(%%r8); cld"               \
                         : "+r"(r8)                                                    \
                         :                                                             \
                         : "rax", "rcx", "rdx", "rbx", "rdi", "memory", "cc");         \
    }
WRITES(NATIVE)

struct write_case {
    const char *text;
    unsigned int size;
    void (*run)(struct native *s);
    const uint8_t *code, *end;
};
#define ROW(n, size, text) { text, size, native##n, code##n, code##n##_end },
static struct write_case cases[80];
static unsigned int nr_cases;

static uint64_t random64(void)
{
    static const uint64_t corner[] = { 0,    1,          ~0ULL,      1ULL << 63, ~0ULL >> 1, 0x80,
                                       0x7f, 0xffffffff, 0x80000000, 0x7fff,     0x8000 };

    if (random() % 4 == 0)
        return corner[(unsigned int)random() % ARRAY_SIZE(corner)];
    return (uint64_t)random() << 42 ^ (uint64_t)random() << 21 ^ (uint64_t)random();
}

static bool starts(const char *text, const char *with)
{
    if (strncmp(text, "lock ", 5) == 0)
        text += 5;
    return strncmp(text, with, strlen(with)) == 0;
}

/* Flags that the architecture leaves undefined are not compared. */
static uint64_t defined_flags(const char *text)
{
    uint64_t f = RFLAGS_ARITH;

    if (starts(text, "and") || starts(text, "or") || starts(text, "xor"))
        f &= ~(uint64_t)RFLAGS_AF;
    if (starts(text, "bt"))
        f &= ~(uint64_t)(RFLAGS_OF | RFLAGS_SF | RFLAGS_AF | RFLAGS_PF);
    return f;
}

static void run_case(const struct write_case *c, uint64_t *page)
{
    unsigned int slot = 100, in_entry = (unsigned int)random() % (8 / c->size) * c->size;
    uint64_t *entry = (uint64_t *)mfn_to_virt(_mfn(TABLE_MFN)) + slot, old = random64(), va;
    bool bit_in_register = strstr(c->text, "bt") && strstr(c->text, ", (") && !strchr(c->text, '$');
    struct native s = { random64(), random64(), random64(), random64(), 0, 0 };
    unsigned int shift = in_entry * 8;

    const char *at = strstr(c->text, ", ");
    int64_t disp = at && !strchr(c->text, '$') ? strtol(at + 2, NULL, 0)
                   : strstr(c->text, " 8(")    ? 8
                                               : 0;

    if (bit_in_register) { /* stay in this operand; distances are tested apart */
        uint64_t bit = random64() & (8 * c->size - 1);
        s.rcx = s.rdx = s.rbx = bit | (random64() << 32 & (c->size == 8 ? 0 : ~0xffffffffULL));
    }
    if (random() % 2) { /* make comparisons succeed */
        s.rax = (s.rax & ~size_mask(c->size)) | (old >> shift & size_mask(c->size));
    }
    s.rflags = 0x202 | (random64() & RFLAGS_ARITH);
    *entry = old;
    va = TABLE_VA + slot * 8 + in_entry;
    regs.rax = s.rax;
    regs.rcx = s.rcx;
    regs.rdx = s.rdx;
    regs.rbx = s.rbx;
    regs.rdi = va - (uint64_t)disp;
    regs.rflags = s.rflags;
    regs.rip = (uint64_t)(uintptr_t)c->code;
    regs.error_code = PFEC_PRESENT | PFEC_WRITE | PFEC_USER;
    regs.cs = FLAT_KERNEL_CS64;
    fake_guest_unmap_all();
    fake_guest_map((void *)(uintptr_t)c->code, 16, FAKE_READ_ONLY);
    races = random() % 8 == 0 ? (unsigned int)random() % 4 : 0;
    entry_before = old;
    do { /* the guest executes it again after a race */
        CU_ASSERT_TRUE_FATAL(guest_page_fault(v, &regs, va));
    } while (regs.rip == (uint64_t)(uintptr_t)c->code);

    /* the same on this CPU, from what the entry held when the store came through */
    page[slot] = entry_before;
    s.rdi = (uint64_t)(uintptr_t)(page + slot) + in_entry - (uint64_t)disp;
    c->run(&s);
    if (page[slot] != *entry || s.rax != regs.rax || s.rcx != regs.rcx || s.rdx != regs.rdx ||
        s.rbx != regs.rbx || ((s.rflags ^ regs.rflags) & defined_flags(c->text)) ||
        regs.rip != (uint64_t)(uintptr_t)c->end ||
        s.rdi - (uint64_t)(uintptr_t)(page + slot) != regs.rdi - TABLE_VA - slot * 8) {
        fprintf(stderr, "%s: old %lx: memory %lx, CPU %lx; rax %lx/%lx rflags %lx/%lx\n", c->text,
                entry_before, *entry, page[slot], regs.rax, s.rax, regs.rflags, s.rflags);
        CU_FAIL_FATAL("differs from the CPU");
    }
}

static void test_writes_do_what_the_cpu_does(void)
{
    static uint64_t page[512];

    reset();
    srandom(1);
    for (unsigned int n = 0; n < 400; n++)
        for (unsigned int i = 0; i < nr_cases; i++)
            run_case(&cases[i], page);
    CU_ASSERT_EQUAL(mfn_to_page(_mfn(TABLE_MFN))->count_info & PGC_COUNT_MASK, 2);
    CU_ASSERT_EQUAL(injected, 0);
}

static bool fault_pf(const void *code, size_t len, uint64_t cr2)
{
    static uint8_t buf[64] __attribute__((aligned(64)));

    memset(buf, 0x90, sizeof(buf));
    memcpy(buf, code, len);
    fake_guest_unmap_all();
    fake_guest_map(buf, sizeof(buf), FAKE_READ_ONLY);
    regs.rip = (uint64_t)(uintptr_t)buf;
    regs.error_code = PFEC_PRESENT | PFEC_WRITE | PFEC_USER;
    return guest_page_fault(v, &regs, cr2);
}
#define PF(bytes, cr2) fault_pf(bytes, sizeof(bytes) - 1, cr2)
#define ENTRY(n) (((uint64_t *)mfn_to_virt(_mfn(TABLE_MFN)))[n])

static void test_bit_number_in_a_register_reaches_other_entries(void)
{
    reset();
    regs.rdi = TABLE_VA + 80;
    regs.rcx = (uint64_t)-65; /* bit 63 of the entry two below */
    CU_ASSERT_TRUE(PF("\xf0\x48\x0f\xab\x0f", TABLE_VA + 64));
    CU_ASSERT_EQUAL(ENTRY(8), 1ULL << 63);
    regs.rcx = 64 * 5 + 3;
    CU_ASSERT_TRUE(PF("\xf0\x48\x0f\xab\x0f", TABLE_VA + 120));
    CU_ASSERT_EQUAL(ENTRY(15), 8);
    regs.rcx = (uint64_t)-65; /* the address is the CPU's, whatever became of the registers */
    regs.rdi = 0x1234;
    CU_ASSERT_TRUE(PF("\xf0\x48\x0f\xab\x0f", TABLE_VA + 8));
    CU_ASSERT_EQUAL(ENTRY(1), 1ULL << 63);
    CU_ASSERT_TRUE(PF("\x48\x89\x05\0\0\0\x10", TABLE_VA + 16)); /* RIP-relative */
    CU_ASSERT_EQUAL(ENTRY(2), regs.rax);
    CU_ASSERT_TRUE(PF("\x65\x80\x0c\x25\0\0\0\x10\x42", TABLE_VA + 31)); /* GS, no base, one byte */
    CU_ASSERT_EQUAL(ENTRY(3), 0x42ULL << 56);
}

static void test_refusals_change_nothing(void)
{
    struct cpu_user_regs before;

    reset();
    regs.rdi = TABLE_VA + 8;
    refuse_writes = 1;
    before = regs;
    CU_ASSERT_FALSE(PF("\x48\x89\x07", TABLE_VA + 8)); /* the new value is refused */
    CU_ASSERT_EQUAL(nr_writes, 1);
    refuse_writes = nr_writes = 0;
    CU_ASSERT_FALSE(PF("\x48\x01\xc7", TABLE_VA + 8));     /* no memory operand */
    CU_ASSERT_FALSE(PF("\x48\x89\x47\x01", TABLE_VA + 9)); /* crosses entries */
    CU_ASSERT_FALSE(PF("\x48\x0f\xc7\x0f", TABLE_VA + 8)); /* CMPXCHG16B */
    CU_ASSERT_FALSE(PF("\x0f\xc7\x0f", TABLE_VA + 8));     /* CMPXCHG8B */
    CU_ASSERT_FALSE(PF("\x48\x83\x3f\x01", TABLE_VA + 8)); /* CMP only reads */
    CU_ASSERT_FALSE(PF("\xff\x37", TABLE_VA + 8));         /* PUSH */
    CU_ASSERT_FALSE(PF("\x48\x11\x07", TABLE_VA + 8));     /* ADC and SBB are not emulated */
    CU_ASSERT_FALSE(PF("\x48\x83\x17\x01", TABLE_VA + 8));
    CU_ASSERT_FALSE(PF("\x48\x83\x1f\x01", TABLE_VA + 8));
    CU_ASSERT_FALSE(PF("\xc6\x4f\x00\x01", TABLE_VA + 8)); /* MOV imm has /0 only */
    CU_ASSERT_FALSE(PF("\x0f\xba\x27\x01", TABLE_VA + 8)); /* BT only reads */
    CU_ASSERT_FALSE(PF("\x48\x01\x07", TABLE_VA + 8));     /* nor are ADD, INC, MOVNTI, STOS */
    CU_ASSERT_FALSE(PF("\x48\xff\x07", TABLE_VA + 8));
    CU_ASSERT_FALSE(PF("\x48\x0f\xc3\x07", TABLE_VA + 8));
    CU_ASSERT_FALSE(PF("\xf3\x48\xab", TABLE_VA + 8));
    CU_ASSERT_FALSE(PF("\x88\x07", TABLE_VA + 8));                 /* 8-bit registers */
    CU_ASSERT_FALSE(PF("\x48\x89\x07", TABLE_VA + 8 + PAGE_SIZE)); /* changed under our feet */
    CU_ASSERT_FALSE(PF("\x0f\x30", TABLE_VA + 8));                 /* WRMSR, likewise */
    CU_ASSERT_FALSE(PF("\xe6\x80", TABLE_VA + 8));                 /* OUT, likewise */
    CU_ASSERT_EQUAL(nr_writes, 0);
    CU_ASSERT_EQUAL(ENTRY(1), 0);
    before.rip = regs.rip;
    before.error_code = regs.error_code;
    CU_ASSERT_EQUAL(memcmp(&before, &regs, sizeof(regs)), 0);
    CU_ASSERT_EQUAL(mfn_to_page(_mfn(TABLE_MFN))->count_info & PGC_COUNT_MASK, 2);
}

static void test_only_own_l1_tables_of_the_kernel(void)
{
    reset();
    regs.rdi = TABLE_VA;
    v->arch.kernel_mode = false;
    v->arch.cr3_user = v->arch.cr3_kernel;
    CU_ASSERT_FALSE(PF("\x48\x89\x07", TABLE_VA));
    v->arch.kernel_mode = true;
    own(TABLE_MFN, TABLE_OF(d->domain_id, PGT_L2) | 1);
    CU_ASSERT_FALSE(PF("\x48\x89\x07", TABLE_VA));
    own(TABLE_MFN, (uint64_t)PGT_L1 << PGT_TYPE_SHIFT | 1); /* not validated */
    CU_ASSERT_FALSE(PF("\x48\x89\x07", TABLE_VA));
    own(TABLE_MFN, TABLE_OF(d->domain_id, PGT_L1) | 1);
    d->domain_id = 2; /* another's */
    CU_ASSERT_FALSE(PF("\x48\x89\x07", TABLE_VA));
    d->domain_id = 1;
    link_tables(TABLE_VA, pte_make(1ULL << 30, PTE_P | PTE_US)); /* no RAM */
    CU_ASSERT_FALSE(PF("\x48\x89\x07", TABLE_VA));
    CU_ASSERT_EQUAL(nr_writes, 0);
    link_tables(TABLE_VA, pte_make(TABLE_MFN, PTE_P | PTE_US | PTE_A));
    CU_ASSERT_TRUE(PF("\x48\x89\x07", TABLE_VA));
    regs.rip -= 3;
    regs.error_code = PFEC_PRESENT | PFEC_WRITE; /* not the instruction's own access */
    CU_ASSERT_FALSE(guest_page_fault(v, &regs, TABLE_VA));
    CU_ASSERT_EQUAL(nr_writes, 1);
    CU_ASSERT_FALSE(guest_page_fault(v, &regs, HV_VIRT_START + 8));
}

/* Runs first: nothing is remembered yet, and that is no instruction of zero bytes. */
static void test_zeros_are_not_an_instruction(void)
{
    reset();
    CU_ASSERT_FALSE(PF("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", TABLE_VA));
    CU_ASSERT_EQUAL(nr_writes, 0);
}

/* What is remembered of an instruction is by its bytes, not by its address. */
static void test_changed_code_is_decoded_again(void)
{
    reset();
    regs.rdi = TABLE_VA;
    regs.rax = 5;
    CU_ASSERT_TRUE(PF("\x48\x89\x07", TABLE_VA));
    CU_ASSERT_TRUE(PF("\x48\x89\x07", TABLE_VA + 8));
    regs.rcx = 6;
    CU_ASSERT_TRUE(PF("\x48\x89\x0f", TABLE_VA + 16));
    CU_ASSERT_EQUAL(ENTRY(0), 5);
    CU_ASSERT_EQUAL(ENTRY(1), 5);
    CU_ASSERT_EQUAL(ENTRY(2), 6);
    CU_ASSERT_FALSE(PF("\xf0\x48\x89\x0f", TABLE_VA));
    CU_ASSERT_FALSE(PF("\xf0\x48\x89\x0f",
                       TABLE_VA)); /* a refusal is not remembered as anything else */
    CU_ASSERT_EQUAL(nr_writes, 3);
}

static void test_endless_races_end(void)
{
    unsigned int still;

    reset();
    regs.rdi = TABLE_VA;
    races = 1000;
    regs.rax = 1;
    CU_ASSERT_TRUE(PF("\xf0\x48\x31\x07", TABLE_VA)); /* executed again by the guest */
    CU_ASSERT_TRUE(nr_writes < 20);
    CU_ASSERT_TRUE(races < 1000); /* the entry was compared */
    CU_ASSERT_EQUAL(regs.rip % 64, 0);
    CU_ASSERT_TRUE(PF("\x89\x07", TABLE_VA)); /* so is a store of half of it */
    CU_ASSERT_EQUAL(regs.rip % 64, 0);
    still = races;
    CU_ASSERT_TRUE(PF("\x48\x89\x47\x08", TABLE_VA + 8)); /* a whole one is just stored */
    CU_ASSERT_EQUAL(races, still);
    CU_ASSERT_EQUAL(regs.rip % 64, 4);
    races = 0;
    nr_writes = 0;
    retry_rc = ERESTART;
    {
        uint64_t e = ENTRY(0), rip;

        CU_ASSERT_TRUE(PF("\xf0\x48\x31\x07", TABLE_VA));
        rip = regs.rip;
        CU_ASSERT_EQUAL(ENTRY(0), e);
        retry_rc = 0;
        regs.error_code = PFEC_PRESENT | PFEC_WRITE | PFEC_USER;
        CU_ASSERT_TRUE(guest_page_fault(v, &regs, TABLE_VA));
        CU_ASSERT_EQUAL(regs.rip, rip + 4);
        CU_ASSERT_EQUAL(ENTRY(0), e ^ 1);
    }
}

static void test_spurious_faults(void)
{
    uint64_t va = 0x7f0000001000;

    reset();
    link_tables(va, pte_make(30, PTE_P | PTE_RW | PTE_US));
    regs.error_code = PFEC_PRESENT | PFEC_WRITE | PFEC_USER;
    CU_ASSERT_TRUE(guest_page_fault(v, &regs, va));
    CU_ASSERT_EQUAL(nr_flushes, 1);
    regs.error_code = PFEC_WRITE | PFEC_USER; /* was not present: the guest's */
    CU_ASSERT_FALSE(guest_page_fault(v, &regs, va));
    link_tables(va, pte_make(30, PTE_P | PTE_RW | PTE_US | PTE_NX));
    regs.error_code = PFEC_PRESENT | PFEC_FETCH | PFEC_USER;
    CU_ASSERT_FALSE(guest_page_fault(v, &regs, va));
    link_tables(va, pte_make(30, PTE_P | PTE_US));
    regs.error_code = PFEC_PRESENT | PFEC_WRITE | PFEC_USER;
    CU_ASSERT_FALSE(guest_page_fault(v, &regs, va));
    regs.error_code = PFEC_PRESENT | PFEC_USER;
    CU_ASSERT_TRUE(guest_page_fault(v, &regs, va));
    link_tables(va, pte_make(30, PTE_P | PTE_RW));
    CU_ASSERT_FALSE(guest_page_fault(v, &regs, va));
    link_tables(va, 0);
    CU_ASSERT_FALSE(guest_page_fault(v, &regs, va));
    link_tables(va, pte_make(30, PTE_P | PTE_RW | PTE_US));
    regs.error_code = PFEC_PRESENT | PFEC_WRITE | PFEC_USER;
    ((pte_t *)mfn_to_virt(_mfn(3)))[pt_index(va, 2)] &= ~PTE_RW; /* forbidden one level up */
    CU_ASSERT_FALSE(guest_page_fault(v, &regs, va));
    CU_ASSERT_EQUAL(nr_flushes, 2);
    link_tables(va, pte_make(30, PTE_P | PTE_RW | PTE_US));
    regs.error_code =
        PFEC_PRESENT | PFEC_USER | 8; /* reserved bits, protection keys: not repaired */
    CU_ASSERT_FALSE(guest_page_fault(v, &regs, va));
    regs.error_code = PFEC_PRESENT | PFEC_USER | 32;
    CU_ASSERT_FALSE(guest_page_fault(v, &regs, va));
}

/* ---- privileged instructions ---- */

static void permit(uint16_t port, unsigned int nr)
{
    d->ioports.of[d->ioports.nr++] = (struct range){ port, port + nr - 1 };
}

static void test_ports(void)
{
    reset();
    permit(0x70, 2);
    regs.rax = 0x1111222233334444;
    regs.rdx = 0xabcd0070;
    io.in = 0x55667788;
    CU_ASSERT_TRUE(GP("\xec")); /* in al, dx */
    CU_ASSERT_EQUAL(regs.rax, 0x1111222233334488);
    CU_ASSERT_TRUE(GP("\x66\xed"));
    CU_ASSERT_EQUAL(regs.rax, 0x1111222233337789);
    CU_ASSERT_EQUAL(io.nr, 2);
    CU_ASSERT_TRUE(GP("\xed")); /* four ports, two are permitted: nobody there */
    CU_ASSERT_EQUAL(regs.rax, 0xffffffff);
    CU_ASSERT_EQUAL(io.nr, 2);
    regs.rax = 0x99;
    CU_ASSERT_TRUE(GP("\xe6\x71"));
    CU_ASSERT_EQUAL(io.port, 0x71);
    CU_ASSERT_EQUAL(io.out, 0x99);
    CU_ASSERT_EQUAL(io.nr, 3);
    CU_ASSERT_TRUE(GP("\xe6\x72")); /* ignored */
    CU_ASSERT_EQUAL(io.nr, 3);
    regs.rdx = 0xcf8;
    CU_ASSERT_TRUE(GP("\xed"));
    CU_ASSERT_EQUAL(regs.rax, 0xffffffff);
    d->is_hwdom = true;
    CU_ASSERT_TRUE(GP("\xed"));
    CU_ASSERT_EQUAL(regs.rax, 0x80001234);
    regs.rdx = 0xffff;
    permit(0xfffd, 3);
    CU_ASSERT_TRUE(GP("\xed")); /* beyond the last port */
    CU_ASSERT_EQUAL(regs.rax, 0xffffffff);
    CU_ASSERT_TRUE(GP("\xe4\x42")); /* the still PIT */
    CU_ASSERT_EQUAL(regs.rax, 0xffffff00);
    CU_ASSERT_EQUAL(io.nr, 3);
}

/* Runs the code with a buffer of the guest's; how often it faulted until it was behind it. */
static unsigned int string_io(const char *code, unsigned int len, uint8_t *buf, size_t size,
                              int rights)
{
    static uint8_t text[32];
    unsigned int n = 0;

    memset(text, 0x90, sizeof(text));
    memcpy(text, code, len);
    fake_guest_unmap_all();
    fake_guest_map(text, sizeof(text), FAKE_READ_ONLY);
    fake_guest_map(buf, size, rights);
    regs.rip = (uint64_t)(uintptr_t)text;
    regs.error_code = 0;
    injected = 0;
    while (regs.rip == (uint64_t)(uintptr_t)text && n < 100 && injected == 0) {
        if (!guest_general_protection(v, &regs))
            return 0;
        n++;
    }
    CU_ASSERT_TRUE(injected || regs.rip == (uint64_t)(uintptr_t)text + len);
    return n;
}

static void test_string_io(void)
{
    static uint8_t buf[16];

    reset();
    permit(0x70, 4);
    memset(buf, 0xcc, sizeof(buf));
    regs.rdx = 0xabcd0070;
    regs.rdi = regs.rsi = (uint64_t)(uintptr_t)buf;
    regs.rcx = 5;
    io.in = 0x11;
    CU_ASSERT_EQUAL(string_io("\x6c", 1, buf, sizeof(buf), FAKE_READ_WRITE), 1); /* insb */
    CU_ASSERT_EQUAL(regs.rcx, 5);
    CU_ASSERT_EQUAL(regs.rdi, (uint64_t)(uintptr_t)buf + 1);
    CU_ASSERT_EQUAL(string_io("\xf3\x6c", 2, buf, sizeof(buf), FAKE_READ_WRITE), 5);
    CU_ASSERT_EQUAL(regs.rcx, 0);
    CU_ASSERT_EQUAL(memcmp(buf, "\x11\x12\x13\x14\x15\x16\xcc", 7), 0);
    CU_ASSERT_EQUAL(string_io("\xf3\x6c", 2, buf, sizeof(buf), FAKE_READ_WRITE), 1); /* none */
    CU_ASSERT_EQUAL(io.nr, 6);
    CU_ASSERT_EQUAL(regs.rdi, (uint64_t)(uintptr_t)buf + 6);
    CU_ASSERT_EQUAL(regs.rsi, (uint64_t)(uintptr_t)buf);

    regs.rcx = 2; /* rep outsw; then downwards; REX.W is 32 bits */
    CU_ASSERT_EQUAL(string_io("\xf3\x66\x6f", 3, buf, sizeof(buf), FAKE_READ_ONLY), 2);
    CU_ASSERT_EQUAL(io.out, 0x1413);
    CU_ASSERT_EQUAL(io.bytes, 2);
    regs.rflags |= RFLAGS_DF;
    regs.rsi = (uint64_t)(uintptr_t)buf + 2;
    CU_ASSERT_EQUAL(string_io("\x48\x6f", 2, buf, sizeof(buf), FAKE_READ_ONLY), 1);
    CU_ASSERT_EQUAL(io.out, 0x16151413);
    CU_ASSERT_EQUAL(io.bytes, 4);
    CU_ASSERT_EQUAL(regs.rsi, (uint64_t)(uintptr_t)buf - 2);
    regs.rflags &= ~(uint64_t)RFLAGS_DF;

    regs.rdx = 0x80; /* nobody there */
    regs.rdi = (uint64_t)(uintptr_t)buf;
    io.nr = 0;
    CU_ASSERT_EQUAL(string_io("\x6c", 1, buf, sizeof(buf), FAKE_READ_WRITE), 1);
    CU_ASSERT_EQUAL(buf[0], 0xff);
    CU_ASSERT_EQUAL(io.nr, 0);
    regs.rflags |= RFLAGS_TF;
    regs.rcx = 3;
    CU_ASSERT_EQUAL(string_io("\xf3\x6c", 2, buf, sizeof(buf), FAKE_READ_WRITE), 1);
    CU_ASSERT_EQUAL(last_vector, VECTOR_DB); /* behind the first element */
    CU_ASSERT_EQUAL(regs.rcx, 2);
}

static void test_string_io_refused(void)
{
    static uint8_t buf[16];

    reset();
    permit(0x70, 4);
    regs.rdx = 0x70;
    regs.rcx = 3;
    regs.rdi = regs.rsi = (uint64_t)(uintptr_t)buf + 15;
    CU_ASSERT_EQUAL(string_io("\xf3\x6c", 2, buf, 16, FAKE_READ_ONLY), 1);
    CU_ASSERT_EQUAL(last_vector, 14);
    CU_ASSERT_EQUAL(last_cr2, regs.rdi);
    CU_ASSERT_EQUAL(last_error, PFEC_USER | PFEC_WRITE);
    CU_ASSERT_EQUAL(regs.rcx, 3);
    io.nr = 0;
    CU_ASSERT_EQUAL(string_io("\x6f", 1, buf, 16, FAKE_READ_ONLY), 1); /* its end is not there */
    CU_ASSERT_EQUAL(last_vector, 14);
    CU_ASSERT_EQUAL(last_error, PFEC_USER);
    CU_ASSERT_EQUAL(regs.rsi, (uint64_t)(uintptr_t)buf + 15);
    CU_ASSERT_EQUAL(io.nr, 0);
    regs.rdi = regs.rsi = HV_VIRT_START - 2; /* partly ours: never looked at, and #GP */
    CU_ASSERT_EQUAL(string_io("\x6f", 1, buf, 16, FAKE_READ_ONLY), 0);
    CU_ASSERT_EQUAL(string_io("\x6d", 1, buf, 16, FAKE_READ_ONLY), 0);
    regs.rdi = regs.rsi = HV_VIRT_START;
    CU_ASSERT_EQUAL(string_io("\x6c", 1, buf, 16, FAKE_READ_ONLY), 0);
    regs.rdi = HV_VIRT_END - 1;
    CU_ASSERT_EQUAL(string_io("\x6d", 1, buf, 16, FAKE_READ_ONLY), 0);
    regs.rdi = (uint64_t)(uintptr_t)buf;
    v->arch.iopl = 0; /* neither IOPL nor a bitmap of its own */
    CU_ASSERT_EQUAL(string_io("\x6c", 1, buf, 16, FAKE_READ_WRITE), 0);
    CU_ASSERT_EQUAL(injected, 0);
    CU_ASSERT_EQUAL(io.nr, 0);
}

static void test_iopl(void)
{
    static const uint8_t *const insns[] = { (const uint8_t *)"\xec", (const uint8_t *)"\xee",
                                            (const uint8_t *)"\xe4", (const uint8_t *)"\xe7",
                                            (const uint8_t *)"\xfa", (const uint8_t *)"\xfb" };

    for (unsigned int i = 0; i < ARRAY_SIZE(insns); i++)
        for (unsigned int iopl = 0; iopl < 4; iopl++)
            for (unsigned int mode = 0; mode < 3; mode++) {
                unsigned int cpl = mode == 0 ? 3 : mode == 1 ? 1 : 0;

                reset();
                v->arch.iopl = (uint8_t)iopl;
                v->arch.kernel_mode = mode > 0;
                d->vm_assist = mode == 2 ? 1 << VMASST_TYPE_architectural_iopl : 0;
                CU_ASSERT_EQUAL(fault_gp(insns[i], 1), iopl >= cpl);
            }
}

/* Runs \xec or so with the guest's own bitmap readable. */
static bool port_by_bitmap(const char *code, uint16_t port, uint8_t *map)
{
    static uint8_t buf[64];

    memset(buf, 0x90, sizeof(buf));
    memcpy(buf, code, strlen(code));
    fake_guest_unmap_all();
    fake_guest_map(buf, sizeof(buf), FAKE_READ_ONLY);
    fake_guest_map(map, 64, FAKE_READ_ONLY);
    regs.rdx = port;
    regs.rip = (uint64_t)(uintptr_t)buf;
    regs.error_code = 0;
    return guest_general_protection(v, &regs);
}

static void test_the_guests_bitmap_of_ports(void)
{
    static uint8_t map[64];

    reset();
    permit(0, 0x400);
    memset(map, 0xff, sizeof(map));
    map[0x70 / 8] = 0xfc; /* 70 and 71 */
    map[0x7f / 8] = 0x7f; /* 7f and 80: two bytes */
    map[0x80 / 8] = 0xfe;
    map[63] = 0;
    v->arch.kernel_mode = false;
    v->arch.iopl = 1;
    CU_ASSERT_FALSE(port_by_bitmap("\xec", 0x70, map)); /* none set */
    v->iobitmap = _gva((uint64_t)(uintptr_t)map);
    v->iobitmap_ports = 512;
    roots_loaded = 0;
    CU_ASSERT_TRUE(port_by_bitmap("\xec", 0x70, map));
    CU_ASSERT_EQUAL(roots_loaded, 2); /* the map is the kernel's, then the user's root again */
    CU_ASSERT_FALSE(v->arch.kernel_mode);
    CU_ASSERT_TRUE(port_by_bitmap("\x66\xed", 0x70, map));
    CU_ASSERT_FALSE(port_by_bitmap("\x66\xed", 0x71, map)); /* all ports must be clear */
    CU_ASSERT_FALSE(port_by_bitmap("\xed", 0x70, map));
    CU_ASSERT_TRUE(port_by_bitmap("\x66\xef", 0x7f, map));
    CU_ASSERT_FALSE(port_by_bitmap("\xef", 0x7f, map));
    v->iobitmap_ports = 0x72;
    CU_ASSERT_TRUE(port_by_bitmap("\x66\xed", 0x70, map));
    v->iobitmap_ports = 0x71;
    CU_ASSERT_FALSE(port_by_bitmap("\x66\xed", 0x70, map));
    v->iobitmap_ports = 512;
    CU_ASSERT_TRUE(port_by_bitmap("\xee", 511, map));
    CU_ASSERT_FALSE(port_by_bitmap("\x66\xef", 511, map)); /* beyond the bitmap */
    CU_ASSERT_FALSE(port_by_bitmap("\xec", 0xffff, map));
    CU_ASSERT_FALSE(port_by_bitmap("\xfa", 0x70, map)); /* CLI is by IOPL alone */
    CU_ASSERT_FALSE(v->arch.kernel_mode);
    v->iobitmap = _gva(HV_VIRT_START); /* cannot be read */
    CU_ASSERT_FALSE(port_by_bitmap("\xec", 0x70, map));
    CU_ASSERT_FALSE(v->arch.kernel_mode);
    v->iobitmap = _gva((uint64_t)(uintptr_t)map);
    v->arch.kernel_mode = true; /* a kernel that gave up its IOPL */
    v->arch.iopl = 0;
    roots_loaded = 0;
    CU_ASSERT_TRUE(port_by_bitmap("\xec", 0x70, map));
    CU_ASSERT_FALSE(port_by_bitmap("\xec", 0x72, map));
    CU_ASSERT_EQUAL(roots_loaded, 0);
    CU_ASSERT_TRUE(v->arch.kernel_mode);
    io.nr = 0;
    d->ioports.nr = 0; /* what the domain may not, its user may not either */
    regs.rax = 0;
    CU_ASSERT_TRUE(port_by_bitmap("\xec", 0x70, map));
    CU_ASSERT_EQUAL(regs.rax, 0xff);
    CU_ASSERT_EQUAL(io.nr, 0);
}

static void test_control_registers(void)
{
    reset();
    v->arch.cr4 = 0x6a0;
    v->arch.cr2 = 0x1234;
    CU_ASSERT_TRUE(GP("\x0f\x20\xc3")); /* mov rbx, cr0 */
    CU_ASSERT_EQUAL(regs.rbx, 0x80050033);
    regs.rbx |= 8;
    CU_ASSERT_TRUE(GP("\x0f\x22\xc3"));
    CU_ASSERT_EQUAL(v->arch.cr0, 0x8005003b);
    CU_ASSERT_TRUE(GP("\x0f\x06")); /* clts */
    CU_ASSERT_EQUAL(v->arch.cr0, 0x80050033);
    regs.rbx = 0x33;
    CU_ASSERT_FALSE(GP("\x0f\x22\xc3")); /* no paging? */
    CU_ASSERT_TRUE(GP("\x0f\x20\xd3"));
    CU_ASSERT_EQUAL(regs.rbx, 0x1234);
    CU_ASSERT_TRUE(GP("\x0f\x20\xdb"));
    CU_ASSERT_EQUAL(regs.rbx, v->arch.cr3_kernel);
    regs.rbx = 0x7000;
    root_rc = 0;
    CU_ASSERT_TRUE(GP("\x0f\x22\xdb"));
    CU_ASSERT_EQUAL(root_set, 7);
    root_rc = -EINVAL;
    CU_ASSERT_FALSE(GP("\x0f\x22\xdb"));
    root_rc = -ERESTART;
    CU_ASSERT_TRUE(GP("\x0f\x22\xdb"));
    regs.rbx = 0x7001;
    CU_ASSERT_FALSE(GP("\x0f\x22\xdb"));
    regs.rbx = ~0ULL;
    CU_ASSERT_TRUE(GP("\x0f\x22\xe3")); /* cr4: only what is the guest's */
    CU_ASSERT_EQUAL(v->arch.cr4 & ~(uint64_t)(CR4_TSD | CR4_DE | CR4_FSGSBASE | CR4_OSXSAVE),
                    0x6a0);
    CU_ASSERT_FALSE(GP("\x44\x0f\x20\xc3")); /* cr8 */
    CU_ASSERT_FALSE(GP("\x0f\x20\x03"));     /* ModRM of a memory operand */
    v->arch.kernel_mode = false;
    CU_ASSERT_FALSE(GP("\x0f\x20\xc3"));
    CU_ASSERT_FALSE(GP("\x0f\x22\xe3"));
    CU_ASSERT_FALSE(GP("\x0f\x06"));
}

static void test_debug_registers(void)
{
    reset();
    regs.rax = 0x1000;
    CU_ASSERT_TRUE(GP("\x0f\x23\xc0"));
    CU_ASSERT_EQUAL(v->arch.dr[0], 0x1000);
    regs.rax = DIRECTMAP_VIRT;
    CU_ASSERT_FALSE(GP("\x0f\x23\xc0")); /* our data */
    regs.rax = 1ULL << 47;
    CU_ASSERT_FALSE(GP("\x0f\x23\xc0")); /* not canonical */
    CU_ASSERT_EQUAL(v->arch.dr[0], 0x1000);
    regs.rax = ~0ULL;
    CU_ASSERT_FALSE(GP("\x0f\x23\xf8")); /* GD */
    regs.rax = 0xd0002;
    CU_ASSERT_TRUE(GP("\x0f\x23\xf8"));
    CU_ASSERT_EQUAL(v->arch.dr[7], 0xd0402);
    regs.rax = 0x20002; /* an I/O breakpoint */
    CU_ASSERT_FALSE(GP("\x0f\x23\xf8"));
    regs.rax = 0;
    CU_ASSERT_TRUE(GP("\x0f\x23\xf0"));
    CU_ASSERT_EQUAL(v->arch.dr[6], 0xffff0ff0);
    CU_ASSERT_TRUE(GP("\x0f\x21\xe3")); /* dr4 is dr6 */
    CU_ASSERT_EQUAL(regs.rbx, 0xffff0ff0);
    v->arch.cr4 |= CR4_DE;
    CU_ASSERT_FALSE(GP("\x0f\x21\xe3"));
    CU_ASSERT_FALSE(GP("\x44\x0f\x21\xc3")); /* dr8 */
    v->arch.kernel_mode = false;
    CU_ASSERT_FALSE(GP("\x0f\x21\xc3"));
}

static void test_xsetbv(void)
{
    static const struct {
        uint64_t xcr0;
        bool ok;
    } t[] = {
        { 1, true },
        { 3, true },
        { 7, true },
        { 5, false },
        { 0, false },
        { 2, false },
        { 0xe7, true },
        { 0x27, false },
        { 0xe3, false },
        { 0x200, false },
        { 1ULL << 62 | 1, false },
        { 0x18 | 3, false },
    };

    static struct cpu_policy policy = { .row[0xd].reg = { 0xe7 } };

    reset();
    d->cpu_policy = &policy;
    regs.rax = 7;
    CU_ASSERT_TRUE(GP("\x0f\x01\xd1")); /* CR4.OSXSAVE first */
    CU_ASSERT_EQUAL(last_vector, VECTOR_UD);
    CU_ASSERT_EQUAL(injected, 1);
    v->arch.cr4 |= CR4_OSXSAVE;
    for (unsigned int i = 0; i < ARRAY_SIZE(t); i++) {
        regs.rax = (uint32_t)t[i].xcr0;
        regs.rdx = t[i].xcr0 >> 32;
        v->arch.xcr0 = 99;
        CU_ASSERT_EQUAL(GP("\x0f\x01\xd1"), t[i].ok);
        CU_ASSERT_EQUAL(v->arch.xcr0, t[i].ok ? t[i].xcr0 : 99);
    }
    regs.rcx = 1;
    regs.rax = 7;
    CU_ASSERT_FALSE(GP("\x0f\x01\xd1"));
    policy.row[0xd].reg[0] = 3; /* the toolstack's, less than the machine's */
    regs.rcx = 0;
    CU_ASSERT_FALSE(GP("\x0f\x01\xd1"));
    policy.row[0xd].reg[0] = 0;
    regs.rax = 1;
    CU_ASSERT_FALSE(GP("\x0f\x01\xd1"));
    d->cpu_policy = NULL;
}

static void test_tsc(void)
{
    reset();
    v->arch.tsc_aux = 0x1234;
    fake_now_ns = 0x99;
    CU_ASSERT_TRUE(GP("\x0f\x31"));
    CU_ASSERT_EQUAL(regs.rax, 0x99);
    d->vtsc = true;
    CU_ASSERT_TRUE(GP("\x0f\x01\xf9"));
    CU_ASSERT_EQUAL(regs.rax, 0x55667788);
    CU_ASSERT_EQUAL(regs.rdx, 0x11223344);
    CU_ASSERT_EQUAL(regs.rcx, 0x1234);
    v->arch.kernel_mode = false;
    CU_ASSERT_TRUE(GP("\x0f\x31"));
    v->arch.cr4 |= CR4_TSD;
    CU_ASSERT_FALSE(GP("\x0f\x31"));
    v->arch.kernel_mode = true;
    CU_ASSERT_TRUE(GP("\x0f\x31"));
}

static void test_msr_instructions(void)
{
    reset();
    regs.rcx = 0xc0000102;
    regs.rax = 0xffffffff44332211;
    regs.rdx = 0x11117fff;
    CU_ASSERT_FALSE(GP("\x0f\x30")); /* not canonical */
    regs.rdx = 0x7fff;
    CU_ASSERT_TRUE(GP("\x0f\x30"));
    CU_ASSERT_EQUAL(v->arch.gs_base_user, 0x7fff44332211);
    regs.rax = regs.rdx = 0;
    CU_ASSERT_TRUE(GP("\x0f\x32"));
    CU_ASSERT_EQUAL(regs.rax, 0x44332211);
    CU_ASSERT_EQUAL(regs.rdx, 0x7fff);
    regs.rcx = 0x12345;
    CU_ASSERT_TRUE(GP("\x0f\x32")); /* no handler yet: zero */
    CU_ASSERT_EQUAL(regs.rax, 0);
    v->arch.traps[13].address = 0x1000;
    CU_ASSERT_FALSE(GP("\x0f\x32"));
    CU_ASSERT_FALSE(GP("\x0f\x30"));
    v->arch.kernel_mode = false;
    regs.rcx = 0x10;
    CU_ASSERT_FALSE(GP("\x0f\x32"));
}

static void test_what_stays_with_the_guest(void)
{
    static const struct {
        const char *code;
        unsigned int len;
    } t[] = {
        { "\xf4", 1 },         { "\x0f\x01\x17", 3 }, { "\x0f\x01\x1f", 3 }, { "\x0f\x00\xd8", 3 },
        { "\x0f\x01\xf0", 3 }, { "\x48\xcf", 2 },     { "\x0f\x07", 2 },     { "\x0f\x33", 2 },
        { "\x0f\x01\xf8", 3 }, { "\x8e\xd8", 2 },     { "\x0f\x01\x38", 3 }, { "\x90", 1 },
        { "\xf0\xfa", 2 },     { "\xcc", 1 },         { "\x89\x07", 2 },     { "\x0f\xc7\x0f", 3 },
    };

    for (unsigned int i = 0; i < ARRAY_SIZE(t); i++) {
        struct cpu_user_regs before;

        reset();
        before = regs;
        CU_ASSERT_FALSE(fault_gp(t[i].code, t[i].len));
        before.rip = regs.rip;
        CU_ASSERT_EQUAL(memcmp(&before, &regs, sizeof(regs)), 0);
    }
    regs.error_code = 0x18; /* a selector: the guest's business */
    CU_ASSERT_FALSE(guest_general_protection(v, &regs));
}

static bool fault_int(unsigned int n, uint32_t error_code)
{
    static uint8_t code[2] = { 0xcd };

    code[1] = (uint8_t)n;
    fake_guest_unmap_all();
    fake_guest_map(code, 2, FAKE_READ_ONLY);
    regs.rip = (uint64_t)(uintptr_t)code;
    regs.error_code = error_code;
    soft_vector = 0;
    return guest_general_protection(v, &regs);
}

static void test_software_interrupts(void)
{
    reset();
    v->arch.traps[0x81] = (struct guest_trap){ 0x1000, 0x13, 3 };
    v->arch.traps[0x82] = (struct guest_trap){ 0x2000, 0x13, 1 };
    v->arch.traps[0x83] = (struct guest_trap){ 0x2000, 0x13, 0 };
    CU_ASSERT_TRUE(fault_int(0x81, 0x81 * 8 + 2));
    CU_ASSERT_EQUAL(soft_vector, 0x81);
    CU_ASSERT_TRUE(fault_int(0x82, 0x82 * 8 + 2));
    CU_ASSERT_FALSE(fault_int(0x83, 0x83 * 16 + 2)); /* as TCG tells it */
    CU_ASSERT_EQUAL(regs.error_code, 0x83 * 8 + 2);
    CU_ASSERT_FALSE(fault_int(0x84, 0x84 * 8 + 2));
    v->arch.kernel_mode = false;
    regs.cs = FLAT_RING3_CS32; /* also in 32-bit code */
    CU_ASSERT_TRUE(fault_int(0x81, 0x81 * 16 + 2));
    CU_ASSERT_FALSE(fault_int(0x82, 0x82 * 8 + 2));
    CU_ASSERT_EQUAL(soft_vector, 0);
    CU_ASSERT_FALSE(fault_int(0x81, 0x81 * 8 + 3)); /* EXT: not an instruction's doing */
}

static void test_forced_cpuid(void)
{
    static uint8_t code[8] = { 0x0f, 0x0b, 'x', 'e', 'n', 0x0f, 0xa2, 0x90 };

    reset();
    fake_guest_map(code, 7, FAKE_READ_ONLY); /* no byte behind it is read */
    regs.rip = (uint64_t)(uintptr_t)code;
    regs.rax = 0xffffffff40000000;
    v->arch.kernel_mode = false; /* user mode may as well */
    CU_ASSERT_TRUE(guest_invalid_opcode(v, &regs));
    CU_ASSERT_EQUAL(regs.rip, (uint64_t)(uintptr_t)code + 7);
    CU_ASSERT_EQUAL(regs.rbx, 0x566e6558);
    CU_ASSERT_EQUAL(regs.rax, 0x40000005);
    for (unsigned int i = 0; i < 7; i++) {
        code[i] ^= 0x10;
        regs.rip = (uint64_t)(uintptr_t)code;
        CU_ASSERT_FALSE(guest_invalid_opcode(v, &regs));
        code[i] ^= 0x10;
    }
    regs.rip = HV_VIRT_END - 3;
    CU_ASSERT_FALSE(guest_invalid_opcode(v, &regs));
    for (unsigned int bytes = 0; bytes < 7; bytes++) {
        fake_guest_unmap_all();
        fake_guest_map(code, bytes, FAKE_READ_ONLY);
        regs.rip = (uint64_t)(uintptr_t)code;
        CU_ASSERT_FALSE(guest_invalid_opcode(v, &regs));
        CU_ASSERT_EQUAL(regs.rip, (uint64_t)(uintptr_t)code);
    }
}

/* Random instructions and registers: nothing is touched that is not the guest's. */
static void test_random_instructions(void)
{
    static uint8_t code[64];

    reset();
    srandom(3);
    permit(0x60, 8);
    for (unsigned int n = 0; n < 300000; n++) {
        static const uint8_t likely_bytes[] = { 0x0f, 0x66, 0xf0, 0xf3, 0x48, 0x01, 0xc7, 0xba,
                                                0xab, 0x6c, 0x6d, 0x20, 0x22, 0x23, 0x30, 0x32 };

        for (unsigned int i = 0; i < 15; i++)
            code[i] = random() % 3 ? likely_bytes[random() % 16] : (uint8_t)random();
        for (unsigned int i = 0; i < 16; i++)
            *reg_whole(&regs, i) = random() % 3 ? TABLE_VA + (uint64_t)random() % 5000 : random64();
        regs.rcx %= 1000;
        regs.rflags = 0x202 | (random64() & RFLAGS_ARITH);
        regs.cs = FLAT_KERNEL_CS64;
        v->arch.kernel_mode = random() % 4;
        v->arch.iopl = random() % 4;
        fake_guest_unmap_all();
        fake_guest_map(code, sizeof(code), FAKE_READ_ONLY);
        regs.rip = (uint64_t)(uintptr_t)code;
        regs.error_code = random() % 2 ? 0 : PFEC_PRESENT | PFEC_WRITE | PFEC_USER;
        if (regs.error_code == 0)
            guest_general_protection(v, &regs);
        else
            guest_page_fault(v, &regs, TABLE_VA + (uint64_t)random() % PAGE_SIZE);
        if (regs.rip - (uint64_t)(uintptr_t)code > 15)
            CU_FAIL("went beyond the instruction");
        v->arch.cr3_kernel = 1 << PAGE_SHIFT;
    }
    CU_ASSERT_EQUAL(mfn_to_page(_mfn(TABLE_MFN))->count_info & PGC_COUNT_MASK, 2);
    CU_ASSERT_EQUAL(fake_locks_held(), 0);
}

int main(void)
{
    const struct write_case rows[] = { WRITES(ROW) };
    CU_pSuite s;

    memcpy(cases, rows, sizeof(rows));
    nr_cases = ARRAY_SIZE(rows);
    CU_initialize_registry();
    s = CU_add_suite("emulate", NULL, NULL);
    CU_ADD_TEST(s, test_zeros_are_not_an_instruction);
    CU_ADD_TEST(s, test_writes_do_what_the_cpu_does);
    CU_ADD_TEST(s, test_bit_number_in_a_register_reaches_other_entries);
    CU_ADD_TEST(s, test_refusals_change_nothing);
    CU_ADD_TEST(s, test_only_own_l1_tables_of_the_kernel);
    CU_ADD_TEST(s, test_changed_code_is_decoded_again);
    CU_ADD_TEST(s, test_endless_races_end);
    CU_ADD_TEST(s, test_spurious_faults);
    CU_ADD_TEST(s, test_ports);
    CU_ADD_TEST(s, test_string_io);
    CU_ADD_TEST(s, test_string_io_refused);
    CU_ADD_TEST(s, test_iopl);
    CU_ADD_TEST(s, test_the_guests_bitmap_of_ports);
    CU_ADD_TEST(s, test_control_registers);
    CU_ADD_TEST(s, test_debug_registers);
    CU_ADD_TEST(s, test_xsetbv);
    CU_ADD_TEST(s, test_tsc);
    CU_ADD_TEST(s, test_msr_instructions);
    CU_ADD_TEST(s, test_what_stays_with_the_guest);
    CU_ADD_TEST(s, test_software_interrupts);
    CU_ADD_TEST(s, test_forced_cpuid);
    CU_ADD_TEST(s, test_random_instructions);
    CU_basic_set_mode(CU_BRM_NORMAL);
    CU_basic_run_tests();
    tear_down();
    fake_ram_create(1);
    return CU_get_number_of_failures() != 0;
}
