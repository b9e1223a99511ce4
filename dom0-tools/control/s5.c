#include <string.h>

#include "power.h"

/* AML: NameOp, the name, PackageOp, how long it is (one to four bytes), how many elements, elements. */
enum {
    ZERO = 0x00,
    ONE = 0x01,
    NAME = 0x08,
    BYTE = 0x0a,
    WORD = 0x0b,
    PACKAGE = 0x12,
    ROOT = '\\'
};
enum { SLEEP_ENABLE = 1 << 13, SLEEP_TYPE_SHIFT = 10, SLEEP_TYPES = 8 };

/* What is left of the code. */
struct code {
    const uint8_t *at;
    size_t len;
};

static int take(struct code *c)
{
    if (c->len == 0)
        return -1;
    c->len--;
    return *c->at++;
}

/* A constant that can be a sleep type; else -1. */
static int take_type(struct code *c)
{
    int op = take(c), value = op;

    if (op == BYTE || op == WORD)
        value = take(c);
    else if (op != ZERO && op != ONE)
        return -1;
    if (op == WORD && take(c) != 0)
        return -1;
    return value < SLEEP_TYPES ? value : -1;
}

/* Behind the name. */
static bool take_package(struct code c, struct s5 *s5)
{
    int lead, a, b;

    if (take(&c) != PACKAGE || (lead = take(&c)) < 0)
        return false;
    for (int more = lead >> 6; more; more--)
        take(&c);
    if (take(&c) < 2)
        return false;
    a = take_type(&c);
    b = take_type(&c);
    if (a < 0 || b < 0)
        return false;
    s5->a = (uint16_t)(a << SLEEP_TYPE_SHIFT | SLEEP_ENABLE);
    s5->b = (uint16_t)(b << SLEEP_TYPE_SHIFT | SLEEP_ENABLE);
    return true;
}

bool s5_find(const uint8_t *aml, size_t len, struct s5 *s5)
{
    for (size_t i = 1; len >= 4 && i <= len - 4; i++) {
        bool named = aml[i - 1] == NAME || (aml[i - 1] == ROOT && i > 1 && aml[i - 2] == NAME);

        if (named && memcmp(aml + i, "_S5_", 4) == 0 &&
            take_package((struct code){ aml + i + 4, len - i - 4 }, s5))
            return true;
    }
    return false;
}
