/*
 * Domains and vCPUs from creation to death. A shutdown or crash may be noticed deep inside another
 * folder with its locks held, so there only the vCPUs are stopped, without any lock but the run
 * queues'; what follows from it (halt the machine, tell the control domain) runs from a timer.
 */
#include "domain/domain.h"

#include <xen/domctl.h>
#include <xen/sched.h>

#include "console/console.h"
#include "event/evtchn.h"
#include "grant/grant.h"
#include "memory/heap.h"
#include "paging/paging.h"
#include "sched/sched.h"
#include "sched/time.h"
#include "sched/timer.h"

#define STOP_NS MICROSECS(50) /* a shutdown's vCPUs are looked at again after that */
_Static_assert((MAX_VCPUS - XEN_LEGACY_MAX_VCPUS) * sizeof(vcpu_info_t) <= PAGE_SIZE, "extra info");

struct domain *domain_list;
struct spinlock domain_list_lock = SPINLOCK_INIT(L_DOMLIST);
struct domain *hardware_domain;
static struct domain *idle_domain; /* the owner of the idle vCPUs; not in the list */

static struct domain *list_last; /* L_DOMLIST, as the next two */
static domid_t last_id;          /* that was chosen for a new domain */
static uint32_t nr_watchers;     /* how many may look after others: near the list's beginning */
static _Atomic uint32_t nr_dead; /* and not reaped */

static void domains_reap(void);
static void shutdown_update(struct domain *d);
static void shutdown_work(void *data);
static struct timer shutdown_timer = { .fn = shutdown_work }; /* on CPU 0, for all domains */

static vcpu_info_t no_info; /* of idle vCPUs: never an event */

static void watchdog_fired(void *data) { domain_shutdown(data, SHUTDOWN_watchdog); }

static bool is_shut_down(struct domain *d) { return d->shutdown_code != SHUTDOWN_NONE; }

/* ---- vCPUs ---- */

/* Also when it was created in part. */
static void vcpu_destroy(struct vcpu *v)
{
    vcpu_timers_kill(v);
    sched_vcpu_destroy(v);
    arch_vcpu_destroy(v);
    xfree(v);
}

int vcpu_create(struct domain *d, uint32_t id)
{
    struct vcpu *v;
    int rc = -EEXIST;

    if (id >= d->max_vcpus)
        return -EINVAL;
    v = xmalloc(sizeof(*v));
    if (v == NULL)
        return -ENOMEM;
    v->domain = d;
    v->vcpu_id = id;
    v->is_idle = d == idle_domain;
    v->info_mfn = INVALID_MFN;
    v->info = v->is_idle                  ? &no_info
              : id < XEN_LEGACY_MAX_VCPUS ? &d->shared_info->vcpu_info[id]
                                          : &d->extra_vcpu_info[id - XEN_LEGACY_MAX_VCPUS];
    atomic_store(&v->processor, v->is_idle ? id : 0);
    atomic_store(&v->pause_flags, v->is_idle ? 0 : VPF_DOWN);
    v->hard_affinity = v->soft_affinity = ~0ULL;
    sched_vcpu_init(v);
    vcpu_timers_init(v);
    spin_lock(&d->lock);
    if (d->vcpu[id] == NULL)
        rc = arch_vcpu_create(v);
    if (rc == 0) {
        v->info->evtchn_upcall_mask = 1;
        if (d->pause_count)
            vcpu_pause_set(v, VPF_PAUSED);
        __atomic_store_n(&d->vcpu[id], v, __ATOMIC_SEQ_CST);
    }
    spin_unlock(&d->lock);
    if (rc)
        vcpu_destroy(v);
    else if (is_shut_down(d)) /* which has either seen the pointer or is seen here */
        shutdown_update(d);
    return rc;
}

struct vcpu *idle_vcpu_create(uint32_t cpu)
{
    if (vcpu_create(idle_domain, cpu))
        panic("idle vCPU %u: out of memory", cpu);
    return idle_domain->vcpu[cpu];
}

/* ---- domains ---- */

