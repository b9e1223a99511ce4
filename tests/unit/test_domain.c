/*
 * domain/: references, pauses, shutdown reactions and death. The heap is the real one; scheduler,
 * event channels, interrupts and paging only count.
 */
#include <CUnit/Basic.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "fake.h"

#include <xen/domctl.h>
#include <xen/sched.h>

#include "console/console.h"
#include "domain/domain.h"
#include "event/evtchn.h"
#include "irq/irq.h"
#include "lib/cmdline.h"
#include "lib/errno.h"
#include "memory/heap.h"
#include "paging/paging.h"
#include "sched/sched.h"
#include "sched/time.h"
#include "sched/timer.h"

#define RAM_FRAMES 4096u

static unsigned int nr_sched, nr_arch, nr_evtchn; /* created minus destroyed */
static unsigned int calls, fail_at;               /* the fail_at-th creation of a part fails */
static unsigned int evtchn_left, paging_left;     /* -ERESTART so often */
static int on_pause_clear_crash;
static struct timer *armed;
static uint64_t free_at_start;

static int part(unsigned int *count)
{
    if (++calls == fail_at)
        return -ENOMEM;
    ++*count;
    return 0;
}

/* A vCPU may be destroyed when only some of its parts exist: each knows by its pointer. */
static int vcpu_part(unsigned int *count, void *field)
{
    int rc = part(count);

    if (rc == 0)
        memcpy(field, &count, sizeof(count));
    return rc;
}
static void vcpu_part_destroy(unsigned int *count, void *field)
{
    void *made;

    memcpy(&made, field, sizeof(made));
    *count -= made != NULL;
    memset(field, 0, sizeof(made));
}
int arch_vcpu_create(struct vcpu *v) { return vcpu_part(&nr_arch, &v->arch.traps); }
void arch_vcpu_destroy(struct vcpu *v) { vcpu_part_destroy(&nr_arch, &v->arch.traps); }
void sched_vcpu_init(struct vcpu *v) { nr_sched++; }
void sched_vcpu_destroy(struct vcpu *v)
{
    nr_sched--;
    CU_ASSERT(v->virq_timer.dead);
}
void vcpu_timers_init(struct vcpu *v) {}
void vcpu_timers_kill(struct vcpu *v) { v->virq_timer.dead = true; }
int evtchn_domain_create(struct domain *d)
{
    d->evtchn = (void *)d;
    return part(&nr_evtchn) ? (d->evtchn = NULL, -ENOMEM) : 0;
}
void evtchn_domain_destroy(struct domain *d) { nr_evtchn -= d->evtchn != NULL; }
int evtchn_domain_relinquish(struct domain *d)
{
    return evtchn_left && evtchn_left-- ? -ERESTART : 0;
}
static unsigned int
    nr_unloaded; /* vCPUs that no CPU has loaded any more, of the domain that dies */
