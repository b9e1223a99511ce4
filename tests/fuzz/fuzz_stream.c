/*
 * dom0-tools/lib/restore*.c: the input is libxc's image, from its first record on, then libxl's end. What is a multiple of
 * a page, and a vCPU's registers, stand there as few changes of zeros: a byte for how many, and of each two for
 * where and eight for what. A domain comes of it, or nothing.
 */
#include "fuzz.h"

#include <CUnit/CUnit.h>
#include <errno.h>
#include <platform.h>

#include "../../dom0-tools/config.h"
#include "../../dom0-tools/lib/guest_internal.h"
#include "../../dom0-tools/lib/stream.h"
#include "../../dom0-tools/lib/toolstack.h"
#include "../unit/toolstack_machine.h"

enum { CHANGES_MAX = 16 };

/* The machine of the unit tests says so when it is used wrongly. */
CU_BOOL CU_assertImplementation(CU_BOOL value, unsigned int line, const char *condition,
                                const char *file, const char *function, CU_BOOL fatal)
{
    BUG_ON(!value);
    return value;
}

void plat_log(enum plat_level level, const char *fmt, ...) {}
uint64_t plat_now(void) { return 5; }
void plat_lock(struct plat_mutex *m) {}
void plat_unlock(struct plat_mutex *m) {}
bool plat_cond_wait(struct plat_cond *c, struct plat_mutex *m, uint64_t deadline_ns)
{
    return false;
}
uint64_t plat_wall(void) { return 1700000000123456789; }
void *test_malloc(size_t bytes);
void *test_calloc(size_t n, size_t bytes);
void *test_malloc(size_t bytes) { return malloc(bytes); }
void *test_calloc(size_t n, size_t bytes) { return calloc(n, bytes); }
char *plat_file_read(const char *path, size_t *len) { return NULL; }
int plat_file_view(const char *path, struct plat_view *v) { return -1; }

/* ---- the file: what stands before the image, and the input ---- */

struct plat_file {
    struct fuzz_input head, in;
};

static struct plat_file file;

static const char config[] =
    "{\"c_info\": {\"type\": \"pv\", \"name\": \"x\"}, \"b_info\": {\"kernel\": \"k\", \"max_memkb\": 1024}}";

static uint8_t head[1024];
static size_t head_len;

/* As stream_begin() writes it. */
struct plat_file *plat_file_create(const char *path, uint64_t expected) { return &file; }
int plat_file_commit(struct plat_file *f) { return 0; }
int plat_file_put(struct plat_file *f, const void *data, size_t len)
{
    BUG_ON(len > sizeof(head) - head_len);
    if (len)
        memcpy(head + head_len, data, len);
    head_len += len;
    return 0;
}

struct plat_file *plat_file_open(const char *path) { return &file; }
void plat_file_close(struct plat_file *f) {}
int plat_file_size(const char *path, size_t *len) { return -1; } /* a pipe */

static size_t take(struct fuzz_input *in, void *buf, size_t len)
{
    size_t n = MIN(len, in->left);

    if (n)
        memcpy(buf, in->at, n);
    in->at += n;
    in->left -= n;
    return n;
}

static void take_changes(struct fuzz_input *in, char *buf, size_t len)
{
    unsigned int n = (unsigned int)fuzz_take(in, 1) % (CHANGES_MAX + 1);

    memset(buf, 0, len);
    while (n--) {
        size_t at = (size_t)fuzz_take(in, 2) * 8 % (len - 7);
        uint64_t what = fuzz_take(in, 8);

        memcpy(buf + at, &what, sizeof(what));
    }
}

ssize_t plat_file_get(struct plat_file *f, void *buf, size_t len)
{
    size_t piece = len % 4096 ? len : 4096, done = 0;

    if (f->head.left)
        return (ssize_t)take(&f->head, buf, len);
    if (len == 0 || (len % 4096 && len != sizeof(struct vcpu_guest_context)))
        return (ssize_t)take(&f->in, buf, len);
    for (; done < len && f->in.left; done += piece)
        take_changes(&f->in, (char *)buf + done, piece);
    return (ssize_t)done;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct toolstack t;
    uint64_t nr_free;
    domid_t id;

    if (head_len == 0)
        BUG_ON(stream_begin(&file, config, strlen(config)));
    machine_reset();
    nr_free = machine_free();
    BUG_ON(toolstack_open(&t, NULL, 0));
    file.head = (struct fuzz_input){ head, head_len };
    file.in = (struct fuzz_input){ data, size };
    if (guest_restore(&t, "/file", NULL, &id) == 0) {
        BUG_ON(!machine[id].there || !machine[id].has_context);
        BUG_ON(guest_destroy(&t, id));
    }
    BUG_ON(machine_free() != nr_free);
    toolstack_close(&t);
    BUG_ON(machine_held());
    return 0;
}
