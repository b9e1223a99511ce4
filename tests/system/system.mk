# Booting images through GRUB in QEMU: `make run`, `make run-linux`, the system tests and the PV test kernels.
BUILD ?= build
HV ?= $(BUILD)/xen-like.gz# the Multiboot2 image to be booted
SYSTEM := $(BUILD)/system
DEBIAN := $(BUILD)/debian
GRUB_PLATFORMS ?= i386-pc x86_64-efi# folders of /usr/lib/grub: BIOS and UEFI
TEST_JOBS ?= 2# machines at a time
TEST_NAME ?=# only tests with this in their name
TEST_GROUP ?= test# of the system tests: test or soak
GUEST_LINES ?=# -a: all lines of guests.tsv

# What `make run` boots with; see also the environment of tests/system/run.sh.
RUN_HV_CMDLINE ?= com1=115200,8n1 console=com1 loglvl=info guest_loglvl=info
RUN_DOM0 ?= dom0_mem=256M# of the embedded control domain
RUN_KERNEL_CMDLINE ?= console=hvc0# of run-linux

SYSTEM_CFLAGS := -std=gnu11 -O2 -g -Wall -Wextra -Werror -Wshadow -Wconversion -MMD -MP
MKISO := tests/system/mkiso.sh $(GRUB_PLATFORMS:%=-p %)

BAD_ELFS := no-notes 32-bit other-machine short headers-beyond-file notes-beyond-file note-too-long \
    entry-out-of-range base-out-of-range p2m-out-of-range other-version segment-beyond-file \
    segment-wraps too-large good
BAD_ACPI := apic-checksum apic-short apic-entry
TEST_FILES := $(SYSTEM)/small.gz $(SYSTEM)/devices.gz $(SYSTEM)/tools.gz $(SYSTEM)/ours.gz $(DEBIAN)/vmlinuz $(SYSTEM)/bad/vmlinux-truncated \
    $(BAD_ELFS:%=$(SYSTEM)/bad/%) $(BAD_ACPI:%=$(SYSTEM)/bad/%) $(BUILD)/control.elf \
    $(BUILD)/control/ramdisk.cpio $(BUILD)/xen-like/rt_hello.elf

.PHONY: test-split-drivers deps run run-image run-linux run-linux-image test-system test-system-image test-guests soak test-release soak-fuzz soak-beside soak-xl soak-kills soak-disks system-programs FORCE

#: deps           install the Debian packages that all of this needs, those that are missing
deps:
	$(Q)tests/system/deps.sh </dev/null

#: run            boot the embedded control domain on the hypervisor to its prompt (from a terminal or a script)
#: run-linux      the same with Debian's kernel in its place, to a BusyBox shell
run run-linux: deps
	+$(Q)$(MAKE) --no-print-directory $@-image </dev/null
	$(Q)tests/system/run.sh $(SYSTEM)/drive $(SYSTEM)/$@.iso $(if $(filter run,$@),$(SYSTEM)/guest-disk.img)
run-image run-linux-image: %-image: $(SYSTEM)/%.iso $(SYSTEM)/drive
run-image: $(SYSTEM)/guest-disk.img

#: test-system    boot machines through GRUB, good and bad, and watch their consoles
test-system: $(SYSTEM)/system_tests $(SYSTEM)/test.iso $(SYSTEM)/disk.img $(SYSTEM)/root.img $(SYSTEM)/guest-disk.img
	$(Q)$(SYSTEM)/system_tests -j $(TEST_JOBS) -l $(BUILD)/logs -n "$(TEST_NAME)" -d $(SYSTEM) \
	    -k $(DEBIAN)/vmlinux $(SYSTEM)/test.iso $(TEST_GROUP)

#: test-run       what make run gives: to a script, and on a terminal
.PHONY: test-run
test-run: $(SYSTEM)/drive $(SYSTEM)/terminal $(SYSTEM)/run.iso
	$(Q)tests/system/run_tests.sh $(SYSTEM) $(BUILD)/logs
$(SYSTEM)/terminal: tests/system/terminal.c tests/system/system.mk
	@mkdir -p $(@D)
	@echo "  CC      $@"
	$(Q)$(CC) -std=gnu11 -O2 -Wall -Wextra -Werror -Wshadow -Wconversion -o $@ $<

