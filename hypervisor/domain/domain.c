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
#include "lib/errno.h"
#include "lib/lib.h"
#include "lib/print.h"
#include "memory/heap.h"
#include "paging/paging.h"
#include "sched/sched.h"
#include "sched/time.h"
#include "sched/timer.h"
#include "x86/arch.h"

#define SHUTDOWN_NONE (~0u)
#define IO_BITMAP_BYTES (NR_IOPORTS / 8)
#define EXTRA_VCPUS (MAX_VCPUS - XEN_LEGACY_MAX_VCPUS)

/* How far domain_kill() has come; the steps are done in this order. */
enum { ALIVE, STOPPED, CHANNELS_CLOSED, TABLES_DROPPED, RELINQUISHED, REAPED };

struct domain *domain_list;
struct spinlock domain_list_lock = SPINLOCK_INIT(L_DOMLIST);
struct domain *hardware_domain;
struct domain *idle_domain;

static void shutdown_work(void *data);

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

static void vcpu_init_info(struct domain *d, struct vcpu *v)
{
    if (v->vcpu_id < XEN_LEGACY_MAX_VCPUS)
        v->info = &d->shared_info->vcpu_info[v->vcpu_id];
    else
        v->info = &d->extra_vcpu_info[v->vcpu_id - XEN_LEGACY_MAX_VCPUS];
    v->info->evtchn_upcall_mask = 1;
}

int vcpu_create(struct domain *d, uint32_t id)
{
    struct vcpu *v;
    int rc;

    if (id >= d->max_vcpus)
        return -EINVAL;
    if (d->vcpu[id])
        return -EEXIST;
    v = vcpu_alloc(d, id);
    if (v == NULL)
        return -ENOMEM;
    vcpu_init_info(d, v);
    rc = arch_vcpu_create(v);
    if (rc)
        goto out_free;
    rc = sched_vcpu_create(v);
    if (rc)
        goto out_arch;
    rc = vcpu_timers_create(v);
    if (rc)
        goto out_sched;
    spin_lock(&d->lock);
    if (d->pause_count || d->is_shut_down)
        vcpu_pause_set(v, VPF_PAUSED);
    if (d->vcpu[id] == NULL)
        __atomic_store_n(&d->vcpu[id], v, __ATOMIC_SEQ_CST);
    else
        rc = -EEXIST;
    spin_unlock(&d->lock);
    if (rc == 0)
        return 0;
    vcpu_timers_destroy(v);
out_sched:
    sched_vcpu_destroy(v);
out_arch:
    arch_vcpu_destroy(v);
out_free:
    xfree(v);
    return rc;
}

static void vcpu_destroy(struct vcpu *v)
{
    vcpu_timers_destroy(v);
    sched_vcpu_destroy(v);
    arch_vcpu_destroy(v);
    xfree(v);
}

struct vcpu *idle_vcpu_create(uint32_t cpu)
{
    struct vcpu *v = vcpu_alloc(idle_domain, cpu);

    if (v == NULL)
        panic("idle vCPU %u: out of memory", cpu);
    atomic_store(&v->processor, cpu);
    if (arch_vcpu_create(v) || sched_vcpu_create(v))
        panic("idle vCPU %u: out of memory", cpu);
    idle_domain->vcpu[cpu] = v;
    return v;
}

/* ---- domains ---- */

static void domain_free(struct domain *d)
{
    struct vcpu *v;

    ASSERT(d->nr_pages == 0);
    for_each_vcpu(d, v)
        vcpu_destroy(v);
    if (d->irq)
        irq_domain_destroy(d);
    if (d->evtchn)
        evtchn_domain_destroy(d);
    if (d->shutdown_timer)
        timer_kill(d->shutdown_timer);
    xfree(d->shutdown_timer);
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
    d->shared_info = alloc_page();
    d->shutdown_timer = xmalloc(sizeof(*d->shutdown_timer));
    if (d->max_vcpus > XEN_LEGACY_MAX_VCPUS)
        d->extra_vcpu_info = xmalloc(EXTRA_VCPUS * sizeof(*d->extra_vcpu_info));
    if (d->shutdown_timer)
        timer_init(d->shutdown_timer, shutdown_work, d, this_pcpu()->id);
    if (d->shared_info == NULL || d->shutdown_timer == NULL ||
        (d->max_vcpus > XEN_LEGACY_MAX_VCPUS && d->extra_vcpu_info == NULL))
        return -ENOMEM;
    d->shared_info_mfn = virt_to_mfn(d->shared_info);
    page_share_with_domain(d->shared_info_mfn, d);
    return evtchn_domain_create(d) ?: irq_domain_create(d);
}

