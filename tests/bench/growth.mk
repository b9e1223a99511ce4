# How cost grows: with event channels, timers, entries and memory; ours and Debian's Xen.
# Included by the Makefile, after bench.mk.
GROWTH := $(BENCH_BOOT)
GROWTH_HV := $(RELEASE)/xen-like.gz
GROWTH_KERNEL := $(RT)/rt_growth.elf

# cost-*: growth.c. boot-*: the same, stopped at its first instruction. linux-*: Debian's kernel likewise.
growth_hv = $(if $(findstring xen,$(1)),$(PEER)/xen-4.17.gz,$(GROWTH_HV))
growth_module = $(if $(findstring linux,$(1)),$(DEBIAN)/vmlinux,$(GROWTH_KERNEL))
GROWTH_ISOS := $(foreach k,cost boot linux,$(GROWTH)/$(k)-ours.iso $(GROWTH)/$(k)-xen.iso)
define growth_iso
$(GROWTH)/$(1).iso: $(call growth_hv,$(1)) $(call growth_module,$(1)) $(SYSTEM)/full.gz \
        tests/system/mkiso.sh tests/bench/growth.mk
	@mkdir -p $$(@D)
	@echo "  ISO     $$@"
	$$(Q)tests/system/mkiso.sh -o $$@ -x $$< -m $$(word 2,$$^) $(if $(findstring linux,$(1)),-m $(SYSTEM)/full.gz) \
	    -c "$(BENCH_HV_CMDLINE)$(if $(findstring cost,$(1)), dom0_max_vcpus=64)"
endef
$(foreach i,$(GROWTH_ISOS),$(eval $(call growth_iso,$(basename $(notdir $(i))))))

$(GROWTH)/plugin.so: tests/bench/growth_plugin.c tests/bench/plugin/qemu_plugin.h
	@mkdir -p $(@D)
	$(Q)$(CC) -std=gnu11 -O2 -Wall -Wextra -Werror -Wshadow -fPIC -shared -o $@ $<
$(GROWTH)/ours.elf: $(GROWTH_HV)
	@mkdir -p $(@D)
	$(Q)zcat $< >$@
$(GROWTH)/xen.elf: $(PEER)/xen-4.17.gz
	@mkdir -p $(@D)
	$(Q)zcat $< >$@

.PHONY: bench-growth bench-growth-run
#: bench-growth   how cost grows, ours and Debian's Xen: build/bench-growth.tsv, pictures
bench-growth: deps
	+$(Q)$(MAKE) --no-print-directory -j$(JOBS) $(GROWTH_ISOS) $(addprefix $(GROWTH)/,plugin.so ours.elf xen.elf)
	+$(Q)$(MAKE) --no-print-directory bench-growth-run
bench-growth-run:
	$(Q)tests/bench/growth.sh $(GROWTH) $(BUILD)/bench-growth.tsv $(BENCH_FIGURES)
