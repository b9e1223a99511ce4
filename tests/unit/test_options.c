/* dom0-tools/options.c: command lines as xl takes them, what it says to wrong ones, and its exit codes. */
#include <CUnit/Basic.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../dom0-tools/options.h"

static struct options options;
static struct text out, err;
static char line[1024];

/* A line as typed, behind "xl". */
static int parse(const char *typed)
{
    char *words[80];
    int nr;

    text_free(&out);
    text_free(&err);
    text_puts(&out, "");
    text_puts(&err, "");
    snprintf(line, sizeof(line), "%s", typed);
    nr = words_split(line, words, 80);
    CU_ASSERT_TRUE(nr >= 0);
    return options_parse(&options, nr, words, &out, &err);
}

/* It is a command, and nothing is said. */
static void good(const char *typed, enum command_id id, unsigned int nr_args)
{
    CU_ASSERT_EQUAL(parse(typed), -1);
    CU_ASSERT_STRING_EQUAL(out.bytes, "");
    CU_ASSERT_STRING_EQUAL(err.bytes, "");
    CU_ASSERT_EQUAL(options.id, id);
    CU_ASSERT_EQUAL(options.nr_args, nr_args);
}

static void bad(const char *typed, int rc, const char *message)
{
    CU_ASSERT_EQUAL(parse(typed), rc);
    CU_ASSERT_STRING_EQUAL(out.bytes, "");
    CU_ASSERT_EQUAL(strncmp(err.bytes, message, strlen(message)), 0);
}

static void test_options_and_arguments_in_any_order(void)
{
    good("create -pc /etc/web.cfg 'vcpus=2; name=\"x\"' -q --dryrun", COMMAND_CREATE, 2);
    CU_ASSERT_STRING_EQUAL(options.args[0], "/etc/web.cfg");
    CU_ASSERT_STRING_EQUAL(options.args[1], "vcpus=2; name=\"x\"");
    CU_ASSERT_STRING_EQUAL(option_value(&options, "p"), "");
    CU_ASSERT_STRING_EQUAL(option_value(&options, "c"), "");
    CU_ASSERT_STRING_EQUAL(option_value(&options, "quiet"), "");
    CU_ASSERT_STRING_EQUAL(option_value(&options, "n"), "");
    CU_ASSERT_PTR_NULL(option_value(&options, "F"));
    CU_ASSERT_PTR_NULL(option_value(&options, "defconfig"));
    good("vcpu-pin 0 3 - 6-9", COMMAND_VCPU_PIN, 4);
    CU_ASSERT_STRING_EQUAL(options.args[2], "-");
    good("rename -- -a -b", COMMAND_RENAME, 2);
    CU_ASSERT_STRING_EQUAL(options.args[1], "-b");
    good("top", COMMAND_TOP, 0);
    good("-vfT pause web", COMMAND_PAUSE, 1);
    CU_ASSERT_TRUE(options.verbose && options.force && options.timestamps && !options.dry);
    good("-t -N create", COMMAND_CREATE, 0);
    CU_ASSERT_TRUE(options.dry && !options.verbose);
}

static void test_values_of_options(void)
{
    static const char *const forms[] = { "create -f /a",          "create -f/a",
                                         "create --defconfig=/a", "create --defconfig /a",
                                         "create -qf/a",          "create -pf /a",
                                         "create --def=/a" };

    for (unsigned int i = 0; i < 7; i++) {
        good(forms[i], COMMAND_CREATE, 0);
        CU_ASSERT_STRING_EQUAL(option_value(&options, "f"), "/a");
    }
    good("sched-credit2 -d web -w=5 --cap=", COMMAND_SCHED_CREDIT2, 0);
    CU_ASSERT_STRING_EQUAL(option_value(&options, "weight"), "=5");
    CU_ASSERT_STRING_EQUAL(option_value(&options, "cap"), "");
    CU_ASSERT_STRING_EQUAL(option_value(&options, "d"), "web");
}

static void test_what_scripts_of_debian_call(void)
{
    good("create --quiet --dryrun --defconfig /etc/xen/auto/web", COMMAND_CREATE, 0);
    good("create --quiet --defconfig /etc/xen/auto/web", COMMAND_CREATE, 0);
    good("create /etc/xen/web name=\\\"web\\\"", COMMAND_CREATE, 2);
    CU_ASSERT_STRING_EQUAL(options.args[1], "name=\"web\"");
    good("list -l", COMMAND_LIST, 0);
    good("list web", COMMAND_LIST, 1);
    good("shutdown --all --wait", COMMAND_SHUTDOWN, 0);
    good("shutdown --wait 5", COMMAND_SHUTDOWN, 1);
    good("sysrq 5 s", COMMAND_SYSRQ, 2);
    good("save 5 /var/lib/xen/save/web", COMMAND_SAVE, 2);
    good("restore /var/lib/xen/save/web", COMMAND_RESTORE, 1);
    good("trigger web power", COMMAND_TRIGGER, 2);
    good("mem-set web 512", COMMAND_MEM_SET, 2);
    good("info", COMMAND_INFO, 0);
}

