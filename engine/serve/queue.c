/* queue.c - tickets: files that are locked while their engine lives. */
#include "engine/serve/queue.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

/* Locked under a hidden name first, so that nobody sees a ticket that is not locked yet. */
bool ticket_take(struct ticket *t, const char *home, const char *device, const char *label,
                 struct err *err)
{
    char dir[3072], hidden[4096];
    t->fd = t->device = -1;
    snprintf(dir, sizeof dir, "%s/queue/%s", home, device);
    if (!dir_make(dir, err)) return false;
    unsigned long long now = (unsigned long long)(now_unix() * 1e6);
    snprintf(t->path, sizeof t->path, "%s/%016llu-%d", dir, now, (int)getpid());
    snprintf(hidden, sizeof hidden, "%s/.%016llu-%d", dir, now, (int)getpid());
    t->fd = open(hidden, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (t->fd < 0) return fail_errno(err, "cannot take a place in the queue at %s", hidden);
    bool ok = flock(t->fd, LOCK_EX | LOCK_NB) == 0 || fail_errno(err, "cannot lock %s", hidden);
    ok = ok && file_write_all(t->fd, label, strlen(label), hidden, err);
    ok = ok && (rename(hidden, t->path) == 0 || fail_errno(err, "cannot rename %s", hidden));
    if (ok) return true;
    unlink(hidden);
    close(t->fd);
    t->fd = -1;
    return false;
}

/* A dead ticket's lock can be had; it is removed on the way. */
static bool lives(const char *path, char label[64])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) return false;
    bool held = flock(fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    ssize_t n = pread(fd, label, 63, 0);
    label[n > 0 ? n : 0] = 0;
    if (!held) unlink(path);
    close(fd);
    return held;
}

bool ticket_is_first(struct ticket *t, char ahead[64])
{
    struct arena a = arena_make(0);
    struct err ignored;
    char **names;
    int n = 0;
    bool first = true;
    const char *dir = path_dir(&a, t->path), *mine = path_base(t->path);
    if (!dir_list(&names, &n, dir, &a, &ignored)) n = 0;
    for (int i = 0; i < n && first; i++) {
        if (names[i][0] == '.') continue;
        if (strcmp(names[i], mine) >= 0) break;
        if (lives(path_join(&a, dir, names[i]), ahead)) first = false;
    }
    /* Names sort by a clock that may jump back, so the device itself is a lock too. */
    if (first && t->device < 0) {
        int fd =
            open(path_join(&a, dir, ".device"), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        first = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0;
        if (first) t->device = fd;
        else if (fd >= 0) close(fd);
        if (!first && !ahead[0]) snprintf(ahead, 64, "another run");
    }
    arena_drop(&a);
    return first;
}

void ticket_drop(struct ticket *t)
{
    if (t->fd < 0) return;
    unlink(t->path);
    close(t->fd);
    if (t->device >= 0) close(t->device);
    t->fd = t->device = -1;
}
