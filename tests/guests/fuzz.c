/*
 * The fuzzing kernel (fuzz/fuzz.h): random and grammar-made sequences of all hypercalls and traps,
 * on one to four vCPUs at once, with an audit of the hypervisor's after each thousand calls.
 *
 * Kernel command line:
 *   seed=N     else by the time; it is printed
 *   calls=N    on each vCPU; vcpus=N: how many of those
 *   only=A-B,C run these calls alone: how a failure is minimized (fuzz-minimize.sh)
 *   audit=N    after so many calls; show=1: print each call, show=N: from N on
 *   grants=1   grants, too, and event channels between two domains that fuzz
 *   abandon=1  an event may end a preempted call for good; then a seed is not all that matters
 * Of the domain's vCPUs the first fuzz, the last is the witness; those between are what they bring
 * up and down.
 */
#define __XEN_TOOLS__ 1 /* sysctl's structures */
#include "fuzz/fuzz.h"

#include <xen/sysctl.h>

#define MAX_RANGES 256u
#define MAX_ROWS 160u

unsigned int nr_fuzzers = 1, first_target, nr_all_vcpus;
bool show;
bool with_grants;
static bool abandon;
static uint64_t seed, nr_calls = 10000, audit_every = 1000, show_from;
static struct range {
    uint64_t first, last;
} ranges[MAX_RANGES];
static unsigned int nr_ranges;

static struct fuzzer fuzzers[MAX_VCPUS];
static char stacks[MAX_VCPUS][FUZZ_STACK] __attribute__((aligned(4096)));
static uint8_t arenas[MAX_FUZZERS][ARENA_PAGES + 3][PAGE_SIZE] __attribute__((aligned(4096)));
static uint8_t code_pages[MAX_FUZZERS][PAGE_SIZE] __attribute__((aligned(4096)));
static uint64_t total, nr_audits;
static unsigned int first_free_port = 4096; /* below are the witness's and those that wake */
static volatile unsigned int started, ended, teardown, targets_down;

/* ---- the tally: errno or vector, by kind of call ---- */

static uint32_t tally[MAX_ROWS][NR_COLUMNS];

enum { COLUMN_OTHER = NR_COLUMNS - 1 };
static const uint8_t errnos[] = { 0,      EPERM,  ENOENT, ESRCH,      7,       EBADF,  EAGAIN,
                                  ENOMEM, EACCES, EFAULT, EBUSY,      EEXIST,  ENODEV, EINVAL,
                                  ENOSPC, ERANGE, ENOSYS, EOPNOTSUPP, EISCONN, ETIME,  5 };
static const char *const errno_names[] = { "ok",     "EPERM",  "ENOENT",     "ESRCH",   "E2BIG",
                                           "EBADF",  "EAGAIN", "ENOMEM",     "EACCES",  "EFAULT",
                                           "EBUSY",  "EEXIST", "ENODEV",     "EINVAL",  "ENOSPC",
                                           "ERANGE", "ENOSYS", "EOPNOTSUPP", "EISCONN", "ETIME",
                                           "EIO" };

static const char *const trap_names[] = {
    "DE", "DB", "NMI",   "BP",      "OF",  "BR",       "UD",       "NM",    "DF",   "9",
    "TS", "NP", "SS",    "GP",      "PF",  "15",       "MF",       "AC",    "MC",   "XM",
    "20", "CP", "22",    "23",      "24",  "25",       "26",       "27",    "28",   "29",
    "30", "31", "event", "syscall", "nmi", "failsafe", "sysenter", "int-n", "other"
};

static unsigned int row_index(const struct row *r)
{
    return r >= call_rows && r < call_rows + nr_call_rows
               ? (unsigned int)(r - call_rows)
               : nr_call_rows + (unsigned int)(r - trap_rows);
}

static void count(const struct row *r, unsigned int column)
{
    __atomic_fetch_add(&tally[row_index(r)][column], 1, __ATOMIC_RELAXED);
}

