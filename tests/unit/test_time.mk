UNIT_TESTS += time
UNIT_SRCS_time := hypervisor/sched/time.c hypervisor/sched/timer.c hypervisor/sched/softirq.c
