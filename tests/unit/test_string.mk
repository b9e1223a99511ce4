UNIT_TESTS += string
UNIT_SRCS_string := hypervisor/lib/string.c
# beside the C library's
UNIT_CFLAGS_string := -fno-builtin $(foreach f,memcpy memset memcmp strlen strnlen strncmp,-D$(f)=xl_$(f))
