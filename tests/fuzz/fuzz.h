/*
 * What the fuzz targets share: libFuzzer calls LLVMFuzzerTestOneInput() with one input after the
 * other. A sanitizer's report, BUG_ON, ASSERT or a signal is a finding; an answer is none.
 */
#pragma once
#include <stdlib.h>
#include <string.h>

#include "fake.h"
#include "lib/lib.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What we were given at boot may be refused by panic() with a message. False: it was. */
bool fuzz_accepted(void (*parse)(void));

/**
 * Copies of pieces of [from, from + len), which lies at machine address base: for a boot parser's
 * mapping. Each is exact, for ASan, and aligned as its address is; all go with fuzz_unmap_all().
 */
void fuzz_memory(uint64_t base, const uint8_t *from, size_t len);
void *fuzz_map(uint64_t maddr, size_t len);
void fuzz_unmap_all(void);

/* The input as it is consumed; 0 behind its end. */
struct fuzz_input {
    const uint8_t *at;
    size_t left;
};
static inline uint64_t fuzz_take(struct fuzz_input *in, size_t bytes)
{
    size_t n = MIN(bytes, in->left);
    uint64_t value = 0;

    memcpy(&value, in->at, n);
    in->at += n;
    in->left -= n;
    return value;
}
