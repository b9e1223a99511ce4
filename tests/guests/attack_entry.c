/*
 * The rule: whatever a kernel sets up for the CPU (descriptors, handlers, callbacks, contexts of
 * vCPUs), ring 3 is what it gets. A table holds code and data of DPL 3 and what is not present, no
 * gates and no system segments; a value that no CPU would take is refused, or comes back to the
 * kernel as the fault that it is when it is used. Tried: all attributes of a descriptor by
 * update_descriptor, by set_gdt of a frame prepared in advance, and by an LDT, each then loaded and
 * jumped to; writes into a table on all ways; handlers with hostile selectors, in the hypervisor and
 * at no address; a vCPU's first context with each of its fields hostile.
 */
#include "guest.h"

#define ATTR(a) ((uint64_t)((a)&0xff) << 40 | (uint64_t)((a) >> 8 & 15) << 52)
#define FLAT_LIMIT 0x000f00000000ffffUL
enum { A_CODE = 8, A_S = 16, A_DPL = 0x60, A_P = 128, A_L = 0x200, A_D = 0x400, NR_ATTRS = 0x1000 };
#define ACCESSED (1UL << 40)
#define DPL3 (3UL << 45)
#define CODE64 0x00affb000000ffffUL
#define DATA32 0x00cff3000000ffffUL
#define LOW 0x500000UL /* a page of int3, for code of 32 bits, too; and its stack */
#define LOW_STACK (LOW + 2 * PAGE_SIZE)
#define HV_ADDRESS (HYPERVISOR_VIRT_START + 0x30000001000)

static uint64_t *gdt, *table;
static volatile uint64_t go_rsp __attribute__((used));
static struct mmuext_op ldt_op = { .cmd = MMUEXT_SET_LDT };

/* ---- jumps that may end anywhere: the trap's handler goes on behind GO(), on its stack ---- */

#define GO(insns, ...) TRY("mov %%rsp, go_rsp(%%rip)\n" insns, __VA_ARGS__)

static void escape(struct cpu_user_regs *regs)
{
    if (!try_fixup)
        failure("entry %u, error 0x%x, at %x:0x%lx, cr2 0x%lx", regs->entry_vector,
                regs->error_code, regs->cs, regs->rip, vcpu_info(0)->arch.cr2);
    memcpy(&last_trap.regs, regs, offsetof(struct cpu_user_regs, es));
    last_trap.vector = (int)regs->entry_vector;
    last_trap.cr2 = vcpu_info(0)->arch.cr2;
    regs->rip = try_fixup;
    regs->rsp = go_rsp;
    regs->cs = FLAT_KERNEL_CS & ~3; /* RPL 3 would be user mode */
    regs->ss = FLAT_KERNEL_SS;
    regs->rflags = 0x2;
}

static void hooks(trap_fn fn)
{
    for (unsigned int v = 0; v < 32; v++)
        trap_hooks[v] = fn;
    trap_hooks[ENTRY_FAILSAFE] = fn;
}

static long set_gdt(const void *frame, unsigned int entries)
{
    xen_pfn_t frames[14] = { frame ? virt_to_mfn(frame) : 0 };

    return hc(set_gdt, frames, entries);
}

static long update(uint64_t *desc, uint64_t value)
{
    return hc(update_descriptor, virt_to_maddr(desc), value);
}

/* ---- descriptors ---- */

static bool allowed(unsigned int attr) { return !(attr & A_P) || (attr & A_S); }

/* What a table that took it holds; the CPU may set the accessed bit. */
static bool harmless(uint64_t got, unsigned int attr)
{
    uint64_t want = ATTR(attr) | FLAT_LIMIT | (attr & A_P ? DPL3 : 0);

    return ((got ^ want) & ~ACCESSED) == 0;
}