void tally_call(const struct row *r, long rc)
{
    unsigned int k = 0;

    while (rc < 0 && k < ARRAY_SIZE(errnos) && errnos[k] != -rc)
        k++;
    count(r, k < ARRAY_SIZE(errnos) ? k : COLUMN_OTHER);
}

static void print_tally(void)
{
    for (unsigned int r = 0; r < nr_call_rows + nr_trap_rows; r++) {
        const struct row *row = r < nr_call_rows ? &call_rows[r] : &trap_rows[r - nr_call_rows];

        print("TALLY %s:", row->name);
        for (unsigned int k = 0; k < NR_COLUMNS; k++) {
            if (!tally[r][k])
                continue;
            if (row->make)
                print(" %s %u", k < ARRAY_SIZE(errnos) ? errno_names[k] : "other", tally[r][k]);
            else if (k == 0)
                print(" no-trap %u", tally[r][k]);
            else
                print(" %s %u", trap_names[k - 1 < ARRAY_SIZE(trap_names) ? k - 1 : 38],
                      tally[r][k]);
        }
        print("\n");
    }
}

/* ---- entries ---- */

struct fuzzer *self(void)
{
    uint64_t rsp;

    __asm__("mov %%rsp, %0" : "=r"(rsp));
    return &fuzzers[rsp - (uint64_t)stacks < sizeof(stacks) ? (rsp - (uint64_t)stacks) / FUZZ_STACK
                                                            : 0];
}

/* The upper half of its pages is what a vCPU runs on, the lower one for entries from user mode. */
uint64_t kernel_stack(const struct fuzzer *f) { return (uint64_t)stacks[f->id] + FUZZ_STACK / 2; }
void *target_stack(unsigned int vcpu)
{
    return stacks[vcpu < MAX_VCPUS ? vcpu : MAX_VCPUS - 1] + FUZZ_STACK;
}

uint64_t fuzz_now(const struct fuzzer *f)
{
    volatile struct vcpu_time_info *t = &f->info->time;
    uint32_t version;
    uint64_t ns;

    do {
        uint64_t delta;

        version = t->version;
        barrier();
        delta = rdtsc() - t->tsc_timestamp;
        delta = t->tsc_shift >= 0 ? delta << t->tsc_shift : delta >> -t->tsc_shift;
        ns = t->system_time + (uint64_t)(((unsigned __int128)delta * t->tsc_to_system_mul) >> 32);
        barrier();
    } while ((version & 1) || version != t->version);
    return ns;
}

bool port_protected(uint64_t p)
{
    for (unsigned int v = 0; v < nr_fuzzers; v++)
        if (fuzzers[v].timer_port == p)
            return true;
    return p && p < first_free_port;
}

static void upcall(struct fuzzer *f)
{
    struct vcpu_info *vi = f->info;

    do {
        uint64_t sel;

        vi->evtchn_upcall_pending = 0;
        sel = __atomic_exchange_n(&vi->evtchn_pending_sel, 0, __ATOMIC_SEQ_CST);
        for (; sel; sel &= sel - 1) {
            unsigned int w = (unsigned int)__builtin_ctzl(sel);
            uint64_t set = shared_info->evtchn_pending[w] & ~shared_info->evtchn_mask[w];

            for (; set; set &= set - 1) {
                unsigned int p = w * 64 + (unsigned int)__builtin_ctzl(set);

                if (p >= fuzzers[0].timer_port) /* the witness's are its own */
                    port_clear_pending(p);
            }
        }
    } while (vi->evtchn_upcall_pending);
}

