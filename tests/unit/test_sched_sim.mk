UNIT_TESTS += sched_sim
UNIT_SRCS_sched_sim := hypervisor/sched/policy.c
