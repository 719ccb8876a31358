/* faults.c - a preload library that lets the system fail where a test says: HONE_FAULT=CALL:N:ACTION.
 *
 * CALL is open, write, fsync, rename or any; N counts such calls of the engine process (not of its launcher or of a
 * probe) from 1; ACTION is kill (SIGKILL before the call), or an errno's number: the call fails once, or from N on with
 * a '+' behind it. HONE_FAULT_HITS names a file to which a hit is noted, so that a test can see that it hit something. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char call[16];
static long at = -1, seen;
static int failing, sticky, killing, ready;

static int is_engine(void)
{
    char line[4096] = "";
    int fd = (int)(((int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open"))("/proc/self/cmdline", O_RDONLY));
    ssize_t n = fd >= 0 ? read(fd, line, sizeof line - 1) : 0;
    if (fd >= 0) close(fd);
    const char *one = n > 0 ? memchr(line, 0, (size_t)n) : NULL;
    if (!one || strcmp(one + 1, "engine") != 0) return 0;
    const char *two = one + 1 + strlen("engine") + 1;
    return two < line + n && strncmp(two, "--", 2) != 0;
}

static void prepare(void)
{
    ready = 1;
    const char *spec = getenv("HONE_FAULT");
    char action[32] = "";
    if (!spec || !is_engine() || sscanf(spec, "%15[a-z]:%ld:%31s", call, &at, action) != 3) return;
    killing = strcmp(action, "kill") == 0;
    sticky = strchr(action, '+') != NULL;
    failing = (int)strtol(action, NULL, 10);
}

/* Is this the call? Then the process dies here, or errno is set and the call must fail. */
static int hit(const char *name)
{
    if (!ready) prepare();
    if (at < 0 || (strcmp(call, "any") != 0 && strcmp(call, name) != 0)) return 0;
    seen++;
    if (seen != at && !(sticky && seen > at)) return 0;
    const char *file = getenv("HONE_FAULT_HITS");
    int fd = file ? (int)(((int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open"))(file, O_WRONLY | O_CREAT | O_APPEND, 0600)) : -1;
    if (fd >= 0) {
        ssize_t (*put)(int, const void *, size_t) = (ssize_t (*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");
        put(fd, name, strlen(name));
        put(fd, "\n", 1);
        close(fd);
    }
    if (killing) kill(getpid(), SIGKILL);
    errno = failing;
    return 1;
}

ssize_t write(int fd, const void *p, size_t n)
{
    static ssize_t (*real)(int, const void *, size_t);
    if (!real) real = (ssize_t (*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");
    return hit("write") ? -1 : real(fd, p, n);
}

int fsync(int fd)
{
    static int (*real)(int);
    if (!real) real = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    return hit("fsync") ? -1 : real(fd);
}

int rename(const char *from, const char *to)
{
    static int (*real)(const char *, const char *);
    if (!real) real = (int (*)(const char *, const char *))dlsym(RTLD_NEXT, "rename");
    return hit("rename") ? -1 : real(from, to);
}

int open(const char *path, int flags, ...)
{
    static int (*real)(const char *, int, ...);
    va_list ap;
    va_start(ap, flags);
    int mode = flags & O_CREAT ? va_arg(ap, int) : 0;
    va_end(ap);
    if (!real) real = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open");
    return flags & O_CREAT && hit("open") ? -1 : real(path, flags, mode);
}
