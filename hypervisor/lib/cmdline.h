/* The hypervisor's command line: Xen's words, parsed once at boot. */
#pragma once
#include "lib/types.h"

/* com1=: its place on every PC. Ours when console=com1, else domain 0's. */
#define COM1_IO 0x3f8
#define COM1_IRQ 4u
#define WATCHDOG_IRQ 0u /* the PIT's, with watchdog= */

enum clocksource { CLOCKSOURCE_AUTO, CLOCKSOURCE_HPET, CLOCKSOURCE_ACPI, CLOCKSOURCE_PIT };

#define XPTI_AUTO 2 /* as the CPU needs it */
enum { SPEC_RSB = 1 << 0, SPEC_BHB = 1 << 1, SPEC_VERW = 1 << 2, SPEC_ALL = 7 };

struct options {
    uint32_t com1_baud;                          /* 0: com1= was not given, it is not used */
    uint32_t console_com1;                       /* by default */
    uint64_t dom0_mem_bytes, dom0_mem_max_bytes; /* 0: not given */
    uint32_t dom0_max_vcpus;                     /* 0: not given */
    uint32_t loglvl, guest_loglvl; /* levels below are printed: 0 none, LOG_DEBUG + 1 all */
    uint32_t noreboot, sync_console, smep, smap, watchdog; /* 0 or 1 */
    uint32_t clocksource;                                  /* enum clocksource */
    uint32_t xpti;                                         /* 0, 1 or XPTI_AUTO */
    uint32_t spec_on, spec_off;                            /* SPEC_*, over what the CPU needs */
};
extern struct options options;

/**
 * Parse the command line into options. What is unknown or malformed is named with its value by
 * print(LOG_WARN) and ignored; nothing else changes by it. The last of several wins.
 */
void cmdline_parse(const char *line);
