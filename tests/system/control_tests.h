/* Machines with the embedded control domain, for system_tests.c. */
#pragma once
#include <stddef.h>

#include "scenario.h"

extern const struct scenario control_scenarios[];
extern const size_t nr_control_scenarios;
