/*
 * The specifications in the lists of disk= and vif=: "phy:/dev/vg/web,xvda,w", "mac=00:16:3e:00:00:01,bridge=br0",
 * parameters with commas between them.
 */
#pragma once
#include "config_internal.h"

enum { SPEC_BYTES = 1024 };

/** One of them, from which parameters are cut off. */
struct spec {
    struct job *j;
    unsigned int line;
    uint64_t given; /* a bit for each parameter of the table */
    char text[SPEC_BYTES];
    char *rest; /* NULL: there is no more */
    bool failed;
};

/** What a parameter is; member and value are what take() needs. */
struct param {
    const char *name;
    void (*take)(struct spec *s, const struct param *p, void *member, const char *value);
    size_t offset; /* of its member in the device */
    size_t number; /* the room of a text, the value of a flag */
    bool is_flag;  /* it has no "=value" */
};

/** False: it is no text; reported. */
bool spec_begin(struct spec *s, struct job *j, const struct value *v);

/** The next parameter, without the spaces before it. NULL: there is none. */
char *spec_next(struct spec *s);

/** Report. @value  may be NULL */
void spec_wrong(struct spec *s, const char *value, const char *what);

/** Which of nr parameters "name=value" or "flag" is; nr: none. */
unsigned int param_find(const struct param *params, unsigned int nr, const char *text);
void param_take(struct spec *s, const struct param *params, unsigned int i, void *device,
                const char *value);

/* Those that several have: a text that has room, a bool that becomes p->number, one that has no effect. */
void param_text(struct spec *s, const struct param *p, void *member, const char *value);
void param_flag(struct spec *s, const struct param *p, void *member, const char *value);
void param_ignored(struct spec *s, const struct param *p, void *member, const char *value);
