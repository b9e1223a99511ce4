/* backends/drivers/piece.h: memory as a device is told of it. */
#pragma once
#include <stdint.h>

/** It lies within one page. */
struct piece {
    void *data;
    uint32_t bytes; /* not 0 */
};
