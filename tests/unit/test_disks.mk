UNIT_TESTS += disks
UNIT_SRCS_disks := $(addprefix backends/block/,disk.c disk_ram.c disks.c partitions.c gpt.c ram_disks.c) \
    tests/unit/platform_fake.c $(addprefix xen-like/platform/,log.c loop.c memory.c)
UNIT_CFLAGS_test_disks := -Ibackends/block
