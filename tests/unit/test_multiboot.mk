UNIT_TESTS += multiboot
UNIT_SRCS_multiboot := hypervisor/x86/multiboot.c hypervisor/lib/format.c
