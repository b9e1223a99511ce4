/* 16550A and what imitates it; registers as in its data sheet. */
#include "x86/serial.h"

#include "x86/arch.h"

enum { DATA, IER, FCR, LCR, MCR, LSR, MSR, SCRATCH, DIVISOR_LOW = DATA, DIVISOR_HIGH = IER };
#define FCR_ENABLE_CLEAR 0x87u /* and interrupt at 8 characters, or when the line falls silent */
#define LCR_DLAB 0x80u
#define MCR_ON 0x0bu   /* DTR, RTS, OUT2 (lets the interrupt out) */
#define MCR_LOOP 0x1au /* loopback with RTS and OUT2: CTS and DCD must show in MSR */
#define LSR_RX 0x01u
#define LSR_TX_ROOM 0x20u
#define LSR_TX_IDLE 0x40u

#define FIFO_BYTES 16u
#define WAIT_READS 300000u /* of a register, about 1 us each: 16 characters at 600 baud */

static uint16_t io;

static uint32_t reg_read(unsigned int reg) { return arch_port_in((uint16_t)(io + reg), 1); }
static void reg_write(unsigned int reg, uint32_t v)
{
    arch_port_out((uint16_t)(io + reg), 1, v & 0xff);
}

bool serial_open(const struct uart_option *o)
{
    io = o->io_base;
    reg_write(LCR, o->lcr); /* firmware may have left DLAB set, which hides IER */
    reg_write(IER, SERIAL_IRQ_NONE);
    reg_write(SCRATCH, 0x5a);
    reg_write(MCR, MCR_LOOP);
    if (reg_read(SCRATCH) != 0x5a || (reg_read(MSR) & 0xf0) != 0x90)
        return false;
    if (o->baud) {
        uint32_t divisor = 115200 / o->baud;

        reg_write(LCR, LCR_DLAB);
        reg_write(DIVISOR_LOW, divisor);
        reg_write(DIVISOR_HIGH, divisor >> 8);
    }
    reg_write(LCR, o->lcr);
    reg_write(FCR, FCR_ENABLE_CLEAR);
    reg_write(MCR, MCR_ON);
    return true;
}

static bool line_wait(uint32_t bit, unsigned int reads)
{
    for (; reads; reads--) {
        if (reg_read(LSR) & bit)
            return true;
        cpu_relax();
    }
    return false;
}

unsigned int serial_tx_room(bool wait)
{
    return line_wait(LSR_TX_ROOM, wait ? WAIT_READS : 1) ? FIFO_BYTES : 0;
}

void serial_tx(char c) { reg_write(DATA, (uint8_t)c); }
void serial_tx_drain(void) { line_wait(LSR_TX_IDLE, WAIT_READS); }
int serial_rx(void) { return reg_read(LSR) & LSR_RX ? (int)reg_read(DATA) : -1; }
void serial_irq_enable(unsigned int irqs) { reg_write(IER, irqs); }
