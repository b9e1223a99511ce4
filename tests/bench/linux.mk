# Debian's kernel with the same work on ours, on Debian's Xen and without a hypervisor, in instructions.
# Included by the Makefile after bench.mk: a part of `make bench`.
BENCH_LINUX := $(BUILD)/bench-linux
BENCH_LINUX_HV := $(RELEASE)/xen-like.gz
# What tcc builds there; the first is a program by itself.
BENCH_LINUX_SOURCES := $(addprefix tests/system/,bad_elf.c drive.c pool.c scenario.c)
BENCH_LINUX_KERNEL := nokaslr norandmaps panic=-1 quiet
BENCH_LINUX_MEMORY := 512# MiB of Linux, in all three

.PHONY: bench-linux bench-linux-runs
#: bench-linux    Linux with the same work on ours, on Debian's Xen and bare; a profile of our hypervisor
bench-linux: deps
	$(Q)rm -f $(BENCH_LINUX)/*.tsv
	+$(Q)$(MAKE) --no-print-directory -j$(JOBS) bench-linux-runs
	$(Q)tests/bench/linux/table.sh $(BENCH_LINUX) $(BUILD)/bench-linux.tsv $(BUILD)/bench-linux-profile.tsv $(BENCH_FIGURES)
bench-linux-runs: $(BENCH_LINUX)/ours.tsv $(BENCH_LINUX)/xen.tsv $(BENCH_LINUX)/bare.tsv

$(BENCH_LINUX)/profile.so: $(wildcard tests/bench/plugin/*.[ch]) tests/bench/linux.mk
	@mkdir -p $(@D)
	$(Q)$(CC) -std=gnu11 -O2 -Wall -Wextra -Werror -Wshadow -Wconversion -fPIC -shared \
	    -fvisibility=hidden -o $@ tests/bench/plugin/profile.c
$(BENCH_LINUX)/symbols: tests/bench/plugin/symbols.sh $(BENCH_LINUX_HV)
	@mkdir -p $(@D)
	$(Q)tests/bench/plugin/symbols.sh $(RELEASE)/hypervisor/xen-like >$@.tmp && mv $@.tmp $@

comma := ,
BENCH_LINUX_CFLAGS = -std=gnu11 -O2 -g -Wall -Wextra -Werror -Wshadow -Wconversion -static \
    '-DSOURCES=$(foreach f,$(notdir $(BENCH_LINUX_SOURCES)),"/src/$(f)"$(comma))'
$(BENCH_LINUX)/workloads: tests/bench/linux/workloads.c tests/bench/plugin/mark.h tests/bench/linux.mk
	@mkdir -p $(@D)
	$(Q)$(CC) $(BENCH_LINUX_CFLAGS) -o $@ $<
# The same with another place for itself, for bench-guests.
$(BENCH_LINUX)/bench-guest: tests/bench/linux/workloads.c tests/bench/plugin/mark.h tests/bench/linux.mk
	@mkdir -p $(@D)
	$(Q)$(CC) $(BENCH_LINUX_CFLAGS) '-DSELF="/bin/bench-guest"' -o $@ $<
$(BENCH_LINUX)/bench-guest-init: tests/bench/linux/guest-init
	@mkdir -p $(@D)
	$(Q)cp $< $@
$(BENCH_LINUX)/ramdisk.gz: tests/bench/linux/mkramdisk.sh $(BENCH_LINUX)/workloads $(DEBIAN)/stamp \
        $(wildcard tests/system/*.[ch])
	@echo "  CPIO    $@"
	$(Q)tests/bench/linux/mkramdisk.sh $(BENCH_LINUX)/workloads $(DEBIAN)/stress-ng $@ $(BENCH_LINUX_SOURCES)

BENCH_LINUX_HV_OPTIONS := com1=115200,8n1 console=com1 loglvl=error guest_loglvl=error \
    dom0_mem=$(BENCH_LINUX_MEMORY)M
$(BENCH_LINUX)/ours.iso: $(BENCH_LINUX_HV)
$(BENCH_LINUX)/xen.iso: $(PEER)/xen-4.17.gz
$(BENCH_LINUX)/%.iso: $(DEBIAN)/vmlinux $(BENCH_LINUX)/ramdisk.gz tests/system/mkiso.sh tests/bench/linux.mk
	@echo "  ISO     $@"
	$(Q)tests/system/mkiso.sh -o $@ -x $(filter %.gz,$(filter-out %/ramdisk.gz,$^)) -c "$(BENCH_LINUX_HV_OPTIONS)" \
	    -m "$(DEBIAN)/vmlinux $(BENCH_LINUX_KERNEL) console=hvc0" -m $(BENCH_LINUX)/ramdisk.gz

BENCH_LINUX_RUN = tests/bench/linux/run.sh $(BENCH_LINUX)
BENCH_LINUX_CD = -device virtio-scsi-pci -device scsi-cd$(comma)drive=cd -drive if=none,id=cd,media=cdrom,format=raw,readonly=on,file=
$(BENCH_LINUX)/ours.tsv: $(BENCH_LINUX)/ours.iso $(BENCH_LINUX)/symbols $(BENCH_LINUX)/profile.so tests/bench/linux/run.sh
	@echo "  RUN     Linux on ours"
	$(Q)$(BENCH_LINUX_RUN) ours $(BENCH_LINUX)/profile.so $(BENCH_LINUX)/symbols -m 1024 $(BENCH_LINUX_CD)$<
$(BENCH_LINUX)/xen.tsv: $(BENCH_LINUX)/xen.iso $(BENCH_LINUX)/profile.so tests/bench/linux/run.sh
	@echo "  RUN     Linux on Xen"
	$(Q)$(BENCH_LINUX_RUN) xen $(BENCH_LINUX)/profile.so '' -m 1024 $(BENCH_LINUX_CD)$<
$(BENCH_LINUX)/bare.tsv: $(DEBIAN)/vmlinuz $(BENCH_LINUX)/ramdisk.gz $(BENCH_LINUX)/profile.so tests/bench/linux/run.sh
	@echo "  RUN     Linux without a hypervisor"
	$(Q)$(BENCH_LINUX_RUN) bare $(BENCH_LINUX)/profile.so '' -m $(BENCH_LINUX_MEMORY) -kernel $(DEBIAN)/vmlinuz \
	    -initrd $(BENCH_LINUX)/ramdisk.gz -append "$(BENCH_LINUX_KERNEL) console=ttyS0"

# A job of this folder on Debian's Xen host (tests/drop-in): $(call BENCH_HOST,JOB,WHAT TIME IS), beside a target's log.
BENCH_HOST = DROP_IN_CPU=qemu64,+smep DROP_IN_QEMU="$(2) -rtc base=2023-06-10T12:00:00,clock=vm -seed 1" \
    tests/drop-in/exercise.sh -j tests/bench/linux/$(1) -t $${BENCH_HOST_SECONDS:-1800} -l $(basename $@).log $< $(DROP_IN)/root.img

# A guest of that host with the same work on ours and on Xen.
BENCH_GUESTS := $(BUILD)/bench-guests
.PHONY: bench-guests bench-guests-runs
#: bench-guests   a Debian guest on Debian's Xen host, ours and Debian's Xen: boot, disk, network, processes
bench-guests: deps
	$(Q)rm -f $(BENCH_GUESTS)/*.tsv
	+$(Q)$(MAKE) --no-print-directory -j$(JOBS) bench-guests-runs
	$(Q)tests/bench/linux/guests.sh $(BENCH_GUESTS) $(BUILD)/bench-guests.tsv $(BENCH_FIGURES)
bench-guests-runs: $(BENCH_GUESTS)/ours.tsv $(BENCH_GUESTS)/xen.tsv

$(BENCH_GUESTS)/ours.iso: $(BENCH_LINUX_HV)
$(BENCH_GUESTS)/xen.iso: $(PEER)/xen-4.17.gz
$(BENCH_GUESTS)/%.iso: $(DROP_IN)/stamp tests/system/mkiso.sh tests/bench/linux.mk
	@mkdir -p $(@D)
	@echo "  ISO     $@"
	$(Q)tests/system/mkiso.sh -t $(foreach f,vmlinux ramdisk.gz guest-ramdisk.gz,-f $(DROP_IN)/$(f)) \
	    -o $@ -x $(filter %.gz,$^)
$(BENCH_GUESTS)/%.tsv: $(BENCH_GUESTS)/%.iso $(BENCH_LINUX)/profile.so tests/bench/linux/guest-job
	@echo "  RUN     a guest on $*"
	$(Q)$(call BENCH_HOST,guest-job,-icount shift=0$(comma)sleep=off -plugin $(BENCH_LINUX)/profile.so$(comma)out=$@.tmp)
	$(Q)mv $@.tmp $@

# The scheduler of both with four guests: what each gets, by the clock of a machine whose time is its instructions.
BENCH_SCHED := $(BUILD)/bench-sched
.PHONY: bench-sched bench-sched-runs
#: bench-sched    shares and wake-up latency of Debian guests on one CPU, ours and Debian's Xen
bench-sched: deps
	$(Q)rm -f $(BENCH_SCHED)/*.done
	+$(Q)$(MAKE) --no-print-directory -j$(JOBS) bench-sched-runs
	$(Q)tests/bench/linux/sched.sh $(BENCH_SCHED) $(BUILD)/bench-sched.tsv $(BENCH_FIGURES)
bench-sched-runs: $(BENCH_SCHED)/ours.done $(BENCH_SCHED)/xen.done
$(BENCH_SCHED)/%.done: $(BENCH_GUESTS)/%.iso tests/bench/linux/sched-job
	@mkdir -p $(@D)
	@echo "  RUN     four guests on $*"
	$(Q)$(call BENCH_HOST,sched-job,$(ICOUNT))
	$(Q)touch $@
