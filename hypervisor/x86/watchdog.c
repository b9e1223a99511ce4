/*
 * watchdog=: an NMI each 55 ms, from the PIT by an I/O APIC input, to the first CPU. Once a second it
 * asks all CPUs for SOFTIRQ_ALIVE: who gets to its softirqs is not stuck, whatever its guest does. One
 * that has not for five seconds stops the machine with the registers of that CPU. NMIs come without a
 * sender: those on the first CPU for which the chipset names no reason are taken for the watchdog's.
 */
#include "x86/arch.h"
#include "x86/cpu.h"
#include "x86/ioapic.h"
#include "x86/lapic.h"

#define PORT_NMI_REASONS 0x61
#define NMI_REASONS 0xc0u /* memory or bus error */
#define STUCK_S 5u

static uint64_t checked_ns;    /* when last; 0: off */
static _Atomic uint64_t stuck; /* bit per CPU that is to tell where it is */

void arch_watchdog_start(void)
{
    uint32_t gsi = ioapic_isa_gsi(WATCHDOG_IRQ);

    if (!options.watchdog)
        return;
    if (!ioapic_has(gsi)) {
        print(LOG_WARN, "watchdog: the PIT's interrupt has no I/O APIC input");
        return;
    }
    arch_port_out(0x43, 1, 0x34); /* channel 0: a rate, of its clock by 65,536 */
    arch_port_out(0x40, 1, 0);
    arch_port_out(0x40, 1, 0);
    checked_ns = arch_time_ns();
    ioapic_set(gsi, IOAPIC_NMI, false, false, false, arch_cpu_apic_id(0));
    print(LOG_INFO, "watchdog: a CPU that is stuck for %u s stops the machine", STUCK_S);
}

/*
 * Once a second: has each CPU served the softirq of the last time? While one stands still on purpose
 * nobody is judged, as others may wait for a lock that it holds.
 */
static void check_all(void)
{
    static uint8_t silent_s[NR_CPUS];
    bool judge = true;

    for (uint64_t m = arch_cpus_online(); m; m &= m - 1)
        judge &= !atomic_load(&pcpus[ffs64(m) - 1].stands_still);
    for (uint64_t m = arch_cpus_online(); m; m &= m - 1) {
        uint32_t cpu = ffs64(m) - 1;
        uint32_t before = atomic_fetch_or(&pcpus[cpu].softirqs, 1u << SOFTIRQ_ALIVE);

        silent_s[cpu] = judge && (before >> SOFTIRQ_ALIVE & 1) ? silent_s[cpu] + 1 : 0;
        arch_cpu_kick(cpu);
        if (silent_s[cpu] < STUCK_S)
            continue;
        atomic_fetch_or(&stuck, 1ULL << cpu);
        if (cpu)
            lapic_send(arch_cpu_apic_id(cpu), ICR_NMI);
    }
}

bool watchdog_nmi(bool *is_stuck)
{
    uint32_t cpu = this_pcpu()->id;

    if (checked_ns == 0 || smp_stopped() || (arch_port_in(PORT_NMI_REASONS, 1) & NMI_REASONS))
        return false;
    if (cpu == 0 && arch_time_ns() - checked_ns >= SECONDS(1)) {
        checked_ns = arch_time_ns();
        check_all();
    }
    *is_stuck = atomic_load(&stuck) >> cpu & 1;
    return cpu == 0 || *is_stuck;
}
