# Split drivers: our backends in the embedded control domain beside Linux's in domain 0 of Debian's host on Debian's
# Xen, in instructions of the whole machine. Included by the Makefile after tools.mk: a part of `make bench`.
BENCH_SPLIT := $(BUILD)/bench-split

$(BENCH_SPLIT)/split: tests/bench/split/work.c tests/bench/plugin/mark.h tests/bench/split.mk
	@mkdir -p $(@D)
	$(Q)$(CC) -std=gnu11 -O2 -g -Wall -Wextra -Werror -Wshadow -Wconversion -static -o $@ $<
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
