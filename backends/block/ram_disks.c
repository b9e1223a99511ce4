#include "ram_disks.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "disk_ram.h"
#include "disks.h"

enum { NUMBER_MAX = 63 };

/* "ramN=" with what stands behind it. */
static const char *parse_number(const char *word, unsigned int *number)
{
    char *end;
    unsigned long n;

    if (strncmp(word, "ram", 3) != 0 || word[3] < '0' || word[3] > '9')
        return NULL;
    n = strtoul(word + 3, &end, 10);
    if (n > NUMBER_MAX || *end != '=')
        return NULL;
    *number = (unsigned int)n;
    return end + 1;
}

bool ram_disks_word(const char *word)
{
    unsigned int number;

    return parse_number(word, &number) != NULL;
}

/* Without a unit it is KiB, as in dom0_mem=. 0: it is no size. */
static uint64_t parse_size(const char *text)
{
    static const char units[] = "BKMG";
    uint64_t n = 0, unit = 1024;

    if (*text < '0' || *text > '9')
        return 0;
    for (; *text >= '0' && *text <= '9'; text++) {
        n = n * 10 + (uint64_t)(*text - '0');
        if (n > UINT64_C(1) << 40)
            return 0;
    }
    if (*text) {
        const char *u = strchr(units, *text & ~0x20); /* also in lower case */

        if (u == NULL || text[1])
            return 0;
        unit = UINT64_C(1) << 10 * (u - units);
    }
    return n > (UINT64_C(1) << 40) / unit ? 0 : n * unit;
}

int ram_disks_add(struct disks *all, const char *word)
{
    unsigned int number = 0;
    const char *size = parse_number(word, &number);
    char name[16], region[16];
    struct disk *d = NULL;
    int error = EINVAL;

    snprintf(name, sizeof(name), "/dev/ram%u", number);
    snprintf(region, sizeof(region), "ram%u", number);
    if (size)
        d = disk_ram_open(region, parse_size(size), NULL);
    if (d) {
        error = disks_add(all, name, d);
        if (error)
            d->ops->close(d);
    } else if (size) {
        error = errno;
    }
    if (error)
        plat_log(PLAT_ERROR, "%s: %s", word, strerror(error));
    return error;
}
