/*
 * The file that `xl save` writes and `xl restore` reads, in the form of Xen 4.17: xl's header with the configuration;
 * libxl's stream (docs/specs/libxl-migration-stream, version 2), whose one record of a PV domain stands before libxc's
 * image (docs/specs/libxc-migration-stream, version 3). Numbers are little-endian where it does not say otherwise.
 */
#pragma once
#include <stddef.h>
#include <stdint.h>

#include <platform.h>

/* ---- xl's header ---- */

#define XL_MAGIC "Xen saved domain, xl format\n \0 \r" /* 32 bytes, without the zero at the end */
struct xl_header {
    char magic[32];
    uint32_t byte_order; /* XL_BYTE_ORDER, as who wrote it has numbers */
    uint32_t mandatory;  /* XL_JSON, XL_STREAM_2 */
    uint32_t optional;
    uint32_t
        bytes; /* that follow: the length of the configuration, as 4 bytes, and it, with a zero */
};
enum { XL_BYTE_ORDER = 0x01020304, XL_JSON = 1, XL_STREAM_2 = 2 };

/* ---- libxl's ---- */

#define LIBXL_IDENT 0x4c6962786c466d74u /* "LibxlFmt" */
struct libxl_header {
    uint64_t ident;            /* big-endian, as the next two are */
    uint32_t version, options; /* LIBXL_VERSION, 0 */
};
enum { LIBXL_VERSION = 2, LIBXL_END = 0, LIBXL_LIBXC_CONTEXT = 1 };

/* ---- libxc's ---- */

#define IMAGE_ID 0x58454e46u /* "XENF" */
struct image_header {
    uint64_t marker;      /* ~0 */
    uint32_t id, version; /* big-endian, as the next is: IMAGE_ID, IMAGE_VERSION */
    uint16_t options;     /* 0: little-endian */
    uint16_t reserved[3];
};
struct domain_header {
    uint32_t type; /* DOMAIN_PV */
    uint16_t page_shift, reserved;
    uint32_t xen_major, xen_minor;
};
enum { IMAGE_VERSION = 3, DOMAIN_PV = 1, IMAGE_PAGE_SHIFT = 12 };

enum record_type {
    RECORD_END = 0,
    RECORD_PAGE_DATA = 1,
    RECORD_PV_INFO = 2,
    RECORD_P2M_FRAMES = 3,
    RECORD_VCPU_BASIC = 4,
    RECORD_VCPU_EXTENDED = 5,
    RECORD_VCPU_XSAVE = 6,
    RECORD_SHARED_INFO = 7,
    RECORD_TSC_INFO = 8,
    RECORD_VCPU_MSRS = 0xc,
    RECORD_VERIFY = 0xd,
    RECORD_STATIC_DATA_END = 0x10,
    RECORD_CPUID_POLICY = 0x11,
    RECORD_MSR_POLICY = 0x12,
};
#define RECORD_OPTIONAL 0x80000000u /* who does not know it may skip it */

/* Of every record, of libxl's and libxc's; the body is padded to a multiple of 8. */
struct record {
    uint32_t type, length;
};
enum { RECORD_MAX = 128 << 20, PAGES_MAX = 1024 /* of one PAGE_DATA */ };

struct record_pv_info {
    uint8_t width, levels; /* 8, 4 */
    uint8_t reserved[6];
};
struct record_p2m_frames {
    uint32_t first, last; /* pfns; behind it the pfn of each frame of the list of these */
};
struct record_pages {
    uint32_t count,
        reserved; /* behind it so many pfns with types, then the pages that those have */
};
struct record_tsc {
    uint32_t mode, khz;
    uint64_t nsec;
    uint32_t incarnation, reserved;
};
struct record_vcpu {
    uint32_t vcpu, reserved; /* behind it what the hypervisor said */
};

#define PAGE_TYPE_SHIFT 60 /* of XEN_DOMCTL_PFINFO_* >> 28 */
#define PAGE_PFN_MASK ((1ull << 52) - 1)
enum saved_type {
    PAGE_PLAIN = 0,   /* 1..4: a page table of that level */
    PAGE_PINNED = 8,  /* 9..12: a page table that is pinned */
    PAGE_BROKEN = 13, /* these three are without contents */
    PAGE_ALLOC_ONLY = 14,
    PAGE_NONE = 15, /* there is none */
};

/* ---- writing; 0 or -1 with errno ---- */

struct toolstack;

/** Up to libxc's records. @config  JSON */
int stream_begin(struct plat_file *f, const char *config, size_t config_bytes);
/** A record whose body is head (may be NULL) and then body. */
int stream_record(struct plat_file *f, uint32_t type, const void *head, size_t head_bytes,
                  const void *body, size_t body_bytes);

/* ---- reading; 0 or -1 with errno and t's error, which names the file ---- */

struct stream {
    struct toolstack *t;
    struct plat_file *file;
    const char *path;
};

/** All of it. EINVAL: the file ends before. */
int stream_get(struct stream *s, void *buf, size_t len);
/** Also bytes that nobody wants. */
int stream_skip(struct stream *s, size_t len);
/** The file makes no sense: EINVAL. */
int stream_bad(struct stream *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/**
 * The first part, up to libxc's records.
 * @config  receives the configuration, with a zero behind, to be freed; NULL: there is none
 * ENOTSUP: another version or kind of domain.
 */
int stream_open(struct stream *s, char **config, size_t *config_bytes);
/** The next record's head; it is not too long. */
int stream_next(struct stream *s, struct record *r);
/** How many bytes stand behind a body of that length. */
static inline size_t stream_padding(size_t len) { return -len & 7; }
