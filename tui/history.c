/* history.c - a run's folder opened: numbers of steps from metrics.bin in bulk, other events from
 * their lines.
 *
 * A line of a step is known by its first bytes and skipped unread, but for the last one: so a
 * million steps cost one pass of memchr over the file. Without metrics.bin the lines are read in
 * full. */
#include "tui/fold.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PIECE (1 << 20)

struct reading {
    struct fold *fold;
    bool skip_steps;
    struct arena scratch;
    char last_step[EVENT_LINE_MOST];
    size_t last_step_n;
};

static void keep_step(struct reading *r, struct text line)
{
    if (line.n > sizeof r->last_step) return;
    memcpy(r->last_step, line.p, line.n);
    r->last_step_n = line.n;
}

static void take(struct reading *r, struct text line)
{
    struct event e;
    struct err unknown;
    struct arena_mark m = arena_mark(&r->scratch);
    if (event_read(&e, line, &r->scratch, &unknown)) {
        /* written with other spacing than ours */
        if (r->skip_steps && e.kind == EV_STEP) keep_step(r, line);
        else fold_event(r->fold, &e);
    }
    arena_back(&r->scratch, m);
}

static bool is_step(struct text line)
{
    static const char mark[] = "\"kind\":\"step\"";
    size_t n = line.n > 120 ? 120 : line.n;
    return memmem(line.p, n, mark, sizeof mark - 1) != NULL;
}

static void each_line(struct reading *r, struct text line)
{
    if (!r->skip_steps || !is_step(line)) take(r, line);
    else keep_step(r, line);
}

static bool read_lines(struct reading *r, int fd, const char *path, int64_t *at, struct err *err)
{
    char *piece = arena_take(&r->scratch, 1, PIECE);
    for (*at = 0;;) {
        ssize_t got = pread(fd, piece, PIECE, *at);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return fail_errno(err, "cannot read %s", path);
        size_t from = 0;
        for (char *end;
             from < (size_t)got && (end = memchr(piece + from, '\n', (size_t)got - from));
             from = (size_t)(end - piece) + 1)
            each_line(r, (struct text){piece + from, (size_t)(end - piece) - from});
        if (from == 0 && got == PIECE) from = PIECE; /* no line is that long: skip it */
        *at += (int64_t)from;
        if (from == 0) return true;
    }
}

static void read_plan(struct fold *f, const char *dir, struct arena *a)
{
    struct err err;
    struct text plan;
    const char *path = path_join(a, dir, "plan.json");
    if (path_exists(path) && file_read(&plan, path, 16 << 20, a, &err)) fold_plan(f, plan);
}

bool history_read(struct fold *f, const char *dir, int64_t *at, struct err *err)
{
    struct reading r = {.fold = f, .scratch = arena_make(0)};
    struct metric *metrics = NULL;
    int64_t n = 0, size;
    int fd;
    fold_start(f, dir);
    const char *path = path_join(&r.scratch, dir, "events.jsonl");
    struct err none;
    r.skip_steps = run_metrics(&metrics, &n, dir, &r.scratch, &none);
    bool ok = file_open(&fd, &size, path, err);
    if (ok) {
        ok = read_lines(&r, fd, path, at, err);
        close(fd);
    }
    double spent = 0;
    for (int64_t i = 0; ok && i < n; i++) {
        fold_metric(f, &metrics[i]);
        spent += metrics[i].seconds > 0 ? metrics[i].seconds : 0;
    }
    if (ok && r.last_step_n) {
        struct event e;
        if (event_read(&e, (struct text){r.last_step, r.last_step_n}, &r.scratch, &none) &&
            e.step.step == f->step) {
            f->last = e;
            f->last.step.stage = (struct text){0};
            if (e.t > f->changed) f->changed = e.t;
            if (f->told == RUN_QUEUED || f->told == RUN_PREPARING) f->told = RUN_TRAINING;
        }
        f->spent = spent;
    }
    read_plan(f, dir, &r.scratch);
    struct run_summary now;
    if (run_summary_read(&now, dir, &r.scratch, &none)) {
        f->state = now.state;
        f->pid = now.pid;
        if (now.why[0]) snprintf(f->why, sizeof f->why, "%s", now.why);
        snprintf(f->profile, sizeof f->profile, "%s", now.profile ? now.profile : "");
    }
    arena_drop(&r.scratch);
    return ok;
}
