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

/* Whatever a file, a model or another program put into it, a sentence holds nothing that acts on a terminal. */
static void put_sentence(struct err *err, const char *text, int length)
{
    char room[3 * sizeof err->text + 1]; /* a byte becomes three at most */
    struct buf b = {.p = room, .cap = sizeof room};
    struct text t = {text, length < (int)sizeof err->text ? (size_t)length : sizeof err->text - 1};
    if (length > (int)t.n) t.n -= utf8_unfinished(t);
    text_safe(&b, t, true);
    if (b.n >= sizeof err->text) {
        b.n = sizeof err->text - 1;
        b.n -= utf8_unfinished(buf_text(&b));
    }
    memcpy(err->text, room, b.n);
    err->text[b.n] = 0;
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
