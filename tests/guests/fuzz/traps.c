/*
 * Instructions that the hypervisor emulates or refuses, exceptions of all kinds, writes into page
 * tables, and user mode with odd frames. Whatever traps goes back by way of on_trap() in fuzz.c.
 */
#include "fuzz.h"

struct gprs {
    uint64_t rax, rcx, rdx, rbx;
};

/* ---- one instruction from a page of its own ---- */

/* rsi and rdi, which string instructions use, are where rbx is: not what the compiler left in them. */
static void run_code(struct fuzzer *f, struct gprs *r, const void *bytes, unsigned int n)
{
    uint64_t rsi = r->rbx, rdi = r->rbx;

    memcpy(f->code, bytes, n);
    f->code[n] = 0xc3;
    f->in_code = true;
    __asm__ volatile("push %%rbp\n mov %%rsp, %%rbp\n call *%6\n mov %%rbp, %%rsp\n pop %%rbp\n"
                     "pushq $0x202\n popfq"
                     : "+a"(r->rax), "+c"(r->rcx), "+d"(r->rdx), "+b"(r->rbx), "+S"(rsi), "+D"(rdi)
                     : "r"((uint64_t)f->code)
                     : "memory", "cc", "r8", "r9", "r10", "r11");
}

enum operands { ANY, MSR, PORT, SELECTOR, CR3, LOAD, STORE, ENTRY, FLAGS, XCR, DR, FETCH };

#define INSN(w, name, what, ...)                                           \
    {                                                                      \
        name, w, what, sizeof((uint8_t[]){ __VA_ARGS__ }), { __VA_ARGS__ } \
    }

