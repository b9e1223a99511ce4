/*
 * The hypervisor's interface libraries on the runtime, as the initial domain: what they do, and what they
 * say to what is wrong.
 */
#define __XEN_TOOLS__ 1 /* for domctl.h */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <rt/verdict.h>

#include <xen/domctl.h>
#include <xencall.h>

static xencall_handle *call;
static struct xen_domctl *op;

static int domctl(uint32_t cmd, domid_t id)
{
    op->cmd = cmd;
    op->interface_version = XEN_DOMCTL_INTERFACE_VERSION;
    op->domain = id;
    return xencall1(call, __HYPERVISOR_domctl, (uintptr_t)op);
}

static void calls(void)
{
    char *pages;

    CHECK(xencall_open(NULL, 0xf0) == NULL && errno == EINVAL);
    call = xencall_open(NULL, 0);
    op = xencall_alloc_buffer(call, sizeof(*op));
    pages = xencall_alloc_buffer_pages(call, 2);
    if (call == NULL || op == NULL || pages == NULL)
        verdict_error("no memory");
    CHECK_EQ((uintptr_t)pages % 4096, 0);
    CHECK_EQ(pages[0] | pages[8191], 0);
    xencall_free_buffer_pages(call, pages, 2);
    xencall_free_buffer_pages(call, NULL, 1);
    CHECK(xencall_alloc_buffer_pages(call, 0) == NULL && errno == EINVAL);
    CHECK_EQ(xencall_buffers_never_fault(call), 1);

    CHECK_EQ(domctl(XEN_DOMCTL_getdomaininfo, 0), 0);
    CHECK_EQ(op->domain, 0);
    CHECK(op->u.getdomaininfo.tot_pages > 0);
    errno = 0;
    CHECK_EQ(domctl(XEN_DOMCTL_pausedomain, 77), -1);
    CHECK_EQ(errno, ESRCH);
}

int main(void)
{
    calls();
    return verdict();
}
