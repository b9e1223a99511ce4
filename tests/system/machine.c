#define _GNU_SOURCE
#include "machine.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <regex.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    SERIAL_CHUNK_BYTES = 16, /* the FIFO of a 16550: no receiver needs to be faster */
    QMP_SECONDS = 10,
};

struct buffer {
    char *data; /* NUL-ended */
    size_t len, size;
};

/* Where in a terminal's escape sequence the serial stream is: ESC [ parameters letter. */
enum escape_state { PLAIN, ESCAPE, CONTROL_SEQUENCE };

struct machine {
    struct machine_config config;
    struct timespec start;
    pid_t pid;
    int serial_fd, qmp_fd; /* -1 once closed */
    struct buffer output, qmp;
    size_t mark;       /* expectations look at output from here on */
    size_t matched;    /* where the last one's match begins; mark is its end */
    size_t line_start; /* of the line being received */
    FILE *log;
    bool at_line_start; /* of the log */
    enum escape_state escape;
    regex_t forbidden;
    bool failed;
    bool exited;
    int wait_status;
    enum machine_end end;
    char error[1024];
};

static void buffer_append(struct buffer *b, const char *data, size_t len)
{
    if (b->size - b->len < len + 1) {
        b->size = (b->len + len + 1) * 2;
        b->data = realloc(b->data, b->size);
        if (b->data == NULL)
            abort();
    }
    memcpy(b->data + b->len, data, len);
    b->len += len;
    b->data[b->len] = '\0';
}

bool machine_fail(struct machine *m, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(m->error, sizeof(m->error), format, args);
    va_end(args);
    return false;
}

double machine_seconds(const struct machine *m)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - m->start.tv_sec) + (double)(now.tv_nsec - m->start.tv_nsec) * 1e-9;
}

static void log_bytes(struct machine *m, const char *data, size_t len)
{
    for (size_t i = 0; m->log != NULL && i < len; i++) {
        if (m->at_line_start)
            fprintf(m->log, "[%7.2f] ", machine_seconds(m));
        fputc(data[i], m->log);
        m->at_line_start = data[i] == '\n';
    }
}

static void check_line(struct machine *m, char *line)
{
    if (m->failed || m->config.forbidden == NULL || regexec(&m->forbidden, line, 0, NULL, 0) != 0)
        return;
    m->failed = true;
    machine_fail(m, "forbidden line: %s", line);
}

/* Whether a character is text: neither NUL, carriage return nor part of an escape sequence. */
static bool is_text(struct machine *m, char c)
{
    switch (m->escape) {
    case ESCAPE: m->escape = c == '[' ? CONTROL_SEQUENCE : PLAIN; return false;
    case CONTROL_SEQUENCE:
        if (c >= '@' && c <= '~')
            m->escape = PLAIN;
        return false;
    case PLAIN: break;
    }
    if (c == '\033')
        m->escape = ESCAPE;
    return c != '\0' && c != '\r' && c != '\033';
}

static void serial_input(struct machine *m, const char *data, size_t len)
{
    size_t kept = 0;
    char clean[4096];

    for (size_t i = 0; i < len; i++) {
        if (is_text(m, data[i]))
            clean[kept++] = data[i];
    }
    if (m->config.echo != NULL) {
        fwrite(clean, 1, kept, m->config.echo);
        fflush(m->config.echo);
    }
    log_bytes(m, clean, kept);
    buffer_append(&m->output, clean, kept);
    for (;;) {
        char *line = m->output.data + m->line_start;
        char *newline = memchr(line, '\n', m->output.len - m->line_start);

        if (newline == NULL)
            break;
        *newline = '\0';
        check_line(m, line);
        *newline = '\n';
        m->line_start = (size_t)(newline - m->output.data) + 1;
    }
    if (m->config.output_max_bytes != 0 && m->output.len > m->config.output_max_bytes) {
        m->failed = true;
        machine_fail(m, "more than %zu bytes of output", m->config.output_max_bytes);
    }
}

static void qmp_input(struct machine *m, const char *data, size_t len)
{
    const char *event;

    buffer_append(&m->qmp, data, len);
    event = strstr(m->qmp.data, "\"SHUTDOWN\"");
    if (event == NULL || strchr(event, '\n') == NULL)
        return;
    if (strstr(event, "\"guest-shutdown\"") != NULL)
        m->end = MACHINE_POWERED_OFF;
    else if (strstr(event, "\"guest-reset\"") != NULL)
        m->end = MACHINE_RESET;
}

