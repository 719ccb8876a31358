/* follow.c - events.jsonl from a byte on. A slow viewer is a file offset: nothing grows in the
 * engine. */
#include "engine/serve/serve.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PIECE (256 * 1024)

bool follow_open(struct follower *f, const char *run_dir, struct arena *a, struct err *err)
{
    int64_t size;
    *f = (struct follower){.fd = -1, .a = a};
    snprintf(f->path, sizeof f->path, "%s/events.jsonl", run_dir);
    return file_open(&f->fd, &size, f->path, err);
}

bool follow_read(struct follower *f, int *n,
                 void (*each)(void *arg, const struct event *e, struct text line), void *arg,
                 struct err *err)
{
    struct arena scratch = arena_make(0);
    char *piece = arena_take(&scratch, 1, PIECE);
    *n = 0;
    for (;;) {
        ssize_t got = pread(f->fd, piece, PIECE, f->at);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) {
            arena_drop(&scratch);
            return fail_errno(err, "cannot read %s", f->path);
        }
        size_t at = 0;
        for (char *end; at < (size_t)got && (end = memchr(piece + at, '\n', (size_t)got - at));
             at = (size_t)(end - piece) + 1) {
            struct event e;
            struct err unknown;
            struct arena_mark m = arena_mark(&scratch);
            struct text line = {piece + at, (size_t)(end - piece) - at};
            if (event_read(&e, line, &scratch, &unknown)) {
                each(arg, &e, line);
                ++*n;
            } else if (unknown.text[0]) f->damaged++;
            arena_back(&scratch, m);
        }
        f->at += (int64_t)at;
        if (at == 0) break; /* the rest is a line that is not whole yet */
    }
    arena_drop(&scratch);
    return true;
}

void follow_close(struct follower *f)
{
    if (f->fd >= 0) close(f->fd);
    f->fd = -1;
}
