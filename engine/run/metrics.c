/* metrics.c - metrics.bin: the numbers of step events as fixed records, so that a million steps
 * open at once.
 *
 *   bytes 0..87    "hone metrics 1: step loss lr grad_norm seconds tokens trained mfu hfu memory
 * t", then blanks and '\n' at byte 87: the file names its own columns byte 88 + 88 i record i:
 * eleven doubles, little endian, in that order; steps ascend
 *
 * events.jsonl is the truth: where metrics.bin is missing, torn or behind, it is made again from
 * there. */
#include "engine/run/folder.h"
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RECORD ((int64_t)sizeof(struct metric))
static const char columns[] =
    "hone metrics 1: step loss lr grad_norm seconds tokens trained mfu hfu memory t";

static void header_make(char out[sizeof(struct metric)])
{
    memset(out, ' ', RECORD);
    memcpy(out, columns, sizeof columns - 1);
    out[RECORD - 1] = '\n';
}

static struct metric record_of(const struct event *e)
{
    return (struct metric){(double)e->step.step,
                           e->step.loss,
                           e->step.lr,
                           e->step.grad_norm,
                           e->step.seconds,
                           (double)e->step.tokens,
                           (double)e->step.trained,
                           e->step.mfu,
                           e->step.hfu,
                           (double)e->step.memory,
                           e->t};
}

void metrics_add(struct journal *j, const struct event *step)
{
    struct {
        char header[sizeof(struct metric)];
        struct metric m;
    } both;
    struct stat st;
    if (fstat(j->metrics, &st) != 0) return;
    if (st.st_size % RECORD != 0 && ftruncate(j->metrics, st.st_size / RECORD * RECORD) != 0)
        return;
    header_make(both.header);
    both.m = record_of(step);
    bool first = st.st_size < RECORD;
    const void *p = first ? (const void *)&both : (const void *)&both.m;
    ssize_t n = first ? (ssize_t)sizeof both : (ssize_t)sizeof both.m;
    /* A record that does not get in (full disk) leaves a gap: record i is no longer step i + 1, and
     * the file is made again from the events when it is read. */
    if (write(j->metrics, p, (size_t)n) != n) say(LOG_WARN, "metrics.bin could not be written");
}

bool metrics_cut(struct journal *j, int64_t step, struct err *err)
{
    struct stat st;
    struct metric m;
    if (fstat(j->metrics, &st) != 0)
        return fail_errno(err, "cannot look at %s/metrics.bin", j->dir);
    int64_t n = st.st_size / RECORD - 1;
    while (n > 0) {
        if (!file_read_at(j->metrics, &m, sizeof m, n * RECORD, "metrics.bin", err)) return false;
        if (m.step <= (double)step) break;
        n--;
    }
    if (n < 0) n = -1;
    return ftruncate(j->metrics, (n + 1) * RECORD) == 0 ||
           fail_errno(err, "cannot cut %s/metrics.bin", j->dir);
}

/* The fold over all events: what was lived after a resumed step is dropped. */
static bool rebuild(struct metric **out, int64_t *n, int fd, int64_t size, const char *path,
                    struct arena *a, struct err *err)
{
    enum { PIECE = 1 << 20 };
    struct arena scratch = arena_make(0);
    char *piece = arena_take(a, 1, PIECE + EVENT_LINE_MOST);
    size_t have = 0;
    int64_t cap = 0;
    bool ok = true;
    *n = 0;
    *out = NULL;
    for (int64_t at = 0; ok && at < size;) {
        size_t want = size - at < PIECE ? (size_t)(size - at) : PIECE;
        ok = file_read_at(fd, piece + have, want, at, path, err);
        at += (int64_t)want;
        have += want;
        char *line = piece, *end;
        while (ok && (end = memchr(line, '\n', have - (size_t)(line - piece)))) {
            struct event e;
            struct err ignored;
            struct arena_mark m = arena_mark(&scratch);
            if (end > line &&
                event_read(&e, (struct text){line, (size_t)(end - line)}, &scratch, &ignored)) {
                if (e.kind == EV_STEP) {
                    ROOM(a, *out, *n, cap);
                    (*out)[(*n)++] = record_of(&e);
                }
                if (e.kind == EV_RESUMED)
                    while (*n > 0 && (*out)[*n - 1].step > (double)e.resumed.step) --*n;
            }
            arena_back(&scratch, m);
            line = end + 1;
        }
        have -= (size_t)(line - piece);
        memmove(piece, line, have);
        if (have > EVENT_LINE_MOST)
            have = 0; /* no line is that long: damage, the next newline goes on */
    }
    arena_drop(&scratch);
    return ok;
}

/* The step of the last step event in the last 64 KiB, or -1 where there is none. */
static int64_t last_step(int fd, int64_t size, const char *path, struct arena *a)
{
    char tail[65536];
    struct err ignored;
    size_t n = size < (int64_t)sizeof tail ? (size_t)size : sizeof tail;
    int64_t step = -1;
    if (!file_read_at(fd, tail, n, size - (int64_t)n, path, &ignored)) return -1;
    for (size_t i = 0; i < n;) {
        char *end = memchr(tail + i, '\n', n - i);
        if (!end) break;
        struct event e;
        struct arena_mark m = arena_mark(a);
        if (event_read(&e, (struct text){tail + i, (size_t)(end - tail) - i}, a, &ignored)) {
            if (e.kind == EV_STEP) step = e.step.step;
            if (e.kind == EV_RESUMED) step = e.resumed.step;
        }
        arena_back(a, m);
        i = (size_t)(end - tail) + 1;
    }
    return step;
}

static bool read_records(struct metric **out, int64_t *n, const char *path, struct arena *a)
{
    char header[sizeof(struct metric)];
    struct text t;
    struct err ignored;
    header_make(header);
    if (!path_exists(path) || !file_read(&t, path, (int64_t)1 << 33, a, &ignored)) return false;
    if (t.n < sizeof header || memcmp(t.p, header, sizeof header) != 0) return false;
    *n = (int64_t)t.n / RECORD - 1;
    *out = (struct metric *)(void *)((char *)(uintptr_t)t.p + RECORD);
    return true;
}

bool run_metrics(struct metric **out, int64_t *n, const char *dir, struct arena *a, struct err *err)
{
    const char *events = run_path(a, dir, "events.jsonl"),
               *metrics = run_path(a, dir, "metrics.bin");
    int fd;
    int64_t size;
    *n = 0;
    *out = NULL;
    if (!file_open(&fd, &size, events, err)) return false;
    int64_t last = last_step(fd, size, events, a);
    bool there = read_records(out, n, metrics, a);
    /* Steps count from 1 without a gap. One record behind is a writer between its two files. */
    bool whole = there && (*n == 0 || (*out)[*n - 1].step == (double)*n);
    if (whole && (last < 0 || llabs(*n - last) <= 1)) {
        close(fd);
        return true;
    }
    bool ok = rebuild(out, n, fd, size, events, a, err);
    close(fd);
    if (!ok || *n == 0 || run_is_held(dir)) return ok;
    char *file = arena_take(a, RECORD, (size_t)*n + 1);
    struct err ignored;
    header_make(file);
    memcpy(file + RECORD, *out, (size_t)(*n * RECORD));
    if (!file_replace(metrics, (struct text){file, (size_t)((*n + 1) * RECORD)}, &ignored))
        say(LOG_WARN, "%s", ignored.text);
    return true;
}
