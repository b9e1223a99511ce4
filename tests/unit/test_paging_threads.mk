UNIT_TESTS += paging_threads
UNIT_SRCS_paging_threads := $(wildcard hypervisor/paging/*.c) hypervisor/memory/frame.c hypervisor/memory/heap.c
