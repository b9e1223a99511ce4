UNIT_TESTS += evtchn
UNIT_SRCS_evtchn := hypervisor/event/evtchn.c hypervisor/event/delivery.c hypervisor/event/audit.c
