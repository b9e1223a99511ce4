/* The end: say why, show where, and reboot or stop. */


#include "console/console.h"
#include "lib/cmdline.h"

#define REBOOT_DELAY_NS SECONDS(5)
#define REBOOT_DELAY_SPINS (1ULL << 30) /* should time stand still */

static _Atomic uint32_t panicking; /* id of the CPU that came first, plus 1 */

static noreturn void stop_machine(void)
{
    uint64_t begin = arch_time_ns();

    if (options.noreboot) {
        print(LOG_ERR, "Manual reset required ('noreboot' specified)");
        console_drain();
        arch_halt_forever();
    }
    print(LOG_ERR, "Reboot in five seconds...");
    console_drain();
    for (uint64_t i = 0; i < REBOOT_DELAY_SPINS && arch_time_ns() - begin < REBOOT_DELAY_NS; i++)
        cpu_relax();
    arch_reboot();
}

void panic(const char *fmt, ...)
{
    uint32_t me = this_pcpu()->id + 1, first = 0;
    static char reason[256];
    va_list ap;

    arch_irq_disable();
    if (!atomic_compare_exchange_strong(&panicking, &first, me) && first != me)
        arch_halt_forever();
    if (first != me)
        arch_stop_other_cpus(); /* no guest goes on with a broken invariant */
    console_force();
    if (first == me)
        stop_machine(); /* a second fault while telling of the first */
    va_start(ap, fmt);
    xl_vsnprintf(reason, sizeof(reason), fmt, ap);
    va_end(ap);
    print(LOG_ERR, "Panic: %s", reason);
    if (current && current->domain)
        print(LOG_ERR, "CPU %u, running d%uv%u", me - 1, current->domain->domain_id,
              current->vcpu_id);
    else
        print(LOG_ERR, "CPU %u", me - 1);
    arch_backtrace(NULL);
    stop_machine();
}

void bug_at(const char *file, int line, const char *what)
{
    panic("BUG at %s:%d: %s", file, line, what);
}
