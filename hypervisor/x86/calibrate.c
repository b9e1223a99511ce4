/*
 * Calibration of the TSC and of the APIC timer. A reference is any counter of known rate; both are
 * read beside it at the start, the middle and the end of a window. The two halves must agree, else
 * something (an SMI, a busy host) came between and the next reference is tried.
 */
#include "lib/cmdline.h"
#include "lib/print.h"
#include "x86/acpi.h"
#include "x86/lapic.h"
#include "x86/time.h"

#define HALF_WINDOW_US 6000u
#define NR_TRIES 5             /* readings of which the quickest counts */
#define STILL_READS 4000       /* so many equal readings: the counter stands still */
#define WAIT_TSC_MAX 200000000 /* 40 ms at 5 GHz */
#define TSC_KHZ_MIN 100000u
#define TSC_KHZ_MAX 20000000u

struct reference {
    const char *name;
    bool (*find)(struct reference *r); /* present? sets hz and mask */
    uint64_t (*read)(void);
    uint64_t hz, mask;
};

struct reading { uint64_t ref, tsc; uint32_t lapic; };

uint64_t timed_wait_ticks;

/* ---- the references ---- */

#define HPET_PERIOD 0x004 /* femtoseconds */
#define HPET_CONFIG 0x010
#define HPET_COUNTER 0x0f0
#define HPET_PERIOD_MAX 100000000u

static volatile uint8_t *hpet;

static volatile uint32_t *hpet_reg(unsigned int reg) { return (volatile uint32_t *)(hpet + reg); }
static uint64_t hpet_read(void) { return *hpet_reg(HPET_COUNTER); }

static bool hpet_find(struct reference *r)
{
    uint32_t period;

    if (acpi_info.hpet_maddr == 0)
        return false;
    if (hpet == NULL)
        hpet = arch_map_mmio(acpi_info.hpet_maddr, 1024);
    if (hpet == NULL)
        return false;
    period = *hpet_reg(HPET_PERIOD);
    if (period == 0 || period > HPET_PERIOD_MAX)
        return false;
    *hpet_reg(HPET_CONFIG) |= 1; /* count */
    r->hz = 1000000000000000ULL / period;
    r->mask = 0xffffffff;
    return true;
}

static uint64_t pm_timer_read(void) { return arch_port_in(acpi_info.pm_timer_port, 4); }

static bool pm_timer_find(struct reference *r)
{
    r->hz = 3579545;
    r->mask = acpi_info.pm_timer_32bit ? 0xffffffff : 0xffffff;
    return acpi_info.pm_timer_port != 0;
}

/* Channel 2, counting down from 0xffff with its gate open and the speaker off. */
static bool pit_find(struct reference *r)
{
    arch_port_out(0x61, 1, (arch_port_in(0x61, 1) & ~2u) | 1);
    arch_port_out(0x43, 1, 0xb0);
    arch_port_out(0x42, 1, 0xff);
    arch_port_out(0x42, 1, 0xff);
    r->hz = 1193182;
    r->mask = 0xffff;
    return true;
}

static uint64_t pit_read(void)
{
    uint32_t low;

    arch_port_out(0x43, 1, 0x80);
    low = arch_port_in(0x42, 1);
    return 0xffff - (arch_port_in(0x42, 1) << 8 | low);
}

static uint64_t cpuid_tsc_khz(void)
{
    uint32_t r[4], max;

    arch_cpuid(1, 0, r);
    if (r[2] >> 31) { /* a hypervisor below us: it may say */
        arch_cpuid(0x40000000, 0, r);
        if (r[0] >= 0x40000010 && r[0] < 0x40010000) {
            arch_cpuid(0x40000010, 0, r);
            if (r[0])
                return r[0];
        }
    }
    arch_cpuid(0, 0, r);
    max = r[0];
    if (max >= 0x15) {
        arch_cpuid(0x15, 0, r);
        if (r[0] && r[1] && r[2])
            return (uint64_t)r[2] * r[1] / r[0] / 1000;
    }
    if (max < 0x16)
        return 0;
    arch_cpuid(0x16, 0, r);
    return (r[0] & 0xffff) * 1000u;
}

