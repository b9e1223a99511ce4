/*
 * Files, all in memory, and the console as 0, 1 and 2.
 *
 * The file tree is what the initial ramdisk held (a cpio archive, "newc", not compressed: the
 * module behind the kernel) and before it an archive linked into the kernel itself, if there is one. A
 * name is a path from the root; folders are nothing but parts of names. A file of an archive is read where
 * it lies; who writes to it gets a copy first. What is written is lost at the end.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <rt/files.h>
#include <rt/hypercall.h>
#include <rt/kernel.h>
#include <rt/memory.h>
#include <rt/thread.h>

#include "../kernel/internal.h"

enum { NR_FDS = 64, FIRST_FD = 3, LARGE_PAGES = 256 /* of a file that is large */ };

struct node {
    struct node *next;
    char *name;                  /* without a slash in front */
    const char *archived;        /* what is in it, where an archive has it; NULL: it is in */
    char **pages;                /* these, which are the file's */
    size_t size, nr_pages, room; /* room: how many the list can have */
    unsigned int opened;
    bool removed;
};

static struct node *nodes;
static struct file {
    struct node *node; /* NULL: this number is free */
    size_t at;
    int flags; /* as open() got them */
} files[NR_FDS];
static struct mutex files_lock; /* guards all of this */
static bool much_is_free;       /* pages of a large file are free since that was taken */

extern const char linked_files[], linked_files_end[]; /* files.S of the Makefile */

/* After what may have removed a file: the memory of a large one is not this domain's only. */
static void unlock_files(void)
{
    bool shrink = much_is_free;

    much_is_free = false;
    runtime_unlock(&files_lock);
    if (shrink)
        memory_shrink();
}

/* ---- the tree; files_lock is held ---- */

static const char *relative(const char *path)
{
    for (;;)
        if (path[0] == '/')
            path++;
        else if (path[0] == '.' && path[1] == '/')
            path += 2;
        else
            return path;
}

static struct node *node_find(const char *path)
{
    const char *name = relative(path);

    for (struct node *n = nodes; n; n = n->next)
        if (!n->removed && strcmp(n->name, name) == 0)
            return n;
    return NULL;
}

/* A new one is found before an older one of the same name. */
static struct node *node_add(const char *path, const char *archived, size_t size)
{
    struct node *n = calloc(1, sizeof(*n));
    char *name = strdup(relative(path));

    if (n == NULL || name == NULL) {
        free(n);
        free(name);
        errno = ENOMEM;
        return NULL;
    }
    *n = (struct node){ .next = nodes, .name = name, .archived = archived, .size = size };
    nodes = n;
    return n;
}

static size_t pages_of(size_t bytes) { return bytes / PAGE_BYTES + (bytes % PAGE_BYTES != 0); }

static void pages_free(struct node *n, size_t keep)
{
    much_is_free |= n->nr_pages >= keep + LARGE_PAGES;
    while (n->nr_pages > keep)
        page_free(n->pages[--n->nr_pages], 1);
}

static void node_free(struct node *gone)
{
    struct node **p = &nodes;

    while (*p != gone)
        p = &(*p)->next;
    *p = gone->next;
    pages_free(gone, 0);
    free(gone->pages);
    free(gone->name);
    free(gone);
}

/* What there is at a place, and how much of it, of *len bytes, lies in one piece. */
static char *node_at(const struct node *n, size_t at, size_t *len)
{
    size_t left = PAGE_BYTES - at % PAGE_BYTES;

    if (n->archived)
        return (char *)(uintptr_t)n->archived + at;
    *len = *len < left ? *len : left;
    return n->pages[at / PAGE_BYTES] + at % PAGE_BYTES;
}

/* Into pages that there are. from NULL: zeros. */
static void node_put(struct node *n, size_t at, const char *from, size_t len)
{
    for (size_t done = 0, part; done < len; done += part) {
        char *to;

        part = len - done;
        to = node_at(n, at + done, &part);
        if (from)
            memcpy(to, from + done, part);
        else
            memset(to, 0, part);
    }
}

