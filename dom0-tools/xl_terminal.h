/* xl_terminal.h: the terminal, or the script, that the Linux program is used from. */
#pragma once
#include "xl.h"

/** As xl_home has them. The console is the one that xenconsoled, Debian's or ours, names in the store. */
void terminal_show(struct xl *x);
int terminal_console(struct xl *x, const char *who, unsigned int number,
                     void (*attached)(void *arg), void *arg);
void terminal_kernel(struct xl_info *info);
bool terminal_wait(struct xl *x, unsigned int seconds, bool keys);
