/* xl on the machine in memory (toolstack_machine.h), with a kernel, /kernel, and a configuration, guest.cfg. */
#pragma once
#include <stdint.h>

#include "../../dom0-tools/xl.h"

extern struct xl x;
extern uint8_t kernel_bytes[];
extern const char *config_text; /* NULL: there is no such file */
extern domid_t while_reading;   /* the domain that there was when the kernel was read */
extern const char *others_text; /* what Debian's xl keeps with any domain; NULL: nothing */
extern bool gone_while_reading; /* the store, when the kernel is read */
extern uint64_t wall;           /* the time of day, in seconds */
extern uint64_t now_ns;         /* plat_now() */
extern unsigned int nr_waits;   /* of xl; with the third all domains end, unless there is */
extern void (*at_wait)(void);   /* another one that knows what happens then */

extern char wanted[2000]; /* what was to be saved, restored or dumped; nothing is */

/** With nothing but domain 0, and a configuration of a domain "web". */
void start(const struct xl_home *home);

/** All domains are destroyed: nothing must be left. */
void end(void);

/** The domain that there is beside domain 0; 0: none, or several. */
domid_t the_one(void);

/** "%" in from is its number. */
void fill_in(char *to, const char *from);

/** A line is to have that exit code and those outputs. */
void run(const char *line, int code, const char *out, const char *err);

/** Its exit code; outputs are in x, until end() or the next. */
int xl(const char *line);

/** A node of the_one(). */
void expect_node(const char *leaf, const char *value);

/** the_one() ends, and guest_attend() is to do something with so many. Returns its number, or that of another one; 0: none. */
domid_t ends(unsigned int code, int attended);
