# The toolstack: the embedded control domain on ours beside Debian's xl on Debian's Xen host, in instructions of the
# whole machine. Included by the Makefile after linux.mk: a part of `make bench`.
BENCH_TOOLS := $(BUILD)/bench-tools

# The control domain with commands more.
BENCH_CONTROL := $(patsubst %/dom0-tools/control/extra.o,$(BENCH_TOOLS)/commands.o,$(CONTROL_LINKED)) $(BENCH_TOOLS)/left.o
$(BENCH_TOOLS)/%.o: tests/bench/tools/%.c tests/bench/plugin/mark.h tests/bench/tools.mk $(NEWLIB)/stamp | $(RT_INCLUDES)
	@mkdir -p $(@D)
	$(Q)$(CC) $(RT_CPPFLAGS) $(RT_CFLAGS) -c -o $@ $<
$(BENCH_TOOLS)/pass1: $(BENCH_CONTROL) $(RT)/symbols_none.o $(RT)/runtime.a $(NEWLIB_LIBS) xen-like/xen-like.lds
	$(Q)$(RT_LINK)
$(BENCH_TOOLS)/symbols.o: $(BENCH_TOOLS)/pass1
	$(Q)nm -n $< | $(RT_SYMBOLS)
$(BENCH_TOOLS)/control.elf: $(BENCH_CONTROL) $(BENCH_TOOLS)/symbols.o $(RT)/runtime.a $(NEWLIB_LIBS) xen-like/xen-like.lds
	@echo "  KERNEL  $@"
	$(Q)$(RT_LINK)
-include $(BENCH_TOOLS)/commands.d $(BENCH_TOOLS)/left.d

# What it finds: a small kernel, Debian's with the ramdisk that the host's guest has, too, and what is done with them.
$(BENCH_TOOLS)/ramdisk.cpio: $(DROP_IN)/stamp $(BENCH_LINUX)/bench-guest $(BENCH_LINUX)/bench-guest-init $(RT)/rt_hello.elf \
        $(wildcard tests/bench/tools/ramdisk/*) tests/bench/tools/mkramdisk.sh
	@echo "  CPIO    $@"
	$(Q)tests/bench/tools/mkramdisk.sh $@ tests/bench/tools/ramdisk $(DROP_IN)/vmlinux $(DROP_IN)/guest-ramdisk.gz \
	    $(BENCH_LINUX)/bench-guest-init $(BENCH_LINUX)/bench-guest $(RT)/rt_hello.elf
$(BENCH_TOOLS)/ours.iso: $(BENCH_LINUX_HV) $(BENCH_TOOLS)/control.elf $(BENCH_TOOLS)/ramdisk.cpio tests/system/mkiso.sh tests/bench/tools.mk
	@echo "  ISO     $@"
	$(Q)tests/system/mkiso.sh -o $@ -x $< -c "$(BENCH_LINUX_HV_OPTIONS)" \
	    -m $(BENCH_TOOLS)/control.elf -m $(BENCH_TOOLS)/ramdisk.cpio

$(BENCH_TOOLS)/parts.so: $(addprefix tests/bench/plugin/,parts.c install.h mark.h qemu_plugin.h) tests/bench/tools.mk
	@mkdir -p $(@D)
	$(Q)$(CC) -std=gnu11 -O2 -Wall -Wextra -Werror -Wshadow -Wconversion -fPIC -shared -fvisibility=hidden -o $@ $<
$(BENCH_TOOLS)/map: tests/bench/plugin/map.sh $(BENCH_LINUX_HV) $(BENCH_TOOLS)/control.elf
	$(Q)tests/bench/plugin/map.sh hypervisor $(RELEASE)/hypervisor/xen-like control $(BENCH_TOOLS)/control.elf >$@.tmp && mv $@.tmp $@

.PHONY: bench-tools bench-tools-runs
#: bench-tools    xl create, list, destroy and a Debian guest to its init: the embedded control domain and Debian's host
bench-tools: deps
	$(Q)rm -f $(BENCH_TOOLS)/*.tsv
	+$(Q)$(MAKE) --no-print-directory -j$(JOBS) bench-tools-runs
	$(Q)tests/bench/tools/table.sh $(BENCH_TOOLS) $(BUILD)/bench-tools.tsv $(BENCH_FIGURES)
bench-tools-runs: $(addprefix $(BENCH_TOOLS)/,ours.tsv ours-again.tsv xen.tsv)

$(BENCH_TOOLS)/ours.tsv $(BENCH_TOOLS)/ours-again.tsv: $(BENCH_TOOLS)/ours.iso $(BENCH_TOOLS)/parts.so $(BENCH_TOOLS)/map tests/bench/tools/run.sh
	@echo "  RUN     500 guests ($(@F))"
	$(Q)tests/bench/tools/run.sh $< $(basename $@).log -plugin $(BENCH_TOOLS)/parts.so$(comma)out=$@.tmp$(comma)map=$(BENCH_TOOLS)/map
	$(Q)mv $@.tmp $@
$(BENCH_TOOLS)/xen.tsv: $(BENCH_GUESTS)/xen.iso $(BENCH_TOOLS)/parts.so tests/bench/linux/tools-job
	@echo "  RUN     the same on Debian's host"
	$(Q)$(call BENCH_HOST,tools-job,-icount shift=0$(comma)sleep=off -plugin $(BENCH_TOOLS)/parts.so$(comma)out=$@.tmp)
	$(Q)mv $@.tmp $@

# The same control domain with 500 guests at once, not counted. The second time, as the first leaves what is kept for good:
# tables of ports and mappings of domain 0 grow and do not shrink.
$(BENCH_TOOLS)/guests.cpio: $(RT)/rt_hello.elf $(wildcard tests/bench/tools/guests/*) tests/bench/tools.mk
	@mkdir -p $(@D)
	$(Q)rm -rf $@.tree && cp -r tests/bench/tools/guests $@.tree && cp $< $@.tree
	$(Q)(cd $@.tree && find . -mindepth 1 | LC_ALL=C sort | cpio --quiet --reproducible -o -H newc -R 0:0) >$@
	$(Q)rm -rf $@.tree
$(BENCH_TOOLS)/guests.iso: $(HV) $(BENCH_TOOLS)/control.elf $(BENCH_TOOLS)/guests.cpio tests/system/mkiso.sh tests/bench/tools.mk
	$(Q)tests/system/mkiso.sh -o $@ -x $< -c "$(BENCH_LINUX_HV_OPTIONS)" \
	    -m $(BENCH_TOOLS)/control.elf -m $(BENCH_TOOLS)/guests.cpio
.PHONY: soak-guests
#: soak-guests    500 guests at once in 8 GiB, created and destroyed at the embedded control domain's prompt
soak-guests: $(BENCH_TOOLS)/guests.iso
	$(Q)tests/bench/tools/run.sh $< $(BUILD)/logs/soak-guests.log && echo "soak-guests: ok"
