/* x86/multiboot.c: the input is the information that the boot loader hands over. */
#include "fuzz.h"

#include "x86/multiboot.h"

#define TAG_MMAP 6u

static struct boot_info bi;
static const uint8_t *mbi;
static size_t mbi_bytes;

static void parse(void) { multiboot_parse(&bi, mbi, mbi_bytes); }

static uint64_t number(const uint8_t *at, size_t bytes)
{
    uint64_t value = 0;

    memcpy(&value, at, bytes);
    return value;
}

/* The last memory map, which is well-formed, as the rest is. NULL: there is none. */
static const uint8_t *find_mmap(void)
{
    const uint8_t *found = NULL;

    for (const uint8_t *t = mbi + 8; number(t, 4); t += ROUND_UP(number(t + 4, 4), 8UL))
        if (number(t, 4) == TAG_MMAP)
            found = t;
    return found;
}

/* RAM is where an entry says so and no other kind of entry lies. */
static void check_ram(const struct boot_range *r, const uint8_t *mmap)
{
    const uint8_t *end = mmap + number(mmap + 4, 4), *e = mmap + 16;
    uint64_t entry_bytes = number(mmap + 8, 4);
    bool start_is_ram = false;

    for (; (uint64_t)(end - e) >= entry_bytes; e += entry_bytes) {
        uint64_t base = number(e, 8), len = number(e + 8, 8);
        uint64_t limit = base + MIN(len, UINT64_MAX - base);

        if (number(e + 16, 4) == BOOT_MEM_RAM)
            start_is_ram |= r->start >= base && r->start < limit;
        else
            BUG_ON(base < limit && base < r->end && r->start < limit);
    }
    BUG_ON(!start_is_ram);
}

static void check(void)
{
    const uint8_t *mmap = find_mmap();

    BUG_ON(mmap == NULL || bi.nr_ranges == 0 || bi.nr_ranges > BOOT_MAX_RANGES);
    for (const struct boot_range *r = bi.ranges; r < bi.ranges + bi.nr_ranges; r++) {
        BUG_ON(r->start >= r->end || r->type < BOOT_MEM_RAM || r->type > BOOT_MEM_BAD);
        if (r > bi.ranges)
            BUG_ON(r->start < r[-1].end || (r->start == r[-1].end && r->type == r[-1].type));
        if (r->type == BOOT_MEM_RAM)
            check_ram(r, mmap);
    }
    BUG_ON(bi.nr_modules > BOOT_MAX_MODULES || bi.rsdp_bytes > sizeof(bi.rsdp));
    for (unsigned int i = 0; i < bi.nr_modules; i++) {
        BUG_ON(bi.modules[i].start > bi.modules[i].end);
        BUG_ON(!memchr(bi.modules[i].cmdline, 0, sizeof(bi.modules[i].cmdline)));
    }
    BUG_ON(!memchr(bi.cmdline, 0, sizeof(bi.cmdline)));
    BUG_ON(!memchr(bi.loader, 0, sizeof(bi.loader)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);

    mbi = memcpy(copy, data, size);
    mbi_bytes = size;
    if (fuzz_accepted(parse))
        check();
    free(copy);
    return 0;
}
