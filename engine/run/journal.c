/* journal.c - events.jsonl and state.json as the engine writes them.
 *
 * events.jsonl: one write(2) a line, at most 4 KiB, appended. A process killed inside a write can
 * leave a torn last line; it is cut at the next start, or the next append would glue two records.
 * state.json:
 * {"name","profile","state","why","stage","step","steps","loss","pid","started","changed"},
 * replaced by rename; the list of runs reads only this. */
#include "engine/format/json.h"
#include "engine/run/folder.h"
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

char *run_path(struct arena *a, const char *dir, const char *name)
{
    return path_join(a, dir, name);
}

static int append_open(const char *path)
{
    return open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
}

/* At its full size before it is needed. */
static int word_open(const char *path)
{
    char blank[WORD_BYTES];
    memset(blank, ' ', sizeof blank);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd >= 0 && pwrite(fd, blank, sizeof blank, 0) != sizeof blank)
        say(LOG_WARN, "%s could not be made: a full disk will be silent", path);
    return fd;
}

/* Where the last whole line ends: behind the last newline, however far back that is (a power cut
 * may leave blocks of zeros). */
static bool whole_until(int fd, int64_t size, int64_t *end, const char *path, struct err *err)
{
    char piece[EVENT_LINE_MOST];
    for (*end = size; *end > 0;) {
        int64_t n = *end < (int64_t)sizeof piece ? *end : (int64_t)sizeof piece;
        if (!file_read_at(fd, piece, (size_t)n, *end - n, path, err)) return false;
        const char *newline = memrchr(piece, '\n', (size_t)n);
        if (newline) {
            *end += newline + 1 - (piece + n);
            return true;
        }
        *end -= n;
    }
    return true;
}

/* The seq of the last event that ends before `end`, 0 where none of the last lines is one. */
static bool last_seq(int fd, int64_t end, int64_t *seq, const char *path, struct arena *a,
                     struct err *err)
{
    char tail[4 * EVENT_LINE_MOST];
    size_t n = end < (int64_t)sizeof tail ? (size_t)end : sizeof tail;
    *seq = 0;
    if (!file_read_at(fd, tail, n, end - (int64_t)n, path, err)) return false;
    while (n > 0) {
        const char *before = memrchr(tail, '\n', n - 1), *line = before ? before + 1 : tail;
        struct text t = {line, (size_t)(tail + n - 1 - line)};
        struct event e;
        struct err ignored;
        if (event_read(&e, t, a, &ignored)) {
            *seq = e.seq;
            return true;
        }
        n = before ? (size_t)(before + 1 - tail) : 0;
    }
    return true;
}

static bool keep_torn(int fd, int64_t from, int64_t to, const char *path, struct arena *a,
                      struct err *err)
{
    enum { KEPT_MOST = 1 << 20 };
    size_t n = to - from < KEPT_MOST ? (size_t)(to - from) : KEPT_MOST;
    char *torn = arena_take(a, 1, n);
    if (!file_read_at(fd, torn, n, from, path, err)) return false;
    return file_replace(arena_printf(a, "%.*s.torn", (int)(strlen(path) - 6), path),
                        (struct text){torn, n}, err);
}

/* Cuts what is torn; j->seq and j->events_bytes are where it goes on. */
static bool events_mend(struct journal *j, const char *path, struct arena *a, struct err *err)
{
    struct stat st;
    int64_t end;
    if (fstat(j->events, &st) != 0) return fail_errno(err, "cannot look at %s", path);
    if (!whole_until(j->events, st.st_size, &end, path, err) ||
        !last_seq(j->events, end, &j->seq, path, a, err))
        return false;
    if (end < st.st_size && !keep_torn(j->events, end, st.st_size, path, a, err)) return false;
    if (end < st.st_size && ftruncate(j->events, end) != 0)
        return fail_errno(err, "cannot cut the torn last line of %s", path);
    j->events_bytes = end;
    return true;
}

bool journal_open(struct journal *j, const char *dir, struct arena *a, struct err *err)
{
    const char *path = run_path(a, dir, "events.jsonl");
    struct run_summary before;
    struct err none;
    j->dir = dir;
    j->held = arena_take(a, 1, HELD_BYTES);
    j->word = -1;
    j->events = append_open(path);
    j->metrics = j->events < 0 ? -1 : append_open(run_path(a, dir, "metrics.bin"));
    bool ok = (j->events >= 0 && j->metrics >= 0) ||
              fail_errno(err, "cannot open %s or metrics.bin beside it for appending", path);
    if (!ok || !events_mend(j, path, a, err)) {
        journal_close(j);
        return false;
    }
    if (run_summary_read(&before, dir, a, &none)) j->now = before;
    j->word = word_open(run_path(a, dir, "word")); /* the last life's word is read */
    j->now.name = path_base(dir);
    j->now.pid = getpid();
    if (j->now.started == 0) j->now.started = now_unix();
    return true;
}

void journal_close(struct journal *j)
{
    if (j->events > 0) close(j->events);
    if (j->metrics > 0) close(j->metrics);
    if (j->word > 0) close(j->word);
    j->events = j->metrics = j->word = -1;
}

