/*
 * The disk images that rt_disks reads and writes, seen from the host.
 *   usage: pattern make IMAGE MIB   the host's half, and nothing behind it
 *          pattern check IMAGE      both halves, as the kernel leaves them
 */
#include "pattern.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int make(const char *path, uint64_t nr)
{
    FILE *f = fopen(path, "wb");
    unsigned char sector[PATTERN_SECTOR];

    if (f == NULL)
        return 1;
    for (uint64_t i = 0; i < nr / 2; i++) {
        pattern_fill(sector, i, PATTERN_HOST);
        if (fwrite(sector, sizeof(sector), 1, f) != 1)
            return 1;
    }
    return fflush(f) != 0 || ftruncate(fileno(f), (off_t)(nr * PATTERN_SECTOR)) != 0 ||
           fclose(f) != 0;
}

static int check(const char *path)
{
    FILE *f = fopen(path, "rb");
    unsigned char sector[PATTERN_SECTOR], want[PATTERN_SECTOR];
    uint64_t nr, wrong = 0;

    if (f == NULL || fseek(f, 0, SEEK_END) != 0)
        return 1;
    nr = (uint64_t)ftell(f) / PATTERN_SECTOR;
    rewind(f);
    for (uint64_t i = 0; i + PATTERN_SPARE_SECTORS < nr; i++) {
        pattern_fill(want, i, i < nr / 2 ? PATTERN_HOST : PATTERN_KERNEL);
        if (fread(sector, sizeof(sector), 1, f) != 1 || memcmp(sector, want, sizeof(want)) != 0)
            wrong++;
    }
    fclose(f);
    printf("%s: %llu sectors, %llu wrong\n", path, (unsigned long long)nr,
           (unsigned long long)wrong);
    return wrong != 0 || nr <= PATTERN_SPARE_SECTORS;
}

int main(int argc, char **argv)
{
    int rc = 2;

    if (argc == 4 && strcmp(argv[1], "make") == 0)
        rc = make(argv[2], strtoull(argv[3], NULL, 10) * 2048);
    else if (argc == 3 && strcmp(argv[1], "check") == 0)
        rc = check(argv[2]);
    if (rc == 1)
        fprintf(stderr, "pattern: %s %s: failed\n", argv[1], argv[2]);
    return rc;
}
