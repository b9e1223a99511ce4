# The virtual switch and the backend of guests' network interfaces: in the control domain's image (NETWORK_CORE), in tests, and
# as a program for Linux, xen-like-netd.
NETWORK_SWITCH := $(addprefix backends/network/,frame.c packet.c offload.c guard.c table.c capture.c switch.c)
NETWORK_CORE := $(NETWORK_SWITCH) $(addprefix backends/network/,netback.c netback_vif.c netback_tx.c netback_rx.c)
