/*
 * Consoles beside a domain's first (channel= of xl.cfg(5)) in the store, as libxl lays them out: console N, from 1 on,
 * is /local/domain/ID/device/console/N and, of the control domain, backend/console/ID/N. The console daemon is the
 * backend. nodes_remove() removes them with all that the domain has.
 *
 * Functions return 0, or -1 with errno and the toolstack's error.
 */
#pragma once
#include <stddef.h>
#include <stdint.h>

#include <xen/xen.h>

struct domain_config;
struct toolstack;

/**
 * Write them for a domain that has its nodes. On failure some may be there.
 * errno: ENOTSUP a backend is asked for that is not in this domain; else the store's.
 */
int channels_create(struct toolstack *t, domid_t id, const struct domain_config *c);

/** Whether channels_create() can do that: ENOTSUP. */
int channels_check(struct toolstack *t, const struct domain_config *c);

/** What the store says of one. Of the guest's own nodes (state, port, ring_ref) it may be anything. */
struct channel_info {
    uint32_t number; /* 1.. */
    domid_t backend_id;
    unsigned int state;     /* XenbusState of the frontend; */
    int64_t port, ring_ref; /* -1: it has not said so */
    char name[64], connection[16];
    char path[128]; /* of a pty its terminal, of a socket its path; "": not known */
};

/** All of a domain, by their numbers. @list  receives nr of them, to be freed */
int channels_list(struct toolstack *t, domid_t id, struct channel_info **list, size_t *nr);