/* Read what is there. Returns false at the other side's end. */
static bool drain(struct machine *m, int fd, void (*input)(struct machine *, const char *, size_t))
{
    char data[4096];
    ssize_t n = read(fd, data, sizeof(data));

    if (n > 0)
        input(m, data, (size_t)n);
    return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void reap(struct machine *m)
{
    int status;

    if (m->exited || waitpid(m->pid, &status, WNOHANG) != m->pid)
        return;
    m->exited = true;
    m->wait_status = status;
    while (m->serial_fd >= 0 && drain(m, m->serial_fd, serial_input))
        if (poll(&(struct pollfd){ m->serial_fd, POLLIN, 0 }, 1, 0) <= 0)
            break;
    while (m->qmp_fd >= 0 && drain(m, m->qmp_fd, qmp_input))
        if (poll(&(struct pollfd){ m->qmp_fd, POLLIN, 0 }, 1, 0) <= 0)
            break;
    if (m->end == MACHINE_RUNNING)
        m->end = MACHINE_QUIT;
}

bool machine_poll(struct machine *m, double wait_s, int extra_fd)
{
    struct pollfd fds[] = {
        { .fd = m->serial_fd, .events = POLLIN },
        { .fd = m->qmp_fd, .events = POLLIN },
        { .fd = extra_fd, .events = POLLIN },
    };
    int timeout_ms = wait_s <= 0 ? 0 : (int)(wait_s * 1000) + 1;

    /* QEMU's end shows as the end of both streams; without them, look for it regularly. */
    if (m->serial_fd < 0 && timeout_ms > 20)
        timeout_ms = 20;
    if (poll(fds, 3, timeout_ms) > 0) {
        if (fds[0].revents != 0 && !drain(m, m->serial_fd, serial_input))
            close_fd(&m->serial_fd);
        if (fds[1].revents != 0 && !drain(m, m->qmp_fd, qmp_input))
            close_fd(&m->qmp_fd);
    }
    reap(m);
    return fds[2].revents != 0;
}

bool machine_expect(struct machine *m, const char *regex, double timeout_s)
{
    double deadline = machine_seconds(m) + timeout_s;
    bool met = false;
    regex_t compiled;

    if (regcomp(&compiled, regex, REG_EXTENDED | REG_NEWLINE) != 0)
        return machine_fail(m, "bad regular expression: %s", regex);
    for (;;) {
        bool last = m->exited || machine_seconds(m) > deadline;
        regmatch_t match;

        if (m->failed)
            break;
        if (regexec(&compiled, m->output.data + m->mark, 1, &match, 0) == 0) {
            m->matched = m->mark + (size_t)match.rm_so;
            m->mark += (size_t)match.rm_eo;
            met = true;
            break;
        }
        if (last) {
            machine_fail(m, "%s before: %s", m->exited ? "the machine ended" : "time ran out",
                         regex);
            break;
        }
        machine_poll(m, deadline - machine_seconds(m), -1);
    }
    regfree(&compiled);
    return met;
}

const char *machine_matched(const struct machine *m, size_t *len_bytes)
{
    *len_bytes = m->mark - m->matched;
    return m->output.data + m->matched;
}

bool machine_send(struct machine *m, const char *text, size_t len_bytes)
{
    while (len_bytes > 0) {
        ssize_t n = send(m->serial_fd, text, len_bytes, MSG_NOSIGNAL);

        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return machine_fail(m, "cannot write to the serial port: %s", strerror(errno));
        if (n > 0) {
            text += n;
            len_bytes -= (size_t)n;
        } else {
            machine_poll(m, 0.05, -1);
        }
    }
    return true;
}

/* Send no faster than it is echoed: neither the hypervisor's nor the kernel's buffers are endless.
 * What is not echoed is sent all the same, only slower. */
bool machine_send_paced(struct machine *m, const char *text, size_t len_bytes)
{
    while (len_bytes > 0) {
        size_t n = len_bytes < SERIAL_CHUNK_BYTES ? len_bytes : SERIAL_CHUNK_BYTES;
        size_t seen = m->output.len;
        double deadline = machine_seconds(m) + 0.5;

        if (!machine_send(m, text, n))
            return false;
        text += n;
        len_bytes -= n;
        while (!m->exited && m->output.len < seen + n && machine_seconds(m) < deadline)
            machine_poll(m, deadline - machine_seconds(m), -1);
        if (m->exited)
            return machine_fail(m, "the machine ended while text was sent to it");
    }
    return true;
}

static const char *const end_names[] = {
    [MACHINE_RUNNING] = "still runs",
    [MACHINE_POWERED_OFF] = "was switched off",
    [MACHINE_RESET] = "was reset",
    [MACHINE_QUIT] = "was quit by QEMU",
};

bool machine_expect_end(struct machine *m, enum machine_end end, double timeout_s)
{
    double deadline = machine_seconds(m) + timeout_s;

    while (!m->exited && machine_seconds(m) < deadline)
        machine_poll(m, deadline - machine_seconds(m), -1);
    if (m->failed)
        return false;
    if (m->end != end)
        return machine_fail(m, "the machine %s, expected: %s", end_names[m->end], end_names[end]);
    if (m->exited && machine_exit_status(m) != 0)
        return machine_fail(m, "QEMU's exit status is %d", machine_exit_status(m));
    return true;
}

bool machine_expect_alive(struct machine *m, double duration_s)
{
    double deadline = machine_seconds(m) + duration_s;

    while (!m->exited && machine_seconds(m) < deadline)
        machine_poll(m, deadline - machine_seconds(m), -1);
    if (m->failed)
        return false;
    if (m->exited || m->end != MACHINE_RUNNING)
        return machine_fail(m, "the machine %s, expected: still runs", end_names[m->end]);
    return true;
}

void machine_note(struct machine *m, const char *what, const char *text)
{
    if (m->log == NULL)
        return;
    fprintf(m->log, "%s---- %s\n%s\n----\n", m->at_line_start ? "" : "\n", what, text);
    m->at_line_start = true;
}

const char *machine_error(const struct machine *m) { return m->error; }

bool machine_failed(const struct machine *m) { return m->failed; }

enum machine_end machine_end_reason(const struct machine *m) { return m->end; }

int machine_exit_status(const struct machine *m)
{
    if (WIFSIGNALED(m->wait_status))
        return 128 + WTERMSIG(m->wait_status);
    return WEXITSTATUS(m->wait_status);
}

const char *machine_output(const struct machine *m, size_t *len_bytes)
{
    if (len_bytes != NULL)
        *len_bytes = m->output.len;
    return m->output.data;
}

/* In the child: never returns. */
static void exec_qemu(const struct machine *m, int serial_fd, int qmp_fd, pid_t parent)
{
    const char *qemu = getenv("QEMU");
    const char *argv[128];
    char serial[64], qmp[64];
    size_t n = 0;
    int null_fd = open("/dev/null", O_RDWR);

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(127);
    setpgid(0, 0); /* the terminal's Ctrl-C is for the driver alone */
    dup2(null_fd, STDIN_FILENO);
    dup2(m->log != NULL ? fileno(m->log) : STDERR_FILENO, STDERR_FILENO);
    dup2(null_fd, STDOUT_FILENO);
    snprintf(serial, sizeof(serial), "socket,id=xl-serial,fd=%d", serial_fd);
    snprintf(qmp, sizeof(qmp), "socket,id=xl-qmp,fd=%d", qmp_fd);
    argv[n++] = qemu != NULL ? qemu : "qemu-system-x86_64";
    for (const char *const *arg = m->config.argv; *arg != NULL && n < 110; arg++)
        argv[n++] = *arg;
    argv[n++] = "-chardev";
    argv[n++] = serial;
    argv[n++] = "-serial";
    argv[n++] = "chardev:xl-serial";
    argv[n++] = "-chardev";
    argv[n++] = qmp;
    argv[n++] = "-mon";
    argv[n++] = "chardev=xl-qmp,mode=control";
    argv[n] = NULL;
    execvp(argv[0], (char *const *)argv);
    dprintf(STDERR_FILENO, "cannot run %s: %s\n", argv[0], strerror(errno));
    _exit(127);
}

static bool spawn(struct machine *m)
{
    static const char greeting[] = "{\"execute\":\"qmp_capabilities\"}\n";
    pid_t parent = getpid();
    int serial[2], qmp[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, serial) != 0 ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, qmp) != 0) {
        perror("socketpair");
        return false;
    }
    m->pid = fork();
    if (m->pid < 0) {
        perror("fork");
        return false;
    }
    if (m->pid == 0) {
        fcntl(serial[1], F_SETFD, 0);
        fcntl(qmp[1], F_SETFD, 0);
        exec_qemu(m, serial[1], qmp[1], parent);
    }
    close(serial[1]);
    close(qmp[1]);
    m->serial_fd = serial[0];
    m->qmp_fd = qmp[0];
    fcntl(m->serial_fd, F_SETFL, O_NONBLOCK);
    fcntl(m->qmp_fd, F_SETFL, O_NONBLOCK);
    /* QEMU reads it when it is up, and tells events from then on. */
    return send(m->qmp_fd, greeting, sizeof(greeting) - 1, MSG_NOSIGNAL) > 0;
}

