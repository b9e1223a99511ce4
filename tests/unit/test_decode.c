/* The instruction decoder against the assembler's encodings, and against random bytes. */
#include <CUnit/Basic.h>
#include <stdlib.h>
#include <string.h>

#include "emulate/decode.h"
#include "fake.h"
#include "lib/errno.h"

static struct cpu_user_regs regs;
static unsigned int nr_injected, last_vector, last_error;
static uint64_t last_cr2;

void arch_inject_page_fault(struct vcpu *v, uint64_t cr2, uint32_t ec)
{
    (void)v;
    nr_injected++;
    last_vector = 14;
    last_cr2 = cr2;
    last_error = ec;
}
void arch_inject_exception(struct vcpu *v, unsigned int vector, uint32_t ec)
{
    (void)v;
    (void)ec;
    nr_injected++;
    last_vector = vector;
}

/* One row: the assembler's text and what we expect of the decoder. */
#define SNIPPETS(X)                                                         \
    X(0, "mov %rax, (%rdi)", 0x89, 8, GPR_RAX, 1, 0)                        \
    X(1, "mov %r9d, 8(%r12)", 0x89, 4, 9, 1, 0)                             \
    X(2, "mov %cx, -4(%rbp,%rsi,2)", 0x89, 2, GPR_RCX, 1, 0)                \
    X(3, "movb $-3, 0x12345(%r13,%r14,8)", 0xc6, 1, 0, 1, -3)               \
    X(4, "movq $-559038737, (%rsp)", 0xc7, 8, 0, 1, -559038737)             \
    X(5, "movw $0x9234, (,%rax,4)", 0xc7, 2, 0, 1, (int16_t)0x9234)         \
    X(6, "lock andb $0xfd, (%rdi)", 0x80, 1, 4, 1, -3)                      \
    X(7, "lock btrq $5, 16(%rbx)", OP_0F(0xba), 8, 6, 1, 5)                 \
    X(8, "xchg %rdx, (%r15,%r15)", 0x87, 8, GPR_RDX, 1, 0)                  \
    X(9, "lock cmpxchg %r8, (%rdi)", OP_0F(0xb1), 8, 8, 1, 0)               \
    X(10, "lock orw $-2, %fs:0x1234(%rip)", 0x83, 2, 1, 1, -2)              \
    X(11, "lock btsw %r9w, (%rsp,%r12)", OP_0F(0xab), 2, 9, 1, 0)           \
    X(12, "in $0x71, %eax", 0xe5, 4, 0, 0, 0x71)                            \
    X(13, "mov %rsi, (%edi,%eax)", 0x89, 8, GPR_RSI, 1, 0)                  \
    X(14, "lock xorl $0x7fffffff, %gs:-1(%r9d)", 0x81, 4, 6, 1, 0x7fffffff) \
    X(15, "in %dx, %ax", 0xed, 2, 0, 0, 0)                                  \
    X(16, "out %al, $0x70", 0xe6, 1, 0, 0, 0x70)                            \
    X(17, "mov %cr4, %r11", OP_0F(0x20), 4, 4, 0, 0)                        \
    X(18, "mov %rcx, %db7", OP_0F(0x23), 4, 7, 0, 0)                        \
    X(19, "clts", OP_0F(0x06), 4, 0, 0, 0)                                  \
    X(20, "rdtscp", OP_0F(0x01), 4, 7, 0, 0)                                \
    X(21, "xsetbv", OP_0F(0x01), 4, 2, 0, 0)                                \
    X(22, "lock cmpxchg %ebp, 1(%rcx)", OP_0F(0xb1), 4, GPR_RBP, 1, 0)      \
    X(23, "wrmsr", OP_0F(0x30), 4, 0, 0, 0)                                 \
    X(24, "andq $0x7fffffff, (%r8)", 0x81, 8, 4, 1, 0x7fffffff)             \
    X(25, "mov %rax, (%r12,%r12,8)", 0x89, 8, 0, 1, 0)                      \
    X(26, "mov %rax, 0(%r13)", 0x89, 8, 0, 1, 0)                            \
    X(27, "movl $0x01020304, 0x10(%rip)", 0xc7, 4, 0, 1, 0x01020304)        \
    X(28, "mov %rax, 0(,%rbp,8)", 0x89, 8, 0, 1, 0)                         \
    X(29, "mov %rax, 0(%rbp,%rbp,8)", 0x89, 8, 0, 1, 0)                     \
    X(30, "rep insb", 0x6c, 1, 0, 0, 0)                                     \
    X(31, "rep insl", 0x6d, 4, 0, 0, 0)                                     \
    X(32, "outsw", 0x6f, 2, 0, 0, 0)

