# Networks of stock Debian guests for long: iperf3 between two, and through both cards, interfaces that come and go under load.
# The machines are scenarios of network_tests.c in the group "networks", with an image of their own.
NETWORKS := $(SYSTEM)/networks
IPERF3 := $(DEBIAN)/iperf3
$(IPERF3)/usr/bin/iperf3: $(DEBIAN)/stamp
	$(Q)tests/system/fetch.sh $(DEBIAN) iperf3 iperf3 usr/bin/iperf3 </dev/null && touch $@

# The guests' ramdisk, and the control domain's, whose commands for tests are those of soak-guests.
$(NETWORKS)/traffic.gz: $(SYSTEM)/guest.gz $(IPERF3)/usr/bin/iperf3 tests/system/networks/traffic
	@mkdir -p $(@D)
	@echo "  CPIO    $@"
	$(Q)rm -rf $@.tree && cp -r $(IPERF3) $@.tree && install -t $@.tree/usr/bin tests/system/networks/traffic
	$(Q){ cat $<; (cd $@.tree && find . -mindepth 1 | LC_ALL=C sort | \
	    cpio --quiet --reproducible -o -H newc -R 0:0) | gzip -6n; } >$@.tmp && rm -rf $@.tree && mv $@.tmp $@
$(NETWORKS)/ramdisk.cpio: $(NETWORKS)/traffic.gz $(DEBIAN)/vmlinux $(wildcard dom0-tools/control/ramdisk/*)
	@echo "  CPIO    $@"
	$(Q)rm -rf $@.tree && cp -r dom0-tools/control/ramdisk $@.tree && cp $(DEBIAN)/vmlinux $(NETWORKS)/traffic.gz $@.tree
	$(Q)(cd $@.tree && find . -mindepth 1 | LC_ALL=C sort | cpio --quiet --reproducible -o -H newc -R 0:0) >$@.tmp
	$(Q)rm -rf $@.tree && mv $@.tmp $@
$(NETWORKS)/networks.iso: $(HV) $(BUILD)/bench-tools/control.elf $(NETWORKS)/ramdisk.cpio tests/system/mkiso.sh
	@echo "  ISO     $@"
	$(Q)tests/system/mkiso.sh -t -o $@ -x $(HV) -f $(BUILD)/bench-tools/control.elf -f $(NETWORKS)/ramdisk.cpio

NETWORKS_GROUP ?= networks# networks, or networks-early: an interface taken away before its backend is connected
.PHONY: soak-networks
#: soak-networks  iperf3 between Debian guests, through virtio-net and e1000e, and an interface attached and detached 100 times
soak-networks: $(SYSTEM)/system_tests $(NETWORKS)/networks.iso
	$(Q)$(SYSTEM)/system_tests -j 1 -l $(BUILD)/logs -n "$(TEST_NAME)" -d $(SYSTEM) $(NETWORKS)/networks.iso $(NETWORKS_GROUP)
