/* wire.c - lines over a descriptor that never blocks, and the unix socket (the only file that knows
 * sockets). */
#include "engine/serve/wire.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static void no_blocking(int fd) { fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK); }

struct wire wire_make(int in, int out, struct arena *a)
{
    no_blocking(in);
    no_blocking(out);
    return (struct wire){
        in, out, arena_take(a, 1, WIRE_LINE_MOST + 1), 0, 0, 0, arena_take(a, 1, WIRE_OUT_MOST), 0};
}

/* What was handed out is moved away only when there is nothing whole left: a client may send a
 * million short lines at once. */
bool wire_line(struct wire *w, struct text *line, bool *gone)
{
    *gone = false;
    for (;;) {
        char *end = memchr(w->got + w->seen, '\n', w->n - w->seen);
        if (end) {
            *line = (struct text){w->got + w->from, (size_t)(end - w->got) - w->from};
            w->from = w->seen = (size_t)(end - w->got) + 1;
            return true;
        }
        w->n -= w->from;
        memmove(w->got, w->got + w->from, w->n);
        w->from = 0;
        w->seen = w->n;
        if (w->n == WIRE_LINE_MOST) { /* no message is that long */
            *gone = true;
            return false;
        }
        ssize_t n = read(w->in, w->got + w->n, WIRE_LINE_MOST - w->n);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return false;
        if (n <= 0) {
            *gone = true;
            return false;
        }
        w->n += (size_t)n;
    }
}

bool wire_flush(struct wire *w)
{
    size_t at = 0;
    while (at < w->n_put) {
        ssize_t n = write(w->out, w->put + at, w->n_put - at);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) break;
        if (n < 0) return false;
        at += (size_t)n;
    }
    w->n_put -= at;
    memmove(w->put, w->put + at, w->n_put);
    return true;
}

bool wire_send(struct wire *w, struct text line)
{
    if (w->n_put + line.n > WIRE_OUT_MOST) return false;
    memcpy(w->put + w->n_put, line.p, line.n);
    w->n_put += line.n;
    return wire_flush(w);
}

/* ---- the socket ---- */

/* A folder that is ours alone, or a sentence why it is not trusted. */
static bool safe_folder(const char *dir, struct err *err)
{
    struct stat st;
    if (mkdir(dir, 0700) != 0 && errno != EEXIST) return fail_errno(err, "cannot make %s", dir);
    if (lstat(dir, &st) != 0) return fail_errno(err, "cannot look at %s", dir);
    if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 077))
        return fail(
            err, "%s is not a folder of yours with mode 0700, so nothing is put there; remove it",
            dir);
    return true;
}

bool wire_path(char out[108], const char *run_dir, const char *home, struct err *err)
{
    char dir[4096];
    unsigned long long name = hash64(run_dir, strlen(run_dir), 0);
    int n = snprintf(dir, sizeof dir, "%s/sock", home);
    if (n > 80) snprintf(dir, sizeof dir, "/tmp/hone-%u", (unsigned)geteuid());
    else if (!dir_make(home, err)) return false;
    snprintf(out, 108, "%.80s/%016llx", dir, name);
    return safe_folder(dir, err);
}

static struct sockaddr_un address(const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    snprintf(a.sun_path, sizeof a.sun_path, "%s", path);
    return a;
}

/* The caller holds the run's lock, so a socket that is there is a dead engine's. */
bool wire_listen(int *fd, const char *path, struct err *err)
{
    struct sockaddr_un a = address(path);
    *fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (*fd < 0) return fail_errno(err, "cannot make a socket");
    unlink(path);
    mode_t before = umask(0177);
    int rc = bind(*fd, (struct sockaddr *)&a, sizeof a);
    umask(before);
    if (rc != 0 || listen(*fd, 64) != 0) {
        fail_errno(err, "cannot listen at %s", path);
        close(*fd);
        *fd = -1;
        return false;
    }
    return true;
}

static bool peer_is_me(int fd)
{
    struct ucred peer;
    socklen_t n = sizeof peer;
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) == 0 && peer.uid == geteuid();
}

int wire_accept(int fd)
{
    int c = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (c >= 0 && !peer_is_me(c)) {
        close(c);
        return -1;
    }
    return c;
}

void wire_refuse(int fd, const char *sentence)
{
    struct arena a = arena_make(0);
    struct buf b = buf_make(&a);
    put_refused(&b, text_of(sentence));
    if (write(fd, b.p, b.n) < 0) say(LOG_DEBUG, "a client left before it was refused");
    close(fd);
    arena_drop(&a);
}

/* connect() to a full backlog would block, so it is tried for 2 s without. */
bool wire_connect(int *fd, const char *path, struct err *err)
{
    struct sockaddr_un a = address(path);
    *fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (*fd < 0) return fail_errno(err, "cannot make a socket");
    int rc = -1;
    for (int i = 0; i < 40; i++) {
        rc = connect(*fd, (struct sockaddr *)&a, sizeof a);
        if (rc == 0 || (errno != EAGAIN && errno != EINTR)) break;
        poll(NULL, 0, 50);
    }
    if (rc != 0) fail_errno(err, "the engine does not answer at %s", path);
    else if (!peer_is_me(*fd)) rc = fail(err, "the engine at %s belongs to another user", path) - 1;
    if (rc == 0) return true;
    close(*fd);
    *fd = -1;
    return false;
}
