# Drivers of physical devices, on devices in memory.
UNIT_TESTS += virtio_blk virtio_net nvme
UNIT_DRIVERS := tests/unit/fake_pci.c tests/unit/platform_fake.c $(addprefix xen-like/platform/,log.c loop.c memory.c)
UNIT_SRCS_virtio_blk := $(UNIT_DRIVERS) tests/unit/fake_virtio.c tests/unit/disk_load.c \
    $(addprefix backends/drivers/,virtio.c virtio_blk.c disk_queue.c)
UNIT_SRCS_virtio_net := $(UNIT_DRIVERS) tests/unit/fake_virtio.c $(addprefix backends/drivers/,virtio.c virtio_net.c net_frames.c)
UNIT_SRCS_nvme := $(UNIT_DRIVERS) tests/unit/disk_load.c $(addprefix backends/drivers/,nvme.c nvme_disk.c nvme_queue.c disk_queue.c)
$(addprefix $(BUILD)/unit/,$(addprefix tests/unit/,$(addsuffix .o,test_virtio_blk test_virtio_net test_nvme disk_load)) backends/drivers/%.o): UNIT_CFLAGS += -Ibackends
