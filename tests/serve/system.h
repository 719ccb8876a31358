/* system.h - the system as a test wants it: the calls by which hone reaches files, counted,
 * delayed, made to fail or watched. Included by one file of a program, whose functions then stand
 * before libc's.
 *
 * sys_arm() lets call number `at` of one kind fail; between sys_begin() and sys_end() calls count.
 * A call that is made to die does so as kill -9 would: before it, or after half of a write. */
#ifndef HONE_TEST_SYSTEM_H
#define HONE_TEST_SYSTEM_H
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum call {
    CALL_OPEN,
    CALL_READ,
    CALL_WRITE,
    CALL_FSYNC,
    CALL_CLOSE,
    CALL_RENAME,
    CALL_MMAP,
    CALL_MALLOC, /* those a sweep walks through */
    CALL_MKDIR,
    CALL_UNLINK,
    CALL_RMDIR,
    CALL_TRUNCATE,
    CALL_LOCK,
    CALL_BIND,
    CALLS
};
static const char *const call_names[CALLS] = {"open",   "read",     "write",  "fsync", "close",
                                              "rename", "mmap",     "malloc", "mkdir", "unlink",
                                              "rmdir",  "truncate", "flock",  "bind"};
enum how { HOW_FAIL, HOW_FAIL_ON, HOW_SHORT, HOW_KILL, HOW_KILL_HALF };

static struct {
    int counting;
    long seen[CALLS];
    enum call call;
    long at; /* 0: nothing is armed */
    enum how how;
    int error, hit;
    int delay_ms;        /* before every call of the start's windows */
    char path[256][512]; /* of the descriptors that were opened */
    /* A call went through: its path (of a descriptor too), rename's target, what was written and
     * where. */
    void (*watch)(enum call c, const char *path, const char *to, const void *p, size_t n, long at);
} sys;

static inline void sys_begin(void)
{
    memset(sys.seen, 0, sizeof sys.seen);
    sys.hit = 0;
    sys.counting = 1;
}
static inline void sys_end(void) { sys.counting = 0; }
static inline void sys_arm(enum call c, long at, enum how how, int error)
{
    sys.call = c;
    sys.at = at;
    sys.how = how;
    sys.error = error;
}

static void sys_die(void) { syscall(SYS_kill, syscall(SYS_getpid), SIGKILL); }

/* Is this the one? It dies here, or is to fail, or (HOW_SHORT, HOW_KILL_HALF) to be cut. */
static int sys_hit(enum call c)
{
    static const int windows =
        1 << CALL_OPEN | 1 << CALL_LOCK | 1 << CALL_BIND | 1 << CALL_UNLINK | 1 << CALL_RENAME;
    if (!sys.counting) return 0;
    if (sys.delay_ms && (windows >> c & 1))
        nanosleep(&(struct timespec){.tv_nsec = sys.delay_ms * 1000000L}, NULL);
    sys.seen[c]++;
    if (!sys.at || c != sys.call ||
        !(sys.seen[c] == sys.at || (sys.how == HOW_FAIL_ON && sys.seen[c] > sys.at)))
        return 0;
    sys.hit = 1;
    if (sys.how == HOW_KILL || (sys.how == HOW_KILL_HALF && c != CALL_WRITE)) sys_die();
    errno = sys.error;
    return 1;
}
static int sys_fails(enum call c) { return sys_hit(c) && sys.how <= HOW_FAIL_ON; }

static void sys_saw(enum call c, const char *path, const char *to, const void *p, size_t n, long at)
{
    int error = errno;
    if (sys.counting && sys.watch) sys.watch(c, path, to, p, n, at);
    errno = error;
}
static char *sys_path(int fd) { return sys.path[fd >= 0 && fd < 256 ? fd : 0]; }

static int sys_open(int dir, const char *path, int flags, int mode)
{
    if (sys_fails(CALL_OPEN)) return -1;
    int fd = (int)syscall(SYS_openat, dir, path, flags, mode);
    char whole[512];
    if (fd < 0 || fd >= 256) return fd;
    bool plain = path[0] == '/' || dir == AT_FDCWD;
    snprintf(whole, sizeof whole, "%.250s%s%.250s", plain ? "" : sys_path(dir), plain ? "" : "/",
             path);
    memcpy(sys_path(fd), whole, sizeof whole);
    if (flags & O_CREAT) sys_saw(CALL_OPEN, sys_path(fd), NULL, NULL, 0, 0);
    return fd;
}

int open(const char *path, int flags, ...)
{
    va_list ap;
    va_start(ap, flags);
    int mode = flags & O_CREAT ? va_arg(ap, int) : 0;
    va_end(ap);
    return sys_open(AT_FDCWD, path, flags, mode);
}

int openat(int dir, const char *path, int flags, ...)
{
    va_list ap;
    va_start(ap, flags);
    int mode = flags & O_CREAT ? va_arg(ap, int) : 0;
    va_end(ap);
    return sys_open(dir, path, flags, mode);
}

/* The length that a call is cut to, or -1: it fails. */
static ssize_t sys_cut(enum call c, size_t n)
{
    if (!sys_hit(c)) return (ssize_t)n;
    return sys.how <= HOW_FAIL_ON ? -1 : (ssize_t)(n + 1) / 2;
}