static const struct insn {
    const char *name;
    uint8_t weight, what, len, bytes[14];
} insns[] = {
    INSN(2, "ud2", ANY, 0x0f, 0x0b),
    INSN(2, "int3", ANY, 0xcc),
    INSN(4, "int n", ANY, 0xcd, 0x80), /* n is drawn */
    INSN(2, "icebp", ANY, 0xf1),
    INSN(2, "div by zero", ANY, 0x31, 0xc9, 0xf7, 0xf1),
    INSN(1, "hlt", ANY, 0xf4),
    INSN(1, "cli", ANY, 0xfa),
    INSN(1, "sti", ANY, 0xfb),
    INSN(3, "popf", ANY, 0x50, 0x9d, 0x90, 0x90), /* rax, with TF perhaps */
    INSN(3, "pushf popf TF, emulated", MSR, 0x9c, 0x80, 0x4c, 0x24, 1, 1, 0x9d, 0x0f, 0x32),
    INSN(8, "rdmsr", MSR, 0x0f, 0x32),
    INSN(8, "wrmsr", MSR, 0x0f, 0x30),
    INSN(4, "in al", PORT, 0xec),
    INSN(2, "in ax", PORT, 0x66, 0xed),
    INSN(4, "in eax", PORT, 0xed),
    INSN(2, "out al", PORT, 0xee),
    INSN(2, "out eax", PORT, 0xef),
    INSN(2, "insb", PORT, 0x6c),
    INSN(2, "rep outsb", PORT, 0xf3, 0x6e),
    INSN(2, "mov rax, cr0", ANY, 0x0f, 0x20, 0xc0),
    INSN(2, "mov rax, cr2", ANY, 0x0f, 0x20, 0xd0),
    INSN(2, "mov rax, cr3", ANY, 0x0f, 0x20, 0xd8),
    INSN(2, "mov rax, cr4", ANY, 0x0f, 0x20, 0xe0),
    INSN(2, "mov rax, cr8", ANY, 0x44, 0x0f, 0x20, 0xc0),
    INSN(3, "mov cr0, rax", ANY, 0x0f, 0x22, 0xc0),
    INSN(2, "mov cr2, rax", ANY, 0x0f, 0x22, 0xd0),
    INSN(3, "mov cr3, rax", CR3, 0x0f, 0x22, 0xd8),
    INSN(3, "mov cr4, rax", ANY, 0x0f, 0x22, 0xe0),
    INSN(2, "mov dr0, rax", DR, 0x0f, 0x23, 0xc0),
    INSN(2, "mov dr4, rax", ANY, 0x0f, 0x23, 0xe0),
    INSN(2, "mov dr6, rax", ANY, 0x0f, 0x23, 0xf0),
    INSN(2, "mov dr7, rax", DR, 0x0f, 0x23, 0xf8),
    INSN(2, "mov rax, dr7", ANY, 0x0f, 0x21, 0xf8),
    INSN(2, "clts", ANY, 0x0f, 0x06),
    INSN(2, "lmsw", ANY, 0x0f, 0x01, 0xf0),
    INSN(2, "smsw", ANY, 0x0f, 0x01, 0xe0),
    INSN(2, "invlpg", LOAD, 0x0f, 0x01, 0x3b),
    INSN(1, "wbinvd", ANY, 0x0f, 0x09),
    INSN(1, "invd", ANY, 0x0f, 0x08),
    INSN(1, "lgdt", LOAD, 0x0f, 0x01, 0x13),
    INSN(1, "lidt", LOAD, 0x0f, 0x01, 0x1b),
    INSN(1, "lldt", SELECTOR, 0x0f, 0x00, 0xd0),
    INSN(1, "ltr", SELECTOR, 0x0f, 0x00, 0xd8),
    INSN(1, "sgdt", STORE, 0x0f, 0x01, 0x03),
    INSN(1, "str", ANY, 0x0f, 0x00, 0xc8),
    INSN(2, "lar", SELECTOR, 0x0f, 0x02, 0xc8),
    INSN(2, "verw", SELECTOR, 0x0f, 0x00, 0xe8),
    INSN(2, "rdtsc", ANY, 0x0f, 0x31),
    INSN(2, "rdtscp", ANY, 0x0f, 0x01, 0xf9),
    INSN(1, "rdpmc", ANY, 0x0f, 0x33),
    INSN(3, "cpuid", MSR, 0x89, 0xc8, 0x0f, 0xa2),
    INSN(4, "cpuid, forced", MSR, 0x89, 0xc8, 0x0f, 0x0b, 'x', 'e', 'n', 0x0f, 0xa2),
    INSN(1, "ud2 and half of it", MSR, 0x0f, 0x0b, 'x', 'e', 'n', 0x0f, 0x0b),
    INSN(3, "xsetbv", XCR, 0x0f, 0x01, 0xd1),
    INSN(1, "xgetbv", XCR, 0x0f, 0x01, 0xd0),
    INSN(1, "swapgs", ANY, 0x0f, 0x01, 0xf8),
    INSN(1, "sysret", ANY, 0x48, 0x0f, 0x07),
    INSN(1, "vmcall", ANY, 0x0f, 0x01, 0xc1),
    INSN(1, "monitor", ANY, 0x0f, 0x01, 0xc8),
    INSN(1, "rsm", ANY, 0x0f, 0xaa),
    INSN(4, "mov ds, ax", SELECTOR, 0x8e, 0xd8),
    INSN(4, "mov es, ax", SELECTOR, 0x8e, 0xc0),
    INSN(4, "mov fs, ax", SELECTOR, 0x8e, 0xe0),
    INSN(4, "mov gs, ax", SELECTOR, 0x8e, 0xe8),
    INSN(2, "fninit", ANY, 0xdb, 0xe3),
    INSN(2, "movups xmm0", STORE, 0x0f, 0x11, 0x03),
    INSN(1, "fxrstor", LOAD, 0x0f, 0xae, 0x0b),
    INSN(1, "xrstor", LOAD, 0x0f, 0xae, 0x2b),
    INSN(6, "load", LOAD, 0x48, 0x8b, 0x03),
    INSN(4, "store", STORE, 0x48, 0x89, 0x03),
    INSN(1, "execute", FETCH, 0xff, 0xd3),
    /* writes of entries: emulated where they lie in an L1 table */
    INSN(30, "mov [pte], rax", ENTRY, 0x48, 0x89, 0x03),
    INSN(6, "mov [pte], eax", ENTRY, 0x89, 0x03),
    INSN(3, "mov [pte], al", ENTRY, 0x88, 0x03),
    INSN(3, "mov [pte + 3], rax", ENTRY, 0x48, 0x89, 0x43, 0x03),
    INSN(8, "xchg", ENTRY, 0x48, 0x87, 0x03),
    INSN(8, "lock cmpxchg", ENTRY, 0x48, 0x8b, 0x03, 0xf0, 0x48, 0x0f, 0xb1, 0x13),
    INSN(4, "lock and", FLAGS, 0xf0, 0x48, 0x21, 0x03),
    INSN(4, "lock or", FLAGS, 0xf0, 0x48, 0x09, 0x03),
    INSN(4, "lock btr", ENTRY, 0xf0, 0x48, 0x0f, 0xba, 0x33, 0x01),
    INSN(4, "lock andb", ENTRY, 0xf0, 0x80, 0x23, 0xfd),
    INSN(2, "lock xadd", FLAGS, 0xf0, 0x48, 0x0f, 0xc1, 0x03),
    INSN(2, "lock cmpxchg16b", ENTRY, 0xf0, 0x48, 0x0f, 0xc7, 0x0b),
    INSN(2, "stosq", ENTRY, 0x48, 0x89, 0xdf, 0x48, 0xab),
    INSN(2, "rep stosq", ENTRY, 0x48, 0x89, 0xdf, 0xb9, 0x04, 0, 0, 0, 0xf3, 0x48, 0xab),
    INSN(1, "movaps", ENTRY, 0x0f, 0x29, 0x03),
    INSN(1, "movnti", ENTRY, 0x48, 0x0f, 0xc3, 0x03),
};

