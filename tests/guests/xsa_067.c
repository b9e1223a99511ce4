/*
 * Instructions that a kernel in ring 3 traps with, and a segment override before them. On Xen OUTS
 * with one read memory by a base that nobody had set (XSA-67), and an override before an operand that
 * is a register made the emulator write over its own state (XSA-123).
 */
#include "guest.h"

static uint8_t *code;
static uint64_t got_rax, got_rsi, got_rcx;
static const uint8_t overrides[] = { 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65 };

/* Run prefix (0: none) and insn; the vector, or -1. */
static int run(uint8_t prefix, uint8_t prefix2, const uint8_t *insn, unsigned int len_bytes)
{
    uint64_t rax = 0x1111111111111111, rsi = (uint64_t)&code[2048], rcx = 0xc0000080;
    uint64_t rdi = (uint64_t)&code[3072];
    unsigned int n = 0;

    if (prefix)
        code[n++] = prefix;
    if (prefix2)
        code[n++] = prefix2;
    memcpy(code + n, insn, len_bytes);
    n += len_bytes;
    code[n++] = 0xff; /* jmp *%rbx */
    code[n] = 0xe3;
    TRY("lea 1f(%%rip), %%rbx\n jmp *%[code]\n1:",
        : "+a"(rax), "+S"(rsi), "+c"(rcx), "+D"(rdi)
        : [code] "r"(code), "d"(0x80L)
        : "rbx", "r8", "memory");
    if (!trapped(-1)) {
        rax = last_trap.regs.rax;
        rsi = last_trap.regs.rsi;
        rcx = last_trap.regs.rcx;
    }
    got_rax = rax;
    got_rsi = rsi;
    got_rcx = rcx;
    return last_trap.vector;
}

/*
 * String I/O is done with the overrides that mean nothing in 64-bit code, and moves its register by the
 * operand's size; with FS and GS it is refused, and nothing moves.
 */
static void strings(void)
{
    static const uint8_t ops[] = { 0x6e, 0x6f, 0x6c, 0x6d };
    static const uint16_t selectors[] = { 0, 3, 0xe02b };
    unsigned int done = 0, moved = 0, with_base = 0;

    for (unsigned int s = 0; s < ARRAY_SIZE(selectors); s++) {
        __asm__ volatile("mov %0, %%fs\n mov %0, %%gs\n mov %0, %%es" ::"r"(selectors[s]));
        for (unsigned int i = 0; i < ARRAY_SIZE(ops); i++)
            for (unsigned int p = 0; p < 2 * (ARRAY_SIZE(overrides) + 1); p++) {
                uint8_t prefix = p / 2 ? overrides[p / 2 - 1] : 0, size = p % 2 ? 0x66 : 0;
                bool ok = run(prefix, size, &ops[i], 1) == -1;

                if (prefix == 0x64 || prefix == 0x65) {
                    with_base += ok || got_rsi != (uint64_t)&code[2048];
                } else {
                    done += ok;
                    moved += got_rsi - (uint64_t)&code[2048];
                }
            }
    }
    __asm__ volatile("mov %0, %%fs\n mov %0, %%gs\n mov %0, %%es" ::"r"(0));
    attack("string-io.done", done, 3 * 4 * 5 * 2);
    attack("string-io.moved", moved, 3 * 5 * (1 + 1 + 4 + 2)); /* OUTSB twice, OUTSD, OUTSW */
    attack("string-io.with-base", with_base, 0);
}

struct segments {
    uint16_t ds, es, fs, gs, ss, cs;
};

static struct segments segments(void)
{
    struct segments s;

    __asm__ volatile("mov %%ds, %0" : "=m"(s.ds));
    __asm__ volatile("mov %%es, %0" : "=m"(s.es));
    __asm__ volatile("mov %%fs, %0" : "=m"(s.fs));
    __asm__ volatile("mov %%gs, %0" : "=m"(s.gs));
    __asm__ volatile("mov %%ss, %0" : "=m"(s.ss));
    __asm__ volatile("mov %%cs, %0" : "=m"(s.cs));
    return s;
}

/* With an override the same happens as without: the same trap or the same result. */
static void register_operands(void)
{
    static const uint8_t insns[][3] = {
        { 0x0f, 0x20, 0xc0 }, { 0x0f, 0x20, 0xd0 }, { 0x0f, 0x20, 0xd8 }, { 0x0f, 0x20, 0xe0 },
        { 0x0f, 0x21, 0xc0 }, { 0x0f, 0x21, 0xf8 }, { 0x0f, 0x23, 0xd8 }, { 0x0f, 0x20, 0x00 },
        { 0x0f, 0x06, 0x90 }, { 0x0f, 0x32, 0x90 }, { 0x0f, 0x09, 0x90 }, { 0xfa, 0x90, 0x90 },
        { 0x0f, 0x22, 0xf8 }, { 0x0f, 0x00, 0xd0 }, { 0x0f, 0x01, 0xe0 }, { 0xf4, 0x90, 0x90 },
    };
    static uint64_t base = 0x5eed;
    struct segments before, after;
    unsigned int differ = 0, state = 0;
    uint64_t fs = 0;

    CHECK_EQ(hc(set_segment_base, SEGBASE_FS, &base), 0);
    before = segments();
    for (unsigned int i = 0; i < ARRAY_SIZE(insns); i++) {
        int v = run(0, 0, insns[i], 3);
        uint64_t rax = got_rax, rcx = got_rcx;

        for (unsigned int p = 0; p < 2 * ARRAY_SIZE(overrides); p++) {
            uint8_t prefix = overrides[p % ARRAY_SIZE(overrides)];

            /* two of them: the last one counts */
            differ += run(prefix, p < ARRAY_SIZE(overrides) ? 0 : 0x65, insns[i], 3) != v ||
                      got_rax != rax || got_rcx != rcx;
            after = segments();
            __asm__ volatile("mov %%fs:0, %0" : "=r"(fs));
            state += memcmp(&before, &after, sizeof(before)) != 0 || fs != base;
        }
    }
    attack("override.differs", differ, 0);
    CHECK_EQ(state, 0);
}

void test_main(void)
{
    struct physdev_set_iopl iopl = { .iopl = 1 };

    attacks_begin();
    code = page_alloc();
    CHECK_EQ(hc(physdev_op, PHYSDEVOP_set_iopl, &iopl), 0);
    strings();
    register_operands();
    witness_check();
}
