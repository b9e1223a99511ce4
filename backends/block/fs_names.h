/*
 * fs_names.h: how a file system calls itself: ext2 to ext4, XFS, FAT, swap space. Pure. All that is read from a disk
 * may be somebody's forgery.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

enum { FS_BYTES = 4096 }; /* at its beginning: all that is looked at */

struct fs_names {
    char label[17]; /* "": it has none. What is not fit for a name is '?' */
    char uuid[37];  /* as it is written, "": it has none */
};

/**
 * @bytes  FS_BYTES of them
 * @n      receives what it is called
 * Returns whether it is one of these, and no other one as well.
 */
bool fs_names_parse(const uint8_t *bytes, struct fs_names *n);
