/*
 * Console: log ring, levels and rate limits, the serial port's queue, input with the escape to
 * debug keys, and console_io.
 */
#pragma once
#include "memory/guest_copy.h"

/** Input, and output driven by interrupts, as soon as softirqs are served. */
void console_irq_init(void);
/** SOFTIRQ_SERIAL: what was received goes to domain 0 or to the debug keys. No lock held. */
void console_softirq(void);

/**
 * HYPERVISOR_console_io: CONSOLEIO_write / CONSOLEIO_read; privileged only, else -EPERM; but d->console_line
 * lets others write, with (dN) before each line.
 */
long hc_console_io(uint64_t cmd, uint64_t count, uint64_t buffer, uint64_t a4, uint64_t a5);

/** A panic follows: break locks, write synchronously. */
void console_force(void);
/** Wait (bounded) until all output left the UART. */
void console_drain(void);

/** A debug key: prints with print(); help is one line. Registered at boot; one key each. */
struct debug_key {
    uint8_t key;
    const char *help;
    void (*fn)(void);
};
void debug_key_register(const struct debug_key *k);
/** As if typed after the escape; an unknown key does nothing. */
void debug_key_run(uint8_t key);
