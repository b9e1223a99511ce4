/*
 * Every MSR number there may be, read and written: one that the machine does not have must not fault
 * in ring 0 (XSA-333: MISC_ENABLE on AMD), nothing may be written through (XSA-269: branch records of
 * DEBUGCTL), and energy counters tell neighbours' secrets (XSA-351).
 */
#include "guest.h"

#define MSR_DEBUGCTL 0x1d9
enum { MSR_HYPERCALL_PAGE = 0x40000000, MSR_FS_BASE = 0xc0000100, MSR_GS_USER = 0xc0000102 };

static bool rdmsr_ok(uint32_t msr, uint64_t *v)
{
    uint32_t lo = 0, hi = 0;

    TRY("rdmsr", : "+a"(lo), "+d"(hi) : "c"(msr) : "memory");
    *v = (uint64_t)hi << 32 | lo;
    return trapped(-1);
}

static bool wrmsr_ok(uint32_t msr, uint64_t v)
{
    TRY("wrmsr", : : "a"((uint32_t)v), "d"((uint32_t)(v >> 32)), "c"(msr) : "memory");
    return trapped(-1);
}

/* Those with a meaning of their own: the guest's segment bases, the frame for hypercall stubs. */
static bool is_guests(uint32_t msr)
{
    return (msr >= MSR_FS_BASE && msr <= MSR_GS_USER) || msr == MSR_HYPERCALL_PAGE;
}

static unsigned int nr_readable, nr_took;

static void sweep(uint32_t first, uint32_t last)
{
    for (uint32_t msr = first; msr <= last; msr++) {
        uint64_t before, after;
        bool readable = rdmsr_ok(msr, &before);

        nr_readable += readable;
        if (is_guests(msr))
            continue;
        if (!readable) { /* as the machine may still have it, in small steps from "nothing set" */
            nr_took += wrmsr_ok(msr, 0);
            continue;
        }
        if (wrmsr_ok(msr, before ^ 1) && rdmsr_ok(msr, &after) && after == (before ^ 1)) {
            print("xsa_333: MSR 0x%x took 0x%lx\n", msr, after);
            nr_took += msr != 0xc0000103; /* TSC_AUX is the vCPU's own */
            wrmsr_ok(msr, before);
        }
        if (wrmsr_ok(msr, ~before) && rdmsr_ok(msr, &after) && after == ~before) {
            print("xsa_333: MSR 0x%x took 0x%lx\n", msr, after);
            nr_took++;
            wrmsr_ok(msr, before);
        }
    }
}

static void everything(void)
{
    sweep(0, 0xfff);
    sweep(0x40000000, 0x4000003f);
    sweep(0xc0000000, 0xc00001ff);
    sweep(0xc0010000, 0xc00103ff);
    sweep(0xc0011000, 0xc00110ff);
    sweep(0xfffffff0, 0xfffffffe);
    print("xsa_333: %u can be read\n", nr_readable);
    CHECK(nr_readable > 5 && nr_readable < 400);
    attack("msr.writes-that-took", nr_took, 0);
}

static void branch_records(void)
{
    unsigned int took = 0;
    uint64_t v = 0;

    for (unsigned int bit = 0; bit < 15; bit++) {
        wrmsr_ok(MSR_DEBUGCTL, 1u << bit);
        if (rdmsr_ok(MSR_DEBUGCTL, &v))
            took += (v >> bit & 1);
    }
    attack("debugctl.bits", took, 0);
    /* with a BTF that took, this would not trap at each instruction */
    TRY0("pushfq\n orl $0x100, (%%rsp)\n popfq\n nop\n nop");
    CHECK(trapped(TRAP_DB));
}

static void energy(void)
{
    static const uint32_t msrs[] = { 0x601,      0x606,      0x610,     0x611,      0x613,
                                     0x614,      0x618,      0x619,     0x61b,      0x61c,
                                     0x638,      0x639,      0x63a,     0x63b,      0x640,
                                     0x641,      0x642,      0x64d,     0x64f,      0x65c,
                                     0x198,      0xe7,       0xe8,      0xc0010299, 0xc001029a,
                                     0xc001029b, 0xc00000e7, 0xc00000e8 };
    unsigned int readable = 0;
    uint64_t v;

    for (unsigned int i = 0; i < ARRAY_SIZE(msrs); i++)
        readable += rdmsr_ok(msrs[i], &v);
    attack("msr.energy-and-frequency", readable, 0);
}

void test_main(void)
{
    uint64_t v;

    attacks_begin();
    everything();
    branch_records();
    energy();
    print("xsa_333: MISC_ENABLE: %d\n", rdmsr_ok(0x1a0, &v));
    CHECK_EQ(hc(xen_version, XENVER_version, 0), 4 << 16 | 17); /* SYSCALL goes where it went */
    witness_check();
}
