/*
 * xenbus.h: the devices that a backend or a frontend has by the store, and the states by which its two ends agree.
 *
 * A class of devices is a folder of this domain in the store: backend/TYPE/DOMAIN/DEVICE or device/TYPE/DEVICE. What
 * appears there is a device. Its driver is called as the other end goes from state to state; each pair of states
 * (ours, theirs) has one meaning, whatever came before, as any number of the other end's can be missed:
 *
 *   the other end       before we are connected         when we are
 *   Initialising        a backend waits (InitWait)      it has begun anew: disconnect, then as before
 *   InitWait            a frontend: connect             nothing
 *   Initialised         a backend: connect, if that is the state in which its frontends are ready; else nothing
 *   Connected           connect                         connected: it has seen it, or says it once more
 *   Reconfiguring, -ed  nothing                         changed
 *   Closing             Closing; a frontend ends        a backend serves until Closed, a frontend disconnects
 *   Closed, gone, else  Closed                          disconnect, then Closed
 *
 * What the other end has written is an enemy's: it is read by the functions here, which say what is no number or
 * out of range. Names of devices, and what is in our own folder, are the toolstack's. When a store dies and comes
 * back all is looked at again; a program that was started again finds its devices connected and goes on, if its
 * driver can (xenbus_device.resumed).
 * All of it belongs to the thread of one loop. The store is asked and waited for, never the other end.
 */
#pragma once
#include <platform.h>
#include <xen/xen.h>
#include <xen/io/xenbus.h>

struct xenbus;
struct xenbus_device;

/*
 * Where the store does not answer probe() or connect(), whatever they make of that, it is as if they had said -EAGAIN, and
 * they are asked again soon: what could not be read is not what anybody has said.
 */
struct xenbus_driver {
    const char *type; /* "vbd", "vif", "console" */
    bool backend;     /* else a frontend */
    uint32_t first;   /* devices of lower numbers are no such devices: a domain's first console */
    enum xenbus_state
        front_is_ready; /* that a frontend has when it has made its rings: Initialised or Connected */
    /**
     * A device is there, and nothing is agreed on. A backend opens what it serves, and publishes its features.
     * Returns 0, or -EAGAIN it is asked again soon, -ENODEV it is another program's and left alone, or -errno, after xenbus_error(): it is Closed then, until it is made
     * anew.
     */
    int (*probe)(struct xenbus_device *d);
    /**
     * The other end is ready: make, or map, the rings. 0; -EAGAIN not yet, it is asked again when a node of our folder
     * is written; -errno, after xenbus_error(): nothing is left of it.
     */
    int (*connect)(struct xenbus_device *d);
    /** Both ends are Connected; may be called again, then the other end has said so once more. NULL: nothing to do. */
    void (*connected)(struct xenbus_device *d);
    /** End what connect() has made. When that is done, now or later, xenbus_disconnected(). */
    void (*disconnect)(struct xenbus_device *d);
    /** The end of what probe() has begun, and of d. It is not connected. */
    void (*remove)(struct xenbus_device *d);
    /** A node of our folder was written, perhaps by us, or the other end reconfigures. NULL: nothing to do. */
    void (*changed)(struct xenbus_device *d);
};

/** All is to be read only, but for data. */
struct xenbus_device {
    struct xenbus_device *next;
    struct xenbus *bus;
    const struct xenbus_driver *driver;
    void *data;
    domid_t other;                  /* the domain at the other end; */
    uint32_t id;                    /* the device's number */
    char path[64], other_path[128]; /* our folder, and theirs */
    enum xenbus_state state, other_state;
    bool resumed;   /* connect() goes on with rings that another life of this program has left */
    bool online;    /* a backend's: it shall be there for the next frontend, too */
    bool connected; /* between connect() and disconnect() */

    /* Private. */
    uint32_t serial; /* its watch's name */
    bool probed, failed, disconnecting, doomed, dirty, seen;
    bool unwritten; /* the store does not have our state yet */
    bool unheard;   /* it has not answered: what a driver says of the device then is nothing */
    bool touched;   /* our folder was; */
    bool said;      /* the other end has said its state, once more perhaps */
    bool told;      /* connected() was called */
    bool known;     /* the other end was there once */
    unsigned int nr_lines; /* of the log, since */
    uint64_t lines_since_ns;
    enum xenbus_state after; /* to be in when it is disconnected; Unknown: nothing is written */
};

/**
 * Have a driver called for all devices of its class, from now on.
 * @arg  for the driver: xenbus_arg()
 * NULL: errno says why; the store is not there, say.
 */
struct xenbus *xenbus_open(struct plat_loop *l, const struct xenbus_driver *driver, void *arg);

/**
 * It ends without a word to the other ends, as if it were killed: the next one finds the devices as they are. Drivers
 * are asked to disconnect() and remove(); a disconnect() that ends later is not possible here.
 */
void xenbus_close(struct xenbus *b);
void *xenbus_arg(const struct xenbus *b);

/** The n-th device, from 0. NULL: there are not as many. */
struct xenbus_device *xenbus_nth(struct xenbus *b, unsigned int n);

/** What disconnect() has begun is done. */
void xenbus_disconnected(struct xenbus_device *d);

/** Our end cannot go on with it: soon, when the caller has returned, it is disconnected and Closing. */
void xenbus_fail(struct xenbus_device *d, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/** A line of the log, which says whose it is; a device has 20 of them in a minute. */
void xenbus_log(struct xenbus_device *d, enum plat_level level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/** Say what is wrong: in the log, and by a backend's probe() in its folder's hotplug-error and hotplug-status. */
void xenbus_error(struct xenbus_device *d, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* ---- reading: our folder, or the other end's ---- */

enum xenbus_end { XENBUS_OURS, XENBUS_THEIRS };

/** A number of decimal digits. 0, or -ENOENT there is none, -EINVAL it is no number, or not min..max; -EIO. */
int xenbus_number(struct xenbus_device *d, enum xenbus_end end, const char *node, uint64_t min,
                  uint64_t max, uint64_t *value);

/** The same; @if_none if there is none. */
int xenbus_number_or(struct xenbus_device *d, enum xenbus_end end, const char *node, uint64_t min,
                     uint64_t max, uint64_t if_none, uint64_t *value);

/** Whether a feature is there: its node has a 1. */
bool xenbus_feature(struct xenbus_device *d, enum xenbus_end end, const char *node);

/** Printable text of up to size - 1 characters. 0, or -ENOENT, -EINVAL, -EIO: buf is "". */
int xenbus_text(struct xenbus_device *d, enum xenbus_end end, const char *node, char *buf,
                size_t size);

/* ---- writing: our folder ---- */

enum { XENBUS_NODES = 24 };

/** Nodes to be written at once. Initially nr is 0. */
struct xenbus_nodes {
    unsigned int nr;
    bool too_much;
    struct {
        char name[40], value[256];
    } nodes[XENBUS_NODES];
};

void xenbus_put(struct xenbus_nodes *n, const char *name, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/**
 * Write them, all at once; nothing is written where the device is no more.
 * Returns 0, or -ENOENT the device is no more, -E2BIG, -errno of the store.
 */
int xenbus_publish(struct xenbus_device *d, const struct xenbus_nodes *n);

/** The same, and the state that we are in once more, so that the other end looks: a disk has another size, say. */
int xenbus_tell(struct xenbus_device *d, const struct xenbus_nodes *n);
