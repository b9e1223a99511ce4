# The block backend: its core is in the control domain's image and in tests, too (BLKBACK_CORE); on Linux a program of its own.
BLKBACK_CORE := $(addprefix backends/block/,blkback.c queue.c blk_request.c disk.c disk_ram.c disks.c partitions.c gpt.c ram_disks.c) \
    $(addprefix xen-like/lib/,ring.c ports.c xenbus.c xenbus_class.c xenbus_nodes.c)
