UNIT_TESTS += grant grant_death
UNIT_SRCS_grant := $(wildcard hypervisor/grant/*.c) $(wildcard hypervisor/paging/*.c) hypervisor/memory/frame.c \
    hypervisor/memory/heap.c hypervisor/domain/domain.c hypervisor/domain/policy.c \
    $(wildcard hypervisor/event/*.c) hypervisor/lib/format.c
UNIT_SRCS_grant_death = $(UNIT_SRCS_grant)