void arch_vcpu_unload(struct vcpu *v) { nr_unloaded++; }
int paging_relinquish(struct domain *d)
{
    CU_ASSERT(nr_unloaded >= d->max_vcpus ||
              d->max_vcpus < 40); /* tables may go once no CPU is there */
    return paging_left && paging_left-- ? -ERESTART : 0;
}
void vcpu_pause_set(struct vcpu *v, uint32_t f) { atomic_fetch_or(&v->pause_flags, f); }
void vcpu_pause_sync(struct vcpu *v, uint32_t f) { vcpu_pause_set(v, f); }
void vcpu_pause_clear(struct vcpu *v, uint32_t f)
{
    atomic_fetch_and(&v->pause_flags, ~f);
    if (on_pause_clear_crash) { /* another CPU, in the worst moment */
        on_pause_clear_crash = 0;
        domain_shutdown(v->domain, SHUTDOWN_crash);
        atomic_fetch_and(&v->pause_flags, ~f);
    }
}
mfn_t vcpu_info_release(struct vcpu *v)
{
    mfn_t m = v->info_mfn;

    v->info_mfn = INVALID_MFN;
    v->info = v->vcpu_id < 32 ? &v->domain->shared_info->vcpu_info[v->vcpu_id]
                              : &v->domain->extra_vcpu_info[v->vcpu_id - 32];
    return m;
}
bool page_get_writable(struct domain *d, mfn_t m) { return page_get(m, d); }
void page_put_writable(mfn_t m) { page_put(mfn_to_page(m)); }
void vcpu_set_timer(struct vcpu *v, uint64_t t) {}
void vcpu_set_poll_timer(struct vcpu *v, uint64_t t) {}
static unsigned int nr_sets;
static uint64_t armed_ns;
void timer_set(struct timer *t, uint64_t when)
{
    nr_sets++;
    armed_ns = when;
    t->expires_ns = t->dead ? 0 : when;
    if (!t->dead)
        armed = when ? t : NULL;
}
void timer_kill(struct timer *t)
{
    t->dead = true;
    if (armed == t)
        armed = NULL;
}
int domain_set_tsc(struct domain *d, const struct xen_domctl_tsc_info *info) { return 0; }
void console_drain(void) {}
void console_force(void) {}
void arch_stop_other_cpus(void) {}
void arch_backtrace(const struct cpu_user_regs *regs) {}
void debug_key_register(const struct debug_key *k);
void sched_print(void) {}
void evtchn_print(void) {}
void irq_print(void) {}
static bool others_parked;
void cpus_park(void) { others_parked = true; }
void cpus_release(void) { others_parked = false; }
unsigned int paging_audit(void)
{
    CU_ASSERT(others_parked);
    return 2;
}
unsigned int evtchn_audit(void)
{
    CU_ASSERT(others_parked);
    return 1;
}
void arch_print_regs(const struct cpu_user_regs *regs) {}

static struct {
    const struct debug_key *k[16];
    unsigned int n;
} keys;
void debug_key_register(const struct debug_key *k) { keys.k[keys.n++] = k; }

/* The end of the machine comes back to the test. */
static jmp_buf end;
enum { REBOOTED = 1, HALTED };
noreturn void arch_reboot(void) { longjmp(end, REBOOTED); }
noreturn void arch_halt_forever(void) { longjmp(end, HALTED); }
uint64_t arch_time_ns(void) { return fake_now_ns += MILLISECS(100); }

static struct domain *dom0, *guest;
static struct vcpu *idle;

/* Where a failure leaves what it says alone. */
static int create(domid_t id, uint32_t roles, uint32_t max_vcpus, uint64_t pages,
                  struct domain **out)
{
    const struct xen_domctl_createdomain config = { .ssidref = SSIDREF_OF(roles),
                                                    .max_vcpus = max_vcpus };
    struct domain *d = NULL;
    int rc = domain_create(id, &config, &d);

    CU_ASSERT((rc == 0) == (d != NULL));
    if (rc == 0) {
        d->max_pages = pages;
        *out = d;
    }
    return rc;
}

static void setup(void)
{
    fake_reset(2);
    fake_printed[0] = 0;
    if (fake_ram == NULL) {
        fake_ram_create(RAM_FRAMES);
        heap_add_ram(0, RAM_FRAMES * PAGE_SIZE);
        heap_free_range(PAGE_SIZE, RAM_FRAMES * PAGE_SIZE);
        idle_domain_create();
        fake_current(idle = idle_vcpu_create(0));
        xfree(xmalloc(16)); /* warm the size classes up */
    }
    fake_current(idle);
    nr_sched = nr_arch = nr_evtchn = calls = fail_at = 0;
    evtchn_left = paging_left = 0;
    options.noreboot = false;
    armed = NULL;
    free_at_start = heap_free_pages();
    CU_ASSERT_EQUAL_FATAL(create(0, ROLES_ALL, 2, 100, &dom0), 0);
    CU_ASSERT_EQUAL_FATAL(create(5, 0, 40, 100, &guest), 0);
    CU_ASSERT_EQUAL_FATAL(vcpu_create(dom0, 0), 0);
    for (unsigned int i = 0; i < 40; i++)
        CU_ASSERT_EQUAL_FATAL(vcpu_create(guest, i), 0);
}

