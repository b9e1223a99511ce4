UNIT_TESTS += offload guard
UNIT_SRCS_offload := $(addprefix backends/network/,frame.c packet.c offload.c)
UNIT_SRCS_guard := $(UNIT_SRCS_offload) backends/network/guard.c
UNIT_TESTS += switch
UNIT_SRCS_switch := $(NETWORK_SWITCH) tests/unit/platform_fake.c xen-like/platform/loop.c xen-like/platform/memory.c xen-like/platform/log.c
