UNIT_TESTS += console_ring
UNIT_SRCS_console_ring := xen-like/kernel/console_ring.c
UNIT_CFLAGS_test_console_ring := -Ixen-like/kernel
