/* Devices of a class and their states: see xenbus.h. */
#include "xenbus.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "xenbus_internal.h"

enum { TOKEN_BYTES = 16, PATH_BYTES = 160 };

static void look_later(struct xenbus_device *d, uint64_t after_ns)
{
    d->dirty = true;
    xenbus_look_at(d->bus, after_ns);
}

/* ---- states ---- */

#define TO(state) (1u << XenbusState##state)

/* Where our end may go from each. */
static const uint16_t allowed[] = {
    [XenbusStateInitialising] = TO(Initialising) | TO(InitWait) | TO(Initialised) | TO(Connected) |
                                TO(Closing) | TO(Closed),
    [XenbusStateInitWait] =
        TO(InitWait) | TO(Initialised) | TO(Connected) | TO(Closing) | TO(Closed),
    [XenbusStateInitialised] = TO(Connected) | TO(Closing) | TO(Closed),
    [XenbusStateConnected] = TO(Connected) | TO(Closing) | TO(Closed),
    [XenbusStateClosing] = TO(Closing) | TO(Closed),
    [XenbusStateClosed] = TO(Closed) | TO(InitWait),
    [XenbusStateReconfiguring] = TO(Closing) | TO(Closed),
    [XenbusStateReconfigured] = TO(Closing) | TO(Closed),
};

static void set_state(struct xenbus_device *d, enum xenbus_state state)
{
    int rc;

    if (!(allowed[d->state] & 1u << state)) {
        plat_log(PLAT_ERROR, "%s: from state %d to %d", d->path, (int)d->state, (int)state);
        return;
    }
    d->state = state;
    rc = xenbus_write_nodes(d, NULL, state);
    d->unwritten = rc != 0;
    if (rc) /* it is no more, or it is tried again */
        look_later(d, rc == -ENOENT ? 0 : RETRY_NS);
}

/* Not connected any more, and then in that state. */
static void leave(struct xenbus_device *d, enum xenbus_state after)
{
    if (d->connected) {
        d->after = after;
        d->connected = false;
        d->disconnecting = true;
        d->driver->disconnect(d);
    } else if (after != XenbusStateUnknown && d->state != after) {
        set_state(d, after);
    }
}

void xenbus_disconnected(struct xenbus_device *d)
{
    d->disconnecting = false;
    if (d->after != XenbusStateUnknown)
        set_state(d, d->after);
    look_later(d, 0);
}

static void connect_to(struct xenbus_device *d, enum xenbus_state ready)
{
    int rc;

    d->unheard = false;
    rc = d->driver->connect(d);
    if (rc && d->unheard)
        look_later(d, RETRY_NS);
    if (rc == -EAGAIN || (rc && d->unheard))
        return; /* the class's watch says when to ask again */
    d->resumed = false;
    d->told = false;
    if (rc) {
        set_state(d, XenbusStateClosing);
        return;
    }
    d->connected = true;
    if (d->state != ready)
        set_state(d, ready);
}

static void tell_connected(struct xenbus_device *d)
{
    if (d->connected && d->driver->connected && (d->said || !d->told)) {
        d->told = true;
        d->driver->connected(d);
    }
}

static void step_back(struct xenbus_device *d)
{
    bool waits =
        d->state == XenbusStateInitWait || (d->resumed && d->state == XenbusStateConnected);

    switch (d->other_state) {
    case XenbusStateInitialising:
        if (d->connected || d->state == XenbusStateConnected || d->state == XenbusStateClosing)
            leave(d, XenbusStateClosed);
        else if (d->state == XenbusStateClosed && d->online && !d->failed)
            set_state(d, XenbusStateInitWait);
        break;
    case XenbusStateInitialised:
        if (!d->connected && waits && d->driver->front_is_ready == XenbusStateInitialised)
            connect_to(d, XenbusStateConnected);
        break;
    case XenbusStateConnected:
        if (!d->connected && waits)
            connect_to(d, XenbusStateConnected);
        else
            tell_connected(d);
        break;
    case XenbusStateClosing:
        if (d->state == XenbusStateConnected || d->state == XenbusStateInitWait)
            set_state(d, XenbusStateClosing);
        break;
    case XenbusStateInitWait:
    case XenbusStateReconfiguring:
    case XenbusStateReconfigured: break;
    case XenbusStateClosed: leave(d, XenbusStateClosed); break;
    default: /* gone, or not yet there */
        if (d->known || d->state == XenbusStateClosing)
            leave(d, XenbusStateClosed);
    }
}

