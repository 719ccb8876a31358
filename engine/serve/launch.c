/* launch.c - starting a run's engine so that nothing of the caller's world reaches it.
 *
 *   caller -- fork --> between (setsid, exits) -- fork --> parent (holds RUN/lock) -- fork, exec
 * --> engine
 *
 * The parent's few lines hold the lock together with the engine (one shared descriptor), wait for
 * it and write how it ended as the last event. A pipe that closes at exec tells the caller that the
 * engine runs, or why not. */
#include "engine/run/folder.h"
#include "engine/serve/launch.h"
#include "kernels/pool.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- the lock ---- */

static void lock_sign(int fd)
{
    char host[65] = "", text[256];
    gethostname(host, sizeof host - 1);
    int n = snprintf(text, sizeof text, "host %s pid %d started %.0f\n", host, (int)getpid(),
                     now_unix());
    if (ftruncate(fd, 0) != 0 || pwrite(fd, text, (size_t)n, 0) != n)
        say(LOG_WARN, "the lock file could not be signed");
}

bool lock_take(int *fd, const char *run_dir, struct err *err)
{
    char path[4096], holder[200];
    struct stat mine, there;
    snprintf(path, sizeof path, "%s/lock", run_dir);
    for (int tries = 0; tries < 10; tries++) {
        *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (*fd < 0) return fail_errno(err, "cannot open %s", path);
        if (flock(*fd, LOCK_EX | LOCK_NB) != 0) {
            ssize_t n = pread(*fd, holder, sizeof holder - 1, 0);
            holder[n > 0 ? n - 1 : 0] = 0;
            close(*fd);
            *fd = -1;
            return fail(err, "run %s is held already (%s)", path_base(run_dir),
                        holder[0] ? holder : "its engine is starting");
        }
        /* Somebody may have removed the file in between: then this lock is on a file that nobody
         * else sees. */
        if (fstat(*fd, &mine) == 0 && stat(path, &there) == 0 && mine.st_ino == there.st_ino &&
            mine.st_dev == there.st_dev) {
            lock_sign(*fd);
            return true;
        }
        close(*fd);
    }
    *fd = -1;
    return fail(err, "%s is replaced again and again by somebody else", path);
}

/* ---- the parent ---- */

static bool is_over(enum run_state s)
{
    return s == RUN_DONE || s == RUN_STOPPED || s == RUN_FAILED;
}

/* The engine ended, but its last events found no room on the disk and died with it. */
static void write_held(struct journal *j)
{
    char why[sizeof j->now.why];
    snprintf(why, sizeof why, "%s", j->now.why);
    int64_t held = j->now.held + j->now.lost;
    j->now.held = j->now.lost = 0;
    journal_note(j, "error", j->now.step,
                 "%lld events are lost: the disk was full until the engine ended", (long long)held);
    journal_state(j, j->now.state, j->now.step, "%s", why);
}

/* What nobody else can know: that the engine ended without a last word, and how. */
static void write_end(const char *run_dir, int status, bool oom)
{
    struct arena a = arena_make(0);
    struct journal j = JOURNAL_CLOSED;
    struct err err;
    bool open = journal_open(&j, run_dir, &a, &err);
    if (open && is_over(j.now.state) && j.now.held) write_held(&j);
    else if (open && !is_over(j.now.state)) {
        if (oom)
            journal_state(&j, RUN_FAILED, j.now.step,
                          "killed by the kernel: out of memory. Lower micro_batch_size or "
                          "max_length, then resume");
        else if (WIFSIGNALED(status))
            journal_state(
                &j, RUN_FAILED, j.now.step,
                "the engine was killed by signal %d (%s); resume goes on from the last checkpoint",
                WTERMSIG(status), strsignal(WTERMSIG(status)));
        else
            journal_state(&j, RUN_FAILED, j.now.step,
                          "the engine ended with status %d; see engine.log", WEXITSTATUS(status));
    }
    journal_close(&j);
    arena_drop(&a);
}

static _Noreturn void parent_wait(pid_t engine, const char *run_dir, int64_t oom_before)
{
    int status = 0;
    signal(SIGTERM, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    while (waitpid(engine, &status, 0) < 0 && errno == EINTR) {}
    write_end(run_dir, status,
              WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL && pool_oom_kills() > oom_before);
    _exit(0);
}

static void engine_exec(const char *run_dir, const struct run_options *o, const struct places *p,
                        int lock)
{
    char lock_text[16], threads[16];
    snprintf(lock_text, sizeof lock_text, "%d", lock);
    snprintf(threads, sizeof threads, "%d", o->threads);
    fcntl(lock, F_SETFD, 0);                        /* the engine keeps it */
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0}); /* a core would hold the model */
    execl(p->program, "hone", "engine", run_dir, "--locked", lock_text, "--threads", threads,
          o->backend ? "--backend" : (char *)NULL, o->backend, (char *)NULL);
}

static void tell(int pipe_end, const char *sentence)
{
    if (write(pipe_end, sentence, strlen(sentence)) < 0) _exit(1);
    _exit(1);
}

static void detach_output(const char *run_dir)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/engine.log", run_dir);
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (null >= 0) dup2(null, 0);
    if (log >= 0) dup2(log, 1);
    if (log >= 0) dup2(log, 2);
}

static _Noreturn void parent_main(const char *run_dir, const struct run_options *o,
                                  const struct places *p, int ready)
{
    struct err err;
    int lock;
    signal(SIGHUP, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    detach_output(run_dir);
    if (!lock_take(&lock, run_dir, &err)) tell(ready, err.text);
    int64_t oom = pool_oom_kills();
    pid_t engine = fork();
    if (engine < 0) tell(ready, "the system refuses another process");
    if (engine == 0) {
        engine_exec(run_dir, o, p, lock);
        tell(ready, "the engine program cannot be started");
    }
    close(ready);
    parent_wait(engine, run_dir, oom);
}

bool serve_launch(const char *run_dir, const struct run_options *o, const struct places *p,
                  struct err *err)
{
    int ends[2];
    char why[1024];
    if (pipe2(ends, O_CLOEXEC) != 0) return fail_errno(err, "cannot make a pipe");
    pid_t between = fork();
    if (between == 0) {
        close(ends[0]);
        setsid();
        pid_t parent = fork();
        if (parent == 0) parent_main(run_dir, o, p, ends[1]);
        _exit(parent < 0);
    }
    close(ends[1]);
    if (between < 0) {
        close(ends[0]);
        return fail_errno(err, "the system refuses another process");
    }
    while (waitpid(between, NULL, 0) < 0 && errno == EINTR) {}
    /* Nothing and the end of the pipe: exec went through. */
    struct pollfd wait = {ends[0], POLLIN, 0};
    int ready = poll(&wait, 1, 10000);
    ssize_t n = ready > 0 ? read(ends[0], why, sizeof why - 1) : 0;
    close(ends[0]);
    if (ready == 0)
        return fail(err, "the engine of %s did not start within 10 s; see engine.log", run_dir);
    if (n <= 0) return true;
    why[n] = 0;
    return fail(err, "%s", why);
}
