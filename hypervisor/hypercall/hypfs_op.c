/*
 * hypfs_op: a small tree of what there is to know and to set, as `xenhypfs` shows it. Of Xen's:
 *   /buildinfo/changeset, compileinfo/compiler, version/{extra,major,minor}
 *   /cpupool/0/sched-gran
 *   /params/loglvl, guest_loglvl       which may be written
 * and ours:
 *   /domain/ID/name, role
 *   /domain/ID/rings                   of one that was started at boot: where its store and console are
 *   /domain/ID/held/                   of a dying domain: why it is still there
 *     frames, ports, references        left to it, the creation's reference included
 *     mapped-by                        whose page tables have frames of it, and in how many entries
 */
#include "hypercall/hypercall.h"

#include <xen/hypfs.h>

#include "event/evtchn.h"
#include "lib/cmdline.h"
#include "memory/frame.h"

#define PATH_BYTES 128u /* longer ones are not in the tree */
#define VALUE_BYTES 256u
#define NAME_BYTES 24u /* of an entry */
#define FRAMES_AT_ONCE 4096u

/* An entry: a directory if it has a list of entries, which one without a name ends. */
struct node {
    const char *name;
    const struct node *dir;
    bool per_domain; /* in between there is a directory for each domain */
    bool if_dying;   /* it is there for dying domains */
    bool if_rings;   /* for those whose rings the builder made */
    /* what it shows, one of: */
    const char *text;
    uint32_t number; /* not 0 */
    uint32_t (*count)(const struct domain *d);
    uint32_t *level;                            /* of the log: the only ones to be written */
    long (*show)(struct domain *d, char *text); /* 0 or an error; -ERESTART, too */
};

/* Where a path leads to. Of a per_domain one without d: the list of domains. */
struct place {
    const struct node *node;
    struct domain *d; /* with a reference, or NULL */
};

/* ---- values ---- */

/* As options.loglvl numbers them. */
static const char *const levels[] = { "none", "error", "warning", "info", "debug", "all" };

static long set_level(uint32_t *level, const char *text)
{
    for (uint32_t i = 0; i < ARRAY_SIZE(levels); i++)
        if (strncmp(levels[i], text, NAME_BYTES) == 0) {
            WRITE_ONCE(*level, i);
            return 0;
        }
    return -EINVAL;
}

static long show_name(struct domain *d, char *text)
{
    xl_strlcpy(text, d->name, VALUE_BYTES);
    return 0;
}

/* The words of its roles in one string. */
static long show_role(struct domain *d, char *text)
{
    static const char *const names[] = { "control ", "hardware ", "store " }; /* by ROLE_* */
    size_t len = 0;

    _Static_assert(ROLES_ALL >> ARRAY_SIZE(names) == 0, "a role without a word");
    xl_strlcpy(text, d->roles ? "" : "guest ", VALUE_BYTES);
    for (uint32_t i = 0; i < ARRAY_SIZE(names); i++, len = strlen(text))
        if (d->roles >> i & 1)
            xl_strlcpy(text + len, names[i], VALUE_BYTES - len);
    text[len - 1] = '\0'; /* the last space */
    return 0;
}

/* Of a domain that was started at boot, as words that a shell may evaluate. */
static long show_rings(struct domain *d, char *text)
{
    xl_snprintf(text, VALUE_BYTES, "store_mfn=%lu store_port=%u console_mfn=%lu console_port=%u",
                mfn_x(d->store_mfn), d->store_port, mfn_x(d->console_mfn), d->console_port);
    return 0;
}

/* ---- what holds a dying domain ---- */

static uint32_t count_frames(const struct domain *d) { return (uint32_t)READ_ONCE(d->nr_pages); }
/* But for this hypercall's. */
static uint32_t count_refs(const struct domain *d) { return atomic_load(&d->refs) - 1; }

static void holders_add(struct holders *h, domid_t id, uint32_t nr_mappings)
{
    uint32_t i = 0;

    while (i < MIN(h->nr, NR_HOLDERS) && h->of[i].id != id)
        i++;
    h->nr = MAX(h->nr, i + 1);
    if (i == NR_HOLDERS)
        return;
    h->of[i].id = id;
    h->of[i].nr_mappings += nr_mappings;
}

