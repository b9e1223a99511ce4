/* platform/posix.h: what platform.h on Linux has beside it, for the interface libraries there. */
#pragma once
#include <platform.h>

/**
 * A descriptor as a stream, to be watched only: who has it reads it. It is made non-blocking; plat_close()
 * leaves it open. NULL: ENOMEM.
 */
struct plat_stream *plat_of_fd(int fd);
