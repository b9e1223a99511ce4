/*
 * paging/ and emulate/ptwr.c: the input is a program of a hostile guest with two vCPUs and few
 * frames. After each step paging_audit() recomputes all references, and a model of the CPUs' TLBs
 * watches that no entry outlives what it was good for; in the end the domain dies.
 *   byte 0      F_*
 *   8 bytes     a step: what, whose CPU and how it is disturbed; then its operands
 */
#include "alloc.h"
#include "fuzz.h"

#include "emulate/decode.h"
#include "calling.h"
#include "memory/heap.h"
#include "paging/paging.h"
#include "x86/upcalls.h"

#define NR_FRAMES 256u /* a power of 2: when all are free, the heap has but one state */
#define NR_CPUS_USED 2u
#define NR_OWN 16u
#define MMIO_MFN 0x100000u
#define RO_MFN (MMIO_MFN + 1)
#define W (PTE_P | PTE_RW)
#define LIST_MAX 16u

enum { F_MMIO = 1, F_L1TF = 2, F_PREEMPT_DEATH = 4 };

static struct domain *d, *other;
static uint64_t own[NR_OWN], hv_page, shared_page, their_page;
static struct mmu_update req[LIST_MAX];
static struct mmuext_op op[LIST_MAX];
static uint32_t nr_req, nr_op, done_out;
static uint64_t vcpu_bitmap;
static uint8_t not_the_guests[PAGE_SIZE]; /* what is in frames of others, for ever */
static struct {                           /* a hypercall that each vCPU may go on with, or not */
    unsigned int nr;
    uint64_t args[4];
} preempted[NR_CPUS_USED];

/* ---- what each CPU may have cached since its last full flush ---- */

static struct {
    bool readable, writable;
    uint8_t table; /* paging-structure caches: 0 or the level */
} tlb[NR_CPUS_USED][NR_FRAMES];

void arch_flush_tlb_mask(uint64_t mask)
{
    uint64_t t = ++arch_tlb_clock;

    for (unsigned int i = 0; i < NR_CPUS_USED; i++)
        if (mask >> i & 1) {
            memset(tlb[i], 0, sizeof(tlb[i]));
            arch_pcpu(i)->tlb_flush_time = t;
        }
}
void arch_flush_tlb_local(void) { arch_flush_tlb_mask(1ULL << fake_pcpu->id); }
void arch_vcpu_roots_changed(struct vcpu *v)
{
    if (v == current)
        arch_flush_tlb_local();
}

static uint64_t type_of(uint64_t mfn) { return frame_table[mfn].type_info; }
static pte_t *table(uint64_t mfn) { return mfn_to_virt(_mfn(mfn)); }
static bool is_table(uint64_t mfn, unsigned int type)
{
    return PGT_TYPE(type_of(mfn)) == type && (type_of(mfn) & PGT_VALID);
}

/* The vCPU walks to va, as hardware does, from what it has loaded. */
static void touch(uint64_t va, bool write)
{
    unsigned int cpu = fake_pcpu->id;
    uint64_t mfn = arch_vcpu_root(current) >> PAGE_SHIFT;
    bool rw = true;

    if (mfn == 0 || (va >= HV_VIRT_START && va < HV_VIRT_END))
        return;
    for (unsigned int level = 4; level >= 1; level--) {
        pte_t *p = &table(mfn)[pt_index(va, level)];

        BUG_ON(!is_table(mfn, level));
        tlb[cpu][mfn].table = (uint8_t)level;
        rw = rw && (*p & PTE_RW);
        if (!(*p & PTE_P) || (level == 1 && write && !rw))
            return;
        *p |= PTE_A | (level == 1 && write ? PTE_D : 0);
        mfn = pte_mfn(*p);
    }
    if (mfn >= NR_FRAMES)
        return;
    tlb[cpu][mfn].readable = true;
    tlb[cpu][mfn].writable |= rw;
}

/* No CPU can still write to a table, walk what is none, or see what is not the guest's. */
static void check_tlb(unsigned int cpu, uint64_t m)
{
    uint64_t x = type_of(m), c = frame_table[m].count_info;

    BUG_ON(tlb[cpu][m].writable && (x & (PGT_VALID | PGT_PARTIAL)) && PGT_TYPE(x) != PGT_WRITABLE);
    BUG_ON(tlb[cpu][m].table && (x & PGT_VALID) && PGT_TYPE(x) != tlb[cpu][m].table);
    BUG_ON((tlb[cpu][m].readable || tlb[cpu][m].writable || tlb[cpu][m].table) && PGC_COUNT(c) &&
           PGC_OWNER(c) != d->domain_id);
}

