UNIT_TESTS += decode
UNIT_SRCS_decode := hypervisor/emulate/decode.c
