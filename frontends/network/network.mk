# The network interface of guests on our runtime, and a kernel that answers ping with it: build/xen-like/rt_answers.elf.
NETFRONT_SRCS := frontends/network/netfront.c
NETFRONT_OBJS := $(NETFRONT_SRCS:%.c=$(RT)/%.o)
$(RT)/frontends/%.o: frontends/%.c frontends/network/network.mk xen-like/xen-like.mk $(NEWLIB)/stamp | $(RT_INCLUDES)
	@mkdir -p $(@D)
	$(Q)$(CC) $(RT_CPPFLAGS) $(RT_CFLAGS) -c -o $@ $<
$(RT)/rt_answers.pass1 $(RT)/rt_answers.elf: $(NETFRONT_OBJS)

.PHONY: check-netfront-headers cppcheck-netfront
check-netfront-headers: $(NEWLIB)/stamp | $(RT_INCLUDES)
	@for h in frontends/network/*.h; do \
	    echo "#include \"$$h\"" | $(CC) $(filter-out -MMD -MP,$(RT_CPPFLAGS)) -I. $(RT_CFLAGS) -x c -fsyntax-only - || exit 1; \
	done
check-headers: check-netfront-headers
cppcheck-netfront: $(BUILD)/include
	cppcheck --quiet --enable=warning,portability --error-exitcode=1 --suppressions-list=tests/cppcheck.txt \
	    -Ixen-like/include -Ixen-like/lib -I$(BUILD)/include -D__x86_64__ -D__GNUC__ --std=c11 frontends/network
cppcheck: cppcheck-netfront
-include $(wildcard $(RT)/frontends/*/*.d)
