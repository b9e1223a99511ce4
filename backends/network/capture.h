/* capture.h: what goes through a port, as a pcap file. It is limited: behind that it ends by itself. */
#pragma once
#include "link.h"

enum { CAPTURE_BYTES = 1 << 20, CAPTURE_FRAME = 65535 }; /* of a file; of each frame */

struct capture;

/** @path  the file; it is there when the capture has ended. NULL: as plat_file_create(). */
struct capture *capture_start(const char *path);

/** False: there is no room for more, or the file cannot be written. */
bool capture_frame(struct capture *c, const struct frame *f);

/** Ends it. 0; -1: as plat_file_commit(), there is no file. */
int capture_end(struct capture *c);