#define ASM(n, text, ...) __asm__(".text; snip" #n ": " text "; snip" #n "_end:");
SNIPPETS(ASM)
#define DECLARE(n, ...) extern const uint8_t snip##n[], snip##n##_end[];
SNIPPETS(DECLARE)

static void set_regs(void)
{
    struct cpu_user_regs r = { .rax = 0x10000,
                               .rcx = 0x1000,
                               .rdx = 0x2000,
                               .rbx = 0x3000,
                               .rsp = 0x4000,
                               .rbp = 0x5000,
                               .rsi = 0x6000,
                               .rdi = 0x7000,
                               .r8 = 0x8000,
                               .r9 = 0x9000,
                               .r10 = 0xa000,
                               .r11 = 0xb000,
                               .r12 = 0xc000,
                               .r13 = 0xd000,
                               .r14 = 0xe000,
                               .r15 = 0xf000 };

    r.cs = FLAT_KERNEL_CS64;
    r.rip = 0x400000;
    regs = r;
}

static void check(const uint8_t *p, const uint8_t *end, uint16_t op, unsigned int bytes,
                  unsigned int reg, bool mem, int64_t imm)
{
    struct insn i;
    uint8_t buf[INSN_BUFFER];
    unsigned int len = (unsigned int)(end - p);

    set_regs();
    memset(buf, 0xf0, sizeof(buf));
    memcpy(buf, p, len);
    CU_ASSERT_EQUAL(insn_decode(&i, buf, INSN_BYTES_MAX), 0);
    CU_ASSERT_EQUAL(i.op, op);
    CU_ASSERT_EQUAL(i.len, len);
    CU_ASSERT_EQUAL(i.bytes, bytes);
    CU_ASSERT_EQUAL(i.reg, reg);
    CU_ASSERT_EQUAL(i.mem, mem);
    CU_ASSERT_EQUAL(i.imm, imm);
    for (unsigned int n = 0; n < len; n++) /* each shorter piece asks for more */
        CU_ASSERT_EQUAL(insn_decode(&i, buf, n), -EFAULT);
}

static void test_encodings_of_the_assembler_are_understood(void)
{
#define CHECK(n, text, ...) check(snip##n, snip##n##_end, __VA_ARGS__);
    SNIPPETS(CHECK)
}

static int decode(const char *bytes, unsigned int nr, struct insn *i)
{
    uint8_t buf[INSN_BUFFER] = { 0 };

    set_regs();
    memcpy(buf, bytes, nr);
    return insn_decode(i, buf, nr);
}

