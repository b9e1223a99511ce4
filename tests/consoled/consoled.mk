# The console daemon with libraries and a platform in memory, under sanitizers.
ST_CONSOLED := $(addprefix $(ST)/,consoled_tests consoled_harm_tests consoled_channel_tests consoled_channel_harm_tests)
ST_CONSOLED_SRCS := $(addprefix $(ST)/,$(CONSOLED_CORE:%.c=%.o) $(XENBUS_SRCS:%.c=%.o) dom0-tools/consoled/attach.o tests/unit/fake_store.o \
    $(addprefix xen-like/platform/,fake.o memory.o loop.o log.o))
$(ST)/consoled_tests: $(ST)/tests/consoled/consoled_tests.o $(ST_CONSOLED_SRCS)
$(ST)/consoled_harm_tests: $(ST)/tests/consoled/harm_tests.o $(ST_CONSOLED_SRCS)
$(ST)/consoled_channel_tests: $(ST)/tests/consoled/channel_tests.o $(ST_CONSOLED_SRCS)
$(ST)/consoled_channel_harm_tests: $(ST)/tests/consoled/channel_harm_tests.o $(ST_CONSOLED_SRCS)
$(ST)/tests/unit/fake_store.o: XS_CFLAGS += -Wno-unused-parameter -Wno-format-truncation
$(ST_CONSOLED):
	$(Q)$(CC) $(ST_SAN) -o $@ $^ -lcunit -lpthread

.PHONY: test-consoled
#: test-consoled  the console daemon on the host: hostile guests, floods, slow clients, deaths
test-consoled: $(ST_CONSOLED)
	@for t in $^; do echo "== $$t"; $$t || exit 1; done
test-unit: test-consoled
test-programs: $(ST_CONSOLED)