static const struct insn *draw_insn(struct fuzzer *f)
{
    unsigned int n, sum = 0;

    for (unsigned int k = 0; k < ARRAY_SIZE(insns); k++)
        sum += insns[k].weight;
    n = (unsigned int)below(f, sum);
    for (unsigned int k = 0;; k++) {
        if (n < insns[k].weight)
            return &insns[k];
        n -= insns[k].weight;
    }
}

static uint64_t selector(struct fuzzer *f)
{
    return chance(f, 3) ? rnd(f) & 0xffff
                        : ONE_OF(f, 0, 1, 2, 3, 7, 0xf, 0x17, 0xb, 0x1b, 0xe02b, 0xe033, 0xe023,
                                 0xe008, 0xe010, 0xe038, 0xe03b, 0xfff8, 0xffff, FLAT_KERNEL_CS);
}

/* Where nothing is harmed, and nothing the machine notices. 43, 61: read; POST, delay; CMOS. */
static uint64_t safe_port(struct fuzzer *f, bool write)
{
    return write ? ONE_OF(f, 0x80, 0xed, 0x80, 0xcf8, 0x20, 0x21, 0xa0, 0x3f8, 0x40, 0x43)
                 : ONE_OF(f, 0x80, 0xed, 0x61, 0x42, 0x40, 0x70, 0x71, 0x20, 0x21, 0xa1, 0x3f8,
                          0x3fd, 0x60, 0x64, 0xcf8, 0xcfc, 0xcfe, 0xcff, 0xffff, 0xfffe, 0x1f0);
}

static void draw_operands(struct fuzzer *f, const struct insn *i, struct gprs *r)
{
    bool write = i->bytes[0] == 0xee || i->bytes[0] == 0xef || i->bytes[1] == 0x6e;

    *r = (struct gprs){ value(f), value(f), value(f), any_va(f) };
    switch (i->what) {
    case MSR:
        r->rcx = chance(f, 8)
                     ? rnd(f)
                     : ONE_OF(f, 0x10, 0x1b, 0x3a, 0x8b, 0xce, 0x10a, 0x140, 0x174, 0x179, 0x17a,
                              0x1a0, 0x1d9, 0x277, 0x2ff, 0x400, 0x40000000, 0xc0000080, 0xc0000081,
                              0xc0000082, 0xc0000100, 0xc0000101, 0xc0000102, 0xc0000103,
                              0xc0010010, 0xc0010015, 0xc0011029, 0, 1, 4, 7, 0xd, 0x40000003,
                              0x80000000, 0x80000001, 0x80000008);
        if (r->rcx == 0x40000000) /* a page of code, in a frame of the sandbox's */
            r->rax = mfn_to_write(f) << 12 | (chance(f, 4) ? below(f, 3) : 0),
            r->rdx = r->rax >> 32;
        break;
    case PORT:
        r->rdx = safe_port(f, write);
        if (r->rdx == 0xcf8 && write)
            r->rax = 0x80000000u | (uint32_t)(below(f, 8) << 11 | below(f, 64) << 2);
        r->rcx = below(f, 4);
        break;
    case SELECTOR: r->rax = selector(f); break;
    case CR3:
        r->rax = chance(f, 4)   ? ONE_OF(f, 0, ~0UL, 1UL << 50, virt_to_maddr(hypercall_page), 5)
                 : chance(f, 2) ? virt_to_maddr(kernel_root)
                                : virt_to_maddr(alt_roots[below(f, MAX_FUZZERS)]);
        break;
    case STORE: r->rbx = chance(f, 2) ? fuzz_va(f) : any_va(f); break;
    case FETCH:
        r->rbx = ONE_OF(f, 0, 0x1000, NONCANONICAL, 1UL << 47, HYPERVISOR_VIRT_START, ~0UL,
                        (uint64_t)hypercall_page + 4000);
        break;
    case FLAGS:
    case ENTRY:
        r->rbx = chance(f, 8)
                     ? fuzz_va(f)
                     : (uint64_t)WINDOW(slot_of_role(f, chance(f, 4) ? ROLE_L2 : ROLE_L1)) +
                           8 * table_index(f, 1);
        if (chance(f, 12)) /* the kernel's own entry for a page of the sandbox */
            r->rbx = (uint64_t)pte_of(kernel_root, (uint64_t)WINDOW(below(f, NR_SLOTS)), 1);
        r->rax = entry(f, 1);
        r->rdx = entry(f, 1);
        if (i->what ==
            FLAGS) /* bits of frame numbers would add up to frames of the kernel's image */
            r->rax = (i->bytes[2] == 0x21 ? ~0UL : 0) ^
                     1UL << ONE_OF(f, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 63);
        break;
    case XCR:
        r->rcx = chance(f, 8) ? value(f) : 0;
        r->rax = chance(f, 4) ? value(f) : below(f, 8);
        r->rdx = chance(f, 8) ? value(f) : 0;
        break;
    case DR: r->rax = i->bytes[2] == 0xf8 ? below(f, 1024) | below(f, 16) << 16 : any_va(f); break;
    default: break;
    }
}