/* Load and jump to the selector. True if the guest came back as it must. */
static bool use(uint16_t sel, unsigned int attr)
{
    bool code = (attr & A_CODE) && (attr & A_S), present = attr & A_P;
    bool data = present && (attr & A_S) && (!code || (attr & 2));
    int v;

    GO("mov %0, %%es\n xor %%eax, %%eax\n mov %%eax, %%es\n mov %0, %%fs\n mov %%eax, %%fs",
       :
       : "r"((uint32_t)sel)
       : "rax", "memory");
    v = last_trap.vector;
    if (data ? v != -1 : v != TRAP_GP && v != TRAP_NP)
        return false;
    GO("mov %2, %%rsp\n push %0\n push %1\n lretq",
       :
       : "r"((uint64_t)sel), "r"(LOW), "r"(LOW_STACK)
       : "memory");
    v = last_trap.vector;
    if (v == TRAP_BP ? last_trap.regs.cs >> 3 != sel >> 3 || last_trap.regs.rip != LOW + 1
                     : v != TRAP_GP && v != TRAP_NP)
        return false;
    return v != TRAP_BP || (code && present);
}

static void by_update(void)
{
    unsigned int answers = 0, contents = 0, uses = 0;

    for (unsigned int a = 0; a < NR_ATTRS; a++) {
        uint64_t before = gdt[7];
        long rc = update(&gdt[7], ATTR(a) | FLAT_LIMIT);

        /* Xen emulates call gates, and takes their upper half */
        answers += rc != (allowed(a) ? 0 : -EINVAL);
        contents += rc ? gdt[7] != before : !harmless(gdt[7], a);
        if (rc == 0 && allowed(a))
            uses += !use(7 << 3 | 3, a);
    }
    attack("update_descriptor.attributes", answers, 0);
    attack("update_descriptor.contents", contents, 0);
    CHECK_EQ(uses, 0);
    CHECK_EQ(update(&gdt[7], 0), 0);
    witness_check();
}

static void by_set_gdt(void)
{
    unsigned int answers = 0, contents = 0;

    table = page_alloc();
    for (unsigned int a = 0; a < NR_ATTRS; a++) {
        unsigned int at = 1 + a % 511;
        long rc;

        memset(table, 0, PAGE_SIZE);
        table[at] = ATTR(a) | FLAT_LIMIT;
        page_set_ro(table);
        rc = set_gdt(table, 512);
        answers += rc != (allowed(a) ? 0 : -EINVAL);
        contents += rc == 0 && allowed(a) && !harmless(table[at], a);
        CHECK_EQ(set_gdt(gdt, 512), 0);
        page_set_rw(table);
    }
    attack("set_gdt.attributes", answers, 0);
    CHECK_EQ(contents, 0);
    witness_check();
}

/* Of a page with something else in it the LDT has nothing: its use faults. */
static void by_ldt(void)
{
    unsigned int answers = 0, uses = 0;

    for (unsigned int a = 0; a < NR_ATTRS; a++) {
        memset(table, 0, PAGE_SIZE);
        table[3] = ATTR(a) | FLAT_LIMIT;
        page_set_ro(table);
        ldt_op.arg1.linear_addr = (uint64_t)table;
        ldt_op.arg2.nr_ents = 512;
        answers += hc(mmuext_op, &ldt_op, 1, 0, DOMID_SELF) != 0;
        if (allowed(a)) {
            uses += !use(3 << 3 | 7, a);
        } else {
            GO("mov %0, %%es", : : "r"(3 << 3 | 7) : "memory");
            uses += trapped(-1);
            GO("push %0\n push %1\n lretq", : : "r"(3UL << 3 | 7), "r"(LOW) : "memory");
            uses += trapped(-1) || trapped(TRAP_BP);
        }
        ldt_op.arg2.nr_ents = 0;
        CHECK_EQ(hc(mmuext_op, &ldt_op, 1, 0, DOMID_SELF), 0);
        page_set_rw(table);
    }
    attack("ldt.attributes", answers, 0);
    CHECK_EQ(uses, 0);
    witness_check();
}

