UNIT_TESTS += config config_devices config_json
UNIT_SRCS_config := $(addprefix dom0-tools/,config.c config_channel.c config_cpus.c config_disk.c config_print.c config_spec.c config_text.c \
    config_uuid.c config_vif.c json.c json_read.c text.c)
UNIT_SRCS_config_devices = $(UNIT_SRCS_config)
UNIT_SRCS_config_json = $(UNIT_SRCS_config) dom0-tools/config_json.c
# Memory is what the test has for it.
UNIT_CFLAGS_config_text := -Dmalloc=test_malloc -Dcalloc=test_calloc