static int run_insn(struct fuzzer *f, uint64_t sub)
{
    const struct insn *i = draw_insn(f);
    uint8_t bytes[16];
    struct gprs r;

    draw_operands(f, i, &r);
    memcpy(bytes, i->bytes, i->len);
    if (i->bytes[0] == 0xcd)
        bytes[1] = (uint8_t)rnd(f);
    if (i->bytes[0] == 0x50) /* what popf may have here: no IOPL games, they change nothing */
        r.rax &= 0x254fd5;
    if (show)
        print("FUZZ %u.%lu %s rax 0x%lx rcx 0x%lx rdx 0x%lx rbx 0x%lx\n", f->id, f->i, i->name,
              r.rax, r.rcx, r.rdx, r.rbx);
    run_code(f, &r, bytes, i->len);
    return -1;
}

/* ---- user mode, and frames for it ---- */

__asm__(".pushsection .user, \"ax\"\n"
        ".globl user_snippets\n"
        "user_snippets:\n"
        ".macro snip insns:vararg\n .p2align 4\n \\insns\n ud2\n .endm\n"
        "snip ud2\n"
        "snip int3\n"
        "snip int $0x80\n"
        "snip int $0x20\n"
        "snip hlt\n"
        "snip syscall\n"
        "snip sysenter\n"
        "snip mov (%rdi), %rax\n"
        "snip mov %rax, (%rdi)\n"
        "snip in $0x80, %al\n"
        "snip out %al, $0x80\n"
        "snip rdtsc\n"
        "snip cpuid\n"
        "snip .byte 0x0f, 0x0b, 'x', 'e', 'n', 0x0f, 0xa2\n"
        "snip mov %cr0, %rax\n"
        "snip mov %rax, %cr3\n"
        "snip mov %di, %ds\n"
        "snip mov %di, %gs\n"
        "snip fninit\n"
        "snip fwait\n"
        "snip cli\n"
        "snip sti\n"
        "snip push %rax\n"
        "snip call *%rdi\n"
        "snip iretq\n"
        "snip rdmsr\n"
        "snip .byte 0xf0, 0x90\n"
        "snip wbinvd\n"
        "snip .byte 0x31, 0xc9, 0xf7, 0xf1\n"
        "snip .byte 0x9c, 0x81, 0x0c, 0x24, 0, 1, 0, 0, 0x9d, 0x90\n"
        "snip swapgs\n"
        "snip jmp .\n"
        ".popsection\n");
extern char user_snippets[];
#define NR_SNIPPETS 32u
#define SNIPPET_LOOP (NR_SNIPPETS - 1)

