/* Who has which interrupt vector; the same on all CPUs. */
#pragma once

#define VECTOR_PIC 0x20 /* the legacy PICs are masked: only their spurious ones come here */
#define VECTOR_DEVICE_FIRST 0x30 /* given out by irq/ */
#define VECTOR_DEVICE_LAST 0xdf
#define VECTOR_GUEST_INT80 0x80 /* user code may `int $0x80`: the guest's, never a device's */
#define VECTOR_LAPIC_TIMER 0xf0
#define VECTOR_IPI_KICK 0xf1
#define VECTOR_SPURIOUS 0xff
