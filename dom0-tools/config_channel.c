/* channel= by xl.cfg(5): consoles beside the first, as specifications, as text again, and as libxl's JSON. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "config_spec.h"
#include "json.h"
#include "json_read.h"

const char *const config_connections[CONFIG_NR_CONNECTIONS] = { "pty", "socket" };

static void channel_connection(struct spec *s, const struct param *p, void *member,
                               const char *value)
{
    int connection = name_index(config_connections, CONFIG_NR_CONNECTIONS, value);

    (void)p;
    if (connection < 0)
        spec_wrong(s, value, "is none of pty, socket");
    else
        *(enum config_connection *)member = (enum config_connection)connection;
}

#define AT(member) offsetof(struct config_channel, member)
#define TEXT(member) AT(member), sizeof(((struct config_channel *)0)->member), false

enum { CONNECTION };

static const struct param params[] = {
    [CONNECTION] = { "connection", channel_connection, AT(connection), 0, false },
    { "name", param_text, TEXT(name) },
    { "path", param_text, TEXT(path) },
    { "backend", param_text, TEXT(backend) },
};
enum { NR_PARAMS = sizeof(params) / sizeof(params[0]) };

/* What is wrong with it as a whole; NULL: nothing. */
static const char *mistake(const struct config_channel *c)
{
    if (c->name[0] == '\0')
        return "a channel has no name";
    if (c->connection == CONFIG_SOCKET && c->path[0] != '/')
        return "a channel's socket has no absolute path";
    if (c->connection != CONFIG_SOCKET && c->path[0])
        return "a channel that is no socket has a path";
    return NULL;
}

static void take_channel(struct job *j, struct config_channel *channel, const struct value *v)
{
    const char *wrong;
    struct spec s;

    if (!spec_begin(&s, j, v))
        return;
    for (char *param; !s.failed && (param = spec_next(&s)) != NULL;) {
        unsigned int i = param_find(params, NR_PARAMS, param);
        char *value = strchr(param, '=');

        if (i < NR_PARAMS)
            param_take(&s, params, i, channel, value ? value + 1 : "");
        else if (*param)
            spec_wrong(&s, param, "is no parameter of a channel");
    }
    if (s.failed)
        return;
    wrong = s.given & (1u << CONNECTION) ? mistake(channel) : "a channel has no connection";
    if (wrong)
        spec_wrong(&s, NULL, wrong);
}

void take_channels(struct job *j, const struct value *v)
{
    struct domain_config *c = j->c;

    for (v = v->first; v; v = v->next) {
        if (c->nr_channels == CONFIG_DEVICES) {
            complain(j, PLAT_ERROR, v->line, v->text, "is one channel too many");
            return;
        }
        take_channel(j, &c->channel[c->nr_channels], v);
        c->nr_channels++;
    }
}

/* ---- as text ---- */

static void put_channel(struct text *t, const struct config_channel *c)
{
    char bytes[1024];
    struct text spec = { .bytes = bytes, .size = sizeof(bytes), .fixed = true };

    text_printf(&spec, "connection=%s,", config_connections[c->connection]);
    if (c->path[0])
        text_printf(&spec, "path=%s,", c->path);
    if (c->backend[0])
        text_printf(&spec, "backend=%s,", c->backend);
    text_printf(&spec, "name=%s", c->name);
    put_quoted(t, bytes);
}

void put_channels(struct text *t, const struct domain_config *c)
{
    for (unsigned int i = 0; i < c->nr_channels; i++) {
        text_puts(t, i ? ", " : "channel = [");
        put_channel(t, &c->channel[i]);
    }
    text_puts(t, c->nr_channels ? "]\n" : "");
}

/* ---- as JSON ---- */

void json_channels(struct json *j, const struct domain_config *c)
{
    json_array(j, "channels");
    for (unsigned int i = 0; i < c->nr_channels; i++) {
        const struct config_channel *channel = &c->channel[i];

        json_object(j, NULL);
        if (channel->backend[0])
            json_string(j, "backend_domname", channel->backend);
        json_uint(j, "devid", i); /* as libxl: of the list, not of the console */
        json_string(j, "name", channel->name);
        json_object(j,
                    channel->connection == CONFIG_SOCKET ? "connection.socket" : "connection.pty");
        if (channel->connection == CONFIG_SOCKET)
            json_string(j, "path", channel->path);
        json_end(j);
        json_end(j);
    }
    json_end(j);
}

static bool take_json_text(const struct json_value *v, char *to, size_t size)
{
    if (v->type != JSON_TEXT || !v->whole || strlen(v->text) >= size)
        return false;
    for (const char *s = v->text; *s; s++)
        if ((unsigned char)*s < ' ' || *s == 0x7f || *s == ',') /* it goes into a specification */
            return false;
    memcpy(to, v->text, strlen(v->text) + 1);
    return true;
}

bool take_json_channel(struct domain_config *c, const struct json_value *v)
{
    struct config_channel *channel;
    unsigned int i = v->depth > 1 ? v->place[1].index : CONFIG_DEVICES;

    if (i >= CONFIG_DEVICES)
        return false;
    channel = &c->channel[i];
    if (i >= c->nr_channels)
        c->nr_channels = i + 1;
    if (json_is_at(v, "channels/*/devid"))
        return v->type == JSON_NUMBER && v->whole && v->number == i;
    if (json_is_at(v, "channels/*/name"))
        return take_json_text(v, channel->name, sizeof(channel->name));
    if (json_is_at(v, "channels/*/backend_domname"))
        return take_json_text(v, channel->backend, sizeof(channel->backend));
    if (json_is_at(v, "channels/*/connection.socket/path")) {
        channel->connection = CONFIG_SOCKET;
        return take_json_text(v, channel->path, sizeof(channel->path));
    }
    return true;
}

bool channels_are_whole(const struct domain_config *c)
{
    for (unsigned int i = 0; i < c->nr_channels; i++)
        if (mistake(&c->channel[i]))
            return false;
    return true;
}
