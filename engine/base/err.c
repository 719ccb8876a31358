/* err.c - errors as sentences, and the end of the process for bugs. */
#include "engine/base/base.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Noreturn void bug(const char *file, int line, const char *what)
{
    fprintf(stderr, "hone: bug at %s:%d: %s\n", file, line, what);
    abort();
}

/* The arguments may point into err->text itself, so the sentence is made beside it. */
bool fail(struct err *err, const char *fmt, ...)
{
    char text[sizeof err->text];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    memcpy(err->text, text, sizeof text);
    return false;
}

bool fail_in(struct err *err, const char *fmt, ...)
{
    char where[256], text[sizeof err->text];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(where, sizeof where, fmt, ap);
    va_end(ap);
    memcpy(text, err->text, sizeof text);
    int n = snprintf(err->text, sizeof err->text, "%s: ", where);
    size_t room = sizeof err->text - (size_t)n;
    snprintf(err->text + n, room, "%.*s", (int)room - 1, text);
    return false;
}

bool fail_errno(struct err *err, const char *fmt, ...)
{
    int number = errno;
    char text[sizeof err->text];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return fail(err, "%s: %s", text, strerror(number));
}
