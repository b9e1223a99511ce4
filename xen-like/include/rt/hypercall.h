/*
 * rt/hypercall.h: how a PV kernel asks the hypervisor for something.
 *
 * hc(NAME, ARGUMENTS...) issues __HYPERVISOR_NAME (see <xen/xen.h>) with up to five arguments and
 * returns what the hypervisor returned: 0 or more, or -errno in Xen's numbers, which are Linux's
 * (newlib's differ from 35 on: see xen_errno()). Usable in any context, from the first instruction on.
 *
 * The call goes through the hypercall page, which the hypervisor filled when it loaded the kernel.
 * An argument that is a structure is passed by its virtual address.
 */
#pragma once
#include <stdint.h>

#include <xen/xen.h>

extern char hypercall_page[];

static inline long hypercall5(uint64_t nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d,
                              uint64_t e)
{
    register uint64_t r10 __asm__("r10") = d;
    register uint64_t r8 __asm__("r8") = e;
    long rc;

    /* a call that is continued later may have changed the registers of its arguments */
    __asm__ volatile("call *%[entry]"
                     : "=a"(rc), "+D"(a), "+S"(b), "+d"(c), "+r"(r10), "+r"(r8)
                     : [entry] "0"(hypercall_page + nr * 32)
                     : "rcx", "r11", "memory");
    return rc;
}
#define HYPERCALL_(nr, a, b, c, d, e, ...) \
    hypercall5(nr, (uint64_t)(a), (uint64_t)(b), (uint64_t)(c), (uint64_t)(d), (uint64_t)(e))
#define hypercall(...) HYPERCALL_(__VA_ARGS__, 0, 0, 0, 0, 0, 0)
#define hc(name, ...) hypercall(__HYPERVISOR_##name, __VA_ARGS__)

/**
 * newlib's errno for what a hypercall returned.
 * @rc  what hc() returned, negative
 * Returns a number above 0 as <errno.h> has it; EIO for one that has no counterpart.
 */
int xen_errno(long rc);
