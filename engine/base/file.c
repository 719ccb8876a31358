/* file.c - files and folders: only regular files are read, and a replaced file is old or new, never half. */
#include "engine/base/base.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define PIECE (8 << 20)      /* the largest single read or write */

/* O_NONBLOCK so that a FIFO without a writer cannot hang the open. */
bool file_open(int *fd, int64_t *size, const char *path, struct err *err)
{
    struct stat st;
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (*fd < 0) return fail_errno(err, "cannot open %s", path);
    if (fstat(*fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        close(*fd);
        *fd = -1;
        return fail(err, "%s is not a regular file (a %s); name a file", path,
                    S_ISDIR(st.st_mode) ? "folder" : S_ISFIFO(st.st_mode) ? "FIFO" : "device or socket");
    }
    *size = st.st_size;
    return true;
}

bool file_read_at(int fd, void *out, size_t n, int64_t at, const char *path, struct err *err)
{
    char *p = out;
    while (n > 0) {
        ssize_t got = pread(fd, p, n < PIECE ? n : PIECE, at);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return fail_errno(err, "cannot read %s at byte %lld", path, (long long)at);
        if (got == 0) return fail(err, "%s ends at byte %lld, %zu bytes short", path, (long long)at, n);
        p += got; at += got; n -= (size_t)got;
    }
    return true;
}

bool file_read(struct text *out, const char *path, int64_t limit, struct arena *a, struct err *err)
{
    int fd;
    int64_t size;
    if (!file_open(&fd, &size, path, err)) return false;
    bool ok = size <= limit ||
              fail(err, "%s has %lld bytes; at most %lld are read", path, (long long)size, (long long)limit);
    if (ok) {
        struct arena_mark m = arena_mark(a);
        char *p = arena_take(a, 1, (size_t)size + 1);
        ok = file_read_at(fd, p, (size_t)size, 0, path, err);
        if (ok) *out = (struct text){p, (size_t)size};
        else arena_back(a, m);
    }
    close(fd);
    return ok;
}

bool file_write_all(int fd, const void *p, size_t n, const char *path, struct err *err)
{
    const char *q = p;
    while (n > 0) {
        ssize_t put = write(fd, q, n < PIECE ? n : PIECE);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return fail_errno(err, "cannot write %s", path);
        q += put; n -= (size_t)put;
    }
    return true;
}

bool dir_sync(const char *path, struct err *err)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return fail_errno(err, "cannot open folder %s", path);
    bool ok = fsync(fd) == 0 || errno == EINVAL || fail_errno(err, "cannot sync folder %s", path);
    close(fd);
    return ok;
}

bool file_replace(const char *path, struct text s, struct err *err)
{
    char beside[4096], dir[4096];
    if ((size_t)snprintf(beside, sizeof beside, "%s.tmp-%d", path, (int)getpid()) >= sizeof beside)
        return fail(err, "the path %s is too long (4096 bytes at most)", path);
    snprintf(dir, sizeof dir, "%.*s", (int)(path_base(path) - path), path);
    unlink(beside);
    int fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) return fail_errno(err, "cannot create %s", beside);
    bool ok = file_write_all(fd, s.p, s.n, beside, err);
    if (ok && fsync(fd) != 0) ok = fail_errno(err, "cannot sync %s", beside);
    if (close(fd) != 0 && ok) ok = fail_errno(err, "cannot close %s", beside);
    if (ok && rename(beside, path) != 0) ok = fail_errno(err, "cannot rename %s to %s", beside, path);
    if (ok) return dir_sync(dir[0] ? dir : ".", err);
    unlink(beside);
    return false;
}

bool dir_make(const char *path, struct err *err)
{
    char part[4096];
    size_t n = strlen(path);
    if (n == 0 || n >= sizeof part) return fail(err, "the path '%s' cannot be a folder (1 to 4095 bytes)", path);
    memcpy(part, path, n + 1);
    for (size_t i = 1; i <= n; i++) {
        if (part[i] != '/' && part[i] != 0) continue;
        part[i] = 0;
        if (mkdir(part, 0700) != 0 && errno != EEXIST) return fail_errno(err, "cannot make folder %s", part);
        if (i < n) part[i] = '/';
    }
    return path_is_dir(path) || fail(err, "%s exists and is no folder", path);
}

/* Depth is bounded by the open descriptors; what hone removes is three levels deep. */
static bool remove_at(int parent, const char *name, const char *path, struct err *err)
{
    if (unlinkat(parent, name, 0) == 0) return true;
    if (errno != EISDIR && errno != EPERM) return fail_errno(err, "cannot remove %s", path);
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (!d) return fail_errno(err, "cannot open folder %s", path);
    bool ok = true;
    for (struct dirent *e; ok && (e = readdir(d));)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) ok = remove_at(fd, e->d_name, e->d_name, err);
    closedir(d);
    return ok && (unlinkat(parent, name, AT_REMOVEDIR) == 0 || fail_errno(err, "cannot remove folder %s", path));
}

bool dir_remove(const char *path, struct err *err) { return remove_at(AT_FDCWD, path, path, err); }

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

bool dir_list(char ***names, int *n, const char *path, struct arena *a, struct err *err)
{
    DIR *d = opendir(path);
    if (!d) return fail_errno(err, "cannot open folder %s", path);
    int cap = 0;
    char **list = NULL;
    *n = 0;
    for (struct dirent *e; (e = readdir(d));) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
        ROOM(a, list, *n, cap);
        list[(*n)++] = arena_string(a, e->d_name, strlen(e->d_name));
    }
    closedir(d);
    if (*n) qsort(list, (size_t)*n, sizeof *list, by_bytes);
    *names = list;
    return true;
}

bool path_exists(const char *path) { return access(path, F_OK) == 0; }

bool path_is_dir(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

char *path_join(struct arena *a, const char *dir, const char *path)
{
    const char *home = getenv("HOME");
    if (path[0] == '~' && path[1] == '/' && home) return arena_printf(a, "%s/%s", home, path + 2);
    if (path[0] == '/' || !dir || dir[0] == 0) return arena_printf(a, "%s", path);
    return arena_printf(a, "%s%s%s", dir, dir[strlen(dir) - 1] == '/' ? "" : "/", path);
}

const char *path_base(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

char *path_dir(struct arena *a, const char *path)
{
    size_t n = (size_t)(path_base(path) - path);
    if (n == 0) return arena_printf(a, ".");
    return n == 1 ? arena_printf(a, "/") : arena_string(a, path, n - 1);
}

int64_t disk_free(const char *path)
{
    struct statvfs v;
    return statvfs(path, &v) == 0 ? (int64_t)v.f_bavail * (int64_t)v.f_frsize : -1;
}
