UNIT_TESTS += layout
UNIT_SRCS_layout := dom0-tools/lib/layout.c hypervisor/domain/elf.c hypervisor/lib/format.c