static void test_a_command_may_be_cut_as_long_as_it_is_clear(void)
{
    CU_ASSERT_EQUAL(command_find("lis"), COMMAND_LIST);
    CU_ASSERT_EQUAL(command_find("w"), COMMAND_WHY);
    CU_ASSERT_EQUAL(command_find("vcpu-"), NR_COMMANDS);
    CU_ASSERT_EQUAL(command_find("mem-s"), COMMAND_MEM_SET);
    CU_ASSERT_EQUAL(command_find(""), NR_COMMANDS);
    CU_ASSERT_EQUAL(command_find("listt"), NR_COMMANDS);
    for (unsigned int i = 0; i < NR_COMMANDS; i++)
        CU_ASSERT_EQUAL(command_find(commands[i].name), i);
    bad("v", EXIT_FAILED, "command not implemented\n");
    bad("bogus", EXIT_FAILED, "command not implemented\n");
}

static void test_wrong_lines_have_xls_messages_and_codes(void)
{
    bad("list -Q", EXIT_USAGE, "option `Q' not supported.\n");
    bad("list --nope", EXIT_USAGE, "option `--nope' not supported.\n");
    bad("list --long=1", EXIT_USAGE, "option `--long=1' not supported.\n");
    bad("list --=", EXIT_USAGE, "option `--=' not supported.\n");
    bad("dmesg --=1", EXIT_USAGE, "option `--=1' not supported.\n");
    bad("sched-credit2 --c=1", EXIT_USAGE, "option `--c=1' not supported.\n"); /* cap, cpupool */
    bad("create -pf", EXIT_USAGE, "option `--defconfig' needs a value.\n");
    bad("create --defconfig", EXIT_USAGE, "option `--defconfig' needs a value.\n");
    bad("console web -n", EXIT_USAGE, "option `n' needs a value.\n");
    bad("pause", EXIT_USAGE,
        "'xl pause' requires at least 1 argument.\n\nUsage: xl [-vtTf] pause <Domain>\n\n");
    bad("rename a", EXIT_USAGE,
        "'xl rename' requires at least 2 arguments.\n\nUsage: xl [-vtTf] rename ");
    bad("list 1 web", EXIT_FAILED, "Usage: xl [-vtT] list ");
    bad("-Q list", EXIT_FAILED, "unknown global option\n");
    bad("-", EXIT_FAILED, "unknown global option\n");
    bad("-N list", EXIT_FAILED, "command does not implement -N (dryrun) option\n");
}

static void test_there_is_a_last_argument(void)
{
    char many[1024] = "create";

    for (unsigned int i = 0; i < ARGUMENTS; i++)
        strcat(many, " a=1");
    good(many, COMMAND_CREATE, ARGUMENTS);
    strcat(many, " a=1");
    bad(many, EXIT_FAILED, "Usage: xl [-vtTfN] create ");
}

static void test_help(void)
{
    CU_ASSERT_EQUAL(parse("help dmesg"), EXIT_OK);
    CU_ASSERT_STRING_EQUAL(out.bytes,
                           "Usage: xl [-vtT] dmesg [options]\n\nShow the hypervisor's messages.\n\n"
                           "Options:\n\n-c, --clear             and remove them\n");
    CU_ASSERT_EQUAL(parse("help console"), EXIT_OK);
    CU_ASSERT_PTR_NOT_NULL(strstr(out.bytes, "\n-t TYPE                 pv: there is no other\n"));
    CU_ASSERT_EQUAL(parse("create -p --help x"), EXIT_OK);
    CU_ASSERT_PTR_NOT_NULL(strstr(out.bytes,
                                  "\n-f, --defconfig=FILE    read this configuration file\n"));
    CU_ASSERT_STRING_EQUAL(err.bytes, "");
    CU_ASSERT_EQUAL(parse("list -vh"), EXIT_OK);
    CU_ASSERT_PTR_NOT_NULL(strstr(out.bytes, "\n--json                  print JSON\n"));
    CU_ASSERT_EQUAL(parse("pause -h"), EXIT_OK);
    CU_ASSERT_STRING_EQUAL(
        out.bytes, "Usage: xl [-vtTf] pause <Domain>\n\nLet a domain's vCPUs run no longer.\n\n");
    CU_ASSERT_EQUAL(parse("help bogus"), EXIT_OK);
    CU_ASSERT_STRING_EQUAL(out.bytes, "command \"bogus\" not implemented\n");
}