/* The table itself, on all other ways. */
static void write_table(void)
{
    const uint64_t gate = 0x0000ec0000000000UL | 0xe008 << 16, before = gdt[6];
    struct vcpu_register_vcpu_info info = { .mfn = virt_to_mfn(gdt) };
    struct xen_feature_info f = { 0 };

    TRY("movq %1, %0", : "=m"(gdt[6]) : "r"(gate) : "memory");
    CHECK(trapped(TRAP_PF));
    TRY("lock cmpxchg %1, %0", : "+m"(gdt[6]) : "r"(gate), "a"(before) : "memory");
    CHECK(trapped(TRAP_PF));
    CHECK(mmu_update(virt_to_maddr(&gdt[6]) | MMU_NORMAL_PT_UPDATE, gate) < 0);
    CHECK(mmu_update(virt_to_maddr(&gdt[6]) | MMU_PT_UPDATE_PRESERVE_AD, gate) < 0);
    CHECK_EQ(hc(xen_version, XENVER_platform_parameters, &gdt[6]), -EFAULT);
    CHECK_EQ(hc(vcpu_op, VCPUOP_get_runstate_info, 0, &gdt[6]), -EFAULT);
    attack("vcpu_info.in-a-table", hc(vcpu_op, VCPUOP_register_vcpu_info, 1, &info), -EINVAL);
    TRY("wrmsr",
        :
        : "a"((uint32_t)virt_to_maddr(gdt)), "d"((uint32_t)(virt_to_maddr(gdt) >> 32)),
          "c"(0x40000000)
        : "memory");
    CHECK(trapped(TRAP_GP));
    CHECK(update_va(gdt, virt_to_mfn(gdt) << 12 | PTE_FLAGS, UVMF_INVLPG) < 0);
    for (unsigned int l = 1; l <= 4; l++)
        CHECK(pin(l, gdt) < 0);
    CHECK_EQ(gdt[6], before);
    CHECK_EQ(hc(xen_version, XENVER_get_features, &f), 0);
    /* an address in other people's memory */
    CHECK(hc(update_descriptor, virt_to_maddr(kernel_root), DATA32) < 0);
    attack("update_descriptor.M2P", hc(update_descriptor, 0xffffffffffffff8UL, DATA32), -EINVAL);
    attack("update_descriptor.APIC", hc(update_descriptor, 0xfee00000UL, DATA32), -EINVAL);
    for (uint64_t maddr = 8; maddr < 0x1000000; maddr += 0x10008) {
        uint64_t pfn = machine_to_phys_mapping[maddr >> 12];

        if (pfn >= start_info->nr_pages || pfn_to_mfn(pfn) != maddr >> 12)
            CHECK(hc(update_descriptor, maddr & ~7UL, DATA32) < 0);
    }
    witness_check();
}

/* What of the CPU's tables a kernel in ring 3 may look at and load. */
static void system_instructions(void)
{
    static const uint16_t hv[] = { 0xe008, 0xe010, 0xe040, 0xe050, 0xe009, 0xe013 };
    uint8_t where[16];
    uint64_t got;
    uint8_t zf;

    for (unsigned int i = 0; i < ARRAY_SIZE(hv); i++) {
        __asm__ volatile("lar %w2, %w0\n setz %1" : "=r"(got), "=q"(zf) : "r"((uint32_t)hv[i]));
        CHECK_EQ(zf, 0);
        __asm__ volatile("lsl %w2, %w0\n setz %1" : "=r"(got), "=q"(zf) : "r"((uint32_t)hv[i]));
        CHECK_EQ(zf, 0);
        __asm__ volatile("verr %w1\n setz %0" : "=q"(zf) : "r"((uint32_t)hv[i]));
        CHECK_EQ(zf, 0);
        __asm__ volatile("verw %w1\n setz %0" : "=q"(zf) : "r"((uint32_t)hv[i]));
        CHECK_EQ(zf, 0);
        GO("mov %0, %%es", : : "r"((uint32_t)hv[i]) : "memory");
        CHECK(trapped(TRAP_GP) || trapped(TRAP_NP));
        GO("mov %0, %%ss", : : "r"((uint32_t)hv[i]) : "memory");
        CHECK(trapped(TRAP_GP) || trapped(TRAP_NP));
        GO("push %0\n push %1\n lretq", : : "r"((uint64_t)hv[i]), "r"(LOW) : "memory");
        CHECK(trapped(TRAP_GP) || trapped(TRAP_NP));
        GO("mov %%rsp, %%rax\n pushq $0\n push %%rax\n pushq $0x202\n push %0\n push %1\n iretq",
           :
           : "r"((uint64_t)hv[i]), "r"(LOW)
           : "rax", "memory");
        CHECK(trapped(TRAP_GP) || trapped(TRAP_NP) || trapped(TRAP_SS));
        GO("lldt %w0", : : "r"((uint32_t)hv[i]) : "memory");
        CHECK(trapped(TRAP_GP));
        GO("ltr %w0", : : "r"((uint32_t)hv[i]) : "memory");
        CHECK(trapped(TRAP_GP));
    }
    GO("lmsw %w0", : : "r"(0x31) : "memory");
    CHECK(trapped(TRAP_GP));
    GO("invlpg (%0)", : : "r"(&got) : "memory");
    CHECK(trapped(TRAP_GP));
    GO("lgdt (%0)", : : "r"(where) : "memory");
    CHECK(trapped(TRAP_GP));
    /* these only tell, where the CPU has no UMIP */
    GO("sgdt %0\n sidt %0\n str %w1\n sldt %w1\n smsw %w1", : "=m"(where), "=&r"(got) : : "memory");
    CHECK(trapped(-1) || trapped(TRAP_GP));
    witness_check();
}

