#define _GNU_SOURCE
#include "scenario.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "machine.h"
#include "screen.h"

#define CONSOLE_CMDLINE "com1=115200,8n1 console=com1 loglvl=all guest_loglvl=all"

/* Lines that no machine may say unless its test is about them. */
#define HYPERVISOR_BROKE "\\(XEN\\) (\\[[^]]*\\] )?(Panic|BUG|Assertion)|audit: (d[0-9]|[1-9])"
#define KERNEL_BROKE                                                                             \
    "Kernel panic|Oops|BUG:|WARNING: CPU|Call Trace|Bad page|blocked for more than|soft lockup|" \
    "detected stalls|self-detected stall|XL-JOB-RC [1-9n]|crashed on cpu|domain_crash"

/* Debian's package ovmf. */
#define OVMF "/usr/share/OVMF/"

static const char PANIC_LINE[] = "(XEN) Panic:";

/* Xen's escape: three times, then the next key is the hypervisor's. */
static const char CONSOLE_SWITCH[] = "\001\001\001";

static const char *or_default(const char *value, const char *fallback)
{
    return value != NULL ? value : fallback;
}

static unsigned int timeout_s(const struct scenario *s)
{
    return s->timeout_s != 0 ? s->timeout_s : 150; /* it may be one of several on a busy host */
}

/* A value of one of QEMU's options: commas are doubled. SMBIOS has no empty strings. */
static void append_value(char *to, size_t size, const char *key, const char *value)
{
    size_t n = strlen(to);

    n += (size_t)snprintf(to + n, size - n, ",%s=", key);
    if (*value == '\0')
        value = " ";
    for (; *value != '\0' && n + 3 < size; value++) {
        if (*value == ',')
            to[n++] = ',';
        to[n++] = *value;
    }
    to[n] = '\0';
}

/* A module's file as one value, its text as another. */
static void append_module(char *to, size_t size, const char *file_key, const char *text_key,
                          const char *module)
{
    size_t n = strcspn(or_default(module, "none"), " ");
    char file[64];

    snprintf(file, sizeof(file), "%.*s", (int)n, or_default(module, "none"));
    append_value(to, size, file_key, file);
    append_value(to, size, text_key, module != NULL ? module + n + strspn(module + n, " ") : "");
}

enum { MAX_ARGUMENTS = 96 };

struct command {
    char choice[2048], more[2048], kernel_cmdline[512], hypervisor_cmdline[512];
    char log_path[512], forbidden[512];
    char text[8192]; /* what argv points into, as far as it is made here */
    size_t text_len, argc;
    const char *argv[MAX_ARGUMENTS];
};

static void add(struct command *c, const char *argument)
{
    if (c->argc + 1 >= MAX_ARGUMENTS)
        abort();
    c->argv[c->argc++] = argument;
}

static __attribute__((format(printf, 3, 4))) void add_format(struct command *c, const char *option,
                                                             const char *format, ...)
{
    size_t left = sizeof(c->text) - c->text_len, n;
    va_list args;

    va_start(args, format);
    n = (size_t)vsnprintf(c->text + c->text_len, left, format, args);
    va_end(args);
    if (n >= left)
        abort();
    add(c, option);
    add(c, c->text + c->text_len);
    c->text_len += n + 1;
}

