/*
 * A PV domain's kernel: a file, unpacked if need be, parsed by the hypervisor's own parser (domain/elf.h), which
 * trusts nothing in it. Packed ones are whole files, or the payload of a bzImage.
 */
#pragma once
#include <stddef.h>
#include <stdint.h>

#include <platform.h>

struct elf_kernel;
struct toolstack;

struct image {
    struct plat_view file;  /* the ELF file; or, if that is packed, */
    void *unpacked;         /* what is in it */
    struct elf_kernel *elf; /* refers to either */
};

/** Read the file. errno: of plat_file_read(); ENOEXEC: t's error says what is wrong with it; ENOMEM. */
int image_load(struct toolstack *t, const char *path, struct image *image);

/** All zero is none. */
void image_free(struct image *image);

enum pack_format { PACK_NONE, PACK_GZIP, PACK_XZ, PACK_ZSTD, PACK_BZIP2, PACK_LZMA, PACK_LZ4 };

/**
 * How it is packed, by its first bytes.
 * @bytes @len  the file; if it is a bzImage they become its payload
 * Returns PACK_NONE for whatever else it is, also for a bzImage whose payload does not lie in it.
 */
enum pack_format image_format(const uint8_t **bytes, size_t *len);

enum { IMAGE_MAX_BYTES = 512 << 20 }; /* unpacked; more is refused */

/**
 * In a file of each home: unpack a file that begins at bytes, or has them as its payload; what is behind their end is
 * ignored. On Linux that is done once: image_cache_folder keeps it until the file is another one, IMAGE_CACHE_* of
 * others, or root, want it removed.
 * @path  of the file
 * @out @out_len  receive it, to be freed
 * Returns 0; -1: errno ENOTSUP not in this home; ENOEXEC it is damaged; EFBIG; ENOMEM. What goes wrong with what is
 * kept is no failure.
 */
int image_unpack_file(const char *path, enum pack_format format, const uint8_t *bytes, size_t len,
                      uint8_t **out, size_t *out_len);

/* ---- Linux ---- */

/** The same without a file. */
int image_unpack(enum pack_format format, const uint8_t *bytes, size_t len, uint8_t **out,
                 size_t *out_len);

enum { IMAGE_CACHE_FILES = 32, IMAGE_CACHE_BYTES = 512 << 20 }; /* above either the oldest go */

/** NULL: nothing is kept, or looked for. */
extern const char *image_cache_folder;
