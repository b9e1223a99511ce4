UNIT_TESTS += domain
UNIT_SRCS_domain := hypervisor/domain/domain.c hypervisor/domain/policy.c hypervisor/domain/debug.c hypervisor/memory/frame.c \
    hypervisor/memory/heap.c hypervisor/lib/format.c hypervisor/lib/cmdline.c hypervisor/lib/options.c hypervisor/console/panic.c
