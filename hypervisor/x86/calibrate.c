/*
 * Calibration of the TSC and of the APIC timer. A reference is any counter of known rate; both are
 * read beside it at the start, the middle and the end of a window. The two halves must agree, else
 * something (an SMI, a busy host) came between and the next reference is tried.
 */
#include "lib/cmdline.h"
#include "x86/acpi.h"
#include "x86/lapic.h"
#include "x86/time.h"

#define HALF_WINDOW_US 6000u
#define STILL_READS 4000       /* so many readings are the first: the counter stands still */
#define WAIT_TSC_MAX 200000000 /* 40 ms at 5 GHz */
#define TSC_KHZ_MIN 100000u
#define TSC_KHZ_MAX 20000000u
#define DIFFER_MAX_PPM 500 /* the halves of a window that is believed */
#define UNUSABLE UINT64_MAX

struct reference {
    const char *name;
    bool (*find)(struct reference *r); /* present? sets hz unless it is given */
    uint64_t (*read)(void);
    uint64_t hz, mask;
};

/* ---- the references ---- */

#define HPET_PERIOD 0x004 /* femtoseconds */
#define HPET_CONFIG 0x010
#define HPET_COUNTER 0x0f0
#define HPET_PERIOD_MAX 100000000u

static volatile uint32_t *hpet;

static uint64_t hpet_read(void) { return hpet[HPET_COUNTER / 4]; }

static bool hpet_find(struct reference *r)
{
    hpet = acpi_info.hpet_maddr ? arch_map_mmio(acpi_info.hpet_maddr, 1024) : NULL;
    if (hpet == NULL || hpet[HPET_PERIOD / 4] == 0 || hpet[HPET_PERIOD / 4] > HPET_PERIOD_MAX)
        return false;
    hpet[HPET_CONFIG / 4] |= 1; /* count */
    r->hz = 1000000000000000ULL / hpet[HPET_PERIOD / 4];
    return true;
}

static bool pm_timer_find(struct reference *r) { return acpi_info.pm_timer_port != 0; }
static uint64_t pm_timer_read(void) { return arch_port_in(acpi_info.pm_timer_port, 4); }

/* Channel 2, counting down from 0xffff with its gate open and the speaker off. */
static bool pit_find(struct reference *r)
{
    arch_port_out(0x61, 1, (arch_port_in(0x61, 1) & ~2u) | 1);
    arch_port_out(0x43, 1, 0xb0);
    arch_port_out(0x42, 1, 0xff);
    arch_port_out(0x42, 1, 0xff);
    return true;
}

static uint64_t pit_read(void)
{
    uint32_t low;

    arch_port_out(0x43, 1, 0x80);
    low = arch_port_in(0x42, 1);
    return 0xffff - (arch_port_in(0x42, 1) << 8 | low);
}

/* Leaf 0x15: the rate of a crystal, and the TSC's ratio to it. */
static bool cpuid_find(struct reference *r)
{
    uint32_t max[4], tsc[4];

    arch_cpuid(0, 0, max);
    arch_cpuid(0x15, 0, tsc);
    r->hz = max[0] >= 0x15 && tsc[0] ? (uint64_t)tsc[2] * tsc[1] / tsc[0] : 0;
    return r->hz != 0;
}

/* In the order of trust; the first three as in enum clocksource. 24 bits of the PM timer will do. */
static struct reference references[] = {
    { "HPET", hpet_find, hpet_read, .mask = 0xffffffff },
    { "ACPI PM timer", pm_timer_find, pm_timer_read, .hz = 3579545, .mask = 0xffffff },
    { "PIT", pit_find, pit_read, .hz = 1193182, .mask = 0xffff },
    { "CPUID", cpuid_find, arch_tsc, .mask = ~0ULL },
};

/* ---- measuring ---- */

/* Until r has counted so far from start on; false if it stands still or takes too long. */
static bool wait_for(const struct reference *r, uint64_t start, uint64_t ticks)
{
    uint64_t begin = arch_tsc(), now;
    unsigned int reads = 0;

    while ((((now = r->read()) - start) & r->mask) < ticks) {
        if ((now == start && ++reads == STILL_READS) || arch_tsc() - begin > WAIT_TSC_MAX)
            return false;
        cpu_relax();
    }
    return true;
}

/* Rate of a counter that made ticks while r made ref_ticks. */
static uint64_t rate_khz(const struct reference *r, uint64_t ref_ticks, uint64_t ticks)
{
    ref_ticks &= r->mask;
    return ref_ticks ? muldiv64(ticks, r->hz, ref_ticks * 1000) : 0;
}