static void test_prefix_rules(void)
{
    struct insn i;

    CU_ASSERT_EQUAL(decode("\xf3\x6c", 2, &i), 0); /* string instructions and no other repeat */
    CU_ASSERT_TRUE(i.rep);
    CU_ASSERT_EQUAL(decode("\xf2\x2e\x66\x6f", 4, &i), 0); /* cs: counts for nothing */
    CU_ASSERT_TRUE(i.rep);
    CU_ASSERT_EQUAL(decode("\x6e", 1, &i), 0);
    CU_ASSERT_FALSE(i.rep);
    CU_ASSERT_EQUAL(decode("\x65\xf3\x6e", 3, &i), -EINVAL); /* gs: would */
    CU_ASSERT_EQUAL(decode("\x67\xf3\x6c", 3, &i), -EINVAL); /* and edi for rdi */
    CU_ASSERT_EQUAL(decode("\xf0\x6c", 2, &i), -EINVAL);
    CU_ASSERT_EQUAL(decode("\x48\x66\x89\x07", 4, &i), 0); /* REX before another prefix is lost */
    CU_ASSERT_EQUAL(i.bytes, 2);
    CU_ASSERT_EQUAL(decode("\x66\x48\x89\x07", 4, &i), 0); /* REX.W wins over 66 */
    CU_ASSERT_EQUAL(i.bytes, 8);
    CU_ASSERT_EQUAL(decode("\x64\x2e\x48\x89\x07", 5, &i), 0); /* segments: part of the address */
    CU_ASSERT_EQUAL(i.len, 5);
    CU_ASSERT_EQUAL(i.bytes, 8);
    CU_ASSERT_EQUAL(decode("\xf0\xf0\x66\x65\x67\x48\x31\x0f", 8, &i), 0);
    CU_ASSERT_EQUAL(i.len, 8);
    CU_ASSERT_EQUAL(decode("\x48\x40\x89\xff", 4, &i), 0); /* the last REX counts */
    CU_ASSERT_EQUAL(i.bytes, 4);
    CU_ASSERT_EQUAL(i.reg, 7);
    CU_ASSERT_EQUAL(decode("\xf0\x89\x07", 3, &i), -EINVAL); /* LOCK MOV */
    CU_ASSERT_EQUAL(decode("\xf0\x01\xc0", 3, &i), -EINVAL); /* LOCK ADD to a register */
    CU_ASSERT_EQUAL(decode("\xf0\xfa", 2, &i), -EINVAL);
    CU_ASSERT_EQUAL(decode("\xf4", 1, &i), -EINVAL); /* HLT is not ours */
    CU_ASSERT_EQUAL(decode("\x0f\x38\xf0\x07", 4, &i), -EINVAL);
    CU_ASSERT_EQUAL(decode("\xc5\xf8\x77", 3, &i), -EINVAL); /* VEX */
}

static void test_sixteen_bytes_are_too_many(void)
{
    struct insn i;
    uint8_t buf[INSN_BUFFER];

    set_regs();
    memset(buf, 0x66, sizeof(buf));
    CU_ASSERT_EQUAL(insn_decode(&i, buf, 15), -EINVAL);
    buf[14] = 0xfa;
    CU_ASSERT_EQUAL(insn_decode(&i, buf, 15), 0);
    CU_ASSERT_EQUAL(i.len, 15);
    buf[14] = 0x89; /* its ModRM would be the 16th */
    CU_ASSERT_EQUAL(insn_decode(&i, buf, 15), -EINVAL);
}

static void test_random_bytes_stay_in_bounds(void)
{
    set_regs();
    srandom(7);
    for (unsigned int n = 0; n < 2000000; n++) {
        unsigned int nr = (unsigned int)random() % 16;
        uint8_t *buf = malloc(INSN_BUFFER); /* exact, so that ASan sees one byte too many */
        struct insn i;
        int rc;

        for (unsigned int k = 0; k < nr; k++)
            buf[k] = (uint8_t)(random() >> 7);
        memset(buf + nr, n & 1 ? 0x66 : (uint8_t)random(), INSN_BUFFER - nr);
        rc = insn_decode(&i, buf, nr);
        if (rc == 0 && (i.len == 0 || i.len > nr || i.len > 15 || i.rm > 15 || i.reg > 15 ||
                        (i.bytes != 1 && i.bytes != 2 && i.bytes != 4 && i.bytes != 8)))
            CU_FAIL("decoded nonsense");
        if (rc != 0 && rc != -EINVAL && rc != -EFAULT)
            CU_FAIL("other result");
        if (rc == -EFAULT && nr == 15)
            CU_FAIL("asks for a 16th byte");
        free(buf);
    }
}

