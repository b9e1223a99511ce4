/* What stays of the command line when boot is over (cmdline.c is freed then). */
#include "lib/cmdline.h"

#include "lib/print.h"

struct options options = {
    .console_com1 = true,
    .loglvl = LOG_INFO + 1,
    .guest_loglvl = LOG_WARN + 1,
    .smep = true,
    .smap = true,
    .xpti = XPTI_AUTO,
};
