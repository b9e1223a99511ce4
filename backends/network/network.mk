# The virtual switch and the backend of guests' network interfaces: in the control domain's image (NETWORK_CORE), in tests, and
# as a program for Linux, xen-like-netd.
NETWORK_SWITCH := $(addprefix backends/network/,frame.c packet.c offload.c guard.c table.c capture.c switch.c)
NETWORK_CORE := $(NETWORK_SWITCH) $(addprefix backends/network/,netback.c netback_vif.c netback_tx.c netback_rx.c)
NETD_SRCS := $(NETWORK_CORE) $(addprefix backends/network/,main.c link_tap.c) $(addprefix xen-like/lib/,ring.c ports.c xenbus.c xenbus_class.c xenbus_nodes.c) \
    $(addprefix xen-like/platform/,posix.c handles.c background.c serve.c evtchn.c xenstore.c loop.c log.c)

$(BUILD)/backends/xen-like-netd: $(NETD_SRCS:%.c=$(BUILD)/xenstore/%.o)
	@mkdir -p $(@D)
	@echo "  CC      $@"
	$(Q)$(CC) -o $@ $^ -lxenstore -lxenevtchn -lxengnttab -lutil -lpthread

.PHONY: netd
#: netd           build build/backends/xen-like-netd, the network backend and its switch as a Linux program
netd: $(BUILD)/backends/xen-like-netd

.PHONY: check-network-headers cppcheck-network
check-network-headers: $(BUILD)/include
	@for h in backends/network/*.h; do \
	    echo "#include \"$$h\"" | $(CC) -std=gnu11 -D_GNU_SOURCE -D__XEN_TOOLS__ -Wall -Wextra -Werror -I. -Ixen-like/include -Ixen-like/lib \
	        -I$(BUILD)/include -x c -fsyntax-only - || exit 1; \
	done
check-headers: check-network-headers
cppcheck-network: $(BUILD)/include
	cppcheck --quiet --enable=warning,portability --error-exitcode=1 --suppressions-list=tests/cppcheck.txt \
	    -Ixen-like/include -Ixen-like -Ixen-like/lib -I$(BUILD)/include -D__XEN_TOOLS__ -D__x86_64__ -D__GNUC__ --std=c11 backends/network
cppcheck: cppcheck-network
