/*
 * The toolstack: PV domains created, listed and destroyed from a control domain, by the hypervisor's interface
 * libraries and the store, and nothing else. It keeps no state of its own: what a domain is, the hypervisor
 * and the store say.
 *
 * Functions return 0, or -1 with errno and, in the toolstack's error, one line that says what could not be
 * done and why. Not to be called by two threads at once on one struct toolstack.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <xen/xen.h>
#include <xen/domctl.h>

struct domain_config;
struct hyp;
struct xs_handle;

struct toolstack {
    struct hyp *hyp;
    struct xs_handle *store; /* NULL: there is none, and nothing is written to it */
    domid_t self; /* the domain that this runs in; it has the daemons of store and console */
    bool
        sole; /* nobody else names domains here: names are looked up in the index alone before one is
                  given; false at first */
    bool unattended; /* what is created now guest_attend() leaves alone; false at first */
    unsigned int nr_short_lives; /* guest_attend()'s, of what it creates now */
    unsigned int restarts;       /* how many it will try again */
    uint8_t restart[16]; /* the UUID of the last of them; zero: what has ended is still there */
    bool (*interrupted)(
        void); /* the user wants saving, restoring and dumping to end; NULL, as at first: he never does */
    char error[300];
};

/**
 * @store  of xs_open(), and the caller's; NULL: there is none
 * @self   this domain's number
 */
int toolstack_open(struct toolstack *t, struct xs_handle *store, domid_t self);
void toolstack_close(struct toolstack *t);

