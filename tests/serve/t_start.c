/* t_start.c - whatever races, one engine a run: forty processes start the same run at once, fifty
 * times, with a delay of 2 ms before every call that opens a window (open, flock, unlink, bind,
 * rename). A race without delays passes wrong code. In every round exactly one holds the run,
 * thirty-nine are told who does, and all reach it. */
#include "tests/test.h"
#include "tests/serve/system.h"
#include "engine/serve/launch.h"
#include "engine/serve/wire.h"
#include <poll.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/wait.h>

enum { RACERS = 40, ROUNDS = 50 };

static char home[64], run[80];
static struct tally {
    int engines, refusals, reached, holding, most;
    char strange[400];
} * tally;

/* The way of an engine from its lock to its socket, as launch.c and engine.c go it. */
static bool start(int *lock, int *listener, struct err *err)
{
    char path[108];
    struct arena a = arena_make(0);
    bool ok = lock_take(lock, run, err);
    if (ok) { /* between here and the end of the process nobody else may be here */
        int now = __atomic_add_fetch(&tally->holding, 1, __ATOMIC_SEQ_CST);
        if (now > tally->most) tally->most = now;
        ok = wire_path(path, run, home, err) && wire_listen(listener, path, err) &&
             file_replace(path_join(&a, run, "socket"), text_of(path), err);
    }
    arena_drop(&a);
    return ok;
}

static void serve(int listener)
{
    for (int served = 0; served < RACERS - 1;) {
        struct pollfd p = {listener, POLLIN, 0};
        if (poll(&p, 1, 5000) <= 0) return;
        int fd = wire_accept(listener);
        if (fd < 0) continue;
        served += write(fd, "\n", 1) == 1;
        close(fd);
    }
}

/* Two seconds to find the engine that won. */
static bool reach(void)
{
    for (double until = now_monotonic() + 20; now_monotonic() < until;) {
        struct arena a = arena_make(0);
        struct err err;
        struct text path;
        int fd;
        char c;
        bool there = file_read(&path, path_join(&a, run, "socket"), 108, &a, &err) &&
                     wire_connect(&fd, path.p, &err);
        arena_drop(&a);
        if (there) {
            struct pollfd p = {fd, POLLIN, 0};
            bool spoke = poll(&p, 1, 5000) == 1 && read(fd, &c, 1) == 1;
            close(fd);
            if (spoke) return true;
        }
        poll(NULL, 0, 5);
    }
    return false;
}

static void racer(int go)
{
    struct err err = {.text = ""};
    int lock, listener;
    char c;
    signal(SIGPIPE, SIG_IGN);
    alarm(60);
    if (read(go, &c, 1) < 0) _exit(1); /* all wait for the same moment */
    sys.delay_ms = 2;
    sys_begin();
    if (start(&lock, &listener, &err)) {
        sys_end();
        __atomic_add_fetch(&tally->engines, 1, __ATOMIC_SEQ_CST);
        serve(listener);
        _exit(0);
    }
    sys_end();
    if (strstr(err.text, "is held already"))
        __atomic_add_fetch(&tally->refusals, 1, __ATOMIC_SEQ_CST);
    else snprintf(tally->strange, sizeof tally->strange, "%.390s", err.text);
    if (reach()) __atomic_add_fetch(&tally->reached, 1, __ATOMIC_SEQ_CST);
    _exit(0);
}

/* What a dead engine leaves behind: its lock file, its socket, the file that names it. */
static void leave_leftovers(int round)
{
    struct arena a = arena_make(0);
    struct err err;
    char path[108];
    int listener;
    if (round % 3 == 0 && path_exists(path_join(&a, run, "lock")))
        unlink(path_join(&a, run, "lock"));
    if (round % 2 && wire_path(path, run, home, &err) && wire_listen(&listener, path, &err))
        close(listener);
    unlink(path_join(&a, run, "socket"));
    arena_drop(&a);
}

static void one_round(int round)
{
    int go[2];
    *tally = (struct tally){0};
    leave_leftovers(round);
    assert_int_equal(pipe(go), 0);
    for (int i = 0; i < RACERS; i++) {
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            syscall(SYS_close, go[1]);
            racer(go[0]);
        }
    }
    close(go[0]);
    close(go[1]); /* go */
    while (wait(NULL) > 0) {}
    if (tally->engines != 1 || tally->most != 1 || tally->refusals != RACERS - 1 ||
        tally->reached != RACERS - 1)
        fail_msg("round %d: %d engines, %d refusals, %d reached it; %s", round, tally->engines,
                 tally->refusals, tally->reached, tally->strange);
}

static void forty_starts_give_one_engine(void **state)
{
    const char *more = getenv("HONE_MORE");
    (void)state;
    for (int i = 0; i < ROUNDS * (more ? (int)strtol(more, NULL, 10) : 1); i++) one_round(i);
}

/* A lock file that somebody removed is no lock: who holds it and who comes see different files. */
static void a_removed_lock_file_is_noticed(void **state)
{
    (void)state;
    struct arena a = arena_make(0);
    struct err err;
    int lock, other, status;
    const char *path = path_join(&a, run, "lock");
    assert_true(lock_take(&lock, run, &err));
    pid_t pid = fork();
    if (pid == 0)
        _exit(lock_take(&other, run, &err) ? 1 : strstr(err.text, "is held already") ? 0 : 2);
    assert_true(waitpid(pid, &status, 0) == pid && status == 0);
    assert_true(run_is_held(run));
    unlink(path);
    assert_false(
        run_is_held(run)); /* nothing can be done about that; the next one gets a lock of its own */
    assert_true(lock_take(&other, run, &err));
    assert_true(run_is_held(run));
    close(other);
    close(lock);
    arena_drop(&a);
}

static void replace_once(enum call c, const char *path, const char *to, const void *p, size_t n,
                         long at)
{
    static bool replaced;
    (void)to, (void)p, (void)n, (void)at;
    if (c != CALL_OPEN || replaced || strcmp(path_base(path), "lock") != 0) return;
    replaced = true;
    assert_int_equal(unlink(path), 0);
    assert_int_equal(close(open(path, O_WRONLY | O_CREAT, 0600)), 0);
}

/* Another file comes under its name between the open and the flock: that lock nobody would see. */
static void a_lock_file_that_is_replaced_while_it_is_locked_is_locked_anew(void **state)
{
    (void)state;
    struct err err;
    int lock;
    sys.delay_ms = 0;
    sys.watch = replace_once;
    sys_begin();
    bool ok = lock_take(&lock, run, &err);
    sys_end();
    sys.watch = NULL;
    if (!ok) fail_msg("%s", err.text);
    assert_true(run_is_held(run));
    close(lock);
}

static int begin(void **state)
{
    (void)state;
    struct err err;
    snprintf(home, sizeof home, "/tmp/hone-start-XXXXXX");
    if (!mkdtemp(home)) return -1;
    snprintf(run, sizeof run, "%s/run", home);
    tally = mmap(NULL, sizeof *tally, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return tally != MAP_FAILED && dir_make(run, &err) ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    struct err err;
    return dir_remove(home, &err) ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forty_starts_give_one_engine),
        cmocka_unit_test(a_removed_lock_file_is_noticed),
        cmocka_unit_test(a_lock_file_that_is_replaced_while_it_is_locked_is_locked_anew),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
