UNIT_TESTS += disks fs_names
UNIT_SRCS_disks := $(addprefix backends/block/,disk.c disk_ram.c disks.c partitions.c gpt.c fs_names.c ram_disks.c) \
    tests/unit/platform_fake.c $(addprefix xen-like/platform/,log.c loop.c memory.c)
UNIT_CFLAGS_test_disks := -Ibackends/block
UNIT_SRCS_fs_names := $(UNIT_SRCS_disks)
UNIT_CFLAGS_test_fs_names := -Ibackends/block
UNIT_TESTS += disk_file
UNIT_SRCS_disk_file := $(addprefix backends/block/,disk.c disk_file.c) \
    tests/unit/platform_fake.c $(addprefix xen-like/platform/,log.c loop.c memory.c)
UNIT_CFLAGS_test_disk_file := -Ibackends/block
