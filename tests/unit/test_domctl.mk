UNIT_TESTS += domctl
UNIT_SRCS_domctl := $(filter hypervisor/hypercall/domctl%,$(wildcard hypervisor/hypercall/*.c)) \
    hypervisor/hypercall/cpu_policy.c hypervisor/hypercall/vcpu_ops.c hypervisor/hypercall/sched_op.c \
    hypervisor/domain/domain.c hypervisor/domain/policy.c $(wildcard hypervisor/event/*.c) \
    $(wildcard hypervisor/sched/*.c) hypervisor/memory/frame.c hypervisor/memory/heap.c hypervisor/lib/format.c
