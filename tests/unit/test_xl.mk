UNIT_TESTS += xl xl_device xl_info xl_restart xl_save xl_top xl_why
UNIT_SRCS_xl := tests/unit/xl_machine.c tests/unit/toolstack_machine.c tests/unit/toolstack_store.c tests/unit/toolstack_answers.c $(UNIT_TOOLS_LIB) \
    $(addprefix dom0-tools/lib/,device_host_none.c unpack_none.c why.c) $(addprefix dom0-tools/,xl.c xl_channel.c xl_create.c xl_device.c xl_info.c \
    xl_list.c xl_save.c xl_shells.c xl_top.c xl_vcpu.c xl_why.c commands.c config.c config_channel.c config_cpus.c config_disk.c config_print.c config_spec.c config_text.c config_uuid.c \
    config_json.c config_vif.c json.c json_read.c options.c print.c print_info.c print_top.c print_why.c text.c)
UNIT_SRCS_xl_device := $(UNIT_SRCS_xl)
UNIT_SRCS_xl_info := $(UNIT_SRCS_xl)
UNIT_SRCS_xl_restart := $(UNIT_SRCS_xl)
UNIT_SRCS_xl_why := $(UNIT_SRCS_xl)
UNIT_SRCS_xl_save := $(UNIT_SRCS_xl)
UNIT_SRCS_xl_top := $(UNIT_SRCS_xl)