/* In how many entries the table maps frames of domain id. It may change, or go, meanwhile. */
static uint32_t count_mappings(mfn_t table, domid_t id)
{
    const pte_t *l1 = mfn_to_virt(table);
    uint32_t n = 0;

    for (uint32_t i = 0; i < PTES_PER_TABLE; i++) {
        pte_t e = READ_ONCE(l1[i]);
        const struct page_info *pg = e & PTE_P ? mfn_to_page_checked(_mfn(pte_mfn(e))) : NULL;
        uint64_t x = pg ? atomic_load_explicit(&pg->count_info, memory_order_relaxed) : 0;

        n += (x & PGC_RAM) && PGC_OWNER(x) == id;
    }
    return n;
}

/* Look through all L1 tables. -ERESTART: there is more to do, and something else first. */
static long holders_find(const struct domain *d, struct holders *h)
{
    uint32_t n;

    if (h->next_mfn == 0) {
        h->nr = 0;
        memset(h->of, 0, sizeof(h->of));
    }
    for (uint64_t m = h->next_mfn; m < max_mfn; m++) {
        const struct page_info *pg = mfn_to_page_checked(_mfn(m));
        uint64_t x = pg ? atomic_load_explicit(&pg->count_info, memory_order_relaxed) : 0;
        uint64_t t = pg ? atomic_load_explicit(&pg->type_info, memory_order_relaxed) : 0;
        bool is_table = (x & PGC_RAM) && PGT_TYPE(t) == PGT_L1 && (t & PGT_VALID);

        if (pg == NULL)
            m |= (1u << FRAME_GROUP_SHIFT) - 1;
        if (is_table && PGC_OWNER(x) != d->domain_id &&
            (n = count_mappings(_mfn(m), d->domain_id)) != 0)
            holders_add(h, PGC_OWNER(x), n);
        if ((is_table || m % FRAMES_AT_ONCE == FRAMES_AT_ONCE - 1) && hypercall_preempt_check()) {
            h->next_mfn = m + 1;
            return -ERESTART;
        }
    }
    h->next_mfn = 0;
    return 0;
}

static long show_mapped_by(struct domain *d, char *text)
{
    struct holders *h = &d->holders;
    size_t len = 0;
    long rc;

    if (atomic_exchange(&h->busy, true))
        return -ERESTART;
    rc = holders_find(d, h);
    for (uint32_t i = 0; rc == 0 && i < MIN(h->nr, NR_HOLDERS); i++, len += strlen(text + len))
        xl_snprintf(text + len, VALUE_BYTES - len, "%sd%u: %u", i ? ", " : "", h->of[i].id,
                    h->of[i].nr_mappings);
    if (rc == 0 && h->nr > NR_HOLDERS)
        xl_strlcpy(text + len, ", others", VALUE_BYTES - len);
    atomic_store(&h->busy, false);
    return rc;
}

/* ---- the tree ---- */

#define DIR(...)                      \
    .dir = (const struct node[])      \
    {                                 \
        __VA_ARGS__, { .name = NULL } \
    }
static const struct node root = {
    DIR({ "buildinfo",
          DIR({ "changeset", .text = "" },
              { "compileinfo", DIR({ "compiler", .text = XEN_COMPILER }) },
              { "version", DIR({ "extra", .text = XEN_EXTRA }, { "major", .number = XEN_MAJOR },
                               { "minor", .number = XEN_MINOR }) }) },
        { "cpupool", DIR({ "0", DIR({ "sched-gran", .text = "cpu" }) }) },
        { "domain",
          DIR({ "name", .show = show_name }, { "role", .show = show_role },
              { "rings", .show = show_rings, .if_rings = true },
              { "held",
                DIR({ "frames", .count = count_frames }, { "ports", .count = evtchn_nr_ports },
                    { "references", .count = count_refs }, { "mapped-by", .show = show_mapped_by }),
                .if_dying = true }),
          .per_domain = true },
        { "params", DIR({ "guest_loglvl", .level = &options.guest_loglvl },
                        { "loglvl", .level = &options.loglvl }) })
};

static bool is_domain_list(const struct place *p) { return p->node->per_domain && p->d == NULL; }

static bool is_there(const struct node *n, const struct domain *d)
{
    /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): what asks for it is below a domain */
    return (!n->if_dying || READ_ONCE(d->is_dying)) && (!n->if_rings || d->store_port);
}