static void on_trap(struct cpu_user_regs *regs)
{
    struct fuzzer *f = self();
    bool user = (regs->cs & 3) == 3;
    unsigned int vector = regs->entry_vector;

    if (vector == ENTRY_EVENT)
        upcall(f);
    if (vector == TRAP_DB) {
        hc(set_debugreg, 7, 0);
        hc(set_debugreg, 6, 0);
        regs->rflags &= ~(uint64_t)EFLAGS_TF;
    }
    if (f->id >= first_target) { /* a sandbox vCPU: again from the start, and without events: who
                                  * knows where its vcpu_info is */
        regs->rflags &= ~(uint64_t)EFLAGS_IF;
        if (vector != ENTRY_EVENT && vector != ENTRY_NMI) {
            regs->rip = (uint64_t)target_entry;
            regs->rsp = (uint64_t)target_stack(f->id) - 8;
            regs->cs = FLAT_KERNEL_CS & ~3; /* RPL 3 would be user mode */
            regs->ss = FLAT_KERNEL_SS;
            regs->rflags = 2;
        }
        return;
    }
    /* a call that was preempted is never continued: what it had begun must be harmless */
    if (!user && vector == ENTRY_EVENT && f->armed && abandon && rdtsc() / 64 % 4 == 0)
        goto back;
    if (!user && (vector == ENTRY_EVENT || vector == ENTRY_NMI ||
                  (!(f->armed && f->in_code) && vector == TRAP_DB)))
        return; /* a watchpoint: at any time, where the hypervisor writes */
    if (!user && vector == ENTRY_FAILSAFE && !(f->armed && f->in_code)) {
        regs->cs = FLAT_KERNEL_CS & ~3; /* RPL 3 would be user mode */
        regs->ss = FLAT_KERNEL_SS;
        return;
    }
    if (!f->armed)
        failure("vCPU %u, call %lu: entry %u, error 0x%x, at %x:0x%lx, rsp 0x%lx, cr2 0x%lx", f->id,
                f->i, vector, regs->error_code, regs->cs, regs->rip, regs->rsp, f->info->arch.cr2);
back:
    if (show)
        print("FUZZ %u.%lu trap %u at 0x%lx, error 0x%x, cr2 0x%lx\n", f->id, f->i, vector,
              regs->rip, regs->error_code, f->info->arch.cr2);
    f->vector = (int)vector;
    f->armed = false;
    __builtin_longjmp(f->back, 1);
}

void trap_context(struct trap_info *t)
{
    unsigned int n = 0;

    for (unsigned int v = 0; v < 32; v++)
        if (v != TRAP_NMI)
            t[n++] = (struct trap_info){ (uint8_t)v, v == TRAP_BP || v == TRAP_OF ? 3 : 0,
                                         FLAT_KERNEL_CS, (uint64_t)trap_stubs + v * 32 };
    t[n++] = (struct trap_info){ 0x80, 3, FLAT_KERNEL_CS, (uint64_t)trap_stubs + 0x80 * 32 };
    t[n++] = (struct trap_info){ 0x81, 1, FLAT_KERNEL_CS, (uint64_t)trap_stubs + 0x81 * 32 };
    t[n] = (struct trap_info){ 0 };
}

void repair(struct fuzzer *f)
{
    struct trap_info t[40];

    trap_context(t);
    /* NMIs of other vCPUs come at any time: theirs first, while faults have a handler */
    if (register_callback(CALLBACKTYPE_nmi, nmi_entry, 0) || hc(set_trap_table, 0) ||
        hc(set_trap_table, t) || register_callback(CALLBACKTYPE_event, event_entry, 0) ||
        register_callback(CALLBACKTYPE_failsafe, failsafe_entry, 0) ||
        register_callback(CALLBACKTYPE_syscall, syscall_entry, 0) ||
        register_callback(CALLBACKTYPE_syscall32, f->i % 2 ? syscall_entry : NULL, 0) ||
        register_callback(CALLBACKTYPE_sysenter, sysenter_entry, 0) ||
        hc(stack_switch, FLAT_KERNEL_SS, kernel_stack(f)))
        failure("vCPU %u, call %lu: what was wrong cannot be put right", f->id, f->i);
}

static void events_open(struct fuzzer *f)
{
    f->info->evtchn_upcall_mask = 0;
    barrier();
    if (f->info->evtchn_upcall_pending)
        upcall(f);
}

