/* x86/efi.c: the input is where the system table is, 2 bytes, and memory from BASE on. */
#include "fuzz.h"

#include "x86/efi.h"

#define BASE 0x7fe10000u

static struct efi_info info;
static uint64_t table;

static const void *map(uint64_t maddr, size_t len) { return fuzz_map(maddr, len); }
static void parse(void) { efi_read(&info, table, map); }

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct efi_info none;
    struct fuzz_input in = { data, size };
    uint64_t at = fuzz_take(&in, 2);

    memset(&info, 0, sizeof(info));
    table = at ? BASE + at - 1 : 0;
    fuzz_memory(BASE, in.at, in.left);
    BUG_ON(!fuzz_accepted(parse)); /* it is left out, no reason to stop */
    BUG_ON(!info.is_efi && memcmp(&info, &none, sizeof(info)) != 0);
    BUG_ON(info.nr_config_tables > 256);
    BUG_ON((table != 0) != (info.is_efi || fake_printed[0]));
    fuzz_unmap_all();
    return 0;
}
