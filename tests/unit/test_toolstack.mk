UNIT_TESTS += toolstack kernels
UNIT_SRCS_toolstack := tests/unit/toolstack_machine.c tests/unit/toolstack_answers.c $(addprefix dom0-tools/,config.c config_channel.c config_cpus.c config_disk.c \
    config_print.c config_spec.c config_text.c config_uuid.c config_vif.c json.c json_read.c text.c) $(addprefix dom0-tools/lib/,guest.c adopt.c attend.c build.c channels.c hyp.c hyp_info.c hyp_state.c \
    image.c layout.c names.c nodes.c unpack_linux.c) hypervisor/domain/elf.c hypervisor/lib/format.c
UNIT_LIBS_toolstack := -lz -llzma -lzstd
UNIT_SRCS_kernels := $(UNIT_SRCS_toolstack)
UNIT_LIBS_kernels := $(UNIT_LIBS_toolstack)
