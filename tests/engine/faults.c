/* faults.c - a preload library that lets the system fail where a test says: HONE_FAULT=CALL:N:ACTION.
 *
 * CALL is open (of a new file), read, write, fsync, close, rename, or any (open, write, fsync, rename); N counts such
 * calls of the engine process (not of its launcher or of a probe) from 1. ACTION is
 *   kill       SIGKILL before the call            half   half of a write, then SIGKILL
 *   after      the call, then SIGKILL             short  half of a write or read, and its count
 *   sleep      the call takes two seconds         touch  the call waits while HONE_FAULT_TOUCH does not exist
 *   a number   the call fails with that errno     with '+' behind it: from N on
 * HONE_FAULT_AT: only calls on paths with this text count; HONE_FAULT_TEXT: only writes of this text. HONE_FAULT_HITS
 * names a file to which a hit is noted, so that a test can see that it hit something; HONE_FAULT_COUNT one that gets
 * the count at the end. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum action { NOTHING, FAIL, KILL, AFTER, HALF, SHORT, SLEEP, TOUCH };

static char call[16];
static const char *where, *text, *hits, *count;
static long at = -1, seen;
static int number, sticky, ready;
static enum action action;

static int raw_open(const char *path, int flags) { return (int)syscall(SYS_openat, AT_FDCWD, path, flags, 0600); }

static int is_engine(void)
{
    char line[4096] = "";
    int fd = raw_open("/proc/self/cmdline", O_RDONLY);
    long n = fd >= 0 ? syscall(SYS_read, fd, line, sizeof line - 1) : 0;
    if (fd >= 0) syscall(SYS_close, fd);
    const char *one = n > 0 ? memchr(line, 0, (size_t)n) : NULL;
    if (!one || strcmp(one + 1, "engine") != 0) return 0;
    const char *two = one + 1 + strlen("engine") + 1;
    return two < line + n && strncmp(two, "--", 2) != 0;
}

static void prepare(void)
{
    static const struct { const char *name; enum action action; } words[] = {
        {"kill", KILL}, {"after", AFTER}, {"half", HALF}, {"short", SHORT}, {"sleep", SLEEP}, {"touch", TOUCH}};
    char what[32] = "";
    const char *spec = getenv("HONE_FAULT");
    ready = 1;
    if (!spec || !is_engine() || sscanf(spec, "%15[a-z]:%ld:%31s", call, &at, what) != 3) return;
    where = getenv("HONE_FAULT_AT");
    text = getenv("HONE_FAULT_TEXT");
    hits = getenv("HONE_FAULT_HITS");
    count = getenv("HONE_FAULT_COUNT");
    sticky = strchr(what, '+') != NULL;
    number = (int)strtol(what, NULL, 10);
    action = FAIL;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strncmp(what, words[i].name, strlen(words[i].name)) == 0) action = words[i].action;
}

static void note(const char *file, const char *what)
{
    int fd = file ? raw_open(file, O_WRONLY | O_CREAT | O_APPEND) : -1;
    if (fd < 0) return;
    syscall(SYS_write, fd, what, strlen(what));
    syscall(SYS_close, fd);
}

static int wanted(const char *path, int fd, const void *bytes, size_t n)
{
    char link[64], name[4096] = "";
    if (text && !(bytes && memmem(bytes, n, text, strlen(text)))) return 0;
    if (!where) return 1;
    if (!path) {
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        long got = readlink(link, name, sizeof name - 1);
        name[got > 0 ? got : 0] = 0;
    }
    return strstr(path ? path : name, where) != NULL;
}

static void die(void) { syscall(SYS_kill, getpid(), SIGKILL); }

/* What is to happen to this call; it dies or waits here already where that comes before it. */
static enum action hit(const char *name, const char *path, int fd, const void *bytes, size_t n)
{
    int any = strcmp(call, "any") == 0 && strcmp(name, "read") != 0 && strcmp(name, "close") != 0;
    if (!ready) prepare();
    if (at < 0 || (!any && strcmp(call, name) != 0) || !wanted(path, fd, bytes, n)) return NOTHING;
    seen++;
    if (seen != at && !(sticky && seen > at)) return NOTHING;
    note(hits, name);
    note(hits, "\n");
    if (action == KILL || (action == HALF && !bytes)) die();
    if (action == SLEEP) sleep(2);
    for (int i = 0; action == TOUCH && i < 600 && access(getenv("HONE_FAULT_TOUCH"), F_OK) != 0; i++) usleep(50000);
    errno = number;
    return action;
}

/* The rest of it: `rc` is what the call gave. */
static long over(enum action what, long rc)
{
    if (what == AFTER || what == HALF) die();
    return rc;
}

ssize_t write(int fd, const void *p, size_t n)
{
    enum action what = hit("write", NULL, fd, p, n);
    if (what == FAIL) return -1;
    return over(what, syscall(SYS_write, fd, p, what == HALF || what == SHORT ? (n + 1) / 2 : n));
}

ssize_t read(int fd, void *p, size_t n)
{
    enum action what = hit("read", NULL, fd, NULL, 0);
    return what == FAIL ? -1 : over(what, syscall(SYS_read, fd, p, what == SHORT ? (n + 1) / 2 : n));
}

ssize_t pread(int fd, void *p, size_t n, off_t from)
{
    enum action what = hit("read", NULL, fd, NULL, 0);
    return what == FAIL ? -1 : over(what, syscall(SYS_pread64, fd, p, what == SHORT ? (n + 1) / 2 : n, from));
}

int fsync(int fd)
{
    enum action what = hit("fsync", NULL, fd, NULL, 0);
    return what == FAIL ? -1 : (int)over(what, syscall(SYS_fsync, fd));
}

int close(int fd)
{
    enum action what = hit("close", NULL, fd, NULL, 0);
    int rc = (int)over(what, syscall(SYS_close, fd));
    if (what == FAIL) errno = number;
    return what == FAIL ? -1 : rc;
}

int rename(const char *from, const char *to)
{
    enum action what = hit("rename", to, -1, NULL, 0);
    return what == FAIL ? -1 : (int)over(what, syscall(SYS_rename, from, to));
}

int open(const char *path, int flags, ...)
{
    va_list ap;
    va_start(ap, flags);
    int mode = flags & O_CREAT ? va_arg(ap, int) : 0;
    va_end(ap);
    enum action what = flags & O_CREAT || (where && strcmp(call, "open") == 0) ? hit("open", path, -1, NULL, 0) : NOTHING;
    return what == FAIL ? -1 : (int)over(what, syscall(SYS_openat, AT_FDCWD, path, flags, mode));
}

__attribute__((destructor)) static void at_end(void)
{
    char total[32];
    snprintf(total, sizeof total, "%ld\n", seen);
    note(count, total);
}
