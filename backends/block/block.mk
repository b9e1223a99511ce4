# The block backend: its core is in the control domain's image and in tests, too (BLKBACK_CORE); on Linux a program of its own.
BLKBACK_CORE := $(addprefix backends/block/,blkback.c queue.c running.c pace.c blk_request.c disk.c disk_ram.c disks.c partitions.c gpt.c fs_names.c ram_disks.c) \
    $(addprefix xen-like/lib/,ring.c ports.c xenbus.c xenbus_class.c xenbus_nodes.c)
BLOCKD_BUILD := $(BUILD)/backends
BLOCKD_SRCS := $(BLKBACK_CORE) $(addprefix backends/block/,main.c disk_file.c) \
    $(addprefix xen-like/platform/,posix.c handles.c background.c serve.c evtchn.c xenstore.c loop.c log.c)
BLOCKD_LIBS := -lxenstore -lxenevtchn -lxengnttab -lutil -lpthread

$(BLOCKD_BUILD)/xen-like-blockd: $(BLOCKD_SRCS:%.c=$(XS)/%.o)
	@mkdir -p $(@D)
	@echo "  CC      $@"
	$(Q)$(CC) -o $@ $^ $(BLOCKD_LIBS)

.PHONY: blockd cppcheck-block
#: blockd         build build/backends/xen-like-blockd, the block backend as a Linux program
blockd: $(BLOCKD_BUILD)/xen-like-blockd
cppcheck-block: $(BUILD)/include
	cppcheck --quiet --enable=warning,portability --error-exitcode=1 --suppressions-list=tests/cppcheck.txt \
	    -Ixen-like/include -Ixen-like -Ixen-like/lib -I$(BUILD)/include -D__XEN_TOOLS__ -D__x86_64__ -D__GNUC__ --std=c11 \
	    backends/block $(filter xen-like/%,$(BLKBACK_CORE))
cppcheck: cppcheck-block
