/*
 * The fuzzing kernel. fuzz.c has the sequence, the vCPUs and the tally; pool.c the sandbox that all
 * calls work on, and what arguments are drawn from; calls.c the hypercalls, and grants.c those on
 * grants; traps.c instructions, exceptions and user mode.
 *
 * Call i of a vCPU is made from the seed, the vCPU and i alone, so any part of a sequence can be run
 * again. Frame numbers and addresses are drawn as places in the pools, not as values.
 */
#pragma once
#include "guest.h"

#define MAX_FUZZERS 4u
#define FUZZ_STACK (8 * PAGE_SIZE)
#define ARENA_PAGES 8u
#define MAX_LIST 8u
#define NR_COLUMNS 48u

/* One vCPU that fuzzes. */
struct fuzzer {
    unsigned int id;
    uint64_t rng, i; /* the generator in call i */
    struct vcpu_info *info;
    void *back[5];       /* __builtin_setjmp: where a trap goes to */
    volatile bool armed; /* it may */
    volatile int vector; /* what came; -1 */
    uint8_t *arena;      /* ARENA_PAGES for arguments, a hole, a page, a hole */
    size_t used;
    volatile bool in_code; /* on its page of instructions, or on its way to user mode */
    bool nested;           /* inside a multicall's list */
    uint8_t *code;         /* a page for instructions */
    uint64_t hash;         /* of all answers */
    unsigned int timer_port;
};

/* A hypercall about to be made, and what is to be done with its answer. */
struct call {
    uint64_t nr, args[5];
    void (*after)(struct fuzzer *f, struct call *c, long rc);
    uint64_t list[MAX_LIST], more[MAX_LIST]; /* what after() wants to know */
    unsigned int n, order, order_out;
    void *arg;
};

/* A kind of call: what the tally counts by. */
enum {
    ALONE = 1, /* not inside a multicall */
    REPAIR =
        2, /* what the kernel lives by may be wrong afterwards: events masked, repair() behind */
};
struct row {
    const char *name;
    unsigned int weight, flags;
    void (*make)(struct fuzzer *f, struct call *c, uint64_t sub);
    uint64_t sub;
    int (*run)(struct fuzzer *f, uint64_t sub); /* in place of make: no hypercall; vector or -1 */
};
extern const struct row call_rows[], trap_rows[];
extern const unsigned int nr_call_rows, nr_trap_rows;

/* ---- fuzz.c ---- */
extern unsigned int nr_fuzzers, first_target,
    nr_all_vcpus; /* targets, then the witness: the last */
extern bool show;
struct fuzzer *self(void);
void tally_call(const struct row *r, long rc);
void repair(struct fuzzer *f);
long run_call(struct fuzzer *f, struct call *c);
void show_call(const struct fuzzer *f, const char *name, const struct call *c);
uint64_t fuzz_now(const struct fuzzer *f);
void target_entry(void); /* what targets run */
void *target_stack(unsigned int vcpu);
uint64_t kernel_stack(const struct fuzzer *f); /* for entries from user mode */
bool port_protected(uint64_t port);
void trap_context(struct trap_info *t); /* the good trap table, 34 entries, the last empty */
const struct row *draw_row(struct fuzzer *f, const struct row *rows, unsigned int nr);

/* ---- pool.c ---- */
#define NR_SLOTS 64u
enum role { ROLE_DATA, ROLE_L1, ROLE_L2, ROLE_L3, ROLE_L4, ROLE_DESC, ROLE_FREE, NR_ROLES };
extern char sandbox[NR_SLOTS + 32][PAGE_SIZE]; /* 16 pages before and behind that nobody uses */
#define WINDOW(w) (sandbox[16 + (w)])
extern uint64_t slots[NR_SLOTS]; /* frame numbers; 0: given away */
extern uint64_t *alt_roots[MAX_FUZZERS];
#define FUZZ_SLOT 300u /* of L4 tables, and three more: the sandbox's tables are linked there */

uint64_t rnd(struct fuzzer *f);
static inline uint64_t below(struct fuzzer *f, uint64_t n) { return (rnd(f) >> 11) % n; }
static inline bool chance(struct fuzzer *f, unsigned int n) { return below(f, n) == 0; }
#define ONE_OF(f, ...)                          \
    ({                                          \
        const uint64_t of_[] = { __VA_ARGS__ }; \
        of_[below(f, ARRAY_SIZE(of_))];         \
    })

void pool_init(void);
void pool_refill(void); /* frames that were given away, again */
void pool_teardown(void);
unsigned int slot_of_role(struct fuzzer *f, enum role role);
uint64_t mfn_of_role(struct fuzzer *f, enum role role);
uint64_t mfn_to_write(struct fuzzer *f);  /* of nothing that the kernel lives by */
uint64_t mfn_to_update(struct fuzzer *f); /* nor of tables that the kernel runs on */
uint64_t mfn_to_read(struct fuzzer *f);
uint64_t slot_pfn(unsigned int s);
void slot_give(uint64_t mfn, uint64_t count); /* these frames are no longer ours */
void slot_take(uint64_t mfn);                 /* this one is */
void slot_renew(uint64_t mfn); /* it cannot be a table: pool_refill() shall find another for that */
uint64_t entry(struct fuzzer *f, unsigned int level);
uint64_t table_index(struct fuzzer *f, unsigned int level);
uint64_t fuzz_va(struct fuzzer *f); /* an address in what sandbox tables map */
uint64_t any_va(struct fuzzer *f);  /* any address; nothing there is the kernel's to lose */
uint64_t value(struct fuzzer *f);   /* anything */
uint64_t count_of(struct fuzzer *f, uint64_t n); /* n mostly, else an edge */
void *arena(struct fuzzer *f, size_t bytes);
void *arena_end(struct fuzzer *f, size_t bytes); /* just before what is not mapped */
uint64_t pointer(struct fuzzer *f, const void *good, size_t bytes); /* to it, mostly */
/* The same for what may not be read where others write: it would be another call, one of those that
 * are not to be made. */
uint64_t pointer_private(struct fuzzer *f, const void *good, size_t bytes);
uint64_t domid(struct fuzzer *f);
uint64_t port(struct fuzzer *f);
uint64_t vcpu_id(struct fuzzer *f);

/* ---- grants.c ---- */
extern bool with_grants;
extern domid_t own_id;
void grants_init(void);
void grants_refill(struct fuzzer *f); /* some mappings end; before pool_refill() */
void grants_teardown(struct fuzzer *f);
domid_t peer_id(struct fuzzer *f); /* who is granted to or bound: itself, or the others there are */
void make_grants(struct fuzzer *f, struct call *c, uint64_t sub);
