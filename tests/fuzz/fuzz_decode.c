/*
 * emulate/decode.c: the input is how many bytes there are, the bytes, and what follows them in the
 * buffer, which must not matter. What is decoded must be on the list of what we emulate, which is
 * written anew here.
 */
#include "fuzz.h"

#include "emulate/decode.h"

static unsigned int nr_faults;
void arch_inject_page_fault(struct vcpu *v, uint64_t cr2, uint32_t ec)
{
    (void)v;
    (void)cr2;
    (void)ec;
    nr_faults++;
}

/* clang-format off */
static const uint16_t locked_ops[] = { /* that may have the prefix, if they write to memory */
    0x09, 0x21, 0x31, 0x80, 0x81, 0x83, 0x87,
    OP_0F(0xab), OP_0F(0xb1), OP_0F(0xb3), OP_0F(0xba), OP_0F(0xbb)
};
static const uint16_t other_ops[] = {
    0x6c, 0x6d, 0x6e, 0x6f, 0x89, 0xc6, 0xc7, 0xe4, 0xe5, 0xe6, 0xe7, 0xec, 0xed, 0xee, 0xef, 0xfa, 0xfb,
    OP_0F(0x01), OP_0F(0x06), OP_0F(0x08), OP_0F(0x09), OP_0F(0x20), OP_0F(0x21), OP_0F(0x22),
    OP_0F(0x23), OP_0F(0x30), OP_0F(0x31), OP_0F(0x32)
};
/* clang-format on */

static bool has(const uint16_t *ops, size_t nr, uint16_t op)
{
    while (nr--)
        if (ops[nr] == op)
            return true;
    return false;
}

static bool is_prefix(uint8_t b)
{
    return (b & 0xf0) == 0x40 || memchr("\x26\x2e\x36\x3e\x64\x65\x66\x67\xf0\xf2\xf3", b, 11);
}

static void check(const struct insn *i, const uint8_t *bytes, unsigned int nr)
{
    bool lockable = has(locked_ops, ARRAY_SIZE(locked_ops), i->op), locked = false;
    unsigned int n = 0;

    BUG_ON(i->len == 0 || i->len > nr || i->len > INSN_BYTES_MAX);
    for (; is_prefix(bytes[n]); n++)
        locked |= bytes[n] == 0xf0;
    BUG_ON(n >= i->len || i->op != (bytes[n] == 0x0f ? OP_0F(bytes[n + 1]) : bytes[n]));
    BUG_ON(!lockable && !has(other_ops, ARRAY_SIZE(other_ops), i->op));
    BUG_ON(locked && (!lockable || !i->mem));
    BUG_ON(i->bytes != 1 && i->bytes != 2 && i->bytes != 4 && i->bytes != 8);
    BUG_ON(i->reg > 15 || i->rm > 15 || (lockable && i->kind == INSN_OTHER));
    BUG_ON(!i->has_imm && i->imm);
}

static bool same(const struct insn *a, const struct insn *b)
{
    return a->op == b->op && a->len == b->len && a->bytes == b->bytes && a->kind == b->kind &&
           a->modrm == b->modrm && a->reg == b->reg && a->rm == b->rm && a->mem == b->mem &&
           a->has_imm == b->has_imm && a->imm == b->imm;
}

/* As a guest's instruction: so many bytes are on this page, and the next one is not there. */
static void fetch(const uint8_t *bytes, unsigned int nr)
{
    struct cpu_user_regs regs = { .cs = FLAT_KERNEL_CS64 };
    static struct domain *d;
    static uint8_t *code;
    struct insn i, want;
    int rc = insn_decode(&want, bytes, MIN(nr, INSN_BYTES_MAX)), got;

    if (d == NULL) {
        d = fake_domain(1, 1);
        code = aligned_alloc(PAGE_SIZE, PAGE_SIZE);
    }
    memcpy(code + PAGE_SIZE - nr, bytes, nr);
    regs.rip = (uint64_t)(uintptr_t)(code + PAGE_SIZE - nr);
    fake_reset(1);
    fake_guest_map(code, PAGE_SIZE, FAKE_READ_ONLY);
    nr_faults = 0;
    got = insn_fetch(d->vcpu[0], &regs, &i);
    BUG_ON(got != rc || nr_faults != (rc == -EFAULT));
    BUG_ON(rc == 0 && !same(&i, &want));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *a = malloc(INSN_BUFFER), *b = malloc(INSN_BUFFER);
    struct fuzz_input in = { data, size };
    unsigned int nr = fuzz_take(&in, 1) % 16;
    struct insn x, y;
    int rc;

    for (unsigned int n = 0; n < INSN_BUFFER; n++)
        a[n] = (uint8_t)fuzz_take(&in, 1);
    memset(b, 0x66, INSN_BUFFER);
    memcpy(b, a, nr);
    rc = insn_decode(&x, a, nr);
    BUG_ON(rc != 0 && rc != -EINVAL && rc != -EFAULT);
    BUG_ON(rc == -EFAULT && nr == INSN_BYTES_MAX);
    BUG_ON(insn_decode(&y, b, nr) != rc);
    if (rc == 0) {
        BUG_ON(!same(&x, &y));
        check(&x, a, nr);
        for (unsigned int n = 0; n < INSN_BYTES_MAX; n++)
            BUG_ON(insn_decode(&y, b, n) != (n < x.len ? -EFAULT : 0));
    }
    fetch(a, MAX(nr, 1u));
    fetch(a, 16); /* twice: what was decoded is remembered */
    fetch(a, 16);
    free(a);
    free(b);
    return 0;
}
