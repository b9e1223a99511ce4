UNIT_TESTS += emulate
UNIT_SRCS_emulate := hypervisor/emulate/decode.c hypervisor/emulate/ptwr.c \
    hypervisor/emulate/privop.c hypervisor/emulate/policy.c hypervisor/emulate/msr.c
