/*
 * From head.S to hypervisor_main(): the address space of design section 5, the frame table, the
 * first CPU's tables. All of this file is freed before the first guest instruction.
 */
#include "memory/heap.h"
#include "x86/cpu.h"
#include "x86/efi.h"
#include "x86/ioapic.h"
#include "x86/lapic.h"
#include "x86/multiboot.h"
#include "x86/time.h"
#include "x86/upcalls.h"

#define LOW_MEMORY_END MIB(1) /* firmware's, and where CPUs start, */
#define LOW_PAGES_END 0x9f000 /* below what it keeps for itself, on old machines unmarked */
#define MAX_FREE 512u

extern char text_end[], rodata_start[], data_start[], init_start[], init_end[], image_end[],
    boot_stack_guard[], boot_stack_end[];

/* RAM that nobody has yet, ascending. */
static struct {
    uint64_t start, end;
} free_ram[MAX_FREE];
static unsigned int nr_free;
static uint64_t reachable_end; /* nothing beyond it is given out */
uint64_t ap_page;

/* ---- free RAM during boot ---- */

static void free_add(uint64_t start, uint64_t end)
{
    if (start >= end)
        return;
    BUG_ON(nr_free == MAX_FREE); /* by far: twice the ranges and modules */
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
        free_ram[i].end = MAX(s, start);
        free_add(end, e);
    }
}

/* Memory that is never freed, aligned to its size: as high as can be. */
static uint64_t boot_alloc(uint64_t bytes)
{
    uint64_t best = 0;

    for (unsigned int i = 0; i < nr_free; i++) {
        uint64_t e = MIN(free_ram[i].end, reachable_end) & ~(bytes - 1);

        if (e >= bytes && e - bytes >= free_ram[i].start)
            best = MAX(best, e - bytes);
    }
    if (best == 0)
        panic("too little memory: no %lu KiB free below %lx for the hypervisor itself", bytes >> 10,
              reachable_end);
    free_remove(best, best + bytes);
    return best;
}

/* ---- mapping ---- */

static void *early_table(void)
{
    return memset(maddr_to_virt(boot_alloc(PAGE_SIZE)), 0, PAGE_SIZE);
}

/* New memory at va, each byte so, and read-only for guests at guest_va if that is not 0. */
static void map_new(uint64_t va, uint64_t bytes, int byte, uint64_t guest_va)
{
    uint64_t size;

    for (uint64_t done = 0; done < bytes; done += size) {
        uint64_t maddr;

        size = !((va + done) & (MIB(2) - 1)) && bytes - done >= MIB(2) ? MIB(2) : PAGE_SIZE;
        maddr = boot_alloc(size);
        hv_map(va + done, maddr, size, PTE_RW | PTE_NX);
        if (guest_va)
            hv_map(guest_va + done, maddr, size, PTE_US | PTE_NX);
    }
    memset((void *)va, byte, bytes);
}

/* ---- the address space ---- */

#define OFFSET_OF(symbol) ((uint64_t)(uintptr_t)(symbol)-IMAGE_VIRT)

/* Each part of the image with its own rights, where it is linked. */
static void map_image(void)
{
    const struct {
        uint64_t end, base, flags;
    } parts[] = {
        { OFFSET_OF(text_end), IMAGE_VIRT, 0 },
        { OFFSET_OF(rodata_start), ENTRY_VIRT, 0 },
        { OFFSET_OF(data_start), IMAGE_VIRT, PTE_NX },
        { OFFSET_OF(init_start), IMAGE_VIRT, PTE_RW | PTE_NX },
        { OFFSET_OF(init_end), IMAGE_VIRT,
          PTE_RW }, /* the one exception, gone before a guest runs */
        { OFFSET_OF(image_end), IMAGE_VIRT, PTE_NX },
    };
    uint64_t start = 0;

    for (unsigned int i = 0; i < ARRAY_SIZE(parts); i++) {
        hv_map(parts[i].base + start, image_phys + start, parts[i].end - start, parts[i].flags);
        start = parts[i].end;
    }
}

/* All RAM, writable; but the image's code and constants read-only here as well. */
static void map_ram(uint64_t start, uint64_t end)
{
    uint64_t ro_end = image_phys + OFFSET_OF(data_start);
    uint64_t cuts[] = { image_phys, ro_end, end };

    for (unsigned int i = 0; i < ARRAY_SIZE(cuts); i++) {
        uint64_t stop = MIN(MAX(cuts[i], start), end);

        if (stop > start)
            hv_map(DIRECTMAP_VIRT + start, start, stop - start, i == 1 ? PTE_NX : PTE_RW | PTE_NX);
        start = stop;
    }
}

/* For each range of RAM, in whole pages, that the direct map can show. */
static void each_ram(void (*fn)(uint64_t start, uint64_t end))
{
    for (unsigned int i = 0; i < boot_info.nr_ranges; i++) {
        const struct boot_range *r = &boot_info.ranges[i];
        uint64_t start = ROUND_UP(MIN(r->start, DIRECTMAP_BYTES), PAGE_SIZE);
        uint64_t end = MIN(r->end, DIRECTMAP_BYTES) & PAGE_MASK;

        if (r->type == BOOT_MEM_RAM && start < end)
            fn(start, end);
    }
}

