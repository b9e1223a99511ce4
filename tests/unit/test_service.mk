UNIT_TESTS += service
UNIT_SRCS_service := dom0-tools/control/service.c
