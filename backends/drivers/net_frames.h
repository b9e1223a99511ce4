/* backends/drivers/net_frames.h: what the drivers of network cards have in common. */
#pragma once
#include "drivers/piece.h"
#include "network/link.h"

enum { NET_PAGE = 4096, NET_PIECES_MAX = FRAME_MAX / NET_PAGE + 2 };

/** A frame's memory, cut at the edges of pages: 1..NET_PIECES_MAX pieces. Returns how many. */
unsigned int net_cut(const struct frame *f, struct piece *pieces);

/** A frame to receive into: the one that was left over, if it has the room, else a new one. NULL: no memory. */
struct frame *net_frame_get(struct frame **spare, uint32_t room);

/** Nobody here needs it any more. If nobody else does either, it may be kept for the next that comes. */
void net_frame_put(struct frame **spare, struct frame *f);
