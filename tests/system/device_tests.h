/* Machines whose guests get and lose devices by xl, for system_tests.c. */
#pragma once
#include "scenario.h"

extern const struct scenario device_scenarios[];
extern const size_t nr_device_scenarios;
