# The benchmark: tests/bench/bench.c on our hypervisor and on Debian's Xen, in instructions. Begun: the
# kernel is there (rt_bench, an initial domain under the design's section 9, hypervisor built with
# DEBUG=n); `make bench`, its table, the pictures, Linux on both and the guard in `make test` are not.
# Above issue 5's targets by then: timer set 240 (220), event to self 667 (400), update_va_mapping 363
# (330), mmu_update single 429 (350), unpin of an L1 29,894 (25,000), base pointer 473 (420), page fault
# 448 (380), user's system call 432 (330), CPUID 342 (220), emulated PTE write 702 (620), populate 1,125
# (780), decrease 690 (330), console write 4,988 (3,000). Where to look: hc_event_channel_op's generic
# way for a send (145 instructions), hc_iret's exit with all registers, frames_free() and range_free()
# for one frame (buddies could be merged later), run by run as `-d exec,nochain -dfilter` shows it.
$(RT)/bench_stubs.o: tests/bench/stubs.S xen-like/xen-like.mk | $(BUILD)/include
	@mkdir -p $(@D)
	$(Q)$(CC) $(RT_CPPFLAGS) -D__ASSEMBLY__ -c -o $@ $<
$(RT)/rt_bench.pass1 $(RT)/rt_bench.elf: $(RT)/bench_stubs.o
