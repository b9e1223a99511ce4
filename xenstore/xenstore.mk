# The store, as a program for Linux; its core is compiled for the unit tests as well (XS_CORE).
XS := $(BUILD)/xenstore
XS_CORE := $(addprefix xenstore/,arena.c map.c step.c tree.c watch.c domain.c control.c request.c ring.c memory.c)
XS_SRCS := $(XS_CORE) $(addprefix xenstore/,main.c daemon.c rings.c linux.c) $(addprefix xen-like/platform/,posix.c handles.c background.c serve.c evtchn.c loop.c log.c)
XS_LIBS := -lxenevtchn -lxenforeignmemory -lxencall -lpthread
XS_CFLAGS := -std=gnu11 -D_GNU_SOURCE -D__XEN_TOOLS__ -O2 -g -Wall -Wextra -Werror -Wshadow -Wmissing-prototypes \
    -Wstrict-prototypes -Wvla -fno-strict-aliasing -Ixenstore -Ixen-like/include -Ixen-like -Ixen-like/lib -MMD -MP

$(XS)/%.o: %.c xenstore/xenstore.mk
	@mkdir -p $(@D)
	$(Q)$(CC) $(XS_CFLAGS) -c -o $@ $<
$(XS)/xen-like-stored: $(XS_SRCS:%.c=$(XS)/%.o)
	@echo "  CC      $@"
	$(Q)$(CC) -o $@ $^ $(XS_LIBS)

.PHONY: check-store-headers
check-store-headers:
	@for h in xenstore/*.h; do \
	    echo "#include \"$${h#xenstore/}\"" | $(CC) $(filter-out -MMD -MP,$(XS_CFLAGS)) -x c -fsyntax-only - || exit 1; \
	done
check-headers: check-store-headers

.PHONY: stored
#: stored         build build/xenstore/xen-like-stored, the store as a Linux program
stored: $(XS)/xen-like-stored
-include $(shell find $(XS) -name '*.d' 2>/dev/null)
