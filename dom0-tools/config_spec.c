/* See config_spec.h. */
#include "config_spec.h"

#include <string.h>

void spec_wrong(struct spec *s, const char *value, const char *what)
{
    complain(s->j, PLAT_ERROR, s->line, value, what);
    s->failed = true;
}

bool spec_begin(struct spec *s, struct job *j, const struct value *v)
{
    *s = (struct spec){ .j = j, .line = v->line };
    s->rest = s->text;
    return take_text(j, v, s->text, sizeof(s->text));
}

char *spec_next(struct spec *s)
{
    char *param = s->rest, *comma;

    if (param == NULL)
        return NULL;
    param += strspn(param, " \t");
    comma = strchr(param, ',');
    if (comma)
        *comma = '\0';
    s->rest = comma ? comma + 1 : NULL;
    return param;
}

unsigned int param_find(const struct param *params, unsigned int nr, const char *text)
{
    const char *equals = strchr(text, '=');
    size_t len = equals ? (size_t)(equals - text) : strlen(text);
    unsigned int i = 0;

    while (i < nr && (params[i].is_flag == (equals != NULL) || strlen(params[i].name) != len ||
                      memcmp(params[i].name, text, len) != 0))
        i++;
    return i;
}

void param_take(struct spec *s, const struct param *params, unsigned int i, void *device,
                const char *value)
{
    uint64_t bit = (uint64_t)1 << i;

    if (s->given & bit)
        spec_wrong(s, params[i].name, "is given twice");
    s->given |= bit;
    params[i].take(s, &params[i], (char *)device + params[i].offset, value);
}

void param_text(struct spec *s, const struct param *p, void *member, const char *value)
{
    if (strlen(value) >= p->number)
        spec_wrong(s, value, "is too long");
    else
        memcpy(member, value, strlen(value) + 1);
}

void param_flag(struct spec *s, const struct param *p, void *member, const char *value)
{
    (void)s;
    (void)value;
    *(bool *)member = p->number != 0;
}

void param_ignored(struct spec *s, const struct param *p, void *member, const char *value)
{
    (void)s;
    (void)p;
    (void)member;
    (void)value;
}