/* What no entry may say, beyond what the audit knows. */
static void check_entry(unsigned int type, unsigned int i, pte_t e)
{
    uint64_t speculated = e & PTE_ADDR_MASK & ((1ULL << arch_paddr_bits) - 1);

    if (type == PGT_L4 && i >= HV_FIRST_SLOT && i <= HV_LAST_SLOT)
        return;
    if (!(e & PTE_P)) {
        BUG_ON(arch_l1tf_affected && speculated && speculated < NR_FRAMES << PAGE_SHIFT);
        return;
    }
    BUG_ON((e & PTE_RW) && pte_mfn(e) == RO_MFN);
    BUG_ON(pte_mfn(e) >= NR_FRAMES &&
           (type != PGT_L1 || !d->iomem.nr || pte_mfn(e) - MMIO_MFN > 1));
}

static void check(void)
{
    BUG_ON(paging_audit());
    BUG_ON(fake_locks_held() || !arch_irq_enabled());
    for (unsigned int cpu = 0; cpu < NR_CPUS_USED; cpu++)
        for (uint64_t m = 1; m < NR_FRAMES; m++)
            check_tlb(cpu, m);
    for (uint64_t m = 1; m < NR_FRAMES; m++)
        for (unsigned int type = PGT_L1; type <= PGT_L4; type++)
            for (unsigned int i = 0; is_table(m, type) && i < PTES_PER_TABLE; i++)
                check_entry(type, i, table(m)[i]);
    BUG_ON(memcmp(table(their_page), not_the_guests, PAGE_SIZE) != 0);
    BUG_ON(memcmp(table(hv_page), not_the_guests, PAGE_SIZE) != 0);
}

/* ---- the beginning and the end ---- */

static uint64_t page_of(struct domain *x)
{
    mfn_t m;

    BUG_ON(domain_alloc_pages(x, 0, 0, &m));
    return mfn_x(m);
}

static uint64_t page_of_hv(void)
{
    mfn_t m = heap_alloc(0, 0);

    memcpy(mfn_to_virt(m), not_the_guests, PAGE_SIZE);
    return mfn_x(m);
}

static void machine_create(void)
{
    memset(not_the_guests, 0x5c, sizeof(not_the_guests));
    fake_ram_create(NR_FRAMES);
    heap_add_ram(0, NR_FRAMES * PAGE_SIZE);
    heap_free_range(PAGE_SIZE, NR_FRAMES * PAGE_SIZE);
}

static void setup(uint8_t flags)
{
    fake_reset(NR_CPUS_USED);
    d = fake_domain(1, NR_CPUS_USED);
    other = fake_domain(2, 1);
    d->next = other;
    domain_list = d;
    d->dirty_cpus = (1 << NR_CPUS_USED) - 1;
    for (unsigned int i = 0; i < NR_CPUS_USED; i++) {
        d->vcpu[i]->processor = d->vcpu[i]->arch.last_cpu = i;
        fake_cpu(i);
        fake_current(d->vcpu[i]);
    }
    arch_flush_tlb_mask(d->dirty_cpus);
    memset(preempted, 0, sizeof(preempted));
    nr_req = nr_op = 0;
    fake_guest_map(req, sizeof(req), FAKE_READ_WRITE);
    fake_guest_map(op, sizeof(op), FAKE_READ_WRITE);
    fake_guest_map(&done_out, sizeof(done_out), FAKE_READ_WRITE);
    fake_guest_map(&vcpu_bitmap, sizeof(vcpu_bitmap), FAKE_READ_ONLY);
    for (unsigned int i = 0; i < NR_OWN; i++)
        own[i] = page_of(d);
    hv_page = page_of_hv();
    shared_page = mfn_x(heap_alloc(0, 0));
    page_share(_mfn(shared_page), d->domain_id);
    their_page = page_of(other);
    memcpy(table(their_page), not_the_guests, PAGE_SIZE);
    if (flags & F_MMIO) {
        d->iomem.nr = d->iomem_ro.nr = 1;
        d->iomem.of[0] = (struct range){ MMIO_MFN, MMIO_MFN + 1 };
        d->iomem_ro.of[0] = (struct range){ RO_MFN, RO_MFN };
    }
    arch_l1tf_affected = flags & F_L1TF;
}

