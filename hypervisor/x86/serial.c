/* 16550A and what imitates it; registers as in its data sheet. */
#include "x86/serial.h"

#include "x86/arch.h"

enum { DATA, IER, FCR, LCR, MCR, LSR, MSR, DIVISOR_LOW = DATA, DIVISOR_HIGH = IER };
#define FCR_ENABLE_CLEAR 0x87u /* and interrupt at 8 characters, or when the line falls silent */
#define LCR_8N1 0x03u
#define LCR_DLAB 0x80u
#define MCR_ON 0x0bu   /* DTR, RTS, OUT2 (lets the interrupt out) */
#define MCR_LOOP 0x1au /* loopback with RTS and OUT2: CTS and DCD must show in MSR */
#define LSR_RX 0x01u
#define LSR_TX_ROOM 0x20u
#define LSR_TX_IDLE 0x40u

#define FIFO_BYTES 16u
/* Of a register, about 1 us each: a busy host under a virtual machine may stop reading for long. */
#define WAIT_READS 3000000u
#define WAIT_NS SECONDS(3)

static uint32_t reg_read(uint16_t reg) { return arch_port_in(COM1_IO + reg, 1); }
static void reg_write(uint16_t reg, uint32_t v) { arch_port_out(COM1_IO + reg, 1, v & 0xff); }

bool serial_open(uint32_t baud)
{
    reg_write(LCR, LCR_8N1); /* firmware may have left DLAB set, which hides IER */
    reg_write(IER, SERIAL_IRQ_NONE);
    reg_write(MCR, MCR_LOOP);
    if ((reg_read(MSR) & 0xf0) != 0x90)
        return false;
    reg_write(LCR, LCR_DLAB);
    reg_write(DIVISOR_LOW, 115200 / baud);
    reg_write(DIVISOR_HIGH, 115200 / baud >> 8);
    reg_write(LCR, LCR_8N1);
    reg_write(FCR, FCR_ENABLE_CLEAR);
    reg_write(MCR, MCR_ON);
    return true;
}

static bool line_wait(uint32_t bit, unsigned int reads)
{
    uint64_t begin = 0, now;

    while (!(reg_read(LSR) & bit)) {
        now = arch_time_ns(); /* 0 early in boot; then the count alone bounds it */
        begin = begin ?: now;
        if (--reads == 0 || now - begin > WAIT_NS)
            return false;
        cpu_relax();
    }
    return true;
}

unsigned int serial_tx_room(bool wait)
{
    return line_wait(LSR_TX_ROOM, wait ? WAIT_READS : 1) ? FIFO_BYTES : 0;
}

void serial_tx(const char *p, unsigned int n, volatile uint32_t *sent)
{
    for (; n; n--, p++, *sent += 1)
        __asm__ volatile("outb %0, %1" ::"a"(*p), "Nd"((uint16_t)(COM1_IO + DATA)) : "memory");
}

void serial_tx_drain(void) { line_wait(LSR_TX_IDLE, WAIT_READS); }
int serial_rx(void) { return reg_read(LSR) & LSR_RX ? (int)reg_read(DATA) : -1; }
void serial_irq_enable(unsigned int irqs) { reg_write(IER, irqs); }
