/* Frames for tests of drivers of network cards: counted, at any place in a page. */
#pragma once
#include "network/link.h"

extern long net_nr_frames; /* that there are */
extern bool net_no_frames; /* there is no memory for them */

/** One of that many bytes, each of which net_byte() tells. */
struct frame *net_frame(uint32_t bytes);
uint8_t net_byte(uint32_t at);
