/*
 * From head.S to hypervisor_main(): the address space of design section 5, the frame table, the
 * first CPU's tables. All of this file is freed before the first guest instruction.
 */
#include "lib/cmdline.h"
#include "lib/version.h"
#include "memory/heap.h"
#include "x86/acpi.h"
#include "x86/cpu.h"
#include "x86/ioapic.h"
#include "x86/lapic.h"
#include "x86/multiboot.h"
#include "x86/time.h"
#include "x86/upcalls.h"

#define LOW_MEMORY_END MIB(1) /* firmware's, and where CPUs start */
#define MAX_FREE 160u

extern char text_end[], rodata_start[], data_start[], init_start[], init_end[], image_end[],
    boot_stack_guard[], boot_stack_top[];

/* RAM that nobody has yet, ascending. */
static struct {
    uint64_t start, end;
} free_ram[MAX_FREE];
static unsigned int nr_free;
/* Before our own direct map is loaded only the first 4 GiB can be reached. */
static uint64_t reachable_end = GIB(4);

/* ---- free RAM during boot ---- */

static void free_add(uint64_t start, uint64_t end)
{
    if (start >= end)
        return;
    if (nr_free == MAX_FREE) {
        print(LOG_WARN, "Memory %lx..%lx left unused: the map has too many pieces\n", start, end);
        return;
    }
    free_ram[nr_free].start = start;
    free_ram[nr_free++].end = end;
}

/* Take [start, end) out of what is free. */
static void free_remove(uint64_t start, uint64_t end)
{
    unsigned int n = nr_free;

    for (unsigned int i = 0; i < n; i++) {
        uint64_t s = free_ram[i].start, e = free_ram[i].end;

        if (e <= start || s >= end)
            continue;
        free_ram[i].end = MAX(MIN(e, start), s);
        if (e > end) {
            if (free_ram[i].start >= free_ram[i].end)
                free_ram[i].start = MAX(s, end), free_ram[i].end = e;
            else
                free_add(MAX(s, end), e);
        }
    }
}

uint64_t boot_alloc(uint64_t bytes, uint64_t align, uint64_t max_maddr)
{
    uint64_t best = 0, limit = max_maddr ? max_maddr : reachable_end;

    for (unsigned int i = 0; i < nr_free; i++) {
        uint64_t s = free_ram[i].start, e = MIN(free_ram[i].end, limit), p;

        if (e < bytes || (p = (e - bytes) & ~(align - 1)) < s)
            continue;
        best = MAX(best, p);
    }
    if (best == 0)
        panic("too little memory: no %lu KiB free below %lx for the hypervisor itself", bytes >> 10,
              limit);
    free_remove(best, best + bytes);
    return best;
}

/* ---- mapping ---- */

static pte_t *early_table(void)
{
    pte_t *t = maddr_to_virt(boot_alloc(PAGE_SIZE, PAGE_SIZE, 0));

    memset(t, 0, PAGE_SIZE);
    return t;
}

void boot_map(uint64_t va, uint64_t maddr, uint64_t bytes, uint64_t flags)
{
    flags |= PTE_P | PTE_A | PTE_D | (cpu_features.pge ? PTE_G : 0);
    while (bytes) {
        unsigned int level = 1;
        uint64_t size = PAGE_SIZE;

        if (cpu_features.page1gb && !((va | maddr) & (GIB(1) - 1)) && bytes >= GIB(1))
            level = 3, size = GIB(1);
        else if (!((va | maddr) & (MIB(2) - 1)) && bytes >= MIB(2))
            level = 2, size = MIB(2);
        *hv_entry(va, level, flags & PTE_US) = maddr | flags | (level > 1 ? PTE_PS : 0);
        va += size;
        maddr += size;
        bytes -= size;
    }
}

/* New memory at va; nothing in it is defined. */
static void map_new(uint64_t va, uint64_t bytes, uint64_t flags)
{
    while (bytes) {
        uint64_t size = !(va & (MIB(2) - 1)) && bytes >= MIB(2) ? MIB(2) : PAGE_SIZE;

        boot_map(va, boot_alloc(size, size, 0), size, flags);
        va += size;
        bytes -= size;
    }
}

/* ---- the address space ---- */

