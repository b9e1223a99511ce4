/* Private to drivers.c and drivers_links.c. */
#pragma once
#include "drivers/drivers.h"

#include <stdbool.h>
#include <rt/pci.h>

enum { DRIVERS_MAX_FUNCTIONS = 256 };

/** It is a virtio device of that kind. */
bool driver_is_virtio(const struct pci_function *f, unsigned int kind);
/** Say in the log that it cannot be used, by errno. */
void driver_not_taken(const char *name, const struct pci_function *f);
