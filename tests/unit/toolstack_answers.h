/* What the hypervisor of toolstack_machine.h says of itself and of its machine, as hypercalls' answers. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <xen/xen.h>
#include <xen/sysctl.h>

extern const struct xen_sysctl_physinfo machine_physinfo; /* but for its free memory */

/** Of xen_version; -1 with errno. */
int machine_version(unsigned int cmd, void *arg);

/** Of those sysctls that do not change anything. */
int machine_says(struct xen_sysctl *s);

struct evtchn_status;
struct xen_hypfs_direntry;

/** A domain's ports from 1 on: those it was given, unbound, and then one of each kind, the last at MACHINE_PORTS. */
int machine_port(struct evtchn_status *s);
enum { MACHINE_PORTS = 8 };

/** Of a table with one frame, of 32. */
int machine_grants(unsigned int cmd, void *arg);

/** Of a dying domain what /domain/ID/held has. */
int machine_hypfs(const char *path, struct xen_hypfs_direntry *e, size_t size);
extern bool machine_has_hypfs;
