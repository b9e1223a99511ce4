/* See image.h. */
#include "image.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <platform.h>

#include "toolstack.h"

#include "domain/elf.h" /* the hypervisor's; last, as it has macros of its own */

/* The hypervisor's formatting (%pS) asks for it; in its messages here there is no code of its own. */
const char *symbol_lookup(uint64_t addr, uint64_t *offset);
const char *symbol_lookup(uint64_t addr, uint64_t *offset)
{
    (void)addr;
    (void)offset;
    return NULL;
}

/* ---- packed kernels ---- */

static const struct {
    const char *name;
    uint8_t len, magic[6];
} formats[] = {
    [PACK_GZIP] = { "gzip", 3, { 0x1f, 0x8b, 8 } },
    [PACK_XZ] = { "xz", 6, { 0xfd, '7', 'z', 'X', 'Z', 0 } },
    [PACK_ZSTD] = { "zstd", 4, { 0x28, 0xb5, 0x2f, 0xfd } },
    [PACK_BZIP2] = { "bzip2", 3, { 'B', 'Z', 'h' } },
    [PACK_LZMA] = { "lzma", 3, { 0x5d, 0, 0 } },
    [PACK_LZ4] = { "lz4", 4, { 2, 0x21, 0x4c, 0x18 } },
};

/* Linux' boot protocol (x86/boot.rst); the payload is there since 2.08. */
enum {
    BOOT_SETUP_SECTS = 0x1f1,
    BOOT_MAGIC = 0x202,
    BOOT_VERSION = 0x206,
    BOOT_PAYLOAD = 0x248,
    BOOT_END = 0x250
};

/* The payload of a bzImage: false, it is none, or it lies elsewhere. */
static bool find_payload(const uint8_t **bytes, size_t *len)
{
    const uint8_t *p = *bytes;
    uint16_t version;
    uint32_t at[2]; /* offset behind the set-up code, length */
    uint64_t start;

    if (*len < BOOT_END || memcmp(p + BOOT_MAGIC, "HdrS", 4) != 0)
        return false;
    memcpy(&version, p + BOOT_VERSION, sizeof(version));
    memcpy(at, p + BOOT_PAYLOAD, sizeof(at));
    start = (p[BOOT_SETUP_SECTS] ? p[BOOT_SETUP_SECTS] + 1u : 5u) * 512u + (uint64_t)at[0];
    if (version < 0x208 || start > *len || at[1] > *len - start)
        return false;
    *bytes = p + start;
    *len = at[1];
    return true;
}

enum pack_format image_format(const uint8_t **bytes, size_t *len)
{
    find_payload(bytes, len);
    for (unsigned int f = PACK_GZIP; f < sizeof(formats) / sizeof(formats[0]); f++)
        if (*len >= formats[f].len && memcmp(*bytes, formats[f].magic, formats[f].len) == 0)
            return (enum pack_format)f;
    return PACK_NONE;
}

/* ---- files ---- */

/* A file that is packed, into image->unpacked, in place of the file. */
static int unpack(struct toolstack *t, const char *path, struct image *image, size_t *len)
{
    const uint8_t *packed = image->file.bytes;
    size_t packed_len = image->file.len;
    enum pack_format format = image_format(&packed, &packed_len);
    uint8_t *out;

    if (format == PACK_NONE) {
        *len = image->file.len;
        return 0;
    }
    if (image_unpack_file(path, format, packed, packed_len, &out, len) == 0) {
        plat_file_view_end(&image->file);
        image->unpacked = out;
        return 0;
    }
    if (errno == ENOTSUP)
        return toolstack_fail(t, ENOTSUP, "%s: packed with %s, which cannot be unpacked here", path,
                              formats[format].name);
    return toolstack_fail(t, errno, "%s: packed with %s: %s", path, formats[format].name,
                          errno == ENOEXEC ? "it is damaged" : strerror(errno));
}

static int load(struct toolstack *t, const char *path, struct image *image)
{
    size_t len;

    image->elf = malloc(sizeof(*image->elf));
    if (image->elf == NULL || plat_file_view(path, &image->file))
        return toolstack_fail(t, errno, "%s: %s", path, strerror(errno));
    if (unpack(t, path, image, &len))
        return -1;
    if (!elf_parse(image->elf, image->unpacked ? image->unpacked : image->file.bytes, len))
        return toolstack_fail(t, ENOEXEC, "%s: %s", path, image->elf->error);
    return 0;
}

int image_load(struct toolstack *t, const char *path, struct image *image)
{
    int rc, error;

    *image = (struct image){ .elf = NULL };
    rc = load(t, path, image);
    if (rc) {
        error = errno;
        image_free(image);
        errno = error;
    }
    return rc;
}

void image_free(struct image *image)
{
    plat_file_view_end(&image->file);
    free(image->unpacked);
    free(image->elf);
    *image = (struct image){ .elf = NULL };
}
