/* consoled_pty.h: terminals of Linux, as Debian's `xl console` looks for them. */
#pragma once
#include <platform.h>

/* consoled_options' tty_open and tty_close. */
struct plat_stream *pty_open(char *path, size_t size);
void pty_close(struct plat_stream *tty);
