# Split drivers: our backends in the embedded control domain beside Linux's in domain 0 of Debian's host on Debian's
# Xen, in instructions of the whole machine. Included by the Makefile after tools.mk: a part of `make bench`.
BENCH_SPLIT := $(BUILD)/bench-split

BENCH_SPLIT_SRCS := $(addprefix tests/bench/split/,work.c block.c packets.c sockets.c)
$(BENCH_SPLIT)/split: $(BENCH_SPLIT_SRCS) tests/bench/split/split.h tests/bench/plugin/mark.h tests/bench/split.mk
	@mkdir -p $(@D)
	$(Q)$(CC) -std=gnu11 -O2 -g -Wall -Wextra -Werror -Wshadow -Wconversion -static -o $@ $(BENCH_SPLIT_SRCS)
# The guests' ramdisk, on all sides: a disk of the host's, so that its size is a multiple of a sector's.
$(BENCH_SPLIT)/guest.gz: $(DROP_IN)/stamp $(BENCH_SPLIT)/split tests/bench/split/init
	@echo "  CPIO    $@"
	$(Q)rm -rf $@.tree && install -D -t $@.tree/bin $(BENCH_SPLIT)/split && install tests/bench/split/init $@.tree/init
	$(Q){ cat $(DROP_IN)/guest-ramdisk.gz; (cd $@.tree && find . -mindepth 1 | LC_ALL=C sort | \
	    cpio --quiet --reproducible -o -H newc -R 0:0) | gzip -1n; } >$@.tmp
	$(Q)rm -rf $@.tree && truncate -s %512 $@.tmp && mv $@.tmp $@

# Ours: the control domain as it is, with these guests.
$(BENCH_SPLIT)/ramdisk.cpio: $(DROP_IN)/stamp $(BENCH_SPLIT)/guest.gz $(wildcard tests/bench/split/ramdisk/*)
	@echo "  CPIO    $@"
	$(Q)rm -rf $@.tree && cp -r tests/bench/split/ramdisk $@.tree && cp $(DROP_IN)/vmlinux $(BENCH_SPLIT)/guest.gz $@.tree
	$(Q)(cd $@.tree && find . -mindepth 1 | LC_ALL=C sort | cpio --quiet --reproducible -o -H newc -R 0:0) >$@.tmp
	$(Q)rm -rf $@.tree && mv $@.tmp $@
$(BENCH_SPLIT)/ours.iso: $(BENCH_LINUX_HV) $(BUILD)/control.elf $(BENCH_SPLIT)/ramdisk.cpio tests/system/mkiso.sh tests/bench/split.mk
	@echo "  ISO     $@"
	$(Q)tests/system/mkiso.sh -o $@ -x $< -c "$(BENCH_LINUX_HV_OPTIONS)" \
	    -m "$(BUILD)/control.elf ram0=64M" -m $(BENCH_SPLIT)/ramdisk.cpio
$(BENCH_SPLIT)/ours.map: tests/bench/plugin/map.sh $(BENCH_LINUX_HV) $(BUILD)/control.elf
	$(Q)tests/bench/plugin/map.sh hypervisor $(RELEASE)/hypervisor/xen-like control $(BUILD)/control.elf >$@.tmp && mv $@.tmp $@
BENCH_SPLIT_COUNT = -icount shift=0$(comma)sleep=off -plugin $(BENCH_TOOLS)/parts.so$(comma)out=$@.tmp$(comma)map=$(1)
$(BENCH_SPLIT)/ours.tsv $(BENCH_SPLIT)/ours-again.tsv: $(BENCH_SPLIT)/ours.iso $(BENCH_SPLIT)/ours.map $(BENCH_TOOLS)/parts.so tests/bench/split/run.sh
	@echo "  RUN     two guests on ours ($(@F))"
	$(Q)tests/bench/split/run.sh $< $(basename $@).log $(call BENCH_SPLIT_COUNT,$(BENCH_SPLIT)/ours.map)
	$(Q)mv $@.tmp $@

# Linux's backends, on Xen and on our hypervisor: the guests' ramdisk is the host's third disk.
BENCH_SPLIT_DISK = -device virtio-blk-pci$(comma)drive=guest -drive if=none$(comma)id=guest$(comma)format=raw$(comma)readonly=on$(comma)file=$(BENCH_SPLIT)/guest.gz
BENCH_SPLIT_HOST = $(call BENCH_HOST,../split/job,$(call BENCH_SPLIT_COUNT,$(1)) $(BENCH_SPLIT_DISK))
$(BENCH_SPLIT)/xen.map: tests/bench/split/xen-map.sh $(PEER)/xen-4.17.map
	@mkdir -p $(@D)
	$(Q)tests/bench/split/xen-map.sh $(PEER)/xen-4.17.map >$@.tmp && mv $@.tmp $@
$(BENCH_SPLIT)/hypervisor.map: tests/bench/plugin/map.sh $(BENCH_LINUX_HV)
	@mkdir -p $(@D)
	$(Q)tests/bench/plugin/map.sh hypervisor $(RELEASE)/hypervisor/xen-like >$@.tmp && mv $@.tmp $@
define BENCH_SPLIT_RUN
	@echo "  RUN     two guests of Debian's host ($(@F))"
	$(Q)$(call BENCH_SPLIT_HOST,$(filter %.map,$^))
	$(Q)mv $@.tmp $@
endef
BENCH_SPLIT_NEEDS := $(BENCH_SPLIT)/guest.gz $(BENCH_TOOLS)/parts.so tests/bench/split/job
$(BENCH_SPLIT)/xen.tsv $(BENCH_SPLIT)/xen-again.tsv: $(BENCH_GUESTS)/xen.iso $(BENCH_SPLIT)/xen.map $(BENCH_SPLIT_NEEDS)
	$(BENCH_SPLIT_RUN)
$(BENCH_SPLIT)/linux-on-ours.tsv: $(BENCH_GUESTS)/ours.iso $(BENCH_SPLIT)/hypervisor.map $(BENCH_SPLIT_NEEDS)
	$(BENCH_SPLIT_RUN)

.PHONY: bench-split bench-split-runs
#: bench-split    disks and networks of guests: our backends beside Linux's on Debian's Xen, instructions and where they go
bench-split: deps
	$(Q)rm -f $(BENCH_SPLIT)/*.tsv
	+$(Q)$(MAKE) --no-print-directory -j$(JOBS) bench-split-runs
	$(Q)tests/bench/split/table.sh $(BENCH_SPLIT) $(BUILD)/bench-split.tsv $(BENCH_FIGURES)
bench-split-runs: $(addprefix $(BENCH_SPLIT)/,ours.tsv ours-again.tsv xen.tsv xen-again.tsv linux-on-ours.tsv)
