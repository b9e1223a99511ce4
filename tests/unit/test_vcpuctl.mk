UNIT_TESTS += vcpuctl
UNIT_SRCS_vcpuctl := $(filter hypervisor/hypercall/domctl%,$(wildcard hypervisor/hypercall/*.c)) \
    hypervisor/hypercall/cpu_policy.c hypervisor/hypercall/vcpu_ops.c \
    hypervisor/x86/context.c hypervisor/x86/fpu.c hypervisor/domain/domain.c hypervisor/domain/policy.c $(wildcard hypervisor/paging/*.c) \
    hypervisor/memory/frame.c hypervisor/memory/heap.c hypervisor/lib/format.c hypervisor/emulate/policy.c \
    hypervisor/emulate/privop.c hypervisor/emulate/decode.c hypervisor/emulate/msr.c hypervisor/sched/time.c