static void info_release(struct vcpu *v)
{
    if (mfn_x(v->info_mfn) != mfn_x(INVALID_MFN))
        page_put_writable(v->info_mfn);
    v->info_mfn = INVALID_MFN;
}

static void die(struct domain *x)
{
    unsigned int n = 0;
    struct vcpu *v;

    x->is_dying = true;
    for_each_vcpu (x, v)
        info_release(v);
    while (paging_relinquish(x))
        BUG_ON(n++ > 100000);
    while (domain_relinquish_pages(x))
        BUG_ON(n++ > 100000);
    BUG_ON(x->nr_pages || x->dead_tables || x->nr_mapped_uncached);
}

static void teardown(uint8_t flags, uint64_t all_free)
{
    fake_fail_copy(0);
    fake_preempt_every = flags & F_PREEMPT_DEATH ? 2 : 0;
    fake_cpu(0);
    die(d);
    die(other);
    page_share(_mfn(shared_page), DOMID_INVALID);
    page_put(mfn_to_page(_mfn(shared_page)));
    heap_free(_mfn(hv_page), 0);
    BUG_ON(paging_audit() || heap_audit());
    BUG_ON(heap_free_pages() != all_free || fake_locks_held());
    domain_list = NULL;
    fake_domain_free(d);
    fake_domain_free(other);
}

/* ---- operands ---- */

static uint64_t frame_of(uint8_t b)
{
    switch (b) {
    case 0xf0: return hv_page;
    case 0xf1: return their_page;
    case 0xf2: return shared_page;
    case 0xf3: return MMIO_MFN;
    case 0xf4: return RO_MFN;
    case 0xf5: return MMIO_MFN + 2;
    case 0xf6: return NR_FRAMES;
    case 0xf7: return ~0ULL >> PAGE_SHIFT;
    case 0xf8: return 0;
    case 0xf9: return ~0ULL;
    default: return own[b % NR_OWN];
    }
}

static unsigned int index_of(uint8_t b)
{
    static const uint16_t some[] = { 0, 1, 255, 256, 271, 272, 510, 511 };

    return some[b % ARRAY_SIZE(some)];
}

static pte_t entry_of(const uint8_t *s)
{
    pte_t e = pte_make(frame_of(s[0]) & (PTE_ADDR_MASK >> PAGE_SHIFT), s[1] & 0x7f);

    return s[1] & 0x80 ? e ^ 1ULL << (s[2] & 63) : e;
}

static uint64_t va_of(uint8_t a, uint8_t b)
{
    uint64_t va = (uint64_t)index_of(a & 7) << 39 | (uint64_t)index_of(a >> 3 & 1) << 30 |
                  (uint64_t)index_of(a >> 4 & 1) << 21 | (uint64_t)index_of(b & 7) << 12 |
                  (b & 0x38) >> 3;

    return b & 0x80 ? va : (uint64_t)((int64_t)(va << 16) >> 16);
}

/* ---- steps ---- */

static void remember(long rc)
{
    unsigned int cpu = fake_pcpu->id;

    preempted[cpu].nr = rc == -ERESTART ? fake_calling : 0;
    memcpy(preempted[cpu].args, fake_continued_args, sizeof(preempted[cpu].args));
}

static uint64_t foreign(uint8_t b)
{
    static const uint32_t some[] = { DOMID_SELF, DOMID_IO, DOMID_XEN, 2u << 16 | DOMID_SELF, 1 };

    return some[b % 16 < ARRAY_SIZE(some) ? b % 16 : 0];
}

/* The guest writes to memory of its own that it could have mapped: no table. */
static void scribble(const uint8_t *s)
{
    uint64_t m = own[s[0] % NR_OWN], x = type_of(m);

    if (!(x & PGT_IN_USE) || is_table(m, PGT_WRITABLE))
        table(m)[index_of(s[1])] = entry_of(s + 2);
}

static void queue_update(const uint8_t *s)
{
    if (nr_req < LIST_MAX)
        req[nr_req++] = (struct mmu_update){ .ptr = (frame_of(s[0]) << PAGE_SHIFT) +
                                                    index_of(s[1]) * 8 + (s[1] >> 3 & 7),
                                             .val = entry_of(s + 2) };
}

