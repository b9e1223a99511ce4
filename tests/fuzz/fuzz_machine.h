/* What targets share that run on a machine of the unit tests (tests/unit/..._guest.h): included once in each. */
#pragma once
#include <CUnit/Basic.h>

#include "fuzz.h"

/* The machine of the unit tests says so when it is used wrongly. */
CU_BOOL CU_assertImplementation(CU_BOOL value, unsigned int line, const char *condition,
                                const char *file, const char *function, CU_BOOL fatal)
{
    BUG_ON(!value);
    return value;
}

/* What is free is used again: to map and to unmap memory for each input takes longer than the input. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "quarantine_size_mb=2:malloc_context_size=8:allocator_release_to_os_interval_ms=-1";
}
