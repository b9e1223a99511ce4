UNIT_TESTS += blkback blkback_hostile
UNIT_SRCS_blkback := $(addprefix backends/block/,blkback.c queue.c running.c pace.c blk_request.c disk.c disk_ram.c disks.c partitions.c gpt.c fs_names.c) \
    $(addprefix xen-like/lib/,ring.c ports.c xenbus.c xenbus_class.c xenbus_nodes.c) \
    tests/unit/fake_store.c tests/unit/fake_grants.c tests/unit/platform_fake.c \
    $(addprefix xen-like/platform/,log.c loop.c memory.c)
UNIT_SRCS_blkback_hostile := $(UNIT_SRCS_blkback)
UNIT_CFLAGS_test_blkback_hostile := -Ixen-like/lib -Ibackends/block
UNIT_LIBS_blkback := -Wl,--wrap=malloc
UNIT_CFLAGS_test_blkback := -Ixen-like/lib -Ibackends/block
UNIT_CFLAGS_fake_grants := -Ixen-like/lib
$(foreach f,blkback queue running ports xenbus xenbus_class xenbus_nodes,$(eval UNIT_CFLAGS_$(f) := -Ixen-like/lib))
