/*
 * offload.h: what guests leave to network cards: checksums of TCP and UDP, and TCP's cutting into segments; done here
 * for links that do not.
 */
#pragma once
#include "link.h"

enum { GSO_BYTES_MIN = 48 }; /* smaller segments of TCP nobody agrees on */

/**
 * The sender says that the checksum is to be filled in (PARTIAL from now on, of what headers say; the pseudo header's
 * sum is put there), and, if @gso is not NONE, that TCP is to be cut into segments of @gso_bytes. Padding is cut off.
 * @f  with one reference
 * False: its headers do not fit that.
 */
bool offload_ask(struct frame *f, enum frame_gso gso, uint16_t gso_bytes);

/** What it says of itself is possible: as frames of other sources are checked before any of the below. */
bool offload_valid(const struct frame *f);

/** Does the link take it as it is? */
bool offload_fits(const struct link *l, const struct frame *f);

/**
 * Call emit(arg, f) with frames that the link takes in its place: the same one, one with its checksum, its segments one
 * after the other, each freed afterwards unless emit() keeps a reference.
 * @f  valid. With one reference it may be changed: then its checksum is GOOD.
 * False: no memory, or it cannot be cut: the rest was not emitted.
 */
bool offload_do(const struct link *l, struct frame *f, void (*emit)(void *arg, struct frame *f),
                void *arg);

/** The Internet's checksum of a piece, to go on with: not folded. @bytes  of an even offset */
uint64_t csum_add(uint64_t sum, const uint8_t *data, uint32_t bytes);

/** Folded and inverted. */
uint16_t csum_end(uint64_t sum);

/** Is the checksum of TCP, UDP or ICMPv6 (and of IPv4's header) right? False also: there is none that could be. For tests. */
bool csum_right(const struct frame *f);
