UNIT_TESTS += sysctl
UNIT_SRCS_sysctl := $(wildcard hypervisor/hypercall/*.c) hypervisor/emulate/policy.c hypervisor/domain/policy.c hypervisor/memory/frame.c hypervisor/memory/heap.c \
    hypervisor/lib/format.c
