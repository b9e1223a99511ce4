UNIT_TESTS += foreign
UNIT_SRCS_foreign := $(wildcard hypervisor/paging/*.c) hypervisor/memory/frame.c hypervisor/memory/heap.c \
    hypervisor/domain/policy.c hypervisor/hypercall/domctl_memory.c
