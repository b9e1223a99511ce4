# Formatting, static analysis, and what the issues count.
C_FILES = $(shell git ls-files '*.c' '*.h')
HV_FILES = $(shell git ls-files 'hypervisor/*.c' 'hypervisor/*.h' 'hypervisor/*.S')
HV_LINES_MAX := 9000
HV_GZ_MAX := 120000

#: format         clang-format all C files in place
.PHONY: format lint check-headers count
format:
	clang-format -i $(C_FILES)

#: check-headers  compile each header of the hypervisor by itself
check-headers: $(BUILD)/include
	@for h in $(filter hypervisor/%.h,$(HV_FILES)); do \
	    case $$h in */asm.h) continue;; esac; \
	    echo "#include \"$${h#hypervisor/}\"" | $(CC) $(HV_CPPFLAGS) $(HV_CFLAGS) -x c -fsyntax-only - || exit 1; \
	done; echo "check-headers: ok"

#: count          code lines of the hypervisor (without comments and blanks) and size of its image
count: $(BUILD)/xen-like.gz
	@n=$$(cat $(HV_FILES) | $(CC) -fpreprocessed -dD -E -P -x c - 2>/dev/null | grep -c '[^[:space:]]'); \
	z=$$(stat -c %s $(BUILD)/xen-like.gz); \
	echo "hypervisor: $$n code lines (limit $(HV_LINES_MAX)), $(BUILD)/xen-like.gz $$z bytes (limit $(HV_GZ_MAX))"; \
	test $$n -lt $(HV_LINES_MAX) && test $$z -lt $(HV_GZ_MAX)

#: lint           format check, headers, cppcheck, clang-tidy, line count
lint: check-headers count
	clang-format --dry-run -Werror $(C_FILES)
	cppcheck --quiet --enable=warning,portability --error-exitcode=1 --inline-suppr \
	    --suppressions-list=tests/cppcheck.txt -Ihypervisor -Ihypervisor/x86 -D__XEN_TOOLS__ --std=c11 hypervisor tests/unit
	clang-tidy --quiet $(filter hypervisor/%.c,$(HV_FILES)) -- $(HV_CPPFLAGS) $(filter-out -fno-jump-tables,$(HV_CFLAGS))
