/* must.h: what a benchmark's kernel cannot go on without. */
#pragma once
#include <rt/verdict.h>

/** A hypercall that has to succeed; else the verdict says where and what it answered. */
#define MUST(rc)                                                            \
    do {                                                                    \
        long rc_ = (rc);                                                    \
        if (rc_ < 0)                                                        \
            verdict_failure("line %d: %s answers %ld", __LINE__, #rc, rc_); \
    } while (0)
