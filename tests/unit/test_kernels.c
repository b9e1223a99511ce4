/* dom0-tools/lib: what a domain begins with, by its kernel, also of kernels that are packed. */
#include "toolstack_guest.h"

static void test_a_kernel_like_ours(void)
{
    const start_info_t *si;
    domid_t id;

    start(NULL);
    id = create();
    si = check_domain(id);
    CU_ASSERT_EQUAL(si->flags, 0);
    CU_ASSERT_EQUAL(si->first_p2m_pfn | si->nr_p2m_frames, 0);
    for (unsigned int i = 0; i < 8192; i++)
        CU_ASSERT_EQUAL_FATAL(*(char *)at(id, si->mod_start + i), i < RAMDISK_BYTES ? 'r' : 0);
    CU_ASSERT_EQUAL(guest_destroy(&t, id), 0);
    end();
}

static void test_a_kernel_like_linux(void)
{
    const start_info_t *si;
    uint64_t mfn;
    domid_t id;

    start(NULL);
    make_kernel(true);
    id = create();
    si = check_domain(id);
    CU_ASSERT_EQUAL(si->flags, SIF_MOD_START_PFN);
    CU_ASSERT_EQUAL(si->mfn_list, LIST);
    CU_ASSERT_EQUAL(si->nr_p2m_frames, 4 + 3);
    mfn = ((uint64_t *)at(id, LIST))[si->mod_start + 1];
    CU_ASSERT_EQUAL(((char *)machine_frame(mfn))[RAMDISK_BYTES - 4096 - 1], 'r');
    CU_ASSERT_EQUAL(guest_destroy(&t, id), 0);
    end();
}

/* ---- kernels that are packed ---- */

enum { PAYLOAD_AT = 3 * 512 + 100 };
static uint8_t packed[2 * KERNEL_BYTES];

static size_t gzip(uint8_t *to)
{
    z_stream z = { .next_in = kernel, .avail_in = KERNEL_BYTES };

    CU_ASSERT_EQUAL_FATAL(deflateInit2(&z, 9, Z_DEFLATED, 16 + MAX_WBITS, 8, 0), Z_OK);
    z.next_out = to;
    z.avail_out = KERNEL_BYTES;
    CU_ASSERT_EQUAL_FATAL(deflate(&z, Z_FINISH), Z_STREAM_END);
    deflateEnd(&z);
    return z.total_out;
}

static size_t xz(uint8_t *to)
{
    size_t len = 0;

    CU_ASSERT_EQUAL_FATAL(lzma_easy_buffer_encode(1, LZMA_CHECK_CRC32, NULL, kernel, KERNEL_BYTES,
                                                  to, &len, KERNEL_BYTES),
                          LZMA_OK);
    return len;
}

static size_t zstd(uint8_t *to)
{
    ZSTD_CCtx *z = ZSTD_createCCtx();
    size_t len;

    CU_ASSERT_PTR_NOT_NULL_FATAL(z);
    ZSTD_CCtx_setParameter(z, ZSTD_c_checksumFlag,
                           1); /* as the zstd program, which Linux packs with */
    len = ZSTD_compress2(z, to, KERNEL_BYTES, kernel, KERNEL_BYTES);
    CU_ASSERT_FALSE_FATAL(ZSTD_isError(len));
    ZSTD_freeCCtx(z);
    return len;
}

/* A bzImage in packed: the payload behind 3 sectors and 100 bytes of code. Returns its length. */
static size_t bzimage(size_t (*pack)(uint8_t *to))
{
    uint32_t payload[2] = { 100 };

    memset(packed, 0x90, PAYLOAD_AT);
    packed[0x1f1] = 2;
    memcpy(packed + 0x202, "HdrS\x0f\x02", 6);
    payload[1] = (uint32_t)pack(packed + PAYLOAD_AT);
    memcpy(packed + 0x248, payload, sizeof(payload));
    return PAYLOAD_AT + payload[1];
}

static void is_a_domain(size_t len)
{
    domid_t id;

    kernel_file.bytes = packed;
    kernel_file.len = len;
    id = create();
    check_domain(id);
    CU_ASSERT_EQUAL(guest_destroy(&t, id), 0);
}

static void test_packed_kernels(void)
{
    size_t len;

    start(NULL);
    is_a_domain(gzip(packed));
    is_a_domain(xz(packed));
    is_a_domain(zstd(packed));
    is_a_domain(bzimage(gzip));
    is_a_domain(bzimage(zstd));
    len = bzimage(xz);
    is_a_domain(len);
    memset(packed + len, 0xff, 100); /* what follows the payload is not looked at */
    is_a_domain(len + 100);
    end();
}

static void test_damaged_kernels(void)
{
    size_t len;

    start(NULL);
    kernel_file.bytes = packed;
    for (int i = 0; i < 4; i++) {
        len = i == 0 ? gzip(packed) : i == 1 ? xz(packed) : i == 2 ? bzimage(xz) : zstd(packed);
        for (size_t cut = i == 2 ? 0x251 : 6; cut < len; cut += 1 + len / 50) {
            kernel_file.len = cut;
            refused(ENOEXEC, "/kernel: ");
        }
        memset(packed + (len + PAYLOAD_AT * (i == 2)) / 2, 0x55, 40);
        kernel_file.len = len;
        refused(ENOEXEC, "damaged");
    }
    len = bzimage(xz);
    kernel_file.len = len;
    packed[0x24b] = 0xff; /* the payload far outside */
    refused(ENOEXEC, "bzImage");
    memcpy(packed, "BZh9", 4);
    packed[0x202] = 0;
    refused(ENOTSUP, "packed with bzip2");
    memcpy(packed, "\x02\x21\x4c\x18", 4);
    refused(ENOTSUP, "packed with lz4");
    end();
}

int main(void)
{
    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("kernels", NULL, NULL);
#define T(f) CU_add_test(s, #f, f)
    T(test_a_kernel_like_ours);
    T(test_a_kernel_like_linux);
    T(test_packed_kernels);
    T(test_damaged_kernels);
    CU_basic_run_tests();
    return CU_get_number_of_failures() || CU_get_error();
}
