/* Private to console/: the registry of debug keys. */
#pragma once
#include "console/console.h"

/** Register the keys that the console has itself: h and R. */
void debug_keys_init(void);