static bool list_reserve(struct node *n, size_t nr)
{
    size_t room = n->room ? n->room : 8;
    char **list;

    while (room < nr)
        room *= 2;
    if (room == n->room)
        return true;
    list = realloc(n->pages, room * sizeof(*list));
    if (list == NULL)
        return false;
    n->pages = list;
    n->room = room;
    return true;
}

/* Room for that many bytes, which are ours to write. On failure there is as much as before. */
static bool node_reserve(struct node *n, size_t size)
{
    size_t before = n->nr_pages, nr = pages_of(n->archived && size < n->size ? n->size : size);
    const char *archived = n->archived;
    bool ok = list_reserve(n, nr);

    while (ok && n->nr_pages < nr) {
        n->pages[n->nr_pages] = page_alloc(1);
        ok = n->pages[n->nr_pages] != NULL;
        n->nr_pages += ok;
    }
    if (!ok) {
        pages_free(n, before);
        errno = ENOSPC;
        return false;
    }
    n->archived = NULL;
    if (archived)
        node_put(n, 0, archived, n->size);
    return true;
}

/* ---- archives ---- */

/* newc: 110 bytes "070701" and thirteen numbers of eight hexadecimal digits, name, data; each padded to 4. */
enum { CPIO_HEADER = 110, CPIO_MODE = 1, CPIO_SIZE = 6, CPIO_NAME_SIZE = 11 };

static size_t cpio_field(const char *header, unsigned int i)
{
    char digits[9] = { 0 };

    memcpy(digits, header + 6 + i * 8, 8);
    return strtoul(digits, NULL, 16);
}

static size_t padded(size_t n) { return (n + 3) & ~3UL; }

static void archive_add(const char *what, const char *start, size_t size)
{
    size_t at = 0;

    while (size - at >= CPIO_HEADER && memcmp(start + at, "070701", 6) == 0) {
        const char *header = start + at, *name = header + CPIO_HEADER;
        size_t bytes = cpio_field(header, CPIO_SIZE), len = cpio_field(header, CPIO_NAME_SIZE);
        size_t data = padded(CPIO_HEADER + len);

        if (len == 0 || data > size - at || bytes > size - at - data || name[len - 1] != '\0')
            break;
        if (strcmp(name, "TRAILER!!!") == 0)
            return;
        if (S_ISREG(cpio_field(header, CPIO_MODE)))
            node_add(name, header + data, bytes);
        at += data + padded(bytes);
        if (at > size)
            break;
    }
    kprint("%s: not a whole cpio archive (newc), at byte %lu of %lu\n", what, (unsigned long)at,
           (unsigned long)size);
}

void files_init(void)
{
    const char *disk = (const char *)start_info->mod_start;
    size_t linked_bytes = (size_t)linked_files_end - (size_t)linked_files;

    if (linked_bytes)
        archive_add("files of the kernel", linked_files, linked_bytes);
    if (start_info->mod_len == 0)
        return;
    if (start_info->flags & SIF_MOD_START_PFN)
        disk = pfn_to_virt(start_info->mod_start);
    if (virt_to_mfn(disk) == 0 || virt_to_mfn(disk + start_info->mod_len - 1) == 0) {
        kprint("ramdisk: beyond the memory that this kernel maps\n");
        return;
    }
    archive_add("ramdisk", disk, start_info->mod_len);
}

/* ---- the console ---- */

/* Waits for at least one byte. As a terminal does, it shows what is typed, and Enter is a newline. */
static int terminal_read(char *buf, size_t len)
{
    static struct mutex reader; /* one thread at a time */
    long n;

    runtime_lock(&reader);
    n = console_read(buf, len, true);
    for (long i = 0; i < n; i++)
        if (buf[i] == '\r')
            buf[i] = '\n';
    runtime_unlock(&reader);
    if (n < 0) {
        errno = xen_errno(n);
        return -1;
    }
    console_write(buf, (size_t)n);
    return (int)n;
}

const char *files_archived(const char *path, size_t *len)
{
    const char *data = NULL;
    struct node *n;

    runtime_lock(&files_lock);
    n = node_find(path);
    if (n && n->archived) {
        data = n->archived;
        *len = n->size;
    }
    runtime_unlock(&files_lock);
    return data;
}

