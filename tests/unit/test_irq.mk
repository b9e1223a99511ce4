UNIT_TESTS += irq
UNIT_SRCS_irq := hypervisor/irq/irq.c
