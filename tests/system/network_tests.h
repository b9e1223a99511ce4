/* Machines whose guests reach each other through our switch, for system_tests.c. */
#pragma once
#include "scenario.h"

extern const struct scenario network_scenarios[];
extern const size_t nr_network_scenarios;
