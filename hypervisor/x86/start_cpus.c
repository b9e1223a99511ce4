/*
 * Bringing up the other CPUs, one after the other: INIT, SIPI, and a wait until each says that it
 * runs. All of this file is freed before the first guest instruction.
 */
#include "x86/acpi.h"
#include "x86/cpu.h"
#include "x86/lapic.h"
#include "x86/time.h"
#include "x86/upcalls.h"

#define START_WAIT_NS SECONDS(2)
#define NR_TSC_ROUNDS 50u
#define TURN_WAIT_TICKS 1000000000ULL /* a virtual machine may stand still meanwhile */

extern char ap_trampoline[], ap_fill[], ap_trampoline_end[], start_ap64[], boot_gdt[], boot_l4[];

/* For the CPU that is being started: */
uint64_t ap_root, ap_stack;
static uint32_t ap_id;
/* Ping-pong of TSC readings: odd turns are the new CPU's. */
static _Atomic uint32_t turn;
static uint64_t last_tsc;
static bool tsc_warps;

static uint64_t phys_of(const char *symbol)
{
    return image_phys + ((uint64_t)(uintptr_t)symbol - IMAGE_VIRT);
}

static void put_trampoline(void)
{
    struct {
        uint32_t l4, jump;
        uint16_t cs, gdt_limit;
        uint32_t gdt;
    } __attribute__((packed)) *fill = maddr_to_virt(ap_page + (uint64_t)(ap_fill - ap_trampoline));

    memcpy(maddr_to_virt(ap_page), ap_trampoline, (size_t)(ap_trampoline_end - ap_trampoline));
    fill->l4 = (uint32_t)phys_of(boot_l4);
    fill->jump = (uint32_t)phys_of(start_ap64);
    fill->gdt = (uint32_t)phys_of(boot_gdt);
}

static void wait_ns(uint64_t ns)
{
    uint64_t begin = arch_tsc();

    for (uint64_t start = arch_time_ns(); arch_time_ns() - start < ns;)
        cpu_relax();
    arch_waited_ticks += arch_tsc() - begin;
}

/* Each reads its TSC after the other has: it must not be behind. */
static void tsc_compare(uint32_t mine, uint32_t end)
{
    for (uint32_t t = mine; t < end; t += 2) {
        uint64_t begin = arch_tsc(), now;

        while (atomic_load(&turn) != t && arch_tsc() - begin < TURN_WAIT_TICKS)
            cpu_relax();
        now = arch_tsc();
        tsc_warps |= (int64_t)(now - last_tsc) < 0;
        last_tsc = now;
        atomic_store(&turn, t + 1);
    }
}

noreturn void ap_start(void)
{
    uint32_t id = ap_id;

    cpu_setup_descriptors(id, CPU_STACK_END(id));
    cpu_setup_msrs();
    load_root(virt_to_maddr(hv_root), NULL);
    lapic_init();
    atomic_fetch_or(&cpus_online, 1ULL << id);
    tsc_compare(1, 2 * NR_TSC_ROUNDS);
    idle_loop();
}

static void start_cpu(uint32_t id)
{
    uint32_t apic_id = acpi_info.cpus[id].apic_id;
    uint64_t begin;

    ap_id = id;
    ap_stack = STACK_TOP(CPU_STACK_END(id));
    last_tsc = arch_tsc();
    atomic_store(&turn, 0);
    lapic_send(apic_id, ICR_INIT);
    wait_ns(MILLISECS(10));
    lapic_send(apic_id, ICR_STARTUP | (uint32_t)(ap_page >> PAGE_SHIFT));
    wait_ns(MICROSECS(200));
    if (!(arch_cpus_online() >> id & 1))
        lapic_send(apic_id, ICR_STARTUP | (uint32_t)(ap_page >> PAGE_SHIFT));
    begin = arch_time_ns();
    while (!(arch_cpus_online() >> id & 1))
        if (arch_time_ns() - begin > START_WAIT_NS)
            panic("CPU %u (APIC id %u) did not start", id, apic_id);
    tsc_compare(0, 2 * NR_TSC_ROUNDS);
}

/* This CPU becomes the table's first. */
static void put_this_cpu_first(void)
{
    struct acpi_cpu first = acpi_info.cpus[0];

    for (uint32_t i = 0; i < acpi_info.nr_cpus; i++)
        if (acpi_info.cpus[i].apic_id == lapic_id()) {
            acpi_info.cpus[0] = acpi_info.cpus[i];
            acpi_info.cpus[i] = first;
            return;
        }
    if (acpi_info.nr_cpus)
        panic("ACPI: APIC: the CPU that boots, APIC id %u, is not in it", lapic_id());
    acpi_info.cpus[0].apic_id = lapic_id();
}

void arch_start_cpus(void (*init)(struct pcpu *c))
{
    uint64_t begin = arch_time_ns();

    put_this_cpu_first();
    if (acpi_info.nr_cpus > 1)
        put_trampoline();
    ap_root = virt_to_maddr(hv_root);
    for (uint32_t id = 1; id < acpi_info.nr_cpus; id++) {
        pcpus[id].id = id;
        init(&pcpus[id]);
        start_cpu(id);
    }
    arch_flush_tlb_mask(arch_cpus_online()); /* who answers has left this file */
    if (tsc_warps)
        time_tsc_differs();
    print(LOG_INFO, "CPUs: %u online, in %lu us", fls64(arch_cpus_online()),
          (arch_time_ns() - begin) / 1000);
}
