# xen-like: one flat Makefile, out of tree in build/. `make help` lists the targets.
BUILD := build
ifeq ($(origin CC),default)
CC := gcc
endif
DEBUG ?= y# n: without ASSERT
JOBS := $(shell nproc)
Q := $(if $(V),,@)# V=1 shows the commands

.PHONY: help all test clean
.DEFAULT_GOAL := all

#: all            build build/xen-like.gz, build/hypervisor/xen-like and build/guests/*.elf
all: hypervisor guests

#: help           this list
help:
	@sed -n 's/^#: *//p' $(MAKEFILE_LIST)

include hypervisor/hypervisor.mk
include backends/network/network.mk
include tests/unit/unit.mk
include tests/unit/coverage.mk
include tests/fuzz/fuzz.mk
include tests/guests/guests.mk
include xen-like/xen-like.mk
include backends/drivers/drivers.mk
include frontends/frontends.mk
include dom0-tools/xl.mk
include dom0-tools/tools.mk
include dom0-tools/attend/attend.mk
include tests/system/system.mk
include xenstore/xenstore.mk
include dom0-tools/adopt/adopt.mk
include dom0-tools/consoled/consoled.mk
include backends/block/block.mk
include dom0-tools/control/control.mk
include dom0-tools/debian-host/debian-host.mk
include tests/drop-in/drop-in.mk
include tests/bench/bench.mk
include tests/bench/growth.mk
include tests/bench/linux.mk
include tests/bench/store.mk
include tests/bench/tools.mk
include tests/bench/split.mk
include tests/store/store.mk
include tests/xl/xl.mk
include tests/drivers/drivers.mk
include tests/consoled/consoled.mk
include tests/lint.mk

# What the tests boot is made at once, so that no processor waits for one image; nor does one beside the tests that are one machine.
TEST_IMAGES := $(addprefix $(SYSTEM)/,guests.iso test.iso run.iso disk.img root.img guest-disk.img) $(DROP_IN)/ours.iso $(DRIVERS_TESTS)/drivers.iso \
    $(if $(findstring clang,$(CC)),,$(BENCH)/ours.iso) $(PEER)/xen-4.17.gz
.PHONY: test-images test-short test-beside
test-images: $(TEST_IMAGES)
TEST_SHORT := test-run test-store bench-guard test-peer-quick test-drivers
test-short:
	+$(Q)for part in $(TEST_SHORT); do $(MAKE) --no-print-directory TEST_JOBS=1 $$part || exit 1; done
test-beside:
	+$(Q)$(MAKE) --no-print-directory -j$(JOBS) --output-sync=recurse test-drop-in-quick test-short

#: test           all tests: test-unit, test-guests, test-split-drivers, test-system; test-drop-in-quick beside test-run, test-store, bench-guard, test-peer-quick, test-drivers
TEST_PARTS := test-unit test-guests test-split-drivers test-system test-beside
test: deps
	+$(Q)for part in "-j$(JOBS) all test-programs test-images" $(TEST_PARTS); do \
	    start=$$(date +%s); $(MAKE) --no-print-directory $$part || exit 1; \
	    echo "== $$part took $$(($$(date +%s) - start)) s"; \
	done

#: clean          remove build/
clean:
	rm -rf $(BUILD)
