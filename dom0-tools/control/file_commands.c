/* Files at the prompt: what was saved or dumped, and logs, lie in this domain's memory until somebody removes them. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rt/files.h>

#include "commands.h"

static int failed(const char *what, const char *path)
{
    printf("%s: %s: %s\n", what, path, strerror(errno));
    return 1;
}

static int by_path(const void *a, const void *b)
{
    return strcmp(strchr(*(char *const *)a, ' '), strchr(*(char *const *)b, ' '));
}

static int run_files(struct prompt *p, int argc, char **argv)
{
    char *text = files_list(), **lines, *save = NULL;
    size_t nr = 0;

    (void)p;
    for (const char *c = text; c && *c; c++)
        nr += *c == '\n';
    lines = text ? calloc(nr + 1, sizeof(*lines)) : NULL;
    if (lines == NULL) {
        free(text);
        return failed("files", "list");
    }
    nr = 0;
    for (char *l = strtok_r(text, "\n", &save); l; l = strtok_r(NULL, "\n", &save))
        lines[nr++] = l;
    qsort(lines, nr, sizeof(*lines), by_path);
    for (size_t i = 0; i < nr; i++) {
        char *path = strchr(lines[i], ' ') + 1;

        if (argc < 2 || strncmp(path, argv[1], strlen(argv[1])) == 0)
            printf("%12lu %s\n", strtoul(lines[i], NULL, 10), path);
    }
    free(lines);
    free(text);
    return 0;
}

static int run_cat(struct prompt *p, int argc, char **argv)
{
    int rc = argc > 1 ? 0 : 2;

    (void)p;
    if (rc)
        printf("cat: which file?\n");
    for (int i = 1; i < argc; i++) {
        size_t len;
        char *text = plat_file_read(argv[i], &len);

        if (text == NULL) {
            rc = failed("cat", argv[i]);
            continue;
        }
        fwrite(text, 1, len, stdout);
        fflush(stdout);
        free(text);
    }
    return rc;
}

static int run_rm(struct prompt *p, int argc, char **argv)
{
    int rc = argc > 1 ? 0 : 2;

    (void)p;
    if (rc)
        printf("rm: which file?\n");
    for (int i = 1; i < argc; i++)
        if (plat_file_remove(argv[i]))
            rc = failed("rm", argv[i]);
    return rc;
}

const struct prompt_command file_commands[] = {
    { "files", "[BEGINNING]", "sizes and paths of the files in this domain's memory", run_files },
    { "cat", "FILE ...", "show files: logs are in /var/log/xen/", run_cat },
    { "rm", "FILE ...", "remove files, and have their memory back", run_rm },
    { 0 },
};