static void teardown(void)
{
    if (guest) {
        while (domain_kill(guest) == -ERESTART)
            ;
    }
    hardware_domain = NULL;
    while (domain_kill(dom0) == -ERESTART)
        ;
    guest = NULL;
    CU_ASSERT_PTR_NULL(domain_list);
    CU_ASSERT_EQUAL(nr_sched + nr_arch + nr_evtchn, 0);
    CU_ASSERT_EQUAL(heap_audit(), 0);
    CU_ASSERT_EQUAL(fake_locks_held(), 0);
    CU_ASSERT(free_at_start - heap_free_pages() <= 8); /* what the small-object allocator keeps */
}

static void test_create_and_look_up(void)
{
    struct domain *d;

    setup();
    CU_ASSERT_EQUAL(create(5, 0, 1, 1, &d), -EEXIST);
    CU_ASSERT_EQUAL(create(6, 0, 0, 1, &d), -EINVAL);
    CU_ASSERT_EQUAL(create(6, 0, MAX_VCPUS + 1, 1, &d), -EINVAL);
    CU_ASSERT_EQUAL(create(DOMID_FIRST_RESERVED, 0, 1, 1, &d), -EINVAL);
    CU_ASSERT_EQUAL(vcpu_create(guest, 40), -EINVAL);
    CU_ASSERT_EQUAL(vcpu_create(guest, 3), -EEXIST);
    CU_ASSERT_PTR_EQUAL(domain_get_by_id(dom0, 5), guest);
    CU_ASSERT_PTR_EQUAL(domain_get_by_id(guest, DOMID_SELF), guest);
    CU_ASSERT_EQUAL(fake_refs(guest), 3);
    CU_ASSERT_PTR_NULL(domain_get_by_id(dom0, 6));
    CU_ASSERT_PTR_NULL(domain_get_by_id(dom0, DOMID_IDLE));
    domain_put(guest);
    domain_put(guest);
    CU_ASSERT_PTR_EQUAL(domain_list, dom0);
    CU_ASSERT_PTR_EQUAL(dom0->next, guest);
    CU_ASSERT_PTR_EQUAL(guest->vcpu[31]->info, &guest->shared_info->vcpu_info[31]);
    CU_ASSERT_PTR_EQUAL(guest->vcpu[33]->info, &guest->extra_vcpu_info[1]);
    CU_ASSERT_EQUAL(guest->vcpu[1]->info->evtchn_upcall_mask, 1);
    CU_ASSERT_EQUAL(guest->vcpu[1]->pause_flags, VPF_DOWN | VPF_PAUSED);
    teardown();
}

static void test_each_failing_allocation_leaves_nothing_behind(void)
{
    struct domain *d;
    uint64_t free_before;

    setup();
    free_before = heap_free_pages();
    for (unsigned int round = 0; round < 20; round++) {
        calls = 0, fail_at = 1;
        CU_ASSERT_EQUAL(create(9, 0, 40, 1, &d), -ENOMEM);
    }
    CU_ASSERT(free_before - heap_free_pages() <= 4); /* of small objects, kept */
    fail_at = 0;
    CU_ASSERT_EQUAL(create(9, 0, 40, 1, &d), 0);
    calls = 0, fail_at = 1;
    CU_ASSERT_EQUAL(vcpu_create(d, 7), -ENOMEM);
    CU_ASSERT_PTR_NULL(d->vcpu[7]);
    fail_at = 0;
    CU_ASSERT_EQUAL(domain_kill(d), 0);
    teardown();
}

