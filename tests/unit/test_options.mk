UNIT_TESTS += options
UNIT_SRCS_options := $(addprefix dom0-tools/,options.c commands.c text.c)
