/* System time and the timer interrupt. */
#include "x86/time.h"

#include "lib/cmdline.h"
#include "x86/acpi.h"
#include "x86/lapic.h"

struct tsc_scale arch_tsc_scale;
bool arch_tsc_reliable;
uint64_t arch_entry_tsc, arch_waited_ticks;

static struct clock_rates rates;
static uint64_t boot_wallclock_s;
static bool tsc_may_differ; /* between CPUs: time is kept from going backwards by hand */

uint64_t arch_tsc(void)
{
    uint32_t lo, hi;

    __asm__ volatile("lfence; rdtsc" : "=a"(lo), "=d"(hi)::"memory");
    return (uint64_t)hi << 32 | lo;
}

uint64_t arch_tsc_khz(void) { return rates.tsc_khz; }
uint64_t arch_boot_wallclock_s(void) { return boot_wallclock_s; }

uint64_t arch_time_ns(void)
{
    static _Atomic uint64_t latest;
    uint64_t tsc = arch_tsc(), now, seen;

    if (unlikely((int64_t)(tsc - arch_tsc_scale.base) < 0))
        tsc = arch_tsc_scale.base;
    now = tsc_scale_ns(&arch_tsc_scale, tsc);
    if (!tsc_may_differ)
        return now;
    seen = atomic_load(&latest);
    while (seen < now)
        if (atomic_compare_exchange_weak(&latest, &seen, now))
            return now;
    return seen;
}

void time_init(void)
{
    uint32_t r[4];

    arch_tsc_scale.base = arch_tsc();
    arch_cpuid(0x80000007, 0, r);      /* every CPU with long mode has that leaf */
    arch_tsc_reliable = r[3] >> 8 & 1; /* invariant */
    tsc_may_differ = !arch_tsc_reliable && acpi_info.nr_cpus > 1;
    if (!calibrate(&rates, options.clocksource))
        panic("No timer to calibrate the TSC by: neither HPET, ACPI PM timer, PIT nor CPUID");
    arch_waited_ticks += rates.waited_ticks;
    tsc_scale_init(&arch_tsc_scale, rates.tsc_khz);
    print(LOG_INFO, "TSC: %lu kHz, by %s in %lu ticks; %sinvariant; APIC timer: %lu kHz",
          rates.tsc_khz, rates.by, rates.waited_ticks, arch_tsc_reliable ? "" : "not ",
          rates.lapic_khz);
    boot_wallclock_s = rtc_read(); /* system time began less than a second ago */
    if (boot_wallclock_s == 0)
        print(LOG_WARN, "RTC: no sensible time; the wall clock starts at 1970");
}

void time_tsc_differs(void)
{
    print(LOG_WARN, "TSC: not the same on all CPUs");
    tsc_may_differ = true;
    arch_tsc_reliable = false;
}

/* The APIC's clock may be off by some ppm: if it fires early, timers_run() programs the rest. */
void arch_timer_program(uint64_t deadline_ns)
{
    uint64_t now = arch_time_ns(), ticks = 0;

    if (deadline_ns > now)
        ticks = muldiv64(MIN(deadline_ns - now, SECONDS(1000)), rates.lapic_khz, 1000000) + 1;
    else if (deadline_ns != 0)
        softirq_raise(SOFTIRQ_TIMER);
    lapic_timer_arm((uint32_t)MIN(ticks, (uint64_t)UINT32_MAX));
}