#define OFFSET_OF(symbol) ((uint64_t)(uintptr_t)(symbol)-IMAGE_VIRT)

/* Each part of the image with its own rights, where it is linked. */
static void map_image(void)
{
    uint64_t entry = OFFSET_OF(text_end), rodata = OFFSET_OF(rodata_start);

    boot_map(IMAGE_VIRT, image_phys, entry, 0);
    boot_map(ENTRY_VIRT + entry, image_phys + entry, rodata - entry, 0);
    boot_map(IMAGE_VIRT + rodata, image_phys + rodata, OFFSET_OF(data_start) - rodata, PTE_NX);
    boot_map(IMAGE_VIRT + OFFSET_OF(data_start), image_phys + OFFSET_OF(data_start),
             OFFSET_OF(init_start) - OFFSET_OF(data_start), PTE_RW | PTE_NX);
    /* boot code writes its data: the one exception, gone before a guest runs */
    boot_map(IMAGE_VIRT + OFFSET_OF(init_start), image_phys + OFFSET_OF(init_start),
             OFFSET_OF(init_end) - OFFSET_OF(init_start), PTE_RW);
    boot_map(IMAGE_VIRT + OFFSET_OF(init_end), image_phys + OFFSET_OF(init_end),
             OFFSET_OF(image_end) - OFFSET_OF(init_end), PTE_NX);
}

/* All RAM, writable; but the image's code and constants read-only here as well. */
static void map_ram(uint64_t start, uint64_t end)
{
    uint64_t ro_end = image_phys + OFFSET_OF(data_start);
    uint64_t cuts[] = { image_phys, ro_end, end };

    for (unsigned int i = 0; i < ARRAY_SIZE(cuts); i++) {
        uint64_t stop = MIN(MAX(cuts[i], start), end);

        if (stop > start)
            boot_map(DIRECTMAP_VIRT + start, start, stop - start,
                     i == 1 ? PTE_NX : PTE_RW | PTE_NX);
        start = stop;
    }
}

static bool ram_range(unsigned int i, uint64_t *start, uint64_t *end)
{
    const struct boot_range *r = &boot_info.ranges[i];

    *start = ROUND_UP(r->start, PAGE_SIZE);
    *end = MIN(r->end, DIRECTMAP_BYTES) & PAGE_MASK;
    return r->type == BOOT_MEM_RAM && *start < *end;
}

static void reserve_boot_things(void)
{
    uint64_t s, e;

    for (unsigned int i = 0; i < boot_info.nr_ranges; i++)
        if (ram_range(i, &s, &e))
            free_add(MAX(s, LOW_MEMORY_END), MAX(e, LOW_MEMORY_END));
    free_remove(image_phys, image_phys + OFFSET_OF(image_end));
    for (unsigned int i = 0; i < boot_info.nr_modules; i++)
        free_remove(boot_info.modules[i].start & PAGE_MASK,
                    ROUND_UP(boot_info.modules[i].end, PAGE_SIZE));
}

/* Frame table and M2P for each group of frames that has RAM; runs of groups share big pages. */
static void map_tables(void)
{
    const uint64_t group = 1UL << FRAME_GROUP_SHIFT;
    uint64_t s, e, next_group = 0;

    for (unsigned int i = 0; i < boot_info.nr_ranges; i++) {
        uint64_t first, last, n;

        if (!ram_range(i, &s, &e))
            continue;
        first = MAX((s >> PAGE_SHIFT) / group, next_group);
        last = ((e - 1) >> PAGE_SHIFT) / group + 1;
        if (first >= last)
            continue;
        n = (last - first) * group;
        next_group = last;
        map_new((uint64_t)(uintptr_t)&frame_table[first * group], n * sizeof(struct page_info),
                PTE_RW | PTE_NX);
        memset(&frame_table[first * group], 0, n * sizeof(struct page_info));
        map_new((uint64_t)(uintptr_t)&m2p_table[first * group], n * 8, PTE_RW | PTE_NX);
        memset(&m2p_table[first * group], 0xff, n * 8);
        /* the guests' view of the same frames */
        for (uint64_t b = 0; b < n * 8;) {
            uint64_t va = (uint64_t)(uintptr_t)&m2p_table[first * group] + b;
            pte_t l2 = *hv_entry(va, 2, 0);
            bool big = l2 & PTE_PS;
            uint64_t size = big ? MIB(2) : PAGE_SIZE;

            boot_map(M2P_RO_VIRT + (va - M2P_RW_VIRT),
                     (big ? l2 : *hv_entry(va, 1, 0)) & PTE_ADDR_MASK, size, PTE_US | PTE_NX);
            b += size;
        }
    }
}

