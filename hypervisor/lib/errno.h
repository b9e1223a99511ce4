/*
 * Error numbers of the ABI (<xen/errno.h>), plus ERESTART, which is never seen by a guest: a
 * hypercall ran out of its time and goes on later.
 */
#pragma once

#ifndef EPERM /* a host test may have had the C library's, which agree for what we return */
#define XEN_ERRNO(name, value) name = value,
enum {
#include <xen/errno.h>
    ERESTART = 85
};
#endif
