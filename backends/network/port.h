/* port.h: a port of the switch, for the switch's own files. */
#pragma once
#include "capture.h"
#include "switch.h"
#include "table.h"

struct port {
    struct port *next, *next_dirty;
    struct vswitch *owner;
    struct link *link;
    struct port_options options;
    struct port_stats stats;
    struct table_entry own;  /* its guard's address */
    unsigned int nr_learned; /* entries of the table */
    bool dirty;              /* has got frames since it was flushed */
    struct capture *capture;
};

struct vswitch {
    struct port *ports, *dirty;
    unsigned int nr_ports;
    struct table table;
};
