UNIT_TESTS += sched
UNIT_SRCS_sched := hypervisor/sched/policy.c hypervisor/sched/timer.c \
    hypervisor/sched/time.c hypervisor/sched/softirq.c