/* ---- sandbox vCPUs ---- */

/* Until the end they go down, again and again; then they let go of what they hold. */
static void target_loop(void)
{
    struct fuzzer *f = self();
    struct mmuext_op ldt = { .cmd = MMUEXT_SET_LDT };

    while (!teardown) {
        hc(set_debugreg, 7, 0);
        hc(sched_op, SCHEDOP_yield, 0);
        hc(vcpu_op, VCPUOP_down, f->id, 0);
    }
    __asm__ volatile("mov %0, %%ds\n mov %0, %%es\n mov %0, %%fs\n mov %0, %%gs" ::"r"(0));
    while (mmuext(MMUEXT_NEW_USER_BASEPTR, 0, 0) || hc(mmuext_op, &ldt, 1, 0, DOMID_SELF) ||
           hc(set_gdt, 0, 0))
        hc(sched_op, SCHEDOP_yield, 0);
    __atomic_fetch_or(&targets_down, 1u << f->id, __ATOMIC_SEQ_CST);
    for (;;)
        hc(vcpu_op, VCPUOP_down, f->id, 0);
}

void target_entry(void)
{
    __asm__ volatile("cld");
    target_loop();
}

/* ---- the sequence ---- */

const struct row *draw_row(struct fuzzer *f, const struct row *rows, unsigned int nr)
{
    const struct row *row = rows;
    unsigned int sum = 0, n;

    for (unsigned int k = 0; k < nr; k++)
        sum += rows[k].weight;
    n = (unsigned int)below(f, sum);
    for (; n >= row->weight; row++)
        n -= row->weight;
    return row->make == make_grants && !with_grants ? draw_row(f, rows, nr) : row;
}

void show_call(const struct fuzzer *f, const char *name, const struct call *c)
{
    const uint64_t *p = (const uint64_t *)c->args[0];

    print("FUZZ %u.%lu %s(%lu: 0x%lx, 0x%lx, 0x%lx, 0x%lx, 0x%lx)\n", f->id, f->i, name, c->nr,
          c->args[0], c->args[1], c->args[2], c->args[3], c->args[4]);
    for (unsigned int a = 0; a < 3; a++) { /* what they point at, if it is among our own */
        p = (const uint64_t *)c->args[a];
        if (c->args[a] - (uint64_t)f->arena < ARENA_PAGES * PAGE_SIZE - 64)
            print("FUZZ      arg %u: %lx %lx %lx %lx %lx %lx %lx %lx\n", a + 1, p[0], p[1], p[2],
                  p[3], p[4], p[5], p[6], p[7]);
    }
}

long run_call(struct fuzzer *f, struct call *c)
{
    return hypercall5(c->nr, c->args[0], c->args[1], c->args[2], c->args[3], c->args[4]);
}

/* The answers do not depend on when it is called: one vCPU gets the same in each run. */
static bool timeless(uint64_t nr)
{
    return nr == __HYPERVISOR_mmu_update || nr == __HYPERVISOR_mmuext_op ||
           nr == __HYPERVISOR_update_va_mapping || nr == __HYPERVISOR_memory_op ||
           nr == __HYPERVISOR_update_descriptor || nr == __HYPERVISOR_set_gdt;
}

static void draw_and_run(struct fuzzer *f, const struct row **drawn)
{
    static struct call calls[MAX_FUZZERS];
    struct call *c = &calls[f->id];
    const struct row *r =
        chance(f, 3) ? draw_row(f, trap_rows, nr_trap_rows) : draw_row(f, call_rows, nr_call_rows);
    long rc;

    *drawn = r;
    if (r->run) {
        r->run(f, r->sub);
        return;
    }
    c->after = NULL;
    r->make(f, c, r->sub);
    if (show)
        show_call(f, r->name, c);
    if (r->flags & REPAIR) { /* nothing may come in between */
        f->info->evtchn_upcall_mask = 1;
        hc(set_debugreg, 7, 0);
        /* a selector that cannot be loaded again is told to the failsafe callback */
        __asm__ volatile("mov %0, %%fs\n mov %0, %%gs" ::"r"(0));
    }
    rc = run_call(f, c);
    if (r->flags & REPAIR)
        repair(f);
    tally_call(r, rc);
    if (show)
        print("FUZZ %u.%lu = %ld\n", f->id, f->i, rc);
    if (timeless(c->nr))
        f->hash = (f->hash ^ (uint64_t)rc) * 0x100000001b3UL;
    if (c->after)
        c->after(f, c, rc);
}

