# Fuzz targets, for libFuzzer of clang 14: one program per target, linked like a unit test's.
# A new target: a name in FUZZ_TARGETS, a file fuzz_NAME.c, its sources in FUZZ_SRCS_NAME, and at
# least one input in corpus/NAME/. Inputs are at most FUZZ_LEN_NAME bytes long.
FUZZ_TARGETS := acpi blkback block cmdline config decode efi elf evtchn multiboot netback options paging store stream switch
FUZZ_SECONDS ?= 60# for each target
FUZZ_CC := clang

FUZZ_BOOT := tests/fuzz/fuzz.c hypervisor/lib/format.c# what panics
FUZZ_SRCS_acpi := hypervisor/x86/acpi.c $(FUZZ_BOOT)
FUZZ_SRCS_blkback := $(UNIT_SRCS_blkback)
FUZZ_SRCS_block := backends/block/blk_request.c backends/block/gpt.c backends/block/fs_names.c
FUZZ_SRCS_cmdline := hypervisor/lib/cmdline.c hypervisor/lib/options.c hypervisor/lib/format.c
FUZZ_SRCS_config := $(UNIT_SRCS_config)
FUZZ_SRCS_decode := hypervisor/emulate/decode.c
FUZZ_SRCS_efi := hypervisor/x86/efi.c $(FUZZ_BOOT)
FUZZ_SRCS_elf := hypervisor/domain/elf.c hypervisor/lib/format.c
FUZZ_SRCS_evtchn := $(wildcard hypervisor/event/*.c)
FUZZ_SRCS_multiboot := hypervisor/x86/multiboot.c $(FUZZ_BOOT)
FUZZ_SRCS_netback := $(UNIT_SRCS_netback)
FUZZ_SRCS_options := $(UNIT_SRCS_options)
FUZZ_SRCS_paging := $(wildcard hypervisor/paging/*.c) hypervisor/memory/frame.c hypervisor/memory/heap.c \
    hypervisor/emulate/decode.c hypervisor/emulate/ptwr.c
FUZZ_SRCS_store := $(UNIT_SRCS_store)
FUZZ_SRCS_stream := $(filter-out xen-like/% tests/unit/platform_fake.c %/save.c %/suspend.c %/dump.c %/attend.c,$(UNIT_SRCS_stream))
FUZZ_SRCS_switch := $(filter-out %/capture.c,$(NETWORK_SWITCH))
FUZZ_LEN_acpi := 2048
FUZZ_LEN_blkback := 2048
FUZZ_LEN_block := 4096
FUZZ_LEN_cmdline := 256
FUZZ_LEN_config := 4096
FUZZ_LEN_decode := 33
FUZZ_LEN_efi := 512
FUZZ_LEN_elf := 2048
FUZZ_LEN_evtchn := 1024
FUZZ_LEN_multiboot := 2048
FUZZ_LEN_netback := 2048
FUZZ_LEN_options := 512
FUZZ_LEN_paging := 1025
FUZZ_LEN_store := 8192
FUZZ_LEN_stream := 4096
FUZZ_LEN_switch := 8192

FUZZ_CFLAGS = $(filter-out $(UNIT_INSTRUMENT),$(UNIT_CFLAGS)) -Itests/fuzz -Ixen-like/lib -Ibackends/block -fno-sanitize-recover=undefined
FUZZ_BINS := $(FUZZ_TARGETS:%=$(BUILD)/fuzz/fuzz_%)

$(BUILD)/fuzz/%.o: %.c $(filter-out %.d,$(MAKEFILE_LIST)) | $(BUILD)/include
	@mkdir -p $(@D)
	$(Q)$(FUZZ_CC) $(FUZZ_CFLAGS) -fsanitize=fuzzer-no-link,address,undefined -c -o $@ $<

define fuzz_target
$(BUILD)/fuzz/fuzz_$(1): $$(patsubst %.c,$(BUILD)/fuzz/%.o,tests/fuzz/fuzz_$(1).c $(FUZZ_SRCS_$(1)) $(UNIT_COMMON))
	$(Q)$(FUZZ_CC) -fsanitize=fuzzer,address,undefined -o $$@ $$^
.PHONY: fuzz-$(1)
fuzz-$(1): $(BUILD)/fuzz/fuzz_$(1)
	@mkdir -p $(BUILD)/fuzz/corpus/$(1)
	@echo "== $$<, $(FUZZ_SECONDS) s"
	@$$< -max_total_time=$(FUZZ_SECONDS) -max_len=$(FUZZ_LEN_$(1)) -len_control=10 -timeout=30 -print_final_stats=1 -verbosity=0 \
	    -artifact_prefix=$(BUILD)/fuzz/$(1)- $(BUILD)/fuzz/corpus/$(1) tests/fuzz/corpus/$(1)
endef
$(foreach t,$(FUZZ_TARGETS),$(eval $(call fuzz_target,$(t))))

.PHONY: fuzz fuzz-merge test-corpus
#: fuzz           fuzz each target for FUZZ_SECONDS (60); fuzz-NAME: one of them. Findings in build/fuzz/
fuzz: deps
	+@for t in $(FUZZ_TARGETS); do $(MAKE) --no-print-directory fuzz-$$t || exit 1; done

# What was found in build/fuzz/corpus and reaches something new goes to tests/fuzz/corpus.
fuzz-merge: $(FUZZ_BINS)
	@for t in $(FUZZ_TARGETS); do mkdir -p $(BUILD)/fuzz/corpus/$$t; \
	    $(BUILD)/fuzz/fuzz_$$t -set_cover_merge=1 -verbosity=0 tests/fuzz/corpus/$$t $(BUILD)/fuzz/corpus/$$t || exit 1; done

# Each input that is kept, once: part of test-unit.
test-corpus: $(FUZZ_BINS)
	@for t in $(FUZZ_TARGETS); do b=$(BUILD)/fuzz/fuzz_$$t; \
	    echo "== $$b: $$(ls tests/fuzz/corpus/$$t | wc -l) inputs"; \
	    $$b -runs=0 -artifact_prefix=$(BUILD)/fuzz/$$t- tests/fuzz/corpus/$$t > $$b.log 2>&1 || { cat $$b.log; exit 1; }; done
test-programs: $(FUZZ_BINS)
test-unit: test-corpus
-include $(shell find $(BUILD)/fuzz -name '*.d' 2>/dev/null)
