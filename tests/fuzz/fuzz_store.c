/*
 * xenstore/: the input is a sequence of requests of domain 0, two domains and a second client of domain
 * 0: each a byte for who and the transaction, one for the type, two for the length, and its payload. What
 * must hold of the store's state holds at the end, and of what a kill would leave.
 */
#include "fuzz.h"

#define REGION_BYTES (1u << 20) /* as small as can be */
#include "../unit/store_machine.h"

enum { REQUESTS_MAX = 64 };

/* A transaction's id that is likely to be one: they are given from 1 on. */
static uint32_t tx_of(unsigned int byte) { return byte / 4 % 8; }

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint32_t conns[] = { D0, 1, 2, D0 + 1 };
    struct fuzz_input in = { data, size };
    struct arena as_killed;

    machine_start();
    store_connect(store, D0 + 1, 0);
    introduce(1);
    introduce(2);
    ask(D0, XS_CONTROL, "quota|set|memory|8000|2|");
    for (int i = 0; i < REQUESTS_MAX && in.left; i++) {
        unsigned int who = (unsigned int)fuzz_take(&in, 1);
        uint32_t type = (uint32_t)fuzz_take(&in, 1);
        size_t len = MIN((size_t)fuzz_take(&in, 2) % (XENSTORE_PAYLOAD_MAX + 16), in.left);
        uint32_t conn = conns[who % 4];

        if ((conn == 1 || conn == 2) && !store_introduced(store, (domid_t)conn))
            conn = D0;
        ask_bytes(conn, type, tx_of(who), in.at, len);
        MUST(len > XENSTORE_PAYLOAD_MAX || answer_type != XS_INVALID);
        in.at += len;
        in.left -= len;
        events[0] = '\0';
    }
    audit();
    MUST(arena_open(&as_killed, region, REGION_BYTES));
    MUST(digest(&as_killed) == digest(&store->a));
    arena_close(&as_killed);
    machine_stop();
    return 0;
}