ssize_t read(int fd, void *p, size_t n)
{
    ssize_t m = sys_cut(CALL_READ, n);
    return m < 0 ? -1 : syscall(SYS_read, fd, p, (size_t)m);
}

ssize_t pread(int fd, void *p, size_t n, off_t at)
{
    ssize_t m = sys_cut(CALL_READ, n);
    return m < 0 ? -1 : syscall(SYS_pread64, fd, p, (size_t)m, at);
}

ssize_t write(int fd, const void *p, size_t n)
{
    ssize_t m = sys_cut(CALL_WRITE, n);
    if (m < 0) return -1;
    long at = sys.watch ? (long)lseek(fd, 0, SEEK_CUR) : 0;
    ssize_t done = syscall(SYS_write, fd, p, (size_t)m);
    if ((size_t)m < n && sys.how == HOW_KILL_HALF) sys_die();
    if (done > 0) sys_saw(CALL_WRITE, sys_path(fd), NULL, p, (size_t)done, at);
    return done;
}

ssize_t pwrite(int fd, const void *p, size_t n, off_t at)
{
    ssize_t m = sys_cut(CALL_WRITE, n);
    if (m < 0) return -1;
    ssize_t done = syscall(SYS_pwrite64, fd, p, (size_t)m, at);
    if ((size_t)m < n && sys.how == HOW_KILL_HALF) sys_die();
    if (done > 0) sys_saw(CALL_WRITE, sys_path(fd), NULL, p, (size_t)done, at);
    return done;
}

int fsync(int fd)
{
    if (sys_fails(CALL_FSYNC)) return -1;
    int rc = (int)syscall(SYS_fsync, fd);
    if (rc == 0) sys_saw(CALL_FSYNC, sys_path(fd), NULL, NULL, 0, 0);
    return rc;
}

int fdatasync(int fd)
{
    if (sys_fails(CALL_FSYNC)) return -1;
    int rc = (int)syscall(SYS_fdatasync, fd);
    if (rc == 0) sys_saw(CALL_FSYNC, sys_path(fd), NULL, NULL, 0, 0);
    return rc;
}

int close(int fd)
{
    int fails = sys_fails(CALL_CLOSE), error = errno;
    int rc = (int)syscall(SYS_close, fd);
    if (fails) errno = error;
    return fails ? -1 : rc;
}

int rename(const char *from, const char *to)
{
    if (sys_fails(CALL_RENAME)) return -1;
    int rc = (int)syscall(SYS_rename, from, to);
    if (rc == 0) sys_saw(CALL_RENAME, from, to, NULL, 0, 0);
    return rc;
}

int mkdir(const char *path, mode_t mode)
{
    if (sys_fails(CALL_MKDIR)) return -1;
    int rc = (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);
    if (rc == 0) sys_saw(CALL_MKDIR, path, NULL, NULL, 0, 0);
    return rc;
}

int unlinkat(int dir, const char *path, int flags)
{
    char whole[512];
    enum call c = flags & AT_REMOVEDIR ? CALL_RMDIR : CALL_UNLINK;
    if (sys_fails(c)) return -1;
    int rc = (int)syscall(SYS_unlinkat, dir, path, flags);
    snprintf(whole, sizeof whole, "%.250s%s%.250s", dir == AT_FDCWD ? "" : sys_path(dir),
             dir == AT_FDCWD ? "" : "/", path);
    if (rc == 0) sys_saw(c, whole, NULL, NULL, 0, 0);
    return rc;
}

int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }

int ftruncate(int fd, off_t n)
{
    if (sys_fails(CALL_TRUNCATE)) return -1;
    int rc = (int)syscall(SYS_ftruncate, fd, n);
    if (rc == 0) sys_saw(CALL_TRUNCATE, sys_path(fd), NULL, NULL, 0, n);
    return rc;
}

int flock(int fd, int what)
{
    if (sys_fails(CALL_LOCK)) return -1;
    return (int)syscall(SYS_flock, fd, what);
}

int sys_bind(int fd, const void *a,
             socklen_t n) __asm__("bind"); /* libc's has a union for an argument */
int sys_bind(int fd, const void *a, socklen_t n)
{
    if (sys_fails(CALL_BIND)) return -1;
    return (int)syscall(SYS_bind, fd, a, n);
}

#ifdef __has_feature
#define SYS_SANITIZED (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SYS_SANITIZED 1
#else
#define SYS_SANITIZED 0
#endif
#if !SYS_SANITIZED /* they have their own */
void *mmap(void *at, size_t n, int protection, int flags, int fd, off_t from)
{
    if (sys_fails(CALL_MMAP)) return MAP_FAILED;
    return (void *)syscall(SYS_mmap, at, n, protection, flags, fd, from);
}

void *__libc_malloc(size_t n);
void *__libc_memalign(size_t align, size_t n);
void *sys_malloc(size_t n) __asm__("malloc");
void *sys_aligned_alloc(size_t align, size_t n) __asm__("aligned_alloc");
void *sys_malloc(size_t n) { return sys_fails(CALL_MALLOC) ? NULL : __libc_malloc(n); }
void *sys_aligned_alloc(size_t align, size_t n)
{
    return sys_fails(CALL_MALLOC) ? NULL : __libc_memalign(align, n);
}
#endif
#endif
