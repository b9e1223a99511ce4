# Formatting, static analysis, the other compilers, and what the issues count.
# Found, not asked of git: it lists nothing in somebody else's clone, and then all of this would pass.
C_FILES = $(sort $(shell find hypervisor xen-like dom0-tools xenstore backends frontends tests -name '*.[ch]'))
HV_FILES = $(sort $(shell find hypervisor -name '*.[chS]'))
# The limits of the issues.
HV_LINES_MAX := 15000
HV_GZ_MAX := 120000
# clang's own headers: gcc's <stdatomic.h> is not for it
TIDY_FLAGS = -nostdinc -isystem $(shell clang -print-file-name=include) -isystem $(BUILD)/include \
    -Ihypervisor -Ihypervisor/x86 -D__XEN_TOOLS__ -std=gnu11 -ffreestanding

.PHONY: format lint lint-parts check-headers count variants cppcheck clang-tidy
#: format         clang-format all C files in place
format:
	clang-format -i $(C_FILES)

#: check-headers  compile each header of the hypervisor by itself
check-headers: $(BUILD)/include
	@for h in $(filter hypervisor/%.h,$(HV_FILES)); do \
	    case $$h in */asm.h) continue;; esac; \
	    echo "#include \"$${h#hypervisor/}\"" | $(CC) $(HV_CPPFLAGS) $(HV_CFLAGS) -x c -fsyntax-only - || exit 1; \
	done; echo "check-headers: ok"

#: count          the hypervisor's lines (without comments and blanks) and the size of its image
count: $(BUILD)/xen-like.gz
	@n=$$(cat $(HV_FILES) | sed -f tests/strip-comments.sed | grep -c '[^[:space:]]'); \
	z=$$(stat -c %s $(BUILD)/xen-like.gz); \
	echo "hypervisor: $$n code lines (limit $(HV_LINES_MAX)), $(BUILD)/xen-like.gz: $$z bytes (limit $(HV_GZ_MAX))"; \
	test $$n -lt $(HV_LINES_MAX) && test $$z -lt $(HV_GZ_MAX)

# Asserts on and off, gcc and clang: all build without a warning. Only the hypervisor has asserts.
variants:
	+$(Q)$(MAKE) --no-print-directory CC=gcc DEBUG=n BUILD=$(BUILD)/variants/gcc-n hypervisor
	+$(Q)$(MAKE) --no-print-directory CC=clang BUILD=$(BUILD)/variants/clang-y stored consoled control xl
	+$(Q)$(MAKE) --no-print-directory CC=clang DEBUG=y BUILD=$(BUILD)/variants/clang-y all
	+$(Q)$(MAKE) --no-print-directory CC=clang DEBUG=n BUILD=$(BUILD)/variants/clang-n hypervisor
	@echo "variants: ok"

cppcheck: $(BUILD)/include
	cppcheck --quiet --enable=warning,portability --error-exitcode=1 --suppressions-list=tests/cppcheck.txt -Ihypervisor \
	    -Ihypervisor/x86 -I$(BUILD)/include -D__XEN_TOOLS__ -D__x86_64__ -D__GNUC__ --std=c11 hypervisor
	cppcheck --quiet --enable=warning,portability --error-exitcode=1 --suppressions-list=tests/cppcheck.txt \
	    -Ixen-like/include -Ixen-like -Ixen-like/lib -I$(BUILD)/include -D__XEN_TOOLS__ -D__x86_64__ -D__GNUC__ --std=c11 \
	    xenstore dom0-tools/attend dom0-tools/consoled dom0-tools/control
	cppcheck --quiet --enable=warning,portability --error-exitcode=1 --suppressions-list=tests/cppcheck.txt \
	    -Ixen-like/include -Ixen-like -Idom0-tools -Ihypervisor -I$(BUILD)/include -D__XEN_TOOLS__ -D__x86_64__ -D__GNUC__ --std=c11 \
	    dom0-tools/adopt dom0-tools/lib dom0-tools/print_why.c $(wildcard dom0-tools/xl*.c)

clang-tidy: $(BUILD)/include $(BUILD)/hypervisor/x86/offsets.h
	@echo $(filter-out %/offsets.c,$(filter %.c,$(HV_FILES))) | xargs -n 1 -P $(JOBS) \
	    sh -c 'clang-tidy --quiet "$$@" -- $(TIDY_FLAGS) 2>&1 | grep -E "(warning|error):" && exit 255; exit 0' tidy
	@echo $(wildcard xenstore/*.c dom0-tools/attend/*.c dom0-tools/consoled/*.c dom0-tools/control/*.c) | xargs -n 1 -P $(JOBS) \
	    sh -c 'clang-tidy --quiet "$$@" -- -std=gnu11 -D_GNU_SOURCE -D__XEN_TOOLS__ -Ixenstore -Ixen-like/include -Ixen-like -Ixen-like/lib 2>&1 | \
	    grep -E "(warning|error):" && exit 255; exit 0' tidy

#: lint           format, headers, cppcheck, clang-tidy, all compilers, and the counts
lint: deps
	+$(Q)$(MAKE) --no-print-directory -j$(JOBS) lint-parts
lint-parts: check-headers variants cppcheck clang-tidy count
	clang-format --dry-run -Werror $(C_FILES)
