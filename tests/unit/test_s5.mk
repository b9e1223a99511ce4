UNIT_TESTS += s5
UNIT_SRCS_s5 := dom0-tools/control/s5.c
