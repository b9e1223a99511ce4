#pragma once

#include <stdbool.h>
#include <stddef.h>

/*
 * Runs jobs in child processes, a few at a time and in order, while the caller waits for the results
 * one after the other.
 */
struct pool;

enum outcome { OUTCOME_PASS, OUTCOME_SKIP, OUTCOME_FAIL };

struct result {
    enum outcome outcome;
    double seconds;
    char message[1000];
};

/* Runs in the child. A child that ends without returning counts as a failure. */
typedef void (*pool_job)(size_t index, struct result *result);

struct pool *pool_start(pool_job job, size_t nr_jobs, unsigned int nr_parallel);
const struct result *pool_wait(struct pool *p, size_t index);
void pool_destroy(struct pool *p);
