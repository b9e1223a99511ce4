UNIT_TESTS += xl
UNIT_SRCS_xl := tests/unit/toolstack_machine.c $(addprefix dom0-tools/lib/,guest.c attend.c build.c hyp.c hyp_state.c image.c layout.c \
    nodes.c unpack_none.c) hypervisor/domain/elf.c hypervisor/lib/format.c $(addprefix dom0-tools/,xl.c xl_create.c \
    xl_list.c xl_save.c xl_vcpu.c commands.c config.c config_cpus.c config_disk.c config_print.c config_spec.c config_text.c config_uuid.c \
    config_vif.c json.c options.c print.c print_info.c text.c)
