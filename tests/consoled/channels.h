/* Consoles beside the first, for their tests: one program's, in one file each. */
#pragma once
#include "daemon.h"

#define FRONT "/local/domain/%u/device/console/%u/%s"
#define BACK "/local/domain/0/backend/console/%u/%u/%s"

static inline void set(const char *format, unsigned int domain, unsigned int channel,
                       const char *leaf, const char *value)
{
    char path[100];

    snprintf(path, sizeof(path), format, domain, channel, leaf);
    store_set(path, "%s", value);
}

static inline void set_front_number(unsigned int domain, unsigned int channel, const char *leaf,
                                    unsigned int value)
{
    char text[20];

    snprintf(text, sizeof(text), "%u", value);
    set(FRONT, domain, channel, leaf, text);
}

/* The backend's state. 0: there is no such device. */
static inline int state(unsigned int domain, unsigned int channel)
{
    char path[100];
    const char *text;

    snprintf(path, sizeof(path), BACK, domain, channel, "state");
    text = store_get(path);
    return text ? atoi(text) : 0;
}

/* As the toolstack does. @path  of a socket; NULL: a pty */
static inline void channel_new(unsigned int domain, unsigned int channel, const char *path)
{
    char text[100];

    set(FRONT, domain, channel, "state", "1");
    set(FRONT, domain, channel, "tty", "");
    snprintf(text, sizeof(text), "/local/domain/%u/device/console/%u", domain, channel);
    set(BACK, domain, channel, "frontend", text);
    snprintf(text, sizeof(text), "%u", domain);
    set(BACK, domain, channel, "frontend-id", text);
    set(BACK, domain, channel, "online", "1");
    set(BACK, domain, channel, "connection", path ? "socket" : "pty");
    if (path)
        set(BACK, domain, channel, "path", path);
    set(BACK, domain, channel, "type", "xenconsoled");
    set(BACK, domain, channel, "state", "1");
}

static inline void channel_gone(unsigned int domain, unsigned int channel)
{
    char path[100];

    snprintf(path, sizeof(path), "/local/domain/0/backend/console/%u/%u", domain, channel);
    store_remove(path);
    snprintf(path, sizeof(path), "/local/domain/%u/device/console/%u", domain, channel);
    store_remove(path);
}

/* As Linux's frontend does. */
static inline void channel_ready(unsigned int domain, unsigned int channel)
{
    set_front_number(domain, channel, "ring-ref", CHANNEL_REF + channel);
    set_front_number(domain, channel, "port", GUEST_PORT + channel);
    set(FRONT, domain, channel, "state", "3");
}

/* A guest with a channel that is connected. */
static inline void connected(unsigned int domain, const char *name, const char *path)
{
    guest_new(domain, name);
    channel_new(domain, 1, path);
    run_for(MS);
    CU_ASSERT_EQUAL(state(domain, 1), 2);
    channel_ready(domain, 1);
    run_for(MS);
    CU_ASSERT_EQUAL(state(domain, 1), 4);
    set(FRONT, domain, 1, "state", "4");
    run_for(MS);
    CU_ASSERT_TRUE(machine[domain].channel[1].mapped == 1 && machine[domain].channel[1].port);
}

static inline void says(unsigned int domain, unsigned int channel, const char *text)
{
    struct xencons_interface *p = &machine[domain].channel[channel].page;

    for (; *text && p->out_prod - p->out_cons < OUT_BYTES; text++)
        p->out[p->out_prod++ % OUT_BYTES] = *text;
    CU_ASSERT_EQUAL(*text, '\0');
    if (machine[domain].channel[channel].port)
        raise_event(machine[domain].channel[channel].port);
}

static inline const char *hears(unsigned int domain, unsigned int channel)
{
    struct xencons_interface *p = &machine[domain].channel[channel].page;
    size_t n = 0;

    while (p->in_prod != p->in_cons)
        got[n++] = p->in[p->in_cons++ % IN_BYTES];
    got[n] = '\0';
    if (n && machine[domain].channel[channel].port)
        raise_event(machine[domain].channel[channel].port);
    return got;
}

static inline struct plat_stream *attach_to(const char *request)
{
    struct plat_stream *s = plat_connect(SOCKET);

    CU_ASSERT_PTR_NOT_NULL_FATAL(s);
    plat_write(s, request, strlen(request));
    run_for(MS);
    return s;
}
