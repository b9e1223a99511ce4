# Debian's Xen host with our image where xen.gz stood, and the same with Debian's Xen.
DROP_IN := $(BUILD)/drop-in
CPUS ?= 1# of the host, and of its guest
STORE ?= c# which xenstored: c, ocaml or ours
CONSOLED ?= debian# which console daemon: debian or ours
TOOLSTACK ?= debian# whose xl: debian, or ours for what it serves (host/served)
IMAGE ?= ours# which hypervisor: ours or xen
JOB ?= full# full, short, beside, cycles, managers, adopt, load, streams, frontends, blockd, netd, or the path of a script (tests/drop-in/exercise.sh)
LOAD_SECONDS ?= 600# of JOB=load, as the host counts them
DROP_IN_SECONDS ?= $(if $(filter cycles load,$(JOB)),3600,$(if $(filter managers beside,$(JOB)),2400,1200))# at most
# libxl gives a hotplug script 40 s, which it needs on a busy machine: where the time is the instructions'
# it does not matter how busy this one is. (With two CPUs QEMU would run them one after the other.)
ICOUNT := -icount shift=2,sleep=off
DROP_IN_TIME = $(if $(filter cycles managers adopt frontends,$(JOB)),$(if $(filter 1,$(CPUS)),$(ICOUNT)))
DROP_IN_SIZE = $(if $(filter load,$(JOB)),DROP_IN_MEMORY=4096 DROP_IN_DOM0=2048 DROP_IN_LINUX="drop-in.seconds=$(LOAD_SECONDS) $$DROP_IN_LINUX")
DROP_IN_SIZE += $(if $(filter streams,$(JOB)),DROP_IN_MEMORY=1280 DROP_IN_DOM0=900)
DROP_IN_EXERCISE = $(DROP_IN_SIZE) DROP_IN_QEMU="$(DROP_IN_TIME) $$DROP_IN_QEMU" tests/drop-in/exercise.sh -c $(CPUS) -s $(STORE) -o $(CONSOLED) -x $(TOOLSTACK) -j $(JOB) -t $(DROP_IN_SECONDS) \
    $(if $(filter adopt,$(JOB)),-b) \
    -l $(BUILD)/logs/drop-in-$(IMAGE)-$(notdir $(JOB))-$(STORE)-$(if $(filter ours,$(CONSOLED)),consoled-)$(if $(filter ours,$(TOOLSTACK)),tools-)$(CPUS).log

# The job "managers" has a host of its own, with what manages guests beside xl.
MANAGERS := $(DROP_IN)/managers
DROP_IN_HOST = $(if $(filter managers,$(notdir $(JOB))),$(MANAGERS),$(DROP_IN))

.PHONY: drop-in-host test-drop-in test-drop-in-quick test-drop-in-all
#: drop-in-host   Debian's Xen host, built of packages: kernel, ramdisk and disk
drop-in-host: $(DROP_IN)/stamp
$(MANAGERS)/stamp: DROP_IN_PACKAGES := -p libvirt-daemon,libvirt-daemon-driver-xen,libvirt-clients,resource-agents
DROP_IN_PROGRAMS := $(DROP_IN)/cycles $(ADOPT) $(XS)/xen-like-stored $(CONSOLED_BUILD)/xen-like-consoled $(TOOLS)/xen-like-xl $(ATTEND) $(addprefix $(BUILD)/backends/,xen-like-blockd xen-like-netd) $(BUILD)/bench-linux/bench-guest \
    $(BUILD)/bench-linux/bench-guest-init $(patsubst %,$(BUILD)/xen-like/rt_%.elf,hello blkfront answers)
$(DROP_IN)/stamp $(MANAGERS)/stamp: tests/drop-in/mkhost.sh tests/system/apt-config.sh tests/system/extract-vmlinux.sh \
        $(shell find tests/drop-in/host -type f) $(DROP_IN_PROGRAMS) $(DEBIAN)/stamp
	@echo "  HOST    $(@D)/root.img"
	$(Q)tests/drop-in/mkhost.sh $(DROP_IN_PACKAGES) tests/drop-in/host $(DEBIAN)/stress-ng $(@D) $(DROP_IN_PROGRAMS) </dev/null
$(DROP_IN)/vmlinux $(DROP_IN)/ramdisk.gz $(DROP_IN)/root.img: $(DROP_IN)/stamp ;

# A program for that host, which has Debian 12's libraries as this machine has.
$(DROP_IN)/cycles: tests/drop-in/cycles.c
	@mkdir -p $(@D)
	@echo "  CC      $@"
	$(Q)$(CC) $(SYSTEM_CFLAGS) -D__XEN_TOOLS__ -MF $@.d -o $@ $< \
	    -lxencall -lxenevtchn -lxengnttab -lxenforeignmemory
-include $(DROP_IN)/cycles.d

