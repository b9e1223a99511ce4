UNIT_TESTS += netfront
UNIT_SRCS_netfront := frontends/network/netfront.c frontends/frontend.c $(addprefix xen-like/lib/,ring.c ports.c xenbus.c xenbus_class.c xenbus_nodes.c) \
    tests/unit/fake_store.c tests/unit/fake_grants.c tests/unit/platform_fake.c $(addprefix xen-like/platform/,log.c loop.c memory.c)
UNIT_CFLAGS_test_netfront := -Ixen-like/lib
UNIT_CFLAGS_netfront := -Ixen-like/lib
