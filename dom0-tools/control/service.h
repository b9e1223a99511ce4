/*
 * service.h: the daemons of the control domain. Each is a group of threads with a supervisor, a thread that
 * starts it again when it has ended, for whatever reason: it has crashed, or was killed.
 */
#pragma once
#include <platform.h>

/** One of an array that ends with one without a name; what is not said here is private and zero. */
struct service {
    const char *name;
    bool (*start)(
        struct plat_loop
            *loop); /* in the new group, whose loop runs then; false: the log says why not */
    struct plat_group *group;
    enum { SERVICE_STARTING, SERVICE_SERVES, SERVICE_ENDED } state;
    unsigned int starts;
    bool asked; /* to start again, by somebody at the prompt */
};

/**
 * Start them one after the other: each uses those before it. One that ends is started again, up to five times
 * before it serves; what is slow is waited for.
 * @all  is kept
 * False: one does not serve, the log says why not.
 */
bool services_start(struct service *all);
