/* The machine's store. See toolstack_machine.h. */
#include "toolstack_machine_internal.h"

#include <CUnit/CUnit.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xen/sched.h>
#include <xenstore.h>

struct state {
    unsigned int nr;
    struct machine_node nodes[MAX_NODES];
};
static struct state state, before; /* before: as it was when the transaction began */
static bool in_transaction;
bool machine_store_gone;
unsigned int machine_conflicts;
void (*machine_at_transaction)(void);

void machine_store_reset(void)
{
    state.nr = 0;
    in_transaction = false;
    machine_conflicts = 0;
    machine_at_transaction = NULL;
    machine_store_gone = false;
}

void machine_store_die(void)
{
    if (in_transaction)
        state = before;
    in_transaction = false;
}

bool machine_in_transaction(void) { return in_transaction; }

static bool store_fails(void)
{
    errno = EIO;
    return machine_store_gone || machine_call_fails();
}

const struct machine_node *machine_node(const char *path)
{
    for (unsigned int i = 0; i < state.nr; i++)
        if (strcmp(state.nodes[i].path, path) == 0)
            return &state.nodes[i];
    return NULL;
}

unsigned int machine_nr_nodes(void) { return state.nr; }
const struct machine_node *machine_node_at(unsigned int n) { return &state.nodes[n]; }

/* It and those above it, which are made if they are not there, with the permissions of what is above. */
static struct machine_node *make(const char *path)
{
    struct machine_node *n = (struct machine_node *)(uintptr_t)machine_node(path), *up;
    char above[96];

    if (n || path[0] == '\0')
        return n;
    CU_ASSERT_TRUE_FATAL(strlen(path) < sizeof(above) && path[0] == '/');
    strcpy(above, path);
    *strrchr(above, '/') = '\0';
    up = make(above);
    CU_ASSERT_TRUE_FATAL(state.nr < MAX_NODES);
    n = &state.nodes[state.nr++];
    *n = (struct machine_node){ .owner = up ? up->owner : 0, .reader = up ? up->reader : ~0u };
    strcpy(n->path, path);
    return n;
}

bool xs_write(struct xs_handle *h, xs_transaction_t t, const char *path, const void *data,
              unsigned int len)
{
    struct machine_node *n;
    unsigned int id;
    char last;

    CU_ASSERT_EQUAL(t != XBT_NULL, in_transaction);
    if (store_fails())
        return false;
    n = make(path);
    CU_ASSERT_TRUE_FATAL(len < NODE_VALUE);
    memcpy(n->value, data, len);
    n->value[len] = '\0';
    if (sscanf(path, "/local/domain/%u/control/shutdow%c", &id, &last) == 2 && last == 'n' &&
        strcmp(n->value, "suspend") == 0 && machine[id].suspends) {
        n->value[0] = '\0';
        if (machine[id].suspends_ns == 0)
            machine[id].flags = XEN_DOMINF_shutdown | SHUTDOWN_suspend << XEN_DOMINF_shutdownshift;
    }
    return true;
}

static void serve(const char *home, char state)
{
    char path[100];

    snprintf(path, sizeof(path), "%s/state", home);
    xs_write(NULL, XBT_NULL, path, state == '1' ? "2" : "6", 1);
}

void machine_backends(void (*fn)(const char *home, char state))
{
    for (unsigned int i = 0; i < state.nr; i++) {
        const struct machine_node *n = &state.nodes[i];
        char home[sizeof(n->path)], last[16];

        if (sscanf(n->path, "/local/domain/0/backend/%*[^/]/%*u/%*u/%15s", last) != 1 ||
            strncmp(n->path, "/local/domain/0/backend/console", 31) == 0 ||
            strcmp(last, "state") != 0 || (n->value[0] != '1' && n->value[0] != '5'))
            continue;
        strcpy(home, n->path);
        *strrchr(home, '/') = '\0';
        (fn ? fn : serve)(home, n->value[0]);
    }
}

bool xs_mkdir(struct xs_handle *h, xs_transaction_t t, const char *path)
{
    CU_ASSERT_EQUAL(t != XBT_NULL, in_transaction);
    return !store_fails() && make(path);
}

static bool is_below(const char *path, const char *above)
{
    size_t len = strlen(above);

    return strncmp(path, above, len) == 0 && (path[len] == '/' || path[len] == '\0');
}

