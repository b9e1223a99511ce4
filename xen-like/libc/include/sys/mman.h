/*
 * sys/mman.h: the numbers by which the hypervisor's interface libraries (xen-like/lib) are told how to
 * map. Newlib has no such header, and there is no mmap() here.
 */
#pragma once

#define PROT_NONE 0
#define PROT_READ 1
#define PROT_WRITE 2
#define PROT_EXEC 4

#define MAP_SHARED 1
#define MAP_FIXED 16
