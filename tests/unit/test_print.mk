UNIT_TESTS += print
UNIT_SRCS_print := $(addprefix dom0-tools/,print.c print_info.c json.c text.c config_print.c config_cpus.c config_uuid.c config.c config_channel.c config_disk.c \
    json_read.c config_spec.c config_text.c config_vif.c)
