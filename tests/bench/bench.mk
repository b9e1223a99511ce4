# The benchmark: tests/bench/bench.c on our hypervisor and on Debian's Xen, in instructions.
$(RT)/bench_stubs.o: tests/bench/stubs.S xen-like/xen-like.mk | $(BUILD)/include
	@mkdir -p $(@D)
	$(Q)$(CC) $(RT_CPPFLAGS) -D__ASSEMBLY__ -c -o $@ $<
$(RT)/rt_bench.pass1 $(RT)/rt_bench.elf: $(RT)/bench_stubs.o
