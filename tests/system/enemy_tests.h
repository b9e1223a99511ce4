/* Machines with hostile kernels of ours as guests: see enemy_tests.c. */
#pragma once
#include "scenario.h"

extern const struct scenario enemy_scenarios[];
extern const size_t nr_enemy_scenarios;
