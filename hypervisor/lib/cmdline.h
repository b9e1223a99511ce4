/* The hypervisor's command line: Xen's words, parsed once at boot; and the same for modules' texts. */
#pragma once
#include "lib/types.h"

/* com1=: its place on every PC. Ours when console=com1, else domain 0's. */
#define COM1_IO 0x3f8
#define COM1_IRQ 4u
#define WATCHDOG_IRQ 0u /* the PIT's, with watchdog= */

enum clocksource { CLOCKSOURCE_AUTO, CLOCKSOURCE_HPET, CLOCKSOURCE_ACPI, CLOCKSOURCE_PIT };

#define XPTI_AUTO 2 /* as the CPU needs it */
/* fill the return stack at entry, clear the branch history at entry, the buffers at exit */
enum { SPEC_RSB = 1 << 0, SPEC_BHB = 1 << 1, SPEC_VERW = 1 << 2, SPEC_ALL = 7 };

struct options {
    uint32_t com1_baud;            /* 0: com1= was not given, it is not used */
    uint32_t console_com1;         /* by default */
    uint64_t dom0_mem_bytes[2];    /* at first, at most; 0: not given */
    uint32_t dom0_max_vcpus;       /* 0: not given */
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

/* ---- for whoever parses such words ---- */

#define CMDLINE_WORD_BYTES 1024 /* the boot loader's whole line is not longer */
/** The next word of *line, which moves behind it. False: there is none. */
bool cmdline_next(const char **line, char word[CMDLINE_WORD_BYTES]);

/**
 * The value is a number from min to max and one of words behind it; or without max one of words, or
 * some with a separator between them: target gets the bits in mask of their places, or'ed.
 */
struct option {
    const char *name;
    uint32_t *target;
    const char *words;
    uint32_t mask, min, max;
    char separator;
    bool (*parse)(const char *value); /* instead of all that */
};
extern const char cmdline_bools[]; /* words for a switch; without a value it is on. mask 1 */

enum option_result { OPTION_TAKEN, OPTION_BAD_VALUE, OPTION_UNKNOWN };
/** Take NAME=VALUE by the table of n options. Nothing changes unless it is taken. */
enum option_result option_take(const struct option *table, size_t n, const char *word);

/** SIZE,max:SIZE, either or both and not 0, as in dom0_mem=: in bytes, what is not given stays. */
bool cmdline_sizes(const char *s, uint64_t sizes[2]);
