/* See stream.h. */
#include "stream.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "toolstack.h"

enum { CONFIG_MAX = 4 << 20, XEN_MAJOR = 4, XEN_MINOR = 17 };

_Static_assert(sizeof(struct xl_header) == 48 && sizeof(struct libxl_header) == 16,
               "xl's, libxl's");
_Static_assert(sizeof(struct image_header) == 24 && sizeof(struct domain_header) == 16, "libxc's");
_Static_assert(sizeof(struct record_tsc) == 24 && sizeof(XL_MAGIC) == 33, "libxc's, xl's");

static uint64_t big64(uint64_t x) { return __builtin_bswap64(x); }
static uint32_t big32(uint32_t x) { return __builtin_bswap32(x); }

/* ---- writing ---- */

static int put_xl(struct plat_file *f, const char *config, size_t len)
{
    struct xl_header h = { .byte_order = XL_BYTE_ORDER,
                           .mandatory = XL_JSON | XL_STREAM_2,
                           .bytes = (uint32_t)(sizeof(uint32_t) + len + 1) };
    uint32_t with_zero = (uint32_t)(len + 1);

    memcpy(h.magic, XL_MAGIC, sizeof(h.magic));
    if (plat_file_put(f, &h, sizeof(h)) || plat_file_put(f, &with_zero, sizeof(with_zero)))
        return -1;
    return plat_file_put(f, config, len + 1);
}

int stream_begin(struct plat_file *f, const char *config, size_t config_bytes)
{
    const struct libxl_header libxl = { big64(LIBXL_IDENT), big32(LIBXL_VERSION), 0 };
    const struct image_header image = { .marker = UINT64_MAX,
                                        .id = big32(IMAGE_ID),
                                        .version = big32(IMAGE_VERSION) };
    const struct domain_header domain = { .type = DOMAIN_PV,
                                          .page_shift = IMAGE_PAGE_SHIFT,
                                          .xen_major = XEN_MAJOR,
                                          .xen_minor = XEN_MINOR };

    if (put_xl(f, config, config_bytes) || plat_file_put(f, &libxl, sizeof(libxl)) ||
        stream_record(f, LIBXL_LIBXC_CONTEXT, NULL, 0, NULL, 0) ||
        plat_file_put(f, &image, sizeof(image)))
        return -1;
    return plat_file_put(f, &domain, sizeof(domain));
}

int stream_record(struct plat_file *f, uint32_t type, const void *head, size_t head_bytes,
                  const void *body, size_t body_bytes)
{
    const struct record r = { type, (uint32_t)(head_bytes + body_bytes) };
    static const char zeros[8];

    if (plat_file_put(f, &r, sizeof(r)) || plat_file_put(f, head, head_bytes) ||
        plat_file_put(f, body, body_bytes))
        return -1;
    return plat_file_put(f, zeros, stream_padding(r.length));
}

/* ---- reading ---- */

int stream_bad(struct stream *s, const char *fmt, ...)
{
    char what[160];
    va_list args;

    va_start(args, fmt);
    vsnprintf(what, sizeof(what), fmt, args);
    va_end(args);
    return toolstack_fail(s->t, EINVAL, "%s: %s", s->path, what);
}

int stream_get(struct stream *s, void *buf, size_t len)
{
    ssize_t n = plat_file_get(s->file, buf, len);

    if (n < 0)
        return toolstack_fail(s->t, errno, "%s: %s", s->path, strerror(errno));
    return (size_t)n == len ? 0 : stream_bad(s, "it ends too early");
}

int stream_skip(struct stream *s, size_t len)
{
    char buf[512];

    while (len) {
        size_t n = len < sizeof(buf) ? len : sizeof(buf);

        if (stream_get(s, buf, n))
            return -1;
        len -= n;
    }
    return 0;
}

static int get_config(struct stream *s, uint32_t bytes, char **config, size_t *config_bytes)
{
    uint32_t len;
    char *text;

    if (bytes < sizeof(len) || stream_get(s, &len, sizeof(len)))
        return bytes < sizeof(len) ? stream_bad(s, "it has no configuration") : -1;
    bytes -= (uint32_t)sizeof(len);
    if (len > bytes || bytes > CONFIG_MAX)
        return stream_bad(s, "its configuration has %u of %u bytes", len, bytes);
    text = malloc((size_t)len + 1);
    if (text == NULL)
        return toolstack_fail(s->t, ENOMEM, "%s: no memory", s->path);
    if (stream_get(s, text, len) || stream_skip(s, bytes - len)) {
        free(text);
        return -1;
    }
    text[len] = '\0';
    *config = text;
    *config_bytes = strlen(text);
    return 0;
}

static int open_xl(struct stream *s, char **config, size_t *config_bytes)
{
    struct xl_header h;

    if (stream_get(s, &h, sizeof(h)))
        return -1;
    if (memcmp(h.magic, XL_MAGIC, sizeof(h.magic)) != 0)
        return stream_bad(s, "no domain is saved there");
    if (h.byte_order != XL_BYTE_ORDER || h.mandatory != (XL_JSON | XL_STREAM_2))
        return toolstack_fail(s->t, ENOTSUP, "%s: it is of another byte order or an old version",
                              s->path);
    return h.bytes ? get_config(s, h.bytes, config, config_bytes) : 0;
}

static int open_image(struct stream *s)
{
    struct image_header image;
    struct domain_header domain;

    if (stream_get(s, &image, sizeof(image)) || stream_get(s, &domain, sizeof(domain)))
        return -1;
    if (image.marker != UINT64_MAX || big32(image.id) != IMAGE_ID)
        return stream_bad(s, "the domain's image is none");
    if (big32(image.version) != IMAGE_VERSION || image.options)
        return toolstack_fail(s->t, ENOTSUP, "%s: the domain's image is of version %u", s->path,
                              big32(image.version));
    if (domain.type != DOMAIN_PV)
        return toolstack_fail(s->t, ENOTSUP, "%s: that is no PV domain", s->path);
    if (domain.page_shift != IMAGE_PAGE_SHIFT)
        return stream_bad(s, "its pages have 2^%u bytes", domain.page_shift);
    return 0;
}

int stream_open(struct stream *s, char **config, size_t *config_bytes)
{
    struct libxl_header libxl;
    struct record r;
    int error;

    *config = NULL;
    *config_bytes = 0;
    if (open_xl(s, config, config_bytes) == 0 && stream_get(s, &libxl, sizeof(libxl)) == 0 &&
        stream_get(s, &r, sizeof(r)) == 0) {
        if (big64(libxl.ident) != LIBXL_IDENT || big32(libxl.version) != LIBXL_VERSION ||
            libxl.options)
            stream_bad(s, "it holds no stream of libxl, or another version");
        else if (r.type != LIBXL_LIBXC_CONTEXT || r.length)
            stream_bad(s, "it does not begin with the domain's image");
        else if (open_image(s) == 0)
            return 0;
    }
    error = errno;
    free(*config);
    *config = NULL;
    errno = error;
    return -1;
}

int stream_next(struct stream *s, struct record *r)
{
    if (toolstack_go_on(s->t) || stream_get(s, r, sizeof(*r)))
        return -1;
    return r->length > RECORD_MAX ? stream_bad(s, "a record of %u bytes", r->length) : 0;
}