/* The ISO's grub.cfg reads the choice from the SMBIOS table (mkiso.sh -t). */
static void choose(struct command *c, const struct scenario *s)
{
    snprintf(c->hypervisor_cmdline, sizeof(c->hypervisor_cmdline), "%s %s", CONSOLE_CMDLINE,
             or_default(s->hypervisor_cmdline, ""));
    snprintf(c->kernel_cmdline, sizeof(c->kernel_cmdline), "console=hvc0 %s%s%s%s%s%s",
             or_default(s->kernel_cmdline, ""), s->disk != NULL ? " xl_disk=" : "",
             or_default(s->disk, ""), s->nic != NULL ? " xl_net=" : "", or_default(s->nic, ""),
             s->kernel_cmdline != NULL && strstr(s->kernel_cmdline, "xl_job=") ? " xl_hold" : "");
    snprintf(c->choice, sizeof(c->choice), "type=2");
    append_value(c->choice, sizeof(c->choice), "manufacturer", "xen-like-test");
    append_value(c->choice, sizeof(c->choice), "product", or_default(s->kernel, "vmlinux"));
    append_value(c->choice, sizeof(c->choice), "version", c->hypervisor_cmdline);
    append_value(c->choice, sizeof(c->choice), "serial", c->kernel_cmdline);
    append_value(c->choice, sizeof(c->choice), "asset", or_default(s->ramdisk, "small.gz"));
    append_value(c->choice, sizeof(c->choice), "location", or_default(s->acpi_table, "none"));
    snprintf(c->more, sizeof(c->more), "type=3");
    append_module(c->more, sizeof(c->more), "manufacturer", "version", s->modules[0]);
    append_module(c->more, sizeof(c->more), "serial", "asset", s->modules[1]);
}

static bool is_q35(const struct scenario *s)
{
    return s->machine != NULL && strncmp(s->machine, "q35", 3) == 0;
}

/* What is written to it is forgotten at QEMU's end: QEMU keeps it in a file of its own. */
static void add_drive(struct command *c, const char *id, const char *dir, const char *file)
{
    add_format(c, "-drive", "if=none,id=%s,format=raw,snapshot=on,file=%s/%s", id, dir, file);
}

/* The next word of a list with '+' between its words, which moves behind it; false: there is none. */
static bool next_of(const char **list, char *word, size_t size)
{
    size_t n = strcspn(*list, "+");

    if (n == 0 || n >= size)
        return false;
    memcpy(word, *list, n);
    word[n] = '\0';
    *list += n + ((*list)[n] == '+');
    return true;
}

static void add_disks(struct command *c, const struct scenario *s, const char *dir)
{
    const char *list = s->disk;
    char kind[32];

    while (next_of(&list, kind, sizeof(kind))) {
        add_drive(c, kind, dir, "disk.img");
        if (strcmp(kind, "nvme4k") == 0) {
            add_format(c, "-device",
                       "nvme,drive=%s,serial=xl4k,logical_block_size=4096,physical_block_size=4096",
                       kind);
        } else if (strcmp(kind, "nvme") == 0) {
            add_format(c, "-device", "nvme,drive=%s,serial=xl", kind);
        } else if (strcmp(kind, "virtio-blk") == 0) {
            add_format(c, "-device", "virtio-blk-pci,drive=%s", kind);
        } else if (is_q35(s)) { /* it has one */
            add_format(c, "-device", "ide-hd,drive=%s,bus=ide.0", kind);
        } else {
            add_format(c, "-device", "ahci,id=controller");
            add_format(c, "-device", "ide-hd,drive=%s,bus=controller.0", kind);
        }
    }
}

/*
 * Card n is in the network 10.0.(2+n).0. Beside the gateway there, whose number is 2 and which also
 * answers TFTP: one port sends a file, one takes one of the same size and answers with its sum.
 */
static void add_nics(struct command *c, const struct scenario *s, const char *dir)
{
    const char *list = s->nic;
    char kind[32];

    for (unsigned int net = 2; next_of(&list, kind, sizeof(kind)); net++) {
        add_format(c, "-netdev",
                   "user,id=net%u,net=10.0.%u.0/24,restrict=on,tftp=%s/served,"
                   "guestfwd=tcp:10.0.%u.100:80-cmd:cat %s/served/big,"
                   "guestfwd=tcp:10.0.%u.100:81-cmd:sha256sum",
                   net, net, dir, net, dir, net);
        add_format(c, "-device", "%s,netdev=net%u,romfile=",
                   strcmp(kind, "virtio-net") == 0 ? "virtio-net-pci" : kind, net);
    }
}

static void add_firmware(struct command *c)
{
    add_format(c, "-drive", "if=pflash,unit=0,format=raw,readonly=on,file=" OVMF "OVMF_CODE.fd");
    add_format(c, "-drive", "if=pflash,unit=1,format=raw,snapshot=on,file=" OVMF "OVMF_VARS.fd");
}

