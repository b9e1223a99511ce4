/*
 * Domains and vCPUs from creation to death. A shutdown or crash may be noticed deep inside another
 * folder with its locks held, so there only the vCPUs are stopped, without any lock but the run
 * queues'; what follows from it (halt the machine, tell the control domain) runs from a timer.
 */
#include "domain/domain.h"

#include <xen/sched.h>

#include "console/console.h"
#include "event/evtchn.h"
#include "irq/irq.h"
#include "lib/cmdline.h"
#include "memory/heap.h"
#include "paging/paging.h"
#include "sched/sched.h"
#include "sched/time.h"
#include "sched/timer.h"

#define SHUTDOWN_NONE (~0u)
#define IO_BITMAP_BYTES (NR_IOPORTS / 8)
#define EXTRA_INFO_BYTES ((MAX_VCPUS - XEN_LEGACY_MAX_VCPUS) * sizeof(vcpu_info_t))

/* What domain_kill() does, in this order; domain->relinquish_step counts what was done. */
static int stop(struct domain *d), release_vcpus(struct domain *d);
static int (*const relinquish_steps[])(struct domain *d) = { stop, evtchn_domain_relinquish,
                                                             release_vcpus, paging_relinquish,
                                                             domain_relinquish_pages };
#define RELINQUISHED ARRAY_SIZE(relinquish_steps)
#define REAPED (RELINQUISHED + 1)

struct domain *domain_list;
struct spinlock domain_list_lock = SPINLOCK_INIT(L_DOMLIST);
struct domain *hardware_domain;
struct domain *idle_domain;

static void shutdown_work(void *data);
static struct timer shutdown_timer = { .fn = shutdown_work }; /* on CPU 0, for all domains */

static vcpu_info_t no_info = { .evtchn_upcall_mask = 1 }; /* of idle vCPUs: never an event */

/* ---- vCPUs ---- */

static struct vcpu *vcpu_alloc(struct domain *d, uint32_t id)
{
    struct vcpu *v = xmalloc(sizeof(*v));

    if (v == NULL)
        return NULL;
    v->domain = d;
    v->vcpu_id = id;
    v->is_idle = d == idle_domain;
    v->info_mfn = INVALID_MFN;
    v->info = &no_info;
    atomic_store(&v->pause_flags, v->is_idle ? 0 : VPF_DOWN);
    return v;
}

/* Also when it was created in part. */
static void vcpu_destroy(struct vcpu *v)
{
    vcpu_timers_destroy(v);
    sched_vcpu_destroy(v);
    arch_vcpu_destroy(v);
    xfree(v);
}

static int vcpu_create_locked(struct domain *d, uint32_t id)
{
    struct vcpu *v = vcpu_alloc(d, id);
    int rc;

    if (v == NULL)
        return -ENOMEM;
    v->info = id < XEN_LEGACY_MAX_VCPUS ? &d->shared_info->vcpu_info[id]
                                        : &d->extra_vcpu_info[id - XEN_LEGACY_MAX_VCPUS];
    v->info->evtchn_upcall_mask = 1;
    rc = arch_vcpu_create(v) ?: sched_vcpu_create(v) ?: vcpu_timers_create(v);
    if (rc) {
        vcpu_destroy(v);
        return rc;
    }
    if (d->pause_count || d->is_shut_down)
        vcpu_pause_set(v, VPF_PAUSED);
    __atomic_store_n(&d->vcpu[id], v, __ATOMIC_SEQ_CST);
    return 0;
}

int vcpu_create(struct domain *d, uint32_t id)
{
    int rc;

    if (id >= d->max_vcpus)
        return -EINVAL;
    spin_lock(&d->lock);
    rc = d->vcpu[id] ? -EEXIST : vcpu_create_locked(d, id);
    spin_unlock(&d->lock);
    return rc;
}

struct vcpu *idle_vcpu_create(uint32_t cpu)
{
    struct vcpu *v = vcpu_alloc(idle_domain, cpu);

    if (v)
        atomic_store(&v->processor, cpu);
    if (v == NULL || arch_vcpu_create(v) || sched_vcpu_create(v))
        panic("idle vCPU %u: out of memory", cpu);
    idle_domain->vcpu[cpu] = v;
    return v;
}

/* ---- domains ---- */