static void test_pauses_are_counted(void)
{
    struct vcpu *v;

    setup();
    v = guest->vcpu[0];
    domain_unpause(guest);
    CU_ASSERT_EQUAL(v->pause_flags, VPF_DOWN);
    domain_pause(guest);
    domain_pause(guest);
    domain_unpause(guest);
    CU_ASSERT_EQUAL(v->pause_flags, VPF_DOWN | VPF_PAUSED);
    domain_unpause(guest);
    CU_ASSERT_EQUAL(v->pause_flags, VPF_DOWN);
    teardown();
}

static void test_a_dying_domain_is_not_set_going_by_unpause(void)
{
    setup();
    paging_left = 1;
    CU_ASSERT_EQUAL(domain_kill(guest), -ERESTART);
    domain_unpause(guest); /* the pause of create() */
    CU_ASSERT(guest->vcpu[0]->pause_flags & VPF_PAUSED);
    teardown();
}

static void test_a_domain_that_shut_down_is_not_set_going_by_unpause(void)
{
    setup();
    domain_shutdown(guest, SHUTDOWN_suspend);
    CU_ASSERT_EQUAL(guest->shutdown_code, SHUTDOWN_suspend);
    domain_unpause(guest);
    CU_ASSERT(guest->vcpu[3]->pause_flags & VPF_SHUTDOWN);
    domain_shutdown(guest, SHUTDOWN_reboot);
    CU_ASSERT_EQUAL(guest->shutdown_code, SHUTDOWN_suspend); /* the first reason counts */
    teardown();
}

static void test_crash_while_being_unpaused_stops_the_domain(void)
{
    setup();
    on_pause_clear_crash = 1;
    domain_unpause(guest);
    CU_ASSERT_EQUAL(guest->shutdown_code, SHUTDOWN_crash);
    for (unsigned int i = 0; i < 40; i++)
        CU_ASSERT(guest->vcpu[i]->pause_flags & VPF_SHUTDOWN);
    teardown();
}

static void work(void)
{
    struct timer *t = armed;

    CU_ASSERT_PTR_NOT_NULL_FATAL(t);
    armed = NULL;
    t->fn(t->data);
}

static void test_a_shutdown_is_told_to_those_who_may_look_when_all_has_stopped(void)
{
    struct domain *store, *other;

    setup();
    CU_ASSERT_EQUAL(create(7, ROLE_STORE, 1, 0, &store), 0);
    CU_ASSERT_EQUAL(create(8, ROLE_HARDWARE, 1, 0, &other), 0);
    domain_unpause(guest);
    guest->vcpu[39]->running = true;
    domain_shutdown(guest, SHUTDOWN_suspend);
    fake_virqs = 0;
    work(); /* a vCPU has not left its CPU yet */
    CU_ASSERT(fake_virqs == 0 && !guest->shutdown_told);
    CU_ASSERT_EQUAL(armed_ns, fake_now_ns + MICROSECS(50));
    guest->vcpu[39]->running = false;
    guest->vcpu[0]->pause_flags = 0; /* nor has the CPU that shuts it down come to this one */
    work();
    CU_ASSERT(fake_virqs == 0 && !guest->shutdown_told);
    guest->vcpu[0]->pause_flags = VPF_SHUTDOWN;
    work();
    CU_ASSERT(guest->shutdown_told && armed == NULL);
    CU_ASSERT_EQUAL(fake_virqs, 2); /* dom0 and the store */
    CU_ASSERT_EQUAL(fake_last_virq, VIRQ_DOM_EXC);
    domain_shutdown(guest, SHUTDOWN_reboot);
    CU_ASSERT_PTR_NULL(armed); /* once */
    fake_virqs = 0;
    CU_ASSERT_EQUAL(domain_kill(guest), 0);
    CU_ASSERT_EQUAL(fake_virqs, 4); /* it is dead; its id is free */
    guest = NULL;
    CU_ASSERT_EQUAL(domain_kill(store), 0);
    CU_ASSERT_EQUAL(domain_kill(other), 0);
    teardown();
}

