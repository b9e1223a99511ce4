UNIT_TESTS += efi
UNIT_SRCS_efi := hypervisor/x86/efi.c