static void test_fetch_across_a_page_end(void)
{
    uint8_t *code = aligned_alloc(PAGE_SIZE, 2 * PAGE_SIZE);
    struct domain *d = fake_domain(1, 1);
    struct insn i;

    memset(code, 0x90, 2 * PAGE_SIZE);
    memcpy(code + PAGE_SIZE - 2, "\x48\x89\x07", 3);
    set_regs();
    regs.rip = (uint64_t)(uintptr_t)code + PAGE_SIZE - 2;

    fake_reset(1);
    nr_injected = 0;
    fake_guest_map(code, PAGE_SIZE, FAKE_READ_ONLY); /* the second page is not there */
    CU_ASSERT_EQUAL(insn_fetch(d->vcpu[0], &regs, &i), -EFAULT);
    CU_ASSERT_EQUAL(nr_injected, 1);
    CU_ASSERT_EQUAL(last_cr2, (uint64_t)(uintptr_t)code + PAGE_SIZE);
    CU_ASSERT_EQUAL(last_error, PFEC_USER | PFEC_FETCH);

    fake_guest_map(code + PAGE_SIZE, PAGE_SIZE, FAKE_READ_ONLY);
    CU_ASSERT_EQUAL(insn_fetch(d->vcpu[0], &regs, &i), 0);
    CU_ASSERT_EQUAL(i.len, 3);

    regs.rip--; /* ends with the page: the second is not asked for */
    code[PAGE_SIZE - 3] = 0xe4;
    fake_guest_unmap_all();
    fake_guest_map(code, PAGE_SIZE, FAKE_READ_ONLY);
    CU_ASSERT_EQUAL(insn_fetch(d->vcpu[0], &regs, &i), 0);
    fake_guest_unmap_all();
    nr_injected = 0;
    CU_ASSERT_EQUAL(insn_fetch(d->vcpu[0], &regs, &i), -EFAULT);
    CU_ASSERT_EQUAL(last_cr2, regs.rip);
    fake_domain_free(d);
    free(code);
}

static void test_only_64_bit_code_is_fetched(void)
{
    static uint8_t code[16] = { 0xfa };
    struct domain *d = fake_domain(1, 1);
    struct vcpu *v = d->vcpu[0];
    uint64_t *gdt;
    struct insn i;

    fake_reset(1);
    fake_ram_create(64);
    fake_guest_map(code, sizeof(code), FAKE_READ_ONLY);
    set_regs();
    regs.rip = (uint64_t)(uintptr_t)code;
    CU_ASSERT_EQUAL(insn_fetch(v, &regs, &i), 0);
    regs.cs = FLAT_RING3_CS32;
    CU_ASSERT_EQUAL(insn_fetch(v, &regs, &i), -EINVAL);
    regs.cs = 0x13;
    CU_ASSERT_EQUAL(insn_fetch(v, &regs, &i), -EINVAL); /* no GDT at all */
    gdt = mfn_to_virt(_mfn(5));
    gdt[2] = 0x00affb000000ffffULL;
    gdt[3] = 0x00cffb000000ffffULL;
    v->arch.gdt_frames[0] = _mfn(5);
    v->arch.nr_gdt_ents = 16;
    CU_ASSERT_EQUAL(insn_fetch(v, &regs, &i), 0);
    regs.cs = 0x1b;
    CU_ASSERT_EQUAL(insn_fetch(v, &regs, &i), -EINVAL);
    regs.cs = 16 * 8 + 3;
    CU_ASSERT_EQUAL(insn_fetch(v, &regs, &i), -EINVAL);
    v->arch.ldt_frames[0] = _mfn(5);
    v->arch.nr_ldt_ents = 3;
    regs.cs = 0x17;
    CU_ASSERT_EQUAL(insn_fetch(v, &regs, &i), 0);
    v->arch.ldt_frames[0] = INVALID_MFN;
    CU_ASSERT_EQUAL(insn_fetch(v, &regs, &i), -EINVAL);
    regs.cs = FLAT_KERNEL_CS64;
    regs.rip = HV_VIRT_START + 0x1000;
    CU_ASSERT_EQUAL(insn_fetch(v, &regs, &i), -EINVAL);
    regs.rip = 0x0000800000000000ULL;
    CU_ASSERT_EQUAL(insn_fetch(v, &regs, &i), -EINVAL);
    fake_domain_free(d);
}