static void test_a_vcpu_made_after_the_shutdown_does_not_run(void)
{
    struct domain *d;

    setup();
    CU_ASSERT_EQUAL(create(7, 0, 2, 0, &d), 0);
    CU_ASSERT_EQUAL(vcpu_create(d, 0), 0);
    domain_shutdown(d, SHUTDOWN_reboot);
    CU_ASSERT_EQUAL(vcpu_create(d, 1), 0);
    CU_ASSERT(d->vcpu[1]->pause_flags & VPF_SHUTDOWN);
    CU_ASSERT_EQUAL(domain_kill(d), 0);
    teardown();
}

static void test_resume_lets_it_go_on_as_often_as_it_suspends(void)
{
    setup();
    domain_unpause(guest);
    for (unsigned int i = 0; i < 3; i++) {
        domain_shutdown(guest, SHUTDOWN_suspend);
        work();
        CU_ASSERT(guest->shutdown_told);
        domain_resume(guest);
        CU_ASSERT(!guest->shutdown_told && guest->shutdown_code == SHUTDOWN_NONE);
        CU_ASSERT_EQUAL(guest->vcpu[3]->pause_flags, VPF_DOWN);
    }
    domain_resume(guest); /* of what is not shut down */
    CU_ASSERT_EQUAL(guest->vcpu[3]->pause_flags, VPF_DOWN);
    domain_pause(guest);
    domain_shutdown(guest, SHUTDOWN_suspend);
    domain_resume(guest);
    CU_ASSERT_EQUAL(guest->vcpu[3]->pause_flags, VPF_DOWN | VPF_PAUSED);
    domain_shutdown(guest, SHUTDOWN_suspend);
    on_pause_clear_crash = 1; /* in the middle of the resumption it crashes */
    domain_resume(guest);
    CU_ASSERT_EQUAL(guest->shutdown_code, SHUTDOWN_crash);
    for (unsigned int i = 0; i < 40; i++)
        CU_ASSERT(guest->vcpu[i]->pause_flags & VPF_SHUTDOWN);
    teardown();
}

static void test_watchdogs(void)
{
    struct timer *first;
    uint64_t sets;

    setup();
    CU_ASSERT_EQUAL(domain_watchdog(guest, 0, 0), -EINVAL);
    CU_ASSERT_EQUAL(domain_watchdog(guest, 1, 5), -EINVAL); /* there is none yet */
    CU_ASSERT_EQUAL(domain_watchdog(guest, 3, 5), -EINVAL);
    CU_ASSERT_EQUAL(domain_watchdog(guest, ~0u, 5), -EINVAL);
    CU_ASSERT_EQUAL(domain_watchdog(guest, 0, 30), 1);
    CU_ASSERT_EQUAL(armed_ns, fake_now_ns + SECONDS(30));
    first = armed;
    CU_ASSERT_EQUAL(domain_watchdog(guest, 0, ~0u), 2);
    CU_ASSERT(armed != first && armed_ns == fake_now_ns + SECONDS(0xffffffffULL));
    CU_ASSERT_EQUAL(domain_watchdog(guest, 0, 30), -ENOSPC);
    CU_ASSERT_EQUAL(domain_watchdog(guest, 1, 60), 0);
    CU_ASSERT(armed == first && armed_ns == fake_now_ns + SECONDS(60));
    CU_ASSERT_EQUAL(domain_watchdog(guest, 1, 0), 0);
    CU_ASSERT_PTR_NULL(armed);
    CU_ASSERT_EQUAL(domain_watchdog(guest, 1, 60), -EINVAL);
    CU_ASSERT_EQUAL(domain_watchdog(guest, 0, 30), 1);
    work();
    CU_ASSERT_EQUAL(guest->shutdown_code, SHUTDOWN_watchdog);
    domain_resume(guest); /* the daemon in it goes on with the number that it had */
    CU_ASSERT_EQUAL(domain_watchdog(guest, 1, 60), 0);
    CU_ASSERT_EQUAL(domain_watchdog(guest, 0, 60), -ENOSPC);
    domain_shutdown(guest, SHUTDOWN_poweroff);
    sets = nr_sets;
    CU_ASSERT_EQUAL(domain_kill(guest), 0); /* of the second one, too, nothing is left */
    CU_ASSERT_EQUAL(nr_sets, sets);
    guest = NULL;
    teardown();
}

