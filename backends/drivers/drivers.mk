# Drivers of physical devices, for the runtime: objects for who has disks, $(DRIVERS_DISK_OBJS), and who has network
# cards, $(DRIVERS_LINK_OBJS), which want frame_alloc() and frame_put() of backends/network.
DRIVERS_COMMON := drivers.c virtio.c
DRIVERS_DISKS := $(DRIVERS_COMMON) drivers_disks.c disk_queue.c virtio_blk.c nvme.c nvme_disk.c nvme_queue.c
DRIVERS_LINKS := $(DRIVERS_COMMON) drivers_links.c net_frames.c virtio_net.c e1000e.c
DRIVERS_SRCS := $(addprefix backends/drivers/,$(sort $(DRIVERS_DISKS) $(DRIVERS_LINKS)))
DRIVERS_DISK_OBJS := $(DRIVERS_DISKS:%.c=$(RT)/backends/drivers/%.o)
DRIVERS_LINK_OBJS := $(DRIVERS_LINKS:%.c=$(RT)/backends/drivers/%.o)
$(RT)/backends/drivers/%.o: backends/drivers/%.c backends/drivers/drivers.mk xen-like/xen-like.mk $(NEWLIB)/stamp | $(RT_INCLUDES)
	@mkdir -p $(@D)
	$(Q)$(CC) $(RT_CPPFLAGS) -Ibackends $(RT_CFLAGS) -c -o $@ $<

.PHONY: check-drivers-headers cppcheck-drivers clang-tidy-drivers variants-drivers drivers-objects
check-drivers-headers: $(NEWLIB)/stamp | $(RT_INCLUDES)
	@for h in $(patsubst backends/%,%,$(wildcard backends/drivers/*.h)); do \
	    echo "#include \"$$h\"" | $(CC) $(filter-out -MMD -MP,$(RT_CPPFLAGS)) -Ibackends $(RT_CFLAGS) -x c -fsyntax-only - || exit 1; \
	done
check-headers: check-drivers-headers
cppcheck-drivers: $(BUILD)/include
	cppcheck --quiet --enable=warning,portability --error-exitcode=1 --suppressions-list=tests/cppcheck.txt \
	    -Ixen-like/include -Ibackends -D__x86_64__ -D__GNUC__ --std=c11 $(DRIVERS_SRCS)
cppcheck: cppcheck-drivers
clang-tidy-drivers:
	@echo $(DRIVERS_SRCS) | xargs -n 1 -P $(JOBS) sh -c 'clang-tidy --quiet "$$@" -- -std=gnu11 -D_GNU_SOURCE -Ibackends -Ixen-like/include 2>&1 | \
	    grep -E "(warning|error):" && exit 255; exit 0' tidy
clang-tidy: clang-tidy-drivers
drivers-objects: $(sort $(DRIVERS_DISK_OBJS) $(DRIVERS_LINK_OBJS))
variants-drivers:
	+$(Q)$(MAKE) --no-print-directory CC=clang BUILD=$(BUILD)/variants/clang-y drivers-objects
variants: variants-drivers
-include $(wildcard $(RT)/backends/drivers/*.d)
