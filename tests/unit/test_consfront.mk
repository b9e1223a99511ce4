UNIT_TESTS += consfront
UNIT_SRCS_consfront := frontends/console/consfront.c frontends/frontend.c $(addprefix xen-like/lib/,xenbus.c xenbus_class.c xenbus_nodes.c) tests/unit/fake_store.c \
    tests/unit/platform_fake.c $(addprefix xen-like/platform/,log.c loop.c memory.c)
UNIT_CFLAGS_test_consfront := -Ixen-like/lib
UNIT_CFLAGS_consfront := -Ixen-like/lib