static void queue_op(const uint8_t *s)
{
    static const uint8_t cmds[] = {
        MMUEXT_PIN_L1_TABLE,     MMUEXT_PIN_L2_TABLE,    MMUEXT_PIN_L3_TABLE,
        MMUEXT_PIN_L4_TABLE,     MMUEXT_UNPIN_TABLE,     MMUEXT_NEW_BASEPTR,
        MMUEXT_NEW_USER_BASEPTR, MMUEXT_SET_LDT,         MMUEXT_CLEAR_PAGE,
        MMUEXT_COPY_PAGE,        MMUEXT_TLB_FLUSH_LOCAL, MMUEXT_INVLPG_LOCAL,
        MMUEXT_TLB_FLUSH_MULTI,  MMUEXT_INVLPG_MULTI,    MMUEXT_TLB_FLUSH_ALL,
        MMUEXT_INVLPG_ALL,       MMUEXT_FLUSH_CACHE,     MMUEXT_FLUSH_CACHE_GLOBAL,
        MMUEXT_MARK_SUPER,       MMUEXT_UNMARK_SUPER,    99
    };
    struct mmuext_op *o = &op[nr_op];

    if (nr_op == LIST_MAX)
        return;
    nr_op++;
    o->cmd = cmds[s[0] % ARRAY_SIZE(cmds)];
    o->arg1.mfn = frame_of(s[1]);
    o->arg2.src_mfn = frame_of(s[2]);
    if (o->cmd == MMUEXT_SET_LDT || o->cmd == MMUEXT_INVLPG_LOCAL || o->cmd == MMUEXT_INVLPG_ALL ||
        o->cmd == MMUEXT_INVLPG_MULTI) {
        o->arg1.linear_addr = va_of(s[1], s[2]);
        o->arg2.nr_ents = s[3] * 64u;
    }
    if (o->cmd == MMUEXT_TLB_FLUSH_MULTI || o->cmd == MMUEXT_INVLPG_MULTI) {
        vcpu_bitmap = s[3];
        set_xen_guest_handle(o->arg2.vcpumask, s[4] & 1 ? NULL : (void *)&vcpu_bitmap);
    }
}

/* A page fault by a store to va, with one of the instructions that kernels use for tables. */
static void fault(const uint8_t *s)
{
    static const char *const insns[] = {
        "\x48\x89\x07",             /* mov %rax, (%rdi) */
        "\x89\x07",                 /* mov %eax, (%rdi) */
        "\x48\x87\x07",             /* xchg %rax, (%rdi) */
        "\xf0\x48\x0f\xb1\x0f",     /* lock cmpxchg %rcx, (%rdi) */
        "\xf0\x80\x27\xfd",         /* lock andb $0xfd, (%rdi) */
        "\xf0\x48\x0f\xba\x2f\x01", /* lock btsq $1, (%rdi) */
        "\x66\x09\x07",             /* or %ax, (%rdi) */
        "\x48\xc7\x07\x01\x02\x03\x04",
        "\xff\x07" /* incl (%rdi), which we do not know */
    };
    static uint8_t code[32];
    struct cpu_user_regs regs = { .cs = FLAT_KERNEL_CS64, .rip = (uintptr_t)code };
    struct vcpu *v = current;

    strcpy((char *)code, insns[s[7 - 1] % ARRAY_SIZE(insns)]);
    fake_guest_map(code, sizeof(code), FAKE_READ_ONLY);
    regs.rax = entry_of(s + 2);
    regs.rcx = entry_of(s + 4);
    regs.error_code =
        PFEC_PRESENT | PFEC_USER | (s[6] & 0x80 ? 0 : PFEC_WRITE) | (s[6] & 0x40 ? PFEC_FETCH : 0);
    v->arch.kernel_mode = !(s[6] & 0x20);
    if (arch_vcpu_root(v))
        guest_page_fault(v, &regs, va_of(s[0], s[1]));
    v->arch.kernel_mode = true;
    fake_guest_unmap_all();
    fake_guest_map(req, sizeof(req), FAKE_READ_WRITE);
    fake_guest_map(op, sizeof(op), FAKE_READ_WRITE);
    fake_guest_map(&done_out, sizeof(done_out), FAKE_READ_WRITE);
    fake_guest_map(&vcpu_bitmap, sizeof(vcpu_bitmap), FAKE_READ_ONLY);
}

