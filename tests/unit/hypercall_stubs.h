/* What hypercall/ needs of other folders, for tests that link hypercall/ and memory/ alone. */
#pragma once
#include "fake.h"

#include <xen/sched.h>

#include "console/console.h"
#include "domain/domain.h"
#include "emulate/emulate.h"
#include "event/evtchn.h"
#include "grant/grant.h"
#include "hypercall/hypercall.h"
#include "irq/irq.h"
#include "lib/errno.h"
#include "memory/heap.h"
#include "paging/paging.h"
#include "sched/sched.h"
#include "sched/time.h"
#include "x86/acpi.h"
#include "x86/efi.h"
#include "x86/multiboot.h"
#include "x86/upcalls.h"

struct boot_info boot_info;
struct acpi_info acpi_info;
struct efi_info efi_info;

/* ---- hypercalls of other folders: their number comes back ---- */
#define STUB_HC(name, rc) \
    long name(uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e) { return rc; }
STUB_HC(hc_mmu_update, 1)
STUB_HC(hc_mmuext_op, 26)
STUB_HC(hc_update_va_mapping, 14)
STUB_HC(hc_update_va_mapping_otherdomain, 22)
STUB_HC(hc_console_io, 18)
STUB_HC(hc_event_channel_op, 32)
STUB_HC(hc_physdev_op, 33)
STUB_HC(hc_iret, 23)
STUB_HC(hc_grant_table_op, 20)

/* As x86/entry.S does it. */
static inline void hypercall_dispatch(struct cpu_user_regs *regs)
{
    long rc =
        (regs->rax < NR_HYPERCALLS ? hypercall_table[regs->rax]
                                   : hc_none)(regs->rdi, regs->rsi, regs->rdx, regs->r10, regs->r8);

    if (rc == -ERESTART && regs->rax != __HYPERVISOR_get_debugreg)
        regs->rip -= 2;
    else
        regs->rax = (uint64_t)rc;
}

/* ---- preemption: every n-th question is answered with yes ---- */
static unsigned int preempt_every, preempt_asked;
bool vcpu_has_events(const struct vcpu *v)
{
    return preempt_every && ++preempt_asked % preempt_every == 0;
}

/* ---- what was asked of other folders ---- */
static unsigned int nr_blocked, nr_yielded, nr_shutdowns, last_code;
static uint64_t last_timer, last_wallclock;
static int frames_rc; /* what the functions that take references on frames answer */
static struct vcpu *gdt_of, *ldt_of, *root_of, *user_root_of;

static char keys_run[32];

void debug_key_run(uint8_t key) { keys_run[strlen(keys_run)] = (char)key; }
void vcpu_block(void) { nr_blocked++; }
void vcpu_yield(void) { nr_yielded++; }
void vcpu_pause_set(struct vcpu *v, uint32_t f) { atomic_fetch_or(&v->pause_flags, f); }
void vcpu_pause_clear(struct vcpu *v, uint32_t f) { atomic_fetch_and(&v->pause_flags, ~f); }
void vcpu_runstate_get(struct vcpu *v, struct vcpu_runstate_info *out) { *out = v->runstate; }
void vcpu_runstate_update_area(struct vcpu *v) {}
void vcpu_time_update(struct vcpu *v) {}
void vcpu_set_timer(struct vcpu *v, uint64_t t) { last_timer = t; }
void wallclock_set(uint64_t s, uint32_t ns, uint64_t t) { last_wallclock = s; }
long evtchn_poll(guest_va_t arg) { return -EINVAL; }
int vcpu_info_register(struct vcpu *v, mfn_t m, uint32_t offset)
{
    return offset % 8 ? -EINVAL : 0;
}
static unsigned int grant_restarts; /* so often the table has to grow */
int grant_list_frames(struct domain *d, uint32_t first, uint32_t nr, guest_va_t to)
{
    if (grant_restarts && grant_restarts--)
        return -ERESTART;
    for (uint64_t i = 0, frame; i < nr; i++) {
        frame = 0x500 + first + i;
        if (copy_to_guest(gva_index(to, i, sizeof(frame)), &frame, sizeof(frame)))
            return -EFAULT;
    }
    return nr <= d->max_grant_frames && first <= d->max_grant_frames - nr ? 0 : -EINVAL;
}
bool page_get_writable(struct domain *d, mfn_t m) { return page_get(m, d); }
void page_put_writable(mfn_t m) { page_put(mfn_to_page(m)); }
int desc_update(struct domain *d, uint64_t maddr, uint64_t desc)
{
    return maddr % sizeof(desc) ? -EINVAL : frames_rc;
}
int guest_set_debugreg(struct vcpu *v, unsigned int n, uint64_t value)
{
    v->arch.dr[n] = value;
    return 0;
}
int vcpu_set_gdt(struct vcpu *v, const uint64_t *f, unsigned int n)
{
    gdt_of = f ? v : NULL;
    return 0;
}
int vcpu_set_ldt(struct vcpu *v, uint64_t va, unsigned int n)
{
    ldt_of = v;
    return 0;
}
void vcpu_drop_ldt(struct vcpu *v) { ldt_of = NULL; }
int vcpu_set_root(struct vcpu *v, mfn_t m, bool user)
{
    if (frames_rc)
        return frames_rc;
    *(user ? &user_root_of : &root_of) = v;
    return 0;
}
int arch_vcpu_set_context(struct vcpu *v, const struct vcpu_guest_context *c)
{
    return va_is_canonical(c->user_regs.rip) ? 0 : -EINVAL;
}
void console_drain(void) {}
int arch_acpi_power_off(uint16_t a, uint16_t b) { return -EIO; }
void domain_shutdown(struct domain *d, uint32_t code)
{
    nr_shutdowns++;
    last_code = code;
}
int domain_create(domid_t id, const struct xen_domctl_createdomain *c, struct domain **out)
{
    return -ENOMEM;
}

