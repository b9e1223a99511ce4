UNIT_TESTS += irq
UNIT_SRCS_irq := $(wildcard hypervisor/irq/*.c)
