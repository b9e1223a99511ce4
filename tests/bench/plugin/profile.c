/*
 * A plugin for QEMU's TCG that tells what a hypervisor executes, and why: instructions by reason
 * (what was entered for) and by function. It knows the hypervisor by its addresses only, so it sees
 * Xen as it sees ours, and a kernel without either.
 *
 *   qemu-system-x86_64 ... -plugin profile.so,out=FILE[,syms=FILE]
 *
 * out   a table, tab-separated (below); written when QEMU exits
 * syms  what is where in the hypervisor, made by symbols.sh. Without it entries are told apart by
 *       their address, and functions are not known
 *
 * Counted are windows: an instruction "nopl MARK + n(%rax)" (mark.h), anywhere in a guest, ends the
 * window that runs and goes on with window n; number 0 is what no window has, boot for example. A
 * window that is entered again goes on counting.
 *
 *   window  reason        function  entries  instructions
 *   n       guest user    -         0        what ran below 1 << 63
 *   n       guest kernel  -         0        what ran above, outside the hypervisor
 *   n       REASON        -         entries  all instructions of the hypervisor from there on
 *   n       REASON        FUNCTION  calls    those of them in this function itself
 *
 * A reason is the way in (a vector, or the function entered), and "/" with the first handler of a
 * hypercall or other detail (symbols.sh) that was reached then. Entries of a multicall are reasons of
 * their own, multicall/HANDLER, which lasts until the next one's handler. What the CPU does in its
 * idle loop is a reason, too.
 *
 * Exact with one CPU, to what -icount shift=0 counts: each instruction is counted when it starts,
 * whatever becomes of its block. Only an instruction that faults counts, and again when it is
 * repeated (-icount counts it once). A repeated string instruction is one for each repetition, as
 * for -icount. An interrupt or a fault within the hypervisor belongs to what it interrupts.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "install.h"
#include "mark.h"
#include "qemu_plugin.h"

#define HV_START 0xffff800000000000ULL /* the hypervisor's part of the address space, by the ABI */
#define HV_END 0xffff880000000000ULL

#define NR_WINDOWS MARK_NEXT
#define NR_ENTRIES 512u /* ways in */
#define NR_DETAILS 256u
#define NR_VECTORS 256u
#define NR_FUNCTIONS 4096u
#define NR_PENDING 512u

enum detail_kind { DETAIL_NONE, DETAIL_FIRST, DETAIL_MULTICALL, DETAIL_HANDLER, DETAIL_IDLE };

struct function {
    uint64_t addr;
    const char *name;
    enum detail_kind kind;
    unsigned int detail; /* its number, for all kinds but DETAIL_NONE */
};

struct counts {
    uint64_t entries, insns;
};

struct reason {
    struct counts all;
    struct counts function[NR_FUNCTIONS];
};

struct window {
    uint64_t user, kernel;
    struct reason *reason[NR_ENTRIES][2 * NR_DETAILS]; /* the upper half: entries of a multicall */
};

struct block { /* of the hypervisor's code */
    uint64_t addr;
    unsigned int function;
    bool at_start; /* of the function */
    int vector;    /* -1, or it is the stub of this vector */
    bool iret, sysret;
};

static struct function functions[NR_FUNCTIONS] = { { 0, "?", DETAIL_NONE, 0 } };
static unsigned int nr_functions = 1;
static const char *detail_names[NR_DETAILS] = { "" };
static unsigned int nr_details = 1, multicall_detail;
static uint64_t entry_addrs[NR_ENTRIES];
static unsigned int nr_entries;
static uint64_t stubs, stub_bytes;
static const char *out_path;

/* Added to by the translated code itself. */
static uint64_t in_hv, in_user, in_kernel;

static struct window *windows[NR_WINDOWS];
static struct window *window;
static uint64_t seen_hv, seen_user, seen_kernel; /* how much of it is in a window already */
static unsigned int entry, detail, function;     /* of what runs, or ran last, in the hypervisor */
static bool multicall, left;
static bool to_be_counted; /* the entry, when its reason is known */
static unsigned int depth; /* traps of the hypervisor that have not returned */
static uint64_t seen_guest, calls;