static void domain_free(struct domain *d)
{
    struct vcpu *v;

    ASSERT(d->nr_pages == 0);
    for_each_vcpu (d, v)
        vcpu_destroy(v);
    evtchn_domain_destroy(d);
    grant_domain_destroy(d);
    free_page(d->console_line);
    xfree(d->cpu_policy);
    free_page(d->extra_vcpu_info);
    free_page(d->memory_map);
    if (d->shared_info) {
        page_share(d->shared_info_mfn, DOMID_INVALID);
        page_put(mfn_to_page(d->shared_info_mfn));
    }
    xfree(d);
}

static struct domain *domain_alloc(domid_t id, uint32_t max_vcpus)
{
    struct domain *d = xmalloc(sizeof(*d));

    if (d == NULL)
        return NULL;
    d->domain_id = id;
    d->page_key = page_key(id);
    d->max_vcpus = max_vcpus;
    atomic_store(&d->shutdown_code, SHUTDOWN_NONE);
    atomic_store(&d->refs, 1);
    d->lock = SPINLOCK_INIT(L_DOMAIN);
    d->page_lock = SPINLOCK_INIT(L_HEAP);
    d->mmu_lock = SPINLOCK_INIT(L_PAGE);
    d->event_lock = SPINLOCK_INIT(L_EVENT);
    for (unsigned int i = 0; i < NR_WATCHDOGS; i++)
        d->watchdogs[i] = (struct timer){ .fn = watchdog_fired, .data = d };
    return d;
}

void idle_domain_create(void)
{
    idle_domain = domain_alloc(DOMID_IDLE, MAX_VCPUS);
    if (idle_domain == NULL)
        panic("idle domain: out of memory");
}

static struct domain *find_locked(domid_t id)
{
    if (id >= DOMID_FIRST_RESERVED)
        return NULL;
    return domain_by_id[array_index_nospec(id, DOMID_FIRST_RESERVED)];
}

static bool is_watcher(const struct domain *d) { return policy_check(d, NULL, RIGHT_INFO) == 0; }

/* Most new ones are the last. */
static void list_insert_locked(struct domain *d)
{
    struct domain *prev = list_last, **at;

    while (prev && prev->domain_id > d->domain_id)
        prev = prev->prev;
    at = prev ? &prev->next : &domain_list;
    d->prev = prev;
    d->next = *at;
    *(d->next ? &d->next->prev : &list_last) = d;
    *at = domain_by_id[d->domain_id] = d;
    nr_watchers += is_watcher(d);
}

/* A number that no domain has, each later than the last one as long as there are any: 0 if none. */
static domid_t unused_id(void)
{
    uint32_t id = DOMID_FIRST_RESERVED;

    spin_lock(&domain_list_lock);
    for (int round = 0; round < 2 && id >= DOMID_FIRST_RESERVED; round++)
        for (id = round ? 1 : last_id + 1; id < DOMID_FIRST_RESERVED && domain_by_id[id];)
            id++;
    if (id < DOMID_FIRST_RESERVED)
        last_id = (domid_t)id;
    spin_unlock(&domain_list_lock);
    return id < DOMID_FIRST_RESERVED ? (domid_t)id : 0;
}

int domain_create(domid_t id, const struct xen_domctl_createdomain *config, struct domain **out)
{
    struct domain *d;
    int rc;

    if ((id >= DOMID_FIRST_RESERVED && id != DOMID_INVALID) || config->max_vcpus == 0 ||
        config->max_vcpus > MAX_VCPUS)
        return -EINVAL;
    domains_reap();
    if (id == DOMID_INVALID && (id = unused_id()) == 0)
        return -ENOMEM;
    d = domain_alloc(id, config->max_vcpus);
    if (d == NULL)
        return -ENOMEM;
    d->roles = ROLES_OF(config->ssidref);
    memcpy(d->handle, config->handle, sizeof(d->handle));
    d->max_evtchn_port = config->max_evtchn_port;
    d->weight = SCHED_WEIGHT_DEFAULT;
    d->pause_count = 1;
    d->shared_info = alloc_page();
    if (d->shared_info) {
        d->shared_info_mfn = virt_to_mfn(d->shared_info);
        page_share(d->shared_info_mfn, id);
        d->extra_vcpu_info = alloc_page();
    }
    rc = d->extra_vcpu_info ? evtchn_domain_create(d) : -ENOMEM;
    rc = rc ?: grant_domain_create(d, config->max_grant_frames, config->max_maptrack_frames);
    spin_lock(&domain_list_lock);
    if (rc == 0 && domain_by_id[id])
        rc = -EEXIST;
    if (rc == 0)
        list_insert_locked(d);
    spin_unlock(&domain_list_lock);
    if (rc) {
        domain_free(d);
        return rc;
    }
    if (hardware_domain == NULL && (d->roles & ROLE_HARDWARE)) {
        d->is_hwdom = true;
        hardware_domain = d;
    }
    (void)domain_set_tsc(d, &(struct xen_domctl_tsc_info){ .tsc_mode = TSC_MODE_DEFAULT });
    *out = d;
    return 0;
}

