/* No commands beside those of the product: what tests link in its place has some. */
#include "commands.h"

const struct prompt_command extra_commands[] = { { 0 } };
