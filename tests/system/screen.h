#pragma once

#include <stdbool.h>

struct machine;

/*
 * The machine's local screen, read as text: what a person would see there.
 *
 * The screen is taken as an image, left at path (a PPM), and its cells are compared with the font
 * that Linux draws its consoles with, which is found in the kernel itself.
 */

/* Until timeout_s, look at the screen for an extended regular expression within one line.
 * False: machine_error() says why; what was read is in the log. */
bool screen_expect(struct machine *m, const char *path, const char *kernel, const char *regex,
                   double timeout_s);
