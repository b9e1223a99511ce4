/*
 * backends/drivers/e1000e.h: Intel's 82574L network card, which QEMU calls e1000e: frames of up to 1518 bytes, checksums
 * both ways, one queue for each direction, MSI-X.
 * Not provided: TSO, larger frames.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct link;
struct pci_function;
struct plat_loop;

/** It is such a card. */
bool e1000e_is(const struct pci_function *f);

/**
 * Take a card and make a link of it. Frames that come before its "received" is set are dropped.
 * NULL: as pci_open(), pci_map(), pci_bind(), or ENOTSUP it has not enough messages, EIO it does not come out of its
 * reset, or has no address, ENOMEM.
 */
struct link *e1000e_open(struct plat_loop *l, uint16_t bdf);
