UNIT_TESTS += xenbus
UNIT_SRCS_xenbus := $(addprefix xen-like/lib/,xenbus.c xenbus_class.c xenbus_nodes.c) tests/unit/fake_store.c tests/unit/platform_fake.c \
    $(addprefix xen-like/platform/,log.c loop.c memory.c)
UNIT_CFLAGS_test_xenbus := -Ixen-like/lib
UNIT_CFLAGS_fake_store := -Ixen-like/lib
