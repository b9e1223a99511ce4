/* An exception without a handler, deep inside: the console shows where, and the domain crashes. */
#include <stdio.h>

#include <rt/thread.h>

static volatile int depth = 3;

static __attribute__((noinline)) int fall(int n)
{
    if (n == 0)
        *(volatile int *)0xdead000 = 1;
    else
        fall(n - 1);
    return depth; /* so that no call is a jump */
}

static void doomed(void *arg)
{
    (void)arg;
    fall(depth);
}

int main(void)
{
    printf("EXPECT " KERNEL_NAME " CRASH\n");
    thread_join(thread_create("doomed", doomed, NULL));
    return 0;
}
