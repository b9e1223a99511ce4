/*
 * A program that is killed at any instruction: what memory that outlives it then looks like. The processor stops
 * behind each instruction of a function (its trap flag), and each new state of the memory is kept.
 */
#pragma once
#include <signal.h>
#include <stdint.h>
#include <string.h>

static struct steps {
    const void *memory;
    size_t bytes;
    uint8_t *states;
    unsigned int nr, most;
    unsigned long nr_steps;
} steps;

static inline void steps_trap(int nr)
{
    (void)nr;
    steps.nr_steps++;
    if (memcmp(steps.states + (steps.nr - 1) * steps.bytes, steps.memory, steps.bytes) == 0)
        return;
    if (steps.nr < steps.most)
        memcpy(steps.states + steps.nr * steps.bytes, steps.memory, steps.bytes);
    steps.nr += steps.nr < steps.most;
}

/* Flags are pushed behind the red zone of whoever this is inlined into. */
static inline void steps_flag(int on)
{
    if (on)
        __asm__ volatile(
            "lea -128(%%rsp), %%rsp; pushfq; orq $0x100, (%%rsp); popfq; lea 128(%%rsp), %%rsp" ::
                : "memory", "cc");
    else
        __asm__ volatile(
            "lea -128(%%rsp), %%rsp; pushfq; andq $~0x100, (%%rsp); popfq; lea 128(%%rsp), %%rsp" ::
                : "memory", "cc");
}

/**
 * @states  receives what the memory was at first, and each state that it had since: up to most
 * Returns how many these are; most: perhaps there were more.
 */
static inline unsigned int steps_run(void (*fn)(void), const void *memory, size_t bytes,
                                     uint8_t *states, unsigned int most)
{
    struct sigaction new = { .sa_handler = steps_trap }, old;

    steps = (struct steps){ memory, bytes, states, 1, most, 0 };
    memcpy(states, memory, bytes);
    sigaction(SIGTRAP, &new, &old);
    steps_flag(1);
    fn();
    steps_flag(0);
    sigaction(SIGTRAP, &old, NULL);
    return steps.nr;
}
