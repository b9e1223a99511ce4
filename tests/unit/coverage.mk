# How much of hypervisor/ without x86/ the host tests run: the same programs, built to count. Their
# children have to exit() for that.
COVERAGE_MIN := 90
COVERAGE_C := $(filter-out hypervisor/x86/%,$(HV_C))

.PHONY: coverage coverage-programs
#: coverage       lines and branches of hypervisor/ without x86/ that test-unit runs
coverage: deps
	$(Q)rm -rf $(BUILD)/coverage
	+$(Q)$(MAKE) --no-print-directory -j$(JOBS) BUILD=$(BUILD)/coverage CC=gcc \
	    UNIT_INSTRUMENT='--coverage -O0 -D_exit=exit' coverage-programs
	@for t in $(UNIT_TESTS:%=$(BUILD)/coverage/unit/test_%); do $$t > $$t.log || { cat $$t.log; exit 1; }; done
	@gcov -t -b -c `find $(BUILD)/coverage/unit -name "*.gcno"` 2> $(BUILD)/coverage/gcov.log | \
	    awk -v min=$(COVERAGE_MIN) -f tests/unit/coverage.awk

# Objects that no test has are counted as well; tests include some sources instead.
coverage-programs: $(UNIT_BINS) $(COVERAGE_C:%.c=$(BUILD)/unit/%.o)
