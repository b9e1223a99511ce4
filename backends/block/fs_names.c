/* By what mke2fs, mkfs.xfs, mkfs.fat and mkswap write: where each has its magic, its label and its UUID. */
#include "fs_names.h"

#include <stdio.h>
#include <string.h>

enum { UUID_BYTES = 16 };

/* Offsets from the beginning. */
struct kind {
    const char *magic;
    uint16_t magic_at, label_at, uuid_at;
    uint8_t magic_bytes, label_bytes;
    bool serial; /* in place of a UUID: four bytes */
};

static const struct kind kinds[] = {
    { "\x53\xef", 1024 + 56, 1024 + 120, 1024 + 104, 2, 16, false },
    { "XFSB", 0, 108, 32, 4, 12, false },
    { "SWAPSPACE2", FS_BYTES - 10, 1024 + 28, 1024 + 12, 10, 16, false },
    { "FAT32   ", 82, 71, 67, 8, 11, true },
    { "FAT16   ", 54, 43, 39, 8, 11, true },
    { "FAT12   ", 54, 43, 39, 8, 11, true },
};
enum { NR_KINDS = sizeof(kinds) / sizeof(kinds[0]), EXT_INCOMPATIBLE = 1024 + 96, EXT_JOURNAL = 8 };

static bool is_kind(const struct kind *k, const uint8_t *bytes)
{
    if (memcmp(bytes + k->magic_at, k->magic, k->magic_bytes) != 0)
        return false;
    if (k->serial)
        return bytes[510] == 0x55 && bytes[511] == 0xaa;
    return k != &kinds[0] ||
           !(bytes[EXT_INCOMPATIBLE] & EXT_JOURNAL); /* no file system, but its journal */
}

static void read_label(const uint8_t *from, unsigned int bytes, char *label)
{
    unsigned int n = 0;

    for (; n < bytes && from[n]; n++)
        label[n] = from[n] < ' ' || from[n] == 0x7f || from[n] == '/' ? '?' : (char)from[n];
    while (n && label[n - 1] == ' ') /* FAT fills it up */
        n--;
    label[n] = '\0';
}

static void read_uuid(const uint8_t *u, char uuid[37])
{
    static const uint8_t none[UUID_BYTES];
    unsigned int n = 0;

    if (memcmp(u, none, UUID_BYTES) == 0)
        return;
    for (unsigned int i = 0; i < UUID_BYTES; i++)
        n += (unsigned int)snprintf(uuid + n, 37 - n, "%s%02x",
                                    i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", u[i]);
}

bool fs_names_parse(const uint8_t *bytes, struct fs_names *n)
{
    const struct kind *is = NULL;

    *n = (struct fs_names){ .label = "" };
    for (const struct kind *k = kinds; k < kinds + NR_KINDS; k++) {
        if (!is_kind(k, bytes))
            continue;
        if (is)
            return false;
        is = k;
    }
    if (is == NULL)
        return false;
    read_label(bytes + is->label_at, is->label_bytes, n->label);
    if (is->serial) {
        const uint8_t *s = bytes + is->uuid_at;

        snprintf(n->uuid, sizeof(n->uuid), "%02X%02X-%02X%02X", s[3], s[2], s[1], s[0]);
        if (strcmp(n->label, "NO NAME") == 0)
            n->label[0] = '\0';
    } else {
        read_uuid(bytes + is->uuid_at, n->uuid);
    }
    return true;
}