static int domain_list_add(struct domain *d)
{
    struct domain **p;
    int rc = 0;

    spin_lock(&domain_list_lock);
    for (p = &domain_list; *p && (*p)->domain_id < d->domain_id; p = &(*p)->next)
        ;
    if (*p && (*p)->domain_id == d->domain_id) {
        rc = -EEXIST;
    } else {
        d->next = *p;
        *p = d;
    }
    spin_unlock(&domain_list_lock);
    return rc;
}

/* A killed domain keeps its creation reference while others hold its frames: look for such. */
void domain_reap(void)
{
    struct domain *d, *gone;

    do {
        gone = NULL;
        spin_lock(&domain_list_lock);
        for (d = domain_list; d && !gone; d = d->next)
            if (READ_ONCE(d->relinquish_step) == RELINQUISHED && READ_ONCE(d->nr_pages) == 0) {
                d->relinquish_step = REAPED;
                gone = d;
                spin_lock(&d->page_lock); /* let him finish who put the last frame */
                spin_unlock(&d->page_lock);
            }
        spin_unlock(&domain_list_lock);
        if (gone)
            domain_put(gone);
    } while (gone);
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

    if (id == DOMID_SELF || id == caller->domain_id) {
        domain_get(caller);
        return caller;
    }
    spin_lock(&domain_list_lock);
    for (d = domain_list; d && d->domain_id != id; d = d->next)
        ;
    if (d) {
        uint32_t refs = atomic_load(&d->refs);

        while (refs && !atomic_compare_exchange_weak(&d->refs, &refs, refs + 1))
            ;
        if (refs == 0)
            d = NULL; /* its last holder is about to take it out of the list */
    }
    spin_unlock(&domain_list_lock);
    return d;
}

void domain_put(struct domain *d)
{
    struct domain **p;
    uint32_t before = atomic_fetch_sub(&d->refs, 1);

    BUG_ON(before == 0);
    if (before > 1)
        return;
    spin_lock(&domain_list_lock);
    for (p = &domain_list; *p != d; p = &(*p)->next)
        ;
    *p = d->next;
    spin_unlock(&domain_list_lock);
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

    for_each_vcpu(d, v)
        vcpu_pause_set(v, VPF_PAUSED);
}

void domain_pause(struct domain *d)
{
    struct vcpu *v;

    spin_lock(&d->lock);
    d->pause_count++;
    domain_stop_vcpus(d);
    spin_unlock(&d->lock);
    for_each_vcpu(d, v) /* waits, so without the lock: the vCPU may want it in order to stop */
        vcpu_pause_sync(v, VPF_PAUSED);
}

void domain_unpause(struct domain *d)
{
    struct vcpu *v;

    spin_lock(&d->lock);
    BUG_ON(d->pause_count == 0);
    if (--d->pause_count == 0 && !READ_ONCE(d->is_shut_down))
        for_each_vcpu(d, v)
            vcpu_pause_clear(v, VPF_PAUSED);
    /* A shutdown takes no lock: it either saw its flag cleared before it set it, or is seen here. */
    atomic_thread_fence(memory_order_seq_cst);
    if (READ_ONCE(d->is_shut_down))
        domain_stop_vcpus(d);
    spin_unlock(&d->lock);
}

/* ---- shutdown and crash ---- */

static void wait_seconds(unsigned int s)
{
    uint64_t end = arch_time_ns() + SECONDS(s);

    while (arch_time_ns() < end)
        cpu_relax();
}

static noreturn void reboot_unless_told_not_to(void)
{
    if (options.noreboot) {
        print(LOG_ERR, "'noreboot' set - not rebooting.");
        console_drain();
        arch_halt_forever();
    }
    print(LOG_ERR, "rebooting machine in 5 seconds.");
    console_drain();
    wait_seconds(5);
    arch_reboot();
}