/* What has run since the entry, by function, until the reason is known. */
static struct {
    unsigned int function;
    uint64_t insns, calls;
} pending[NR_PENDING];
static unsigned int nr_pending;

static const char *const vector_names[32] = {
    [0] = "#DE divide error",   [1] = "#DB debug",          [2] = "NMI",
    [3] = "#BP breakpoint",     [6] = "#UD invalid opcode", [7] = "#NM no FPU",
    [8] = "#DF double fault",   [12] = "#SS stack fault",   [13] = "#GP protection",
    [14] = "#PF page fault",    [16] = "#MF FPU error",     [17] = "#AC alignment",
    [18] = "#MC machine check", [19] = "#XM SIMD",
};

static void *allocate(size_t bytes)
{
    void *p = calloc(1, bytes);

    if (p == NULL) {
        fprintf(stderr, "profile: no memory\n");
        exit(2);
    }
    return p;
}

/* ---- counting ---- */

static struct window *window_get(unsigned int n)
{
    if (windows[n] == NULL)
        windows[n] = allocate(sizeof(struct window));
    return windows[n];
}

static struct reason *reason_get(void)
{
    struct reason **r = &window->reason[entry][detail + (multicall ? NR_DETAILS : 0)];

    if (*r == NULL)
        *r = allocate(sizeof(**r));
    return *r;
}

static void flush_pending(void)
{
    struct reason *r;

    if (nr_pending == 0 && !to_be_counted)
        return;
    r = reason_get();
    r->all.entries += to_be_counted;
    to_be_counted = false;
    for (unsigned int i = 0; i < nr_pending; i++) {
        r->all.insns += pending[i].insns;
        r->function[pending[i].function].insns += pending[i].insns;
        r->function[pending[i].function].entries += pending[i].calls;
    }
    nr_pending = 0;
}

/* What the hypervisor has executed since the last time goes to the function that ran. */
static void account(void)
{
    uint64_t insns = in_hv - seen_hv;

    seen_hv = in_hv;
    if (insns == 0 && calls == 0)
        return;
    if (nr_pending == NR_PENDING)
        flush_pending();
    pending[nr_pending].function = function;
    pending[nr_pending].insns = insns;
    pending[nr_pending++].calls = calls;
    calls = 0;
    if (detail)
        flush_pending();
}

static void account_guest(void)
{
    window->user += in_user - seen_user;
    window->kernel += in_kernel - seen_kernel;
    seen_user = in_user;
    seen_kernel = in_kernel;
}

static unsigned int entry_find(uint64_t addr)
{
    unsigned int i;

    for (i = 0; i < nr_entries && entry_addrs[i] != addr; i++)
        ;
    if (i < nr_entries)
        return i;
    if (nr_entries == NR_ENTRIES)
        return NR_ENTRIES - 1;
    entry_addrs[nr_entries] = addr;
    return nr_entries++;
}

static void reached(const struct function *f)
{
    switch (f->kind) {
    case DETAIL_NONE: return;
    case DETAIL_IDLE:
        if (f->detail == detail)
            return;
        flush_pending();
        multicall = false;
        break;
    case DETAIL_HANDLER:
        if (multicall) {
            flush_pending();
            break;
        }
        if (detail == 0)
            break;
        if (detail != multicall_detail)
            return;
        multicall = true;
        break;
    default:
        if (detail)
            return;
    }
    detail = f->detail;
    to_be_counted |= multicall || f->kind == DETAIL_IDLE;
    flush_pending();
}

static void execute(unsigned int vcpu, void *arg)
{
    const struct block *b = arg;
    bool entered = in_user + in_kernel != seen_guest;

    (void)vcpu;
    seen_guest = in_user + in_kernel;
    /* This very block is not in in_hv yet: its instructions count as they start. */
    account();
    if (b->vector >= 0 && !entered) {
        if (left)
            entered = true; /* not one instruction ran in the guest */
        else
            depth++;
    }
    if (entered) {
        flush_pending();
        depth = 0;
        detail = 0;
        multicall = false;
        entry = entry_find(b->addr);
        to_be_counted = true;
    }
    left = b->sysret;
    if (b->iret && depth)
        depth--;
    else if (b->iret && stubs)
        left = true;
    function = b->function;
    calls = b->at_start;
    if (calls)
        reached(&functions[function]);
}

