/* For assembly: layout constants that C has in pte.h, and generated offsets of C structures. */
#pragma once
#include "offsets.h"

#define IMAGE_VIRT 0xffff810000000000
#define IMAGE_PHYS 0x200000 /* as linked; GRUB may choose another 2 MiB boundary */

#define FUNC(name)         \
    .globl name;           \
    .type name, @function; \
    .balign 16;            \
    name:
