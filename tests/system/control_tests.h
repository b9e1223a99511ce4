/* Machines with the embedded control domain, for system_tests.c. */
#pragma once
#include <stddef.h>

#include "scenario.h"

/* The domain of that number has ended and is destroyed, and who was at its console is at the prompt: in either order. */
#define DEBIAN_IS_GONE(id)                                                \
    "domain " id " \\(debian\\) is destroyed\n(.*\n)*control> |control> " \
    "(.*\n)*.*domain " id " \\(debian\\) is destroyed"

extern const struct scenario control_scenarios[];
extern const size_t nr_control_scenarios;
