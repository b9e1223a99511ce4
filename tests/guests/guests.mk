# The PV test kernels: one C file each, one ELF each (build/guests/NAME.elf), on top of common/.
# crash.c makes one kernel for each way in which a domain can end itself, crash_WAY.elf.
# What each needs of the machine is in guests.tsv.
#: guests         build build/guests/*.elf, the PV test kernels
GUEST_CRASHES := $(shell sed -n 's/^WAY(\([a-z_]*\)).*/crash_\1/p' tests/guests/crash.c)
GUESTS := $(filter-out crash,$(patsubst tests/guests/%.c,%,$(sort $(wildcard tests/guests/*.c)))) \
    $(GUEST_CRASHES)
GUEST_ELFS := $(GUESTS:%=$(BUILD)/guests/%.elf)
GUEST_COMMON := $(patsubst tests/%.c,$(BUILD)/%.o,$(wildcard tests/guests/common/*.c))

# ELF notes: with a hypercall page and the p2m next to the image, but for these.
GUEST_NOTES_mmu := -DINIT_P2M=0x8000000000
GUEST_NOTES_usermode := -DINIT_P2M=0x8000000000 -DNO_HYPERCALL_PAGE

GUEST_CPPFLAGS = -nostdinc -isystem $(shell $(CC) -print-file-name=include) \
    -isystem $(BUILD)/include -Itests/guests/common -D__XEN_INTERFACE_VERSION__=0x00040e00 -MMD -MP
GUEST_CFLAGS := -std=gnu11 -O2 -g -ffreestanding -fno-stack-protector -fno-common -mno-red-zone \
    -mcmodel=kernel -mgeneral-regs-only -fno-pic -fno-omit-frame-pointer \
    -fno-asynchronous-unwind-tables -fno-strict-aliasing -fno-delete-null-pointer-checks \
    -fcf-protection=none -fno-jump-tables -Wall -Wextra -Werror -Wshadow -Wmissing-prototypes \
    -Wstrict-prototypes -Wvla -Wno-unused-parameter

$(BUILD)/guests/common/%.o: tests/guests/common/%.c tests/guests/guests.mk | $(BUILD)/include
	@mkdir -p $(@D)
	$(Q)$(CC) $(GUEST_CPPFLAGS) $(GUEST_CFLAGS) -c -o $@ $<

$(BUILD)/guests/start/%.o: tests/guests/common/start.S tests/guests/guests.mk | $(BUILD)/include
	@mkdir -p $(@D)
	$(Q)$(CC) $(GUEST_CPPFLAGS) -D__ASSEMBLY__ $(GUEST_NOTES_$*) -c -o $@ $<

$(BUILD)/guests/crash_%.o: tests/guests/crash.c tests/guests/guests.mk | $(BUILD)/include
	@mkdir -p $(@D)
	$(Q)$(CC) $(GUEST_CPPFLAGS) $(GUEST_CFLAGS) -DGUEST_NAME='"crash_$*"' -DCRASH=$* -c -o $@ $<

# One that is too large for one file has more in a folder.
FUZZ_PARTS := $(patsubst tests/%.c,$(BUILD)/%.o,$(wildcard tests/guests/fuzz/*.c))
$(BUILD)/guests/fuzz/%.o: tests/guests/fuzz/%.c tests/guests/guests.mk | $(BUILD)/include
	@mkdir -p $(@D)
	$(Q)$(CC) $(GUEST_CPPFLAGS) $(GUEST_CFLAGS) -c -o $@ $<
$(BUILD)/guests/fuzz.elf: $(FUZZ_PARTS)

$(BUILD)/guests/%.o: tests/guests/%.c tests/guests/guests.mk | $(BUILD)/include
	@mkdir -p $(@D)
	$(Q)$(CC) $(GUEST_CPPFLAGS) $(GUEST_CFLAGS) -DGUEST_NAME='"$*"' -c -o $@ $<

$(BUILD)/guests/%.elf: $(BUILD)/guests/%.o $(BUILD)/guests/start/%.o $(GUEST_COMMON) \
        tests/guests/common/guests.lds
	@echo "  GUEST   $@"
	$(Q)$(LD) -nostdlib -static -z max-page-size=4096 -z noexecstack \
	    -T tests/guests/common/guests.lds -o $@ $(filter %.o,$^)

.PHONY: guests
.SECONDARY: $(GUEST_COMMON) $(FUZZ_PARTS) $(GUESTS:%=$(BUILD)/guests/%.o) $(GUESTS:%=$(BUILD)/guests/start/%.o)
guests: $(GUEST_ELFS)
GUEST_DEPS := $(wildcard $(BUILD)/guests/*.d $(BUILD)/guests/*/*.d)
$(GUEST_DEPS): ;
-include $(GUEST_DEPS)