static void one_call(struct fuzzer *f, uint64_t i)
{
    const struct row *volatile row = NULL;

    f->i = i;
    f->rng = seed ^ (uint64_t)f->id << 56;
    f->rng = rnd(f) + i * 0xd1342543de82ef95UL;
    f->used = 0;
    f->nested = f->in_code = false;
    f->vector = -1;
    if (__builtin_setjmp(f->back) == 0) {
        f->armed = true;
        draw_and_run(f, (const struct row **)&row);
        f->armed = false;
    }
    f = self();
    __asm__ volatile("pushq $0x202\n popfq\n mov %0, %%ds\n mov %0, %%es" ::"r"(0));
    if (f->vector >= 0) {
        if (row && (row->flags & REPAIR))
            repair(f);
        unsigned int v = (unsigned int)f->vector;

        v = v < 32 ? v + 1 : v >= 256 ? v - 256 + 33 : 38; /* trap_names, and 0: none */
        if (row && row->make)
            v = COLUMN_OTHER;
        if (row)
            count(row, v);
    } else if (row && !row->make) {
        count(row, 0);
    }
    if (f->i % 16 == 0) { /* watchpoints are left on for a while */
        hc(set_debugreg, 7, 0);
        hc(set_debugreg, 6, 0);
    }
    events_open(f);
}

static void debug_key(uint8_t key)
{
    struct xen_sysctl op = { .cmd = XEN_SYSCTL_debug_keys,
                             .interface_version = XEN_SYSCTL_INTERFACE_VERSION };

    set_xen_guest_handle(op.u.debug_keys.keys, (void *)&key);
    op.u.debug_keys.nr_keys = 1;
    CHECK_EQ(hc(sysctl, &op), 0);
}

static void audit(struct fuzzer *f)
{
    print("FUZZ %lu calls; vCPU %u at %lu, answers 0x%lx\n", total, f->id, f->i, f->hash);
    if (is_dom0()) /* else the witness does */
        debug_key('A');
    __atomic_fetch_add(&nr_audits, 1, __ATOMIC_RELAXED);
}

static bool selected(uint64_t i)
{
    for (unsigned int k = 0; k < nr_ranges; k++)
        if (i >= ranges[k].first && i <= ranges[k].last)
            return true;
    return nr_ranges == 0;
}

static void sequence(struct fuzzer *f)
{
    for (uint64_t i = 0; i < nr_calls; i++) {
        if (!selected(i))
            continue;
        show = show_from && i + 1 >= show_from;
        one_call(f, i);
        if ((__atomic_add_fetch(&total, 1, __ATOMIC_SEQ_CST)) % audit_every == 0) {
            audit(f);
            grants_refill(f);
            pool_refill();
        }
    }
}

static void fuzzer_init(unsigned int v)
{
    struct fuzzer *f = &fuzzers[v];

    f->id = v;
    f->info = vcpu_info(v);
    f->vector = -1;
    if (v >= nr_fuzzers)
        return;
    f->arena = arenas[v][0];
    f->code = code_pages[v];
    page_set_rw(f->code);
    update_va(arenas[v][ARENA_PAGES], 0, UVMF_INVLPG);
    update_va(arenas[v][ARENA_PAGES + 2], 0, UVMF_INVLPG);
    f->timer_port = (unsigned int)bind_virq(VIRQ_TIMER, v);
}

