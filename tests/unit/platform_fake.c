/* platform.h's home in memory, for unit tests: their own machine has a fake_reset(), too. */
#define fake_reset platform_reset
#include "../../xen-like/platform/fake.c"
