/* dom0-tools/edit.c and complete.c: keys are typed at a terminal in memory, which is looked at. */
#include <CUnit/Basic.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../dom0-tools/complete.h"
#include "../../dom0-tools/edit.h"
#include "platform/fake.h"

static struct plat_loop *loop;
static struct plat_stream *console, *terminal;
static struct edit *edit;
static char lines[4096];     /* what was entered, each with a '|' behind it */
static char screen[1 << 18]; /* all that the terminal has got */
static bool go_on;

static void on_line(void *arg, char *line)
{
    (void)arg;
    strcat(strcat(lines, line ? line : "(end)"), "|");
    if (line && go_on)
        edit_start(edit, "> ");
}

static void add_to_edit(void *arg, const char *word) { edit_candidate(arg, word); }

static void domains(void *domains_arg, void (*add)(void *, const char *), void *arg)
{
    (void)domains_arg;
    add(arg, "Domain-0");
    add(arg, "web-1");
    add(arg, "web-22");
}

static void on_complete(void *arg, struct edit *e, const char *before, const char *word)
{
    (void)arg;
    complete_xl(before, word, domains, NULL, add_to_edit, e);
}

static void start(bool show)
{
    struct plat_stream *ends[2];
    const struct edit_user user = { .line = on_line, .complete = on_complete };

    fake_reset();
    loop = plat_loop_new();
    CU_ASSERT_EQUAL_FATAL(plat_pair(ends), 0);
    console = ends[0];
    terminal = ends[1];
    edit = edit_new(loop, console, show, &user);
    lines[0] = screen[0] = '\0';
    go_on = true;
    edit_start(edit, "> ");
}

static void finish(void)
{
    edit_free(edit);
    plat_close(console);
    if (terminal)
        plat_close(terminal);
    plat_loop_free(loop);
}

/* What the terminal has got since the last time goes to the screen. */
static void look(void)
{
    size_t len = strlen(screen);
    ssize_t n;

    while (len < sizeof(screen) - 1 &&
           (n = plat_read(terminal, screen + len, sizeof(screen) - 1 - len)) > 0)
        screen[len += (size_t)n] = '\0';
}

static void run(void)
{
    size_t before;

    do {
        before = strlen(screen);
        CU_ASSERT_TRUE(plat_loop_run(loop) == -1 &&
                       errno == EDEADLK); /* all keys are taken, or it waits for us */
        look();
    } while (strlen(screen) > before);
}

static void type(const char *keys)
{
    if (*keys)
        CU_ASSERT_EQUAL(plat_write(terminal, keys, strlen(keys)), (ssize_t)strlen(keys));
    run();
}

/* These keys make this line. */
static void makes(const char *keys, const char *line)
{
    char wanted[EDIT_LINE + 2];

    lines[0] = screen[0] = '\0';
    type(keys);
    CU_ASSERT_STRING_EQUAL(lines, "");
    type("\r");
    snprintf(wanted, sizeof(wanted), "%s|", line);
    CU_ASSERT_STRING_EQUAL(lines, wanted);
    if (strcmp(lines, wanted) != 0)
        printf("%s, not %s\n", lines, wanted);
}

/* What the terminal shows now: the last line, as it is after all moves of the cursor; ^ is the cursor, if it is not at the end. */
static const char *shown(void)
{
    static char row[512];
    size_t at = 0, len = 0;
    const char *s = strrchr(screen, '\n');

    look();
    for (s = s ? s + 1 : screen; *s; s++) {
        if (*s == '\r') {
            at = 0;
        } else if (*s == '\b') {
            at--;
        } else if (strncmp(s, "\x1b[K", 3) == 0) {
            len = at;
            s += 2;
        } else if (*s != '\a') {
            row[at++] = *s;
            len = at > len ? at : len;
        }
    }
    row[len] = '\0';
    if (at < len) {
        memmove(row + at + 1, row + at, len - at + 1);
        row[at] = '^';
    }
    return row;
}

