/* See xl_machine.h. */
#include "xl_machine.h"

#include <CUnit/CUnit.h>
#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <platform.h>
#include <xen/elfnote.h>
#include <xen/sched.h>

#include "toolstack_machine.h"

#define BASE 0xffffffff80000000ul

/* ---- files ---- */

uint8_t kernel_bytes[0x1100];
const char *config_text, *others_text;
domid_t while_reading;
bool gone_while_reading;

char *plat_file_read(const char *path, size_t *len)
{
    bool is_kernel = strcmp(path, "/kernel") == 0;
    const char *text = strncmp(path, "/var/lib/xen/userdata-d.", 24) == 0 ? others_text
                       : strcmp(path, "guest.cfg") == 0                   ? config_text
                                                                          : NULL;
    char *copy;

    while_reading = is_kernel ? the_one() : while_reading;
    machine_store_gone = machine_store_gone || (is_kernel && gone_while_reading);
    if (!is_kernel && text == NULL) {
        errno = ENOENT;
        return NULL;
    }
    *len = is_kernel ? sizeof(kernel_bytes)
                     : strlen(text) + (text == others_text); /* as libxl writes it */
    copy = malloc(*len + 1);
    memcpy(copy, is_kernel ? (const char *)kernel_bytes : text, *len);
    copy[*len] = '\0';
    return copy;
}

int plat_file_view(const char *path, struct plat_view *v)
{
    v->bytes = v->copy = plat_file_read(path, &v->len);
    return v->copy ? 0 : -1;
}

uint64_t now_ns = 5;
uint64_t plat_now(void) { return now_ns; }
uint64_t wall = 1700000000;
uint64_t plat_wall(void) { return wall * 1000000000; }
void plat_lock(struct plat_mutex *m) {}
void plat_unlock(struct plat_mutex *m) {}
void plat_log(enum plat_level level, const char *fmt, ...) {}

/* While xl waits the domains end. */
unsigned int nr_waits;
void (*at_wait)(void);
bool plat_cond_wait(struct plat_cond *c, struct plat_mutex *m, uint64_t deadline_ns)
{
    machine_backends(NULL);
    ++nr_waits;
    if (at_wait)
        at_wait();
    else if (nr_waits == 3)
        for (unsigned int d = 1; d < NR_DOMAINS; d++)
            machine[d].flags |= machine[d].there ? XEN_DOMINF_shutdown : 0;
    return false;
}

static void make_kernel(void)
{
    Elf64_Ehdr *eh = (Elf64_Ehdr *)kernel_bytes;
    Elf64_Phdr *ph = (Elf64_Phdr *)(eh + 1);
    Elf64_Nhdr *n = (Elf64_Nhdr *)(kernel_bytes + 0x400);

    *eh = (Elf64_Ehdr){ .e_ident = "\177ELF\2\1\1",
                        .e_type = ET_EXEC,
                        .e_machine = EM_X86_64,
                        .e_phoff = sizeof(*eh),
                        .e_phentsize = sizeof(*ph),
                        .e_phnum = 2,
                        .e_entry = BASE + 0x100000 };
    ph[0] = (Elf64_Phdr){ .p_type = PT_LOAD,
                          .p_offset = 0x1000,
                          .p_paddr = 0x100000,
                          .p_filesz = 0x100,
                          .p_memsz = 0x100 };
    ph[1] = (Elf64_Phdr){ .p_type = PT_NOTE, .p_offset = 0x400, .p_filesz = 24, .p_memsz = 24 };
    *n = (Elf64_Nhdr){ 4, 8, XEN_ELFNOTE_VIRT_BASE };
    memcpy(n + 1, "Xen", 4);
    memcpy((char *)(n + 1) + 4, &(uint64_t){ BASE }, 8);
}

/* test_config.mk has config_text.c take its memory by these. */
void *test_malloc(size_t bytes);
void *test_calloc(size_t n, size_t bytes);
void *test_malloc(size_t bytes) { return malloc(bytes); }
void *test_calloc(size_t n, size_t bytes) { return calloc(n, bytes); }

/* ---- what test_stream tests ---- */

char wanted[2000];

