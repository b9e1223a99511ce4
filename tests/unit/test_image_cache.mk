UNIT_TESTS += image_cache
UNIT_SRCS_image_cache := $(addprefix dom0-tools/lib/,image_cache.c unpack_linux.c) $(addprefix xen-like/platform/,posix.c loop.c log.c)
UNIT_LIBS_image_cache := -lz -llzma -lzstd -lpthread
