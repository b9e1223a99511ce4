UNIT_TESTS += domain_policy
UNIT_SRCS_domain_policy := hypervisor/domain/policy.c
