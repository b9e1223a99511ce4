/* Debug keys: registered at boot by the folders that own what they show, constant afterwards. */
#include "console/console.h"

#define NR_KEYS 128u

static const struct debug_key *keys[NR_KEYS]; /* indexed by the character */

void debug_key_register(const struct debug_key *k)
{
    BUG_ON((unsigned char)k->key >= NR_KEYS || keys[(unsigned char)k->key]);
    keys[(unsigned char)k->key] = k;
}

int debug_key_run(char key)
{
    const struct debug_key *k = (unsigned char)key < NR_KEYS ? keys[(unsigned char)key] : NULL;

    if (k == NULL)
        return -EINVAL;
    print(LOG_ERR, "'%c' pressed: %s", key, k->help);
    k->fn();
    return 0;
}

static void print_help(void)
{
    for (unsigned int i = 0; i < NR_KEYS; i++)
        if (keys[i])
            print(LOG_ERR, " %c  %s", (char)i, keys[i]->help);
}

static void reboot(void)
{
    console_drain();
    arch_reboot();
}

void console_early_init(void)
{
    static const struct debug_key help_key = { 'h', "show this help", print_help };
    static const struct debug_key reboot_key = { 'R', "reboot the machine", reboot };

    debug_key_register(&help_key);
    debug_key_register(&reboot_key);
}