/* A frame goes back to the hypervisor, and another one comes. */
static void balloon(const uint8_t *s)
{
    uint64_t *m = &own[s[0] % NR_OWN];

    if ((s[1] & 1) && domain_steal_page(d, _mfn(*m))) {
        heap_free(_mfn(*m), 0);
    } else if (page_get(_mfn(*m), d)) {
        page_put_allocated(mfn_to_page(_mfn(*m)));
        page_put(mfn_to_page(_mfn(*m)));
    }
    if (s[1] & 2) { /* the hypervisor takes it */
        uint64_t old = hv_page;

        hv_page = page_of_hv();
        heap_free(_mfn(old), 0);
    }
    *m = page_of(d);
}

static void go_on(void)
{
    unsigned int cpu = fake_pcpu->id;
    const uint64_t *a = preempted[cpu].args;

    if (preempted[cpu].nr == __HYPERVISOR_mmu_update)
        remember(hc_mmu_update(a[0], a[1], a[2], a[3], 0));
    else if (preempted[cpu].nr == __HYPERVISOR_mmuext_op)
        remember(hc_mmuext_op(a[0], a[1], a[2], a[3], 0));
}

static void step(const uint8_t *s)
{
    uint64_t frames[] = { frame_of(s[1]), frame_of(s[2]), frame_of(s[4]), frame_of(s[5]) };
    const struct page_info *pg;
    uint64_t seen = 0;
    struct vcpu *v;

    fake_cpu(s[0] >> 4 & 1);
    fake_preempt_every = s[0] >> 5 & 3;
    fake_fail_copy(s[0] & 0x80 ? 1 + s[7] % 3 : 0);
    v = current;
    s++;
    switch (s[-1] & 15) {
    case 0: scribble(s); break;
    case 1: queue_update(s); break;
    case 2: queue_op(s); break;
    case 3:
        queue_update(s);
        remember(hc_mmu_update((uintptr_t)req, nr_req, s[6] & 0x80 ? 0 : (uintptr_t)&done_out,
                               foreign(s[6]), 0));
        nr_req = 0;
        break;
    case 4:
        queue_op(s);
        remember(hc_mmuext_op((uintptr_t)op, nr_op, s[6] & 0x80 ? 0 : (uintptr_t)&done_out,
                              foreign(s[6]), 0));
        nr_op = 0;
        break;
    case 5:
        vcpu_bitmap = s[5];
        hc_update_va_mapping_otherdomain(va_of(s[0], s[1]), entry_of(s + 2),
                                         s[5] & 8 ? (uintptr_t)&vcpu_bitmap | (s[5] & 3) : s[5] & 7,
                                         foreign(s[6]), 0);
        break;
    case 6:
        pg = mfn_to_page_checked(_mfn(frame_of(s[0])));
        seen = s[6] & 1 && s[0] < 0xf0 ? table(frame_of(s[0]))[index_of(s[1])] : entry_of(s + 4);
        if (pg)
            paging_emulated_write(v, pg, &table(frame_of(s[0]))[index_of(s[1])], entry_of(s + 2),
                                  s[6] & 2 ? &seen : NULL);
        break;
    case 7: fault(s); break;
    case 8: vcpu_set_gdt(v, frames, s[2] * 8u); break; /* up to 4 frames, or what is refused */
    case 9:
        desc_update(d, (frame_of(s[0]) << PAGE_SHIFT) + index_of(s[1]) * 8 + (s[1] >> 3 & 7),
                    (uint64_t)(s[2] | s[3] << 8) << 40);
        break;
    case 10: balloon(s); break;
    case 11:
        touch(va_of(s[0], s[1] & 0x7f), s[2] & 1);
        touch(va_of(s[3], s[4] & 0x7f), s[5] & 1);
        break;
    case 12: /* vcpu_info, or whatever else ring 0 writes to */
        info_release(v);
        if (s[1] & 1 && page_get_writable(d, _mfn(frame_of(s[0]))))
            v->info_mfn = _mfn(frame_of(s[0]));
        break;
    case 13: hc_update_va_mapping(va_of(s[0], s[1]), entry_of(s + 2), 0, 0, 0); break;
    default: go_on(); break;
    }
    fake_fail_copy(0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint64_t all_free;
    uint8_t flags = size ? data[0] : 0;

    if (fake_ram == NULL) {
        machine_create();
        all_free = heap_free_pages();
    }
    setup(flags);
    for (size_t at = 1; at < size && size - at >= 8; at += 8) {
        step(data + at);
        check();
    }
    teardown(flags, all_free);
    return 0;
}