#: test-split-drivers  disks, networks and consoles between domains: unit tests, and machines with stock guests
SPLIT_UNIT_TESTS := ring xenbus blkback blkback_hostile blkfront disks consfront netback netfront switch offload
test-split-drivers: $(SPLIT_UNIT_TESTS:%=$(BUILD)/unit/test_%) $(BUILD)/store/consoled_channel_tests
	@for t in $^; do said=$$($$t 2>&1) || { echo "$$said"; exit 1; }; done
	+$(Q)$(MAKE) --no-print-directory test-system TEST_GROUP=split-drivers

#: soak           the stress tests, longer and broader: fuzz, soak-fuzz, soak-beside, soak-xl, soak-store, soak-guests, soak-kills, soak-disks, soak-networks, test-release, test-deb, test-deb-all, test-drop-in-all, test-peer
soak:
	+$(Q)$(MAKE) --no-print-directory fuzz
	+$(Q)$(MAKE) --no-print-directory soak-fuzz
	+$(Q)$(MAKE) --no-print-directory soak-beside
	+$(Q)$(MAKE) --no-print-directory soak-xl
	+$(Q)$(MAKE) --no-print-directory soak-store
	+$(Q)$(MAKE) --no-print-directory soak-guests
	+$(Q)$(MAKE) --no-print-directory soak-kills
	+$(Q)$(MAKE) --no-print-directory soak-disks
	+$(Q)$(MAKE) --no-print-directory soak-networks
	+$(Q)$(MAKE) --no-print-directory test-system TEST_GROUP=soak
	+$(Q)$(MAKE) --no-print-directory test-release
	+$(Q)$(MAKE) --no-print-directory test-deb
	+$(Q)$(MAKE) --no-print-directory test-deb-all
	+$(Q)$(MAKE) --no-print-directory test-drop-in-all
	+$(Q)$(MAKE) --no-print-directory test-peer

#: test-release   the PV kernels, those beside domain 0 and the machines on the hypervisor without asserts (build/release)
test-release:
	+$(Q)for tests in test-guests soak-beside test-system; do \
	    $(MAKE) --no-print-directory DEBUG=n BUILD=build/release GUEST_LINES=-a $$tests || exit 1; \
	done

#: test-guests    boot each of build/guests/*.elf and read its verdict (GUEST_LINES=-a: also with what is for make soak)
test-guests: $(SYSTEM)/system_tests $(SYSTEM)/guests.iso tests/guests/guests.tsv tests/guests/beside.tsv
	$(Q)$(SYSTEM)/system_tests -j $(TEST_JOBS) -l $(BUILD)/logs -n "$(TEST_NAME)" $(GUEST_LINES) -b tests/guests/beside.tsv \
	    $(SYSTEM)/guests.iso \
	    guests tests/guests/guests.tsv $(GUEST_ELFS)

#: soak-beside    all that can run in a domain beside domain 0, there
soak-beside: $(SYSTEM)/system_tests $(SYSTEM)/guests.iso tests/guests/beside-soak.tsv
	$(Q)$(SYSTEM)/system_tests -j $(TEST_JOBS) -l $(BUILD)/logs -n "$(if $(TEST_NAME),$(TEST_NAME),beside-)" \
	    -b tests/guests/beside-soak.tsv $(SYSTEM)/guests.iso guests /dev/null

#: soak-xl        1,000 domains created and destroyed through our xl in the embedded control domain, with 1 and 2 CPUs
soak-xl: $(SYSTEM)/system_tests $(SYSTEM)/guests.iso tests/guests/xl-soak.tsv
	$(Q)$(SYSTEM)/system_tests -j $(TEST_JOBS) -l $(BUILD)/logs -n "$(TEST_NAME)" $(SYSTEM)/guests.iso guests tests/guests/xl-soak.tsv

#: soak-disks     stock guests with disks of our backend: fio on each kind, destroyed while they write, attached and detached 100 times
soak-disks: $(SYSTEM)/system_tests $(SYSTEM)/disks.iso $(SYSTEM)/disk.img $(SYSTEM)/gpt-disk.img
	$(Q)$(SYSTEM)/system_tests -j $(TEST_JOBS) -l $(BUILD)/logs -n "$(TEST_NAME)" -d $(SYSTEM) $(SYSTEM)/disks.iso disks

#: soak-fuzz      ten million fuzzed calls: 1 and 4 CPUs, debug and release (BUILD=build/release)
SOAK_FUZZ = $(SYSTEM)/system_tests -s -j 2 -l $(BUILD)/logs -n "$(TEST_NAME)" $(SYSTEM)/guests.iso guests \
    tests/guests/soak.tsv
