/* UUIDs as text. See config.h. */
#include "config.h"

#include <errno.h>
#include <stdio.h>

static int hex(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

int config_parse_uuid(uint8_t uuid[16], const char *text)
{
    bool dashes = false;

    for (unsigned int i = 0; i < 16; i++) {
        int high, low;

        if (i == 4)
            dashes = *text == '-';
        if (dashes && (i == 4 || i == 6 || i == 8 || i == 10) && *text++ != '-')
            return -EINVAL;
        high = hex(text[0]);
        low = high < 0 ? -1 : hex(text[1]);
        if (low < 0)
            return -EINVAL;
        uuid[i] = (uint8_t)(high << 4 | low);
        text += 2;
    }
    return *text ? -EINVAL : 0;
}

void config_print_uuid(const uint8_t uuid[16], char buf[37])
{
    for (unsigned int i = 0; i < 16; i++) {
        bool dash = i == 4 || i == 6 || i == 8 || i == 10;

        snprintf(buf, 4, dash ? "-%02x" : "%02x", uuid[i]);
        buf += dash ? 3 : 2;
    }
}
