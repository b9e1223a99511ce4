/* The local APIC of this CPU, xAPIC mode. */
#pragma once
#include "lib/types.h"

#define LAPIC_REG_EOI 0x0b0

extern volatile uint32_t *lapic_regs; /* the same address shows each CPU its own */

/** On each CPU: enable it, with all local sources masked but the timer and NMI. */
void lapic_init(void);
uint32_t lapic_id(void);

/** Send the CPU with this id a vector or one of these. NMI context, too. */
enum { ICR_NMI = 0x4400, ICR_INIT = 0x4500, ICR_STARTUP = 0x4600 /* and a page number */ };
void lapic_send(uint32_t apic_id, uint32_t what);

static inline void lapic_eoi(void) { lapic_regs[LAPIC_REG_EOI / 4] = 0; }
/** True while vector is being serviced, so that an EOI is due. */
bool lapic_in_service(unsigned int vector);

/** VECTOR_LAPIC_TIMER after this many ticks of the undivided timer clock, once; 0 stops it. */
void lapic_timer_arm(uint32_t ticks);
/** Ticks left: what calibration reads. */
uint32_t lapic_timer_remaining(void);
