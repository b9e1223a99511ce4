/* Machines that boot, for system_tests.c. */
#pragma once
#include "scenario.h"

extern const struct scenario boot_scenarios[];
extern const size_t nr_boot_scenarios;
