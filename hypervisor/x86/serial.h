/* The 16550A serial port at COM1_IO. Only serial_open() may be called before it has returned true. */
#pragma once
#include "lib/cmdline.h"

/** Take the port into use at 8n1, without interrupts: false if nothing answers there. */
bool serial_open(uint32_t baud);

/** How many characters it takes now; 0: it is busy, or stuck if a bounded wait was asked for. */
unsigned int serial_tx_room(bool wait);
/**
 * Send n characters, no more than that; *sent is counted up with each, so that whoever takes over from
 * a CPU that was stopped at it repeats nothing.
 */
void serial_tx(const char *p, unsigned int n, volatile uint32_t *sent);
/** Bounded wait until the last character is on the wire. */
void serial_tx_drain(void);
/** The next character received, or -1. */
int serial_rx(void);

enum serial_irq { SERIAL_IRQ_NONE, SERIAL_IRQ_RX, SERIAL_IRQ_TX };
/**
 * Interrupt on these, an or of enum serial_irq. What has happened already interrupts at once, so
 * that NONE and then this loses nothing, edge-triggered or not.
 */
void serial_irq_enable(unsigned int irqs);
