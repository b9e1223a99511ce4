/*
 * What comes back of a hypercall is the answer and nothing else: no bytes of the hypervisor's stack
 * behind short strings or in padding (XSA-122), nothing written beyond the structure. The stack is
 * first filled with a pattern by a hypercall that copies much and then refuses.
 */
#include "guest.h"

#define PATTERN 0x5ac35ac35ac35ac3UL
#define FILL 0xee

static uint8_t out[PAGE_SIZE] __attribute__((aligned(16)));

/* 512 bytes of SCHEDOP_poll's ports, and the registers that the handlers spill. */
static void poison_stack(void)
{
    static evtchn_port_t ports[128];
    struct sched_poll poll = { .nr_ports = ARRAY_SIZE(ports) };

    memset(ports, 0, sizeof(ports));
    for (unsigned int i = 0; i < ARRAY_SIZE(ports); i++)
        ports[i] = (evtchn_port_t)PATTERN; /* no such port */
    set_xen_guest_handle(poll.ports, ports);
    CHECK_EQ(hc(sched_op, SCHEDOP_poll, &poll), -EINVAL);
    hypercall(63, PATTERN, PATTERN, PATTERN, PATTERN, PATTERN);
}

/* Bytes of the pattern in a row, at any place, are no accident. */
static unsigned int leaked(size_t len_bytes)
{
    unsigned int n = 0;

    for (size_t i = 0; i + 4 <= len_bytes; i++)
        n += memcmp(out + i, &(uint32_t){ (uint32_t)PATTERN }, 4) == 0;
    return n;
}

static unsigned int touched_beyond(size_t len_bytes)
{
    unsigned int n = 0;

    for (size_t i = len_bytes; i < sizeof(out); i++)
        n += out[i] != FILL;
    return n;
}

/* Behind the first NUL of each of the strings of str_bytes there is nothing. */
static unsigned int behind_strings(size_t len_bytes, size_t str_bytes)
{
    unsigned int n = 0;

    for (size_t at = 0; at + str_bytes <= len_bytes; at += str_bytes) {
        size_t i = 0;

        while (i < str_bytes && out[at + i])
            i++;
        for (; i < str_bytes; i++)
            n += out[at + i] != 0;
    }
    return n;
}

static void versions(void)
{
    static const struct {
        unsigned int cmd;
        size_t bytes, str_bytes;
    } ops[] = {
        { XENVER_extraversion, 16, 16 },      { XENVER_compile_info, 144, 0 },
        { XENVER_capabilities, 1024, 1024 },  { XENVER_changeset, 64, 64 },
        { XENVER_platform_parameters, 8, 0 }, { XENVER_guest_handle, 16, 0 },
        { XENVER_commandline, 1024, 1024 },
    };
    unsigned int leaks = 0, beyond = 0, behind = 0;

    for (unsigned int i = 0; i < ARRAY_SIZE(ops); i++) {
        poison_stack();
        memset(out, FILL, sizeof(out));
        if (ops[i].cmd == XENVER_commandline && !is_dom0()) {
            CHECK_EQ(hc(xen_version, ops[i].cmd, out), -EPERM);
            continue;
        }
        CHECK_EQ(hc(xen_version, ops[i].cmd, out), 0);
        leaks += leaked(ops[i].bytes);
        beyond += touched_beyond(ops[i].bytes);
        behind += ops[i].str_bytes ? behind_strings(ops[i].bytes, ops[i].str_bytes) : 0;
        if (ops[i].cmd == XENVER_compile_info) { /* strings of 64, 16, 32, 32 bytes */
            behind += behind_strings(64, 64);
            memcpy(out, out + 64, 80);
            behind += behind_strings(16, 16);
            memcpy(out, out + 16, 64);
            behind += behind_strings(64, 32);
        }
    }
    attack("version.stack", leaks, 0);
    attack("version.beyond", beyond, 0);
    attack("version.behind-strings", behind, 0);
}

/* Structures with OUT fields and padding; unions larger than the sub-operation's part. */
static void structures(void)
{
    struct evtchn_status *status = (void *)out;
    struct physdev_irq_status_query *query = (void *)out;
    struct physdev_map_pirq *map = (void *)out;
    unsigned int leaks = 0, beyond = 0;

    poison_stack();
    memset(out, FILL, sizeof(out));
    CHECK_EQ(hc(vcpu_op, VCPUOP_get_runstate_info, 0, out), 0);
    leaks += leaked(sizeof(struct vcpu_runstate_info));
    beyond += touched_beyond(sizeof(struct vcpu_runstate_info));
    for (evtchn_port_t port = 0; port < 8; port++) {
        poison_stack();
        memset(out, FILL, sizeof(out));
        *status = (struct evtchn_status){ .dom = DOMID_SELF, .port = port };
        hc(event_channel_op, EVTCHNOP_status, status);
        leaks += leaked(sizeof(*status));
        beyond += touched_beyond(sizeof(*status));
    }
    poison_stack();
    memset(out, FILL, sizeof(out));
    query->irq = 1;
    hc(physdev_op, PHYSDEVOP_irq_status_query, query);
    leaks += leaked(sizeof(*query));
    beyond += touched_beyond(sizeof(*query));
    poison_stack();
    memset(out, FILL, sizeof(out));
    *map = (struct physdev_map_pirq){
        .domid = DOMID_SELF, .type = MAP_PIRQ_TYPE_GSI, .index = 9, .pirq = 9
    };
    hc(physdev_op, PHYSDEVOP_map_pirq, map);
    leaks += leaked(sizeof(*map));
    beyond += touched_beyond(sizeof(*map));
    attack("structures.stack", leaks, 0);
    attack("structures.beyond", beyond, 0);
}

/* What the hypervisor loads on its own: registers at a trap are the guest's, and the frame's padding
 * is not the hypervisor's either. */
static void frames(void)
{
    unsigned int leaks = 0;

    for (unsigned int i = 0; i < 3; i++) {
        poison_stack();
        if (i == 0)
            TRY0("int3");
        else if (i == 1)
            TRY0("ud2");
        else
            TRY0("movb $0, 0x1234");
        memset(out, FILL, sizeof(out));
        memcpy(out, &last_trap.regs.rip, 40); /* rip cs flags rsp ss, with what is beside cs */
        leaks += leaked(40);
        CHECK_EQ(last_trap.regs.ss >> 16, 0);
    }
    attack("frames.stack", leaks, 0);
}

void test_main(void)
{
    attacks_begin();
    versions();
    structures();
    frames();
    witness_check();
}