static void log_command(struct machine *m)
{
    fprintf(m->log, "machine %s:", m->config.name);
    for (const char *const *arg = m->config.argv; *arg != NULL; arg++)
        fprintf(m->log, strchr(*arg, ' ') != NULL ? " '%s'" : " %s", *arg);
    fprintf(m->log, "\n");
    fflush(m->log);
}

struct machine *machine_start(const struct machine_config *config)
{
    struct machine *m = calloc(1, sizeof(*m));

    if (m == NULL)
        return NULL;
    m->config = *config;
    m->serial_fd = m->qmp_fd = -1;
    m->at_line_start = true;
    clock_gettime(CLOCK_MONOTONIC, &m->start);
    buffer_append(&m->output, "", 0);
    buffer_append(&m->qmp, "", 0);
    if (config->forbidden != NULL &&
        regcomp(&m->forbidden, config->forbidden, REG_EXTENDED | REG_NOSUB) != 0) {
        fprintf(stderr, "%s: bad regular expression: %s\n", config->name, config->forbidden);
        m->config.forbidden = NULL;
        goto out_destroy;
    }
    if (config->log_path != NULL) {
        m->log = fopen(config->log_path, "we");
        if (m->log == NULL) {
            fprintf(stderr, "cannot write %s: %s\n", config->log_path, strerror(errno));
            goto out_destroy;
        }
        setvbuf(m->log, NULL, _IOLBF, 0);
        log_command(m);
    }
    if (spawn(m))
        return m;
out_destroy:
    machine_destroy(m);
    return NULL;
}

