/* What can be typed next at a prompt that takes xl's commands. */
#pragma once

/** Where words and names go to. */
typedef void complete_add(void *arg, const char *word);

/**
 * Add the words that can stand there: "xl" and commands, with or without "xl" before them; a command's
 * options, if a '-' has been typed; names of domains, if the command takes one.
 * @before   what stands before the word
 * @word     what there is of it
 * @domains  calls add(arg, name) for each domain's name; only called where they are wanted
 */
void complete_xl(const char *before, const char *word,
                 void (*domains)(void *domains_arg, complete_add *add, void *arg),
                 void *domains_arg, complete_add *add, void *arg);