static void test_free_ids_are_found(void)
{
    struct domain *d[4];

    setup();
    for (unsigned int i = 0; i < 4; i++) /* 5 is taken */
        CU_ASSERT_EQUAL(create(DOMID_INVALID, 0, 1, 0, &d[i]), 0);
    CU_ASSERT(d[1]->domain_id == d[0]->domain_id + 1 && d[3]->domain_id == d[0]->domain_id + 3);
    for (unsigned int i = 0; i < 4; i++)
        CU_ASSERT_EQUAL(domain_kill(d[i]), 0);
    CU_ASSERT_EQUAL(create(DOMID_FIRST_RESERVED - 1, 0, 1, 0, &d[0]), 0);
    for (unsigned int i = 0; i < DOMID_FIRST_RESERVED; i++) { /* all the way around */
        CU_ASSERT_EQUAL_FATAL(create(DOMID_INVALID, 0, 1, 0, &d[1]), 0);
        CU_ASSERT(d[1]->domain_id != 0 && d[1]->domain_id != 5 &&
                  d[1]->domain_id < DOMID_FIRST_RESERVED - 1);
        CU_ASSERT_EQUAL(domain_kill(d[1]), 0);
    }
    CU_ASSERT_EQUAL(domain_kill(d[0]), 0);
    teardown();
}

static void test_crash_tells_why_once_and_may_hold_locks(void)
{
    unsigned long flags;

    setup();
    spin_lock(&guest->mmu_lock);
    flags = spin_lock_irqsave(&guest->event_lock);
    domain_crash(guest, "bad thing %u", 42);
    domain_crash(guest, "another");
    spin_unlock_irqrestore(&guest->event_lock, flags);
    spin_unlock(&guest->mmu_lock);
    CU_ASSERT_PTR_NOT_NULL(strstr(fake_printed, "d5 crashed: bad thing 42"));
    CU_ASSERT_PTR_NULL(strstr(fake_printed, "another"));
    CU_ASSERT_EQUAL(guest->shutdown_code, SHUTDOWN_crash);
    /* the caller does not go on as a guest, though another CPU was first and has not stopped it yet */
    guest->vcpu[1]->pause_flags = 0;
    domain_crash(guest, "third");
    CU_ASSERT(guest->vcpu[1]->pause_flags & VPF_SHUTDOWN);
    CU_ASSERT_PTR_NULL(strstr(fake_printed, "third"));
    teardown();
}

static void expect_end(uint32_t code, bool noreboot, int how, const char *says)
{
    int got = setjmp(end);

    if (got == 0) {
        fake_printed[0] = 0;
        options.noreboot = noreboot;
        hwdom_shutdown(code);
    }
    CU_ASSERT_EQUAL(got, how);
    CU_ASSERT_PTR_NOT_NULL(strstr(fake_printed, says));
}

static void test_shutdown_of_the_hardware_domain_ends_the_machine(void)
{
    setup();
    expect_end(SHUTDOWN_poweroff, false, HALTED, "Hardware Dom0 halted: halting machine");
    expect_end(SHUTDOWN_poweroff, true, HALTED, "halting machine");
    expect_end(SHUTDOWN_reboot, false, REBOOTED, "Hardware Dom0 shutdown: rebooting machine");
    expect_end(SHUTDOWN_reboot, true, REBOOTED, "rebooting machine");
    expect_end(SHUTDOWN_crash, false, REBOOTED, "rebooting machine in 5 seconds");
    expect_end(SHUTDOWN_crash, true, HALTED, "'noreboot' set - not rebooting");
    expect_end(SHUTDOWN_watchdog, false, REBOOTED, "watchdog");
    expect_end(SHUTDOWN_watchdog, true, HALTED, "not rebooting");
    expect_end(SHUTDOWN_suspend, false, REBOOTED, "unknown reason (reason 2)");
    if (setjmp(end) == 0) { /* and so from a hypercall */
        domain_shutdown(dom0, SHUTDOWN_reboot);
        armed->fn(armed->data);
        CU_FAIL("the machine went on");
    }
    teardown();
}