static void add_words(struct command *c, const char *words)
{
    while (*words != '\0') {
        size_t n = strcspn(words, " ");

        if (n >= sizeof(c->text) - c->text_len)
            abort();
        add(c, memcpy(c->text + c->text_len, words, n));
        c->text_len += n + 1; /* it is zeroed */
        words += n + strspn(words + n, " ");
    }
}

static void make_argv(struct command *c, const struct scenario *s, const struct scenario_options *o)
{
    add_format(c, "-accel", o->one_thread ? "tcg,thread=single" : "tcg");
    add_format(c, "-machine", "%s", or_default(s->machine, "pc"));
    add_format(c, "-cpu", "%s", or_default(s->cpu, "qemu64"));
    add_format(c, "-smp", "%u", s->smp != 0 ? s->smp : 1);
    add_format(c, "-m", "%u", s->memory_mib != 0 ? s->memory_mib : 512);
    add_words(c, "-nodefaults -display none -no-reboot");
    if (s->firmware == FIRMWARE_UEFI)
        add_firmware(c);
    /* A CD on virtio-scsi: read by GRUB several times faster than one on IDE. */
    add_words(c, "-device virtio-scsi-pci,id=scsi -device scsi-cd,bus=scsi.0,drive=cd,bootindex=0");
    add_format(c, "-drive", "if=none,id=cd,media=cdrom,format=raw,readonly=on,file=%s", o->iso);
    if (s->root != NULL) {
        add_drive(c, "root", o->files_dir, s->root);
        add_format(c, "-device", "virtio-blk-pci,drive=root");
    }
    if (s->disk != NULL)
        add_disks(c, s, o->files_dir);
    if (s->nic != NULL)
        add_nics(c, s, o->files_dir);
    if (s->qemu != NULL)
        add_words(c, s->qemu);
    add(c, "-smbios");
    add(c, c->choice);
    add(c, "-smbios");
    add(c, c->more);
}

static void make_command(struct command *c, const struct scenario *s,
                         const struct scenario_options *o)
{
    memset(c, 0, sizeof(*c));
    snprintf(c->log_path, sizeof(c->log_path), "%s/%s.log", o->log_dir, s->name);
    if (s->end != END_STOPPED && !s->kernel_crash)
        snprintf(c->forbidden, sizeof(c->forbidden), "%s|%s", HYPERVISOR_BROKE, KERNEL_BROKE);
    else if (s->end != END_STOPPED)
        snprintf(c->forbidden, sizeof(c->forbidden), "%s", HYPERVISOR_BROKE);
    if (s->forbidden != NULL) {
        size_t n = strlen(c->forbidden);

        snprintf(c->forbidden + n, sizeof(c->forbidden) - n, "%s%s", n ? "|" : "", s->forbidden);
    }
    choose(c, s);
    make_argv(c, s, o);
}

static struct machine *start(struct command *c, const struct scenario *s,
                             const struct scenario_options *o)
{
    struct machine_config config;

    make_command(c, s, o);
    config = (struct machine_config){
        .name = s->name,
        .log_path = c->log_path,
        .argv = c->argv,
        .forbidden = c->forbidden[0] != '\0' ? c->forbidden : NULL,
        .output_max_bytes = 4 << 20,
    };
    return machine_start(&config);
}

/* Ask the hypervisor whether its books are right. $XL_AUDIT_KEY: another key; "off": do not ask. */
static bool audit(struct machine *m)
{
    const char *key = or_default(getenv("XL_AUDIT_KEY"), "A");

    if (strcmp(key, "off") == 0)
        return true;
    return machine_send(m, CONSOLE_SWITCH, strlen(CONSOLE_SWITCH)) &&
           machine_expect(m, "Serial input to", 10) && machine_send(m, key, 1) &&
           machine_expect(m, "audit: 0 errors", 60) &&
           machine_send(m, CONSOLE_SWITCH, strlen(CONSOLE_SWITCH)) &&
           machine_expect(m, "Serial input to DOM0", 10);
}

static unsigned int count(const char *text, const char *what)
{
    unsigned int n = 0;

    for (const char *p = strstr(text, what); p != NULL; p = strstr(p + 1, what))
        n++;
    return n;
}

