/*
 * Console: log ring, levels and rate limits, the serial port's queue, input with the escape to
 * debug keys, and console_io.
 */
#pragma once
#include "memory/guest_copy.h"

/** Before anything can be printed; then options (loglvl=, guest_loglvl=, com1=, console=). */
void console_early_init(void);
void console_options(void);
/** Input, and output driven by interrupts, as soon as softirqs are served. */
void console_irq_init(void);
/** SOFTIRQ_SERIAL: what was received goes to domain 0 or to the debug keys. No lock held. */
void console_softirq(void);

/** HYPERVISOR_console_io: CONSOLEIO_write / CONSOLEIO_read; privileged only, else -EPERM. */
long hc_console_io(uint64_t cmd, uint64_t count, uint64_t buffer, uint64_t a4, uint64_t a5);

/** A panic follows: break locks, write synchronously. */
void console_force(void);
/** Wait (bounded) until all output left the UART. */
void console_drain(void);

/** Copy len bytes of the log from absolute position *pos on; returns bytes copied, moves *pos. */
size_t console_ring_read(uint64_t *pos, char *buf, size_t len);

/** A debug key: prints with print(); help is one line. Registered at boot; keys are ASCII. */
struct debug_key {
    char key;
    const char *help;
    void (*fn)(void);
};
void debug_key_register(const struct debug_key *k);
/** As if typed after the escape; -EINVAL for an unknown key. */
int debug_key_run(char key);