/* ---- handlers ---- */

static void handler_selectors(void)
{
    static const uint16_t bad[] = { 0,      1,      3,      0xe008, 0xe00b, 0xe010, 0xe02b, 0xe040,
                                    0xe043, 0xe053, 0xfffb, 0xffff, 7,      0x7f,   0x1003, 0x3b };
    unsigned int wrong = 0;

    CHECK_EQ(update(&gdt[7], 0), 0);
    for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
        struct trap_info t[2] = { { TRAP_UD, 0, bad[i], (uint64_t)trap_stubs + TRAP_UD * 32 },
                                  { 0 } };

        CHECK_EQ(hc(set_trap_table, t), 0);
        GO("ud2", : : : "memory");
        wrong += !trapped(ENTRY_FAILSAFE);
    }
    attack("handler-selectors.not-failsafe", wrong, 0);
    CHECK_EQ(set_trap(TRAP_UD, 0, (uint64_t)trap_stubs + TRAP_UD * 32), 0);
    GO("ud2", : : : "memory");
    CHECK(trapped(TRAP_UD));
    witness_check();
}

extern char u_syscall[], u_int80[];
__asm__(".pushsection .user, \"ax\"\n"
        ".globl u_syscall, u_int80\n"
        "u_syscall: syscall\n ud2\n"
        "u_int80: int $0x80\n ud2\n"
        ".popsection");

static int from_user(const void *label)
{
    static struct cpu_user_regs r;

    user_regs_init(&r, label);
    return user_run(&r);
}

