/* job.c - children with two pipes. */
#include "tui/job.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define ANSWER_MOST (64 << 20)

static void child_begin(int out, int err)
{
    int null = open("/dev/null", O_RDONLY);
    static const int signals[] = {SIGWINCH, SIGTERM, SIGHUP,  SIGINT,  SIGQUIT, SIGTSTP, SIGCONT,
                                  SIGCHLD,  SIGPIPE, SIGSEGV, SIGABRT, SIGBUS,  SIGFPE,  SIGILL};
    for (size_t i = 0; i < COUNT(signals); i++) signal(signals[i], SIG_DFL);
    if (null >= 0) dup2(null, 0);
    dup2(out, 1);
    dup2(err, 2);
    setsid(); /* Ctrl-C and Ctrl-Z on the terminal are for the screen */
}

static bool open_pipes(struct job *j, int out[2], int err_pipe[2], struct err *err)
{
    job_end(j);
    if (pipe2(out, O_CLOEXEC) != 0) return fail_errno(err, "cannot make a pipe");
    if (pipe2(err_pipe, O_CLOEXEC) != 0) {
        close(out[0]);
        close(out[1]);
        return fail_errno(err, "cannot make a pipe");
    }
    j->arena = arena_make(0);
    j->said = buf_make(&j->arena);
    j->complaint = buf_make(&j->arena);
    return true;
}

static bool parent(struct job *j, int pid, int out[2], int err_pipe[2], struct err *err)
{
    close(out[1]);
    close(err_pipe[1]);
    j->pid = pid;
    j->out = out[0];
    j->err = err_pipe[0];
    fcntl(j->out, F_SETFL, O_NONBLOCK);
    fcntl(j->err, F_SETFL, O_NONBLOCK);
    if (pid > 0) return true;
    fail_errno(err, "the system refuses another process");
    job_end(j);
    return false;
}

bool job_start(struct job *j, const char *const *argv, struct err *err)
{
    int out[2], err_pipe[2];
    if (!open_pipes(j, out, err_pipe, err)) return false;
    int pid = fork();
    if (pid == 0) {
        child_begin(out[1], err_pipe[1]);
        execv(argv[0], (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    return parent(j, pid, out, err_pipe, err);
}

bool job_fork(struct job *j, int (*work)(void *arg), void *arg, struct err *err)
{
    int out[2], err_pipe[2];
    if (!open_pipes(j, out, err_pipe, err)) return false;
    int pid = fork();
    if (pid == 0) {
        child_begin(out[1], err_pipe[1]);
        _exit(work(arg));
    }
    return parent(j, pid, out, err_pipe, err);
}

static void take(int fd, struct buf *into)
{
    char piece[16384];
    ssize_t n;
    while ((n = read(fd, piece, sizeof piece)) > 0 || (n < 0 && errno == EINTR))
        if (n > 0 && into->n < ANSWER_MOST) buf_put(into, piece, (size_t)n);
}

bool job_poll(struct job *j, int *code)
{
    int status;
    if (j->pid <= 0) return false;
    take(j->out, &j->said);
    take(j->err, &j->complaint);
    pid_t ended = waitpid(j->pid, &status, WNOHANG);
    if (ended == 0 || (ended < 0 && errno == EINTR)) return false;
    take(j->out, &j->said);
    take(j->err, &j->complaint);
    *code = ended < 0 ? 1 : WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    j->pid = 0;
    return true;
}

const char *job_error(struct job *j, int code)
{
    struct text t = buf_text(&j->complaint);
    struct buf out = buf_make(&j->arena);
    while (t.n) {
        const char *end = memchr(t.p, '\n', t.n);
        struct text line = {t.p, end ? (size_t)(end - t.p) : t.n};
        t.p += line.n + (end != NULL);
        t.n -= line.n + (end != NULL);
        if (line.n > 6 && memcmp(line.p, "hone: ", 6) == 0) {
            line.p += 6;
            line.n -= 6;
        }
        if (line.n) buf_printf(&out, "%s%.*s", out.n ? "\n" : "", (int)line.n, line.p);
    }
    if (out.n == 0 && code > 128)
        buf_printf(&out, "the process that looked ended by signal %d", code - 128);
    if (out.n == 0)
        buf_printf(&out, "the process that looked ended with code %d and said nothing", code);
    return out.p;
}

void job_end(struct job *j)
{
    if (j->pid > 0) {
        kill(j->pid, SIGKILL);
        waitpid(j->pid, NULL, 0);
    }
    if (j->out >= 0) close(j->out);
    if (j->err >= 0) close(j->err);
    arena_drop(&j->arena);
    *j = JOB_IDLE;
}
