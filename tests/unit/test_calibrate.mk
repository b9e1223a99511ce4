UNIT_TESTS += calibrate
UNIT_SRCS_calibrate := hypervisor/x86/calibrate.c
