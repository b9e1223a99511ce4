/* Basic types of the hypervisor. mfn_t and friends stay distinct in release builds as well. */
#pragma once
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint64_t v;
} mfn_t; /* checked: names a frame that exists */
typedef struct {
    uint64_t v;
} gfn_t; /* as received from a guest: unchecked */
typedef struct {
    uint64_t v;
} guest_va_t; /* a guest's virtual address: hostile */

static inline mfn_t _mfn(uint64_t v) { return (mfn_t){ v }; }
static inline uint64_t mfn_x(mfn_t m) { return m.v; }
static inline gfn_t _gfn(uint64_t v) { return (gfn_t){ v }; }
static inline uint64_t gfn_x(gfn_t g) { return g.v; }
static inline guest_va_t _gva(uint64_t v) { return (guest_va_t){ v }; }
static inline uint64_t gva_x(guest_va_t a) { return a.v; }

/* Address of the memory behind a guest handle of the public headers. */
#define GVA_OF(handle) _gva((uint64_t)(uintptr_t)(handle).p)

#define INVALID_MFN _mfn(~0ULL)

#define PAGE_SHIFT 12
#define PAGE_SIZE (1UL << PAGE_SHIFT)
#define PAGE_MASK (~(PAGE_SIZE - 1))

#define KIB(n) ((uint64_t)(n) << 10)
#define MIB(n) ((uint64_t)(n) << 20)
#define GIB(n) ((uint64_t)(n) << 30)

#define MICROSECS(us) ((uint64_t)(us)*1000ULL)
#define MILLISECS(ms) ((uint64_t)(ms)*1000000ULL)
#define SECONDS(s) ((uint64_t)(s)*1000000000ULL)

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define container_of(p, type, field) ((type *)((char *)(p)-offsetof(type, field)))
/* Each argument once, in the common type of both. */
#define PICK(a, op, b, x, y)                        \
    ({                                              \
        __typeof__(1 ? (a) : (b)) x = (a), y = (b); \
        x op y ? x : y;                             \
    })
#define MIN(a, b) PICK(a, <, b, min_a, min_b)
#define MAX(a, b) PICK(a, >, b, max_a, max_b)
#define ROUND_UP(x, n) (((x) + (n)-1) & ~((typeof(x))(n)-1)) /* n: a power of two */
#define DIV_ROUND_UP(x, n) (((x) + (n)-1) / (n))

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define noinline __attribute__((noinline))
#define hot_inline inline __attribute__((always_inline)) /* once for each constant argument */
#define noreturn __attribute__((noreturn))
#define printf_like(f, a) __attribute__((format(printf, f, a)))
#define READ_ONCE(x) (*(const volatile typeof(x) *)&(x))
#define WRITE_ONCE(x, v) (*(volatile typeof(x) *)&(x) = (v))
