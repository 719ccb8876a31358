/* folder.c - run folders: made, found, listed; who holds one. */
#include "engine/run/folder.h"
#include "engine/format/json.h"
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

const char *run_state_name(enum run_state s)
{
    static const char *const names[RUN_STATES] = {
        [RUN_QUEUED] = "queued", [RUN_PREPARING] = "preparing", [RUN_TRAINING] = "training",
        [RUN_PAUSED] = "paused", [RUN_SAVING] = "saving",       [RUN_STOPPED] = "stopped",
        [RUN_DONE] = "done",     [RUN_FAILED] = "failed",       [RUN_LOST] = "lost"};
    return names[s];
}

static bool name_is_good(const char *name)
{
    size_t n = strlen(name);
    return n > 0 && n <= 64 && name[0] != '.' && name[0] != '-' &&
           strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == n;
}

/* MMDD-HHMM-NAME, with a number behind it where two runs start in one minute. */
static char *fresh_name(const struct profile *p, const struct places *places, struct arena *a)
{
    char stamp[16], name[48];
    time_t t = time(NULL);
    struct tm tm;
    localtime_r(&t, &tm);
    strftime(stamp, sizeof stamp, "%m%d-%H%M", &tm);
    snprintf(name, sizeof name, "%s", p->name && p->name[0] ? p->name : "run");
    for (char *c = name; *c; c++)
        if (!strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-", *c))
            *c = '-';
    char *dir = arena_printf(a, "%s/%s-%s", places->runs, stamp, name);
    for (int i = 2; path_exists(dir); i++)
        dir = arena_printf(a, "%s/%s-%s-%d", places->runs, stamp, name, i);
    return dir;
}

/* A run that lies elsewhere is listed through a link beside the others. */
static void list_elsewhere(const char *dir, const struct places *places, struct arena *a)
{
    struct err err;
    const char *parent = path_dir(a, dir), *link = path_join(a, places->runs, path_base(dir));
    if (strcmp(parent, places->runs) == 0) return;
    if (!dir_make(places->runs, &err)) {
        say(LOG_WARN, "%s", err.text);
        return;
    }
    for (int i = 2; symlink(dir, link) != 0 && errno == EEXIST && i < 1000; i++)
        link = arena_printf(a, "%s/%s-%d", places->runs, path_base(dir), i);
}

bool run_create(const char **dir_out, const char *dir, const struct profile *p,
                const struct places *places, struct arena *a, struct err *err)
{
    if (!dir) dir = fresh_name(p, places, a);
    dir = path_join(a, dir[0] == '/' ? NULL : getcwd(arena_take(a, 1, 4096), 4096), dir);
    if (path_exists(run_path(a, dir, "profile.yaml")))
        return fail(err, "%s holds a run already; to go on with it type: hone resume %s", dir, dir);
    if (!name_is_good(path_base(dir)))
        return fail(err,
                    "'%s' cannot name a run; use 1 to 64 letters, digits, '.', '_' and '-', not "
                    "beginning with '.' or '-'",
                    path_base(dir));
    struct buf b = buf_make(a);
    profile_write(p, &b);
    if (!dir_make(dir, err) || !dir_make(run_path(a, dir, "ckpt"), err) ||
        !dir_make(run_path(a, dir, "chat"), err) ||
        !file_replace(run_path(a, dir, "profile.yaml"), buf_text(&b), err))
        return false;
    struct journal j = JOURNAL_CLOSED;
    if (!journal_open(&j, dir, a, err)) return false;
    j.now.profile = p->path;
    j.now.loss = NAN;
    journal_state(&j, RUN_QUEUED, 0, "made from %s", p->path ? p->path : "a profile");
    journal_close(&j);
    list_elsewhere(dir, places, a);
    *dir_out = dir;
    return true;
}

bool run_is_held(const char *dir)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/lock", dir);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) return false;
    bool held = flock(fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    close(fd);
    return held;
}

static enum run_state state_named(struct text name)
{
    for (int s = 0; s < RUN_STATES; s++)
        if (text_is(name, run_state_name((enum run_state)s))) return (enum run_state)s;
    return RUN_LOST;
}

/* What the engine says while state.json cannot be replaced. */
static void word_read(struct run_summary *s, const char *dir, struct arena *a)
{
    struct text word, state = {0}, why = {0};
    const struct json *o;
    struct err none; /* a blank word is no JSON */
    const char *path = run_path(a, dir, "word");
    if (!path_exists(path) || !file_read(&word, path, WORD_BYTES, a, &none) || word.p[0] != '{' ||
        !json_parse(&o, word, path, (struct json_limits){.depth = 2}, a, &none) ||
        !json_get_int(&s->held, o, "held", 0, INT64_MAX, path, &none) ||
        !json_get_int(&s->lost, o, "lost", 0, INT64_MAX, path, &none) ||
        !json_get_int(&s->step, o, "step", 0, INT64_MAX, path, &none) ||
        !json_get_text(&state, o, "state", path, &none) ||
        !json_get_text(&why, o, "why", path, &none))
        return;
    s->state = state_named(state);
    snprintf(s->why, sizeof s->why, "%.*s", (int)why.n, why.p ? why.p : "");
}

bool run_summary_read(struct run_summary *out, const char *dir, struct arena *a, struct err *err)
{
    const char *path = run_path(a, dir, "state.json");
    const struct json *o;
    struct text state = {0}, why = {0}, profile = {0}, stage = {0};
    *out = (struct run_summary){.path = arena_printf(a, "%s", dir), .loss = NAN};
    out->name = path_base(out->path);
    if (!json_read(&o, path, (struct json_limits){.bytes = 65536, .depth = 4}, a, err)) {
        /* The folder alone decides what a resume does. */
        snprintf(out->why, sizeof out->why, "%.400s; resume it from its last checkpoint",
                 err->text);
        out->state = RUN_LOST;
        return path_exists(run_path(a, dir, "profile.yaml"));
    }
    if (!json_get_text(&state, o, "state", path, err) ||
        !json_get_text(&why, o, "why", path, err) ||
        !json_get_text(&profile, o, "profile", path, err) ||
        !json_get_text(&stage, o, "stage", path, err) ||
        !json_get_int(&out->step, o, "step", 0, INT64_MAX, path, err) ||
        !json_get_int(&out->steps, o, "steps", 0, INT64_MAX, path, err) ||
        !json_get_int(&out->pid, o, "pid", 0, INT64_MAX, path, err) ||
        !json_get_num(&out->loss, o, "loss", -HUGE_VAL, HUGE_VAL, path, err) ||
        !json_get_num(&out->started, o, "started", 0, HUGE_VAL, path, err) ||
        !json_get_num(&out->changed, o, "changed", 0, HUGE_VAL, path, err))
        return false;
    out->state = state_named(state);
    bool held = run_is_held(dir);
    out->profile = arena_string(a, profile.p ? profile.p : "", profile.n);
    out->stage = arena_string(a, stage.p ? stage.p : "", stage.n);
    snprintf(out->why, sizeof out->why, "%.*s", (int)why.n, why.p ? why.p : "");
    bool lives = out->state <= RUN_SAVING;
    double age = now_unix() - out->changed; /* under 0: the clock jumped back */
    bool young = out->state == RUN_QUEUED && age >= 0 && age < 10; /* its engine will start */
    if (held) word_read(out, dir, a);
    if (lives && !young && !held) {
        snprintf(out->why, sizeof out->why,
                 "its engine ended without a word; resume it from its last checkpoint");
        out->state = RUN_LOST;
    }
    return true;
}

static int newest_first(const void *x, const void *y)
{
    const struct run_summary *a = x, *b = y;
    return a->started < b->started ? 1 : a->started > b->started ? -1 : strcmp(b->name, a->name);
}

bool run_list(struct run_summary **out, int *n, const struct places *places, struct arena *a,
              struct err *err)
{
    char **names;
    int all = 0, cap = 0;
    struct run_summary *list = NULL;
    *n = 0;
    *out = NULL;
    if (!path_exists(places->runs)) return true;
    if (!dir_list(&names, &all, places->runs, a, err)) return false;
    for (int i = 0; i < all; i++) {
        const char *dir = path_join(a, places->runs, names[i]);
        struct run_summary s;
        char target[4096];
        ssize_t n_target = readlink(dir, target, sizeof target - 1);
        if (n_target > 0) dir = arena_string(a, target, (size_t)n_target);
        struct err why;
        if (!path_exists(run_path(a, dir, "profile.yaml"))) continue;
        if (!run_summary_read(&s, dir, a, &why)) {
            s.state = RUN_LOST;
            snprintf(s.why, sizeof s.why, "%.500s", why.text);
        }
        ROOM(a, list, *n, cap);
        list[(*n)++] = s;
    }
    if (*n) qsort(list, (size_t)*n, sizeof *list, newest_first);
    *out = list;
    return true;
}

bool run_find(const char **dir, const char *spec, const struct places *places, struct arena *a,
              struct err *err)
{
    const char *as_path =
        path_join(a, spec[0] == '/' ? NULL : getcwd(arena_take(a, 1, 4096), 4096), spec);
    const char *as_name = path_join(a, places->runs, spec);
    if (strcmp(spec, "last") == 0) {
        struct run_summary *list;
        int n;
        if (!run_list(&list, &n, places, a, err)) return false;
        if (n == 0) return fail(err, "there are no runs yet in %s", places->runs);
        *dir = list[0].path;
        return true;
    }
    for (int i = 0; i < 2; i++) {
        const char *try = i == 0 ? as_name : as_path;
        if (path_exists(run_path(a, try, "profile.yaml")) && path_is_dir(try)) {
            *dir = try;
            return true;
        }
    }
    return fail(err, "no run '%s': neither %s nor %s is a run folder; `hone runs` lists them", spec,
                as_name, as_path);
}
