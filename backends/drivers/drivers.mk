# Drivers of physical devices: objects for the runtime, $(DRIVERS_RT_OBJS).
DRIVERS_SRCS := $(sort $(wildcard backends/drivers/*.c))
DRIVERS_RT_OBJS := $(DRIVERS_SRCS:%.c=$(RT)/%.o)
$(RT)/backends/drivers/%.o: backends/drivers/%.c backends/drivers/drivers.mk xen-like/xen-like.mk $(NEWLIB)/stamp | $(RT_INCLUDES)
	@mkdir -p $(@D)
	$(Q)$(CC) $(RT_CPPFLAGS) -Ibackends $(RT_CFLAGS) -c -o $@ $<

.PHONY: check-drivers-headers cppcheck-drivers
check-drivers-headers: $(NEWLIB)/stamp | $(RT_INCLUDES)
	@for h in $(patsubst backends/%,%,$(wildcard backends/drivers/*.h)); do \
	    echo "#include \"$$h\"" | $(CC) $(filter-out -MMD -MP,$(RT_CPPFLAGS)) -Ibackends $(RT_CFLAGS) -x c -fsyntax-only - || exit 1; \
	done
check-headers: check-drivers-headers
cppcheck-drivers: $(BUILD)/include
	cppcheck --quiet --enable=warning,portability --error-exitcode=1 --suppressions-list=tests/cppcheck.txt \
	    -Ixen-like/include -Ibackends -D__x86_64__ -D__GNUC__ --std=c11 $(DRIVERS_SRCS)
cppcheck: cppcheck-drivers
-include $(wildcard $(RT)/backends/drivers/*.d)