bool xs_rm(struct xs_handle *h, xs_transaction_t t, const char *path)
{
    unsigned int kept = 0, nr = state.nr;

    if (store_fails())
        return false;
    for (unsigned int i = 0; i < nr; i++)
        if (!is_below(state.nodes[i].path, path))
            state.nodes[kept++] = state.nodes[i];
    state.nr = kept;
    errno = ENOENT;
    return kept < nr;
}

void *xs_read(struct xs_handle *h, xs_transaction_t t, const char *path, unsigned int *len)
{
    const struct machine_node *n = machine_node(path);

    if (store_fails())
        return NULL;
    errno = ENOENT;
    return n ? strdup(n->value) : NULL;
}

char **xs_directory(struct xs_handle *h, xs_transaction_t t, const char *path, unsigned int *num)
{
    char **list = calloc(1, (MAX_NODES + 1) * (sizeof(*list) + 96));
    char *names = (char *)(list + MAX_NODES + 1);
    size_t len = strlen(path);

    if (store_fails()) {
        free(list);
        return NULL;
    }
    if (machine_node(path) == NULL) {
        errno = ENOENT;
        free(list);
        return NULL;
    }
    *num = 0;
    for (unsigned int i = 0; i < state.nr; i++) {
        const char *its = state.nodes[i].path;

        if (is_below(its, path) && its[len] && strchr(its + len + 1, '/') == NULL) {
            list[(*num)++] = strcpy(names, its + len + 1);
            names += 96;
        }
    }
    return list;
}

bool xs_set_permissions(struct xs_handle *h, xs_transaction_t t, const char *path,
                        struct xs_permissions *perms, unsigned int num_perms)
{
    struct machine_node *n = (struct machine_node *)(uintptr_t)machine_node(path);

    if (store_fails())
        return false;
    CU_ASSERT_PTR_NOT_NULL_FATAL(n);
    CU_ASSERT_TRUE(perms[0].perms == XS_PERM_NONE && num_perms <= 2);
    n->owner = perms[0].id;
    n->reader = ~0u;
    if (num_perms == 2) {
        CU_ASSERT_EQUAL(perms[1].perms, XS_PERM_READ);
        n->reader = perms[1].id;
    }
    return true;
}

xs_transaction_t xs_transaction_start(struct xs_handle *h)
{
    if (machine_at_transaction)
        machine_at_transaction();
    CU_ASSERT_FALSE(in_transaction);
    if (store_fails())
        return XBT_NULL;
    before = state;
    in_transaction = true;
    return 1;
}

bool xs_transaction_end(struct xs_handle *h, xs_transaction_t t, bool abort)
{
    bool failed = store_fails(), conflict = !abort && !failed && machine_conflicts;

    CU_ASSERT_TRUE(in_transaction);
    in_transaction = false;
    if (abort || failed || conflict)
        state = before;
    if (conflict) {
        machine_conflicts--;
        errno = EAGAIN;
    }
    return !failed && !conflict;
}

bool xs_introduce_domain(struct xs_handle *h, unsigned int domid, unsigned long mfn,
                         unsigned int eventchn)
{
    if (store_fails())
        return false;
    CU_ASSERT_TRUE(domid < NR_DOMAINS && machine[domid].there && machine_owner(mfn) == domid);
    CU_ASSERT_EQUAL(eventchn, 1);
    machine[domid].introduced = true;
    return true;
}

bool xs_release_domain(struct xs_handle *h, unsigned int domid)
{
    if (store_fails())
        return false;
    errno = ENOENT;
    return machine[domid].introduced ? machine[domid].introduced = false, true : false;
}

bool xs_is_domain_introduced(struct xs_handle *h, unsigned int domid)
{
    return !store_fails() && machine[domid].introduced;
}

char *xs_control_command(struct xs_handle *h, const char *cmd, void *data, unsigned int len)
{
    if (store_fails())
        return NULL;
    CU_ASSERT_STRING_EQUAL(cmd, "quota");
    CU_ASSERT_EQUAL(len, strlen(data) + 1);
    return strdup("nodes: 5 of 1000, hit 2 times\nmemory: 7 of 9, hit 0 times\nsomething else");
}

bool xs_resume_domain(struct xs_handle *h, unsigned int domid)
{
    if (store_fails())
        return false;
    machine[domid].nr_resumed++;
    return true;
}
