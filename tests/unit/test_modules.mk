UNIT_TESTS += modules
UNIT_SRCS_modules := hypervisor/domain/modules.c hypervisor/lib/cmdline.c hypervisor/lib/options.c hypervisor/lib/format.c
