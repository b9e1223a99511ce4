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
 * The log: all messages that the levels let through, each line with its prefix, without what domains
 * write. Positions in it run freely. Where it was last cleared; from *at on, or the oldest that is
 * kept, at most size bytes into buf: returns how many, *at is behind them; clear up to at.
 */
uint32_t console_log_begin(void);
uint32_t console_log_read(uint32_t *at, char *buf, uint32_t size);
void console_log_clear(uint32_t at);

/**
 * HYPERVISOR_console_io: CONSOLEIO_write / CONSOLEIO_read; for who has RIGHT_CONSOLE, else -EPERM. A domain
 * with d->console_line may write in any case, whole lines with (dN) before each.
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