static void mark(unsigned int vcpu, void *arg)
{
    static unsigned int made;
    unsigned int n = (unsigned int)(uintptr_t)arg;

    (void)vcpu;
    account();
    flush_pending();
    account_guest();
    if (n == MARK_NEXT)
        n = made < NR_WINDOWS - 1 ? ++made : made;
    window = window_get(n);
}

/* ---- translation ---- */

static unsigned int function_find(uint64_t addr)
{
    unsigned int low = 0, high = nr_functions;

    while (high - low > 1) { /* functions[low].addr <= addr < functions[high].addr */
        unsigned int middle = (low + high) / 2;

        if (functions[middle].addr <= addr)
            low = middle;
        else
            high = middle;
    }
    return low;
}

static bool insn_is(const struct qemu_plugin_insn *insn, size_t bytes, const char *what)
{
    return qemu_plugin_insn_size(insn) == bytes &&
           memcmp(qemu_plugin_insn_data(insn), what, bytes) == 0;
}

static void instrument_hv(struct qemu_plugin_tb *tb)
{
    size_t nr = qemu_plugin_tb_n_insns(tb);
    const struct qemu_plugin_insn *last = qemu_plugin_tb_get_insn(tb, nr - 1);
    struct block *b = allocate(sizeof(*b)); /* kept: a block may run until the end */

    b->addr = qemu_plugin_tb_vaddr(tb);
    b->function = function_find(b->addr);
    b->at_start = b->addr == functions[b->function].addr;
    b->vector = -1;
    if (stubs && b->addr - stubs < NR_VECTORS * stub_bytes && (b->addr - stubs) % stub_bytes == 0)
        b->vector = (int)((b->addr - stubs) / stub_bytes);
    b->iret = insn_is(last, 2, "\x48\xcf");
    b->sysret = insn_is(last, 3, "\x48\x0f\x07");
    qemu_plugin_register_vcpu_tb_exec_cb(tb, execute, QEMU_PLUGIN_CB_NO_REGS, b);
    for (size_t i = 0; i < nr; i++)
        qemu_plugin_register_vcpu_insn_exec_inline(qemu_plugin_tb_get_insn(tb, i),
                                                   QEMU_PLUGIN_INLINE_ADD_U64, &in_hv, 1);
}

static void translate(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    uint64_t addr = qemu_plugin_tb_vaddr(tb);
    uint64_t *counter = addr >> 63 ? &in_kernel : &in_user;

    (void)id;
    if (addr >= HV_START && addr < HV_END) {
        instrument_hv(tb);
        return;
    }
    for (size_t i = 0, nr = qemu_plugin_tb_n_insns(tb); i < nr; i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
        const uint8_t *bytes = qemu_plugin_insn_data(insn);
        uint32_t number;

        qemu_plugin_register_vcpu_insn_exec_inline(insn, QEMU_PLUGIN_INLINE_ADD_U64, counter, 1);
        if (qemu_plugin_insn_size(insn) != 7 || memcmp(bytes, "\x0f\x1f\x80", 3))
            continue;
        memcpy(&number, bytes + 3, sizeof(number));
        if (number - MARK <= MARK_NEXT)
            qemu_plugin_register_vcpu_insn_exec_cb(insn, mark, QEMU_PLUGIN_CB_NO_REGS,
                                                   (void *)(uintptr_t)(number - MARK));
    }
}

/* ---- output ---- */

