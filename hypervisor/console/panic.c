/* The end: say why, show where, and reboot or stop. */
#include "console/console.h"
#include "lib/cmdline.h"

#define REBOOT_DELAY_NS SECONDS(5)
#define REBOOT_DELAY_SPINS (1ULL << 30) /* should time stand still */

noreturn void reboot_or_halt(void)
{
    uint64_t begin = arch_time_ns();

    print(LOG_ERR,
          options.noreboot ? "'noreboot' set - not rebooting." : "rebooting machine in 5 seconds.");
    console_drain();
    if (options.noreboot)
        arch_halt_forever();
    for (uint64_t i = 0; i < REBOOT_DELAY_SPINS && arch_time_ns() - begin < REBOOT_DELAY_NS; i++)
        cpu_relax();
    arch_reboot();
}

void panic_begin(void)
{
    static _Atomic uint32_t panicking; /* id of the CPU that came first, plus 1 */
    static unsigned int begun;
    uint32_t me = this_pcpu()->id + 1, first = 0;

    arch_irq_disable();
    if (atomic_compare_exchange_strong(&panicking, &first, me))
        arch_stop_other_cpus(); /* no guest goes on with a broken invariant */
    else if (first != me)
        arch_halt_forever();
    console_force();
    if (++begun > 3)
        reboot_or_halt(); /* fault after fault while telling of the first */
}

void panic(const char *fmt, ...)
{
    char reason[256];
    va_list ap;

    panic_begin();
    va_start(ap, fmt);
    xl_vsnprintf(reason, sizeof(reason), fmt, ap);
    va_end(ap);
    print(LOG_ERR, "Panic: %s", reason);
    reboot_or_halt();
}

void bug_at(const char *file, int line, const char *what)
{
    panic_begin();
    print(LOG_ERR, "Panic: BUG at %s:%d: %s", file, line, what);
    if (current && current->domain)
        print(LOG_ERR, "Running: d%uv%u", current->domain->domain_id, current->vcpu_id);
    arch_backtrace(NULL);
    reboot_or_halt();
}
