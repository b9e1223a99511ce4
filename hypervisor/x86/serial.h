/* One 16550 serial port, polled or interrupting. The console serializes the calls. */
#pragma once
#include "lib/cmdline.h"

/** Take the port into use: false if nothing answers there (then all below do nothing). */
bool serial_open(const struct uart_option *o);
/** First of its 8 I/O ports, 0: none in use. No domain may have them. */
uint16_t serial_io_base(void);

/** How many characters it takes now, 0 if it is busy. */
unsigned int serial_tx_room(void);
/** The same after a bounded wait; 0: the port is stuck. */
unsigned int serial_tx_wait(void);
void serial_tx(char c);
/** Bounded wait until the last character is on the wire. */
void serial_tx_drain(void);
/** The next character received, or -1. */
int serial_rx(void);

/** Interrupt on received characters, and on room in the transmitter if tx. */
void serial_irq_enable(bool tx);
/** True while the port asserts its interrupt. */
bool serial_irq_pending(void);
