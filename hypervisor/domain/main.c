/* From a machine with one CPU and a heap to running domains. */
#include "domain/domain.h"

#include "console/console.h"
#include "emulate/emulate.h"
#include "event/evtchn.h"
#include "irq/irq.h"
#include "memory/heap.h"
#include "paging/paging.h"
#include "sched/sched.h"
#include "sched/time.h"
#include "sched/timer.h"
#include "x86/multiboot.h"
#include "x86/upcalls.h"

/* From here on c runs a vCPU and its scheduler may be asked. */
static void cpu_init(struct pcpu *c)
{
    timers_init_cpu(c->id);
    sched_init_cpu(c->id);
    c->idle = idle_vcpu_create(c->id);
    c->running = c->idle;
    atomic_store(&c->idle->running, true);
}

/* What boot took, and what of the machine's RAM neither is free nor belongs to a domain. */
static void print_costs(void)
{
    uint64_t ram = 0, used = heap_free_pages();

    for (const struct domain *d = domain_list; d; d = d->next)
        used += d->nr_pages;
    for (uint32_t i = 0; i < boot_info.nr_ranges; i++)
        if (boot_info.ranges[i].type == BOOT_MEM_RAM)
            ram += (boot_info.ranges[i].end >> PAGE_SHIFT) -
                   DIV_ROUND_UP(boot_info.ranges[i].start, PAGE_SIZE);
    print(LOG_INFO, "Memory kept by the hypervisor: %lu KiB of %lu KiB", (ram - used) << 2,
          ram << 2);
    print(LOG_INFO, "Boot: %lu ticks from entry, %lu of them timed waits",
          arch_tsc() - arch_entry_tsc, arch_waited_ticks);
}

/* At once: the first of them must not change the list, or pause counts, while the others wait. */
static void start_domains(void)
{
    cpus_park();
    for (struct domain *d = domain_list; d; d = d->next)
        domain_unpause(d);
    cpus_release();
}

noreturn void hypervisor_main(void)
{
    time_register_virq(virq_send_vcpu);
    idle_domain_create();
    cpu_init(this_pcpu());
    softirq_register(SOFTIRQ_SERIAL, console_softirq);
    irq_init();
    console_irq_init();
    cpuid_policy_init();
    domain_debug_keys();
    if (IS_DEBUG_BUILD)
        paging_audit_reserve();
    arch_irq_enable();
    arch_start_cpus(cpu_init);
    print(LOG_INFO, "Memory: %lu MiB free of %lu MiB", heap_free_pages() >> 8,
          heap_total_pages() >> 8);
    domains_build();
    arch_free_init();
    arch_watchdog_start();
    print_costs();
    start_domains();
    idle_loop();
}