static void domain_free(struct domain *d)
{
    struct vcpu *v;

    ASSERT(d->nr_pages == 0);
    for_each_vcpu (d, v)
        vcpu_destroy(v);
    if (d->irq)
        irq_domain_destroy(d);
    if (d->evtchn)
        evtchn_domain_destroy(d);
    if (d->io_bitmap)
        xfree_pages(d->io_bitmap, IO_BITMAP_BYTES);
    xfree(d->extra_vcpu_info);
    if (mfn_x(d->shared_info_mfn) != mfn_x(INVALID_MFN))
        page_unshare(d->shared_info_mfn);
    else
        free_page(d->shared_info);
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
    d->pause_count = 1;
    d->shutdown_code = SHUTDOWN_NONE;
    d->shared_info_mfn = INVALID_MFN;
    atomic_store(&d->refs, 1);
    spin_lock_init(&d->lock, L_DOMAIN);
    spin_lock_init(&d->page_lock, L_HEAP);
    spin_lock_init(&d->mmu_lock, L_PAGE);
    spin_lock_init(&d->event_lock, L_EVENT);
    return d;
}

void idle_domain_create(void)
{
    idle_domain = domain_alloc(DOMID_IDLE, 0, MAX_VCPUS, 0);
    if (idle_domain == NULL)
        panic("idle domain: out of memory");
}

/* What a domain needs beside its structure; on failure domain_free() takes back what there is. */
static int domain_alloc_parts(struct domain *d)
{
    bool extra = d->max_vcpus > XEN_LEGACY_MAX_VCPUS;

    d->shared_info = alloc_page();
    d->extra_vcpu_info = extra ? xmalloc(EXTRA_INFO_BYTES) : NULL;
    if (d->shared_info == NULL || (extra && d->extra_vcpu_info == NULL))
        return -ENOMEM;
    d->shared_info_mfn = virt_to_mfn(d->shared_info);
    page_share_with_domain(d->shared_info_mfn, d);
    return evtchn_domain_create(d) ?: irq_domain_create(d);
}

/* ---- the list, in the order of ids ---- */

/* Where the domain with this id stands, or would stand. */
static struct domain **list_place_locked(domid_t id)
{
    struct domain **p = &domain_list;

    while (*p && (*p)->domain_id < id)
        p = &(*p)->next;
    return p;
}

static int domain_list_add(struct domain *d)
{
    struct domain **p;
    bool taken;

    spin_lock(&domain_list_lock);
    p = list_place_locked(d->domain_id);
    taken = *p && (*p)->domain_id == d->domain_id;
    if (!taken) {
        d->next = *p;
        *p = d;
    }
    spin_unlock(&domain_list_lock);
    return taken ? -EEXIST : 0;
}

/* A killed domain keeps its creation reference while others hold its frames: look for such. */
void domain_reap(void)
{
    struct domain *d;

    do {
        spin_lock(&domain_list_lock);
        for (d = domain_list; d && (d->relinquish_step != RELINQUISHED || READ_ONCE(d->nr_pages));)
            d = d->next;
        if (d) {
            d->relinquish_step = REAPED;
            spin_lock(&d->page_lock); /* let him finish who put the last frame */
            spin_unlock(&d->page_lock);
        }
        spin_unlock(&domain_list_lock);
        if (d)
            domain_put(d);
    } while (d);
}

int domain_create(domid_t id, uint32_t flags, uint32_t max_vcpus, uint64_t max_pages,
                  struct domain **out)
{
    struct domain *d;
    int rc;

    if (id >= DOMID_FIRST_RESERVED || max_vcpus == 0 || max_vcpus > MAX_VCPUS)
        return -EINVAL;
    domain_reap();
    d = domain_alloc(id, flags, max_vcpus, max_pages);
    if (d == NULL)
        return -ENOMEM;
    rc = domain_alloc_parts(d) ?: domain_list_add(d);
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
    if (d && d->domain_id == id)
        domain_get(d);
    else
        d = NULL;
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
    domain_stop_vcpus(d);
    spin_unlock(&d->lock);
    for_each_vcpu (d, v) /* waits, so without the lock: the vCPU may want it in order to stop */
        vcpu_pause_sync(v, VPF_PAUSED);
}