static void step_front(struct xenbus_device *d)
{
    switch (d->other_state) {
    case XenbusStateInitWait:
    case XenbusStateInitialised:
        if (d->state == XenbusStateInitialising && !d->failed)
            connect_to(d, d->driver->front_is_ready);
        break;
    case XenbusStateConnected:
        tell_connected(d);
        if (d->connected && d->state == XenbusStateInitialised)
            set_state(d, XenbusStateConnected);
        break;
    case XenbusStateInitialising:
    case XenbusStateReconfiguring:
    case XenbusStateReconfigured: break;
    default:
        if (d->known)
            leave(d, XenbusStateClosed);
    }
}

/* 0, -ENOENT, -EIO. What is no state is Unknown. */
static int read_state(struct xenbus_device *d, enum xenbus_end end, enum xenbus_state *state)
{
    uint64_t value = XenbusStateUnknown;
    int rc =
        xenbus_number(d, end, "state", XenbusStateInitialising, XenbusStateReconfigured, &value);

    *state = (enum xenbus_state)value;
    return rc == -EINVAL ? 0 : rc;
}

/* Act on how things are. */
static void step(struct xenbus_device *d)
{
    int rc = read_state(d, XENBUS_THEIRS, &d->other_state);

    if (rc && rc != -ENOENT) {
        look_later(d, RETRY_NS);
        return;
    }
    d->known |= d->other_state != XenbusStateUnknown;
    if (d->driver->backend)
        d->online = xenbus_feature(d, XENBUS_OURS, "online");
    if (d->unwritten)
        set_state(d, d->state);
    if (d->disconnecting || d->unwritten)
        return;
    if (d->doomed) {
        d->doomed = false;
        leave(d, XenbusStateClosing);
    } else if (d->driver->backend) {
        step_back(d);
    } else {
        step_front(d);
    }
    if (d->connected && d->driver->changed &&
        (d->touched || d->other_state == XenbusStateReconfiguring ||
         d->other_state == XenbusStateReconfigured))
        d->driver->changed(d);
    d->said = d->touched = false;
}

/* ---- a device's beginning and end ---- */

static void token_of(const struct xenbus_device *d, char token[TOKEN_BYTES])
{
    snprintf(token, TOKEN_BYTES, "d%u", d->serial);
}

bool xenbus_watch_other(struct xenbus_device *d)
{
    char path[PATH_BYTES], token[TOKEN_BYTES];

    snprintf(path, sizeof(path), "%s/state", d->other_path);
    token_of(d, token);
    return xs_watch(d->bus->xs, path, token) || errno == EEXIST;
}

static void unwatch(struct xenbus_device *d)
{
    char path[PATH_BYTES], token[TOKEN_BYTES];

    snprintf(path, sizeof(path), "%s/state", d->other_path);
    token_of(d, token);
    if (d->other_path[0] && d->bus->xs)
        xs_unwatch(d->bus->xs, path, token);
    d->other_path[0] = '\0';
}