static void reserve_boot_things(void)
{
    each_ram(free_add);
    free_remove(image_phys, image_phys + OFFSET_OF(image_end));
    for (unsigned int i = 0; i < boot_info.nr_modules; i++)
        free_remove(boot_info.modules[i].start & PAGE_MASK,
                    ROUND_UP(boot_info.modules[i].end, PAGE_SIZE));
    reachable_end = LOW_PAGES_END;
    if (acpi_info.nr_cpus > 1)
        ap_page = boot_alloc(PAGE_SIZE);
    free_remove(0, LOW_MEMORY_END);
    reachable_end = GIB(4); /* before our own direct map is loaded */
}

/* Frame table and M2P for each group of frames that has RAM; runs of groups share big pages. */
static void map_tables(uint64_t start, uint64_t end)
{
    const uint64_t group = 1UL << FRAME_GROUP_SHIFT;
    static uint64_t next; /* group that has none yet */
    uint64_t first = MAX((start >> PAGE_SHIFT) / group, next);
    uint64_t last = ((end - 1) >> PAGE_SHIFT) / group + 1, n = (last - first) * group;

    if (first >= last)
        return;
    next = last;
    map_new(FRAMETABLE_VIRT + first * group * sizeof(struct page_info),
            n * sizeof(struct page_info), 0, 0);
    map_new(M2P_RW_VIRT + first * group * 8, n * 8, 0xff, M2P_RO_VIRT + first * group * 8);
}

static void map_cpu_area(uint32_t cpu)
{
    map_new(CPU_AREA(cpu) + CPU_AREA_PAGE_ENTRY * PAGE_SIZE, PAGE_SIZE, 0, 0);
    map_new(CPU_AREA(cpu) + (CPU_AREA_PAGE_GDT + FIRST_RESERVED_GDT_PAGE) * PAGE_SIZE, PAGE_SIZE, 0,
            0);
    for (unsigned int n = 1; n <= NR_IST; n++)
        map_new(IST_STACK_END(cpu, n) - IST_STACK_SIZE, IST_STACK_SIZE, 0, 0);
    if (cpu)
        map_new(CPU_STACK_END(cpu) - CPU_STACK_SIZE, CPU_STACK_SIZE, 0, 0);
}

static void build_address_space(void)
{
    hv_table_alloc = early_table;
    hv_root = early_table();
    each_ram(map_ram);
    map_image();
    *hv_entry((uint64_t)(uintptr_t)boot_stack_guard, 1, 0) = 0;
    write_cr(3, virt_to_maddr(hv_root));
    reachable_end = DIRECTMAP_BYTES;
    each_ram(map_tables);
    map_new(IDT_VIRT, PAGE_SIZE, 0, 0);
    for (uint32_t cpu = 0; cpu < MAX(acpi_info.nr_cpus, 1u); cpu++)
        map_cpu_area(cpu);
    hv_entry(MMIO_VIRT, 3, 0); /* each slot's L3 has to be there before a guest's L4 copies it */
}

/* Firmware's tables are read while the boot page tables show the first 4 GiB. */
static const void *show_low(uint64_t maddr, size_t len)
{
    return maddr && maddr < GIB(4) && len <= GIB(4) - maddr ? maddr_to_virt(maddr) : NULL;
}

noreturn void boot_start(uint32_t mbi_maddr, uint32_t image_maddr, uint64_t entry_tsc)
{
    static struct cpu_entry early_entry = { .pcpu = &pcpus[0] };

    wrmsr(MSR_GS_BASE, (uint64_t)(uintptr_t)&early_entry);
    image_phys = image_maddr;
    arch_entry_tsc = entry_tsc;
    multiboot_parse(&boot_info, maddr_to_virt(mbi_maddr), GIB(4) - mbi_maddr);
    cmdline_parse(boot_info.cmdline);
    console_options();
    print(LOG_INFO, "xen-like " XL_VERSION " (loaded by %s at %x, debug=%c)\n", boot_info.loader,
          image_maddr, IS_DEBUG_BUILD ? 'y' : 'n');
    print(LOG_INFO, "Command line: %s\n", boot_info.cmdline);
    cpu_detect();
    print(LOG_INFO, "CPU flaws:%s%s%s%s\n",
          guard_root() ? " roots without ours for guests" : " one root",
          cpu_features.guards & SPEC_RSB ? ", RSB filled" : "",
          cpu_features.guards & SPEC_BHB ? ", branch history cleared" : "",
          cpu_features.guards & SPEC_VERW ? ", buffers cleared" : "");
    acpi_parse(&acpi_info, boot_info.rsdp, boot_info.rsdp_bytes, show_low);
    efi_read(&efi_info, boot_info.efi_system_table, show_low);
    reserve_boot_things();
    build_address_space();
    cpu_setup_descriptors(0, (uint64_t)(uintptr_t)boot_stack_end);
    cpu_setup_msrs();
    fpu_init();
    each_ram(heap_add_ram);
    for (unsigned int i = 0; i < nr_free; i++)
        heap_free_range(free_ram[i].start, free_ram[i].end);
    hv_table_alloc = alloc_page;
    pic_silence();
    lapic_init();
    time_init();
    hypervisor_main();
}
