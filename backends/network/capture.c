#include "capture.h"

#include <platform.h>

struct capture {
    struct plat_file *file;
    size_t left;
};

/* The file's beginning and each frame's (pcap-savefile(5)), in the machine's order of bytes. */
struct file_header {
    uint32_t magic;
    uint16_t major, minor;
    uint32_t zone, accuracy, frame_max, kind;
};
struct frame_header {
    uint32_t seconds, nanoseconds, kept, bytes;
};
_Static_assert(sizeof(struct file_header) == 24 && sizeof(struct frame_header) == 16, "pcap");

struct capture *capture_start(const char *path)
{
    const struct file_header header = {
        .magic = 0xa1b23c4d, /* with nanoseconds */
        .major = 2,
        .minor = 4,
        .frame_max = CAPTURE_FRAME,
        .kind = 1, /* Ethernet */
    };
    struct capture *c = calloc(1, sizeof(*c));

    if (c == NULL)
        return NULL;
    c->file = plat_file_create(path, 0);
    if (c->file && plat_file_put(c->file, &header, sizeof(header)) == 0) {
        c->left = CAPTURE_BYTES - sizeof(header);
        return c;
    }
    plat_file_close(c->file);
    free(c);
    return NULL;
}

bool capture_frame(struct capture *c, const struct frame *f)
{
    uint32_t kept = f->bytes < CAPTURE_FRAME ? f->bytes : CAPTURE_FRAME;
    uint64_t now = plat_wall();
    const struct frame_header header = { .seconds = (uint32_t)(now / 1000000000),
                                         .nanoseconds = (uint32_t)(now % 1000000000),
                                         .kept = kept,
                                         .bytes = f->bytes };

    if (sizeof(header) + kept > c->left)
        return false;
    c->left -= sizeof(header) + kept;
    return plat_file_put(c->file, &header, sizeof(header)) == 0 &&
           plat_file_put(c->file, f->data, kept) == 0;
}

int capture_end(struct capture *c)
{
    int rc = plat_file_commit(c->file);

    free(c);
    return rc;
}
