/* xl why on the machine in memory. */
#include <CUnit/Basic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xen/grant_table.h>
#include <xen/io/console.h>
#include <xen/io/xs_wire.h>
#include <xen/sched.h>
#include <xenstore.h>

#include "toolstack_answers.h"
#include "toolstack_machine.h"
#include "xl_machine.h"

static void node(const char *leaf, const char *value)
{
    char path[96];

    snprintf(path, sizeof(path), "/local/domain/%u/%s", the_one(), leaf);
    CU_ASSERT_TRUE(xs_write(x.tools.store, XBT_NULL, path, value, (unsigned int)strlen(value)));
}

/* A line, or part of it; "%" is the domain's number. */
static void says(const char *text)
{
    char want[512];

    fill_in(want, text);
    CU_ASSERT_PTR_NOT_NULL(strstr(x.out.bytes, want));
    if (strstr(x.out.bytes, want) == NULL)
        printf("not there: %s\n%s", want, x.out.bytes);
}

static void is_silent_of(const char *text) { CU_ASSERT_PTR_NULL(strstr(x.out.bytes, text)); }

/* With its frame of that name, a ring. */
static void *ring(const char *leaf)
{
    char path[96];

    snprintf(path, sizeof(path), "/local/domain/%u/%s", the_one(), leaf);
    return machine_frame(strtoull(machine_node(path)->value, NULL, 10));
}

static void begin(void)
{
    start(NULL);
    machine_has_hypfs = true;
    CU_ASSERT_EQUAL(xl("create -q guest.cfg"), 0);
}

static void test_paused(void)
{
    begin();
    CU_ASSERT_EQUAL(xl("pause web"), 0);
    CU_ASSERT_EQUAL(xl("why web"), 0);
    says("web (%): paused\n  It is paused: xl unpause lets it run.\n");
    says("vCPU 0: runnable, CPU 1; ports 1 4 6 7\nvCPU 1: offline\n");
    says("port 1: interdomain, domain 0 port 77: store\nport 2: unbound, for domain 0: console\n");
    says("port 4: virq 0: timer\nport 5: ipi\nport 6: pirq 9\nport 7: virq 23\n");
    says("memory: 8192 KiB of at most 8192, 0 more are claimed\n");
    says("grants: a table of 1 frames, of at most 32\n");
    says("store: serves it\nstore: 0 bytes from the domain, 0 to it wait in the ring\n");
    says("store: nodes 5 of 1000\nstore: memory 7 of 9\n");
    says("  The store has refused it something 2 times: nodes, 5 of 1000.\n");
    is_silent_of("memory, 7 of 9");
    is_silent_of("wait for events");
    end();
}

static void test_blocked(void)
{
    begin();
    machine[the_one()].flags = XEN_DOMINF_blocked;
    node("control/shutdown", "poweroff");
    node("memory/target", "4096");
    CU_ASSERT_EQUAL(xl("why %"), 0);
    says("web (%): blocked\n");
    says("  It was asked for poweroff, and has not taken that up.\n");
    says("  All its vCPUs wait for events.\n");
    says("  It has 8 MiB, and is to have 4 MiB.\n");
    says("vCPU 0: blocked, CPU 1");
    end();
}

static void test_ended(void)
{
    begin();
    machine[the_one()].flags = XEN_DOMINF_shutdown | SHUTDOWN_crash << XEN_DOMINF_shutdownshift;
    CU_ASSERT_EQUAL(xl("why web"), 0);
    says("web (%): shutdown\n  It has ended by crash (3), and nobody has destroyed it.\n");
    is_silent_of("have no CPU");
    end();
}

static void test_dying(void)
{
    begin();
    machine[the_one()].flags = XEN_DOMINF_dying;
    CU_ASSERT_EQUAL(xl("why web"), 0);
    says("web (%): dying\n  It is destroyed, but held: 3 frames, 1 ports, 2 references are left; "
         "its memory is mapped by d0: 3.\n");
    machine_has_hypfs = false;
    CU_ASSERT_EQUAL(xl("why web"), 0);
    says(
        "  It is destroyed, but held: 2048 frames are left. By whom the hypervisor does not say.\n");
    machine[the_one()].flags = 0;
    end();
}

static void test_peers(void)
{
    volatile grant_entry_v1_t *table;

    begin();
    table = machine_frame(machine[the_one()].grants_mfn);
    for (unsigned int i = 20; i < 100; i++) {
        table[i].domid = i < 30 ? 5 : (domid_t)i; /* more of them than there is room for */
        table[i].flags = GTF_permit_access | (i < 29 ? GTF_reading | GTF_writing : 0);
    }
    table[50].flags = GTF_permit_access | GTF_reading;
    CU_ASSERT_EQUAL(xl("why web"), 0);
    says("grants: domain 5 uses 9\ngrants: domain 50 uses 1\n");
    for (unsigned int i = 30; i < 100; i++)
        table[i].flags = GTF_permit_access | GTF_reading;
    CU_ASSERT_EQUAL(xl("why web"), 0);
    says("grants: domain 30 uses 1\n");
    is_silent_of("grants: domain 99");
    end();
}