static void handler_addresses(void)
{
    static const uint64_t nowhere[] = { 1UL << 47, NONCANONICAL, HYPERVISOR_VIRT_START - 1 };
    static const uint64_t elsewhere[] = { HV_ADDRESS, HYPERVISOR_VIRT_START,
                                          HYPERVISOR_VIRT_END - 1, 0x10000, (1UL << 47) - 1 };
    struct callback_register reg;
    struct xennmi_callback nmi = { 0 };
    unsigned int taken = 0;

    for (unsigned int i = 0; i < ARRAY_SIZE(nowhere); i++) {
        taken += set_trap(TRAP_UD, 0, nowhere[i]) != -EINVAL;
        for (uint16_t type = 0; type < 8; type++) {
            reg = (struct callback_register){ .type = type, .address = nowhere[i] };
            if (hc(callback_op, CALLBACKOP_register, &reg) == 0)
                taken++;
        }
        taken += hc(set_callbacks, nowhere[i], failsafe_entry, syscall_entry) != -EINVAL;
        taken += hc(set_callbacks, event_entry, nowhere[i], syscall_entry) != -EINVAL;
        taken += hc(set_callbacks, event_entry, failsafe_entry, nowhere[i]) != -EINVAL;
        nmi.handler_address = nowhere[i];
        taken += hc(nmi_op, XENNMI_register_callback, &nmi) != -EINVAL;
    }
    attack("callbacks.not-canonical", taken, 0);
    for (unsigned int type = 8; type < 0x10000; type = type * 3 + 1) {
        reg =
            (struct callback_register){ .type = (uint16_t)type, .address = (uint64_t)event_entry };
        CHECK_EQ(hc(callback_op, CALLBACKOP_register, &reg), -ENOSYS);
    }
    /* what leads to nothing of the guest's is its own page fault, when it is used */
    for (unsigned int i = 0; i < ARRAY_SIZE(elsewhere); i++) {
        uint64_t at = elsewhere[i];
        long rax;

        CHECK_EQ(set_trap(TRAP_UD, 0, at), 0);
        GO("ud2", : : : "memory");
        CHECK(trapped(TRAP_PF));
        CHECK_EQ(last_trap.cr2, at);
        CHECK_EQ(set_trap(0x80, 3, at), 0);
        CHECK_EQ(hc(set_callbacks, event_entry, failsafe_entry, at), 0);
        hooks(NULL);
        CHECK_EQ(from_user(u_syscall), TRAP_PF);
        CHECK_EQ(last_trap.cr2, at);
        CHECK_EQ(from_user(u_int80), TRAP_PF);
        CHECK_EQ(last_trap.cr2, at);
        hooks(escape);
        nmi.handler_address = at;
        CHECK_EQ(hc(nmi_op, XENNMI_register_callback, &nmi), 0);
        rax = __HYPERVISOR_vcpu_op;
        GO("syscall",
           : "+a"(rax)
           : "D"((long)VCPUOP_send_nmi), "S"(0L), "d"(0L)
           : "rcx", "r11", "memory");
        CHECK(trapped(TRAP_PF));
        CHECK_EQ(last_trap.cr2, at);
        CHECK_EQ(vcpu_info(0)->evtchn_upcall_mask, 1);
        /* the failsafe callback itself */
        CHECK_EQ(hc(set_callbacks, event_entry, at, syscall_entry), 0);
        rax = __HYPERVISOR_iret;
        GO("mov %%rsp, %%rbx\n push $0\n push %%rbx\n push $0x202\n push $0x1008\n push $0\n"
           "push $0\n push $0\n push $0\n push $0\n syscall",
           : "+a"(rax)
           :
           : "rbx", "rcx", "r11", "memory");
        if (!on_xen()) { /* where this iret's fault is no matter for the failsafe callback */
            CHECK(trapped(TRAP_PF));
            CHECK_EQ(last_trap.cr2, at);
        }
    }
    CHECK_EQ(set_trap(TRAP_UD, 0, (uint64_t)trap_stubs + TRAP_UD * 32), 0);
    CHECK_EQ(hc(set_callbacks, event_entry, failsafe_entry, syscall_entry), 0);
    CHECK_EQ(hc(nmi_op, XENNMI_unregister_callback, 0), 0);
    CHECK_EQ(from_user(u_syscall), ENTRY_SYSCALL);
    witness_check();
}

/* All vectors by `int n` from user mode: the ones whose handler says so, or #GP. */
extern char u_int[];
__asm__(".pushsection .user, \"ax\"\n.globl u_int\nu_int:\n"
        ".set n, 0\n .rept 256\n .byte 0xcd, n, 0x0f, 0x0b\n .set n, n + 1\n .endr\n.popsection");

static void soft_interrupts(void)
{
    unsigned int wrong = 0;

    hooks(NULL);
    for (unsigned int n = 32; n < 256; n++)
        wrong += set_trap((uint8_t)n, n & 3, (uint64_t)trap_stubs + n * 32) != 0;
    for (unsigned int n = 0; n < 256; n++) {
        int v = from_user(u_int + 4 * n);
        bool may = n < 32 ? n == TRAP_BP || n == TRAP_OF : (n & 3) == 3;

        wrong += v != (may ? (int)n : TRAP_GP);
        if (v == TRAP_GP)
            wrong += last_trap.regs.error_code != n * 8 + 2;
    }
    attack("soft-interrupts.wrong", wrong, 0);
    hooks(escape);
    witness_check();
}

/* ---- contexts of vCPUs ---- */