static void fuzzer_end(struct fuzzer *f)
{
    struct mmuext_op ldt = { .cmd = MMUEXT_SET_LDT };

    hc(set_debugreg, 7, 0);
    __asm__ volatile("mov %0, %%ds\n mov %0, %%es\n mov %0, %%fs\n mov %0, %%gs" ::"r"(0));
    CHECK_EQ(mmuext(MMUEXT_NEW_BASEPTR, virt_to_mfn(kernel_root), 0), 0);
    CHECK_EQ(mmuext(MMUEXT_NEW_USER_BASEPTR, 0, 0), 0);
    CHECK_EQ(hc(mmuext_op, &ldt, 1, 0, DOMID_SELF), 0);
    CHECK_EQ(hc(set_gdt, 0, 0), 0);
    hc(vcpu_op, VCPUOP_register_runstate_memory_area, f->id, &(uint64_t){ 0 });
    hc(vcpu_op, VCPUOP_register_vcpu_time_memory_area, f->id, &(uint64_t){ 0 });
}

static void fuzz(void)
{
    struct fuzzer *f = self();

    repair(f);
    __atomic_fetch_add(&started, 1, __ATOMIC_SEQ_CST);
    while (started < nr_fuzzers)
        hc(sched_op, SCHEDOP_yield, 0);
    events_open(f);
    sequence(f);
    fuzzer_end(f);
    f->info->evtchn_upcall_mask = 1;
    __atomic_fetch_add(&ended, 1, __ATOMIC_SEQ_CST);
}

static void fuzz_secondary(void)
{
    fuzz();
    for (;;)
        hc(vcpu_op, VCPUOP_down, self()->id, 0);
}

/* ---- the command line ---- */

static uint64_t number(const char **p)
{
    uint64_t n = 0;

    for (; **p >= '0' && **p <= '9'; ++*p)
        n = n * 10 + (uint64_t)(**p - '0');
    return n;
}

static bool word(const char **p, const char *name)
{
    const char *q = *p;

    while (*name && *q == *name)
        q++, name++;
    if (*name)
        return false;
    *p = q;
    return true;
}

static void parse_ranges(const char **p)
{
    for (; nr_ranges < MAX_RANGES; ++*p) {
        struct range *r = &ranges[nr_ranges++];

        r->first = r->last = number(p);
        if (**p == '-') {
            ++*p;
            r->last = number(p);
        }
        if (**p != ',')
            return;
    }
}

static void parse_command_line(void)
{
    const char *p = (const char *)start_info->cmd_line;

    seed = rdtsc();
    while (*p) {
        if (word(&p, "seed="))
            seed = number(&p);
        else if (word(&p, "calls="))
            nr_calls = number(&p);
        else if (word(&p, "vcpus="))
            nr_fuzzers = (unsigned int)number(&p);
        else if (word(&p, "audit="))
            audit_every = number(&p);
        else if (word(&p, "show="))
            show_from = number(&p);
        else if (word(&p, "abandon="))
            abandon = number(&p) != 0;
        else if (word(&p, "grants="))
            with_grants = number(&p) != 0;
        else if (word(&p, "only="))
            parse_ranges(&p);
        while (*p && *p != ' ')
            p++;
        while (*p == ' ')
            p++;
    }
}

/* ---- the whole ---- */

static void wait_for_others(void)
{
    uint64_t seen = 0, end = 0;

    while (ended < nr_fuzzers) {
        if (seen != total) {
            seen = total;
            end = now_ns(0) + PATIENCE_NS;
        }
        if (now_ns(0) > end) {
            for (unsigned int v = 1; v < nr_fuzzers; v++)
                print("FUZZ vCPU %u at %lu\n", v, fuzzers[v].i);
            debug_key('q');
            debug_key('d');
            failure("vCPUs do not go on");
        }
        hc(sched_op, SCHEDOP_yield, 0);
    }
}

