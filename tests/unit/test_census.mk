UNIT_TESTS += census
UNIT_SRCS_census := $(wildcard hypervisor/hypercall/*.c) hypervisor/domain/policy.c hypervisor/memory/frame.c hypervisor/memory/heap.c \
    hypervisor/lib/format.c