struct domain *domain_get_from(domid_t id)
{
    struct domain *d;

    domains_reap();
    spin_lock(&domain_list_lock);
    d = find_locked(id);
    if (d == NULL)
        for (struct domain *e = list_last; e && e->domain_id >= id; e = e->prev)
            d = e; /* most that are asked for and gone were the last */
    if (d)
        domain_get(d);
    spin_unlock(&domain_list_lock);
    return d;
}

struct domain *domain_get_by_id(struct domain *caller, domid_t id)
{
    struct domain *d;

    if (id == DOMID_SELF || id == caller->domain_id) {
        domain_get(caller);
        return caller;
    }
    spin_lock(&domain_list_lock);
    d = find_locked(id);
    if (d)
        domain_get(d);
    spin_unlock(&domain_list_lock);
    return d;
}

/* The list is locked so that nobody finds a domain whose last reference goes. */
void domain_put(struct domain *d)
{
    uint32_t before = atomic_load(&d->refs);

    while (before > 1)
        if (atomic_compare_exchange_weak(&d->refs, &before, before - 1))
            return;
    spin_lock(&domain_list_lock);
    before = atomic_fetch_sub(&d->refs, 1);
    BUG_ON(before == 0);
    if (before == 1) {
        *(d->prev ? &d->prev->next : &domain_list) = d->next;
        *(d->next ? &d->next->prev : &list_last) = d->prev;
        domain_by_id[d->domain_id] = NULL;
        nr_watchers -= is_watcher(d);
    }
    spin_unlock(&domain_list_lock);
    if (before == 1)
        domain_free(d);
}

/* ---- pause ---- */

void domain_pause(struct domain *d)
{
    struct vcpu *v;

    spin_lock(&d->lock);
    d->pause_count++;
    spin_unlock(&d->lock);
    for_each_vcpu (d, v) /* waits, so without the lock: the vCPU may want it in order to stop */
        vcpu_pause_sync(v, VPF_PAUSED);
}

void domain_unpause(struct domain *d)
{
    struct vcpu *v;

    spin_lock(&d->lock);
    BUG_ON(d->pause_count == 0);
    if (--d->pause_count == 0 && !d->is_dying)
        for_each_vcpu (d, v)
            vcpu_pause_clear(v, VPF_PAUSED);
    spin_unlock(&d->lock);
}

/* ---- devices ---- */

int domain_ranges_change(struct domain *d, struct ranges *s, uint64_t first, uint64_t last,
                         bool allow)
{
    struct range now[2 * NR_RANGES + 1] = { { first, last } };
    uint32_t n = allow;

    for (const struct range *r = s->of; r < s->of + s->nr; r++) {
        uint64_t below = MIN(r->last, first - 1), above = MAX(r->first, last + 1);

        if (r->first < first)
            now[n++] = (struct range){ r->first, below };
        if (r->last > last)
            now[n++] = (struct range){ above, r->last };
    }
    if (n > NR_RANGES)
        return -ENOMEM;
    spin_lock(&d->mmu_lock); /* who looks at MMIO has it, too */
    memcpy(s->of, now, n * sizeof(now[0]));
    s->nr = n;
    spin_unlock(&d->mmu_lock);
    return 0;
}

/* ---- shutdown and crash ---- */