/** Sets t's error; returns -1, errno being @error. */
int toolstack_fail(struct toolstack *t, int error, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/** 0; -1 with EINTR, if t's user wants an end. */
int toolstack_go_on(struct toolstack *t);

/* ---- domains ---- */

/** What the hypervisor says of one; flags are XEN_DOMINF_*. */
typedef xen_domctl_getdomaininfo_t guest_info_t;

/** How a domain has ended: SHUTDOWN_* of <xen/sched.h>; -1: it has not. */
int guest_shutdown_code(const guest_info_t *info);

/**
 * Build a domain from its files, make it known to the store, and leave it paused. On failure nothing of it
 * is left behind. Its devices are served when this returns: devices.h. What is not served of them is ENOTSUP, by name.
 * errno: ENOENT, EACCES no such file; ENOEXEC no kernel of a PV domain; EINVAL it does not fit; EEXIST the name
 * is taken; ENOMEM; ENOTSUP; of devices as devices_create(); else what the hypervisor or the store says.
 * @c   its interfaces without an address are given one
 * @id  receives its number
 */
int guest_create(struct toolstack *t, struct domain_config *c, domid_t *id);

/**
 * End a domain, and create one in its place. What can be known before is: its files are read (and unpacked), so that
 * there is none only as long as it takes to build, and if c's memory will not do, it gets what it was configured
 * with, which is logged. On failure the old one is gone all the same, unless the store does not answer, or it
 * is that which fails.
 * @c    its memory may become @configured_kib, its maximum not less than that
 * @old  NULL: none; as guest_create() but for the memory
 */
int guest_replace(struct toolstack *t, struct domain_config *c, uint64_t configured_kib,
                  const guest_info_t *old, domid_t *id);

/** End it at once, and its nodes in the store. Its number is free as soon as nobody maps its memory. */
int guest_destroy(struct toolstack *t, domid_t id);

/** Pauses are counted by the hypervisor: as many as there were, so many unpauses. */
int guest_pause(struct toolstack *t, domid_t id);
int guest_unpause(struct toolstack *t, domid_t id);

/**
 * Ask the domain to do it itself, by the node control/shutdown. ENOTSUP: no store.
 * @what  "poweroff", "reboot", "suspend", "halt"
 */
int guest_request(struct toolstack *t, domid_t id, const char *what);

/** EEXIST: another domain has that name; EINVAL no name; ENOTSUP no store. */
int guest_rename(struct toolstack *t, domid_t id, const char *name);

/** What is known of one. ESRCH: there is no such domain. */
int guest_info(struct toolstack *t, domid_t id, guest_info_t *info);

/**
 * All domains, in the order of their numbers, but shells (shell.h).
 * @infos  receives an array of @nr, to be freed
 */
int guest_list(struct toolstack *t, guest_info_t **infos, size_t *nr);

/**
 * The configuration that the domain is restarted with. ENOENT: it was not created by this toolstack; ENOTSUP no
 * store.
 */
int guest_config(struct toolstack *t, domid_t id, struct domain_config *c);

/** What of c the domain has by now, whatever it began with: name, UUID, memory, vCPUs, shares. There is a store. */
void guest_config_now(struct toolstack *t, const guest_info_t *info, struct domain_config *c);

/** What the domain is to have, in KiB: memory/target; 0: nobody has said so, or there is no store. */
uint64_t guest_target_kib(struct toolstack *t, domid_t id);

/** What the domain may be given by guest_allow(), in KiB: memory/static-max, or without a store its limit. */
uint64_t guest_most_kib(struct toolstack *t, const guest_info_t *info);

/**
 * Its limit is what it is to have, and a MiB as libxl has it, as pages are given and taken back in pieces; never more
 * than @most_kib. What it has beyond that it keeps until it gives it. Errors: XEN_DOMCTL_max_mem's.
 */
int guest_allow(struct toolstack *t, domid_t id, uint64_t kib, uint64_t most_kib);

/** Let it be restarted with another one, whose interfaces without an address are given one: that of the same number. ENOENT as guest_config(); ENOTSUP, E2BIG: of that none could be made. */
int guest_set_config(struct toolstack *t, domid_t id, struct domain_config *c);

/**
 * Do with all domains that have ended what on_poweroff, on_reboot, on_crash and on_watchdog of their
 * configurations say: destroy, restart, rename and restart, preserve. To be called when VIRQ_DOM_EXC comes, by
 * one program of the control domain. Domains of other toolstacks, those that are suspended, those that were
 * created unattended or have been preserved are left alone.
 * One that ends within GUEST_SHORT_S seconds, and so did those before it whose place it has taken, is preserved in
 * place of started again: the GUEST_SHORT_LIVES-th in a row, of those that are renamed the second.
 * Where the store or the hypervisor fails before there is another, or the caller is killed, the next call tries it again, a
 * dozen times, 4 s apart at least, also of another process: what is to begin is in the store (restarts.h). t's restarts says
 * how many there are; it is not 0 either where domains that have ended could not be looked at.
 * What is done, and what fails, is logged. A core is dumped to GUEST_DUMP_FOLDER/NAME; without it, it goes on.
 * Returns how many domains it has done something with; -1: they cannot be listed, or there is no store.
 */
int guest_attend(struct toolstack *t);

/** The same, of one domain that may have ended, or be none any more, and what was to be tried again. As guest_attend(). */
int guest_attend_to(struct toolstack *t, domid_t id);
enum { GUEST_SHORT_S = 10, GUEST_SHORT_LIVES = 5 };
#define GUEST_DUMP_FOLDER "/var/lib/xen/dump" /* as Debian's xl has it */

/* ---- files of domains, in the form of Xen 4.17: stream.h. EINTR: t's user wanted an end, and nothing was done ---- */

/** What becomes of a domain that has been saved. */
enum guest_then { GUEST_DESTROYED, GUEST_GOES_ON, GUEST_STAYS_PAUSED };

/**
 * Have a PV domain suspend itself, which takes it a minute at most, two if it has begun by then, and write all of it
 * to a file. When that fails there is no file, what has its name stays, and the domain goes on, unless it was
 * suspended before.
 * @config  what the file says that it is created with: JSON, as config_json() and xl have it
 * errno: ETIMEDOUT it does not suspend itself; EBUSY it is paused, or being saved; ESRCH it ended; EINVAL its memory makes no sense, or it uses other
 * domains' memory; ENOSPC, ENOMEM; ENOTSUP no store; else what the hypervisor, the store or the system says.
 */
int guest_save(struct toolstack *t, domid_t id, const char *path, const char *config,
               enum guest_then then);

/**
 * Build a domain from such a file, as guest_create() does of another, and leave it paused. It goes on where it was
 * saved. A file that is not whole, or makes no sense, leaves no domain.
 * The file is to be trusted as a configuration is: it names kernel and ramdisk, which are read when the domain is
 * started again later.
 * @c  what it is created with, in place of what the file says; NULL: that
 */
int guest_restore(struct toolstack *t, const char *path, const struct domain_config *c,
                  domid_t *id);

/**
 * Write a PV domain's memory and registers to a file, an ELF core in the form of docs/misc/dump-core-format.txt of
 * Xen: dump.c. It does not run meanwhile. On failure there is no file. errno: as of guest_save().
 */
int guest_dump_core(struct toolstack *t, domid_t id, const char *path);

/**
 * The same with one domain, also if it was created unattended: by whoever has done so.
 * @next  receives the domain that has begun in its place, 0: none, or t's restarts is 1: guest_attend_again()
 * Returns 1: done; 0: it has not ended; -1: there is no such domain, or it is not this toolstack's.
 */
int guest_attend_one(struct toolstack *t, domid_t id, domid_t *next);

/**
 * Once more, after a while.
 * @next  as before; it may be one that is there already, as @id itself
 * Returns 0: it is to be tried again; 1: not any more.
 */
int guest_attend_again(struct toolstack *t, domid_t id, domid_t *next);

/** A new UUID, of version 4. */
void guest_make_uuid(uint8_t uuid[16]);

/**
 * Domains that the hypervisor started at boot become known to the store and so to the tools and daemons, as if they
 * were created here; nobody attends to them. Those that the store knows are left alone. A second one of a name
 * is called NAME-ID.
 * @report  called with a line for each, and for what goes wrong
 * Returns 0: the store knows all of them; -1: not so.
 */
int guest_adopt(struct toolstack *t, void (*report)(void *arg, bool ok, const char *line),
                void *arg);

/** The domain's name, to be freed; NULL: it has none, or there is no store. */
char *guest_name(struct toolstack *t, domid_t id);

/** The domain of that name, or of that number. ESRCH: there is none. */
int guest_find(struct toolstack *t, const char *name, domid_t *id);
