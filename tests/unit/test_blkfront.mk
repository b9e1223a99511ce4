UNIT_TESTS += blkfront
UNIT_SRCS_blkfront := frontends/block/blkfront.c frontends/frontend.c $(addprefix xen-like/lib/,ring.c ports.c xenbus.c xenbus_class.c xenbus_nodes.c) \
    tests/unit/fake_store.c tests/unit/fake_grants.c tests/unit/platform_fake.c \
    $(addprefix xen-like/platform/,log.c loop.c memory.c)
UNIT_CFLAGS_test_blkfront := -Ixen-like/lib -Ifrontends/block
UNIT_CFLAGS_blkfront := -Ixen-like/lib
UNIT_CFLAGS_frontend := -Ixen-like/lib
