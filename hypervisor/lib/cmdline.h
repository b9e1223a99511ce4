/* The hypervisor's command line: Xen's words, parsed once at boot. */
#pragma once
#include "lib/types.h"

struct uart_option { /* com1=BAUD[,DPS[,IOBASE[,IRQ]]] */
    bool given;
    uint32_t baud;       /* 0: as the firmware left it ("auto") */
    uint8_t data_bits;   /* 5..8 */
    uint8_t stop_bits;   /* 1..2 */
    char parity;         /* n o e m s */
    uint16_t io_base;
    uint8_t irq;
};

struct mem_size_option {
    bool given, negative; /* negative: all but so much */
    uint64_t bytes;
};

enum clocksource { CLOCKSOURCE_AUTO, CLOCKSOURCE_HPET, CLOCKSOURCE_ACPI, CLOCKSOURCE_PIT };

/* Messages of a level below this are printed: 0 none, LOG_ERR + 1, ... LOG_DEBUG + 1 all. */
struct options {
    struct uart_option com[2];
    int8_t console_com;            /* 0: com1, 1: com2, -1: no serial console */
    struct mem_size_option dom0_mem, dom0_mem_min, dom0_mem_max;
    uint32_t dom0_max_vcpus;       /* 0: not given */
    uint32_t loglvl, guest_loglvl;
    char conswitch;                /* letter; Ctrl with it, three times, switches the input */
    bool conswitch_stays;          /* input begins at the hypervisor ("x" after the letter) */
    bool noreboot, sync_console, watchdog;
    bool smep, smap;               /* may be used */
    int8_t xpti;                   /* 1 and 0 as asked, -1: as the CPU needs it */
    uint8_t clocksource;           /* enum clocksource */
};
extern struct options options;

/**
 * Parse the command line into options. What is unknown or malformed is named with its value by
 * print(LOG_WARN) and ignored; nothing else changes by it. The last of several wins.
 */
void cmdline_parse(const char *line);

/** A size as the command line has it: 1024M, 2g; a plain number is in KiB. False: malformed. */
bool parse_size_bytes(const char *s, const char **end, uint64_t *bytes);