/* ---- what newlib calls ---- */

char *files_list(void)
{
    enum { LINE = 24 }; /* of a line, without the name */
    size_t room = 1;
    char *text, *at;

    runtime_lock(&files_lock);
    for (struct node *n = nodes; n; n = n->next)
        room += LINE + strlen(n->name);
    at = text = malloc(room);
    for (struct node *n = nodes; text && n; n = n->next)
        if (!n->removed &&
            node_find(n->name) == n) /* one in an archive may have another before it */
            at += sprintf(at, "%zu /%s\n", n->size, n->name);
    if (text)
        *at = '\0';
    runtime_unlock(&files_lock);
    return text;
}

static struct file *file_of(int fd)
{
    if (fd >= FIRST_FD && fd < NR_FDS && files[fd].node)
        return &files[fd];
    errno = EBADF;
    return NULL;
}

static struct node *node_open(const char *path, int flags)
{
    struct node *n = node_find(path);

    if (n && (flags & O_CREAT) && (flags & O_EXCL)) {
        errno = EEXIST;
        return NULL;
    }
    if (n == NULL && (flags & O_CREAT))
        return node_add(path, NULL, 0);
    if (n == NULL)
        errno = ENOENT;
    else if ((flags & O_TRUNC) && (flags & O_ACCMODE) != O_RDONLY)
        n->size = 0;
    return n;
}

int open(const char *path, int flags, ...)
{
    int fd = FIRST_FD;

    runtime_lock(&files_lock);
    while (fd < NR_FDS && files[fd].node)
        fd++;
    if (fd < NR_FDS) {
        struct node *n = node_open(path, flags);

        files[fd] = (struct file){ n, 0, flags };
        if (n)
            n->opened++;
        else
            fd = -1;
    } else {
        errno = EMFILE;
        fd = -1;
    }
    runtime_unlock(&files_lock);
    return fd;
}

int close(int fd)
{
    struct file *f;

    if (fd >= 0 && fd < FIRST_FD)
        return 0;
    runtime_lock(&files_lock);
    f = file_of(fd);
    if (f) {
        if (--f->node->opened == 0 && f->node->removed)
            node_free(f->node);
        f->node = NULL;
    }
    unlock_files();
    return f ? 0 : -1;
}

_READ_WRITE_RETURN_TYPE read(int fd, void *buf, size_t len)
{
    struct file *f;
    int n = -1;

    if (fd == STDIN_FILENO)
        return terminal_read(buf, len);
    runtime_lock(&files_lock);
    f = file_of(fd);
    if (f && (f->flags & O_ACCMODE) == O_WRONLY) {
        errno = EBADF;
    } else if (f) {
        size_t left = f->at < f->node->size ? f->node->size - f->at : 0;

        n = (int)(len < left ? len : left);
        for (size_t done = 0, part; done < (size_t)n; done += part, f->at += part) {
            const char *from;

            part = (size_t)n - done;
            from = node_at(f->node, f->at, &part);
            memcpy((char *)buf + done, from, part);
        }
    }
    runtime_unlock(&files_lock);
    return n;
}

static int file_write(struct file *f, const void *buf, size_t len)
{
    struct node *n = f->node;

    if ((f->flags & O_ACCMODE) == O_RDONLY) {
        errno = EBADF;
        return -1;
    }
    if (f->flags & O_APPEND)
        f->at = n->size;
    if (len > SIZE_MAX / 4 - f->at) {
        errno = EFBIG;
        return -1;
    }
    if (!node_reserve(n, f->at + len))
        return -1;
    if (f->at > n->size)
        node_put(n, n->size, NULL, f->at - n->size);
    node_put(n, f->at, buf, len);
    f->at += len;
    if (f->at > n->size)
        n->size = f->at;
    return (int)len;
}

