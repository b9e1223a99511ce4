UNIT_TESTS += hypfs
UNIT_SRCS_hypfs := $(wildcard hypervisor/hypercall/*.c) hypervisor/domain/policy.c hypervisor/memory/frame.c hypervisor/memory/heap.c \
    hypervisor/lib/format.c