static volatile int arrived;
static char arrival_stack[PAGE_SIZE] __attribute__((aligned(4096)));
static unsigned int next_vcpu = 1, last_vcpu;
extern char arrivals[];
void gone(void);
__asm__(".text\n"
        "arrivals: .set n, 0\n"
        ".rept 260\n .p2align 5\n movl $n, arrived(%rip)\n jmp arrival\n .set n, n + 1\n .endr\n"
        "arrival: lea arrival_stack + 4096(%rip), %rsp\n cld\n call gone\n ud2\n");

void gone(void)
{
    unsigned int me = next_vcpu;

    for (;;)
        hc(vcpu_op, VCPUOP_down, me, 0);
}

#define RUNS 0x100
static struct vcpu_guest_context ctx;

static void context(void)
{
    secondary_context(&ctx, NULL, arrival_stack);
    ctx.user_regs.rip = (uint64_t)arrivals + 32 * 100; /* arrived 100: it runs */
    for (unsigned int v = 0; v < 256; v++)
        ctx.trap_ctxt[v] = (struct trap_info){ (uint8_t)v, v < 32 ? 0 : 3, FLAT_KERNEL_CS,
                                               (uint64_t)arrivals + 32 * v };
    ctx.event_callback_eip = (uint64_t)arrivals + 32 * ENTRY_EVENT;
    ctx.syscall_callback_eip = (uint64_t)arrivals + 32 * ENTRY_SYSCALL;
    ctx.failsafe_callback_eip = (uint64_t)arrivals + 32 * ENTRY_FAILSAFE;
}

static long initialise(void) { return hc(vcpu_op, VCPUOP_initialise, next_vcpu, &ctx); }

#define REFUSED(what, change, want)                             \
    do {                                                        \
        context();                                              \
        change;                                                 \
        attack("initialise.refused." what, initialise(), want); \
    } while (0)

static void contexts_refused(void)
{
    uint64_t root = virt_to_mfn(kernel_root);

    REFUSED("user-mode", ctx.flags = 0, -EINVAL);
    REFUSED("fs-base", ctx.fs_base = NONCANONICAL, -EINVAL);
    REFUSED("gs-base-kernel", ctx.gs_base_kernel = 1UL << 47, -EINVAL);
    REFUSED("gs-base-user", ctx.gs_base_user = HYPERVISOR_VIRT_START - 1, -EINVAL);
    REFUSED("event", ctx.event_callback_eip = NONCANONICAL, -EINVAL);
    REFUSED("failsafe", ctx.failsafe_callback_eip = NONCANONICAL, -EINVAL);
    REFUSED("syscall", ctx.syscall_callback_eip = NONCANONICAL, -EINVAL);
    REFUSED("trap", ctx.trap_ctxt[200].address = NONCANONICAL, -EINVAL);
    REFUSED("gdt-entries", ctx.gdt_ents = 14 * 512 + 1, -EINVAL);
    REFUSED("gdt-entries-64bit", ctx.gdt_ents = 1UL << 32, -EINVAL);
    REFUSED("gdt-root", (ctx.gdt_ents = 512, ctx.gdt_frames[0] = root), -EINVAL);
    REFUSED("gdt-writable", (ctx.gdt_ents = 512, ctx.gdt_frames[0] = virt_to_mfn(arrival_stack)),
            -EINVAL);
    REFUSED("gdt-second",
            (ctx.gdt_ents = 513, ctx.gdt_frames[0] = virt_to_mfn(gdt),
             ctx.gdt_frames[1] = 1UL << 50),
            -EINVAL);
    REFUSED("ldt-entries", ctx.ldt_ents = 8193, -EINVAL);
    REFUSED("ldt-entries-64bit", ctx.ldt_ents = 1UL << 32 | 1, -EINVAL);
    REFUSED("ldt-misaligned", (ctx.ldt_ents = 1, ctx.ldt_base = 0x1001), -EINVAL);
    REFUSED("ldt-in-hypervisor", (ctx.ldt_ents = 1, ctx.ldt_base = HV_ADDRESS), -EINVAL);
    REFUSED("cr3-none", ctx.ctrlreg[3] = 0, -EINVAL);
    REFUSED("cr3-writable", ctx.ctrlreg[3] = virt_to_maddr(arrival_stack), -EINVAL);
    REFUSED("cr3-l1", ctx.ctrlreg[3] = PTE_MFN(*pte_of(kernel_root, (uint64_t)gdt, 2)) << 12,
            -EINVAL);
    REFUSED("cr3-gdt", ctx.ctrlreg[3] = virt_to_maddr(gdt), -EINVAL);
    REFUSED("cr3-beyond", ctx.ctrlreg[3] = ~0xfffUL, -EINVAL);
    REFUSED("cr1-writable", ctx.ctrlreg[1] = virt_to_maddr(arrival_stack), -EINVAL);
    REFUSED("cr1-beyond", ctx.ctrlreg[1] = 1UL << 52, -EINVAL);
    REFUSED("debug-registers", memset(ctx.debugreg, 0xff, sizeof(ctx.debugreg)), -EINVAL);
    REFUSED("breakpoint-in-hypervisor", ctx.debugreg[3] = HV_ADDRESS, -EPERM);
    CHECK_EQ(hc(vcpu_op, VCPUOP_is_up, next_vcpu, 0), 0);
    attack("up.not-initialised", hc(vcpu_op, VCPUOP_up, next_vcpu, 0), -EINVAL);
    context();
    attack("initialise.twice", hc(vcpu_op, VCPUOP_initialise, 0, &ctx), -EEXIST);
    witness_check();
}