DROP_IN_MKISO = tests/system/mkiso.sh -t -f $(@D)/vmlinux -f $(@D)/ramdisk.gz -f $(@D)/guest-ramdisk.gz
$(DROP_IN)/ours.iso $(MANAGERS)/ours.iso: %/ours.iso: $(HV) %/stamp tests/system/mkiso.sh
	@echo "  ISO     $@"
	$(Q)$(DROP_IN_MKISO) -o $@ -x $(HV)
$(DROP_IN)/xen.iso $(MANAGERS)/xen.iso: %/xen.iso: $(PEER)/xen-4.17.gz %/stamp tests/system/mkiso.sh
	@echo "  ISO     $@"
	$(Q)$(DROP_IN_MKISO) -o $@ -x $(PEER)/xen-4.17.gz

#: test-drop-in   an administrator's exercise on that host: CPUS=1|2 STORE=c|ocaml|ours CONSOLED=debian|ours TOOLSTACK=debian|ours IMAGE=ours|xen JOB=full|short|beside|cycles|managers|adopt|load|streams|frontends|blockd|netd
test-drop-in: $(DROP_IN_HOST)/$(IMAGE).iso
	@echo "drop-in: IMAGE=$(IMAGE) JOB=$(JOB) STORE=$(STORE) CONSOLED=$(CONSOLED) TOOLSTACK=$(TOOLSTACK) CPUS=$(CPUS)"
	$(Q)$(DROP_IN_EXERCISE) $< $(DROP_IN_HOST)/root.img

# What `make test` has of it, and what `make soak` has.
test-drop-in-quick:
	+$(Q)$(MAKE) --no-print-directory test-drop-in IMAGE=ours JOB=short STORE=c CPUS=1
test-drop-in-all:
	+$(Q)for store in c ocaml ours; do for cpus in 1 2; do \
	    $(MAKE) --no-print-directory test-drop-in IMAGE=ours JOB=full STORE=$$store CPUS=$$cpus || exit 1; \
	done; done
	+$(Q)for job in adopt cycles managers; do \
	    $(MAKE) --no-print-directory test-drop-in IMAGE=ours JOB=$$job || exit 1; \
	done
	+$(Q)for store in ocaml ours; do \
	    $(MAKE) --no-print-directory test-drop-in IMAGE=ours JOB=adopt STORE=$$store || exit 1; \
	done
	+$(Q)for image in ours xen; do \
	    $(MAKE) --no-print-directory test-drop-in IMAGE=$$image JOB=short STORE=ours CONSOLED=ours || exit 1; \
	    $(MAKE) --no-print-directory test-drop-in IMAGE=$$image JOB=streams || exit 1; \
	    $(MAKE) --no-print-directory test-drop-in IMAGE=$$image JOB=frontends || exit 1; \
	done
	+$(Q)for tools in debian ours; do \
	    $(MAKE) --no-print-directory test-drop-in JOB=blockd TOOLSTACK=$$tools || exit 1; \
	done
	+$(Q)for job in netd cycles; do \
	    $(MAKE) --no-print-directory test-drop-in JOB=$$job TOOLSTACK=ours || exit 1; \
	done
	+$(Q)for job in beside full; do \
	    $(MAKE) --no-print-directory test-drop-in JOB=$$job STORE=ours CONSOLED=ours TOOLSTACK=ours CPUS=2 || exit 1; \
	done
	+$(Q)$(MAKE) --no-print-directory test-drop-in IMAGE=ours JOB=load CPUS=2

# The package on an installed host: dom0-tools/debian-host/.
INSTALLED := $(BUILD)/installed
.PHONY: installed-host test-deb test-deb-all
#: installed-host a disk with an installed Debian host, GRUB for BIOS and UEFI
installed-host: $(INSTALLED)/stamp
$(INSTALLED)/stamp: tests/drop-in/mkinstalled.sh tests/drop-in/machine.sh tests/drop-in/stamp.sh tests/system/apt-config.sh \
        $(filter-out tests/drop-in/installed/jobs/%,$(shell find tests/drop-in/installed -type f))
	@echo "  HOST    $(INSTALLED)/disk.img"
	$(Q)tests/drop-in/mkinstalled.sh tests/drop-in/installed $(INSTALLED) </dev/null

#: test-deb       the Debian package on that host: install, boot by BIOS and UEFI, remove
test-deb: $(DEB) $(INSTALLED)/stamp
	$(Q)tests/drop-in/unpack.sh
	$(Q)tests/drop-in/package.sh -d $(DEB) -h $(INSTALLED) -l $(BUILD)/logs
# Longer, for `make soak`: kernels come and go, Debian's Xen is installed, too.
test-deb-all: $(DEB) $(INSTALLED)/stamp
	$(Q)tests/drop-in/package.sh -u -d $(DEB) -h $(INSTALLED) -l $(BUILD)/logs
