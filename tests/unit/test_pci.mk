UNIT_TESTS += pci
UNIT_SRCS_pci := $(wildcard hypervisor/irq/*.c)