noreturn void hwdom_shutdown(uint32_t code)
{
    /* by SHUTDOWN_* */
    static const char *const what[] = { "halted: halting machine", "shutdown: rebooting machine",
                                        "shutdown for an unknown reason", "crashed",
                                        "shutdown: watchdog fired" };

    arch_irq_disable();
    arch_stop_other_cpus(); /* other domains end with it */
    console_force();
    print(LOG_ERR, "Hardware Dom%u %s (reason %u)", hardware_domain->domain_id,
          what[code < ARRAY_SIZE(what) ? code : SHUTDOWN_suspend], code);
    if (code != SHUTDOWN_poweroff && code != SHUTDOWN_reboot)
        reboot_or_halt();
    console_drain();
    if (code == SHUTDOWN_poweroff)
        arch_halt_forever();
    arch_reboot();
}

/* To all who may look after others, the store and the toolstack, if they have bound it. */
static void tell_watchers(void)
{
    uint32_t left;

    spin_lock(&domain_list_lock);
    left = nr_watchers;
    for (struct domain *d = domain_list; left; d = d->next)
        if (is_watcher(d)) {
            virq_send_global(d, VIRQ_DOM_EXC);
            left--;
        }
    spin_unlock(&domain_list_lock);
}

/* A shutdown is done, and visible, when no vCPU of the domain runs any more nor will. */
static bool has_stopped(struct domain *d)
{
    struct vcpu *v;

    for_each_vcpu (d, v)
        if (!(atomic_load(&v->pause_flags) & VPF_SHUTDOWN) || atomic_load(&v->running))
            return false;
    return true;
}

/* From SOFTIRQ_TIMER: no lock is held. */
static void shutdown_work(void *data)
{
    bool again = false, tell = false;

    if (hardware_domain && is_shut_down(hardware_domain)) {
        if (IS_DEBUG_BUILD)
            domain_audit(); /* whatever ended it, it has hurt nothing else */
        hwdom_shutdown(hardware_domain->shutdown_code);
    }
    spin_lock(&domain_list_lock);
    for (struct domain *d = domain_list; d; d = d->next) {
        if (d->shutdown_told || !is_shut_down(d))
            continue;
        if (has_stopped(d)) {
            WRITE_ONCE(d->shutdown_told, true);
            tell = true;
        } else {
            again = true;
        }
    }
    spin_unlock(&domain_list_lock);
    if (tell)
        tell_watchers();
    if (again)
        timer_set(&shutdown_timer, arch_time_ns() + STOP_NS);
}

/*
 * Let d's vCPUs stand or go as its shutdown_code says, which changes without a lock. Who changed it
 * comes here afterwards, and whoever was at it then sees that before he leaves.
 */
static void shutdown_update(struct domain *d)
{
    struct vcpu *v;
    bool stop;

    do {
        stop = is_shut_down(d);
        for_each_vcpu (d, v)
            (stop ? vcpu_pause_set : vcpu_pause_clear)(v, VPF_SHUTDOWN);
        atomic_thread_fence(memory_order_seq_cst);
    } while (stop != is_shut_down(d));
}

void domain_shutdown(struct domain *d, uint32_t code)
{
    uint32_t none = SHUTDOWN_NONE;

    /* the first reason counts */
    if (atomic_compare_exchange_strong(&d->shutdown_code, &none, code))
        timer_set(&shutdown_timer, arch_time_ns());
    shutdown_update(d); /* also when another CPU has not come so far yet: ours does not go on */
}

void domain_resume(struct domain *d)
{
    domain_pause(d);              /* no vCPU of it is in domain_shutdown() any more */
    spin_lock(&domain_list_lock); /* as a CPU may be about to tell of it */
    WRITE_ONCE(d->shutdown_told, false);
    atomic_store(&d->shutdown_code, SHUTDOWN_NONE);
    spin_unlock(&domain_list_lock);
    shutdown_update(d);
    domain_unpause(d);
}

long domain_watchdog(struct domain *d, uint32_t id, uint32_t timeout_s)
{
    uint32_t i = id ? (uint32_t)array_index_nospec(id - 1, NR_WATCHDOGS) : 0;
    long rc = 0;

    if (id > NR_WATCHDOGS || (id == 0 && timeout_s == 0))
        return -EINVAL;
    spin_lock(&d->lock);
    while (id == 0 && i < NR_WATCHDOGS && d->watchdog_in_use[i])
        i++;
    if (i == NR_WATCHDOGS) {
        rc = -ENOSPC;
    } else if (id && !d->watchdog_in_use[i]) {
        rc = -EINVAL;
    } else { /* one that has fired stays in use */
        d->watchdog_in_use[i] = timeout_s != 0;
        timer_set(&d->watchdogs[i], timeout_s ? arch_time_ns() + SECONDS(timeout_s) : 0);
    }
    spin_unlock(&d->lock);
    return rc == 0 && id == 0 ? i + 1 : rc;
}

