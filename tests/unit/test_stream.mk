UNIT_TESTS += stream stream_hostile dump
UNIT_SRCS_stream := tests/unit/toolstack_machine.c tests/unit/toolstack_store.c tests/unit/toolstack_answers.c $(UNIT_SRCS_config) dom0-tools/config_json.c \
    $(UNIT_TOOLS_LIB) $(addprefix dom0-tools/lib/,dump.c p2m.c restore.c restore_finish.c save.c device_host_none.c stream.c suspend.c unpack_none.c) \
    tests/unit/platform_fake.c $(addprefix xen-like/platform/,log.c loop.c memory.c)
UNIT_SRCS_stream_hostile := $(UNIT_SRCS_stream)
UNIT_SRCS_dump := $(UNIT_SRCS_stream)
