/* What the tests of the store's requests share: a request, and what is to come of it. */
#pragma once
#include <CUnit/Basic.h>

#include "store_machine.h"

#define IS(conn, type, text, want) CU_ASSERT_STRING_EQUAL(ask(conn, type, text), want)
#define IS_IN(conn, type, tx, text, want) CU_ASSERT_STRING_EQUAL(ask_in(conn, type, tx, text), want)
#define EVENTS(want)                          \
    do {                                      \
        CU_ASSERT_STRING_EQUAL(events, want); \
        events[0] = '\0';                     \
    } while (0)

static void start(void) { machine_start(); }
static void stop(void)
{
    audit();
    machine_stop();
}
