/*
 * ports.h: the event channels of a backend or frontend, each with a function that the loop calls.
 *
 * A port that has had an event is masked until port_ready(): whoever serves it says by that when it wants the next.
 * So a domain that sends events without end has as many taken as its turns allow. All of it belongs to the thread of
 * the loop.
 */
#pragma once
#include <platform.h>
#include <xenevtchn.h>

struct ports;

/** Its user keeps it until port_unbind(); initially all zero, but for fn and arg. */
struct port {
    void (*fn)(
        void *arg); /* it has had an event, or it may have; it may unbind this port, and others */
    void *arg;
    struct ports *ports; /* NULL: not bound */
    uint32_t number;
    uint32_t domain, remote; /* it was bound to */
};

/** NULL: errno says why. */
struct ports *ports_open(struct plat_loop *l);
/** All are unbound. NULL: nothing is done. */
void ports_close(struct ports *p);

/** Bind the other end of a port that a domain offers. Its fn is called soon, as after an event. 0 or -errno. */
int port_bind(struct ports *p, struct port *port, uint32_t domain, uint32_t remote);

/** Make a port that a domain can bind: port->number is to be told to it. 0 or -errno. */
int port_offer(struct ports *p, struct port *port, uint32_t domain);

/** One that is not bound stays so. Its fn is not called any more. */
void port_unbind(struct port *port);

/** It may have the next event. */
void port_ready(struct port *port);
/**
 * So many requests were there when it was served. Where it is more than one at a time, who sends them is let go on
 * before the next event is looked at: on the same CPU it would be interrupted at each first one, and here all wait that
 * come meanwhile. Where there is only one ever that would be two switches for nothing, and is tried now and then.
 */
void port_found(struct port *port, unsigned int requests);
/** When it was let go on the last time, this CPU was somebody else's for a while: it is likely to run on the same. */
bool port_takes_turns(const struct port *port);
/** Send one to the other end. */
void port_notify(struct port *port);
