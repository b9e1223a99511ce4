/* Debug keys: registered at boot by the folders that own what they show, constant afterwards. */
#include "console/console.h"

static const struct debug_key *keys[256]; /* indexed by the character; below with our own */

void debug_key_register(const struct debug_key *k)
{
    BUG_ON(keys[k->key]);
    keys[k->key] = k;
}

void debug_key_run(uint8_t key)
{
    if (keys[key] == NULL)
        return;
    print(LOG_ERR, "'%c' pressed: %s", key, keys[key]->help);
    atomic_store(&this_pcpu()->stands_still, true); /* it may print for long */
    keys[key]->fn();
    atomic_store(&this_pcpu()->stands_still, false);
}

static void print_help(void)
{
    for (unsigned int i = 0; i < ARRAY_SIZE(keys); i++)
        if (keys[i])
            print(LOG_ERR, " %c  %s", (char)i, keys[i]->help);
}

static void reboot(void)
{
    console_drain();
    arch_reboot();
}

static const struct debug_key help_key = { 'h', "show this help", print_help };
static const struct debug_key reboot_key = { 'R', "reboot the machine", reboot };
static const struct debug_key *keys[256] = { ['h'] = &help_key, ['R'] = &reboot_key };
