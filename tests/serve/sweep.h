/* sweep.h - a fault at every call of a scenario, in every way: the scenario is the real code; one
 * of its calls fails (errno, from then on, short, kill -9 before it and half-way through it); the
 * test looks at what is on the disk and lets the scenario go through undisturbed. Each kind of call
 * must give as many points as it is worth: a sweep that hits nothing is no sweep. */
#ifndef HONE_TEST_SWEEP_H
#define HONE_TEST_SWEEP_H
#include "tests/test.h"
#include "tests/serve/system.h"
#include "engine/base/base.h"
#include <sys/mman.h>
#include <sys/wait.h>

/* What a child says to its parent, in memory that both see. */
static struct said {
    int hit, ok, held;
    long seen[CALLS];
    char hash[33], text[1024];
} * said;

struct scenario {
    const char *name;
    bool few;         /* each call in some of the ways, in turn; with HONE_NIGHTLY in all of them */
    bool forks;       /* it keeps something until its process ends */
    int saved_before; /* checkpoints there are before: steps 10, 20, ... */
    bool (*does)(struct arena *a,
                 struct err *err); /* in the child; true: it says that it is done */
    void (*holds)(bool claimed);   /* in the parent, after each point: what must be true */
    void (*prepare)(const struct scenario *s); /* what it finds */
    int least[CALLS]; /* points that each kind of call must give; 0: not walked */
};

static char point[80]; /* for the one who must repeat it */
static int points_in_all;

static const struct way {
    enum how how;
    int error;
} ways[] = {{HOW_FAIL, ENOSPC}, {HOW_FAIL, EIO},    {HOW_FAIL, EDQUOT},    {HOW_FAIL, EINTR},
            {HOW_FAIL, EMFILE}, {HOW_FAIL, EACCES}, {HOW_FAIL_ON, ENOSPC}, {HOW_FAIL_ON, EIO},
            {HOW_SHORT, 0},     {HOW_KILL, 0},      {HOW_KILL_HALF, 0}};

/* Does this way make sense for the call? Memory is refused in one way alone; only data can be cut.
 */
static bool applies(enum call c, const struct way *w)
{
    bool data = c == CALL_READ || c == CALL_WRITE;
    if (c == CALL_READ && w->how == HOW_KILL) return false; /* it changes nothing */
    if (c == CALL_MALLOC || c == CALL_MMAP) return w->how == HOW_FAIL && w->error == ENOSPC;
    if (w->how == HOW_SHORT) return data;
    if (w->how == HOW_KILL_HALF) return c == CALL_WRITE;
    return w->how != HOW_FAIL || w->error != EINTR || c != CALL_RENAME;
}

static int last_words = -1; /* a file for what a child says when memory ends */

static bool said_out_of_memory(void)
{
    char text[200] = "";
    long n = syscall(SYS_pread64, last_words, text, sizeof text - 1, 0L);
    return n > 0 && strstr(text, "out of memory: the system refused ");
}

/* The scenario with one call armed (at 0: none). */
static void run_armed(const struct scenario *s, enum call c, long at, const struct way *w)
{
    struct arena a = arena_make(0);
    struct err err = {.text = ""};
    sys_arm(c, at, w ? w->how : HOW_FAIL, w ? w->error : 0);
    sys_begin();
    said->hit = w && (w->how == HOW_KILL || w->how == HOW_KILL_HALF); /* the killed cannot say it */
    said->ok = s->does(&a, &err);
    sys_end();
    said->hit = sys.hit;
    memcpy(said->seen, sys.seen, sizeof said->seen);
    snprintf(said->text, sizeof said->text, "%s", err.text);
    arena_drop(&a);
}