static void test_lines_are_shown_and_entered(void)
{
    start(true);
    type("xl list\r");
    CU_ASSERT_STRING_EQUAL(screen, "> xl list\r\n> ");
    CU_ASSERT_STRING_EQUAL(lines, "xl list|");
    type("a\nb\r\nc\n\n");
    CU_ASSERT_STRING_EQUAL(lines, "xl list|a|b|c||");
    finish();
}

static void test_keys_change_the_line(void)
{
    static const struct {
        const char *keys, *line;
    } cases[] = {
        { "abc\x02X", "abXc" }, /* Ctrl-B */
        { "abc\x1b[DX", "abXc" },
        { "abc\x1bODX", "abXc" },
        { "abc\x1b[D\x1b[D\x1b[CX", "abXc" },
        { "abc\x01X\x05Y", "XabcY" }, /* Ctrl-A, Ctrl-E */
        { "abc\x1b[HX\x1b[FY", "XabcY" },
        { "abc\x1b[1~X\x1b[4~Y", "XabcY" },
        { "abc\x1bOHX\x1bOFY", "XabcY" },
        { "abc\x7f"
          "d",
          "abd" },
        { "abc\b\b\b\b\bd", "d" },
        { "abc\x01\x1b[3~", "bc" },
        { "abc\x01\x04", "bc" }, /* Ctrl-D */
        { "abc\x1b[3~", "abc" },
        { "abc def\x02\x02\x15", "ef" },    /* Ctrl-U */
        { "abc def\x02\x02\x0b", "abc d" }, /* Ctrl-K */
        { "abc def  \x17", "abc " },        /* Ctrl-W */
        { "abc def\x02\x17", "abc f" },
        { "\x17\x15\x0b"
          "a",
          "a" },
        { "abc\x06\x06"
          "d",
          "abcd" }, /* Ctrl-F at the end */
        { "\x02"
          "a",
          "a" },
        { "a\xc3\xa4\xe2\x82\xac\x7f\x7f"
          "b",
          "ab" },
        { "a\xc3\xa4\x02X\x06Y", "aX\xc3\xa4Y" },
        { "\xa4\xa4"
          "a\x02\x02\x02X",
          "X\xa4\xa4"
          "a" },
        { "a\x1b[99~\x1b[Z\x1b[1;5Db\x1bxc", "bca" }, /* other keys; Ctrl-Left is Left */
        { "a\x1b[99999999999999999999999999999~b", "ab" },
        { "abc\x03"
          "d",
          "d" }, /* Ctrl-C */
        { "ab\x0c"
          "c",
          "abc" }, /* Ctrl-L */
        { "a\x1c\x1d\x1f"
          "b",
          "ab" },
    };

    start(true);
    for (unsigned int i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        makes(cases[i].keys, cases[i].line);
    finish();
}

static void test_the_screen_follows(void)
{
    start(true);
    type("abc\x02\x02");
    CU_ASSERT_STRING_EQUAL(shown(), "> a^bc");
    type("X");
    CU_ASSERT_STRING_EQUAL(shown(), "> aX^bc");
    type("\x7f");
    CU_ASSERT_STRING_EQUAL(shown(), "> a^bc");
    type("\x0b");
    CU_ASSERT_STRING_EQUAL(shown(), "> a");
    type("\x15");
    CU_ASSERT_STRING_EQUAL(shown(), "> ");
    finish();
}

static void test_of_a_long_line_the_part_around_the_cursor_is_shown(void)
{
    char wanted[200] = "> ", line[200];

    start(true);
    for (unsigned int i = 0; i < 199; i++)
        line[i] = (char)('a' + i % 26);
    line[199] = '\0';
    type(line);
    strcat(wanted, line + 199 - 77);
    CU_ASSERT_STRING_EQUAL(shown(), wanted);
    type("\x01");
    sprintf(wanted, "> ^%.77s", line);
    CU_ASSERT_STRING_EQUAL(shown(), wanted);
    type("\r");
    CU_ASSERT_TRUE(strncmp(lines, line, 199) == 0);
    finish();
}

static void test_a_line_has_an_end(void)
{
    char line[EDIT_LINE + 1];

    start(true);
    memset(line, 'a', sizeof(line));
    line[EDIT_LINE] = '\0';
    type(line);
    CU_ASSERT_PTR_NOT_NULL(strchr(screen, '\a'));
    type("\r");
    CU_ASSERT_EQUAL(strlen(lines), EDIT_LINE - 1 + 1);
    finish();
}

static void test_history(void)
{
    start(true);
    makes("one", "one");
    makes("two", "two");
    makes("two", "two"); /* is remembered once */
    makes("", "");       /* is not */
    makes("\x1b[A", "two");
    makes("\x1b[A\x1b[A", "one");
    makes("\x10\x10\x0e", "one");
    makes("own\x1b[A\x1b[A\x1b[B\x1b[B!", "own!");
    makes("\x1b[A!", "own!!");
    makes("\x1b[A\x1b[A\x1b[A\x1b[A\x1b[A\x1b[A\x1b[A\x1b[A", "one"); /* the first stays */
    makes("x\x1b[B", "x");
    for (unsigned int i = 0; i < 2 * EDIT_HISTORY; i++) {
        char text[16];

        sprintf(text, "%u", i);
        makes(text, text);
    }
    type("\x15");
    for (unsigned int i = 0; i < EDIT_HISTORY + 5; i++)
        type("\x10");
    CU_ASSERT_STRING_EQUAL(shown(), "> 64");
    finish();
}

static void test_completion(void)
{
    start(true);
    makes("xl lis\tweb\t2\t", "xl list web-22 ");
    makes("lis\t", "list ");
    makes("x\t", "xl ");
    makes("xl vcpu-\t", "xl vcpu-");
    makes("xl sched-credit2 --w\t=5", "xl sched-credit2 --weight =5");
    makes("xl list --l\t", "xl list --long ");
    makes("xl dom\ti\tD\t", "xl domid Domain-0 ");
    makes("xl pause nope\t", "xl pause nope");
    makes("xl nope web\t", "xl nope web");
    makes("xl help dm\t", "xl help dmesg ");
    makes("xl pau web-1\x01\x06\x06\x06\x06\x06\x06\t", "xl pause  web-1");
    makes("xl dmesg \tw", "xl dmesg w"); /* takes no domain */
    makes("\t", "");
    finish();
}

static void test_two_tabs_show_what_is_possible(void)
{
    start(true);
    type("xl pause w\t");
    CU_ASSERT_STRING_EQUAL(shown(), "> xl pause web-");
    CU_ASSERT_PTR_NULL(strstr(screen, "web-22"));
    type("\t");
    CU_ASSERT_PTR_NOT_NULL(strstr(screen, "\r\nweb-1  web-22  \r\n"));
    CU_ASSERT_PTR_NULL(strstr(screen, "Domain-0"));
    CU_ASSERT_STRING_EQUAL(shown(), "> xl pause web-");
    makes("1", "xl pause web-1");
    finish();
}

static void test_the_input_ends(void)
{
    start(true);
    type("\x04");
    CU_ASSERT_STRING_EQUAL(lines, "(end)|");
    finish();
    for (unsigned int show = 0; show < 2; show++) {
        start(show);
        type("last");
        plat_close(terminal);
        terminal = NULL;
        CU_ASSERT_TRUE(plat_loop_run(loop) == -1 && errno == EDEADLK);
        /* A script's last line counts; a terminal that cannot be written to any more is gone. */
        CU_ASSERT_STRING_EQUAL(lines, show ? "(end)|" : "last|(end)|");
        finish();
    }
}

static void test_a_script_is_not_shown(void)
{
    start(false);
    type("xl list\nxl lis\t\n");
    CU_ASSERT_STRING_EQUAL(screen, "");
    CU_ASSERT_STRING_EQUAL(lines, "xl list|xl list |");
    finish();
}

/* What stands behind the line is read by somebody else, for example by the guest whose console was asked for. */
static void test_nothing_is_read_behind_a_line(void)
{
    char rest[16] = "";

    start(true);
    go_on = false;
    type("console web\nroot\n");
    CU_ASSERT_STRING_EQUAL(lines, "console web|");
    CU_ASSERT_EQUAL(plat_read(console, rest, sizeof(rest)), 5);
    CU_ASSERT_STRING_EQUAL(rest, "root\n");
    finish();
}

/* A terminal that takes nothing is waited for; then all of it comes. */
static void test_a_slow_terminal_loses_nothing(void)
{
    start(true);
    for (unsigned int i = 0; i < 200; i++) { /* each time the line is drawn again */
        CU_ASSERT_EQUAL(plat_write(terminal,
                                   "\x0c"
                                   "a",
                                   2),
                        2);
        CU_ASSERT_TRUE(plat_loop_run(loop) == -1 && errno == EDEADLK);
    }
    CU_ASSERT_EQUAL(plat_write(terminal, "\r", 1), 1);
    CU_ASSERT_TRUE(plat_loop_run(loop) == -1 && errno == EDEADLK);
    CU_ASSERT_STRING_EQUAL(lines, "");
    for (unsigned int i = 0; i < 100 && lines[0] == '\0'; i++) {
        look();
        CU_ASSERT_TRUE(plat_loop_run(loop) == -1 && errno == EDEADLK);
    }
    look();
    CU_ASSERT_EQUAL(strspn(lines, "a"), 200);
    CU_ASSERT_STRING_EQUAL(shown(), "> ");
    finish();
}

/* It is drawn once, not for each byte, which a serial line's receiver would not wait for. */
static void test_a_long_line_that_is_pasted(void)
{
    char line[302];

    start(true);
    memset(line, 'x', 300);
    memcpy(line + 300, "\r", 2);
    type(line);
    CU_ASSERT_EQUAL(strspn(lines, "x"), 300);
    CU_ASSERT_TRUE(strlen(screen) < 400);
    finish();
}

/* Any bytes: a line comes out that is as long as it may be, and nothing breaks. */
static void test_random_keys(void)
{
    unsigned int seed = 7;

    start(true);
    for (unsigned int i = 0; i < 20000; i++) {
        char keys[9] = "";

        for (unsigned int k = 0; k < 8; k++) {
            static const char often[] =
                "\x1b[\t\x01\x05\x15\x0b\x17\x7f\x10\x0e ABCDabcxlweb\x03\xc3\xa4";

            seed = seed * 1103515245 + 12345;
            keys[k] =
                seed >> 16 & 1 ? often[(seed >> 17) % (sizeof(often) - 1)] : (char)(seed >> 20);
            if (keys[k] == '\0' || keys[k] == 4)
                keys[k] = 'x';
        }
        lines[0] = screen[0] = '\0';
        type(keys);
    }
    screen[0] = '\0';
    makes("\x1bx\x05\x15"
          "ab",
          "ab");
    finish();
}

int main(void)
{
    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("edit", NULL, NULL);
#define T(f) CU_add_test(s, #f, f)
    T(test_lines_are_shown_and_entered);
    T(test_keys_change_the_line);
    T(test_the_screen_follows);
    T(test_of_a_long_line_the_part_around_the_cursor_is_shown);
    T(test_a_line_has_an_end);
    T(test_history);
    T(test_completion);
    T(test_two_tabs_show_what_is_possible);
    T(test_the_input_ends);
    T(test_a_script_is_not_shown);
    T(test_nothing_is_read_behind_a_line);
    T(test_a_slow_terminal_loses_nothing);
    T(test_a_long_line_that_is_pasted);
    T(test_random_keys);
    CU_basic_run_tests();
    return CU_get_number_of_failures() || CU_get_error();
}
