UNIT_TESTS += evtchn
UNIT_SRCS_evtchn := $(wildcard hypervisor/event/*.c)
