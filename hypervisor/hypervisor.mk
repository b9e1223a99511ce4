# The hypervisor's image.
HV_FOLDERS := lib x86 memory paging grant emulate sched event irq domain hypercall console
HV_C := $(filter-out hypervisor/x86/offsets.c,$(foreach d,$(HV_FOLDERS),$(wildcard hypervisor/$(d)/*.c)))
HV_S := $(wildcard hypervisor/x86/*.S)
HV_OBJ := $(HV_C:%.c=$(BUILD)/%.o) $(HV_S:%.S=$(BUILD)/%.o) $(BUILD)/hypervisor/x86/offsets_check.o

# Code that only boot uses: its sections get the prefix .init and are freed before a guest runs.
HV_INIT := x86/boot x86/multiboot x86/acpi x86/efi x86/calibrate x86/start_cpus domain/elf domain/builder \
    domain/modules lib/cmdline
HV_INIT_OBJ := $(HV_INIT:%=$(BUILD)/hypervisor/%.o)
$(HV_INIT_OBJ): HV_AFTER = objcopy --prefix-alloc-sections=.init $@

# Small rather than fast: what guests seldom wait for, as the benchmark says, so that the image keeps its
# limit. Not what clears memory: -Os has memset() store single bytes.
HV_SMALL := $(filter-out x86/boot,$(HV_INIT)) \
    $(addprefix hypercall/,cpu_policy domctl domctl_memory domctl_vcpu hypfs_op platform_op sched_op sysctl vcpu_ops version) \
    $(addprefix console/,console debug_key panic) $(addprefix domain/,debug main policy) \
    $(addprefix emulate/,msr policy) $(addprefix event/,audit evtchn) $(addprefix irq/,irq pci physdev) lib/format \
    $(addprefix paging/,audit foreign) sched/time $(addprefix x86/,context cpu fpu hvmap ioapic serial smp watchdog)
$(HV_SMALL:%=$(BUILD)/hypervisor/%.o): HV_OPTIMIZE := -Os

# Freestanding code sees the ABI through links, so that no header of the C library leaks in.
$(BUILD)/include:
	@test -e /usr/include/xen/xen.h || { echo "libxen-dev is missing: make deps"; exit 1; }
	@mkdir -p $@
	ln -sfn /usr/include/xen $@/xen

HV_WARN := -Wall -Wextra -Werror -Wshadow -Wmissing-prototypes -Wstrict-prototypes -Wvla -Wno-unused-parameter \
    -Wno-address-of-packed-member
HV_CPPFLAGS := -nostdinc -isystem $(shell $(CC) -print-file-name=include 2>/dev/null) -isystem $(BUILD)/include \
    -Ihypervisor -Ihypervisor/x86 -I$(BUILD)/hypervisor/x86 -D__XEN_TOOLS__ $(if $(filter n,$(DEBUG)),-DNDEBUG)
# Indirect calls go through entry.S's thunks.
HV_RETPOLINE := $(if $(findstring clang,$(CC)),-mretpoline -mretpoline-external-thunk,-mindirect-branch=thunk-extern -mindirect-branch-register)
HV_DENSE := $(if $(findstring clang,$(CC)),,-fno-align-functions -fno-align-jumps -fno-align-loops)
HV_OPTIMIZE := -O2
HV_CFLAGS = -std=gnu11 $(HV_OPTIMIZE) -g -ffreestanding -fno-stack-protector -fno-common -mno-red-zone \
    -mgeneral-regs-only -fpie -fvisibility=hidden -include hypervisor/lib/hidden.h -fno-omit-frame-pointer -fno-asynchronous-unwind-tables \
    $(HV_RETPOLINE) -fno-strict-aliasing -fno-delete-null-pointer-checks -fcf-protection=none -fno-jump-tables $(HV_DENSE) \
    -ffunction-sections $(HV_WARN)

$(BUILD)/hypervisor/%.o: hypervisor/%.c $(MAKEFILE_LIST) | $(BUILD)/include
	@mkdir -p $(@D)
	$(Q)$(CC) $(HV_CPPFLAGS) $(HV_CFLAGS) -MMD -MP -c -o $@ $<
	$(Q)$(HV_AFTER)

$(BUILD)/hypervisor/%.o: hypervisor/%.S $(BUILD)/hypervisor/x86/offsets.h $(MAKEFILE_LIST)
	@mkdir -p $(@D)
	$(Q)$(CC) $(HV_CPPFLAGS) -D__ASSEMBLY__ -MMD -MP -c -o $@ $<

# offsets.c -> .s -> offsets.h, and once more as static assertions, so that a stale header cannot link.
$(BUILD)/hypervisor/x86/offsets.h: hypervisor/x86/offsets.c $(MAKEFILE_LIST) | $(BUILD)/include
	@mkdir -p $(@D)
	$(Q)$(CC) $(HV_CPPFLAGS) $(HV_CFLAGS) -MMD -MP -MT $@ -MF $(@:.h=.d) -S -o $(@:.h=.s) $<
	$(Q)sed -n 's/.*\.ascii[[:space:]]*"->\([^ ]*\) \$$\{0,1\}\([0-9]*\).*/#define \1 \2/p' $(@:.h=.s) > $@
$(BUILD)/hypervisor/x86/offsets_check.o: hypervisor/x86/offsets.c $(BUILD)/hypervisor/x86/offsets.h
	$(Q)$(CC) $(HV_CPPFLAGS) $(HV_CFLAGS) -DOFFSETS_CHECK -include $(BUILD)/hypervisor/x86/offsets.h -c -o $@ $<

# Linked twice: the second time with the symbols of the first, for backtraces. The table lies behind
# all code, so that no address changes by it.
HV_LDFLAGS := -static -nostdlib -z noexecstack --no-warn-rwx-segments -z max-page-size=4096 --build-id=none -T hypervisor/xen-like.lds
$(BUILD)/hypervisor/symbols_none.o: hypervisor/symbols.sh
	@mkdir -p $(@D)
	$(Q)sh hypervisor/symbols.sh < /dev/null | $(CC) -x assembler -c -o $@ -
$(BUILD)/hypervisor/xen-like.pass1: $(HV_OBJ) $(BUILD)/hypervisor/symbols_none.o hypervisor/xen-like.lds
	$(Q)ld $(HV_LDFLAGS) -o $@ $(filter %.o,$^)
$(BUILD)/hypervisor/symbols.o: $(BUILD)/hypervisor/xen-like.pass1 hypervisor/symbols.sh
	$(Q)nm -n $< | sh hypervisor/symbols.sh | $(CC) -x assembler -c -o $@ -
$(BUILD)/hypervisor/xen-like: $(HV_OBJ) $(BUILD)/hypervisor/symbols.o hypervisor/xen-like.lds
	$(Q)ld $(HV_LDFLAGS) -o $@ $(filter %.o,$^)
$(BUILD)/xen-like.gz: $(BUILD)/hypervisor/xen-like
	objcopy --strip-all $< $(BUILD)/hypervisor/xen-like.stripped
	zopfli -c $(BUILD)/hypervisor/xen-like.stripped > $@

.PHONY: hypervisor
hypervisor: $(BUILD)/xen-like.gz
-include $(HV_OBJ:.o=.d) $(BUILD)/hypervisor/x86/offsets.d
