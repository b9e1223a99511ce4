# The store beside Debian's C and OCaml ones, in instructions of their processes. Included by the Makefile
# after linux.mk: a part of `make bench`.
BENCH_STORE := $(BUILD)/bench-store
BENCH_STORE_CFLAGS := -std=gnu11 -D_GNU_SOURCE -O2 -Wall -Wextra -Werror -Wshadow

$(BENCH_STORE)/work: tests/bench/store/work.c tests/bench/store.mk
	@mkdir -p $(@D)
	$(Q)$(CC) $(BENCH_STORE_CFLAGS) -o $@ $< -lxenstore
$(BENCH_STORE)/no_xen.so: tests/bench/store/no_xen.c tests/bench/store.mk
	@mkdir -p $(@D)
	$(Q)$(CC) $(BENCH_STORE_CFLAGS) -fPIC -shared -o $@ $<
$(BENCH_STORE)/count.so: tests/bench/plugin/count.c tests/bench/plugin/qemu_plugin.h tests/bench/store.mk
	@mkdir -p $(@D)
	$(Q)$(CC) $(BENCH_STORE_CFLAGS) -fPIC -shared -fvisibility=hidden -o $@ $<
$(BENCH_STORE)/debian/stamp: tests/bench/store/fetch.sh
	$(Q)tests/bench/store/fetch.sh $(@D) </dev/null

.PHONY: bench-store bench-store-run
#: bench-store    the store's operations with the nodes of up to 10,000 domains, ours and Debian's two stores
bench-store: deps
	+$(Q)$(MAKE) --no-print-directory -j$(JOBS) $(XS)/xen-like-stored $(BENCH_STORE)/debian/stamp \
	    $(addprefix $(BENCH_STORE)/,work no_xen.so count.so)
	+$(Q)$(MAKE) --no-print-directory bench-store-run
bench-store-run:
	$(Q)tests/bench/store/run.sh $(BENCH_STORE) $(XS)/xen-like-stored $(BUILD)/bench-store.tsv $(BENCH_FIGURES)
