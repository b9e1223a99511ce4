/* What the boot loader hands over, taken out of the Multiboot2 information and checked. */
#pragma once
#include "lib/types.h"

#define BOOT_MAX_RANGES 128u
#define BOOT_MAX_MODULES 16u
#define BOOT_CMDLINE_BYTES 1024u

/* As in Multiboot2 and E820. */
enum { BOOT_MEM_RAM = 1, BOOT_MEM_RESERVED, BOOT_MEM_ACPI, BOOT_MEM_NVS, BOOT_MEM_BAD };

struct boot_range {
    uint64_t start, end; /* [start, end) */
    uint32_t type;
};

struct boot_module {
    uint64_t start, end; /* machine addresses, [start, end) */
    char cmdline[BOOT_CMDLINE_BYTES];
};

struct boot_framebuffer { /* as in Multiboot2 */
    uint64_t maddr;
    uint32_t pitch_bytes, width, height; /* type 2 (text): in characters */
    uint8_t bpp, type;                   /* 0 indexed, 1 RGB, 2 EGA text */
    uint16_t reserved;
    uint8_t red_pos, red_size, green_pos, green_size, blue_pos, blue_size; /* type 1 */
};

struct boot_info {
    char cmdline[BOOT_CMDLINE_BYTES], loader[64];
    struct boot_range ranges[BOOT_MAX_RANGES]; /* ascending, disjoint; equal neighbours are one */
    uint32_t nr_ranges;
    struct boot_module modules[BOOT_MAX_MODULES];
    uint32_t nr_modules;
    uint8_t rsdp[36];                    /* a copy; acpi.h takes it */
    uint32_t rsdp_bytes;                 /* 0: none, 20: ACPI 1.0 */
    struct boot_framebuffer framebuffer; /* type 0: none */
    uint64_t efi_system_table;           /* 0: not booted by UEFI */
};

/**
 * Fill bi from the information at mbi, of which max_bytes may be read. Lengths and numbers in it
 * are not trusted: panics if they are wrong. Where kinds of memory overlap, RAM gives way.
 */
void multiboot_parse(struct boot_info *bi, const void *mbi, size_t max_bytes);

/** What this boot was given (machine.c). */
extern struct boot_info boot_info;
