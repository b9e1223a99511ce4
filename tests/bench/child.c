#define __XEN_TOOLS__ 1 /* for domctl.h and sysctl.h */
#include "child.h"
#include "must.h"

#include <errno.h>
#include <string.h>

#include <rt/hypercall.h>
#include <rt/memory.h>
#include <rt/verdict.h>

#include <xen/domctl.h>
#include <xen/memory.h>
#include <xen/sched.h>
#include <xen/sysctl.h>
#include <xen/vcpu.h>

/* The child's pages, seen by it from VIRT_BASE on; behind them is shared_info. */
enum { CODE, L1, L2, L3, L4, STACK, DATA };
_Static_assert(DATA + 1 == CHILD_PAGES, "the last is DATA");

/*
 * Events are masked but for SCHEDOP_block, which is what an upcall comes out of, and no upcall goes back
 * there. rbx: struct child_data.
 */
extern char child_code[], child_upcall[], child_code_end[];
__asm__(
    ".pushsection .rodata\n"
    "child_code:\n"
    "    mov $0xffffffff80006000, %rbx\n"
    "    mov $0xffffffff80007000, %rbp\n" /* shared_info, which begins with vCPU 0's vcpu_info */
    "    mov $7, %edi\n"                  /* VCPUOP_stop_periodic_timer */
    "    xor %esi, %esi\n"
    "    xor %edx, %edx\n"
    "    mov $24, %eax\n" /* vcpu_op */
    "    syscall\n"
    "1:  cmpq $0, (%rbx)\n"
    "    jne 2f\n"
    "    mov $1, %edi\n" /* SCHEDOP_block */
    "    mov $29, %eax\n"
    "    syscall\n"
    "    jmp 1b\n"
    "2:  incq 24(%rbx)\n"
    "    xor %edi, %edi\n" /* SCHEDOP_yield */
    "    mov $29, %eax\n"
    "    syscall\n"
    "    jmp 1b\n"
    "child_upcall:\n"
    "    rdtsc\n"
    "    shl $32, %rdx\n"
    "    or %rdx, %rax\n"
    "    mov %rax, 8(%rbx)\n"
    "    movb $0, (%rbp)\n"
    "    movq $0, 8(%rbp)\n"
    "    mov 32(%rbx), %rdx\n"
    "    lock btr %rdx, 2048(%rbp)\n"
    "    incq 16(%rbx)\n"
    "    mov $0xffffffff80006000, %rsp\n"
    "    jmp 1b\n"
    "child_code_end:\n"
    ".popsection\n");

static struct xen_domctl op;

/* The arguments are in op.u. */
static long domctl(uint32_t cmd, domid_t id)
{
    op.cmd = cmd;
    op.interface_version = XEN_DOMCTL_INTERFACE_VERSION;
    op.domain = id;
    return hc(domctl, &op);
}

domid_t domain_make(xen_pfn_t *frames, unsigned int nr_pages)
{
    struct xen_memory_reservation r = { .nr_extents = nr_pages };

    memset(&op, 0, sizeof(op));
    op.u.createdomain.max_vcpus = 1;
    op.u.createdomain.max_evtchn_port = 1023; /* these three as xl has them */
    op.u.createdomain.max_grant_frames = 64;
    op.u.createdomain.max_maptrack_frames = 1024;
    op.u.createdomain.grant_opts = XEN_DOMCTL_GRANT_version(1);
    MUST(domctl(XEN_DOMCTL_createdomain, 0));
    r.domid = op.domain;
    op.u.max_vcpus.max = 1;
    MUST(domctl(XEN_DOMCTL_max_vcpus, r.domid));
    op.u.max_mem.max_memkb = nr_pages * PAGE_BYTES / 1024;
    MUST(domctl(XEN_DOMCTL_max_mem, r.domid));
    set_xen_guest_handle(r.extent_start, frames);
    if (hc(memory_op, XENMEM_populate_physmap, &r) != (long)nr_pages)
        verdict_failure("domain %u: no memory", r.domid);
    return r.domid;
}

void domain_end(domid_t id)
{
    MUST(domctl(XEN_DOMCTL_destroydomain, id));
    while (domctl(XEN_DOMCTL_getdomaininfo, id) == 0 && op.domain == id)
        hc(sched_op, SCHEDOP_yield);
}

static uint64_t shared_info_of(domid_t id)
{
    MUST(domctl(XEN_DOMCTL_getdomaininfo, id));
    return op.u.getdomaininfo.shared_info_frame;
}

