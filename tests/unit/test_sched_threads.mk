UNIT_TESTS += sched_threads
UNIT_SRCS_sched_threads := hypervisor/sched/policy.c hypervisor/sched/timer.c \
    hypervisor/sched/time.c hypervisor/sched/softirq.c
