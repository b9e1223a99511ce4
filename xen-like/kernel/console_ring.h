/*
 * The frontend's end of a console ring (<xen/io/console.h>): two byte rings in one page, which a
 * domain shares with the one that serves its console. Nothing in here but the page and three numbers:
 * it compiles on the host as well, where it is tested.
 *
 * The other end is not trusted. What it may write are out_cons and in_prod; of these no value does
 * more harm than that bytes are lost. Our own indices are kept here, not in the page.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <xen/xen.h>
#include <xen/io/console.h>

struct console_ring {
    volatile struct xencons_interface *page;
    uint32_t out_prod, in_cons; /* free-running, as all indices here */
};

/** Begin with a page, as it is found. */
void console_ring_init(struct console_ring *r, void *page);

/**
 * Put bytes into the ring of output.
 * Returns how many fit, 0..len. 0 as well if the other end's index is impossible.
 * The caller serializes; notifies the other end if it was more than 0.
 */
size_t console_ring_put(struct console_ring *r, const char *buf, size_t len);

/**
 * Take bytes from the ring of input.
 * Returns how many there were, 0..len. If the other end's index is impossible, what it claims to
 * have sent is skipped: 0, and what it sends next is read.
 * The caller serializes; notifies the other end if it was more than 0.
 */
size_t console_ring_get(struct console_ring *r, char *buf, size_t len);
