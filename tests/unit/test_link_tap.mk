UNIT_TESTS += link_tap
UNIT_SRCS_link_tap := $(addprefix backends/network/,link_tap.c frame.c) $(addprefix xen-like/platform/,posix.c handles.c loop.c log.c)
UNIT_CFLAGS_test_link_tap := -Ixen-like
UNIT_CFLAGS_link_tap := -Ixen-like
