UNIT_TESTS += hypercalls
UNIT_SRCS_hypercalls := $(wildcard hypervisor/hypercall/*.c) hypervisor/domain/policy.c hypervisor/memory/frame.c hypervisor/memory/heap.c \
    hypervisor/lib/format.c
