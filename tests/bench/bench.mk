# The benchmark: our hypervisor (built with DEBUG=n) and Debian's Xen on the same machine, in
# instructions. The kernel is bench.c, an initial domain on our runtime; targets.tsv has the rows and
# the targets, record.tsv what `make test` guards. See the README's section for what is printed.
BENCH := $(BUILD)/bench
BENCH_FIGURES := figures# what is checked in: the tables and the pictures
BENCH_KERNEL := $(RT)/rt_bench.elf
BENCH_HV_CMDLINE := com1=115200,8n1 console=com1 loglvl=all guest_loglvl=all noreboot dom0_mem=256M
RELEASE := $(BUILD)/release

$(RT)/bench_stubs.o: tests/bench/stubs.S xen-like/xen-like.mk | $(BUILD)/include
	@mkdir -p $(@D)
	$(Q)$(CC) $(RT_CPPFLAGS) -D__ASSEMBLY__ -c -o $@ $<
$(RT)/rt_bench.pass1 $(RT)/rt_bench.elf: $(RT)/bench_stubs.o $(RT)/bench_child.o
$(RT)/rt_growth.pass1 $(RT)/rt_growth.elf: $(RT)/bench_child.o

# Second domains.
$(RT)/bench_child.o: tests/bench/child.c xen-like/xen-like.mk $(NEWLIB)/stamp | $(BUILD)/include
	@mkdir -p $(@D)
	$(Q)$(CC) $(RT_CPPFLAGS) $(RT_CFLAGS) -DKERNEL_NAME='"rt_bench"' -c -o $@ $<
-include $(RT)/bench_child.d

$(RELEASE)/xen-like.gz: FORCE
	+$(Q)$(MAKE) --no-print-directory $(if $(V),,-s) DEBUG=n BUILD=$(RELEASE) $@

# Images: HYPERVISOR.iso runs all groups of bench.c, HYPERVISOR-WORD.iso what WORD names.
bench_hv = $(if $(filter xen%,$(1)),$(PEER)/xen-4.17.gz,$(RELEASE)/xen-like.gz)
define bench_iso
$(BENCH)/$(1).iso: $(call bench_hv,$(1)) $(BENCH_KERNEL) tests/system/mkiso.sh tests/bench/bench.mk
	@mkdir -p $$(@D)
	@echo "  ISO     $$@"
	$$(Q)tests/system/mkiso.sh -o $$@ -x $$< -c "$(BENCH_HV_CMDLINE)" \
	    -m "$(BENCH_KERNEL) $(word 2,$(subst -, ,$(1)))"
endef
BENCH_ISOS := ours ours-counts ours-machine xen xen-machine
$(foreach i,$(BENCH_ISOS),$(eval $(call bench_iso,$(i))))

.PHONY: bench bench-images bench-kernel bench-guard bench-record
# All of them are run, also when one has failed.
BENCH_PARTS := kernel linux guests sched growth store
#: bench          ours and Debian's Xen side by side: tables, build/bench.tsv, the pictures in figures/
bench: deps
	+$(Q)failed=0; for part in $(BENCH_PARTS); do \
	    $(MAKE) --no-print-directory bench-$$part || failed=1; \
	done; exit $$failed

# What counts boot's instructions is growth.mk's.
BENCH_BOOT := $(BUILD)/bench-growth
bench-images: $(BENCH_ISOS:%=$(BENCH)/%.iso) $(BUILD)/xen-like.gz \
    $(addprefix $(BENCH_BOOT)/,plugin.so ours.elf xen.elf)
#: bench-kernel   the part of it that a small kernel measures: hypercalls, traps, page tables, boot
bench-kernel: deps
	+$(Q)$(MAKE) --no-print-directory -j$(JOBS) bench-images
	$(Q)tests/bench/bench.sh $(BENCH) $(BENCH_BOOT) $(BUILD)/bench.tsv $(BENCH_FIGURES) \
	    $(BUILD)/xen-like.gz $(PEER)/xen-4.17.gz

# The guard in `make test`. The record is of what gcc makes.
#: bench-guard    is an operation over 5 % dearer than tests/bench/record.tsv says? In make test
BENCH_GUARD = tests/bench/guard.sh $(1) $(BENCH)/ours.iso $(BENCH)/guard.log tests/bench/record.tsv
ifeq ($(findstring clang,$(CC)),)
bench-guard: $(BENCH)/ours.iso
	$(Q)$(call BENCH_GUARD)
else
bench-guard:
	@echo "bench-guard: skipped: its record is not of $(CC)"
endif

#: bench-record   write what operations cost now into tests/bench/record.tsv
bench-record: $(BENCH)/ours.iso
	$(Q)$(call BENCH_GUARD,-w)
