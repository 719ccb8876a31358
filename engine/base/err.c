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

static void put_sentence(struct err *err, const char *text, int length)
{
    struct text t = {text, length < (int)sizeof err->text ? (size_t)length : sizeof err->text - 1};
    if (length > (int)t.n) t.n -= utf8_unfinished(t); /* what vsnprintf cut */
    text_fit(err->text, sizeof err->text, t);
}

/* The arguments may point into err->text itself, so the sentence is made beside it. */
bool fail(struct err *err, const char *fmt, ...)
{
    char text[sizeof err->text];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    put_sentence(err, text, n);
    return false;
}

bool fail_in(struct err *err, const char *fmt, ...)
{
    char where[256], text[sizeof err->text + sizeof where];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(where, sizeof where, fmt, ap);
    va_end(ap);
    put_sentence(err, text, snprintf(text, sizeof text, "%s: %s", where, err->text));
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
