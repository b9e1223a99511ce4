UNIT_TESTS += toolstack kernels
UNIT_SRCS_toolstack := tests/unit/toolstack_machine.c tests/unit/toolstack_store.c tests/unit/toolstack_answers.c $(addprefix dom0-tools/,config.c config_channel.c config_cpus.c config_disk.c \
    config_print.c config_spec.c config_text.c config_uuid.c config_vif.c json.c json_read.c text.c) $(UNIT_TOOLS_LIB) \
    $(addprefix dom0-tools/lib/,device_host_none.c unpack_linux.c image_cache.c)
UNIT_LIBS_toolstack := -lz -llzma -lzstd
UNIT_SRCS_kernels := $(UNIT_SRCS_toolstack)
UNIT_LIBS_kernels := $(UNIT_LIBS_toolstack)
UNIT_TESTS += shells
UNIT_SRCS_shells := $(UNIT_SRCS_toolstack)
UNIT_LIBS_shells := $(UNIT_LIBS_toolstack)
