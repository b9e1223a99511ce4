#include "linux.h"

#include <errno.h>
#include <fcntl.h>
#include <platform.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

struct xenstore_domain_interface *linux_own_ring(evtchn_port_t *port)
{
    int fd = open("/proc/xen/xsd_kva", O_RDWR | O_CLOEXEC), error;
    char *text = fd < 0 ? NULL : plat_file_read("/proc/xen/xsd_port", NULL);
    void *page = MAP_FAILED;

    if (text) {
        *port = (evtchn_port_t)strtoul(text, NULL, 10);
        page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    }
    error = errno;
    free(text);
    if (fd >= 0)
        close(fd);
    errno = error;
    return page == MAP_FAILED ? NULL : page;
}
