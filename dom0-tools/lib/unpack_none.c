/* image_unpack_file() of the runtime: no library for it, and what makes an image of it unpacks kernels before. */
#include "image.h"

#include <errno.h>

int image_unpack_file(const char *path, enum pack_format format, const uint8_t *bytes, size_t len,
                      uint8_t **out, size_t *out_len)
{
    (void)path;
    (void)format;
    (void)bytes;
    (void)len;
    (void)out;
    (void)out_len;
    errno = ENOTSUP;
    return -1;
}
