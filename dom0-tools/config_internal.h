/* What the files of config.h share. */
#pragma once
#include "config.h"
#include "config_text.h"
#include "text.h"

/** A configuration that is being made of its settings. */
struct job {
    struct domain_config *c;
    const struct config_source *source;
    const char *key; /* what is reported about */
    const char *file;
    unsigned int errors;
};

/** @value  quoted in the report, if not NULL */
void complain(struct job *j, enum plat_level level, unsigned int line, const char *value,
              const char *what);

/** The value's text, copied, if it is printable and has room. */
bool take_text(struct job *j, const struct value *v, char *to, size_t size);

/* Of disk=, vif= and channel=: a list of specifications. */
void take_disks(struct job *j, const struct value *v);
void take_vifs(struct job *j, const struct value *v);
void take_channels(struct job *j, const struct value *v);

/** The index of a name in an array, -1: it is not there. */
int name_index(const char *const *names, unsigned int nr, const char *name);

extern const char *const config_formats[CONFIG_NR_FORMATS];
extern const char *const config_backends[CONFIG_NR_BACKENDS]; /* "" */
extern const char *const config_connections[CONFIG_NR_CONNECTIONS];

/** A string as the language has it, with quotes. */
void put_quoted(struct text *t, const char *string);

/* ---- config_channel.c: text and JSON of all channels ---- */

struct json;
struct json_value;

void put_channels(struct text *t, const struct domain_config *c);
void json_channels(struct json *j, const struct domain_config *c);

/** A value below "channels" of such JSON. False: it is wrong. */
bool take_json_channel(struct domain_config *c, const struct json_value *v);

/** Whether each that was taken so has all that it needs. */
bool channels_are_whole(const struct domain_config *c);
