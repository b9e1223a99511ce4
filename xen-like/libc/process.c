/* The ends of a program, the little there is of processes, and errno. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <rt/hypercall.h>
#include <rt/kernel.h>

#include "../kernel/internal.h"

char **environ = (char *[]){ NULL };

/* Behind exit(), when stdio has written out its buffers. */
void _exit(int status)
{
    if (status)
        kprint("exit status %d\n", status);
    domain_shutdown(SHUTDOWN_poweroff);
}

void abort(void)
{
    if (group_in_own_code()) {
        kprint("thread %s: abort() called from %p\n", thread_name(thread_self()),
               __builtin_return_address(0));
        group_fail();
    }
    panic("abort() called from %p", __builtin_return_address(0));
}

int getpid(void) { return 1; }

/* raise() without a handler, by way of which assert() ends, too. */
int kill(int pid, int sig)
{
    (void)pid;
    if (group_in_own_code()) {
        kprint("thread %s: signal %d\n", thread_name(thread_self()), sig);
        group_fail();
    }
    panic("signal %d", sig);
}

/* Xen has its own numbers; those up to ERANGE are the same everywhere. */
int xen_errno(long rc)
{
    switch (-rc) {
    case 35: return EDEADLK;
    case 36: return ENAMETOOLONG;
    case 38: return ENOSYS;
    case 39: return ENOTEMPTY;
    case 61: return ENODATA;
    case 62: return ETIME;
    case 71: return EPROTO;
    case 74: return EBADMSG;
    case 75: return EOVERFLOW;
    case 84: return EILSEQ;
    case 95: return EOPNOTSUPP;
    case 98: return EADDRINUSE;
    case 99: return EADDRNOTAVAIL;
    case 105: return ENOBUFS;
    case 106: return EISCONN;
    case 107: return ENOTCONN;
    case 110: return ETIMEDOUT;
    default: return -rc > 0 && -rc <= ERANGE ? (int)-rc : EIO;
    }
}