/* A short write is taken back, so that the file always ends with a whole line. */
static bool append(struct journal *j, const char *p, size_t n)
{
    ssize_t put;
    do put = write(j->events, p, n);
    while (put < 0 && errno == EINTR);
    if (put == (ssize_t)n) {
        j->events_bytes += put;
        return true;
    }
    if (put > 0 && ftruncate(j->events, j->events_bytes) != 0)
        say(LOG_ERROR, "events.jsonl keeps a torn line");
    return false;
}

/* The held lines go out one by one, so that each is one write. */
static bool flush_held(struct journal *j)
{
    size_t at = 0;
    while (at < j->held_n) {
        char *end = memchr(j->held + at, '\n', j->held_n - at);
        size_t n = (size_t)(end - (j->held + at)) + 1;
        if (!append(j, j->held + at, n)) break;
        at += n;
        j->held_lines--;
    }
    memmove(j->held, j->held + at, j->held_n - at);
    j->held_n -= at;
    return j->held_n == 0;
}

static void put_text(struct buf *b, const char *key, const char *value)
{
    if (!value) return;
    json_field_text(b, key, text_of(value));
}

/* behind: something of this run is not on the disk. */
static void word_say(struct journal *j, bool behind)
{
    char room[8192];
    struct buf b = {.p = room, .cap = sizeof room};
    if (j->word < 0 || (!behind && !j->spoken)) return;
    for (int most = behind ? 400 : 0;; most /= 2) { /* a reason is cut until it fits */
        char why[512];
        b.n = 0;
        snprintf(why, sizeof why, "%.*s", most, j->now.why);
        why[strlen(why) - utf8_unfinished(text_of(why))] = 0;
        if (!behind) break;
        buf_put(&b, "{", 1);
        json_field_int(&b, "held", j->held_lines);
        json_field_int(&b, "lost", j->held_lost);
        put_text(&b, "state", run_state_name(j->now.state));
        json_field_int(&b, "step", j->now.step);
        put_text(&b, "why", why);
        buf_put(&b, "}", 1);
        if (b.n <= WORD_BYTES) break;
    }
    memset(room + b.n, ' ', WORD_BYTES - b.n);
    if (pwrite(j->word, room, WORD_BYTES, 0) == WORD_BYTES) j->spoken = behind;
}

/* There is room again, and all that waited is written. */
static void caught_up(struct journal *j)
{
    int waited = j->waited, lost = j->held_lost;
    j->waited = j->held_lost = 0;
    journal_note(j, "warning", j->now.step,
                 "the disk was full: %d events waited and are written now", waited);
    if (lost)
        journal_note(j, "error", j->now.step,
                     "%d more events are lost: only %d MiB of them can wait in memory", lost,
                     HELD_BYTES >> 20);
    journal_beat(j);
}

void journal_write(struct journal *j, struct event *e)
{
    char line[EVENT_LINE_MOST];
    e->seq = ++j->seq;
    e->t = now_unix();
    if (e->has == 0) e->has = EVENT_ALL;
    size_t n = event_write(e, line);
    if (flush_held(j) && append(j, line, n)) {
        if (j->event) j->event(j->arg, e);
        if (j->waited) caught_up(j);
        return;
    }
    if (j->held_n + n <= HELD_BYTES) {
        memcpy(j->held + j->held_n, line, n);
        j->held_n += n;
        j->held_lines++;
        j->waited++;
    } else j->held_lost++;
    word_say(j, true);
}

void journal_sync(struct journal *j)
{
    if (fdatasync(j->events) != 0) say(LOG_WARN, "events.jsonl could not be synced");
}

void journal_note(struct journal *j, const char *level, int64_t step, const char *fmt, ...)
{
    char text[2000];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    struct event e = {.kind = EV_NOTE, .note = {text_of(level), text_of(text), step}};
    journal_write(j, &e);
}

void journal_beat(struct journal *j)
{
    char room[16384], path[4096];
    struct buf b = {.p = room, .cap = sizeof room};
    struct run_summary *s = &j->now;
    struct err err;
    s->changed = now_unix();
    buf_put(&b, "{", 1);
    put_text(&b, "name", s->name);
    put_text(&b, "profile", s->profile);
    put_text(&b, "state", run_state_name(s->state));
    put_text(&b, "why", s->why);
    put_text(&b, "stage", s->stage);
    json_field_int(&b, "step", s->step);
    json_field_int(&b, "steps", s->steps);
    json_field_int(&b, "pid", s->pid);
    json_put_key(&b, "loss");
    json_put_num(&b, s->loss);
    json_put_key(&b, "started");
    json_put_num(&b, s->started);
    json_put_key(&b, "changed");
    json_put_num(&b, s->changed);
    buf_put(&b, "}\n", 2);
    snprintf(path, sizeof path, "%s/state.json", j->dir);
    bool there = file_replace(path, buf_text(&b), &err);
    if (!there) say(LOG_WARN, "%s", err.text);
    word_say(j, !there || j->held_n > 0);
}

void journal_state(struct journal *j, enum run_state s, int64_t step, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(j->now.why, sizeof j->now.why, fmt, ap);
    va_end(ap);
    j->now.state = s;
    j->now.step = step;
    struct event e = {.kind = EV_STATE,
                      .state = {text_of(run_state_name(s)), text_of(j->now.why), step}};
    journal_write(j, &e);
    journal_sync(j);
    journal_beat(j);
}
