UNIT_TESTS += evtchn_fifo
UNIT_SRCS_evtchn_fifo := $(wildcard hypervisor/event/*.c)
