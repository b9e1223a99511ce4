# The pure parts of xl: what configurations, options and terminals mean, and how its outputs look. No
# hypervisor, no store. Objects for both homes; who makes a program of them links them.
XL_PURE := $(addprefix dom0-tools/,commands.c complete.c config.c config_channel.c config_cpus.c config_disk.c config_json.c config_print.c config_spec.c config_text.c \
    config_uuid.c config_vif.c edit.c json.c json_read.c options.c print.c print_info.c print_top.c text.c)
XL_HEADERS := complete config config_internal config_spec config_text edit json json_read options print text
XL := $(BUILD)/dom0-tools/xl
XL_CFLAGS := -std=gnu11 -D_GNU_SOURCE -O2 -g -Wall -Wextra -Werror -Wshadow -Wmissing-prototypes -Wstrict-prototypes -Wvla \
    -fno-strict-aliasing -Ixen-like/include -MMD -MP
XL_OBJS := $(XL_PURE:dom0-tools/%.c=$(XL)/%.o)
RT_XL_OBJS := $(XL_PURE:dom0-tools/%.c=$(RT)/xl/%.o)

$(XL)/%.o: dom0-tools/%.c dom0-tools/xl.mk
	@mkdir -p $(@D)
	$(Q)$(CC) $(XL_CFLAGS) -c -o $@ $<
$(RT)/xl/%.o: dom0-tools/%.c dom0-tools/xl.mk $(NEWLIB)/stamp | $(RT_INCLUDES)
	@mkdir -p $(@D)
	$(Q)$(CC) $(RT_CPPFLAGS) $(RT_CFLAGS) -c -o $@ $<

.PHONY: xl-objects check-xl-headers
#: xl-objects     compile the pure parts of xl for Linux and for the runtime
xl-objects: $(XL_OBJS) $(RT_XL_OBJS)
check-xl-headers:
	@for h in $(XL_HEADERS:%=dom0-tools/%.h); do \
	    echo "#include \"$$h\"" | $(CC) $(filter-out -MMD -MP,$(XL_CFLAGS)) -I. -x c -fsyntax-only - || exit 1; \
	done
check-headers: check-xl-headers
-include $(wildcard $(XL)/*.d)

.PHONY: cppcheck-xl clang-tidy-xl variants-xl
cppcheck-xl:
	cppcheck --quiet --enable=warning,portability --error-exitcode=1 --suppressions-list=tests/cppcheck.txt \
	    -Ixen-like/include -D__x86_64__ -D__GNUC__ --std=c11 $(XL_PURE)
clang-tidy-xl:
	@echo $(XL_PURE) | xargs -n 1 -P $(JOBS) sh -c 'clang-tidy --quiet "$$@" -- -std=gnu11 -D_GNU_SOURCE -Ixen-like/include 2>&1 | \
	    grep -E "(warning|error):" && exit 255; exit 0' tidy
variants-xl:
	+$(Q)$(MAKE) --no-print-directory CC=clang BUILD=$(BUILD)/variants/clang-y xl-objects
cppcheck: cppcheck-xl
clang-tidy: clang-tidy-xl
variants: variants-xl
