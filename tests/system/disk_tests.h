/* Machines of `make soak-disks`, for system_tests.c. */
#pragma once
#include "scenario.h"

extern const struct scenario disk_scenarios[];
extern const size_t nr_disk_scenarios;
