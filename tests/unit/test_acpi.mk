UNIT_TESTS += acpi
UNIT_SRCS_acpi := hypervisor/x86/acpi.c