/* Who is at the other end, as the toolstack has written it. 0; -ENOENT not yet; -EINVAL, -EIO. */
static int find_other(struct xenbus_device *d)
{
    bool backend = d->driver->backend;
    char home[40];
    uint64_t id;
    int rc = xenbus_number(d, XENBUS_OURS, backend ? "frontend-id" : "backend-id", 0,
                           DOMID_FIRST_RESERVED - 1, &id);

    if (rc)
        return rc;
    if (backend && id != d->other)
        return -EINVAL;
    d->other = (domid_t)id;
    rc = xenbus_text(d, XENBUS_OURS, backend ? "frontend" : "backend", d->other_path,
                     sizeof(d->other_path));
    snprintf(home, sizeof(home), "/local/domain/%u/", d->other);
    if (rc == 0 && strncmp(d->other_path, home, strlen(home)) != 0)
        rc = -EINVAL;
    if (rc)
        d->other_path[0] = '\0';
    return rc;
}

/* As the driver says; -EAGAIN if the store has not answered it: then nothing is left of that. */
static int probe(struct xenbus_device *d)
{
    int rc;

    d->unheard = false;
    rc = d->driver->probe(d);
    if (!d->unheard)
        return rc;
    if (rc == 0)
        d->driver->remove(d);
    return -EAGAIN;
}

/* What was left by another life of this program is as it was. */
static void begin(struct xenbus_device *d, enum xenbus_state stored)
{
    int rc = find_other(d);

    if (rc == -ENOENT)
        return;
    if (rc == 0 && !xenbus_watch_other(d)) {
        d->other_path[0] = '\0';
        rc = -EIO;
    }
    if (rc == -EIO) {
        look_later(d, RETRY_NS);
        return;
    }
    d->state = d->driver->backend ? stored : XenbusStateInitialising;
    if (rc)
        xenbus_error(d, "its folder names no other end");
    else
        rc = probe(d);
    if (rc == -EAGAIN) { /* the watch stays: a new one would fire at once, and so on */
        look_later(d, RETRY_NS);
        return;
    }
    d->failed = rc != 0;
    d->probed = rc == 0;
    if (rc) {
        if (d->state != XenbusStateClosed && rc != -ENODEV)
            set_state(d, XenbusStateClosed);
        return;
    }
    d->resumed = d->driver->backend && stored == XenbusStateConnected;
    if (d->driver->backend && (stored == XenbusStateInitialising || stored == XenbusStateInitWait))
        set_state(d, XenbusStateInitWait);
    else if (!d->driver->backend && stored != XenbusStateInitialising)
        set_state(d, XenbusStateInitialising);
    step(d);
}

bool xenbus_end(struct xenbus_device *d)
{
    if (d->connected)
        leave(d, XenbusStateUnknown);
    d->after = XenbusStateUnknown;
    if (d->disconnecting)
        return false;
    if (d->probed)
        d->driver->remove(d);
    unwatch(d);
    d->unwritten = d->probed = d->failed = d->resumed = d->doomed = d->known = d->told = false;
    d->state = d->other_state = XenbusStateUnknown;
    return true;
}

void xenbus_forget(struct xenbus_device *d)
{
    struct xenbus_device **at = &d->bus->devices;

    while (*at != d)
        at = &(*at)->next;
    *at = d->next;
    free(d);
}

void xenbus_look(struct xenbus_device *d)
{
    enum xenbus_state stored;
    int rc = read_state(d, XENBUS_OURS, &stored);

    d->unheard = false; /* rc says so */
    if (rc && rc != -ENOENT) {
        look_later(d, RETRY_NS);
        return;
    }
    if (rc || (stored == XenbusStateInitialising && (d->probed || d->failed) && !d->unwritten &&
               d->state > XenbusStateInitialising)) { /* it is another device */
        if (!xenbus_end(d))
            return;
        if (rc) {
            xenbus_forget(d);
            return;
        }
    }
    if (stored == XenbusStateClosing && d->probed && d->state != XenbusStateClosed)
        d->state = XenbusStateClosing; /* the toolstack has said so */
    if (d->probed)
        step(d);
    else if (!d->failed && stored != XenbusStateUnknown)
        begin(d, stored);
}
