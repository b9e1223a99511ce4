/* See vdev.h. */
#include "vdev.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * Devices that have a name with letters. The others, and disks and partitions of xvd from 16 on, are in a range of their own.
 * An IDE channel has two disks.
 */
static const struct kind {
    char prefix[4];
    uint32_t first, nr_disks,
        nr_partitions; /* the number of its first disk, whole; partitions with 0 */
    uint32_t first_disk;
} kinds[] = {
    { "xvd", 202 << 8, 16, 16, 0 },
    { "sd", 8 << 8, 16, 16, 0 },
    { "hd", 3 << 8, 2, 64, 0 },
    { "hd", 22 << 8, 2, 64, 2 },
};
enum {
    NR_KINDS = sizeof(kinds) / sizeof(kinds[0]),
    EXTENDED = 1 << 28,
    EXTENDED_DISKS = 1 << 20,
    EXTENDED_PARTITIONS = 256,
};

/* "a" is 0, "z" 25, "aa" 26. Returns what stands behind; NULL: there are none, or too many. */
static const char *take_letters(const char *text, uint32_t *disk)
{
    uint32_t n = 0;

    for (; *text >= 'a' && *text <= 'z' && n <= EXTENDED_DISKS; text++)
        n = n * 26 + (uint32_t)(*text - 'a') + 1;
    *disk = n - 1;
    return n && n <= EXTENDED_DISKS ? text : NULL;
}

/* Decimal. Returns what stands behind; NULL: it is none, or over the limit. */
static const char *take_digits(const char *text, uint32_t limit, uint32_t *number)
{
    uint64_t n = 0;
    const char *at = text;

    for (; *at >= '0' && *at <= '9' && n <= limit; at++)
        n = n * 10 + (uint64_t)(*at - '0');
    *number = (uint32_t)n;
    return at > text && n <= limit ? at : NULL;
}

static bool of_kind(const struct kind *k, uint32_t disk, uint32_t partition, uint32_t *number)
{
    if (disk < k->first_disk || disk - k->first_disk >= k->nr_disks ||
        partition >= k->nr_partitions)
        return false;
    *number = k->first + (disk - k->first_disk) * k->nr_partitions + partition;
    return true;
}

static bool extended(uint32_t disk, uint32_t partition, uint32_t *number)
{
    *number = EXTENDED | disk << 8 | partition;
    return disk < EXTENDED_DISKS && partition < EXTENDED_PARTITIONS;
}

/* "d0", "d0p3": what xvd has. */
static bool plain(const char *text, uint32_t *number)
{
    uint32_t disk, partition = 0;

    text = take_digits(text, EXTENDED_DISKS - 1, &disk);
    if (text && *text == 'p')
        text = take_digits(text + 1, EXTENDED_PARTITIONS - 1, &partition);
    if (text == NULL || *text)
        return false;
    return of_kind(&kinds[0], disk, partition, number) || extended(disk, partition, number);
}

bool vdev_number(const char *name, uint32_t *number)
{
    bool known = false;
    uint32_t disk, partition = 0;
    const char *rest;

    for (size_t i = 0; i < NR_KINDS; i++) {
        size_t len = strlen(kinds[i].prefix);

        if (strncmp(name, kinds[i].prefix, len) != 0)
            continue;
        known = true;
        rest = take_letters(name + len, &disk);
        if (rest && *rest)
            rest = take_digits(rest, EXTENDED_PARTITIONS - 1, &partition);
        if (rest == NULL || *rest)
            return false;
        if (of_kind(&kinds[i], disk, partition, number))
            return true;
    }
    if (known)
        return strncmp(name, "xvd", 3) == 0 && extended(disk, partition, number);
    if (*name == 'd')
        return plain(name + 1, number);
    rest = take_digits(name, INT32_MAX, number);
    return rest && *rest == '\0';
}

static void print_name(const char *prefix, uint32_t disk, uint32_t partition, char name[VDEV_NAME])
{
    char letters[8], *at = letters + sizeof(letters) - 1;

    *at = '\0';
    for (disk++; disk; disk = (disk - 1) / 26)
        *--at = (char)('a' + (disk - 1) % 26);
    if (partition)
        snprintf(name, VDEV_NAME, "%s%s%u", prefix, at, partition);
    else
        snprintf(name, VDEV_NAME, "%s%s", prefix, at);
}

void vdev_name(uint32_t number, char name[VDEV_NAME])
{
    for (size_t i = 0; i < NR_KINDS; i++) {
        const struct kind *k = &kinds[i];
        uint32_t in = number - k->first;

        if (number >= k->first && in < k->nr_disks * k->nr_partitions) {
            print_name(k->prefix, k->first_disk + in / k->nr_partitions, in % k->nr_partitions,
                       name);
            return;
        }
    }
    if (number >> 28 == 1)
        print_name("xvd", (number & (EXTENDED - 1)) >> 8, number & 0xff, name);
    else
        snprintf(name, VDEV_NAME, "%u", number);
}
