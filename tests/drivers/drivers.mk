# The drivers of physical devices on the devices of QEMU: kernels with a verdict, and what the host then finds on the disks.
DRIVERS_KERNELS := $(RT)/rt_disks $(RT)/rt_links
$(DRIVERS_KERNELS:%=%.o): RT_CPPFLAGS += -Ibackends -I.
$(RT)/rt_disks.pass1 $(RT)/rt_disks.elf: $(DRIVERS_DISK_OBJS)
$(RT)/rt_links.pass1 $(RT)/rt_links.elf: $(DRIVERS_LINK_OBJS)

DRIVERS_TESTS := $(BUILD)/drivers
$(DRIVERS_TESTS)/pattern: tests/drivers/pattern.c tests/drivers/pattern.h
	@mkdir -p $(@D)
	$(Q)$(CC) $(SYSTEM_CFLAGS) -o $@ $<
$(DRIVERS_TESTS)/drivers.iso: $(HV) $(DRIVERS_KERNELS:%=%.elf) tests/system/mkiso.sh $(SYSTEM)/settings
	@mkdir -p $(@D)
	@echo "  ISO     $@"
	$(Q)$(MKISO) -t -o $@ -x $(HV) -c "$(RUN_HV_CMDLINE)" $(addprefix -f ,$(filter %.elf,$^))

# Each machine of drivers.tsv that has disks has them in build/drivers/, one name each.
DRIVERS_IMAGES := blk blk4k nvme nvme4k q35blk q35nvme

.PHONY: test-drivers
#: test-drivers   our drivers of disks and network cards, on QEMU's devices
test-drivers: $(SYSTEM)/system_tests $(DRIVERS_TESTS)/drivers.iso $(DRIVERS_TESTS)/pattern tests/drivers/drivers.tsv
	$(Q)for d in $(DRIVERS_IMAGES); do $(DRIVERS_TESTS)/pattern make $(DRIVERS_TESTS)/$$d.img 32 || exit 1; done
	$(Q)$(SYSTEM)/system_tests -j $(TEST_JOBS) -l $(BUILD)/logs -n "$(TEST_NAME)" -d $(DRIVERS_TESTS) \
	    $(DRIVERS_TESTS)/drivers.iso guests tests/drivers/drivers.tsv
	$(Q)$(if $(TEST_NAME),,for d in $(DRIVERS_IMAGES); do $(DRIVERS_TESTS)/pattern check $(DRIVERS_TESTS)/$$d.img || exit 1; done)
