/*
 * domctl on CPUs that really run at once, a thread each: two vCPUs of the toolstack create, pause, shut
 * down, resume and destroy domains whose vCPUs run meanwhile, block, crash, and have all CPUs stand
 * still. Nobody waits for ever, who is paused or shut down does not run, and nothing is left.
 */
#include <CUnit/Basic.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "hypercall/domctl.h"

#include <xen/sched.h>

#include "domain/domain.h"
#include "emulate/emulate.h"
#include "fake.h"
#include "irq/irq.h"
#include "lib/errno.h"
#include "memory/heap.h"
#include "paging/paging.h"
#include "sched/sched.h"
#include "sched/time.h"
#include "sched/timer.h"
#include "x86/upcalls.h"

#define RAM_FRAMES 8192u
#define NR_TEST_CPUS 3u
#define NR_TOOLS 2u
#define NR_SLOTS 2u /* domains of each */
#define NR_DONE 2500u

/* ---- what is not linked ---- */

static _Thread_local unsigned int rng;
static unsigned int rnd(void) { return rng = rng * 1103515245u + 12345u, rng >> 8; }

int paging_relinquish(struct domain *d) { return rnd() % 2 ? -ERESTART : 0; }
bool page_get_writable(struct domain *d, mfn_t m) { return false; }
void page_put_writable(mfn_t m) {}
int pirq_bind_locked(struct domain *d, uint32_t pirq, evtchn_port_t port) { return -EINVAL; }
void pirq_unbind_locked(struct domain *d, uint32_t pirq, evtchn_port_t port) {}
void pirq_move_locked(struct domain *d, uint32_t pirq, evtchn_port_t port, uint32_t cpu) {}
int hypercall_page_put(struct domain *d, gfn_t g) { return 0; }
void console_drain(void) {}
void arch_print_regs(const struct cpu_user_regs *regs) {}
void domain_audit(void) {}
noreturn void arch_reboot(void) { abort(); }
noreturn void arch_halt_forever(void) { abort(); }
int vcpu_set_gdt(struct vcpu *v, const uint64_t *f, unsigned int n) { return 0; }
int vcpu_set_ldt(struct vcpu *v, uint64_t va, unsigned int n) { return 0; }
int vcpu_set_root(struct vcpu *v, mfn_t m, bool user) { return 0; }
int arch_vcpu_set_context(struct vcpu *v, const struct vcpu_guest_context *c) { return 0; }

