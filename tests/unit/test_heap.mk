UNIT_TESTS += heap
UNIT_SRCS_heap := hypervisor/memory/frame.c hypervisor/memory/heap.c