static void map_cpu_area(uint32_t cpu)
{
    static const uint8_t pages[] = {
        CPU_AREA_PAGE_ENTRY,
        CPU_AREA_PAGE_STACK,
        4,
        5,
        7,
        8,
        10,
        11,
        13,
        14,
        CPU_AREA_PAGE_GDT + FIRST_RESERVED_GDT_PAGE,
    };

    for (unsigned int i = 0; i < ARRAY_SIZE(pages); i++) {
        uint64_t va = CPU_AREA(cpu) + pages[i] * PAGE_SIZE;

        map_new(va, PAGE_SIZE, PTE_RW | PTE_NX);
        memset((void *)va, 0, PAGE_SIZE);
    }
}

static void build_address_space(void)
{
    uint64_t s, e;

    hv_table_alloc = early_table;
    hv_root = early_table();
    for (unsigned int i = 0; i < boot_info.nr_ranges; i++)
        if (ram_range(i, &s, &e))
            map_ram(s, e);
    map_image();
    *hv_entry((uint64_t)(uintptr_t)boot_stack_guard, 1, 0) = 0;
    write_cr3(virt_to_maddr(hv_root));
    reachable_end = DIRECTMAP_BYTES;
    map_tables();
    map_new(IDT_VIRT, PAGE_SIZE, PTE_RW | PTE_NX);
    map_cpu_area(0);
    hv_entry(MMIO_VIRT, 3, 0); /* each slot's L3 has to be there before a guest's L4 copies it */
}

static pte_t *alloc_table(void) { return alloc_page(); }

/* Hand over to the allocator what is left. */
static void start_heap(void)
{
    uint64_t s, e;

    for (unsigned int i = 0; i < boot_info.nr_ranges; i++)
        if (ram_range(i, &s, &e))
            heap_add_ram(s, e);
    for (unsigned int i = 0; i < nr_free; i++)
        if (free_ram[i].start < free_ram[i].end)
            heap_free_range(free_ram[i].start, free_ram[i].end);
    hv_table_alloc = alloc_table;
}

/* Tables are read while the boot page tables show the first 4 GiB. */
static const void *acpi_map(uint64_t maddr, size_t len)
{
    return maddr < GIB(4) && len <= GIB(4) - maddr ? maddr_to_virt(maddr) : NULL;
}

noreturn void boot_start(uint32_t mbi_maddr, uint32_t image_maddr)
{
    static struct cpu_entry early_entry = { .pcpu = &boot_pcpu };

    wrmsr(MSR_GS_BASE, (uint64_t)(uintptr_t)&early_entry);
    image_phys = image_maddr;
    console_early_init();
    if (!multiboot_parse(&boot_info, maddr_to_virt(mbi_maddr), GIB(4) - mbi_maddr))
        panic("%s", boot_info.error);
    cmdline_parse(boot_info.cmdline);
    console_options();
    print(LOG_INFO, "xen-like " XL_VERSION " (loaded by %s at %x)\n", boot_info.loader,
          image_maddr);
    print(LOG_INFO, "Command line: %s\n", boot_info.cmdline);
    cpu_detect();
    if (!acpi_parse(&acpi_info, boot_info.rsdp, boot_info.rsdp_bytes, acpi_map))
        print(LOG_WARN, "ACPI: no usable tables\n");
    if (acpi_info.is_corrupt)
        panic("corrupt ACPI tables, see above");
    reserve_boot_things();
    build_address_space();
    cpu_setup_descriptors(0, &boot_pcpu, (uint64_t)(uintptr_t)boot_stack_top);
    cpu_setup_msrs();
    fpu_init();
    start_heap();
    pic_silence();
    lapic_init();
    time_init();
    hypervisor_main();
}
