UNIT_TESTS += policy
UNIT_SRCS_policy := hypervisor/emulate/decode.c hypervisor/emulate/policy.c hypervisor/emulate/msr.c
