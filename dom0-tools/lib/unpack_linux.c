/* image_unpack() on Linux, by zlib, liblzma and libzstd. */
#include "image.h"

#include <errno.h>
#include <lzma.h>
#include <stdbool.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

/* Of a window as large as an image may be; Linux packs with 128 MiB at most. */
enum { ZSTD_WINDOW_LOG = 27 };

/* Room for more of what is unpacked: true, or errno says why not. */
static bool grow(uint8_t **out, size_t *room)
{
    size_t larger = *room ? *room * 2 : 1u << 20;
    uint8_t *p;

    if (*room >= IMAGE_MAX_BYTES) {
        errno = EFBIG;
        return false;
    }
    p = realloc(*out, larger);
    if (p == NULL)
        return false;
    *out = p;
    *room = larger;
    return true;
}

static int unpack_gzip(const uint8_t *bytes, size_t len, uint8_t **out, size_t *out_len)
{
    z_stream z = { .next_in = (uint8_t *)(uintptr_t)bytes, .avail_in = (uInt)len };
    size_t room = 0;
    int rc = Z_OK;

    if (inflateInit2(&z, 16 + MAX_WBITS) != Z_OK) {
        errno = ENOMEM;
        return -1;
    }
    errno = ENOEXEC;
    while (rc == Z_OK && grow(out, &room)) {
        z.next_out = *out + z.total_out;
        z.avail_out = (uInt)(room - z.total_out);
        rc = inflate(&z, Z_NO_FLUSH);
        if (rc != Z_OK || z.avail_out) /* it wants more input than there is */
            break;
    }
    *out_len = z.total_out;
    inflateEnd(&z);
    return rc == Z_STREAM_END ? 0 : -1;
}

static int unpack_xz(const uint8_t *bytes, size_t len, uint8_t **out, size_t *out_len)
{
    lzma_stream x = LZMA_STREAM_INIT;
    lzma_ret rc = lzma_stream_decoder(&x, IMAGE_MAX_BYTES, 0);
    size_t room = 0;

    if (rc != LZMA_OK) {
        errno = ENOMEM;
        return -1;
    }
    x.next_in = bytes;
    x.avail_in = len;
    errno = ENOEXEC;
    while (rc == LZMA_OK && grow(out, &room)) {
        x.next_out = *out + x.total_out;
        x.avail_out = room - x.total_out;
        rc = lzma_code(&x, LZMA_RUN);
        if (x.avail_out)
            break;
    }
    *out_len = x.total_out;
    lzma_end(&x);
    return rc == LZMA_STREAM_END ? 0 : -1;
}

/* It keeps no more of what it has unpacked than one may load. */
static int unpack_zstd(const uint8_t *bytes, size_t len, uint8_t **out, size_t *out_len)
{
    ZSTD_DStream *z = ZSTD_createDStream();
    ZSTD_inBuffer in = { .src = bytes, .size = len };
    ZSTD_outBuffer to = { .size = 0 };
    size_t room = 0, left = 1; /* 0: the frame has ended */

    if (z == NULL ||
        ZSTD_isError(ZSTD_DCtx_setParameter(z, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG))) {
        ZSTD_freeDStream(z);
        errno = ENOMEM;
        return -1;
    }
    errno = ENOEXEC;
    while (left && !ZSTD_isError(left) && grow(out, &room)) {
        to.dst = *out;
        to.size = room;
        left = ZSTD_decompressStream(z, &to, &in);
        if (to.pos < to.size) /* it wants more input than there is */
            break;
    }
    *out_len = to.pos;
    ZSTD_freeDStream(z);
    return left == 0 ? 0 : -1;
}

typedef int unpack_fn(const uint8_t *bytes, size_t len, uint8_t **out, size_t *out_len);

int image_unpack(enum pack_format format, const uint8_t *bytes, size_t len, uint8_t **out,
                 size_t *out_len)
{
    static unpack_fn *const unpack[] = {
        [PACK_GZIP] = unpack_gzip, [PACK_XZ] = unpack_xz, [PACK_ZSTD] = unpack_zstd
    };
    int rc, error;

    *out = NULL;
    if (len > IMAGE_MAX_BYTES) {
        errno = EFBIG;
        return -1;
    }
    if (format >= sizeof(unpack) / sizeof(unpack[0]) || unpack[format] == NULL) {
        errno = ENOTSUP;
        return -1;
    }
    rc = unpack[format](bytes, len, out, out_len);
    error = errno;
    if (rc)
        free(*out);
    errno = error;
    return rc;
}
