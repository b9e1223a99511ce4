/* The hypervisor's command line: Xen's words, parsed once at boot. */
#pragma once
#include "lib/types.h"

struct uart_option { /* com1=BAUD[,DPS] */
    uint16_t io_base;
    uint8_t irq;
    bool given;
    uint8_t lcr;   /* data bits, parity and stop bits as in the 16550's line control register */
    uint32_t baud; /* 0: as the firmware left it ("auto") */
};

struct mem_size_option {
    bool given, negative; /* negative: all but so much */
    uint64_t bytes;
};

enum clocksource { CLOCKSOURCE_AUTO, CLOCKSOURCE_HPET, CLOCKSOURCE_ACPI, CLOCKSOURCE_PIT };

/* Messages of a level below this are printed: 0 none, LOG_ERR + 1, ... LOG_DEBUG + 1 all. */
struct options {
    struct uart_option com[2];
    int8_t console_com; /* 0: com1, 1: com2, -1: no serial console */
    struct mem_size_option dom0_mem, dom0_mem_min, dom0_mem_max;
    uint32_t dom0_max_vcpus; /* 0: not given */
    uint32_t loglvl, guest_loglvl;
    bool noreboot, sync_console;
    bool smep, smap;     /* may be used */
    uint8_t clocksource; /* enum clocksource */
};
extern struct options options;

/**
 * Parse the command line into options. What is unknown or malformed is named with its value by
 * print(LOG_WARN) and ignored; nothing else changes by it. The last of several wins.
 */
void cmdline_parse(const char *line);