static void print_reason(FILE *f, unsigned int n, unsigned int e, unsigned int d,
                         const struct reason *r)
{
    uint64_t vector = stubs ? (entry_addrs[e] - stubs) / stub_bytes : NR_VECTORS;
    unsigned int i = function_find(entry_addrs[e]);
    char name[256], way[64];

    if (vector < 32 && vector_names[vector])
        snprintf(way, sizeof(way), "%s", vector_names[vector]);
    else if (vector < NR_VECTORS)
        snprintf(way, sizeof(way), "%s 0x%02x", vector < 32 ? "exception" : "interrupt",
                 (unsigned int)vector);
    else if (i)
        snprintf(way, sizeof(way), "%s", functions[i].name);
    else
        snprintf(way, sizeof(way), "0x%" PRIx64, entry_addrs[e]);
    snprintf(name, sizeof(name), "%s%s%s%s", way, d >= NR_DETAILS ? "/multicall" : "",
             d % NR_DETAILS ? "/" : "", detail_names[d % NR_DETAILS]);
    fprintf(f, "%u\t%s\t-\t%" PRIu64 "\t%" PRIu64 "\n", n, name, r->all.entries, r->all.insns);
    for (i = 0; i < nr_functions; i++)
        if (r->function[i].entries || r->function[i].insns)
            fprintf(f, "%u\t%s\t%s\t%" PRIu64 "\t%" PRIu64 "\n", n, name, functions[i].name,
                    r->function[i].entries, r->function[i].insns);
}

static void finish(qemu_plugin_id_t id, void *arg)
{
    FILE *f = fopen(out_path, "w");

    (void)id;
    (void)arg;
    if (f == NULL) {
        perror(out_path);
        return;
    }
    account();
    flush_pending();
    account_guest();
    fprintf(f, "window\treason\tfunction\tentries\tinstructions\n");
    for (unsigned int n = 0; n < NR_WINDOWS; n++) {
        const struct window *w = windows[n];

        if (w == NULL)
            continue;
        fprintf(f, "%u\tguest user\t-\t0\t%" PRIu64 "\n", n, w->user);
        fprintf(f, "%u\tguest kernel\t-\t0\t%" PRIu64 "\n", n, w->kernel);
        for (unsigned int e = 0; e < nr_entries; e++)
            for (unsigned int d = 0; d < 2 * NR_DETAILS; d++)
                if (w->reason[e][d])
                    print_reason(f, n, e, d, w->reason[e][d]);
    }
    fclose(f);
}

/* ---- the symbols ---- */

static bool symbol_add(const char *line)
{
    static const char *const kinds[] = { [DETAIL_NONE] = "function",
                                         [DETAIL_FIRST] = "detail",
                                         [DETAIL_MULTICALL] = "multicall",
                                         [DETAIL_HANDLER] = "handler",
                                         [DETAIL_IDLE] = "idle" };
    char kind[16], name[128], *shown;
    uint64_t addr;
    struct function *f = &functions[nr_functions];
    int fields = sscanf(line, "%15s %" SCNx64 " %127s", kind, &addr, name);

    if (fields == 3 && strcmp(kind, "stubs") == 0) {
        stubs = addr;
        stub_bytes = strtoull(name, NULL, 0);
        return stub_bytes != 0;
    }
    if (fields != 3 || nr_functions == NR_FUNCTIONS || addr < f[-1].addr)
        return false;
    shown = strdup(name);
    *f = (struct function){ .addr = addr, .name = shown };
    while (f->kind <= DETAIL_IDLE && strcmp(kinds[f->kind], kind))
        f->kind++;
    if (f->kind > DETAIL_IDLE || shown == NULL)
        return false;
    if (f->kind != DETAIL_NONE) {
        if (nr_details == NR_DETAILS)
            return false;
        f->detail = nr_details;
        detail_names[nr_details++] = shown;
    }
    if (f->kind == DETAIL_MULTICALL) {
        multicall_detail = f->detail;
        f->kind = DETAIL_FIRST;
    }
    nr_functions++;
    return true;
}

static bool symbols_read(const char *path)
{
    FILE *f = fopen(path, "r");
    char line[256];
    bool good = true;

    if (f == NULL) {
        perror(path);
        return false;
    }
    while (good && fgets(line, sizeof(line), f))
        good = symbol_add(line);
    if (!good)
        fprintf(stderr, "profile: %s: unexpected: %s", path, line);
    fclose(f);
    return good;
}

int qemu_plugin_install(qemu_plugin_id_t id, const struct qemu_info_t *info, int argc, char **argv)
{
    const struct install how = { .name = "profile",
                                 .argument = "syms=",
                                 .read = symbols_read,
                                 .out_path = &out_path,
                                 .translate = translate,
                                 .finish = finish };

    (void)info;
    window = window_get(0);
    return install(id, argc, argv, &how);
}