/*
 * The entry of p's directory behind child, from { NULL, NULL } on, and its name. False: there is no more.
 * One in the list of domains comes with a reference, which goes when the next one is asked for.
 */
static bool place_next(const struct place *p, struct place *child, char name[NAME_BYTES])
{
    if (is_domain_list(p)) {
        child->node = p->node;
        child->d = domain_next(child->d);
        if (child->d)
            xl_snprintf(name, NAME_BYTES, "%u", child->d->domain_id);
        return child->d != NULL;
    }
    child->d = p->d;
    do
        child->node = child->node ? child->node + 1 : p->node->dir;
    while (child->node && child->node->name && !is_there(child->node, p->d));
    if (child->node == NULL || child->node->name == NULL)
        return false;
    xl_strlcpy(name, child->node->name, NAME_BYTES);
    return true;
}

/* To the entry of that name in p's directory, if there is one. */
static bool place_enter(struct place *p, const char *name, size_t len)
{
    struct place child = { NULL, NULL };
    char entry[NAME_BYTES];

    while (place_next(p, &child, entry))
        if (strlen(entry) == len && strncmp(entry, name, len) == 0) {
            *p = child;
            return true;
        }
    return false;
}

static void place_leave(struct place *p)
{
    if (p->d)
        domain_put(p->d);
}

/**
 * Where the guest's path of len bytes, its NUL included, leads to; to be left after success.
 * -EINVAL: it is longer than 1,024, does not begin with / or not end with a NUL. -EFAULT. -ENOENT.
 */
static long place_find(guest_va_t from, uint64_t len, struct place *p)
{
    char buf[PATH_BYTES];
    const char *path = buf + 1;
    size_t n;

    if (len == 0 || len > XEN_HYPFS_MAX_PATHLEN)
        return -EINVAL;
    if (len > sizeof(buf))
        return -ENOENT;
    if (copy_from_guest(buf, from, len))
        return -EFAULT;
    if (buf[0] != '/' || buf[len - 1] != '\0')
        return -EINVAL;
    for (*p = (struct place){ .node = &root }; *path; path += n + (path[n] == '/')) {
        for (n = 0; path[n] && path[n] != '/';)
            n++;
        if (!place_enter(p, path, n)) {
            place_leave(p);
            return -ENOENT;
        }
    }
    return 0;
}

/* ---- directories ---- */

/* Of one in a directory's contents, so that the next one is aligned. */
static uint32_t entry_bytes(const char *name)
{
    return ROUND_UP((uint32_t)(offsetof(struct xen_hypfs_dirlistentry, name) + strlen(name) + 1),
                    (uint32_t) _Alignof(struct xen_hypfs_dirlistentry));
}

static uint32_t dir_bytes(const struct place *p)
{
    struct place child = { NULL, NULL };
    char name[NAME_BYTES];
    uint32_t bytes = 0;

    while (place_next(p, &child, name))
        bytes += entry_bytes(name);
    return bytes;
}

/* What there is to tell about it; of a value with text, at first "", filled. 0 or an error. */
static long place_describe(const struct place *p, struct xen_hypfs_direntry *e, char *text)
{
    const struct node *n = p->node;
    const char *fixed = n->level ? levels[MIN(*n->level, ARRAY_SIZE(levels) - 1)] : n->text;
    uint32_t number = n->count ? n->count(p->d) : n->number;
    long rc = n->show ? n->show(p->d, text) : 0;

    if (fixed)
        xl_strlcpy(text, fixed, VALUE_BYTES);
    *e = (struct xen_hypfs_direntry){
        .type = n->dir ? XEN_HYPFS_TYPE_DIR : XEN_HYPFS_TYPE_STRING,
        .encoding = XEN_HYPFS_ENC_PLAIN,
        .content_len = n->dir ? dir_bytes(p) : (uint32_t)strlen(text) + 1,
        .max_write_len = n->level ? NAME_BYTES : 0,
    };
    if (number || n->count) {
        e->type = XEN_HYPFS_TYPE_UINT;
        e->content_len = sizeof(number);
        memcpy(text, &number, sizeof(number));
    }
    return rc;
}

/* A directory's contents on their way out. */
struct listing {
    guest_va_t to;
    uint64_t room, len;
    guest_va_t last; /* the last entry's off_next */
};