soak-fuzz: $(SYSTEM)/system_tests $(SYSTEM)/guests.iso tests/guests/soak.tsv
	$(Q)$(SOAK_FUZZ)
	+$(if $(filter n,$(DEBUG)),,$(Q)$(MAKE) --no-print-directory DEBUG=n BUILD=build/release soak-fuzz)

#: soak-kills     threads of the runtime, and the store of the embedded control domain, killed 1,000 times under load
soak-kills: $(SYSTEM)/system_tests $(SYSTEM)/guests.iso tests/guests/soak-kills.tsv
	$(Q)$(SYSTEM)/system_tests -j $(TEST_JOBS) -l $(BUILD)/logs -n "$(TEST_NAME)" $(SYSTEM)/guests.iso guests \
	    tests/guests/soak-kills.tsv

# The images are built anew when what they are made of, or booted with, changes.
$(SYSTEM)/settings: FORCE
	@mkdir -p $(@D)
	@echo '$(HV)|$(RUN_HV_CMDLINE)|$(RUN_DOM0)|$(RUN_KERNEL_CMDLINE)|$(GRUB_PLATFORMS)' | cmp -s - $@ || \
	    echo '$(HV)|$(RUN_HV_CMDLINE)|$(RUN_DOM0)|$(RUN_KERNEL_CMDLINE)|$(GRUB_PLATFORMS)' >$@

$(SYSTEM)/run.iso: $(HV) $(BUILD)/control.elf $(BUILD)/control/ramdisk.cpio tests/system/mkiso.sh $(SYSTEM)/settings
	@echo "  ISO     $@"
	$(Q)$(MKISO) -o $@ -x $(HV) -c "$(RUN_HV_CMDLINE) $(RUN_DOM0)" -m $(BUILD)/control.elf -m $(BUILD)/control/ramdisk.cpio

$(SYSTEM)/run-linux.iso: $(HV) $(DEBIAN)/vmlinux $(SYSTEM)/full.gz tests/system/mkiso.sh $(SYSTEM)/settings
	@echo "  ISO     $@"
	$(Q)$(MKISO) -o $@ -x $(HV) -c "$(RUN_HV_CMDLINE)" \
	    -m "$(DEBIAN)/vmlinux $(RUN_KERNEL_CMDLINE)" -m $(SYSTEM)/full.gz

$(SYSTEM)/test.iso: $(HV) $(DEBIAN)/vmlinux $(SYSTEM)/full.gz $(TEST_FILES) tests/system/mkiso.sh \
        $(SYSTEM)/settings
	@echo "  ISO     $@"
	$(Q)$(MKISO) -t -o $@ -x $(HV) -c "$(RUN_HV_CMDLINE)" \
	    -m "$(DEBIAN)/vmlinux $(RUN_KERNEL_CMDLINE)" -m $(SYSTEM)/full.gz $(TEST_FILES:%=-f %)

$(SYSTEM)/disks.iso: $(HV) $(BUILD)/control.elf $(SYSTEM)/disks.cpio tests/system/mkiso.sh $(SYSTEM)/settings
	@echo "  ISO     $@"
	$(Q)$(MKISO) -t -o $@ -x $(HV) -c "$(RUN_HV_CMDLINE)" -f $(BUILD)/control.elf -f $(SYSTEM)/disks.cpio

$(SYSTEM)/guests.iso: $(HV) $(GUEST_ELFS) $(GUEST_RAMDISKS) tests/system/mkiso.sh $(SYSTEM)/settings
	@echo "  ISO     $@"
	$(Q)$(MKISO) -t -o $@ -x $(HV) -c "$(RUN_HV_CMDLINE)" \
	    $(addprefix -f ,$(GUEST_ELFS) $(GUEST_RAMDISKS))

# Debian's packages: fetched and unpacked once; nothing is installed.
$(DEBIAN)/stamp: tests/system/fetch.sh tests/system/extract-vmlinux.sh
	$(Q)tests/system/fetch.sh $(DEBIAN) </dev/null
$(DEBIAN)/vmlinux $(DEBIAN)/vmlinuz: $(DEBIAN)/stamp ;

