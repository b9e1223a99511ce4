UNIT_TESTS += lib
UNIT_SRCS_lib := hypervisor/lib/format.c hypervisor/lib/symbols.c
