UNIT_TESTS += irq
UNIT_SRCS_irq := hypervisor/irq/irq.c hypervisor/irq/pci.c hypervisor/irq/physdev.c