_READ_WRITE_RETURN_TYPE write(int fd, const void *buf, size_t len)
{
    struct file *f;
    int n = -1;

    if (fd == STDOUT_FILENO || fd == STDERR_FILENO)
        return console_write(buf, len), (int)len;
    runtime_lock(&files_lock);
    f = file_of(fd);
    if (f)
        n = file_write(f, buf, len);
    runtime_unlock(&files_lock);
    return n;
}

off_t lseek(int fd, off_t by, int whence)
{
    struct file *f;
    off_t at = -1;

    if (fd >= 0 && fd < FIRST_FD) {
        errno = ESPIPE;
        return -1;
    }
    runtime_lock(&files_lock);
    f = file_of(fd);
    if (f) {
        off_t from = whence == SEEK_SET ? 0 : (off_t)(whence == SEEK_CUR ? f->at : f->node->size);

        if (by >= -from && by <= (off_t)(SIZE_MAX / 4) - from)
            f->at = (size_t)(at = from + by);
        else
            errno = EINVAL;
    }
    runtime_unlock(&files_lock);
    return at;
}

static void node_stat(const struct node *n, struct stat *st)
{
    *st = (struct stat){
        .st_mode = S_IFREG | 0666, .st_nlink = 1, .st_size = (off_t)n->size, .st_blksize = 4096
    };
}

int fstat(int fd, struct stat *st)
{
    struct file *f;

    if (fd >= 0 && fd < FIRST_FD) {
        *st = (struct stat){ .st_mode = S_IFCHR | 0666, .st_nlink = 1, .st_blksize = 1024 };
        return 0;
    }
    runtime_lock(&files_lock);
    f = file_of(fd);
    if (f)
        node_stat(f->node, st);
    runtime_unlock(&files_lock);
    return f ? 0 : -1;
}

int stat(const char *restrict path, struct stat *restrict st)
{
    struct node *n;

    runtime_lock(&files_lock);
    n = node_find(path);
    if (n)
        node_stat(n, st);
    else
        errno = ENOENT;
    runtime_unlock(&files_lock);
    return n ? 0 : -1;
}

int isatty(int fd)
{
    if (fd >= 0 && fd < FIRST_FD)
        return 1;
    errno = ENOTTY;
    return 0;
}

static void node_remove(struct node *n)
{
    n->removed = true;
    if (n->opened == 0)
        node_free(n);
}

/* Who has the file open goes on with what it held. */
int file_replace(const char *path, const void *data, size_t len)
{
    struct node *before, *n;

    runtime_lock(&files_lock);
    before = node_find(path);
    n = node_add(path, NULL, 0);
    if (n && !node_reserve(n, len)) {
        node_free(n);
        n = NULL;
    }
    if (n) {
        node_put(n, 0, data, len);
        n->size = len;
        if (before)
            node_remove(before);
    }
    unlock_files();
    if (n == NULL)
        errno = ENOMEM;
    return n ? 0 : -1;
}

int file_reserve(int fd, size_t bytes)
{
    struct file *f;
    bool ok = false;

    runtime_lock(&files_lock);
    f = file_of(fd);
    if (f)
        ok = node_reserve(f->node, bytes);
    unlock_files();
    return ok ? 0 : -1;
}

int unlink(const char *path)
{
    struct node *n;

    runtime_lock(&files_lock);
    n = node_find(path);
    if (n) {
        node_remove(n);
    } else {
        errno = ENOENT;
    }
    unlock_files();
    return n ? 0 : -1;
}

/* Of newlib's, which is made of link(), there would be two names for a moment. */
int rename(const char *from, const char *to)
{
    RUNTIME_SECTION;
    char *name = strdup(relative(to));
    struct node *n, *before;

    if (name == NULL)
        return -1;
    runtime_lock(&files_lock);
    n = node_find(from);
    before = node_find(to);
    if (n && n != before) {
        char *old = n->name;

        n->name = name;
        name = old;
        if (before)
            node_remove(before);
    }
    unlock_files();
    free(name);
    if (n == NULL)
        errno = ENOENT;
    return n ? 0 : -1;
}

/* Files here have one name. */
int link(const char *from, const char *to)
{
    (void)from;
    (void)to;
    errno = EMLINK;
    return -1;
}
