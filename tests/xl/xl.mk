# xl's line editing with platform.h in memory: the terminal is the test.
XL_TEST := $(BUILD)/tests/xl/test_edit
XL_TEST_SRCS := tests/xl/test_edit.c $(addprefix dom0-tools/,edit.c complete.c options.c commands.c text.c) \
    $(addprefix xen-like/platform/,fake.c memory.c loop.c log.c)

$(XL_TEST): $(XL_TEST_SRCS:%.c=$(PLATFORM)/%.o)
	@mkdir -p $(@D)
	$(Q)$(CC) $(PLATFORM_CFLAGS) -o $@ $^ -lcunit -lpthread

.PHONY: test-edit
test-edit: $(XL_TEST)
	@echo "== $(XL_TEST)"; $(XL_TEST)
test-unit: test-edit
test-programs: $(XL_TEST)

# Its Linux program at a real terminal.
XL_TERMINAL := $(BUILD)/tests/xl/test_terminal
$(XL_TERMINAL): $(addprefix $(ST)/,tests/xl/test_terminal.o $(addprefix dom0-tools/,xl_terminal.o consoled/attach.o text.o) \
        $(addprefix xen-like/platform/,posix.o handles.o xenstore.o loop.o log.o))
	@mkdir -p $(@D)
	$(Q)$(CC) $(ST_SAN) -o $@ $^ -lcunit -lpthread -lutil

.PHONY: test-terminal
test-terminal: $(XL_TERMINAL)
	@echo "== $(XL_TERMINAL)"; $(XL_TERMINAL)
test-unit: test-terminal
test-programs: $(XL_TERMINAL)

# Debian's own scripts on our output.
XL_SHOW := $(BUILD)/tests/xl/show
XL_SHOW_SRCS := tests/xl/show.c $(addprefix dom0-tools/,$(filter-out complete.c edit.c,$(notdir $(XL_PURE))))

$(XL_SHOW): $(XL_SHOW_SRCS:%.c=$(PLATFORM)/%.o)
	@mkdir -p $(@D)
	$(Q)$(CC) $(PLATFORM_CFLAGS) -o $@ $^

.PHONY: test-scripts
test-scripts: $(XL_SHOW) $(DEBIAN)/stamp
	@echo "== $<"; tests/xl/scripts.sh $(XL_SHOW) $(BUILD)/tests/xl/scripts $(DEBIAN)/pkg/xen-utils-common_*.deb \
	    $(DEBIAN)/pkg/xen-utils-4.17_*.deb
test-unit: test-scripts
test-programs: $(XL_SHOW)
