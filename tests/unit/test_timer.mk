UNIT_TESTS += timer
UNIT_SRCS_timer := hypervisor/sched/timer.c hypervisor/sched/softirq.c