static bool cpuid_find(struct reference *r)
{
    r->hz = cpuid_tsc_khz() * 1000;
    r->mask = ~0ULL;
    return r->hz != 0;
}

/* In the order of trust; the first three as in enum clocksource. */
static struct reference references[] = {
    { .name = "HPET", .find = hpet_find, .read = hpet_read },
    { .name = "ACPI PM timer", .find = pm_timer_find, .read = pm_timer_read },
    { .name = "PIT", .find = pit_find, .read = pit_read },
    { .name = "CPUID", .find = cpuid_find, .read = arch_tsc },
};

/* ---- measuring ---- */

static struct reading read_all(const struct reference *r)
{
    struct reading best = { 0 };
    uint64_t quickest = UINT64_MAX;

    for (unsigned int i = 0; i < NR_TRIES; i++) {
        uint64_t before = arch_tsc(), ref = r->read(), took;
        uint32_t lapic = lapic_timer_remaining();

        took = arch_tsc() - before;
        if (took < quickest) {
            quickest = took;
            best = (struct reading){ .ref = ref, .tsc = before + took / 2, .lapic = lapic };
        }
    }
    return best;
}

/* Until r has counted so far from start on; false if it stands still or takes too long. */
static bool wait_for(const struct reference *r, uint64_t start, uint64_t ticks)
{
    uint64_t begin = arch_tsc(), now, last = start;
    unsigned int still = 0;

    while ((((now = r->read()) - start) & r->mask) < ticks) {
        still = now == last ? still + 1 : 0;
        if (still == STILL_READS || arch_tsc() - begin > WAIT_TSC_MAX)
            return false;
        last = now;
        cpu_relax();
    }
    return true;
}

/* Rate of a counter that made ticks between two readings. */
static uint64_t rate_khz(const struct reference *r, const struct reading *from,
                         const struct reading *to, uint64_t ticks)
{
    uint64_t ref = (to->ref - from->ref) & r->mask;

    return ref ? muldiv64(ticks, r->hz, ref * 1000) : 0;
}

static bool close_to(uint64_t a, uint64_t b) { return (a > b ? a - b : b - a) < a / 200; }

/* 0: r is no good; 1: rates is plausible but the halves differ; 2: good. */
static int measure(const struct reference *r, struct clock_rates *rates)
{
    uint64_t half = r->hz * HALF_WINDOW_US / 1000000, begin = arch_tsc(), a, b;
    struct reading at[3];
    bool counts;

    lapic_timer_arm(UINT32_MAX);
    at[0] = read_all(r);
    counts = wait_for(r, at[0].ref, half);
    at[1] = read_all(r);
    counts = counts && wait_for(r, at[0].ref, 2 * half);
    at[2] = read_all(r);
    lapic_timer_arm(0);
    timed_wait_ticks += arch_tsc() - begin;
    if (!counts)
        return 0;
    a = rate_khz(r, &at[0], &at[1], at[1].tsc - at[0].tsc);
    b = rate_khz(r, &at[1], &at[2], at[2].tsc - at[1].tsc);
    rates->by = r->name;
    rates->tsc_khz = rate_khz(r, &at[0], &at[2], at[2].tsc - at[0].tsc);
    rates->lapic_khz = rate_khz(r, &at[0], &at[2], at[0].lapic - at[2].lapic);
    if (rates->tsc_khz < TSC_KHZ_MIN || rates->tsc_khz > TSC_KHZ_MAX || rates->lapic_khz == 0)
        return 0;
    return close_to(a, b) ? 2 : 1;
}

