/* NMIs: registered, sent to oneself, not nested until iret, unregistered. */
#include "guest.h"

static volatile unsigned int nr_nmis, depth, max_depth;
static bool send_again;
static uint8_t saved_mask;
static bool mask_inside;

static void on_nmi(struct cpu_user_regs *regs)
{
    nr_nmis++;
    depth++;
    if (depth > max_depth)
        max_depth = depth;
    saved_mask = regs->saved_upcall_mask;
    mask_inside = vcpu_info(0)->evtchn_upcall_mask;
    if (send_again) {
        send_again = false;
        CHECK_EQ(hc(vcpu_op, VCPUOP_send_nmi, 0, 0), 0);
        CHECK_EQ(hc(xen_version, XENVER_version, 0), 4 << 16 | 17); /* blocked until our iret */
    }
    depth--;
}

static void send(void)
{
    CHECK_EQ(hc(vcpu_op, VCPUOP_send_nmi, 0, 0), 0);
    hc(xen_version, XENVER_version, 0);
}

void test_main(void)
{
    struct xennmi_callback cb = { .handler_address = (uint64_t)nmi_entry };
    struct callback_register reg = { .type = CALLBACKTYPE_nmi, .address = NONCANONICAL };
    struct callback_unregister unreg = { .type = CALLBACKTYPE_nmi };
    uint64_t here;

    trap_hooks[ENTRY_NMI] = on_nmi;
    CHECK_EQ(hc(vcpu_op, VCPUOP_send_nmi, 77, 0), -ENOENT);
    CHECK_EQ(hc(nmi_op, XENNMI_register_callback, &cb), 0);
    send();
    CHECK_EQ(nr_nmis, 1);
    CHECK_EQ(saved_mask, 1);
    CHECK(mask_inside);
    CHECK_EQ(vcpu_info(0)->evtchn_upcall_mask, 1);
    events_on();
    send();
    CHECK_EQ(nr_nmis, 2);
    CHECK_EQ(saved_mask, 0);
    CHECK(mask_inside); /* no events on top of an NMI */
    CHECK_EQ(vcpu_info(0)->evtchn_upcall_mask, 0);
    events_off();
    send_again = true;
    send();
    CHECK_EQ(nr_nmis, 4); /* the second right after the first one's iret */
    CHECK_EQ(max_depth, 1);
    CHECK_EQ(depth, 0);
    /* registers survive */
    __asm__ volatile(
        "mov $0x1234, %%r15\n mov %1, %%eax\n xor %%edx, %%edx\n mov %2, %%edi\n xor %%esi, %%esi\n syscall\n mov %%r15, %0"
        : "=r"(here)
        : "i"(__HYPERVISOR_vcpu_op), "i"(0)
        : "rax", "rcx", "r11", "rdx", "rdi", "rsi", "r15", "memory");
    CHECK_EQ(here, 0x1234);
    CHECK_EQ(hc(nmi_op, XENNMI_unregister_callback, 0), 0);
    CHECK_EQ(hc(callback_op, CALLBACKOP_register, &reg), -EINVAL);
    CHECK_EQ(register_callback(CALLBACKTYPE_nmi, nmi_entry, 0), 0);
    send();
    CHECK_EQ(nr_nmis, 5);
    CHECK_EQ(hc(callback_op, CALLBACKOP_unregister, &unreg), 0);
    CHECK_EQ(hc(nmi_op, 99, &cb), -ENOSYS);
    CHECK_EQ(hc(nmi_op, XENNMI_register_callback, 0x1000), -EFAULT);
    reg = (struct callback_register){ .type = 77, .address = (uint64_t)nmi_entry };
    CHECK_EQ(hc(callback_op, CALLBACKOP_register, &reg), -ENOSYS);
    unreg.type = CALLBACKTYPE_event; /* these three cannot be taken away */
    CHECK_EQ(hc(callback_op, CALLBACKOP_unregister, &unreg), -EINVAL);
    unreg.type = CALLBACKTYPE_failsafe;
    CHECK_EQ(hc(callback_op, CALLBACKOP_unregister, &unreg), -EINVAL);
    unreg.type = CALLBACKTYPE_syscall;
    CHECK_EQ(hc(callback_op, CALLBACKOP_unregister, &unreg), -EINVAL);
}
