/*
 * Domains and vCPUs from creation to death. A shutdown or crash may be noticed deep inside another
 * folder with its locks held, so there only the vCPUs are stopped, without any lock but the run
 * queues'; what follows from it (halt the machine, tell the control domain) runs from a timer.
 */
#include "domain/domain.h"

#include <xen/sched.h>

#include "console/console.h"
#include "event/evtchn.h"
#include "memory/heap.h"
#include "paging/paging.h"
#include "sched/sched.h"
#include "sched/time.h"
#include "sched/timer.h"

_Static_assert((MAX_VCPUS - XEN_LEGACY_MAX_VCPUS) * sizeof(vcpu_info_t) <= PAGE_SIZE, "extra info");

/* d->death. DEAD: it has nothing any more; REAPED: nor the creation's reference. KILLING: by a CPU, now. */
enum { ALIVE, DEAD, REAPED, KILLING };

struct domain *domain_list;
struct spinlock domain_list_lock = SPINLOCK_INIT(L_DOMLIST);
struct domain *hardware_domain;
static struct domain *idle_domain; /* the owner of the idle vCPUs; not in the list */

static void shutdown_work(void *data);
static struct timer shutdown_timer = { .fn = shutdown_work }; /* on CPU 0, for all domains */

static vcpu_info_t no_info; /* of idle vCPUs: never an event */

static bool is_shut_down(struct domain *d) { return d->shutdown_code != SHUTDOWN_NONE; }

/* ---- vCPUs ---- */

/* Also when it was created in part. */
static void vcpu_destroy(struct vcpu *v)
{
    vcpu_timers_destroy(v);
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
    spin_lock(&d->lock);
    if (d->vcpu[id] == NULL)
        rc = arch_vcpu_create(v) ?: sched_vcpu_create(v) ?: (v->is_idle ? 0 : vcpu_timers_create(v));
    if (rc == 0) {
        v->info->evtchn_upcall_mask = 1;
        if (d->pause_count || is_shut_down(d))
            vcpu_pause_set(v, VPF_PAUSED);
        __atomic_store_n(&d->vcpu[id], v, __ATOMIC_SEQ_CST);
    }
    spin_unlock(&d->lock);
    if (rc)
        vcpu_destroy(v);
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
    xfree_pages(d->io_bitmap, NR_IOPORTS / 8);
    free_page(d->console_line);
    free_page(d->extra_vcpu_info);
    if (d->shared_info) {
        page_share(d->shared_info_mfn, DOMID_INVALID);
        page_put(mfn_to_page(d->shared_info_mfn));
    }
    xfree(d);
}

static struct domain *domain_alloc(domid_t id, uint32_t flags, uint32_t max_vcpus,
                                   uint64_t max_pages)
{
    struct domain *d = xmalloc(sizeof(*d));

    if (d == NULL)
        return NULL;
    d->domain_id = id;
    d->is_privileged = flags & DOMCREATE_PRIVILEGED;
    d->is_hwdom = flags & DOMCREATE_HARDWARE;
    d->max_vcpus = max_vcpus;
    d->max_pages = max_pages;
    atomic_store(&d->shutdown_code, SHUTDOWN_NONE);
    atomic_store(&d->refs, 1);
    d->lock = SPINLOCK_INIT(L_DOMAIN);
    d->page_lock = SPINLOCK_INIT(L_HEAP);
    d->mmu_lock = SPINLOCK_INIT(L_PAGE);
    d->event_lock = SPINLOCK_INIT(L_EVENT);
    return d;
}

void idle_domain_create(void)
{
    idle_domain = domain_alloc(DOMID_IDLE, 0, MAX_VCPUS, 0);
    if (idle_domain == NULL)
        panic("idle domain: out of memory");
}

/* Where in the list, which is in the order of ids, the domain stands, or would stand. */
static struct domain **list_place_locked(domid_t id)
{
    struct domain **p = &domain_list;

    while (*p && (*p)->domain_id < id)
        p = &(*p)->next;
    return p;
}

/* Let go of killed domains whose last frame others have released meanwhile. */
static void domain_reap(void)
{
    struct domain *d;

    do {
        spin_lock(&domain_list_lock);
        for (d = domain_list; d; d = d->next) {
            uint8_t was = DEAD;

            if (READ_ONCE(d->nr_pages) == 0 &&
                atomic_compare_exchange_strong(&d->death, &was, REAPED))
                break;
        }
        spin_unlock(&domain_list_lock);
        if (d) {
            spin_lock(&d->page_lock); /* let him finish who put the last frame */
            spin_unlock(&d->page_lock);
            domain_put(d);
        }
    } while (d);
}

int domain_create(domid_t id, uint32_t flags, uint32_t max_vcpus, uint64_t max_pages,
                  struct domain **out)
{
    struct domain *d, **p;
    int rc;