/* "!duration PREFIX": behind PREFIX the guest says how many milliseconds went by since the step
 * before. By our clock it is to be the same, but for what a busy machine adds to either. */
static bool check_duration(struct machine *m, const struct scenario *s, const char *prefix,
                           double since_s)
{
    char regex[128];
    const char *found = NULL;
    double guest_s, here_s;

    snprintf(regex, sizeof(regex), "%s[0-9]+ ms", prefix);
    if (!machine_expect(m, regex, timeout_s(s)))
        return false;
    here_s = machine_seconds(m) - since_s;
    for (const char *p = machine_output(m, NULL); (p = strstr(p, prefix)) != NULL; p++)
        found = p + strlen(prefix);
    guest_s = strtod(found, NULL) / 1000;
    return (guest_s < here_s * 1.05 + 1 && here_s < guest_s * 1.05 + 1) ||
           machine_fail(m, "the guest counted %.2f seconds, we %.2f", guest_s, here_s);
}

enum { FIGURES = 8 };

/* What "!same" steps have matched. */
struct figures {
    const char *step[FIGURES];
    char *text[FIGURES];
};

static bool check_same(struct machine *m, const struct scenario *s, const char *regex,
                       struct figures *f)
{
    const char *text;
    size_t len, i = 0;

    if (!machine_expect(m, regex, timeout_s(s)))
        return false;
    text = machine_matched(m, &len);
    while (f->text[i] != NULL && strcmp(f->step[i], regex) != 0)
        if (++i == FIGURES)
            abort();
    if (f->text[i] == NULL) {
        f->step[i] = regex;
        f->text[i] = strndup(text, len);
        return true;
    }
    return (strlen(f->text[i]) == len && memcmp(f->text[i], text, len) == 0) ||
           machine_fail(m, "first: %s\nthen: %.*s", f->text[i], (int)len, text);
}

static bool step(struct machine *m, const struct scenario *s, const struct scenario_options *o,
                 const char *text, double last_s, struct figures *figures)
{
    if (strncmp(text, "!same ", 6) == 0)
        return check_same(m, s, text + 6, figures);
    if (strncmp(text, "!duration ", 10) == 0)
        return check_duration(m, s, text + 10, last_s);
    if (strncmp(text, "!screen ", 8) == 0) {
        char path[512];

        snprintf(path, sizeof(path), "%s/%s.ppm", o->log_dir, s->name);
        return screen_expect(m, path, o->kernel, text + 8, timeout_s(s));
    }
    if (text[0] == '>')
        return machine_send_paced(m, text + 1, strlen(text + 1));
    if (strcmp(text, "!nmi") == 0) {
        for (unsigned int i = 0; i < 500; i++) {
            if (!machine_qmp(m, "{\"execute\":\"inject-nmi\"}\n"))
                return false;
            machine_poll(m, 0.005, -1);
        }
        return true;
    }
    if (strcmp(text, "!mce") == 0) {
        return machine_qmp(m,
                           "{\"execute\":\"human-monitor-command\",\"arguments\":{\"command-line\":"
                           "\"mce 0 2 0xbd00000000000000 0x5 0x1234000 0x8c\"}}\n");
    }
    return machine_expect(m, text, timeout_s(s));
}

static bool check_end(struct machine *m, const struct scenario *s, struct result *result)
{
    switch (s->end) {
    case END_POWEROFF: return machine_expect_end(m, MACHINE_POWERED_OFF, 60);
    case END_RESET: return machine_expect_end(m, MACHINE_RESET, 60);
    case END_RUNNING:
    case END_STOPPED: break;
    }
    if (!machine_expect_alive(m, 1.5))
        return false;
    if (s->end == END_STOPPED && count(machine_output(m, NULL), PANIC_LINE) != 1) {
        result->outcome = OUTCOME_FAIL;
        snprintf(result->message, sizeof(result->message), "%u lines \"%s\", expected one",
                 count(machine_output(m, NULL), PANIC_LINE), PANIC_LINE);
    }
    return true;
}

