UNIT_TESTS += elf
UNIT_SRCS_elf := hypervisor/domain/elf.c hypervisor/lib/format.c