/* Never comes back but by a trap. */
static void go(const struct iret_context *ctx, uint64_t rdi)
{
    __asm__ volatile(
        "sub $72, %%rsp\n mov %0, %%rsi\n mov %%rsp, %%rdi\n mov $9, %%ecx\n rep movsq\n"
        "mov %1, %%rdi\n mov %2, %%eax\n syscall\n ud2"
        :
        : "r"(ctx), "r"(rdi), "i"(__HYPERVISOR_iret)
        : "rsi", "rdi", "rcx", "memory");
}

static int run_iret(struct fuzzer *f, uint64_t user)
{
    static const uint64_t flags[] = { 0x1,     0x4,      0x10,     0x40,      0x80,
                                      0x100,   0x400,    0x800,    0x1000,    0x2000,
                                      0x4000,  0x8000,   0x10000,  0x20000,   0x40000,
                                      0x80000, 0x100000, 0x200000, 1UL << 32, 1UL << 63 };
    unsigned int snippet = (unsigned int)below(f, NR_SNIPPETS);
    struct iret_context ctx = {
        .rax = value(f), .r11 = value(f), .rcx = value(f), .rflags = EFLAGS_IF
    };
    uint64_t rdi = chance(f, 2) ? any_va(f) : selector(f);

    while (chance(f, 3))
        ctx.rflags ^= flags[below(f, ARRAY_SIZE(flags))];
    if (chance(f, 8) && snippet != SNIPPET_LOOP)
        ctx.rflags ^= EFLAGS_IF;
    ctx.flags = chance(f, 3) ? VGCF_in_syscall : chance(f, 4) ? rnd(f) : 0;
    if (user) {
        ctx.cs = chance(f, 5) ? selector(f) | 3 : chance(f, 8) ? 0xe023 : USER_CS;
        ctx.ss = chance(f, 5) ? selector(f) : USER_SS;
        ctx.rip = chance(f, 6) ? any_va(f) : USER_ADDR(user_snippets) + 16 * snippet;
        ctx.rsp = chance(f, 3) ? any_va(f) : USER_STACK_TOP;
    } else { /* a kernel that goes on somewhere odd, but on its stack */
        /* not 32-bit code: its stack is below 4 GiB, where there is none */
        ctx.cs = chance(f, 3) ? ONE_OF(f, 0xe028, 0xe008, 0xe010, 0xe038, 0xe040, 0xfff8)
                              : FLAT_KERNEL_CS & ~3UL;
        ctx.ss = chance(f, 4) ? selector(f) : FLAT_KERNEL_SS;
        ctx.rip = ONE_OF(f, 0, NONCANONICAL, 1UL << 47, 0x1000, HYPERVISOR_VIRT_START,
                         HYPERVISOR_VIRT_END - 1, (uint64_t)hypercall_page + 4000, ~0UL, USER_CODE);
        ctx.rsp = kernel_stack(f) - (chance(f, 2) ? below(f, 64) : 0);
        /* the hypercall page's code returns: to ud2, not to what an old frame left there */
        memcpy((void *)ctx.rsp, &(uint64_t){ (uint64_t)user_snippets }, sizeof(uint64_t));
    }
    if (show)
        print(
            "FUZZ %u.%lu iret rip 0x%lx cs 0x%lx rflags 0x%lx rsp 0x%lx ss 0x%lx flags 0x%lx rdi 0x%lx\n",
            f->id, f->i, ctx.rip, ctx.cs, ctx.rflags, ctx.rsp, ctx.ss, ctx.flags, rdi);
    mmuext(MMUEXT_NEW_USER_BASEPTR, virt_to_mfn(user_root), 0);
    /* What else would end a loop, which any bytes may be: elsewhere, or with another base or width? */
    if (snippet == SNIPPET_LOOP || chance(f, 8) ||
        (user && (ctx.cs != USER_CS || ctx.rip != USER_ADDR(user_snippets) + 16 * snippet))) {
        f->info->evtchn_upcall_mask = 1;
        hc(set_timer_op, fuzz_now(f) + 30000);
    }
    f->in_code = true;
    go(&ctx, rdi);
    return -1;
}

const struct row trap_rows[] = {
    { "instruction", 300, 0, NULL, 0, run_insn },
    { "iret.user", 60, 0, NULL, 1, run_iret },
    { "iret.kernel", 20, 0, NULL, 0, run_iret },
};
const unsigned int nr_trap_rows = ARRAY_SIZE(trap_rows);
