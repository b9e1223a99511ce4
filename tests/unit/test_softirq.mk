UNIT_TESTS += softirq
UNIT_SRCS_softirq := hypervisor/sched/softirq.c
