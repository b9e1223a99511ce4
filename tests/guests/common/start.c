/* From the first instruction in C to test_main(), and the same for further vCPUs. */
#include "guest.h"

struct start_info *start_info;
/* and a page behind it that fuzz.c takes away: what runs over there writes into nothing of ours */
static char shared_info_page[2 * PAGE_SIZE] __attribute__((aligned(4096)));
struct shared_info *shared_info = (void *)shared_info_page;

bool has_word(const char *line, const char *word)
{
    for (; *line; line++) {
        const char *a = line, *b = word;

        for (; *b && *a == *b; a++)
            b++;
        if (*b == '\0' && (*a == '\0' || *a == ' '))
            return true;
    }
    return false;
}

void guest_start(struct start_info *si);
void guest_start_secondary(void (*fn)(void));
void mm_init(void);
void report_checks(void);

/* Beside domain 0 we begin when it has bound our port for the store: else it would miss our end. */
static void await_witness(void)
{
    struct evtchn_status s = { .dom = DOMID_SELF, .port = start_info->store_evtchn };
    uint64_t end = now_ns(0) + PATIENCE_NS;

    while (hc(event_channel_op, EVTCHNOP_status, &s) == 0 && s.status != EVTCHNSTAT_interdomain &&
           now_ns(0) < end)
        hc(sched_op, SCHEDOP_yield, 0);
}

void guest_start(struct start_info *si)
{
    start_info = si;
    mm_init();
    if (update_va(shared_info_page, si->shared_info | PTE_FLAGS, UVMF_INVLPG))
        error("cannot map shared_info");
    traps_init();
    hc(vcpu_op, VCPUOP_stop_periodic_timer, 0,
       0); /* Xen starts with a tick of 10 ms, ours never has one */
    if (!is_dom0())
        await_witness();
    print("%s: start\n", guest_name);
    test_main();
    report_checks();
}

void guest_start_secondary(void (*fn)(void))
{
    fn();
    for (;;)
        hc(sched_op, SCHEDOP_block, 0);
}

void secondary_context(struct vcpu_guest_context *ctx, void (*fn)(void), void *stack_page)
{
    memset(ctx, 0, sizeof(*ctx));
    ctx->flags = VGCF_in_kernel;
    ctx->user_regs.rip = (uint64_t)start_secondary;
    ctx->user_regs.rdi = (uint64_t)fn;
    ctx->user_regs.rsp = (uint64_t)stack_page + PAGE_SIZE;
    ctx->user_regs.cs = FLAT_KERNEL_CS;
    ctx->user_regs.ss = FLAT_KERNEL_SS;
    ctx->user_regs.rflags = 0x1000;
    ctx->kernel_ss = FLAT_KERNEL_SS;
    ctx->kernel_sp = ctx->user_regs.rsp;
    ctx->ctrlreg[0] = 0x80050033;
    ctx->ctrlreg[3] = virt_to_maddr(kernel_root);
    ctx->event_callback_eip = (uint64_t)event_entry;
    ctx->failsafe_callback_eip = (uint64_t)failsafe_entry;
    ctx->syscall_callback_eip = (uint64_t)syscall_entry;
    for (unsigned int v = 0; v < 32; v++)
        ctx->trap_ctxt[v] =
            (struct trap_info){ v, 0, FLAT_KERNEL_CS, (uint64_t)trap_stubs + v * 32 };
}

long vcpu_start(unsigned int vcpu, void (*fn)(void))
{
    static struct vcpu_guest_context ctx;
    long rc;

    secondary_context(&ctx, fn, page_alloc());
    rc = hc(vcpu_op, VCPUOP_initialise, vcpu, &ctx);
    return rc ? rc : hc(vcpu_op, VCPUOP_up, vcpu, 0);
}