/* A job of the ramdisk waits for a line before it ends (xl_hold): time for the audit. */
static bool is_job(const struct scenario *s)
{
    return s->kernel_cmdline != NULL && strstr(s->kernel_cmdline, "xl_job=") != NULL;
}

/* Steps that are played again. */
struct repeat {
    unsigned int first, end, left;
};

static bool play_steps(struct machine *m, const struct scenario *s,
                       const struct scenario_options *o, struct result *result,
                       struct figures *figures)
{
    bool audited = s->no_audit || s->end == END_STOPPED;
    struct repeat again = { .left = 0 };
    double last_s = 0;

    for (unsigned int i = 0; i < SCENARIO_STEPS && s->steps[i] != NULL; i++) {
        if (again.left && i == again.end && --again.left)
            i = again.first;
        if (sscanf(s->steps[i], "!repeat %u %u", &again.left, &again.end) == 2) {
            again.first = i + 1;
            again.end += again.first;
            continue;
        }
        /* What is sent last is what ends the machine. */
        bool last_send = s->steps[i][0] == '>' && s->steps[i + 1] == NULL;

        if (last_send && !audited && (audited = true, !audit(m)))
            return false;
        if (strncmp(s->steps[i], "!only ", 6) == 0) {
            if (strstr(machine_output(m, NULL), s->steps[i] + 6) != NULL)
                continue;
            result->outcome = OUTCOME_SKIP;
            snprintf(result->message, sizeof(result->message), "only with %s", s->steps[i] + 6);
            return true;
        }
        if (!step(m, s, o, s->steps[i], last_s, figures))
            return false;
        last_s = machine_seconds(m);
    }
    if (!audited && !audit(m))
        return false;
    if (is_job(s) && !s->no_audit && !machine_send(m, "\n", 1))
        return false;
    return check_end(m, s, result);
}

static bool play(struct machine *m, const struct scenario *s, const struct scenario_options *o,
                 struct result *result)
{
    struct figures figures = { .step = { NULL } };
    bool ok = play_steps(m, s, o, result, &figures);

    for (size_t i = 0; i < FIGURES; i++)
        free(figures.text[i]);
    return ok;
}

/* A machine that still runs is asked what it does: into the log. The keys may be its already. */
static void note_state(struct machine *m)
{
    static const char keys[] = "dqrepi", ours[] = "Serial input to the hypervisor";
    unsigned int before = count(machine_output(m, NULL), ours);

    machine_note_registers(m);
    for (unsigned int i = 0; i < 2 && count(machine_output(m, NULL), ours) == before; i++)
        if (!machine_send(m, CONSOLE_SWITCH, strlen(CONSOLE_SWITCH)) || !machine_expect_alive(m, 1))
            return;
    for (const char *key = keys; *key != '\0'; key++) {
        if (!machine_send(m, key, 1) || !machine_expect_alive(m, 1))
            return;
    }
}

static void set_failed(struct machine *m, struct result *result)
{
    result->outcome = OUTCOME_FAIL;
    snprintf(result->message, sizeof(result->message), "%s",
             m != NULL ? machine_error(m) : "QEMU could not be started");
    if (m != NULL && machine_end_reason(m) == MACHINE_RUNNING)
        note_state(m);
}

void scenario_run(const struct scenario *s, const struct scenario_options *o, struct result *result)
{
    struct command command;
    struct machine *m = start(&command, s, o);

    if (m == NULL || !play(m, s, o, result))
        set_failed(m, result);
    machine_destroy(m);
}

/* The rest of the line behind the verdict, and what it says. */
static enum outcome read_verdict(const char *line, struct result *result)
{
    size_t len = strcspn(line, "\n");

    snprintf(result->message, sizeof(result->message), "%.*s", (int)len, line);
    if (strncmp(line, "SUCCESS", 7) == 0)
        return OUTCOME_PASS;
    return strncmp(line, "SKIP", 4) == 0 ? OUTCOME_SKIP : OUTCOME_FAIL;
}