/* Four lines, which completion skips, and then each command behind a space. */
static void test_the_list_of_commands(void)
{
    static const char *const asking[] = { "help", "help --long", "" };

    for (unsigned int i = 0; i < 3; i++) {
        char *at;

        CU_ASSERT_EQUAL(parse(asking[i]), i < 2 ? EXIT_OK : EXIT_FAILED);
        at = strtok(out.bytes, "\n");
        CU_ASSERT_STRING_EQUAL(at, "Usage xl [-vfNtT] <subcommand> [args]");
        at = strtok(NULL, "\n");
        CU_ASSERT_STRING_EQUAL(at, "xl full list of subcommands:");
        for (unsigned int k = 0; k < NR_COMMANDS; k++) {
            size_t len = strlen(commands[k].name);

            at = strtok(NULL, "\n");
            CU_ASSERT_TRUE(at && at[0] == ' ' && strncmp(at + 1, commands[k].name, len) == 0 &&
                           at[1 + len] == ' ');
        }
        CU_ASSERT_PTR_NULL(strtok(NULL, "\n"));
    }
}

static void test_the_table_is_sound(void)
{
    for (unsigned int i = 0; i < NR_COMMANDS; i++) {
        const struct command *c = &commands[i];

        CU_ASSERT_TRUE(c->name && c->usage && c->help && c->min_args <= c->max_args &&
                       c->max_args <= UNLIMITED);
        for (unsigned int k = 0; k < OPTIONS && (c->option[k].letter || c->option[k].name); k++) {
            const struct option_spec *s = &c->option[k];

            CU_ASSERT_TRUE(s->help && s->letter != 'h' && (s->name == NULL || strlen(s->name) > 1));
            for (unsigned int n = 0; n < k; n++)
                CU_ASSERT_TRUE(!s->letter || c->option[n].letter != s->letter);
        }
    }
}

static void test_sizes(void)
{
    static const struct {
        const char *text;
        unsigned long long kib;
    } good_ones[] = { { "100", 102400 },
                      { "100m", 102400 },
                      { "100K", 100 },
                      { "1G", 1 << 20 },
                      { "4096b", 4 },
                      { "1t", 1 << 30 },
                      { "010", 10240 },
                      { "0", 0 },
                      { "8388607t", 8388607ull << 30 },
                      { "9007199254740991k", 9007199254740991ull } };
    static const char *const bad_ones[] = { "",
                                            "m",
                                            "-5",
                                            "0x10",
                                            "100mb",
                                            "x",
                                            " 1",
                                            "1 ",
                                            "1+",
                                            "8388608t",
                                            "9007199254740992k",
                                            "99999999999999999999",
                                            "1.5g" };
    unsigned long long kib;

    for (unsigned int i = 0; i < sizeof(good_ones) / sizeof(good_ones[0]); i++) {
        CU_ASSERT_EQUAL(parse_size(good_ones[i].text, &kib), 0);
        CU_ASSERT_EQUAL(kib, good_ones[i].kib);
    }
    for (unsigned int i = 0; i < sizeof(bad_ones) / sizeof(bad_ones[0]); i++)
        CU_ASSERT_EQUAL(parse_size(bad_ones[i], &kib), -EINVAL);
}

static void test_words(void)
{
    static const struct {
        const char *line;
        int nr;
        const char *words[4];
    } lines[] = { { "", 0, { 0 } },
                  { "  \t ", 0, { 0 } },
                  { "# all", 0, { 0 } },
                  { "a b", 2, { "a", "b" } },
                  { " a\t b # c", 2, { "a", "b" } },
                  { "a#b", 1, { "a#b" } },
                  { "'a b' \"c d\"", 2, { "a b", "c d" } },
                  { "a'b c'\"d\"e", 1, { "ab cde" } },
                  { "'' x", 2, { "", "x" } },
                  { "'\"' \"'\"", 2, { "\"", "'" } },
                  { "a\\ b \\# \"\\\"\" '\\'", 4, { "a b", "#", "\"", "\\" } },
                  { "a\\", 1, { "a\\" } },
                  { "'a", -EINVAL, { 0 } },
                  { "x \"a'", -EINVAL, { 0 } },
                  { "1 2 3 4", 4, { "1", "2", "3", "4" } },
                  { "1 2 3 4 # 5", 4, { "1", "2", "3", "4" } },
                  { "1 2 3 4 5", -E2BIG, { 0 } } };

    for (unsigned int i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        char *copy = strdup(lines[i].line), *words[4];
        int nr = words_split(copy, words, 4);

        CU_ASSERT_EQUAL(nr, lines[i].nr);
        for (int k = 0; k < nr; k++)
            CU_ASSERT_STRING_EQUAL(words[k], lines[i].words[k]);
        free(copy);
    }
}

int main(void)
{
    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("options", NULL, NULL);
#define T(f) CU_add_test(s, #f, f)
    T(test_options_and_arguments_in_any_order);
    T(test_values_of_options);
    T(test_what_scripts_of_debian_call);
    T(test_a_command_may_be_cut_as_long_as_it_is_clear);
    T(test_wrong_lines_have_xls_messages_and_codes);
    T(test_there_is_a_last_argument);
    T(test_help);
    T(test_the_list_of_commands);
    T(test_the_table_is_sound);
    T(test_sizes);
    T(test_words);
    CU_basic_run_tests();
    text_free(&out);
    text_free(&err);
    return CU_get_number_of_failures() || CU_get_error();
}
