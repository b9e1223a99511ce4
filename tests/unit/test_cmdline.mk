UNIT_TESTS += cmdline
UNIT_SRCS_cmdline := hypervisor/lib/cmdline.c hypervisor/lib/options.c hypervisor/lib/format.c
