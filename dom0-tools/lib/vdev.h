/* Numbers of block devices by xen-vbd-interface(7), and what they are called in configurations. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { VDEV_NAME = 16 };

/**
 * @name    "xvda", "xvdaa15", "hdc1", "sda", "d0p3", or a number
 * @number  receives the device's
 * Returns false: it is none of these, or has no number: sd has 16 disks with 15 partitions, hd 4 with 63.
 */
bool vdev_number(const char *name, uint32_t *number);

/** The other way round. What no name has is the number itself, in decimal. */
void vdev_name(uint32_t number, char name[VDEV_NAME]);