static void build(const struct child *c)
{
    uint64_t(*page)[PAGE_BYTES / 8] = frames_map(c->id, c->frames, CHILD_PAGES, PROT_KERNEL_RW);
    struct mmuext_op pin = { .cmd = MMUEXT_PIN_L4_TABLE, .arg1.mfn = c->frames[L4] };

    if (page == NULL)
        verdict_failure("frames of domain %u: errno %d", c->id, errno);
    memset(page, 0, CHILD_PAGES * PAGE_BYTES);
    memcpy(page[CODE], child_code, (size_t)(child_code_end - child_code));
    for (unsigned int p = CODE; p <= DATA; p++)
        page[L1][p] =
            c->frames[p] * PAGE_BYTES | (p >= L1 && p <= L4 ? PROT_KERNEL_RO : PROT_KERNEL_RW);
    page[L1][DATA + 1] = shared_info_of(c->id) * PAGE_BYTES | PROT_KERNEL_RW;
    page[L2][VIRT_BASE >> 21 & 511] = c->frames[L1] * PAGE_BYTES | PROT_KERNEL_RW;
    page[L3][VIRT_BASE >> 30 & 511] = c->frames[L2] * PAGE_BYTES | PROT_KERNEL_RW;
    page[L4][VIRT_BASE >> 39 & 511] = c->frames[L3] * PAGE_BYTES | PROT_KERNEL_RW;
    frames_unmap(page, CHILD_PAGES);
    MUST(hc(mmuext_op, &pin, 1, 0, c->id));
}

static void set_context(const struct child *c)
{
    static struct vcpu_guest_context context;

    memset(&context, 0, sizeof(context));
    context.flags = VGCF_in_kernel | VGCF_online;
    context.user_regs.rip = VIRT_BASE;
    context.user_regs.rsp = VIRT_BASE + (STACK + 1) * PAGE_BYTES;
    context.user_regs.cs = FLAT_KERNEL_CS;
    context.user_regs.ss = FLAT_KERNEL_SS;
    context.user_regs.rflags = 0x200;
    context.kernel_ss = FLAT_KERNEL_SS;
    context.kernel_sp = context.user_regs.rsp;
    context.event_callback_eip = VIRT_BASE + (uint64_t)(child_upcall - child_code);
    context.ctrlreg[3] = c->frames[L4] * PAGE_BYTES;
    op.u.vcpucontext.vcpu = 0;
    set_xen_guest_handle_raw(op.u.vcpucontext.ctxt, (void *)&context);
    MUST(domctl(XEN_DOMCTL_setvcpucontext, c->id));
}

void child_start(struct child *c)
{
    struct evtchn_alloc_unbound unbound = { .remote_dom = 0 };
    struct evtchn_bind_interdomain bind;

    for (unsigned int i = 0; i < CHILD_PAGES; i++)
        c->frames[i] = i;
    c->id = domain_make(c->frames, CHILD_PAGES);
    build(c);
    set_context(c);
    memset(&op, 0, sizeof(op));
    op.u.tsc_info.tsc_mode = 2; /* RDTSC is not emulated */
    MUST(domctl(XEN_DOMCTL_settscinfo, c->id));
    unbound.dom = c->id;
    MUST(hc(event_channel_op, EVTCHNOP_alloc_unbound, &unbound));
    bind = (struct evtchn_bind_interdomain){ .remote_dom = c->id, .remote_port = unbound.port };
    MUST(hc(event_channel_op, EVTCHNOP_bind_interdomain, &bind));
    c->port = bind.local_port;
    c->data = frames_map(c->id, &c->frames[DATA], 1, PROT_KERNEL_RW);
    if (c->data == NULL)
        verdict_failure("a frame of domain %u: errno %d", c->id, errno);
    c->data->port = unbound.port;
    MUST(domctl(XEN_DOMCTL_unpausedomain, c->id));
}

void child_end(struct child *c)
{
    struct evtchn_close close = { .port = c->port };

    frames_unmap(c->data, 1);
    MUST(hc(event_channel_op, EVTCHNOP_close, &close));
    domain_end(c->id);
}

uint64_t free_pages(void)
{
    static struct xen_sysctl sysctl = { .cmd = XEN_SYSCTL_physinfo,
                                        .interface_version = XEN_SYSCTL_INTERFACE_VERSION };

    MUST(hc(sysctl, &sysctl));
    return sysctl.u.physinfo.free_pages;
}