void machine_destroy(struct machine *m)
{
    if (m == NULL)
        return;
    if (m->pid > 0 && !m->exited) {
        kill(m->pid, SIGKILL);
        waitpid(m->pid, &m->wait_status, 0);
    }
    close_fd(&m->serial_fd);
    close_fd(&m->qmp_fd);
    if (m->log != NULL)
        fclose(m->log);
    if (m->config.forbidden != NULL)
        regfree(&m->forbidden);
    free(m->output.data);
    free(m->qmp.data);
    free(m);
}

/* QEMU may stop reading when commands are piled up: one at a time. */
bool machine_qmp(struct machine *m, const char *command)
{
    double deadline = machine_seconds(m) + QMP_SECONDS;
    size_t before = m->qmp.len;

    if (m->qmp_fd < 0 || send(m->qmp_fd, command, strlen(command), MSG_NOSIGNAL) < 0)
        return machine_fail(m, "QEMU does not listen to: %s", command);
    while (m->qmp_fd >= 0 && machine_seconds(m) < deadline) {
        const char *answer = strstr(m->qmp.data + before, "\"return\"");

        if (answer != NULL && strchr(answer, '\n') != NULL)
            return true;
        if (strstr(m->qmp.data + before, "\"error\"") != NULL)
            return machine_fail(m, "QEMU refuses: %s", m->qmp.data + before);
        machine_poll(m, 0.1, -1);
    }
    return machine_fail(m, "QEMU did not answer to: %s", command);
}

void machine_note_registers(struct machine *m)
{
    size_t before = m->qmp.len;
    char *to, *from;

    if (machine_qmp(m, "{\"execute\":\"human-monitor-command\",\"arguments\":"
                       "{\"command-line\":\"info registers -a\"}}\n")) {
        for (to = from = m->qmp.data + before; *from != '\0'; from++) {
            if (strncmp(from, "\\r\\n", 4) == 0) { /* JSON's */
                *to++ = '\n';
                from += 3;
            } else {
                *to++ = *from;
            }
        }
        *to = '\0';
        m->qmp.len = (size_t)(to - m->qmp.data);
    }
    machine_note(m, "registers", m->qmp.data + before);
}
