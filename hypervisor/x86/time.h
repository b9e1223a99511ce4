/* Clocks of the machine: TSC, local APIC timer, what they are calibrated against, the RTC. Private to x86/. */
#pragma once
#include "x86/arch.h"

/**
 * On the boot CPU, after the command line, the ACPI tables and the local APIC: calibrate, start
 * system time, read the RTC. At most 50 ms; a timer that stands still is noticed and left out.
 */
void time_init(void);
/** Found while CPUs came up: their TSCs do not agree. */
void time_tsc_differs(void);

/* ---- calibrate.c; pure but for ports, MMIO, CPUID, TSC and APIC timer, which tests play ---- */

struct clock_rates {
    uint64_t tsc_khz, lapic_khz;
    uint64_t waited_ticks; /* of the TSC, for calibration: the boot's figures want them apart */
    const char *by;
};

/**
 * By the first of HPET, ACPI PM timer, PIT, CPUID (prefer, an enum clocksource, before all) that will
 * do. False if there is none; rates is then undefined.
 */
bool calibrate(struct clock_rates *rates, unsigned int prefer);
/** Seconds since 1970 (years 1970 to 2069), 0 if the RTC shows nothing sensible or 12-hour time. */
uint64_t rtc_read(void);