/* It comes to run, or to its own handler of the fault: 1. Each needs a vCPU. */
static void run(const char *what, int want1, int want2)
{
    uint64_t end = now_ns(0) + PATIENCE_NS;
    char name[64] = "initialise.runs.";
    unsigned int n = 16;

    if (next_vcpu >= last_vcpu)
        error("too few vCPUs");
    while (*what && n < sizeof(name) - 1)
        name[n++] = *what++;
    arrived = -1;
    barrier();
    if (initialise() == 0 && hc(vcpu_op, VCPUOP_up, next_vcpu, 0) == 0)
        while ((arrived < 0 || hc(vcpu_op, VCPUOP_is_up, next_vcpu, 0) == 1) && now_ns(0) < end)
            hc(sched_op, SCHEDOP_yield, 0);
    print("attack_entry: %s: entry %d\n", name, arrived);
    attack(name, arrived == want1 || arrived == want2, 1);
    next_vcpu++;
    witness_check();
}

#define ARRIVES(what, change, want1, want2) \
    do {                                    \
        context();                          \
        change;                             \
        run(what, want1, want2);            \
    } while (0)

static void contexts_that_run(void)
{
    static const uint64_t flags[] = { ~0UL & ~(uint64_t)EFLAGS_TF, 3 << 12, EFLAGS_NT, 1 << 17,
                                      1 << 18 };

    ARRIVES("as-it-should", , 100, 100);
    ARRIVES("cs-null", ctx.user_regs.cs = 0, ENTRY_FAILSAFE, ENTRY_FAILSAFE);
    ARRIVES("cs-hypervisor", ctx.user_regs.cs = 0xe008, ENTRY_FAILSAFE, ENTRY_FAILSAFE);
    ARRIVES("cs-data", ctx.user_regs.cs = 0xe02b, ENTRY_FAILSAFE, ENTRY_FAILSAFE);
    ARRIVES("cs-tss", ctx.user_regs.cs = 0xe040, ENTRY_FAILSAFE, ENTRY_FAILSAFE);
    ARRIVES("cs-beyond", ctx.user_regs.cs = 0xfffb, ENTRY_FAILSAFE, ENTRY_FAILSAFE);
    ARRIVES("cs-ldt", ctx.user_regs.cs = 0xf, ENTRY_FAILSAFE, ENTRY_FAILSAFE);
    ARRIVES("cs-32bit",
            (ctx.user_regs.cs = 0xe023, ctx.user_regs.rip = LOW, ctx.user_regs.rsp = LOW_STACK),
            TRAP_BP, TRAP_BP);
    ARRIVES("ss-null", ctx.user_regs.ss = 0, ENTRY_FAILSAFE, ENTRY_FAILSAFE);
    ARRIVES("ss-code", ctx.user_regs.ss = 0xe033, ENTRY_FAILSAFE, ENTRY_FAILSAFE);
    ARRIVES("ss-hypervisor", ctx.user_regs.ss = 0xe010, ENTRY_FAILSAFE, ENTRY_FAILSAFE);
    ARRIVES("data-selectors",
            (ctx.user_regs.ds = 0xe010, ctx.user_regs.es = 0xe008, ctx.user_regs.fs = 0xffff,
             ctx.user_regs.gs = 0xe040),
            ENTRY_FAILSAFE, ENTRY_FAILSAFE);
    ARRIVES("rip-noncanonical", ctx.user_regs.rip = NONCANONICAL, ENTRY_FAILSAFE, TRAP_GP);
    ARRIVES("rip-in-hypervisor", ctx.user_regs.rip = HV_ADDRESS, TRAP_PF, TRAP_PF);
    ARRIVES("callbacks-none",
            (ctx.event_callback_eip = 0, ctx.failsafe_callback_eip = 0,
             ctx.syscall_callback_eip = 0),
            100, 100);
    for (unsigned int i = 0; i < ARRAY_SIZE(flags); i++) {
        static const char *const names[] = { "flags-all", "flags-iopl", "flags-nt", "flags-vm",
                                             "flags-ac" };

        context();
        ctx.user_regs.rflags = flags[i];
        run(names[i], 100, 100);
    }
    ARRIVES("flags-tf", ctx.user_regs.rflags = EFLAGS_TF, TRAP_DB, TRAP_DB);
    ARRIVES("control-registers",
            (ctx.ctrlreg[0] = ~8UL, ctx.ctrlreg[2] = ~0UL, ctx.ctrlreg[4] = ~0UL,
             ctx.vm_assist = ~0UL),
            100, 100);
    ARRIVES("debug-registers", memset(ctx.debugreg, 0xff, 6 * sizeof(ctx.debugreg[0])), 100, 100);
    ARRIVES("fpu",
            (memset(&ctx.fpu_ctxt, 0xff, sizeof(ctx.fpu_ctxt)), ctx.flags |= VGCF_I387_VALID), 100,
            100);
    ARRIVES("all-flags", ctx.flags = ~0UL & ~(uint64_t)VGCF_online, 100, 100);
    ARRIVES("kernel-sp", (ctx.kernel_sp = NONCANONICAL, ctx.kernel_ss = 0xe010), 100, 100);
}

