/* The vCPUs: what each is told at its start, and what it then does. */
#include <stdlib.h>
#include <string.h>

#include <rt/event.h>
#include <rt/hypercall.h>
#include <rt/kernel.h>
#include <rt/memory.h>

#include <xen/vcpu.h>

#include "internal.h"

struct cpu cpus[MAX_CPUS];
static void (*start_fn[MAX_CPUS])(void *arg);
static void *start_arg[MAX_CPUS];

/* The first 32 vCPUs have their information in the shared page; more are not supported here. */
void cpu_init(struct cpu *c, unsigned int id)
{
    c->self = c;
    c->id = id;
    c->vcpu_info = &shared_info->vcpu_info[id];
}

static void on_ipi(unsigned int port, void *arg)
{
    (void)port; /* that the vCPU does not wait any longer is all */
    (void)arg;
}

/* Its events, once the vCPU is known to the hypervisor. */
void cpu_events_init(struct cpu *c)
{
    int port = event_bind_ipi(c->id, on_ipi, NULL);

    if (port < 0)
        panic("no IPI for vCPU %u: %d", c->id, port);
    c->ipi_port = (unsigned int)port;
    clock_cpu_init(c);
}

void kernel_start_secondary(struct cpu *c)
{
    for (;;) {
        events_restore(false);
        start_fn[c->id](start_arg[c->id]);
        __atomic_store_n(&c->online, false, __ATOMIC_SEQ_CST);
        hc(vcpu_op, VCPUOP_down, c->id, 0);
    }
}

/* All registers of a new vCPU, its trap table and callbacks: the same as vCPU 0's. */
static long initialise(struct cpu *c)
{
    struct vcpu_guest_context *ctx = calloc(1, sizeof(*ctx));
    char *stack = page_alloc(THREAD_STACK_BYTES / PAGE_BYTES);
    long rc;

    if (ctx == NULL || stack == NULL) {
        free(ctx);
        if (stack)
            page_free(stack, THREAD_STACK_BYTES / PAGE_BYTES);
        return -12; /* Xen's ENOMEM */
    }
    ctx->flags = VGCF_in_kernel;
    ctx->user_regs.rip = (uint64_t)start_secondary;
    ctx->user_regs.rdi = (uint64_t)c;
    ctx->user_regs.rsp = (uint64_t)stack + THREAD_STACK_BYTES;
    ctx->user_regs.cs = FLAT_KERNEL_CS;
    ctx->user_regs.ss = FLAT_KERNEL_SS;
    ctx->user_regs.rflags = 0x1000; /* IOPL 1, as the ABI has it for a kernel */
    ctx->kernel_ss = FLAT_KERNEL_SS;
    ctx->kernel_sp = ctx->user_regs.rsp;
    ctx->gs_base_kernel = (uint64_t)c;
    ctx->ctrlreg[0] = 0x80050033; /* PG WP NE ET MP PE */
    ctx->ctrlreg[3] = kernel_root_mfn << 12;
    ctx->event_callback_eip = (uint64_t)event_stub;
    ctx->failsafe_callback_eip = (uint64_t)failsafe_stub;
    ctx->syscall_callback_eip = (uint64_t)syscall_stub;
    trap_table_fill(ctx->trap_ctxt);
    rc = hc(vcpu_op, VCPUOP_initialise, c->id, ctx);
    free(ctx);
    if (rc)
        page_free(stack, THREAD_STACK_BYTES / PAGE_BYTES);
    return rc;
}

static long prepare(struct cpu *c)
{
    long rc;

    cpu_init(c, c->id);
    threads_cpu_init(c);
    if (c->idle == NULL)
        return -12;
    rc = initialise(c);
    if (rc == 0)
        cpu_events_init(c);
    else
        free(c->idle);
    return rc;
}

long cpu_run(unsigned int id, void (*fn)(void *arg), void *arg)
{
    struct cpu *c = &cpus[id];
    long rc;

    if (id == 0 || id >= MAX_CPUS || hc(vcpu_op, VCPUOP_is_up, id, 0) < 0)
        return -2;
    if (__atomic_load_n(&c->online, __ATOMIC_SEQ_CST))
        return -17;
    c->id = id;
    rc = c->self ? 0 : prepare(c);
    if (rc) {
        c->self = NULL;
        return rc;
    }
    while (hc(vcpu_op, VCPUOP_is_up, id, 0) > 0) /* on its way down */
        cpu_relax();
    start_fn[id] = fn;
    start_arg[id] = arg;
    __atomic_store_n(&c->online, true, __ATOMIC_SEQ_CST);
    return hc(vcpu_op, VCPUOP_up, id, 0);
}

static void run_threads(void *arg)
{
    (void)arg;
    cpu_idle();
}

unsigned int cpus_start(void)
{
    unsigned int n = 1;

    for (unsigned int id = 1; id < MAX_CPUS; id++)
        n += cpu_run(id, run_threads, NULL) == 0;
    return n;
}