/* A child, where the way ends the process. */
static bool run_child(const struct scenario *s, enum call c, long at, const struct way *w)
{
    int status = 0;
    fflush(NULL);
    assert_int_equal(ftruncate(last_words, 0) | (int)lseek(last_words, 0, SEEK_SET), 0);
    pid_t pid = fork();
    if (pid == 0) {
        alarm(20);
        signal(SIGABRT, SIG_DFL); /* cmocka catches it */
        if (c == CALL_MALLOC) dup2(last_words, 2);
        run_armed(s, c, at, w);
        _exit(0);
    }
    assert_true(pid > 0 && waitpid(pid, &status, 0) == pid);
    bool killed = WIFSIGNALED(status);
    if (killed && WTERMSIG(status) == SIGABRT && c == CALL_MALLOC && said_out_of_memory())
        said->hit = 1;
    else if (killed && WTERMSIG(status) != SIGKILL)
        fail_msg("ended with signal %d", WTERMSIG(status));
    return !killed && said->ok;
}

static int descriptors(void)
{
    int n = 0;
    for (int fd = 0; fd < 256; fd++) n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

/* What the scenario claimed at this point. */
static bool run_point(const struct scenario *s, enum call c, long at, const struct way *w)
{
    *said = (struct said){0};
    if (s->forks || c == CALL_MALLOC || (w && w->how >= HOW_KILL)) return run_child(s, c, at, w);
    int before = descriptors();
    alarm(60); /* a loop without end is a fault too */
    run_armed(s, c, at, w);
    alarm(0);
    if (!said->ok && !said->text[0]) fail_msg("refused without a sentence");
    if (descriptors() != before) fail_msg("%d descriptors before, %d now", before, descriptors());
    return said->ok;
}

/* In turn: one call has no space, the next is killed at; one in many allocations is refused. */
static bool has_its_turn(const struct scenario *s, enum call c, long at, size_t way)
{
    static const size_t turns[] = {0, 7, 8, 9, 10}; /* no space, the disk gone, short, killed */
    if (!s->few || getenv("HONE_NIGHTLY")) return true;
    if (c == CALL_MALLOC) return at % 16 == 1;
    for (size_t i = 0; i < sizeof turns / sizeof *turns; i++)
        if (turns[i] == way) return (at + (long)i) % 3 == 0 || c == CALL_RENAME || c == CALL_MMAP;
    return false;
}

/* All points of one kind of call; how many were hit. */
static int walk(const struct scenario *s, enum call c, long calls)
{
    int points = 0;
    for (long at = 1; at <= calls; at++)
        for (size_t i = 0; i < COUNT(ways); i++) {
            if (!applies(c, &ways[i]) || !has_its_turn(s, c, at, i)) continue;
            s->prepare(s);
            snprintf(point, sizeof point, "%s: %s %ld, way %zu", s->name, call_names[c], at, i);
            bool claimed = run_point(s, c, at, &ways[i]);
            points += said->hit;
            s->holds(claimed);
        }
    return points;
}

static int sweep(const struct scenario *s)
{
    long calls[CALLS];
    int all = 0;
    s->prepare(s);
    if (!run_point(s, CALL_OPEN, 0, NULL))
        fail_msg("%s does not work at all: %s", s->name, said->text);
    memcpy(calls, said->seen, sizeof calls);
    for (int c = 0; c <= CALL_MALLOC; c++) {
        if (!s->least[c] || (c >= CALL_MMAP && SYS_SANITIZED)) continue;
        int points = walk(s, (enum call)c, calls[c]);
        print_message("# %s: %s, %ld calls, %d points\n", s->name, call_names[c], calls[c], points);
        if (points < s->least[c])
            fail_msg("%s: %s was hit %d times, %d at least are meant", s->name, call_names[c],
                     points, s->least[c]);
        all += points;
    }
    return all;
}

static int say_point(void **state)
{
    (void)state;
    if (point[0]) print_message("# the last point was %s\n", point);
    return 0;
}

static bool said_shared(void)
{
    said = mmap(NULL, sizeof *said, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    last_words = memfd_create("last words", MFD_CLOEXEC);
    return said != MAP_FAILED && last_words >= 0;
}
#endif
