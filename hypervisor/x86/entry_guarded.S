/* entry.S for CPUs with flaws. */
#define GUARDED
#include "x86/entry.S"
