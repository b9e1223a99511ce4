UNIT_TESTS += attend
UNIT_SRCS_attend := dom0-tools/attend/lock.c xen-like/platform/background.c
