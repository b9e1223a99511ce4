# platform.h in its homes on the host; its home on the runtime is tested by the kernel rt_platform.
PLATFORM := $(BUILD)/platform
PLATFORM_CFLAGS := -std=gnu11 -D_GNU_SOURCE -O1 -g -Wall -Wextra -Werror -Wshadow -fno-strict-aliasing \
    -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer \
    -Ixen-like/include -Ixen-like -MMD -MP
PLATFORM_COMMON := xen-like/platform/loop.c xen-like/platform/log.c \
    tests/platform/conformance.c
PLATFORM_SRCS_posix := xen-like/platform/posix.c tests/platform/test_posix.c
PLATFORM_SRCS_fake := xen-like/platform/fake.c xen-like/platform/memory.c tests/platform/test_fake.c
PLATFORM_TESTS := $(PLATFORM)/test_posix $(PLATFORM)/test_fake

$(PLATFORM)/%.o: %.c tests/platform/platform.mk
	@mkdir -p $(@D)
	$(Q)$(CC) $(PLATFORM_CFLAGS) -c -o $@ $<
define platform_test
$(PLATFORM)/test_$(1): $$(patsubst %.c,$(PLATFORM)/%.o,$$(PLATFORM_COMMON) $$(PLATFORM_SRCS_$(1)))
	$$(Q)$$(CC) $$(PLATFORM_CFLAGS) -o $$@ $$^ -lpthread
endef
$(foreach t,posix fake,$(eval $(call platform_test,$(t))))

.PHONY: test-platform
#: test-platform  platform.h as a Linux program and in memory, under sanitizers
test-platform: $(PLATFORM_TESTS)
	@for t in $(PLATFORM_TESTS); do echo "== $$t"; $$t || exit 1; done
test-unit: test-platform
test-programs: $(PLATFORM_TESTS)
-include $(shell find $(PLATFORM) -name '*.d' 2>/dev/null)