void test_main(void)
{
    uint8_t *low = page_alloc();

    memset(low, 0xcc, PAGE_SIZE);
    attacks_begin();
    while (hc(vcpu_op, VCPUOP_is_up, last_vcpu + 1, 0) >= 0)
        last_vcpu++; /* the witness, which stays alone */
    hooks(escape);
    user_init();
    /* the low page in the kernel's tables, for code of all sizes */
    {
        uint64_t *l3 = page_alloc(), *l2 = page_alloc(), *l1 = page_alloc();

        l1[LOW >> 12 & 511] = virt_to_maddr(low) | (PTE_FLAGS & ~PTE_RW);
        l1[(LOW >> 12 & 511) + 1] = virt_to_maddr(page_alloc()) | PTE_FLAGS;
        l2[LOW >> 21 & 511] = virt_to_maddr(l1) | PTE_FLAGS;
        l3[0] = virt_to_maddr(l2) | PTE_FLAGS;
        page_set_ro(l1);
        page_set_ro(l2);
        page_set_ro(l3);
        CHECK_EQ(pte_write(&kernel_root[0], virt_to_maddr(l3) | PTE_FLAGS), 0);
    }
    gdt = page_alloc();
    gdt[1] = CODE64;
    gdt[6] = DATA32;
    page_set_ro(gdt);
    CHECK_EQ(set_gdt(gdt, 512), 0);
    by_update();
    by_set_gdt();
    by_ldt();
    write_table();
    system_instructions();
    handler_selectors();
    handler_addresses();
    soft_interrupts();
    contexts_refused();
    contexts_that_run();
}
