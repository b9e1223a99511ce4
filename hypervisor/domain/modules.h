/*
 * Which module of the boot loader is whose. Domain 0's have its kernel's command line as their text, or
 * nothing; those of further domains say so in words (tabs and spaces between them):
 *
 *     domain=NAME memory=SIZE[,max:SIZE] [vcpus=N] [role=ROLE] [console] [-- COMMAND LINE]
 *     ramdisk-of=NAME
 */
#pragma once
#include "domain/domain.h"
#include "x86/multiboot.h"

struct boot_domain {
    char name[DOMAIN_NAME_BYTES]; /* letters, digits and what the store's paths permit; unique */
    const struct boot_module *kernel, *ramdisk; /* ramdisk NULL: none */
    const char *cmdline;                        /* of the kernel */
    uint64_t mem_bytes[2];                      /* at first, at most (0: the same) */
    uint32_t nr_vcpus;                          /* 0: one for each CPU */
    uint32_t roles;                             /* ROLE_* */
    uint32_t console;                           /* 1: it may write to the hypervisor's console */
};

/**
 * The domains of boot_info's modules, domain 0 first (its kernel is NULL if there is none). What is
 * wrong with the text of a module is named on the console and its domain left out. Returns how many.
 */
unsigned int modules_parse(struct boot_domain list[BOOT_MAX_MODULES + 1]);
/** Give the memory of a module that nobody needs to the heap. */
void module_free(const struct boot_module *m);
