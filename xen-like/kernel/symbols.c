/* Names of code addresses. The table is made by hypervisor/symbols.sh after a first link. */
#include <stdio.h>

#include "internal.h"

/* Per function: the distance from the one before (ULEB128), the name. Ascending. */
extern const unsigned char symbol_table[], symbol_table_end[];

static uint64_t uleb128(const unsigned char **p)
{
    uint64_t v = 0;

    for (unsigned int shift = 0;; shift += 7) {
        unsigned char b = *(*p)++;

        v |= (uint64_t)(b & 0x7f) << shift;
        if (!(b & 0x80))
            return v;
    }
}

void symbol_name(uint64_t address, char *buf, size_t size)
{
    const unsigned char *p = symbol_table, *name = NULL;
    uint64_t at = 0, start = 0;

    buf[0] = '\0';
    if (address < (uint64_t)image_start || address >= (uint64_t)text_end)
        return;
    while (p < symbol_table_end) {
        at += uleb128(&p);
        if (at > address)
            break;
        start = at;
        name = p;
        while (*p++)
            ;
    }
    if (name)
        snprintf(buf, size, "%s+0x%lx", (const char *)name, (unsigned long)(address - start));
}