/* What the kernel's verdict is, and all behind it; NULL: it has not said it. */
static const char *find_verdict(struct machine *m, const char *kernel)
{
    char verdict[128];
    const char *line;

    snprintf(verdict, sizeof(verdict), "VERDICT %.*s ", (int)strcspn(kernel, "."), kernel);
    line = strstr(machine_output(m, NULL), verdict);
    return line != NULL ? line + strlen(verdict) : NULL;
}

/* Until the kernel says its verdict, or that it is going to crash. */
static bool await_verdict(struct machine *m, const struct scenario *s, const char *kernel)
{
    char regex[256];

    snprintf(regex, sizeof(regex), "(VERDICT|EXPECT) %.*s [^\n]*\n", (int)strcspn(kernel, "."),
             kernel);
    return machine_expect(m, regex, timeout_s(s));
}

/* Without drivers domain 0 cannot switch the machine off: the hypervisor halts it, and says so. */
static bool await_halt(struct machine *m, const struct scenario *s, const char *what)
{
    if (!machine_expect(m, what, timeout_s(s)))
        return false;
    /* One with asserts has made an audit before that. */
    if (strstr(machine_output(m, NULL), "debug=y") != NULL &&
        strstr(machine_output(m, NULL), "audit: 0 errors\n") == NULL)
        return machine_fail(m, "no audit at the end of the domain");
    return machine_expect_alive(m, 0.2);
}

static bool play_guest(struct machine *m, const struct scenario *s, struct result *result)
{
    const char *line;

    if (!await_verdict(m, s, s->kernel))
        return false;
    if (find_verdict(m, s->kernel) == NULL && /* EXPECT name CRASH */
        !machine_expect(m, "VERDICT|Dom(ain)? ?0 .*(crashed|unknown reason)", timeout_s(s)))
        return false;
    line = find_verdict(m, s->kernel);
    if (line != NULL)
        result->outcome = read_verdict(line, result);
    if (result->outcome == OUTCOME_FAIL)
        return true;
    return await_halt(m, s, line != NULL ? "halting machine" : "noreboot");
}

static bool said_success(struct machine *m, const char *who, const char *kernel)
{
    char line[128];

    snprintf(line, sizeof(line), "%s VERDICT %.*s SUCCESS", who, (int)strcspn(kernel, "."), kernel);
    return strstr(machine_output(m, NULL), line) != NULL;
}

static bool play_beside(struct machine *m, const struct scenario *s, struct result *result)
{
    struct result healthy = { .outcome = OUTCOME_PASS };

    if (!await_verdict(m, s, s->modules[0]))
        return false;
    if (find_verdict(m, s->modules[0]) != NULL)
        result->outcome = read_verdict(find_verdict(m, s->modules[0]), result);
    if (result->outcome == OUTCOME_FAIL)
        return true;
    if (s->modules[1] != NULL && /* the other one, of the two */
        (!await_verdict(m, s, s->modules[1]) || !said_success(m, "(d1)", s->modules[0]) ||
         !said_success(m, "(d2)", s->modules[1])))
        return machine_fail(m, "not a success in both domains");
    if (!await_verdict(m, s, s->kernel) || find_verdict(m, s->kernel) == NULL)
        return false;
    if (read_verdict(find_verdict(m, s->kernel), &healthy) != OUTCOME_PASS) {
        result->outcome = OUTCOME_FAIL;
        snprintf(result->message, sizeof(result->message), "domain 0: %.900s", healthy.message);
        return true;
    }
    if (find_verdict(m, s->modules[0]) == NULL)
        snprintf(result->message, sizeof(result->message), "crashed by intention");
    return await_halt(m, s, "halting machine");
}

static void run_guest(const struct scenario *s, const struct scenario_options *o,
                      struct result *result,
                      bool (*play_it)(struct machine *, const struct scenario *, struct result *))
{
    struct command command;
    struct machine *m = start(&command, s, o);

    if (m == NULL || !play_it(m, s, result))
        set_failed(m, result);
    machine_destroy(m);
}

void scenario_run_guest(const struct scenario *s, const struct scenario_options *o,
                        struct result *result)
{
    run_guest(s, o, result, play_guest);
}

void scenario_run_beside(const struct scenario *s, const struct scenario_options *o,
                         struct result *result)
{
    run_guest(s, o, result, play_beside);
}
