/* Small services of the machine: copies, ports, MSRs, idling, the end of the machine, backtraces. */
#include "x86/arch.h"
#include "x86/cpu.h"
#include "x86/efi.h"
#include "x86/multiboot.h"

struct boot_info boot_info;
struct acpi_info acpi_info;
struct efi_info efi_info;

/*
 * Bytes not copied. The 8-byte part first; a fault anywhere leaves the count of the rest in RCX.
 */
static size_t copy_guarded(void *dst, const void *src, size_t len)
{
    size_t words = len / 8, bytes = len % 8;

    __asm__ volatile("1: rep movsq; 2:" EX_TABLE("1b", "2b")
                     : "+D"(dst), "+S"(src), "+c"(words)::"memory");
    if (words == 0)
        __asm__ volatile("1: rep movsb; 2:" EX_TABLE("1b", "2b")
                         : "+D"(dst), "+S"(src), "+c"(bytes)::"memory");
    return words * 8 + bytes;
}

static inline size_t copy_guest(uint64_t va, void *dst, const void *src, size_t len)
{
    size_t left;

    if (!guest_access_ok(va))
        return len;
    smap_open();
    left = copy_guarded(dst, src, len);
    smap_close();
    return left;
}

size_t arch_copy_from_guest(void *dst, uint64_t va, size_t len)
{
    return copy_guest(va, dst, (const void *)va, len);
}

size_t arch_copy_to_guest(uint64_t va, const void *src, size_t len)
{
    return copy_guest(va, (void *)va, src, len);
}

int arch_rdmsr_safe(uint32_t msr, uint64_t *value)
{
    uint32_t lo = 0, hi = 0;

    __asm__ goto("1: rdmsr" EX_TABLE("1b", "%l[fault]") : "=a"(lo), "=d"(hi) : "c"(msr)::fault);
    *value = (uint64_t)hi << 32 | lo;
    return 0;
fault:
    return -EFAULT;
}

void arch_set_tsc_aux(uint64_t value) { wrmsr(MSR_TSC_AUX, value); }

void arch_cache_flush(const void *p, size_t len)
{
    for (uint64_t a = (uint64_t)(uintptr_t)p & ~63ULL; a < (uint64_t)(uintptr_t)p + len; a += 64)
        __asm__ volatile("clflush (%0)" ::"r"(a) : "memory");
    __asm__ volatile("mfence" ::: "memory");
}

uint32_t arch_port_in(uint16_t port, unsigned int bytes)
{
    uint32_t v = 0;

    if (bytes == 1)
        __asm__ volatile("in %w1, %b0" : "+a"(v) : "d"(port));
    else if (bytes == 2)
        __asm__ volatile("in %w1, %w0" : "+a"(v) : "d"(port));
    else
        __asm__ volatile("in %w1, %0" : "=a"(v) : "d"(port));
    return v;
}

void arch_port_out(uint16_t port, unsigned int bytes, uint32_t value)
{
    if (bytes == 1)
        __asm__ volatile("out %b0, %w1" ::"a"(value), "d"(port));
    else if (bytes == 2)
        __asm__ volatile("out %w0, %w1" ::"a"(value), "d"(port));
    else
        __asm__ volatile("out %0, %w1" ::"a"(value), "d"(port));
}

void arch_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
    __asm__ volatile("cpuid"
                     : "=a"(out[0]), "=b"(out[1]), "=c"(out[2]), "=d"(out[3])
                     : "0"(leaf), "2"(subleaf));
}

void arch_idle(void)
{
    arch_irq_disable();
    if (atomic_load(&this_pcpu()->softirqs) == 0)
        __asm__ volatile("sti; hlt" ::: "memory"); /* STI takes effect one instruction later */
    arch_irq_enable();
}

/* ---- the end of the machine ---- */

void arch_halt_forever(void)
{
    arch_irq_disable();
    for (;;)
        __asm__ volatile("hlt");
}

static void pause_a_while(void)
{
    for (unsigned int i = 0; i < 1000000; i++)
        cpu_relax();
}

#define SLP_EN (1u << 13)

int arch_acpi_power_off(uint16_t pm1a_value, uint16_t pm1b_value)
{
    unsigned long flags = arch_irq_save();

    arch_cache_writeback(arch_cpus_online());
    if (acpi_info.pm1a_cnt_port)
        arch_port_out(acpi_info.pm1a_cnt_port, 2, pm1a_value | SLP_EN);
    if (acpi_info.pm1b_cnt_port)
        arch_port_out(acpi_info.pm1b_cnt_port, 2, pm1b_value | SLP_EN);
    pause_a_while();
    arch_irq_restore(flags);
    return -EIO;
}

void arch_reboot(void)
{
    const struct table_register none = { 0 };

    arch_irq_disable();
    arch_stop_other_cpus();
    if (acpi_info.reset_port)
        arch_port_out(acpi_info.reset_port, 1, acpi_info.reset_value);
    pause_a_while();
    arch_port_out(0x64, 1, 0xfe); /* the keyboard controller's reset line */
    pause_a_while();
    arch_port_out(0xcf9, 1, 0x06); /* the chipset's reset control */
    pause_a_while();
    __asm__ volatile("lidt %0; int3" ::"m"(none)); /* a triple fault */
    arch_halt_forever();
}

/* ---- for people ---- */

void arch_print_regs(const struct cpu_user_regs *r)
{
    print(LOG_ERR, "rip %04x:%016lx %pS\n", r->cs, r->rip, (void *)(uintptr_t)r->rip);
    print(LOG_ERR, "rsp %04x:%016lx rflags %08lx vector %u error %x\n", r->ss, r->rsp, r->rflags,
          r->entry_vector, r->error_code);
    print(LOG_ERR, "rax %016lx rbx %016lx rcx %016lx rdx %016lx\n", r->rax, r->rbx, r->rcx, r->rdx);
    print(LOG_ERR, "rsi %016lx rdi %016lx rbp %016lx r8  %016lx\n", r->rsi, r->rdi, r->rbp, r->r8);
    print(LOG_ERR, "r9  %016lx r10 %016lx r11 %016lx r12 %016lx\n", r->r9, r->r10, r->r11, r->r12);
    print(LOG_ERR, "r13 %016lx r14 %016lx r15 %016lx cr3 %016lx\n", r->r13, r->r14, r->r15,
          read_cr(3));
}

/* Frame pointers are kept everywhere; each word is read with a fix-up, as the stack may be broken. */
void arch_backtrace(const struct cpu_user_regs *regs)
{
    uint64_t rbp = regs ? regs->rbp : (uint64_t)(uintptr_t)__builtin_frame_address(0);
    uint64_t frame[2] = { 0 };

    print(LOG_ERR, "Backtrace:\n");
    if (regs)
        print(LOG_ERR, "   %pS\n", (void *)(uintptr_t)regs->rip);
    for (unsigned int i = 0; i < 24 && rbp >= HV_VIRT_START && rbp < HV_VIRT_END; i++) {
        if (copy_guarded(frame, (const void *)rbp, sizeof(frame)) || frame[1] < IMAGE_VIRT ||
            frame[0] <= rbp)
            return;
        print(LOG_ERR, "   %pS\n", (void *)(uintptr_t)frame[1]);
        rbp = frame[0];
    }
}