static void end_targets(void)
{
    unsigned int all = 0;
    uint64_t end = now_ns(0) + PATIENCE_NS;
    static struct vcpu_guest_context ctx;

    teardown = 1;
    for (unsigned int v = first_target; v < nr_all_vcpus - 1; v++) {
        /* one that was refused may have left roots behind */
        secondary_context(&ctx, target_entry, (char *)target_stack(v) - PAGE_SIZE);
        hc(vcpu_op, VCPUOP_initialise, v, &ctx);
        hc(vcpu_op, VCPUOP_register_runstate_memory_area, v, &(uint64_t){ 0 });
        hc(vcpu_op, VCPUOP_register_vcpu_time_memory_area, v, &(uint64_t){ 0 });
        if (hc(vcpu_op, VCPUOP_up, v, 0) == 0)
            all |= 1u << v;
    }
    while ((targets_down & all) != all) {
        for (unsigned int v = first_target; v < nr_all_vcpus - 1; v++)
            if (all & ~targets_down & 1u << v)
                hc(vcpu_op, VCPUOP_up, v, 0);
        hc(sched_op, SCHEDOP_yield, 0);
        if (now_ns(0) > end)
            failure("sandbox vCPUs 0x%x do not come to their end", all & ~targets_down);
    }
}

static void close_ports(void)
{
    for (unsigned int p = first_free_port; p < 4096; p++)
        port_close(p);
}

void test_main(void)
{
    static struct vcpu_guest_context ctx;
    uint64_t from, hash = 0;

    grants_init();
    parse_command_line();
    if (with_grants && own_id > 1) /* the second of two: not what the first does */
        seed += own_id;
    while (nr_all_vcpus < MAX_VCPUS && hc(vcpu_op, VCPUOP_is_up, nr_all_vcpus, 0) >= 0)
        nr_all_vcpus++;
    if (nr_fuzzers == 0 || nr_fuzzers > MAX_FUZZERS || nr_fuzzers + 1 > nr_all_vcpus)
        error("%u vCPUs are to fuzz of %u", nr_fuzzers, nr_all_vcpus);
    first_target = nr_fuzzers;
    print("FUZZ seed=%lu calls=%lu vcpus=%u, %u sandbox vCPUs\n", seed, nr_calls, nr_fuzzers,
          nr_all_vcpus - 1 - nr_fuzzers);
    for (unsigned int v = 0; v < NR_ENTRIES; v++)
        trap_hooks[v] = on_trap;
    attacks_begin();
    user_init();
    for (unsigned int v = 0; v < nr_all_vcpus - 1; v++)
        fuzzer_init(v);
    first_free_port = fuzzers[nr_fuzzers - 1].timer_port + 1;
    pool_init();
    /* a list that begins in shared_info ends with its page: the pages behind it are this kernel's own */
    if (update_va((char *)shared_info + PAGE_SIZE, 0, UVMF_INVLPG))
        error("no hole behind shared_info");
    from = now_ns(0);
    for (unsigned int v = 1; v < nr_fuzzers; v++) {
        secondary_context(&ctx, fuzz_secondary, (char *)target_stack(v) - PAGE_SIZE);
        ctx.ctrlreg[1] = 0;
        if (hc(vcpu_op, VCPUOP_initialise, v, &ctx) || hc(vcpu_op, VCPUOP_up, v, 0))
            error("vCPU %u does not start", v);
    }
    fuzz();
    wait_for_others();
    print("FUZZ %lu calls in %lu ms, %lu audits\n", total, (now_ns(0) - from) / 1000000, nr_audits);
    print_tally();
    end_targets();
    close_ports();
    grants_teardown(&fuzzers[0]);
    pool_teardown();
    audit(&fuzzers[0]);
    for (unsigned int v = 0; v < nr_fuzzers; v++)
        hash ^= fuzzers[v].hash * (v + 1);
    print("FUZZ seed=%lu: answers 0x%lx\n", seed, hash);
}
