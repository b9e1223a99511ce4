# Host tests: one program per test, linked with the sources it names, lib/ and the fake machine.
# A new test: a name in UNIT_TESTS, a file test_NAME.c, and its sources in UNIT_SRCS_NAME.
UNIT_TESTS :=
# The toolstack but for files of domains (tools.mk has all of it), and what is another file in each home.
UNIT_TOOLS_LIB := $(addprefix dom0-tools/lib/,guest.c guest_config.c adopt.c attend.c build.c channels.c device_change.c device_end.c device_store.c devices.c hyp.c hyp_info.c \
    hyp_state.c image.c layout.c names.c nodes.c restarts.c shell.c shell_build.c shell_make.c transaction.c vdev.c) hypervisor/domain/elf.c hypervisor/lib/format.c
include $(sort $(wildcard tests/unit/test_*.mk))

UNIT_INSTRUMENT := -fsanitize=address,undefined -fno-sanitize-recover=undefined
UNIT_CFLAGS := -std=gnu11 -D_GNU_SOURCE -D__XEN_TOOLS__ -O1 -g -Wall -Wextra -Werror -Wno-unused-parameter \
    $(UNIT_INSTRUMENT) -fno-omit-frame-pointer \
    -Ihypervisor -Itests/unit/fake -Ixen-like/include -I$(BUILD)/include -MMD -MP
UNIT_COMMON := tests/unit/fake/fake.c
UNIT_BINS := $(UNIT_TESTS:%=$(BUILD)/unit/test_%)

$(BUILD)/unit/%.o: %.c $(filter-out %.d,$(MAKEFILE_LIST)) | $(BUILD)/include
	@mkdir -p $(@D)
	$(Q)$(CC) $(UNIT_CFLAGS) $(UNIT_CFLAGS_$(basename $(notdir $<))) -c -o $@ $<

define unit_test
$(BUILD)/unit/test_$(1): $$(patsubst %.c,$(BUILD)/unit/%.o,tests/unit/test_$(1).c $(UNIT_SRCS_$(1)) $(UNIT_COMMON))
	$(Q)$(CC) $(UNIT_CFLAGS) -o $$@ $$^ -lcunit -lm $(UNIT_LIBS_$(1))
endef
$(foreach t,$(UNIT_TESTS),$(eval $(call unit_test,$(t))))

.PHONY: test-unit test-programs
test-programs: $(UNIT_BINS) system-programs
#: test-unit      the hypervisor's logic on the host, under sanitizers
test-unit: $(UNIT_BINS)
	@printf '%s\n' $(UNIT_BINS) | xargs -P $(JOBS) -I{} sh -c \
	    'said=$$({} 2>&1); rc=$$?; printf "== %s\n%s\n" {} "$$said"; [ $$rc = 0 ] || exit 255'
-include $(shell find $(BUILD)/unit -name '*.d' 2>/dev/null)
