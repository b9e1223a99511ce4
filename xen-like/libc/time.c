/* POSIX time by the two clocks of rt/clock.h; sleeping by rt/thread.h. */
#include <errno.h>
#include <sys/time.h>
#include <sys/times.h>
#include <time.h>
#include <unistd.h>

#include <rt/clock.h>
#include <rt/thread.h>

static struct timespec to_timespec(uint64_t ns)
{
    return (struct timespec){ .tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S) };
}

int clock_gettime(clockid_t id, struct timespec *ts)
{
    if (id != CLOCK_REALTIME && id != CLOCK_MONOTONIC) {
        errno = EINVAL;
        return -1;
    }
    *ts = to_timespec(id == CLOCK_REALTIME ? clock_wall() : clock_now());
    return 0;
}

int gettimeofday(struct timeval *restrict tv, void *restrict zone)
{
    struct timespec ts = to_timespec(clock_wall());

    (void)zone;
    *tv = (struct timeval){ .tv_sec = ts.tv_sec, .tv_usec = ts.tv_nsec / 1000 };
    return 0;
}

/* What clock() is made of: we take all time since the start as ours. */
clock_t times(struct tms *t)
{
    clock_t now = (clock_t)(clock_now() / (NS_PER_S / CLOCKS_PER_SEC));

    *t = (struct tms){ .tms_utime = now };
    return now;
}

int nanosleep(const struct timespec *ts, struct timespec *left)
{
    if (ts->tv_sec < 0 || ts->tv_nsec < 0 || (uint64_t)ts->tv_nsec >= NS_PER_S) {
        errno = EINVAL;
        return -1;
    }
    thread_sleep_until(clock_now() + (uint64_t)ts->tv_sec * NS_PER_S + (uint64_t)ts->tv_nsec);
    if (left)
        *left = (struct timespec){ 0 };
    return 0;
}

unsigned int sleep(unsigned int seconds)
{
    thread_sleep_until(clock_now() + seconds * NS_PER_S);
    return 0;
}

int usleep(useconds_t us)
{
    thread_sleep_until(clock_now() + us * 1000ULL);
    return 0;
}
