# The store as its users meet it: Debian's clients and libxenstore, clients that mean harm, and domains in a
# hypervisor in memory. All is built with sanitizers.
ST := $(BUILD)/store
ST_SAN := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer

$(ST)/%.o: %.c xenstore/xenstore.mk tests/store/store.mk
	@mkdir -p $(@D)
	$(Q)$(CC) $(XS_CFLAGS) $(ST_SAN) -c -o $@ $<
$(ST)/xen-like-stored: $(XS_SRCS:%.c=$(ST)/%.o)
	$(Q)$(CC) $(ST_SAN) -o $@ $^ $(XS_LIBS)
$(ST)/store_tests: $(ST)/tests/store/store_tests.o
	$(Q)$(CC) $(ST_SAN) -o $@ $^ -lxenstore -lcunit
# rings.c, which is in the test, with libraries and a platform in memory
$(ST)/rings_tests: $(addprefix $(ST)/,tests/store/rings_tests.o $(XS_CORE:%.c=%.o) \
        $(addprefix xen-like/platform/,fake.o memory.o loop.o log.o))
	$(Q)$(CC) $(ST_SAN) -o $@ $^ -lcunit -lpthread

# One source of a client, with Debian's library and with ours.
ST_OURS := $(addprefix $(ST)/,xen-like/lib/xenstore.o xen-like/lib/xenstore_conn.o $(patsubst %,xen-like/platform/%.o,posix loop log))
# (Debian's loses some bytes when the daemon goes away, so it is not for the leak checker.)
$(ST)/client_tests: $(XS)/tests/store/client_tests.o
	$(Q)$(CC) -o $@ $^ -lxenstore -lcunit -lpthread
$(ST)/client_tests_ours.o: tests/store/client_tests.c xenstore/xenstore.mk tests/store/store.mk
	@mkdir -p $(@D)
	$(Q)$(CC) $(XS_CFLAGS) -Ixen-like/lib -DOURS $(ST_SAN) -c -o $@ $<
$(ST)/client_tests_ours: $(ST)/client_tests_ours.o $(ST_OURS)
	$(Q)$(CC) $(ST_SAN) -o $@ $^ -lcunit -lpthread
# ... and ours with a store that is in the test
$(ST)/tests/store/reconnect_tests.o: XS_CFLAGS += -Ixen-like/lib
$(ST)/reconnect_tests: $(ST)/tests/store/reconnect_tests.o $(ST_OURS)
	$(Q)$(CC) $(ST_SAN) -o $@ $^ -lcunit -lpthread
ST_CLIENTS := $(ST)/client_tests $(ST)/client_tests_ours

.PHONY: test-store soak-store
#: test-store     the store with Debian's xenstore-* and libxenstore, domains, hostile clients, and kill -9
test-store: $(ST)/store_tests $(ST)/rings_tests $(ST)/reconnect_tests $(ST)/xen-like-stored $(ST_CLIENTS)
	@for t in $(ST_CLIENTS) $<; do echo "== $$t"; $$t $(ST)/xen-like-stored || exit 1; done
	@for t in $(ST)/rings_tests $(ST)/reconnect_tests; do echo "== $$t"; $$t || exit 1; done

#: soak-store     the store killed 1,000 times at some instruction, without and with a ring, and 200 times as a daemon
soak-store: $(BUILD)/unit/test_store_crash $(BUILD)/unit/test_store_ring $(ST)/store_tests $(ST)/xen-like-stored
	STORE_KILLS=1000 $(BUILD)/unit/test_store_crash
	STORE_KILLS=1000 $(BUILD)/unit/test_store_ring
	STORE_KILLS=200 $(ST)/store_tests $(ST)/xen-like-stored
test-programs: $(ST)/store_tests $(ST)/rings_tests $(ST)/reconnect_tests $(ST)/xen-like-stored $(ST_CLIENTS)
-include $(shell find $(ST) -name '*.d' 2>/dev/null)
