# The hypervisor's image.
HV_FOLDERS := lib x86 memory paging emulate sched event irq domain hypercall console
HV_C := $(filter-out hypervisor/x86/offsets.c,$(foreach d,$(HV_FOLDERS),$(wildcard hypervisor/$(d)/*.c)))
HV_S := $(wildcard hypervisor/x86/*.S)
HV_OBJ := $(HV_C:%.c=$(BUILD)/%.o) $(HV_S:%.S=$(BUILD)/%.o)

# Freestanding code sees the ABI through links, so that no header of the C library leaks in.
$(BUILD)/include:
	@mkdir -p $@
	@test -e /usr/include/xen/xen.h || { echo "libxen-dev is missing: make deps"; exit 1; }
	ln -sfn /usr/include/xen $@/xen

HV_WARN := -Wall -Wextra -Werror -Wshadow -Wmissing-prototypes -Wstrict-prototypes -Wvla -Wno-unused-parameter \
    -Wno-address-of-packed-member
HV_CPPFLAGS := -nostdinc -isystem $(shell $(CC) -print-file-name=include) -isystem $(BUILD)/include \
    -Ihypervisor -Ihypervisor/x86 -I$(BUILD)/hypervisor/x86 -D__XEN_TOOLS__ $(if $(filter n,$(DEBUG)),-DNDEBUG)
HV_CFLAGS := -std=gnu11 -O2 -g -ffreestanding -fno-stack-protector -fno-common -mno-red-zone \
    -mgeneral-regs-only -fpie -fvisibility=hidden -include hypervisor/lib/hidden.h -fno-omit-frame-pointer -fno-asynchronous-unwind-tables \
    -fno-strict-aliasing -fno-delete-null-pointer-checks -fcf-protection=none -fno-jump-tables \
    -ffunction-sections $(HV_WARN)

$(BUILD)/hypervisor/%.o: hypervisor/%.c $(MAKEFILE_LIST) | $(BUILD)/include
	@mkdir -p $(@D)
	$(CC) $(HV_CPPFLAGS) $(HV_CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/hypervisor/%.o: hypervisor/%.S $(BUILD)/hypervisor/x86/offsets.h $(MAKEFILE_LIST)
	@mkdir -p $(@D)
	$(CC) $(HV_CPPFLAGS) -D__ASSEMBLY__ -MMD -MP -c -o $@ $<

# offsets.c -> .s -> offsets.h, and once more as static assertions, so that a stale header cannot link.
$(BUILD)/hypervisor/x86/offsets.h: hypervisor/x86/offsets.c $(MAKEFILE_LIST) | $(BUILD)/include
	@mkdir -p $(@D)
	$(CC) $(HV_CPPFLAGS) $(HV_CFLAGS) -MMD -MP -MT $@ -MF $(@:.h=.d) -S -o $(@:.h=.s) $<
	sed -n 's/^->\([^ ]*\) \$$\{0,1\}\(.*\)/#define \1 \2/p' $(@:.h=.s) > $@
$(BUILD)/hypervisor/x86/offsets_check.o: hypervisor/x86/offsets.c $(BUILD)/hypervisor/x86/offsets.h
	$(CC) $(HV_CPPFLAGS) $(HV_CFLAGS) -DOFFSETS_CHECK -include $(BUILD)/hypervisor/x86/offsets.h -c -o $@ $<

.PHONY: hypervisor
-include $(HV_OBJ:.o=.d) $(BUILD)/hypervisor/x86/offsets.d
