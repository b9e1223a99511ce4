/* Who has which interrupt vector; the same on all CPUs. */
#pragma once

/* PIC: they are masked, only their spurious ones come here. GUEST_INT80: user code may `int $0x80`,
 * so it is the guest's, never a device's. DEVICE_*: given out by irq/. */
enum { VECTOR_PIC = 0x20, VECTOR_GUEST_INT80 = 0x80 };
enum { VECTOR_DEVICE_FIRST = 0x30, VECTOR_DEVICE_LAST = 0xdf };
enum { VECTOR_LAPIC_TIMER = 0xf0, VECTOR_IPI_KICK = 0xf1, VECTOR_SPURIOUS = 0xff };
