#pragma once
#include "scenario.h"

extern const struct scenario block_scenarios[];
extern const size_t nr_block_scenarios;
