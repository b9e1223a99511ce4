/* The store at the prompt, by the names and with the output of Debian's xenstore-ls and its kin. */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xen/io/xs_wire.h>

#include "commands.h"

enum { PATH_BYTES = 3100, DEPTH_MAX = 64 }; /* a path has 3072 at most */

static int failed(const char *what, const char *path)
{
    printf("%s: %s: %s\n", what, path, strerror(errno));
    return 1;
}

/* A value as it can be shown on a line. */
static void print_value(const char *value, unsigned int len)
{
    for (unsigned int i = 0; i < len; i++) {
        unsigned char c = (unsigned char)value[i];

        if (c == '"' || c == '\\')
            printf("\\%c", c);
        else if (c >= ' ' && c < 0x7f)
            putchar(c);
        else if (c == '\n')
            printf("\\n");
        else
            printf("\\%03o", c);
    }
}

/* What lies below a path; who goes away meanwhile is not shown. */
static int list(struct xs_handle *xs, char *path, unsigned int depth)
{
    unsigned int nr, len;
    char **names = xs_directory(xs, XBT_NULL, path, &nr);
    size_t end = strlen(path);
    int rc = names || errno == ENOENT ? 0 : failed("store-ls", path);

    if (names == NULL)
        return rc;
    for (unsigned int i = 0; i < nr && rc == 0; i++) {
        const char *slash = strcmp(path, "/") == 0 ? "" : "/";
        char *value;

        if (end + strlen(names[i]) + 2 > PATH_BYTES)
            continue;
        snprintf(path + end, PATH_BYTES - end, "%s%s", slash, names[i]);
        value = xs_read(xs, XBT_NULL, path, &len);
        if (value) {
            printf("%*s%s = \"", (int)depth, "", names[i]);
            print_value(value, len);
            printf("\"\n");
            free(value);
            if (depth < DEPTH_MAX)
                rc = list(xs, path, depth + 1);
        }
        path[end] = '\0';
    }
    free(names);
    return rc;
}

static int run_ls(struct prompt *p, int argc, char **argv)
{
    static char path[PATH_BYTES];
    char *value;

    if (argc > 2 || (argc == 2 && strlen(argv[1]) >= sizeof(path))) {
        printf("usage: store-ls [PATH]\n");
        return 2;
    }
    snprintf(path, sizeof(path), "%s", argc == 2 ? argv[1] : "/");
    value = xs_read(p->xs, XBT_NULL, path, NULL);
    if (value == NULL)
        return failed("store-ls", path);
    free(value);
    return list(p->xs, path, 0);
}

static int run_read(struct prompt *p, int argc, char **argv)
{
    if (argc < 2) {
        printf("usage: store-read PATH...\n");
        return 2;
    }
    for (int i = 1; i < argc; i++) {
        unsigned int len;
        char *value = xs_read(p->xs, XBT_NULL, argv[i], &len);

        if (value == NULL)
            return failed("store-read", argv[i]);
        print_value(value, len);
        putchar('\n');
        free(value);
    }
    return 0;
}

static int run_write(struct prompt *p, int argc, char **argv)
{
    if (argc != 3) {
        printf("usage: store-write PATH VALUE\n");
        return 2;
    }
    if (!xs_write(p->xs, XBT_NULL, argv[1], argv[2], (unsigned int)strlen(argv[2])))
        return failed("store-write", argv[1]);
    return 0;
}

static int run_rm(struct prompt *p, int argc, char **argv)
{
    if (argc < 2) {
        printf("usage: store-rm PATH...\n");
        return 2;
    }
    for (int i = 1; i < argc; i++)
        if (!xs_rm(p->xs, XBT_NULL, argv[i]))
            return failed("store-rm", argv[i]);
    return 0;
}

enum { PERMISSIONS_MAX = 16 };

static int run_chmod(struct prompt *p, int argc, char **argv)
{
    struct xs_permissions perms[PERMISSIONS_MAX];
    unsigned int nr = 0;

    for (int i = 2; i < argc && nr < PERMISSIONS_MAX; i++)
        if (!xs_strings_to_perms(&perms[nr++], 1, argv[i]))
            return failed("store-chmod", argv[i]);
    if (nr == 0 || (int)nr != argc - 2) {
        printf("usage: store-chmod PATH PERMISSION...\n");
        return 2;
    }
    if (!xs_set_permissions(p->xs, XBT_NULL, argv[1], perms, nr))
        return failed("store-chmod", argv[1]);
    return 0;
}

/* As the store wants the words behind the command: with a zero behind each. */
static int run_control(struct prompt *p, int argc, char **argv)
{
    char words[XENSTORE_PAYLOAD_MAX], *answer;
    size_t len = 0;

    if (argc < 2) {
        printf("usage: store-control COMMAND [ARGUMENT...]\n");
        return 2;
    }
    for (int i = 2; i < argc; i++) {
        size_t bytes = strlen(argv[i]) + 1;

        if (bytes > sizeof(words) - len) {
            errno = E2BIG;
            return failed("store-control", argv[1]);
        }
        memcpy(words + len, argv[i], bytes);
        len += bytes;
    }
    answer = xs_control_command(p->xs, argv[1], words, (unsigned int)len);
    if (answer == NULL)
        return failed("store-control", argv[1]);
    printf("%s\n", answer);
    free(answer);
    return 0;
}

const struct prompt_command store_commands[] = {
    { "store-ls", "[PATH]", "show what lies below a path of the store", run_ls },
    { "store-read", "PATH...", "show what the store has at these paths", run_read },
    { "store-write", "PATH VALUE", "write into the store", run_write },
    { "store-rm", "PATH...", "remove what the store has there and below", run_rm },
    { "store-chmod", "PATH PERMISSION...", "say who owns a node and who may use it: n5 r0",
      run_chmod },
    { "store-control", "COMMAND [ARGUMENT...]",
      "quotas and checks of the store; \"store-control help\" lists them", run_control },
    { 0 },
};