static long listing_add(struct listing *l, const struct place *p, const char *name)
{
    union {
        struct xen_hypfs_dirlistentry head;
        uint8_t bytes[sizeof(struct xen_hypfs_dirlistentry) + NAME_BYTES];
    } e = { .bytes = { 0 } };
    uint32_t n = entry_bytes(name);
    char text[VALUE_BYTES] = "";
    long rc = place_describe(p, &e.head.e, text);
    guest_va_t to = gva_index(l->to, l->len, 1);

    if (rc)
        return rc;
    if (n > l->room - l->len)
        return -ENOBUFS; /* it has grown since it was measured */
    e.head.off_next = (uint16_t)n;
    memcpy(e.bytes + offsetof(struct xen_hypfs_dirlistentry, name), name, strlen(name));
    l->last = gva_index(to, 1, offsetof(struct xen_hypfs_dirlistentry, off_next));
    l->len += n;
    return copy_to_guest(to, &e, n);
}

static long dir_read(const struct place *p, struct listing *l)
{
    struct place child = { NULL, NULL };
    const uint16_t none = 0;
    char name[NAME_BYTES];
    long rc = 0;

    while (rc == 0 && place_next(p, &child, name))
        rc = listing_add(l, &child, name);
    if (is_domain_list(p))
        place_leave(&child);
    return rc ?: copy_to_guest(l->last, &none, sizeof(none)); /* no directory is empty */
}

/* ---- operations ---- */

/*
 * The entry's description and, if they fit, its contents; if not, -ENOBUFS: the description says how
 * long they are. -EINVAL: not even that fits.
 */
static long op_read(const struct place *p, uint64_t buffer, uint64_t size)
{
    guest_va_t contents = gva_index(_gva(buffer), 1, sizeof(struct xen_hypfs_direntry));
    struct xen_hypfs_direntry e;
    char text[VALUE_BYTES] = "";
    long rc;

    if (size < sizeof(e))
        return -EINVAL;
    rc = place_describe(p, &e, text) ?: copy_to_guest(_gva(buffer), &e, sizeof(e));
    if (rc)
        return rc;
    size -= sizeof(e);
    if (size < e.content_len)
        return -ENOBUFS;
    if (p->node->dir)
        return dir_read(p, &(struct listing){ .to = contents, .room = size });
    return copy_to_guest(contents, text, e.content_len);
}

/* -EACCES read-only; -ENOSPC too long; -EINVAL it is not text with one NUL at its end, or means nothing. */
static long op_write(const struct place *p, uint64_t buffer, uint64_t size)
{
    char text[NAME_BYTES];

    if (p->node->level == NULL)
        return -EACCES;
    if (size > sizeof(text))
        return -ENOSPC;
    if (size && copy_from_guest(text, _gva(buffer), size))
        return -EFAULT;
    if (size == 0 || strnlen(text, size) != size - 1)
        return -EINVAL;
    return set_level(p->node->level, text);
}

/**
 * HYPERVISOR_hypfs_op; privileged only.
 * @cmd              XEN_HYPFS_OP_*; with get_version all else is 0
 * @path, path_len   guest address and length, with its NUL
 * @buffer, size     what is read or written
 * Returns 0, or of get_version the version; -EPERM; -EFAULT; -ENOENT no such entry; -EINVAL, -ENOBUFS,
 *   -EACCES, -ENOSPC as above; -EOPNOTSUPP another operation. Preemptible.
 */
long hc_hypfs_op(uint64_t cmd, uint64_t path, uint64_t path_len, uint64_t buffer, uint64_t size)
{
    struct place p;
    long rc;

    if (policy_check(current->domain, NULL, RIGHT_MACHINE))
        return -EPERM;
    if ((uint32_t)cmd == XEN_HYPFS_OP_get_version)
        return path || path_len || buffer || size ? -EINVAL : XEN_HYPFS_VERSION;
    rc = place_find(_gva(path), path_len, &p);
    if (rc)
        return rc;
    switch ((uint32_t)cmd) {
    case XEN_HYPFS_OP_read: rc = op_read(&p, buffer, size); break;
    case XEN_HYPFS_OP_write_contents: rc = op_write(&p, buffer, size); break;
    default: rc = -EOPNOTSUPP;
    }
    place_leave(&p);
    return rc;
}
