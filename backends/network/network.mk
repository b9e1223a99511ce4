# The virtual switch and the backend of guests' network interfaces: in the control domain's image (NETWORK_CORE), in tests, and
# as a program for Linux, xen-like-netd.
NETWORK_SWITCH := $(addprefix backends/network/,frame.c packet.c offload.c guard.c table.c capture.c switch.c)
NETWORK_CORE := $(NETWORK_SWITCH) $(addprefix backends/network/,netback.c netback_vif.c netback_tx.c netback_rx.c)

.PHONY: check-network-headers cppcheck-network
check-network-headers: $(BUILD)/include
	@for h in backends/network/*.h; do \
	    echo "#include \"$$h\"" | $(CC) -std=gnu11 -D_GNU_SOURCE -D__XEN_TOOLS__ -Wall -Wextra -Werror -I. -Ixen-like/include -Ixen-like/lib \
	        -I$(BUILD)/include -x c -fsyntax-only - || exit 1; \
	done
check-headers: check-network-headers
cppcheck-network: $(BUILD)/include
	cppcheck --quiet --enable=warning,portability --error-exitcode=1 --suppressions-list=tests/cppcheck.txt \
	    -Ixen-like/include -Ixen-like/lib -I$(BUILD)/include -D__XEN_TOOLS__ -D__x86_64__ -D__GNUC__ --std=c11 backends/network
cppcheck: cppcheck-network