static _Thread_local uint64_t deadline;
static void linger(void)
{
    if (rnd() % 16 == 0)
        sched_yield();
}
uint64_t arch_cpus_online(void) { return (1ULL << NR_TEST_CPUS) - 1; }
uint64_t arch_time_ns(void)
{
    struct timespec t;

    linger();
    clock_gettime(CLOCK_MONOTONIC, &t);
    return ((uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec) * 10;
}
void arch_timer_program(uint64_t ns) { deadline = ns; }
void arch_cpu_kick(uint32_t id) {} /* they look all the time */
void arch_context_switch(struct vcpu *prev, struct vcpu *next)
{
    linger();
    this_pcpu()->running = next;
}
static void relax(void) { sched_yield(); }

/* ---- the toolstack ---- */

static struct domain *dom0;
static _Atomic unsigned int nr_wrong, nr_done, nr_domains, nr_crashes, nr_parks, nr_guest_steps,
    nr_tools_ended;

static void expect(bool ok, const char *what)
{
    if (!ok && atomic_fetch_add(&nr_wrong, 1) < 10)
        fprintf(stderr, "CPU %u: not so: %s\n", this_pcpu()->id, what);
}

static struct tool {
    struct xen_domctl op;
    bool again; /* the operation was stopped half way */
    bool ended; /* all of its domains are gone */
    struct slot {
        domid_t id; /* 0: none */
        unsigned int vcpus, pauses;
    } slots[NR_SLOTS], *at;
} tools[NR_TOOLS];

/* As the hypercalls do it that give a vCPU its context. */
static void bring_up(domid_t id)
{
    struct domain *d = domain_get_by_id(dom0, id);
    struct vcpu *v;

    for_each_vcpu (d, v)
        vcpu_pause_clear(v, VPF_DOWN);
    domain_put(d);
}

static bool any_runs(domid_t id)
{
    struct domain *d = domain_get_by_id(dom0, id);
    struct vcpu *v;
    bool runs = false;

    for_each_vcpu (d, v)
        runs |= atomic_load(&v->running);
    domain_put(d);
    return runs;
}

static void wake_all(domid_t id)
{
    struct domain *d = domain_get_by_id(dom0, id);
    struct vcpu *v;

    for_each_vcpu (d, v)
        vcpu_unblock(v);
    domain_put(d);
}

static void finished(struct tool *t, long rc)
{
    struct slot *s = t->at;

    atomic_fetch_add(&nr_done, 1);
    switch (t->op.cmd) {
    case XEN_DOMCTL_createdomain:
        expect(rc == 0, "a domain can be created");
        *s = (struct slot){ .id = t->op.domain, .pauses = 1 };
        atomic_fetch_add(&nr_domains, 1);
        break;
    case XEN_DOMCTL_max_vcpus:
        expect(rc == 0, "it gets vCPUs");
        s->vcpus = t->op.u.max_vcpus.max;
        bring_up(s->id);
        break;
    case XEN_DOMCTL_pausedomain:
        expect(rc == 0, "it is paused");
        s->pauses++;
        expect(!any_runs(s->id), "who is paused does not run");
        break;
    case XEN_DOMCTL_unpausedomain:
        expect(rc == (s->pauses ? 0 : -EINVAL), "pauses are counted");
        s->pauses -= s->pauses != 0;
        break;
    case XEN_DOMCTL_getdomaininfo:
        expect(rc == 0 && t->op.domain == s->id, "it is there");
        if (t->op.u.getdomaininfo.flags & XEN_DOMINF_shutdown)
            expect(!any_runs(s->id), "who is shut down does not run");
        expect(!!(t->op.u.getdomaininfo.flags & XEN_DOMINF_paused) == !!s->pauses, "paused");
        break;
    case XEN_DOMCTL_destroydomain:
        expect(rc == 0, "it is destroyed");
        *s = (struct slot){ .id = 0 };
        break;
    default: expect(rc == 0, "all others are done"); break;
    }
}

/* How far the guests come meanwhile is the host's scheduler's choice: go on until they have, or fail. */
static bool seen_all(void)
{
    return nr_domains > 20 && nr_guest_steps > 300 && nr_crashes > 3 && nr_parks > 3;
}

static void choose(struct tool *t)
{
    static const uint32_t cmds[] = { XEN_DOMCTL_pausedomain,   XEN_DOMCTL_unpausedomain,
                                     XEN_DOMCTL_unpausedomain, XEN_DOMCTL_unpausedomain,
                                     XEN_DOMCTL_resumedomain,  XEN_DOMCTL_resumedomain,
                                     XEN_DOMCTL_getdomaininfo, XEN_DOMCTL_getdomaininfo,
                                     XEN_DOMCTL_destroydomain };
    unsigned int done = atomic_load(&nr_done);
    bool ends = done >= NR_DONE && (seen_all() || done >= 50 * NR_DONE);
    struct slot *s = t->at = &t->slots[rnd() % NR_SLOTS];

    for (unsigned int i = 0; ends && i < NR_SLOTS; i++)
        if (t->slots[i].id)
            s = t->at = &t->slots[i];
    if (ends && s->id == 0) {
        atomic_fetch_add(&nr_tools_ended, !t->ended);
        t->ended = true;
        return;
    }
    memset(&t->op, 0, sizeof(t->op));
    t->op.interface_version = XEN_DOMCTL_INTERFACE_VERSION;
    t->op.domain = s->id;
    if (s->id == 0) {
        t->op.cmd = XEN_DOMCTL_createdomain;
        t->op.u.createdomain.max_vcpus = 3;
        t->op.u.createdomain.grant_opts = 1;
    } else if (s->vcpus == 0) {
        t->op.cmd = XEN_DOMCTL_max_vcpus;
        t->op.u.max_vcpus.max = 3;
    } else {
        t->op.cmd = cmds[rnd() % ARRAY_SIZE(cmds)];
        if (t->op.cmd == XEN_DOMCTL_destroydomain && rnd() % 4)
            t->op.cmd = XEN_DOMCTL_getdomaininfo;
        if (ends)
            t->op.cmd = XEN_DOMCTL_destroydomain;
    }
}

static void tool_step(struct tool *t)
{
    long rc;

    if (!t->again) {
        choose(t);
        if (t->ended)
            return;
        if (t->at->vcpus && rnd() % 8 == 0) {
            struct domain *d = domain_get_by_id(dom0, t->at->id);

            expect(d != NULL, "it is there to be shut down");
            domain_shutdown(d, SHUTDOWN_suspend);
            domain_put(d);
        }
        if (t->at->vcpus && rnd() % 4 == 0)
            wake_all(t->at->id);
    }
    rc = hc_domctl((uint64_t)(uintptr_t)&t->op, 0, 0, 0, 0);
    t->again = rc == -ERESTART;
    if (t->again)
        sched_yield();
    else
        finished(t, rc);
}

/* ---- the domains ---- */

static void guest_step(struct vcpu *v)
{
    atomic_fetch_add(&nr_guest_steps, 1);
    expect(v->domain->domain_id != 0 && fake_refs(v->domain) > 0, "who runs is there");
    switch (rnd() % 64) {
    case 0:
        domain_shutdown(v->domain, SHUTDOWN_crash);
        atomic_fetch_add(&nr_crashes, 1);
        break;
    case 1:
    case 2:
    case 3: vcpu_block(); break;
    case 4: vcpu_yield(); break;
    case 5: /* as the audit after a crash does, from wherever it comes */
        cpus_park();
        atomic_fetch_add(&nr_parks, 1);
        cpus_release();
        break;
    default: break;
    }
}

/* ---- the CPUs ---- */

static _Atomic unsigned int nr_stopped;

static void cpu_step(void)
{
    struct vcpu *v;

    fake_irqs_on = true;
    if (deadline && deadline <= arch_time_ns())
        softirq_raise(SOFTIRQ_TIMER);
    softirq_run();
    fake_irqs_on = true;
    v = current;
    if (v->is_idle)
        sched_yield();
    else if (v->domain != dom0)
        guest_step(v);
    else
        tool_step(&tools[v->vcpu_id]);
    expect(fake_locks_held() == 0, "no lock is held");
}

static void *cpu_thread(void *arg)
{
    fake_cpu((unsigned int)(uintptr_t)arg);
    rng = (unsigned int)(uintptr_t)arg * 77 + 5;
    while (atomic_load(&nr_tools_ended) < NR_TOOLS)
        cpu_step();
    atomic_fetch_add(&nr_stopped, 1); /* others may wait for this one yet */
    while (atomic_load(&nr_stopped) < NR_TEST_CPUS)
        cpu_step();
    return NULL;
}

static void setup(void)
{
    const struct xen_domctl_createdomain config = { .ssidref = SSIDREF_OF(ROLES_ALL),
                                                    .max_vcpus = NR_TOOLS };

    fake_reset(NR_TEST_CPUS);
    fake_relax = relax;
    fake_ram_create(RAM_FRAMES);
    heap_add_ram(0, RAM_FRAMES * PAGE_SIZE);
    heap_free_range(PAGE_SIZE, RAM_FRAMES * PAGE_SIZE);
    idle_domain_create();
    for (unsigned int i = 0; i < NR_TEST_CPUS; i++) {
        fake_cpu(i);
        timers_init_cpu(i);
        sched_init_cpu(i);
        this_pcpu()->idle = this_pcpu()->running = idle_vcpu_create(i);
    }
    fake_cpu(0);
    fake_guest_map(tools, sizeof(tools), FAKE_READ_WRITE);
    CU_ASSERT_EQUAL_FATAL(domain_create(0, &config, &dom0), 0);
    for (unsigned int i = 0; i < NR_TOOLS; i++)
        CU_ASSERT_EQUAL_FATAL(vcpu_create(dom0, i), 0);
}

static void test_toolstacks_and_guests_at_once(void)
{
    pthread_t threads[NR_TEST_CPUS];
    uint64_t free_before;

    setup();
    free_before = heap_free_pages();
    bring_up(0);
    domain_unpause(dom0);
    for (unsigned int i = 0; i < NR_TEST_CPUS; i++)
        pthread_create(&threads[i], NULL, cpu_thread, (void *)(uintptr_t)i);
    for (unsigned int i = 0; i < NR_TEST_CPUS; i++)
        pthread_join(threads[i], NULL);
    fake_cpu(0);
    CU_ASSERT_EQUAL(nr_wrong, 0);
    CU_ASSERT_PTR_EQUAL(domain_list, dom0);
    CU_ASSERT_PTR_NULL(dom0->next);
    CU_ASSERT_EQUAL(fake_refs(dom0), 1);
    CU_ASSERT_EQUAL(heap_free_pages(), free_before);
    CU_ASSERT_EQUAL(heap_audit(), 0);
    printf("%u domains, %u steps of guests, %u crashes, all stood still %u times\n", nr_domains,
           nr_guest_steps, nr_crashes, nr_parks);
    CU_ASSERT(seen_all());
}

int main(void)
{
    CU_pSuite s;
    unsigned int failed;

    CU_initialize_registry();
    s = CU_add_suite("domctl_threads", NULL, NULL);
    CU_ADD_TEST(s, test_toolstacks_and_guests_at_once);
    CU_basic_set_mode(CU_BRM_NORMAL);
    CU_basic_run_tests();
    failed = CU_get_number_of_failures();
    CU_cleanup_registry();
    return failed != 0;
}
