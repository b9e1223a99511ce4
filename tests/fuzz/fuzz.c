/* See fuzz.h: for parsers that run at boot. */
#include "fuzz.h"

#include <setjmp.h>
#include <stdio.h>

#define MAPS_MAX 4096u

static jmp_buf refusal;
static uint64_t memory_base;
static const uint8_t *memory;
static size_t memory_bytes;
static void *maps[MAPS_MAX];
static unsigned int nr_maps;

noreturn void panic(const char *fmt, ...)
{
    static char message[4096];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(message, sizeof(message), fmt, ap);
    va_end(ap);
    BUG_ON(message[0] == '\0');
    longjmp(refusal, 1);
}

bool fuzz_accepted(void (*parse)(void))
{
    fake_printed[0] = '\0';
    if (setjmp(refusal))
        return false;
    parse();
    return true;
}

void fuzz_memory(uint64_t base, const uint8_t *from, size_t len)
{
    memory_base = base;
    memory = from;
    memory_bytes = len;
}

void *fuzz_map(uint64_t maddr, size_t len)
{
    uint64_t at = maddr - memory_base;
    uint8_t *p;

    if (at > memory_bytes || len > memory_bytes - at)
        return NULL;
    BUG_ON(nr_maps == MAPS_MAX);
    maps[nr_maps++] = p = malloc(maddr % 8 + len);
    return memcpy(p + maddr % 8, memory + at, len);
}

void fuzz_unmap_all(void)
{
    while (nr_maps)
        free(maps[--nr_maps]);
}
