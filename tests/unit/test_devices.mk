UNIT_TESTS += devices devices_change
UNIT_SRCS_devices = $(filter-out tests/unit/xl_machine.c dom0-tools/lib/device_host_none.c dom0-tools/xl%,$(UNIT_SRCS_xl))
UNIT_SRCS_devices_change = $(UNIT_SRCS_devices)