/* The rates by r. Returns by how many millionths the halves of the window differ, or UNUSABLE. */
static uint64_t measure(const struct reference *r, struct clock_rates *rates)
{
    uint64_t ref[3] = { 0 }, tsc[3], a, b;
    uint32_t lapic[3];

    for (unsigned int i = 0; i < 3; i++) {
        if (!wait_for(r, ref[0], i * (r->hz * HALF_WINDOW_US / 1000000)))
            return UNUSABLE;
        ref[i] = r->read();
        tsc[i] = arch_tsc();
        lapic[i] = lapic_timer_remaining();
    }
    rates->by = r->name;
    rates->tsc_khz = rate_khz(r, ref[2] - ref[0], tsc[2] - tsc[0]);
    rates->lapic_khz = rate_khz(r, ref[2] - ref[0], lapic[0] - lapic[2]);
    if (rates->tsc_khz < TSC_KHZ_MIN || rates->tsc_khz > TSC_KHZ_MAX || rates->lapic_khz == 0)
        return UNUSABLE;
    a = rate_khz(r, ref[1] - ref[0], tsc[1] - tsc[0]);
    b = rate_khz(r, ref[2] - ref[1], tsc[2] - tsc[1]);
    return (MAX(a, b) - MIN(a, b)) * 1000000 / rates->tsc_khz;
}

bool calibrate(struct clock_rates *rates, unsigned int prefer)
{
    struct reference *first = &references[prefer ? prefer - CLOCKSOURCE_HPET : 0];
    uint64_t begin = arch_tsc(), least = UNUSABLE, differ;
    struct clock_rates found;

    lapic_timer_arm(UINT32_MAX);
    /* the preferred one, then all others; the first that will do, or that whose halves differ least */
    for (unsigned int i = 0; i <= ARRAY_SIZE(references) && least > DIFFER_MAX_PPM; i++) {
        struct reference *r = i ? &references[i - 1] : first;

        if ((i && r == first) || !r->find(r))
            continue;
        differ = measure(r, &found);
        if (differ == UNUSABLE)
            print(LOG_WARN, "TSC: no use of the %s: it stands still or counts nonsense", r->name);
        if (differ < least)
            *rates = found;
        least = MIN(least, differ);
    }
    lapic_timer_arm(0);
    rates->waited_ticks = arch_tsc() - begin;
    if (least > DIFFER_MAX_PPM && least != UNUSABLE)
        print(LOG_WARN, "TSC: readings differ by %lu ppm, time may be off by as much", least);
    return least != UNUSABLE;
}

/* ---- the RTC ---- */

#define RTC_TRIES 2000 /* an update takes 2 ms at most, a try some 10 us or more */
#define RTC_24H 2
#define RTC_BINARY 4
#define NR_FIELDS 6 /* year, month, day, hour, minute, second: */

static const uint8_t rtc_index[NR_FIELDS] = { 9, 8, 7, 4, 2, 0 };
static const uint8_t rtc_least[NR_FIELDS] = { 0, 1, 1, 0, 0, 0 };
static const uint8_t rtc_most[NR_FIELDS] = { 99, 12, 31, 23, 59, 59 };

static uint32_t cmos_read(uint8_t index)
{
    arch_port_out(0x70, 1, index);
    return arch_port_in(0x71, 1) & 0xff;
}

/* A byte for each field, the second lowest. */
static uint64_t rtc_read_raw(void)
{
    uint64_t raw = 0;

    for (unsigned int i = 0; i < NR_FIELDS; i++)
        raw = raw << 8 | cmos_read(rtc_index[i]);
    return raw;
}

uint64_t rtc_read(void)
{
    uint32_t format = cmos_read(0x0b), tries = 0, t[NR_FIELDS], m;
    uint64_t raw, y;

    do {
        raw = rtc_read_raw(); /* the same before and after a look that sees no update */
    } while ((cmos_read(0x0a) & 0x80 || raw != rtc_read_raw()) && ++tries < RTC_TRIES);
    for (unsigned int i = 0; i < NR_FIELDS; i++) {
        t[i] = raw >> 8 * (NR_FIELDS - 1 - i) & 0xff;
        if (!(format & RTC_BINARY))
            t[i] = (t[i] >> 4) * 10 + (t[i] & 15);
        if (!(format & RTC_24H) || t[i] < rtc_least[i] || t[i] > rtc_most[i])
            return 0;
    }
    m = t[1] < 3 ? t[1] + 12 : t[1]; /* the year begins in March: leap days end it */
    y = t[0] + (t[0] < 70 ? 2000 : 1900) - (m > 12);
    y = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m - 457) / 5 + t[2] - 719469; /* days */
    return ((y * 24 + t[3]) * 60 + t[4]) * 60 + t[5];
}
