/* platform.h on the runtime: what all homes do, on several vCPUs; the same source as on Linux. */
#include "../../platform/conformance.c"

#include <rt/cpu.h>
#include <rt/verdict.h>

int main(void)
{
    struct plat_stream *console;

    printf("%u vCPUs\n", cpus_start());
    CHECK_EQ(conformance("/tmp"), 0);
    console = plat_console();
    CHECK(console != NULL);
    CHECK(plat_console() == NULL && errno == EBUSY);
    CHECK_EQ(plat_write(console, "written to the console\n", 23), 23);
    plat_close(console);
    return verdict();
}