# small.gz: BusyBox and the jobs. guest.gz: and what a Debian guest has drivers and file systems for. full.gz: and stress-ng. devices.gz: and drivers, e2fsck, our clock.
# tools.gz: and Xen's tools. ours.gz: and our xl, with its attendant, and store, with a guest.
INITRAMFS := $(shell find tests/system/initramfs -type f)
$(SYSTEM)/devices.gz: tests/system/mkinitramfs.sh $(INITRAMFS) $(DEBIAN)/stamp $(SYSTEM)/disk.img \
        $(SYSTEM)/clock
	@mkdir -p $(@D)
	@echo "  CPIO    $@"
	$(Q)rm -rf $(SYSTEM)/tree && cp -r $(DEBIAN)/devices $(SYSTEM)/tree
	$(Q)install -D -m 755 $(SYSTEM)/clock $(SYSTEM)/tree/usr/bin/clock
	$(Q)install -D -m 644 $(SYSTEM)/served.sha256 $(SYSTEM)/tree/etc/served.sha256
	$(Q)tests/system/mkinitramfs.sh tests/system/initramfs $(SYSTEM)/small.gz \
	    $(DEBIAN)/stress-ng $(SYSTEM)/full.gz $(SYSTEM)/tree $@ $(DEBIAN)/xen-tools $(SYSTEM)/tools.gz
$(SYSTEM)/small.gz $(SYSTEM)/full.gz $(SYSTEM)/tools.gz: $(SYSTEM)/devices.gz ;

# disks.cpio: a control domain's ramdisk with the guests of soak-disks, which have their jobs and e2fsck, one also fio.
$(DEBIAN)/fio/stamp: tests/system/fetch.sh $(DEBIAN)/stamp
	$(Q)tests/system/fetch.sh $(DEBIAN) fio fio usr/bin/fio </dev/null