int guest_save(struct toolstack *t, domid_t id, const char *path, const char *config,
               enum guest_then then)
{
    snprintf(wanted, sizeof(wanted), "save %u to %s then %d: %s", id, path, (int)then, config);
    return strcmp(path, "/full") == 0 ? toolstack_fail(t, ENOSPC, "/full: no room") : 0;
}

int guest_restore(struct toolstack *t, const char *path, const struct domain_config *c, domid_t *id)
{
    snprintf(wanted, sizeof(wanted), "restore %s with %s", path, c ? c->name : "nothing");
    if (guest_find(t, "web", id))
        return toolstack_fail(t, EINVAL, "%s: it ends too early", path);
    return 0;
}

int guest_dump_core(struct toolstack *t, domid_t id, const char *path)
{
    snprintf(wanted, sizeof(wanted), "core of %u to %s", id, path);
    return machine[id].flags >> XEN_DOMINF_shutdownshift == SHUTDOWN_watchdog
               ? toolstack_fail(t, ENOSPC, "no room")
               : 0;
}

/* ---- xl ---- */

struct xl x;
static char some_store;

void start(const struct xl_home *home)
{
    x.home = home;
    machine_reset();
    make_kernel();
    config_text = "name = 'web'\nkernel = '/kernel'\nmemory = 8\nvcpus = 2\n";
    CU_ASSERT_EQUAL_FATAL(toolstack_open(&x.tools, (struct xs_handle *)&some_store, 0), 0);
}

void end(void)
{
    text_free(&x.out);
    text_free(&x.err);
    for (unsigned int d = 1; d < NR_DOMAINS; d++)
        if (machine[d].there)
            guest_destroy(&x.tools, (domid_t)d);
    CU_ASSERT_EQUAL(machine_free(), NR_FRAMES);
    toolstack_close(&x.tools);
    CU_ASSERT_EQUAL(machine_held(), 0);
}

/* The domain that there is beside domain 0; 0: none, or several. */
domid_t the_one(void)
{
    unsigned int found = 0, nr = 0;

    for (unsigned int d = 1; d < NR_DOMAINS; d++)
        if (machine[d].there) {
            found = d;
            nr++;
        }
    return nr == 1 ? (domid_t)found : 0;
}

/* "%" in a line or text is the number of the_one(). */
void fill_in(char *to, const char *from)
{
    for (; *from; from++)
        if (*from == '%')
            to += sprintf(to, "%u", the_one());
        else
            *to++ = *from;
    *to = '\0';
}

void run(const char *line, int code, const char *out, const char *err)
{
    char copy[256], want[1024], *words[16];
    int rc;

    text_free(&x.out);
    text_free(&x.err);
    fill_in(copy, line);
    rc = words_split(copy, words, 16);
    rc = xl_run(&x, rc, words);
    CU_ASSERT_EQUAL(rc, code);
    fill_in(want, out);
    CU_ASSERT_STRING_EQUAL(x.out.bytes ? x.out.bytes : "", want);
    if (strcmp(x.out.bytes ? x.out.bytes : "", want) != 0 || rc != code)
        printf("xl %s: %d\n%s%s", line, rc, x.out.bytes, x.err.bytes);
    fill_in(want, err);
    CU_ASSERT_STRING_EQUAL(x.err.bytes ? x.err.bytes : "", want);
    if (strcmp(x.err.bytes ? x.err.bytes : "", want) != 0)
        printf("xl %s: %d\n%s%s", line, rc, x.out.bytes, x.err.bytes);
    text_free(&x.out);
    text_free(&x.err);
}

void expect_node(const char *leaf, const char *value)
{
    char path[96], want[64];
    const struct machine_node *n;

    snprintf(path, sizeof(path), "/local/domain/%u/%s", the_one(), leaf);
    n = machine_node(path);
    CU_ASSERT_PTR_NOT_NULL_FATAL(n);
    fill_in(want, value);
    CU_ASSERT_STRING_EQUAL(n->value, want);
}

int xl(const char *line)
{
    char copy[256], *words[16];

    text_free(&x.out);
    text_free(&x.err);
    fill_in(copy, line);
    return xl_run(&x, words_split(copy, words, 16), words);
}

domid_t ends(unsigned int code, int attended)
{
    machine[the_one()].flags = XEN_DOMINF_shutdown | code << XEN_DOMINF_shutdownshift;
    CU_ASSERT_EQUAL(guest_attend(&x.tools), attended);
    return the_one();
}