void domain_crash(struct domain *d, const char *fmt, ...)
{
    char why[160];
    va_list ap;

    va_start(ap, fmt);
    xl_vsnprintf(why, sizeof(why), fmt, ap);
    va_end(ap);
    if (d == idle_domain)
        panic("idle domain: %s", why);
    if (!is_shut_down(d)) {
        print(d->is_hwdom ? LOG_ERR : LOG_ERR | LOG_GUEST, "d%u crashed: %s", d->domain_id, why);
        if (current->domain == d && d->is_privileged)
            arch_print_regs(arch_guest_regs());
    }
    domain_shutdown(d, SHUTDOWN_crash);
}

/* ---- death ---- */

/* For good: it runs no more, nor does a timer of its. */
static int stop_for_ever(struct domain *d)
{
    struct vcpu *v;

    spin_lock(&d->lock); /* whoever unpauses it has done so, or sees that it dies */
    spin_unlock(&d->lock);
    for_each_vcpu (d, v)
        vcpu_pause_sync(v, VPF_PAUSED);
    for_each_vcpu (d, v) {
        vcpu_timers_kill(v);
        arch_vcpu_unload(v);
    }
    for (unsigned int i = 0; i < NR_WATCHDOGS; i++)
        timer_kill(&d->watchdogs[i]);
    return 0;
}

/* A port's peer may be sending till it is closed, and writes to the vcpu_info that it has found. */
static int release_vcpu_infos(struct domain *d)
{
    struct vcpu *v;

    for_each_vcpu (d, v) {
        mfn_t m = vcpu_info_release(v);

        if (mfn_x(m) != mfn_x(INVALID_MFN))
            page_put_writable(m);
    }
    return 0;
}

/* In this order; d->death is the one to be done next. Each says -ERESTART to be called again. */
static int (*const death_steps[])(struct domain *d) = {
    stop_for_ever,     evtchn_domain_relinquish, release_vcpu_infos,
    paging_relinquish, grant_domain_relinquish,  domain_relinquish_pages,
};
#define DEAD ARRAY_SIZE(death_steps) /* it has nothing any more */
#define REAPED (DEAD + 1)            /* nor the creation's reference */

/* Is d dead, and have others released its last frame meanwhile? Then the creation's reference goes. */
static bool reap(struct domain *d)
{
    uint8_t was = DEAD;
    bool gone = READ_ONCE(d->nr_pages) == 0 && !grant_is_mapped(d) &&
                atomic_compare_exchange_strong(&d->death, &was, REAPED);

    nr_dead -= gone;
    return gone;
}

static void let_go(struct domain *d)
{
    spin_lock(&d->page_lock); /* let him finish who put the last frame */
    spin_unlock(&d->page_lock);
    domain_put(d);
    tell_watchers();
}

static void domains_reap(void)
{
    while (nr_dead) {
        struct domain *d;

        spin_lock(&domain_list_lock);
        for (d = domain_list; d && !reap(d);)
            d = d->next;
        spin_unlock(&domain_list_lock);
        if (d == NULL)
            break;
        let_go(d);
    }
}

bool domain_is_dead(const struct domain *d) { return atomic_load(&d->death) >= DEAD; }

int domain_kill(struct domain *d)
{
    unsigned int step = atomic_load(&d->death);
    int rc;

    if (d == current->domain || d == hardware_domain)
        return -EINVAL;
    WRITE_ONCE(d->is_dying, true);
    for (; step < DEAD; step++) {
        rc = death_steps[step](d);
        if (rc)
            return rc;
        nr_dead += step + 1 == DEAD; /* before it may be reaped */
        atomic_store(&d->death, (uint8_t)(step + 1));
        if (step + 1 == DEAD)
            tell_watchers();
    }
    if (reap(d))
        let_go(d);
    return 0;
}