static void test_death_is_preemptible_and_takes_everything(void)
{
    mfn_t m;
    unsigned int n = 0;

    setup();
    for (unsigned int i = 0; i < 100; i++)
        CU_ASSERT_EQUAL(domain_alloc_pages(guest, 0, 0, &m), 0);
    CU_ASSERT(page_get_writable(guest, m));
    guest->vcpu[2]->info_mfn = m;
    evtchn_left = 2, paging_left = 3;
    nr_unloaded = 0;
    fake_preempt_every = 1;
    fake_current(dom0->vcpu[0]);
    CU_ASSERT_EQUAL(domain_kill(dom0), -EINVAL);
    domain_get(guest);
    while (domain_kill(guest) == -ERESTART && n < 1000)
        n++;
    CU_ASSERT(n >= 5 + 100 / 32);
    CU_ASSERT(guest->is_dying);
    CU_ASSERT_EQUAL(guest->nr_pages, 0);
    CU_ASSERT_PTR_EQUAL(domain_list->next, guest);
    domain_put(guest);
    guest = NULL;
    CU_ASSERT_PTR_NULL(domain_list->next);
    fake_current(idle);
    teardown();
}

static void test_a_dead_domain_stays_while_others_hold_its_frames(void)
{
    mfn_t m, none;
    struct domain *d = guest;

    setup();
    d = guest;
    CU_ASSERT_EQUAL(domain_alloc_pages(d, 0, 0, &m), 0);
    CU_ASSERT(page_get(m, d) != NULL); /* dom0 maps it */
    CU_ASSERT_EQUAL(domain_kill(d), 0);
    CU_ASSERT_EQUAL(domain_kill(d), 0);
    CU_ASSERT_PTR_EQUAL(domain_get_by_id(dom0, 5), d);
    domain_put(d);
    CU_ASSERT_EQUAL(create(5, 0, 1, 1, &guest), -EEXIST);
    CU_ASSERT_EQUAL(domain_alloc_pages(d, 0, 0, &none), -ENOMEM);
    page_put(mfn_to_page(m));
    CU_ASSERT_EQUAL(create(5, 0, 1, 1, &guest), 0);
    teardown();
}

static void test_random_life(void)
{
    struct domain *held[8] = { 0 };

    setup();
    srand(3);
    for (unsigned int step = 0; step < 3000; step++) {
        domid_t id = 10 + (domid_t)(rand() % 4);
        unsigned int slot = (unsigned int)rand() % 8;
        struct domain *d;
        mfn_t m;

        fake_preempt_every = (unsigned int)rand() % 3;
        evtchn_left = (unsigned int)rand() % 2;
        calls = 0, fail_at = rand() % 4 ? 0 : (unsigned int)rand() % 6;
        switch (rand() % 6) {
        case 0:
            if (create(id, 0, 3, 50, &d) == 0)
                vcpu_create(d, (uint32_t)rand() % 4);
            break;
        case 1:
            if (held[slot] == NULL)
                held[slot] = domain_get_by_id(dom0, id);
            break;
        case 2:
            if (held[slot])
                domain_put(held[slot]);
            held[slot] = NULL;
            break;
        case 3:
            if (held[slot])
                domain_kill(held[slot]);
            break;
        case 4:
            if (held[slot])
                domain_alloc_pages(held[slot], (unsigned int)rand() % 3, 0, &m);
            break;
        default:
            if (held[slot] && rand() % 2)
                domain_shutdown(held[slot], (uint32_t)rand() % 4);
            else if (held[slot])
                domain_pause(held[slot]), domain_unpause(held[slot]);
            break;
        }
        CU_ASSERT_EQUAL_FATAL(heap_audit(), 0);
        CU_ASSERT_EQUAL_FATAL(fake_locks_held(), 0);
        for (d = domain_list; d; d = d->next) {
            CU_ASSERT_FATAL(fake_refs(d) > 0);
            CU_ASSERT_FATAL(d->next == NULL || d->next->domain_id > d->domain_id);
        }
    }
    fake_preempt_every = fail_at = 0;
    for (unsigned int i = 0; i < 8; i++)
        if (held[i])
            domain_put(held[i]);
    for (domid_t id = 10; id < 14; id++) {
        struct domain *d = domain_get_by_id(dom0, id);

        if (d) {
            while (domain_kill(d) == -ERESTART)
                ;
            domain_put(d);
        }
    }
    CU_ASSERT_PTR_EQUAL(dom0->next, guest);
    teardown();
}