/* What was emulated once and is not any more: no kernel does that to a page table or a port. */
static void test_what_is_not_emulated(void)
{
    static const char *const insns[] = {
        "\x88\x07", "\x08\x07",     "\x86\x07",     "\x0f\xb0\x07", /* 8-bit registers */
        "\x01\x07", "\x29\x07",     "\xf7\x17",     "\xff\x07",     "\xaa",
        "\x48\xab", "\x0f\xc3\x07", "\xa2\1\2\3\4", "\x0f\xa2",
    };
    struct insn i;

    for (unsigned int n = 0; n < ARRAY_SIZE(insns); n++)
        CU_ASSERT_EQUAL(decode(insns[n], (unsigned int)strlen(insns[n]), &i), -EINVAL);
}

static void test_registers_as_operands(void)
{
    set_regs();
    regs.rax = 0x112233445566ab88;
    reg_write(&regs, 0, 1, 0x1aa);
    CU_ASSERT_EQUAL(regs.rax, 0x112233445566abaa);
    reg_write(&regs, 0, 2, 0x1ffff);
    CU_ASSERT_EQUAL(regs.rax, 0x112233445566ffff);
    reg_write(&regs, 0, 4, 0xa00000099);
    CU_ASSERT_EQUAL(regs.rax, 0x99);
    reg_write(&regs, 15, 8, ~0ULL);
    CU_ASSERT_EQUAL(regs.r15, ~0ULL);
    CU_ASSERT_EQUAL(*reg_whole(&regs, 4), 0x4000);
}

static void test_ranges_of_guests(void)
{
    CU_ASSERT_TRUE(guest_va_ok(0));
    CU_ASSERT_TRUE(guest_va_ok(0x00007fffffffffffULL));
    CU_ASSERT_FALSE(guest_va_ok(0x0000800000000000ULL));
    CU_ASSERT_FALSE(guest_va_ok(HV_VIRT_START));
    CU_ASSERT_FALSE(guest_va_ok(HV_VIRT_END - 1));
    CU_ASSERT_TRUE(guest_va_ok(HV_VIRT_END));
    CU_ASSERT_TRUE(guest_va_ok(~0ULL));
}

static void test_single_step_after_an_emulated_instruction(void)
{
    struct domain *d = fake_domain(1, 1);

    set_regs();
    regs.rflags = RFLAGS_RF;
    nr_injected = 0;
    insn_retire(d->vcpu[0], &regs, 3);
    CU_ASSERT_EQUAL(regs.rip, 0x400003);
    CU_ASSERT_EQUAL(regs.rflags, 0);
    CU_ASSERT_EQUAL(nr_injected, 0);
    regs.rflags = RFLAGS_TF;
    insn_retire(d->vcpu[0], &regs, 3);
    CU_ASSERT_EQUAL(nr_injected, 1);
    CU_ASSERT_EQUAL(last_vector, 1);
    CU_ASSERT_TRUE(d->vcpu[0]->arch.dr[6] & 0x4000);
    fake_domain_free(d);
}

int main(void)
{
    CU_pSuite s;

    CU_initialize_registry();
    s = CU_add_suite("decode", NULL, NULL);
    CU_ADD_TEST(s, test_encodings_of_the_assembler_are_understood);
    CU_ADD_TEST(s, test_prefix_rules);
    CU_ADD_TEST(s, test_sixteen_bytes_are_too_many);
    CU_ADD_TEST(s, test_random_bytes_stay_in_bounds);
    CU_ADD_TEST(s, test_fetch_across_a_page_end);
    CU_ADD_TEST(s, test_only_64_bit_code_is_fetched);
    CU_ADD_TEST(s, test_what_is_not_emulated);
    CU_ADD_TEST(s, test_registers_as_operands);
    CU_ADD_TEST(s, test_ranges_of_guests);
    CU_ADD_TEST(s, test_single_step_after_an_emulated_instruction);
    CU_basic_set_mode(CU_BRM_NORMAL);
    CU_basic_run_tests();
    return CU_get_number_of_failures() != 0;
}