void domain_unpause(struct domain *d)
{
    struct vcpu *v;

    spin_lock(&d->lock);
    BUG_ON(d->pause_count == 0);
    if (--d->pause_count == 0 && !d->is_dying && !READ_ONCE(d->is_shut_down))
        for_each_vcpu (d, v)
            vcpu_pause_clear(v, VPF_PAUSED);
    /* A shutdown takes no lock: it either saw its flag cleared before it set it, or is seen here. */
    atomic_thread_fence(memory_order_seq_cst);
    if (READ_ONCE(d->is_shut_down))
        domain_stop_vcpus(d);
    spin_unlock(&d->lock);
}

/* ---- shutdown and crash ---- */

noreturn void hwdom_shutdown(uint32_t code)
{
    static const char *const what[] = {
        [SHUTDOWN_poweroff] = "halted: halting machine",
        [SHUTDOWN_reboot] = "shutdown: rebooting machine",
        [SHUTDOWN_suspend] = "shutdown for an unknown reason",
        [SHUTDOWN_crash] = "crashed",
        [SHUTDOWN_watchdog] = "shutdown: watchdog fired",
    };
    bool asked = code == SHUTDOWN_poweroff || code == SHUTDOWN_reboot;

    print(LOG_ERR, "Hardware Dom%u %s (reason %u)", hardware_domain->domain_id,
          what[code < ARRAY_SIZE(what) ? code : SHUTDOWN_suspend], code);
    if (!asked)
        print(LOG_ERR, options.noreboot ? "'noreboot' set - not rebooting."
                                        : "rebooting machine in 5 seconds.");
    console_drain();
    if (code == SHUTDOWN_poweroff || (!asked && options.noreboot))
        arch_halt_forever();
    for (uint64_t end = arch_time_ns() + SECONDS(5); !asked && arch_time_ns() < end;)
        cpu_relax();
    arch_reboot();
}

/* From SOFTIRQ_TIMER: no lock is held. */
static void shutdown_work(void *data)
{
    if (hardware_domain && READ_ONCE(hardware_domain->is_shut_down))
        hwdom_shutdown(hardware_domain->shutdown_code);
    virq_send_global(hardware_domain, VIRQ_DOM_EXC);
}

void domain_shutdown(struct domain *d, uint32_t code)
{
    uint32_t none = SHUTDOWN_NONE;

    if (__atomic_compare_exchange_n(&d->shutdown_code, &none, code, false, __ATOMIC_SEQ_CST,
                                    __ATOMIC_SEQ_CST)) { /* the first reason counts */
        if (code == SHUTDOWN_crash)
            d->is_crashed = true;
        __atomic_store_n(&d->is_shut_down, true, __ATOMIC_SEQ_CST);
        timer_set(&shutdown_timer, arch_time_ns());
    }
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
    if (!__atomic_exchange_n(&d->is_crashed, true, __ATOMIC_SEQ_CST)) {
        (d->is_hwdom ? print : gprint)(LOG_ERR, "d%u crashed: %s", d->domain_id, why);
        if (current->domain == d && d->is_privileged)
            arch_print_regs(arch_guest_regs());
    }
    domain_shutdown(d, SHUTDOWN_crash);
}

/* ---- death ---- */

static int stop(struct domain *d)
{
    domain_pause(d); /* for ever */
    return 0;
}

static int release_vcpus(struct domain *d)
{
    struct vcpu *v;

    for_each_vcpu (d, v) {
        mfn_t m = vcpu_info_release(v);

        if (mfn_x(m) != mfn_x(INVALID_MFN))
            page_put_writable(m);
        vcpu_set_timer(v, 0);
        vcpu_set_poll_timer(v, 0);
        v->runstate_area = v->time_area = _gva(0);
        arch_vcpu_unload(v);
    }
    return 0;
}

int domain_kill(struct domain *d)
{
    bool busy;
    int rc = 0;

    if (d == current->domain || d == hardware_domain)
        return -EINVAL;
    spin_lock(&d->lock);
    d->is_dying = true;
    busy = d->relinquish_busy;
    d->relinquish_busy = true;
    spin_unlock(&d->lock);
    if (busy)
        return -ERESTART;
    while (rc == 0 && d->relinquish_step < RELINQUISHED) {
        rc = relinquish_steps[d->relinquish_step](d);
        d->relinquish_step += rc == 0;
    }
    __atomic_store_n(&d->relinquish_busy, false, __ATOMIC_RELEASE);
    if (rc)
        return rc;
    virq_send_global(hardware_domain, VIRQ_DOM_EXC);
    domain_reap();
    return 0;
}
