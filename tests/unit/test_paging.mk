UNIT_TESTS += paging
UNIT_SRCS_paging := $(wildcard hypervisor/paging/*.c) hypervisor/memory/frame.c hypervisor/memory/heap.c
