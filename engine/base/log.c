/* log.c - one log a process: a line a call, written with one write(2). */
#include "engine/base/base.h"
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static int log_fd = -1;
static enum log_level log_least = LOG_ERROR;

void log_to(int fd, enum log_level least)
{
    log_fd = fd;
    log_least = least;
}

void say(enum log_level level, const char *fmt, ...)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};
    if (log_fd < 0 || level < log_least) return;
    char line[2048];
    time_t t = time(NULL);
    struct tm tm;
    localtime_r(&t, &tm);
    size_t n = strftime(line, sizeof line, "%Y-%m-%d %H:%M:%S ", &tm);
    n += (size_t)snprintf(line + n, sizeof line - n, "%-5s ", names[level]);
    va_list ap;
    va_start(ap, fmt);
    int m = vsnprintf(line + n, sizeof line - n - 1, fmt, ap);
    va_end(ap);
    if (m < 0) return;
    n = n + (size_t)m < sizeof line - 1 ? n + (size_t)m : sizeof line - 2;
    line[n++] = '\n';
    if (write(log_fd, line, n) < 0) return; /* a log that cannot be written has nobody to tell */
}
