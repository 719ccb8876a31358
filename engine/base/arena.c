/* arena.c - memory by lifetime: blocks that grow geometrically, given back together.
 *
 * A block is one malloc: a header of 64 bytes, then what was taken from it in order. Something that
 * does not fit into the rest of a block gets a block of its own size, so large arrays cost no slack. */
#include "engine/base/base.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ALIGN 64
#define BLOCK_LEAST (16 * 1024)
#define BLOCK_MOST (1024 * 1024)

struct arena_block {
    struct arena_block *before;
    size_t size, used;               /* bytes after the header */
    char *last;                      /* what was taken last, for arena_grow */
};

static char *block_data(struct arena_block *b) { return (char *)b + ALIGN; }

struct arena arena_make(size_t limit) { return (struct arena){.limit = limit}; }

static _Noreturn void refused(size_t bytes)
{
    fprintf(stderr, "hone: out of memory: the system refused %zu bytes\n", bytes);
    abort();
}

void *memory_for_library(size_t bytes)
{
    void *p = malloc(bytes ? bytes : 1);
    if (!p) refused(bytes);
    return p;
}

static struct arena_block *block_add(struct arena *a, size_t least)
{
    size_t size = a->last ? a->last->size * 2 : BLOCK_LEAST;
    if (size > BLOCK_MOST) size = BLOCK_MOST;
    if (size < least) size = least;
    size_t bytes = (size + ALIGN + ALIGN - 1) / ALIGN * ALIGN;
    struct arena_block *b = aligned_alloc(ALIGN, bytes);
    if (!b) refused(bytes);
    *b = (struct arena_block){.before = a->last, .size = bytes - ALIGN};
    a->last = b;
    return b;
}

void *arena_take(struct arena *a, size_t size, size_t count)
{
    size_t bytes;
    BUG_IF(__builtin_mul_overflow(size, count, &bytes) || bytes > SIZE_MAX / 4);
    size_t padded = (bytes + ALIGN - 1) / ALIGN * ALIGN;
    if (padded == 0) padded = ALIGN;
    struct arena_block *b = a->last;
    if (!b || b->size - b->used < padded) b = block_add(a, padded);
    char *p = block_data(b) + b->used;
    b->used += padded;
    b->last = p;
    a->used += padded;
    if (a->used > a->peak) a->peak = a->used;
    BUG_IF(a->limit && a->used > a->limit);
    memset(p, 0, padded);
    return p;
}

void *arena_grow(struct arena *a, void *p, size_t old_bytes, size_t new_bytes)
{
    struct arena_block *b = a->last;
    if (p && b && b->last == p) {
        size_t old_end = b->used, at = (size_t)((char *)p - block_data(b));
        size_t padded = (new_bytes + ALIGN - 1) / ALIGN * ALIGN;
        if (padded == 0) padded = ALIGN;
        if (padded <= b->size - at && at + padded >= old_end) {
            memset(block_data(b) + old_end, 0, at + padded - old_end);
            b->used = at + padded;
            a->used += b->used - old_end;
            if (a->used > a->peak) a->peak = a->used;
            BUG_IF(a->limit && a->used > a->limit);
            return p;
        }
    }
    void *q = arena_take(a, 1, new_bytes);
    if (p) memcpy(q, p, old_bytes < new_bytes ? old_bytes : new_bytes);
    return q;
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    BUG_IF(n < 0);
    char *p = arena_take(a, 1, (size_t)n + 1);
    vsnprintf(p, (size_t)n + 1, fmt, again);
    va_end(again);
    return p;
}

char *arena_string(struct arena *a, const char *p, size_t n)
{
    char *s = arena_take(a, 1, n + 1);
    if (n) memcpy(s, p, n);
    return s;
}

struct arena_mark arena_mark(const struct arena *a)
{
    return (struct arena_mark){a->last, a->used, a->last ? a->last->used : 0};
}

void arena_back(struct arena *a, struct arena_mark m)
{
    while (a->last != m.last) {
        struct arena_block *before = a->last->before;
        free(a->last);
        a->last = before;
    }
    if (a->last) {
        a->last->used = m.block_used;
        a->last->last = NULL;
    }
    a->used = m.used;
}

void arena_drop(struct arena *a)
{
    arena_back(a, (struct arena_mark){0});
    *a = arena_make(a->limit);
}
