/* Copying between the hypervisor and the current guest. The only ways in and out (rules 3 and 14). */
#pragma once
#include "x86/arch.h"

/** 0, or -EFAULT (the destination may be partly written). Hold no spinlock. */
static inline int copy_from_guest(void *dst, guest_va_t src, size_t len)
{
    size_t left = __builtin_constant_p(len) && arch_copy_is_small(len)
                      ? arch_copy_small_from_guest(dst, gva_x(src), len)
                      : arch_copy_from_guest(dst, gva_x(src), len);

    return left ? -14 /* -EFAULT */ : 0;
}
/** The same with n words, which is quicker where n is not constant. */
static inline int copy_words_from_guest(uint64_t *dst, guest_va_t src, size_t n)
{
    return arch_copy_words_from_guest(dst, gva_x(src), n) ? -14 /* -EFAULT */ : 0;
}
static inline int copy_to_guest(guest_va_t dst, const void *src, size_t len)
{
    size_t left = __builtin_constant_p(len) && arch_copy_is_small(len)
                      ? arch_copy_small_to_guest(gva_x(dst), src, len)
                      : arch_copy_to_guest(gva_x(dst), src, len);

    return left ? -14 /* -EFAULT */ : 0;
}
/** The address of element i of a guest's array; may wrap: to another address of the guest's. */
static inline guest_va_t gva_index(guest_va_t base, uint64_t i, size_t size)
{
    return _gva(gva_x(base) + i * size);
}
