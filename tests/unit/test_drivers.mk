# Drivers of physical devices, on devices in memory.
UNIT_TESTS += disk_queue virtio_blk virtio_net nvme e1000e
UNIT_DRIVERS := tests/unit/fake_pci.c tests/unit/platform_fake.c $(addprefix xen-like/platform/,log.c loop.c memory.c)
UNIT_SRCS_disk_queue := $(UNIT_DRIVERS) backends/drivers/disk_queue.c
UNIT_SRCS_virtio_blk := $(UNIT_DRIVERS) tests/unit/fake_virtio.c tests/unit/disk_load.c \
    $(addprefix backends/drivers/,virtio.c virtio_blk.c disk_queue.c)
UNIT_SRCS_virtio_net := $(UNIT_DRIVERS) tests/unit/fake_virtio.c tests/unit/net_load.c \
    $(addprefix backends/drivers/,virtio.c virtio_net.c net_frames.c)
UNIT_SRCS_nvme := $(UNIT_DRIVERS) tests/unit/disk_load.c $(addprefix backends/drivers/,nvme.c nvme_disk.c nvme_queue.c disk_queue.c)
UNIT_SRCS_e1000e := $(UNIT_DRIVERS) tests/unit/net_load.c $(addprefix backends/drivers/,e1000e.c net_frames.c)
UNIT_DRIVERS_OBJS := $(addprefix tests/unit/,$(addsuffix .o,test_disk_queue test_virtio_blk test_virtio_net test_nvme test_e1000e disk_load net_load)) backends/drivers/%.o
$(addprefix $(BUILD)/unit/,$(UNIT_DRIVERS_OBJS)): UNIT_CFLAGS += -Ibackends