DISKS_FILES := $(shell find tests/system/disks -type f)
PACK = LC_ALL=C sort | cpio --quiet --reproducible -o -H newc -R 0:0
$(SYSTEM)/disks.cpio: $(SYSTEM)/guest.gz $(DEBIAN)/fio/stamp $(DEBIAN)/vmlinux $(DISKS_FILES) tests/system/system.mk
	@echo "  CPIO    $@"
	$(Q)rm -rf $@.guest $@.tree && mkdir $@.guest $@.tree && cp -r tests/system/disks/jobs $@.guest/ && \
	    install -D $(DEBIAN)/devices/sbin/e2fsck $@.guest/sbin/e2fsck && cp tests/system/disks/*.cfg $(DEBIAN)/vmlinux $@.tree
	$(Q){ cat $(SYSTEM)/guest.gz; (cd $@.guest && find . -mindepth 1 | $(PACK)) | gzip -6n; } >$@.tree/disks.gz
	$(Q){ cat $@.tree/disks.gz; (cd $(DEBIAN)/fio && find . -mindepth 1 ! -name stamp | $(PACK)) | gzip -6n; } >$@.tree/fio.gz
	$(Q)(cd $@.tree && find . -mindepth 1 | $(PACK)) >$@.tmp
	$(Q)rm -rf $@.guest $@.tree && mv $@.tmp $@

GUEST_MODULES := xen-blkfront xen-netfront ext4 crc32c_generic
$(SYSTEM)/guest.gz: $(SYSTEM)/small.gz $(DEBIAN)/stamp tests/system/system.mk
	@echo "  CPIO    $@"
	$(Q)rm -rf $@.tree && mkdir -p $@.tree && (cd $(DEBIAN)/devices && v=$$(ls lib/modules) && \
	    for m in $(GUEST_MODULES); do PATH=$$PATH:/usr/sbin:/sbin modprobe -d . -S $$v --show-depends $$m || exit 1; done | \
	    sed -n 's/^insmod \(.*[^ ]\) *$$/\1/p' | sort -u | sed "s,^$$PWD/,," | \
	    cpio --quiet -pdm $(abspath $@.tree) && cp lib/modules/$$v/modules.* $(abspath $@.tree)/lib/modules/$$v/ && \
	    PATH=$$PATH:/usr/sbin:/sbin depmod -b $(abspath $@.tree) $$v)
	$(Q)install -D -m 644 $(SYSTEM)/served.sha256 $@.tree/etc/served.sha256
	$(Q){ cat $<; (cd $@.tree && find . -mindepth 1 | LC_ALL=C sort | \
	    cpio --quiet --reproducible -o -H newc -R 0:0) | gzip -6n; } >$@.tmp && rm -rf $@.tree && mv $@.tmp $@

$(SYSTEM)/ours.gz: $(SYSTEM)/devices.gz $(TOOLS)/xen-like-xl $(ATTEND) $(BUILD)/xenstore/xen-like-stored $(BUILD)/consoled/xen-like-consoled \
        $(RT)/rt_hello.elf
	@echo "  CPIO    $@"
	$(Q)rm -rf $@.tree && install -D -t $@.tree/usr/local/bin $(filter %xl %attend %stored %consoled,$^)
	$(Q)install -D -t $@.tree/lib/x86_64-linux-gnu $$($(CC) -print-file-name=libgcc_s.so.1) # libxenstore ends a thread
	$(Q)mkdir -p $@.tree/guests && gzip -nc $(RT)/rt_hello.elf >$@.tree/guests/hello.gz
	$(Q){ cat $(SYSTEM)/tools.gz; (cd $@.tree && find . -mindepth 1 | LC_ALL=C sort | \
	    cpio --quiet --reproducible -o -H newc -R 0:0) | gzip -6n; } >$@

$(SYSTEM)/disk.img: tests/system/mkdisk.sh $(DEBIAN)/stamp
	@mkdir -p $(@D)
	@echo "  DISK    $@"
	$(Q)tests/system/mkdisk.sh $(DEBIAN) $(SYSTEM)
$(SYSTEM)/root.img: tests/system/mkroot.sh tests/system/apt-config.sh $(DEBIAN)/stamp
	@mkdir -p $(@D)
	@echo "  ROOT    $@"
	$(Q)tests/system/mkroot.sh $(DEBIAN) $@ </dev/null
# A disk for a virtual machine: a GPT with one partition, which is that root file system.
$(SYSTEM)/guest-disk.img: tests/system/mkgpt.sh $(SYSTEM)/root.img
	@echo "  DISK    $@"
	$(Q)tests/system/mkgpt.sh $@ root=$(SYSTEM)/root.img
# A disk with two partitions, which both are disk.img.
$(SYSTEM)/gpt-disk.img: tests/system/mkgpt.sh $(SYSTEM)/disk.img
	@echo "  DISK    $@"
	$(Q)tests/system/mkgpt.sh $@ files=$(SYSTEM)/disk.img spare=$(SYSTEM)/disk.img
$(SYSTEM)/clock: tests/system/clock.c tests/system/system.mk
	@mkdir -p $(SYSTEM)/obj
	$(Q)$(CC) $(SYSTEM_CFLAGS) -MF $(SYSTEM)/obj/clock.d -static -pthread -o $@ $<

$(SYSTEM)/bad/vmlinux-truncated: $(DEBIAN)/vmlinux
	@mkdir -p $(@D)
	$(Q)head -c 4M $< >$@
$(BAD_ELFS:%=$(SYSTEM)/bad/%): $(SYSTEM)/bad/%: $(SYSTEM)/bad_elf
	@mkdir -p $(@D)
	$(Q)$(SYSTEM)/bad_elf $* $@
$(SYSTEM)/bad/acpi.stamp: tests/system/bad-acpi.sh
	@mkdir -p $(@D)
	$(Q)tests/system/bad-acpi.sh $(@D) && touch $@
$(BAD_ACPI:%=$(SYSTEM)/bad/%): $(SYSTEM)/bad/acpi.stamp ;

$(SYSTEM)/obj/%.o: tests/system/%.c tests/system/system.mk
	@mkdir -p $(@D)
	$(Q)$(CC) $(SYSTEM_CFLAGS) -c -o $@ $<
$(SYSTEM)/drive: $(addprefix $(SYSTEM)/obj/,drive.o machine.o)
	$(Q)$(CC) -o $@ $^
$(SYSTEM)/bad_elf: $(SYSTEM)/obj/bad_elf.o
	$(Q)$(CC) -o $@ $^
$(SYSTEM)/system_tests: $(addprefix $(SYSTEM)/obj/,system_tests.o block_tests.o boot_tests.o control_tests.o device_tests.o disk_tests.o enemy_tests.o network_tests.o scenario.o screen.o pool.o machine.o)
	$(Q)$(CC) -o $@ $^ -lcunit
system-programs: $(SYSTEM)/drive $(SYSTEM)/bad_elf $(SYSTEM)/system_tests $(SYSTEM)/clock
-include $(wildcard $(SYSTEM)/obj/*.d)

include tests/system/peer.mk
include tests/system/networks.mk
