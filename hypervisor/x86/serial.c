/* 16550A and what imitates it; registers as in its data sheet. */
#include "x86/serial.h"

#include "lib/lib.h"
#include "x86/arch.h"

enum { DATA = 0, DIVISOR_LOW = 0, IER = 1, DIVISOR_HIGH = 1, IIR = 2, FCR = 2, LCR = 3, MCR = 4,
       LSR = 5, MSR = 6, SCRATCH = 7 };
#define IER_RX 0x01u
#define IER_TX 0x02u
#define IIR_NONE 0x01u       /* no interrupt pending */
#define IIR_FIFO 0xc0u       /* the FIFOs work */
#define FCR_ENABLE_CLEAR 0x87u /* and interrupt at 8 characters, or when the line falls silent */
#define LCR_DLAB 0x80u
#define MCR_ON 0x0bu         /* DTR, RTS, OUT2 (lets the interrupt out) */
#define MCR_LOOP 0x1au       /* loopback with RTS and OUT2: CTS and DCD must show in MSR */
#define LSR_RX 0x01u
#define LSR_TX_ROOM 0x20u
#define LSR_TX_IDLE 0x40u

#define FIFO_BYTES 16u
#define WAIT_READS 300000u   /* of a register, about 1 us each: 16 characters at 600 baud */

static uint16_t io;
static unsigned int fifo_bytes = FIFO_BYTES;

static uint8_t reg_read(unsigned int reg) { return (uint8_t)arch_port_in((uint16_t)(io + reg), 1); }
static void reg_write(unsigned int reg, uint32_t v)
{
    arch_port_out((uint16_t)(io + reg), 1, v & 0xff);
}

static bool port_answers(void)
{
    bool ok;

    reg_write(SCRATCH, 0x5a);
    ok = reg_read(SCRATCH) == 0x5a;
    reg_write(SCRATCH, 0xa5);
    ok = ok && reg_read(SCRATCH) == 0xa5;
    reg_write(MCR, MCR_LOOP);
    return ok && (reg_read(MSR) & 0xf0) == 0x90;
}

bool serial_open(const struct uart_option *o)
{
    static const char parities[] = "noems"; /* LCR bits 5..3: 0, 1, 3, 5, 7 */
    const char *parity = strchr(parities, o->parity);
    uint32_t lcr = (o->data_bits - 5u) | (o->stop_bits - 1u) << 2;

    io = o->io_base;
    if (!port_answers()) {
        io = 0;
        return false;
    }
    if (parity && parity != parities)
        lcr |= (uint32_t)(2 * (parity - parities) - 1) << 3;
    reg_write(IER, 0);
    if (o->baud) {
        uint32_t divisor = 115200 / o->baud;

        reg_write(LCR, lcr | LCR_DLAB);
        reg_write(DIVISOR_LOW, divisor);
        reg_write(DIVISOR_HIGH, divisor >> 8);
    }
    reg_write(LCR, lcr);
    reg_write(FCR, FCR_ENABLE_CLEAR);
    reg_write(MCR, MCR_ON);
    fifo_bytes = (reg_read(IIR) & IIR_FIFO) == IIR_FIFO ? FIFO_BYTES : 1;
    return true;
}

uint16_t serial_io_base(void) { return io; }

static bool line_wait(uint8_t bit)
{
    for (unsigned int i = 0; io && i < WAIT_READS; i++) {
        if (reg_read(LSR) & bit)
            return true;
        cpu_relax();
    }
    return io == 0;
}

unsigned int serial_tx_room(void)
{
    return io == 0 || (reg_read(LSR) & LSR_TX_ROOM) ? fifo_bytes : 0;
}
unsigned int serial_tx_wait(void) { return line_wait(LSR_TX_ROOM) ? fifo_bytes : 0; }
void serial_tx_drain(void) { line_wait(LSR_TX_IDLE); }

void serial_tx(char c)
{
    if (io)
        reg_write(DATA, (uint8_t)c);
}

int serial_rx(void) { return io && (reg_read(LSR) & LSR_RX) ? reg_read(DATA) : -1; }

void serial_irq_enable(bool tx)
{
    if (io)
        reg_write(IER, IER_RX | (tx ? IER_TX : 0));
}

bool serial_irq_pending(void) { return io && !(reg_read(IIR) & IIR_NONE); }
