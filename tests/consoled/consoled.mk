# The console daemon with libraries and a platform in memory, under sanitizers.
$(ST)/consoled_tests: $(addprefix $(ST)/,tests/consoled/consoled_tests.o $(CONSOLED_CORE:%.c=%.o) \
        dom0-tools/consoled/attach.o $(addprefix xen-like/platform/,fake.o memory.o loop.o log.o))
	$(Q)$(CC) $(ST_SAN) -o $@ $^ -lcunit -lpthread

.PHONY: test-consoled
#: test-consoled  the console daemon on the host: hostile guests, floods, slow clients, deaths
test-consoled: $(ST)/consoled_tests
	@echo "== $<"; $<
test-unit: test-consoled
test-programs: $(ST)/consoled_tests