noreturn void hwdom_shutdown(uint32_t code)
{
    static const char *const what[] = {
        [SHUTDOWN_poweroff] = "halted: halting machine",
        [SHUTDOWN_reboot] = "shutdown: rebooting machine",
        [SHUTDOWN_crash] = "crashed",
        [SHUTDOWN_watchdog] = "shutdown: watchdog fired",
    };
    const char *text = code < ARRAY_SIZE(what) ? what[code] : NULL;

    print(LOG_ERR, "Hardware Dom%u %s (reason %u)", hardware_domain->domain_id,
          text ? text : "shutdown for an unknown reason", code);
    console_drain();
    if (code == SHUTDOWN_poweroff)
        arch_halt_forever();
    if (code == SHUTDOWN_reboot)
        arch_reboot();
    reboot_unless_told_not_to();
}

/* From SOFTIRQ_TIMER: no lock is held. */
static void shutdown_work(void *data)
{
    struct domain *d = data;

    if (d == hardware_domain)
        hwdom_shutdown(d->shutdown_code);
    if (hardware_domain)
        virq_send_global(hardware_domain, VIRQ_DOM_EXC);
}

void domain_shutdown(struct domain *d, uint32_t code)
{
    uint32_t none = SHUTDOWN_NONE;

    if (!__atomic_compare_exchange_n(&d->shutdown_code, &none, code, false, __ATOMIC_SEQ_CST,
                                     __ATOMIC_SEQ_CST))
        return; /* the first reason counts */
    d->is_crashed = code == SHUTDOWN_crash;
    __atomic_store_n(&d->is_shut_down, true, __ATOMIC_SEQ_CST);
    domain_stop_vcpus(d);
    timer_set(d->shutdown_timer, arch_time_ns());
}

void domain_crash(struct domain *d, const char *fmt, ...)
{
    char why[160];
    va_list ap;

    if (READ_ONCE(d->is_crashed))
        return;
    va_start(ap, fmt);
    xl_vsnprintf(why, sizeof(why), fmt, ap);
    va_end(ap);
    if (d == idle_domain)
        panic("idle domain: %s", why);
    if (d->is_hwdom)
        print(LOG_ERR, "d%u crashed: %s", d->domain_id, why);
    else
        gprint(LOG_ERR, "d%u crashed: %s", d->domain_id, why);
    if (current->domain == d && (d->is_hwdom || current->domain->is_privileged))
        arch_print_regs(arch_guest_regs());
    domain_shutdown(d, SHUTDOWN_crash);
}

/* ---- death ---- */

static void release_vcpu(struct vcpu *v)
{
    mfn_t m = vcpu_info_release(v);

    if (mfn_x(m) != mfn_x(INVALID_MFN))
        page_put_writable(m);
    vcpu_stop_singleshot(v);
    vcpu_stop_periodic(v);
    vcpu_set_timer(v, 0);
    vcpu_stop_poll_timer(v);
    v->runstate_area = v->time_area = _gva(0);
}

static int relinquish(struct domain *d)
{
    struct vcpu *v;
    int rc = 0;

    if (d->relinquish_step == ALIVE) {
        domain_pause(d); /* for ever */
        d->relinquish_step = STOPPED;
    }
    if (d->relinquish_step == STOPPED) {
        rc = evtchn_domain_relinquish(d);
        if (rc)
            return rc;
        for_each_vcpu(d, v)
            release_vcpu(v);
        d->relinquish_step = CHANNELS_CLOSED;
    }
    if (d->relinquish_step == CHANNELS_CLOSED) {
        rc = paging_relinquish(d);
        if (rc)
            return rc;
        d->relinquish_step = TABLES_DROPPED;
    }
    if (d->relinquish_step == TABLES_DROPPED) {
        rc = domain_relinquish_pages(d);
        if (rc)
            return rc;
        d->relinquish_step = RELINQUISHED;
        virq_send_global(hardware_domain, VIRQ_DOM_EXC);
    }
    return 0;
}

int domain_kill(struct domain *d)
{
    bool busy;
    int rc;

    if (d == current->domain || d == hardware_domain)
        return -EINVAL;
    spin_lock(&d->lock);
    d->is_dying = true;
    busy = d->relinquish_busy;
    d->relinquish_busy = true;
    spin_unlock(&d->lock);
    if (busy)
        return -ERESTART;
    rc = relinquish(d);
    __atomic_store_n(&d->relinquish_busy, false, __ATOMIC_RELEASE);
    if (rc == 0)
        domain_reap();
    return rc;
}