    if (id >= DOMID_FIRST_RESERVED || max_vcpus == 0 || max_vcpus > MAX_VCPUS)
        return -EINVAL;
    domain_reap();
    d = domain_alloc(id, flags, max_vcpus, max_pages);
    if (d == NULL)
        return -ENOMEM;
    d->pause_count = 1;
    d->shared_info = alloc_page();
    if (d->shared_info) {
        d->shared_info_mfn = virt_to_mfn(d->shared_info);
        page_share(d->shared_info_mfn, id);
        d->extra_vcpu_info = alloc_page();
    }
    rc = d->extra_vcpu_info ? evtchn_domain_create(d) : -ENOMEM;
    spin_lock(&domain_list_lock);
    p = list_place_locked(id);
    if (rc == 0 && *p && (*p)->domain_id == id)
        rc = -EEXIST;
    if (rc == 0) {
        d->next = *p;
        *p = d;
    }
    spin_unlock(&domain_list_lock);
    if (rc) {
        domain_free(d);
        return rc;
    }
    if (d->is_hwdom)
        hardware_domain = d;
    *out = d;
    return 0;
}

struct domain *domain_get_by_id(struct domain *caller, domid_t id)
{
    struct domain *d;

    if (id == DOMID_SELF)
        id = caller->domain_id;
    spin_lock(&domain_list_lock);
    d = *list_place_locked(id);
    if (d && d->domain_id != id)
        d = NULL;
    if (d)
        domain_get(d);
    spin_unlock(&domain_list_lock);
    return d;
}

/* The list is locked so that nobody finds a domain whose last reference goes. */
void domain_put(struct domain *d)
{
    uint32_t before;

    spin_lock(&domain_list_lock);
    before = atomic_fetch_sub(&d->refs, 1);
    BUG_ON(before == 0);
    if (before == 1)
        *list_place_locked(d->domain_id) = d->next;
    spin_unlock(&domain_list_lock);
    if (before == 1)
        domain_free(d);
}

/* Devices are the initial domain's, or assigned by it later: no role has them by itself. */
uint32_t role_flags(uint32_t role) { return role == ROLE_CONTROL ? DOMCREATE_PRIVILEGED : 0; }

int policy_target(const struct domain *caller, const struct domain *d)
{
    return caller == d || caller->is_privileged ? 0 : -EPERM;
}

/* ---- pause ---- */

static void domain_stop_vcpus(struct domain *d)
{
    struct vcpu *v;

    for_each_vcpu (d, v)
        vcpu_pause_set(v, VPF_PAUSED);
}

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
    if (--d->pause_count == 0 && !d->is_dying && !is_shut_down(d))
        for_each_vcpu (d, v)
            vcpu_pause_clear(v, VPF_PAUSED);
    /* A shutdown takes no lock: it either saw its flag cleared before it set it, or is seen here. */
    atomic_thread_fence(memory_order_seq_cst);
    if (is_shut_down(d))
        domain_stop_vcpus(d);
    spin_unlock(&d->lock);
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

/* From SOFTIRQ_TIMER: no lock is held. */
static void shutdown_work(void *data)
{
    if (hardware_domain && is_shut_down(hardware_domain)) {
        if (IS_DEBUG_BUILD)
            domain_audit(); /* whatever ended it, it has hurt nothing else */
        hwdom_shutdown(hardware_domain->shutdown_code);
    }
    virq_send_global(hardware_domain, VIRQ_DOM_EXC);
}

void domain_shutdown(struct domain *d, uint32_t code)
{
    uint32_t none = SHUTDOWN_NONE;

    /* the first reason counts */
    if (atomic_compare_exchange_strong(&d->shutdown_code, &none, code))
        timer_set(&shutdown_timer, arch_time_ns());
    domain_stop_vcpus(d); /* also when another CPU has not come so far yet: ours does not go on */
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

/* A port's peer may be sending till it is closed, and writes to the vcpu_info that it has found. */
static int release_vcpus(struct domain *d)
{
    struct vcpu *v;
    int rc;

    domain_pause(d); /* for ever */
    for_each_vcpu (d, v) {
        vcpu_timers_destroy(v);
        arch_vcpu_unload(v);
    }
    rc = evtchn_domain_relinquish(d);
    for_each_vcpu (d, v) {
        mfn_t m = rc ? INVALID_MFN : vcpu_info_release(v);

        if (mfn_x(m) != mfn_x(INVALID_MFN))
            page_put_writable(m);
    }
    return rc;
}

int domain_kill(struct domain *d)
{
    uint8_t was;
    int rc;

    if (d == current->domain || d == hardware_domain)
        return -EINVAL;
    was = atomic_exchange(&d->death, KILLING);
    if (was == KILLING)
        return -ERESTART;
    WRITE_ONCE(d->is_dying, true);
    /* each has little to do when it did it before */
    rc = release_vcpus(d) ?: paging_relinquish(d) ?: domain_relinquish_pages(d);
    atomic_store(&d->death, rc ? was : MAX(was, DEAD));
    if (rc)
        return rc;
    virq_send_global(hardware_domain, VIRQ_DOM_EXC);
    domain_reap();
    return 0;
}
