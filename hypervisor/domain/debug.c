/* The debug keys that look at domains, and the audit of all folders. */
#include "domain/domain.h"

#include "console/console.h"
#include "event/evtchn.h"
#include "grant/grant.h"
#include "irq/irq.h"
#include "memory/heap.h"
#include "paging/paging.h"
#include "sched/sched.h"
#include "sched/timer.h"

/* For each domain, with a lock held that callbacks may have to live with: they only print. */
static void print_all(void (*fn)(struct domain *d))
{
    spin_lock(&domain_list_lock);
    for (struct domain *d = domain_list; d; d = d->next)
        fn(d);
    spin_unlock(&domain_list_lock);
}

static void print_domain(struct domain *d)
{
    struct vcpu *v;

    print(LOG_INFO, "d%u \"%s\": roles 0x%x, hardware %u, dying %u, shutdown code %d (-1: none)",
          d->domain_id, d->name, d->roles, d->is_hwdom, d->is_dying, (int)d->shutdown_code);
    print(
        LOG_INFO,
        "  refs %u, pauses %u, assist 0x%lx; 0x1 blocked, 0x2 down, 0x4 paused, 0x8 polling, 0x10 shut",
        atomic_load(&d->refs), d->pause_count, d->vm_assist);
    for_each_vcpu (d, v)
        print(LOG_INFO, "  vcpu%u: cpu %u%s, paused for 0x%x, upcall mask %u pending %u",
              v->vcpu_id, atomic_load(&v->processor), atomic_load(&v->running) ? " running" : "",
              atomic_load(&v->pause_flags), READ_ONCE(v->info->evtchn_upcall_mask),
              READ_ONCE(v->info->evtchn_upcall_pending));
    print(LOG_INFO, "d%u: %lu pages of at most %lu, %lu not write-back", d->domain_id, d->nr_pages,
          d->max_pages, atomic_load(&d->nr_mapped_uncached));
}

static void print_domain_regs(struct domain *d)
{
    struct vcpu *v;

    for_each_vcpu (d, v) {
        if (!v->is_initialised)
            continue;
        print(LOG_INFO, "d%uv%u, %s mode:", d->domain_id, v->vcpu_id,
              v->arch.kernel_mode ? "kernel" : "user");
        if (v == current)
            arch_print_regs(arch_guest_regs());
        else if (atomic_load(&v->running))
            print(LOG_INFO, "  runs on cpu %u", atomic_load(&v->processor));
        else
            arch_print_regs(&v->arch.regs);
    }
}

static void key_domains(void) { print_all(print_domain); }
static void key_registers(void) { print_all(print_domain_regs); }
static void key_grants(void) { print_all(grant_print); }

/* The benchmark and others read this: all of a CPU in a line. */
static void key_counters(void)
{
    for (uint64_t m = arch_cpus_online(); m; m &= m - 1) {
        const struct pcpu *c = arch_pcpu(ffs64(m) - 1);

        print(LOG_INFO,
              "CPU %u: %lu root loads, %lu TLB flushes, %lu of a page, %lu IPIs sent, "
              "%lu interrupts, %lu hypercalls, %lu exceptions",
              c->id, c->nr_cr3_loads, c->nr_tlb_flushes, c->nr_tlb_page_flushes, c->nr_ipis,
              c->nr_irqs, c->nr_hypercalls, c->nr_exceptions);
    }
}

void domain_audit(void)
{
    unsigned int n;

    cpus_park(); /* else counts would not add up in the middle of an operation */
    n = paging_audit() + heap_audit() + evtchn_audit() + grant_audit();
    cpus_release();

    print(LOG_INFO, "audit: %u errors", n);
}

#ifndef NDEBUG
static void hang(void *data)
{
    for (;;)
        cpu_relax();
}

static void key_hang(void)
{
    static struct timer t = { .fn = hang };

    timer_set(&t, arch_time_ns());
}
#endif

static const struct debug_key keys[] = {
#ifndef NDEBUG
    { 'W', "hang this CPU, for the watchdog to find it", key_hang },
#endif
    { 'q', "domains and their vCPUs", key_domains },
    { 'd', "registers of all vCPUs", key_registers },
    { 'p', "counters of all CPUs", key_counters },
    { 'm', "memory: the heap ('q' has the domains')", heap_print },
    { 'A', "audit memory, page tables, event channels and grants", domain_audit },
    { 'g', "grants and what is mapped of them", key_grants },
    { 'r', "run queues", sched_print },
    { 'e', "event channels", evtchn_print },
    { 'i', "interrupts", irq_print },
};

void domain_debug_keys(void)
{
    for (unsigned int i = 0; i < ARRAY_SIZE(keys); i++)
        debug_key_register(&keys[i]);
}
