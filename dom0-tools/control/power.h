/* power.h: the machine's end, where no Linux kernel interprets the firmware's tables. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** What the two PM1 control registers are to be written for sleep state S5. */
struct s5 {
    uint16_t a, b;
};

/**
 * Look for the package \_S5 in a table's code. It is not interpreted: what counts is a name that is given a package
 * of constants, as all firmware has it.
 * @aml  is not trusted
 * Returns false: there is none.
 */
bool s5_find(const uint8_t *aml, size_t len, struct s5 *s5);

/** Switch the machine off. Returns only if that is not possible: errno says why, *what where it ended. */
void machine_off(const char **what);
