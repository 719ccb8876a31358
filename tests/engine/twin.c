/* twin.c - a preload library for what a test has no right or no time to make real:
 *   HONE_CLOCK=FILE       the wall clock is wrong by so many seconds as the file says, read at every look
 *   HONE_THREADS=N        the process gets N threads and no more       HONE_FORKS=N   N children and no more
 *   HONE_PEER=UID         who is at the other end of a socket is this user
 *   HONE_OOM=FILE         this file is what the kernel says of the cgroup's killed processes
 * Each reads its variable itself, so that a test can give it to one process alone. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static long wrong_by(void)
{
    char text[32] = "";
    const char *file = getenv("HONE_CLOCK");
    int fd = file ? (int)syscall(SYS_openat, AT_FDCWD, file, O_RDONLY | O_CLOEXEC, 0) : -1;
    if (fd < 0) return 0;
    if (syscall(SYS_read, fd, text, sizeof text - 1) < 0) text[0] = 0;
    syscall(SYS_close, fd);
    return strtol(text, NULL, 10);
}

int clock_gettime(clockid_t id, struct timespec *t)
{
    int rc = (int)syscall(SYS_clock_gettime, id, t);
    if (id == CLOCK_REALTIME) t->tv_sec += wrong_by();
    return rc;
}

time_t time(time_t *out)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    if (out) *out = t.tv_sec;
    return t.tv_sec;
}

static int is_over(const char *limit, int *made)
{
    const char *most = getenv(limit);
    return most && ++*made > strtol(most, NULL, 10);
}

int pthread_create(pthread_t *id, const pthread_attr_t *a, void *(*f)(void *), void *arg)
{
    static int made;
    int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *) =
        (int (*)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *))dlsym(RTLD_NEXT, "pthread_create");
    return is_over("HONE_THREADS", &made) ? EAGAIN : real(id, a, f, arg);
}

pid_t fork(void)
{
    static int made;
    pid_t (*real)(void) = (pid_t (*)(void))dlsym(RTLD_NEXT, "fork");
    if (!is_over("HONE_FORKS", &made)) return real();
    errno = EAGAIN;
    return -1;
}

int getsockopt(int fd, int level, int name, void *value, socklen_t *n)
{
    int rc = (int)syscall(SYS_getsockopt, fd, level, name, value, n);
    const char *uid = getenv("HONE_PEER");
    if (rc == 0 && uid && level == SOL_SOCKET && name == SO_PEERCRED)
        ((struct ucred *)value)->uid = (uid_t)strtol(uid, NULL, 10);
    return rc;
}

FILE *fopen(const char *path, const char *mode)
{
    FILE *(*real)(const char *, const char *) = (FILE * (*)(const char *, const char *)) dlsym(RTLD_NEXT, "fopen");
    const char *oom = getenv("HONE_OOM");
    int asked = oom && (strstr(path, "/memory.events") || strstr(path, "/memory.oom_control"));
    return real(asked ? oom : path, mode);
}
