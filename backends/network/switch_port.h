/* switch_port.h: a port of the switch, for the switch's own files. */
#pragma once
#include "capture.h"
#include "switch.h"
#include "table.h"

struct switch_port {
    struct switch_port *next, *next_dirty;
    struct vswitch *owner;
    struct link *link;
    struct switch_options options;
    struct switch_stats stats;
    struct table_entry own;  /* its guard's address */
    unsigned int nr_learned; /* entries of the table */
    bool dirty;              /* has got frames since it was flushed */
    struct capture *capture;
};

struct vswitch {
    struct switch_port *ports, *dirty;
    unsigned int nr_ports;
    struct table table;
};