/* ---- sysctl, hypfs_op: the log, PCI, ports, CPUID ---- */
static const char *stub_log = ""; /* what was said since position stub_log_first */
static uint32_t stub_log_first, stub_log_cleared, stub_pci_bdf, stub_ports;
static uint32_t stub_cpuid[16][6]; /* leaf, subleaf, eax, ebx, ecx, edx; others are zero */

uint32_t console_log_begin(void) { return stub_log_cleared; }
void console_log_clear(uint32_t at) { stub_log_cleared = at; }
uint32_t console_log_read(uint32_t *at, char *buf, uint32_t size)
{
    uint32_t len = (uint32_t)strlen(stub_log), n;

    if (stub_log_first + len - *at > len)
        *at = stub_log_first;
    n = MIN(stub_log_first + len - *at, size);
    memcpy(buf, stub_log + (*at - stub_log_first), n);
    *at += n;
    return n;
}
bool pci_is_present(uint32_t segment, uint8_t bus, uint8_t devfn)
{
    return segment == 0 && ((uint32_t)bus << 8 | devfn) == stub_pci_bdf;
}
uint32_t evtchn_nr_ports(const struct domain *d) { return stub_ports; }
void arch_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
    memset(out, 0, 4 * sizeof(*out));
    for (unsigned int i = 0; i < ARRAY_SIZE(stub_cpuid); i++)
        if (stub_cpuid[i][0] == leaf && stub_cpuid[i][1] == subleaf) {
            memcpy(out, &stub_cpuid[i][2], 4 * sizeof(*out));
            return;
        }
}
int domain_kill(struct domain *d) { return 0; }
struct domain *domain_get_from(domid_t id)
{
    struct domain *d = domain_list;

    while (d && d->domain_id < id)
        d = d->next;
    if (d)
        domain_get(d);
    return d;
}
bool domain_is_dead(const struct domain *d) { return false; }
void domain_pause(struct domain *d) { d->pause_count++; }
void domain_unpause(struct domain *d) { d->pause_count--; }
void domain_resume(struct domain *d) {}
int domain_ranges_change(struct domain *d, struct ranges *s, uint64_t first, uint64_t last,
                         bool allow)
{
    return 0;
}
long domain_watchdog(struct domain *d, uint32_t id, uint32_t timeout_s) { return -ENOSPC; }
void domain_wallclock_update(struct domain *d) {}
int hypercall_page_put(struct domain *d, gfn_t g) { return 0; }
int sched_set_affinity(struct vcpu *v, uint64_t cpus, uint64_t preferred) { return 0; }
void sched_set_params(struct vcpu *v, uint16_t weight, uint32_t cap) {}
int vcpu_create(struct domain *d, uint32_t id) { return -ENOMEM; }