static void test_devices(void)
{
    begin();
    node("device/vif/0/state", "4");
    node("device/vif/0/backend", "/local/domain/0/backend/vif/9/0");
    CU_ASSERT_TRUE(xs_write(x.tools.store, XBT_NULL, "/local/domain/0/backend/vif/9/0/state", "4",
                            1));
    node("device/vbd/1/state", "3");
    node("device/vbd/1/backend", "/nowhere");
    node("device/vbd/3/state", "4");
    node("device/vbd/3/backend", "/local/domain/0/backend/vbd/9/3");
    CU_ASSERT_TRUE(xs_write(x.tools.store, XBT_NULL, "/local/domain/0/backend/vbd/9/3/state", "5",
                            1));
    node("device/vbd/2/state", "9\033");
    node("device/vbd/2/backend", "/local/domain/70000/x");
    CU_ASSERT_EQUAL(xl("why web"), 0);
    says("device vif/0: Connected, backend Connected in domain 0\n");
    is_silent_of("Device vif/0");
    says("  Device vbd/1 is not connected: it is Initialised, its backend not known.\n");
    says("  Device vbd/3 is to be detached, and the domain does not let it go: it is Connected.\n");
    is_silent_of("vbd/2");
    is_silent_of("device suspend");
    end();
}

/* What a guest writes is not to be believed, nor to be shown as it is. */
static void test_hostile(void)
{
    struct xenstore_domain_interface *s;
    struct xencons_interface *c;

    begin();
    node("console/tty", "/dev/pts/1\033[2J");
    node("control/shutdown", "a-word-that-is-much-too-long\n");
    s = ring("store/ring-ref");
    s->req_prod = 5000;
    c = ring("console/ring-ref");
    c->out_prod = 100;
    c->out_cons = ~0u - 10;
    c->in_prod = 7;
    CU_ASSERT_EQUAL(xl("why web"), 0);
    is_silent_of("\033");
    says("console: /dev/pts/1?[2J\n");
    says("asked for a-word-that-is-,");
    says("  Its ring of the store has impossible indices: it is not served.\n");
    says("  The console has not taken 111 bytes of it.\n");
    says("  It has not taken 7 bytes of the console.\n");
    end();
}

static void test_json(void)
{
    begin();
    machine[the_one()].flags = XEN_DOMINF_blocked;
    node("device/vif/0/state", "2");
    CU_ASSERT_EQUAL(xl("why --json web"), 0);
    says(
        "{\n    \"name\": \"web\",\n    \"id\": %,\n    \"state\": \"blocked\",\n    \"reasons\": [\n");
    says(
        "            \"code\": \"blocked\",\n            \"text\": \"All its vCPUs wait for events.\"\n");
    says(
        "            \"port\": 1,\n            \"kind\": \"interdomain\",\n            \"vcpu\": 0,\n"
        "            \"domain\": 0,\n            \"remote_port\": 77,\n            \"use\": \"store\"\n");
    says("    \"held\": null,\n");
    says("                \"name\": \"nodes\",\n                \"used\": 5,\n"
         "                \"limit\": 1000,\n                \"refused\": 2\n");
    says("            \"state\": \"InitWait\",\n            \"backend_state\": null,\n");
    machine[the_one()].flags = XEN_DOMINF_dying;
    CU_ASSERT_EQUAL(xl("why --json web"), 0);
    says("    \"grants\": null,\n    \"held\": {\n        \"frames\": 3,\n");
    machine[the_one()].flags = 0;
    end();
}

/* Each call of the libraries fails once. What is not known is left out. */
static void test_failures(void)
{
    unsigned int refused = 0, n = 1;

    begin();
    node("device/vif/0/state", "2");
    node("device/vif/0/backend", "/nowhere");
    for (bool failed = true; failed && n < 400; n++) {
        int rc;

        machine_fail_at(n);
        rc = xl("why web");
        failed = machine_fail_at(0);
        refused += rc != 0;
        CU_ASSERT_TRUE((rc == 0) == (x.out.len_bytes > 0) && (rc == 0) == (x.err.len_bytes == 0));
    }
    CU_ASSERT_TRUE(n > 30 && n < 400);
    CU_ASSERT_TRUE(refused > 0 && refused < 6); /* to find the domain, and to be told of it */
    end();
}

static void test_refused(void)
{
    begin();
    run("why none", 1, "", "xl: none is an invalid domain identifier\n");
    CU_ASSERT_EQUAL(xl("why 0"), 0);
    says("Domain-0 (0): runnable\n");
    end();
}

int main(void)
{
    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("xl why", NULL, NULL);
#define T(f) CU_add_test(s, #f, f)
    T(test_paused);
    T(test_blocked);
    T(test_ended);
    T(test_dying);
    T(test_peers);
    T(test_devices);
    T(test_hostile);
    T(test_json);
    T(test_failures);
    T(test_refused);
    CU_basic_run_tests();
    return CU_get_number_of_failures() || CU_get_error();
}
