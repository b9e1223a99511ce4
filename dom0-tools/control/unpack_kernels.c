/*
 * For the builder of the embedded control domain's ramdisk: of the files that are named, each that is a bzImage
 * becomes the ELF file in it, as nothing there unpacks one. Others stay as they are.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <platform.h>

#include "../lib/image.h"

static int fail(const char *path, const char *why)
{
    fprintf(stderr, "unpack-kernels: %s: %s\n", path, why);
    return -1;
}

static int unpack(const char *path, const uint8_t *payload, size_t len, enum pack_format format)
{
    uint8_t *elf;
    size_t elf_len;
    int rc;

    if (image_unpack(format, payload, len, &elf, &elf_len))
        return fail(path,
                    errno == ENOEXEC ? "the kernel in this bzImage is damaged" : strerror(errno));
    rc = plat_file_write(path, elf, elf_len) ? fail(path, strerror(errno)) : 0;
    free(elf);
    return rc;
}

static int look(const char *path)
{
    size_t len;
    char *file = plat_file_read(path, &len);
    const uint8_t *payload = (const uint8_t *)file;
    enum pack_format format;
    int rc = 0;

    if (file == NULL)
        return fail(path, strerror(errno));
    format = image_format(&payload, &len);
    if (payload != (const uint8_t *)file) /* else it is no bzImage */
        rc = unpack(path, payload, len, format);
    free(file);
    return rc;
}

int main(int argc, char **argv)
{
    int rc = 0;

    for (int i = 1; i < argc; i++)
        rc |= look(argv[i]);
    return rc ? 1 : 0;
}
