UNIT_TESTS += toolstack
UNIT_SRCS_toolstack := tests/unit/toolstack_machine.c dom0-tools/config_uuid.c $(addprefix dom0-tools/lib/,guest.c build.c hyp.c image.c layout.c \
    nodes.c unpack_linux.c) hypervisor/domain/elf.c hypervisor/lib/format.c
UNIT_LIBS_toolstack := -lz -llzma
