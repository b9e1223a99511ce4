/*
 * The table is made by hypervisor/symbols.sh and linked at the end of the constant data. One entry:
 * the difference to the previous address as ULEB128, then the name with its NUL; ascending.
 */
#include "lib/lib.h"

extern const uint8_t symbol_table[], symbol_table_end[];

#define SYMBOL_MAX_BYTES MIB(1) /* farther from the last symbol is no code of ours */

const char *symbol_lookup(uint64_t addr, uint64_t *offset)
{
    const uint8_t *p = symbol_table;
    const char *name = NULL;
    uint64_t at = 0;

    while (p < symbol_table_end) {
        uint64_t delta = 0;
        unsigned int shift = 0;

        for (; *p & 0x80; shift += 7)
            delta |= (uint64_t)(*p++ & 0x7f) << shift;
        delta |= (uint64_t)*p++ << shift;
        if (addr < at + delta)
            break;
        at += delta;
        name = (const char *)p;
        p += strlen(name) + 1;
    }
    if (name == NULL || addr - at >= SYMBOL_MAX_BYTES)
        return NULL;
    *offset = addr - at;
    return name;
}
