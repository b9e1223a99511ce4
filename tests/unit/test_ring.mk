UNIT_TESTS += ring
UNIT_SRCS_ring := xen-like/lib/ring.c
UNIT_CFLAGS_test_ring := -Ixen-like/lib