bool calibrate(struct clock_rates *rates, unsigned int prefer)
{
    struct clock_rates second_best = { 0 };
    unsigned int nr = ARRAY_SIZE(references), first = prefer ? prefer - CLOCKSOURCE_HPET : 0;

    for (unsigned int i = 0; i <= nr; i++) { /* the preferred one, then all the others */
        unsigned int n = i == 0 ? first : i - 1;
        int quality;

        if (n >= nr || (i != 0 && n == first) || !references[n].find(&references[n]))
            continue;
        quality = measure(&references[n], rates);
        if (quality == 2)
            return true;
        if (quality == 0)
            print(LOG_WARN, "TSC: no use of the %s: it stands still or counts nonsense", references[n].name);
        else if (second_best.by == NULL)
            second_best = *rates;
    }
    *rates = second_best;
    if (rates->by)
        print(LOG_WARN, "TSC: readings differ by more than 0.5 %%, time may be off by as much");
    return rates->by != NULL;
}

void tsc_scale_init(struct tsc_scale *s, uint64_t khz)
{
    int shift = 0;

    while ((1000000ULL << (32 - shift)) / khz > UINT32_MAX)
        shift++;
    while ((1000000ULL << (32 - shift)) / khz < 1ULL << 31)
        shift--;
    s->shift = (int8_t)shift;
    s->mul = (uint32_t)((1000000ULL << (32 - shift)) / khz);
}

/* ---- the RTC ---- */

#define RTC_UIP_READS 20000 /* an update takes 2 ms at most */

static uint8_t cmos_read(uint8_t index)
{
    arch_port_out(0x70, 1, index);
    return (uint8_t)arch_port_in(0x71, 1);
}

struct rtc_time { uint8_t sec, min, hour, day, month, year, century; };

static void rtc_read_raw(struct rtc_time *t, uint8_t century_index)
{
    for (unsigned int i = 0; i < RTC_UIP_READS && cmos_read(0x0a) & 0x80; i++)
        cpu_relax();
    t->sec = cmos_read(0);
    t->min = cmos_read(2);
    t->hour = cmos_read(4);
    t->day = cmos_read(7);
    t->month = cmos_read(8);
    t->year = cmos_read(9);
    t->century = century_index ? cmos_read(century_index) : 0;
}

static uint64_t days_since_1970(unsigned int y, unsigned int m, unsigned int d)
{
    static const uint16_t before[] = { 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334 };
    unsigned int leap = m > 2 ? y : y - 1; /* years whose 29 February has passed */

    return (y - 1970) * 365ULL + leap / 4 - leap / 100 + leap / 400 - 477 + before[m - 1] + d - 1;
}

static unsigned int from_bcd(unsigned int x, bool bcd) { return bcd ? (x >> 4) * 10 + (x & 15) : x; }

static uint64_t rtc_seconds(const struct rtc_time *t, uint8_t status_b)
{
    bool bcd = !(status_b & 4), pm = !(status_b & 2) && t->hour & 0x80;
    unsigned int hour = from_bcd(status_b & 2 ? t->hour : t->hour & 0x7f, bcd);
    unsigned int year = from_bcd(t->year, bcd), century = from_bcd(t->century, bcd);
    unsigned int month = from_bcd(t->month, bcd), day = from_bcd(t->day, bcd);
    unsigned int min = from_bcd(t->min, bcd), sec = from_bcd(t->sec, bcd);

    if (!(status_b & 2))
        hour = hour % 12 + (pm ? 12 : 0);
    if (century >= 19 && century <= 29)
        year += century * 100;
    else
        year += year < 70 ? 2000 : 1900;
    if (year < 1970 || month - 1 > 11 || day - 1 > 30 || hour > 23 || min > 59 || sec > 59)
        return 0;
    return days_since_1970(year, month, day) * 86400 + hour * 3600 + min * 60 + sec;
}

uint64_t rtc_read(uint8_t century_index)
{
    struct rtc_time t, again;

    rtc_read_raw(&t, century_index);
    for (unsigned int i = 0; i < 5; i++) { /* an update may still have come in between */
        rtc_read_raw(&again, century_index);
        if (memcmp(&t, &again, sizeof(t)) == 0)
            return rtc_seconds(&t, cmos_read(0x0b));
        t = again;
    }
    return 0;
}
