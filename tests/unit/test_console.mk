UNIT_TESTS += console
UNIT_SRCS_console := hypervisor/console/console.c hypervisor/console/debug_key.c hypervisor/console/panic.c hypervisor/lib/cmdline.c hypervisor/lib/options.c \
    hypervisor/lib/format.c
