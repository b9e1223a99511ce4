UNIT_TESTS += builder
UNIT_SRCS_builder := hypervisor/domain/builder.c hypervisor/domain/modules.c hypervisor/domain/elf.c hypervisor/domain/domain.c \
    $(wildcard hypervisor/paging/*.c) hypervisor/memory/frame.c hypervisor/memory/heap.c \
    hypervisor/lib/format.c hypervisor/lib/cmdline.c hypervisor/lib/options.c