static void test_debug_keys_print(void)
{
    static const char letters[] = "qdpmA";

    setup();
    keys.n = 0;
    domain_debug_keys();
    for (unsigned int i = 0; i < keys.n; i++)
        if (strchr(letters, keys.k[i]->key)) {
            fake_printed[0] = 0;
            keys.k[i]->fn();
            if (keys.k[i]->key == 'A')
                CU_ASSERT_STRING_EQUAL(fake_printed, "audit: 3 errors");
            if (keys.k[i]->key == 'q')
                CU_ASSERT_PTR_NOT_NULL(strstr(fake_printed, "d5: 0 pages"));
            if (keys.k[i]->key == 'm') { /* as Xen's: scripts read it */
                unsigned long kb = 1;

                CU_ASSERT_EQUAL(sscanf(fake_printed, "Dom heap: %lukB free", &kb), 1);
                CU_ASSERT_EQUAL(kb % 4, 0);
                CU_ASSERT(strstr(fake_printed, "kB free") != NULL);
            }
        }
    CU_ASSERT(!others_parked);
    CU_ASSERT_EQUAL(keys.n, 10);
    teardown();
}

int main(void)
{
    unsigned int failed;

    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("domain", NULL, NULL);

    CU_ADD_TEST(s, test_create_and_look_up);
    CU_ADD_TEST(s, test_each_failing_allocation_leaves_nothing_behind);
    CU_ADD_TEST(s, test_pauses_are_counted);
    CU_ADD_TEST(s, test_a_dying_domain_is_not_set_going_by_unpause);
    CU_ADD_TEST(s, test_a_domain_that_shut_down_is_not_set_going_by_unpause);
    CU_ADD_TEST(s, test_crash_while_being_unpaused_stops_the_domain);
    CU_ADD_TEST(s, test_a_shutdown_is_told_to_those_who_may_look_when_all_has_stopped);
    CU_ADD_TEST(s, test_a_vcpu_made_after_the_shutdown_does_not_run);
    CU_ADD_TEST(s, test_resume_lets_it_go_on_as_often_as_it_suspends);
    CU_ADD_TEST(s, test_watchdogs);
    CU_ADD_TEST(s, test_free_ids_are_found);
    CU_ADD_TEST(s, test_crash_tells_why_once_and_may_hold_locks);
    CU_ADD_TEST(s, test_shutdown_of_the_hardware_domain_ends_the_machine);
    CU_ADD_TEST(s, test_death_is_preemptible_and_takes_everything);
    CU_ADD_TEST(s, test_a_dead_domain_stays_while_others_hold_its_frames);
    CU_ADD_TEST(s, test_random_life);
    CU_ADD_TEST(s, test_debug_keys_print);
    CU_basic_set_mode(CU_BRM_NORMAL);
    CU_basic_run_tests();
    failed = CU_get_number_of_failures();
    CU_cleanup_registry();
    return failed != 0;
}
