/* cache.c - the file that keeps a source's tokens.
 *
 * <cache_dir>/<key>.tokens, little endian, where key is 32 hexadecimal digits over everything that
 * decides the tokens (key.c). Documents are whole in it: cutting them to a window is the stream's.
 * It is written beside, synced and renamed, so a file with this name is whole; if it is not (a bad
 * disk), the checks below find it and it is made again.
 *
 *   0   8  "honetok1"
 *   8   8  TOKENS_VERSION
 *  16  32  the key, as text
 *  48   8  T, tokens
 *  56   8  D, documents
 *  64   8  C, bytes of categories
 *  72   8  R, bytes of the report
 *  80   8  XXH3-64 of the D documents, the categories and the report
 *  88   8  XXH3-64 of the 88 bytes before
 *  96   4 T     tokens: bit 31 is "trained", the rest the id
 *      32 D     documents: int64 first token, uint64 row hash, int32 tokens, int32 labels,
 *               uint32 low half of the XXH3-64 of its tokens, uint16 category, uint16 1 for a text
 *       C       categories, each ended by a zero byte; the first is the empty one
 *       R       the report, as far as it does not depend on max_length: int64 rows, bad, dropped,
 *               bytes lost, longest, bad rows kept, 16 lengths; then the format and the bad rows,
 *               each ended by a zero byte
 *
 * Tokens of up to 64 MiB are all checked when the file is opened; in larger files each document is
 * checked as it is read. */
#include "engine/data/tokens.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAGIC "honetok1"
#define HEAD 96
#define CHECKED_WHOLE (64ll << 20)
#define CATEGORIES_MOST 4096
#define PENDING_MOST (1 << 20)

struct head {
    char magic[8];
    int64_t version;
    char key[32];
    int64_t tokens, documents, categories, report;
    uint64_t index, self;
};
_Static_assert(sizeof(struct head) == HEAD && sizeof(struct document) == 32, "the file's layout");

static uint32_t check_of(const uint32_t *tokens, int64_t n)
{
    return (uint32_t)hash64(tokens, (size_t)n * 4, 0);
}

/* The numbers of a report in the order of the file. */
static int numbers(const struct source_report *r, int64_t *out)
{
    const int64_t list[] = {r->rows,       r->rows_bad, r->rows_dropped,
                            r->bytes_lost, r->longest,  r->n_bad};
    memcpy(out, list, sizeof list);
    memcpy(out + COUNT(list), r->lengths, sizeof r->lengths);
    return (int)(COUNT(list) + COUNT(r->lengths));
}

static void numbers_back(struct source_report *r, const int64_t *in)
{
    int64_t *const list[] = {&r->rows, &r->rows_bad, &r->rows_dropped, &r->bytes_lost, &r->longest};
    for (size_t i = 0; i < COUNT(list); i++) *list[i] = in[i];
    r->n_bad = in[COUNT(list)] < (int64_t)COUNT(r->bad) ? (int)in[COUNT(list)] : (int)COUNT(r->bad);
    memcpy(r->lengths, in + COUNT(list) + 1, sizeof r->lengths);
}

#define NUMBERS 22

/* Files beside that a killed process left: their name ends in its id. */
static void sweep(const char *dir, struct arena *a)
{
    struct arena_mark m = arena_mark(a);
    struct err err;
    char **names;
    int n;
    if (dir_list(&names, &n, dir, a, &err))
        for (int i = 0; i < n; i++) {
            const char *tmp = strstr(names[i], ".tokens.tmp-");
            if (!tmp) continue;
            long pid = strtol(tmp + strlen(".tokens.tmp-"), NULL, 10);
            if (pid > 0 && kill((pid_t)pid, 0) != 0 && errno == ESRCH)
                unlink(path_join(a, dir, names[i]));
        }
    arena_back(a, m);
}

bool cache_begin(struct cache_writer *w, const char *dir, const char *key, struct err *err)
{
    struct arena *a = &w->arena;
    *w = (struct cache_writer){.fd = -1, .arena = arena_make(0)};
    if (!dir_make(dir, err)) return false;
    sweep(dir, a);
    w->path = arena_printf(a, "%s/%s.tokens", dir, key);
    w->beside = arena_printf(a, "%s.tmp-%d", w->path, (int)getpid());
    unlink(w->beside);
    w->fd = open(w->beside, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (w->fd < 0) return fail_errno(err, "cannot create %s", w->beside);
    static const char zero[HEAD];
    w->pending = arena_take(a, 1, PENDING_MOST);
    w->made.categories = NEW_N(a, const char *, 16);
    w->cap_categories = 16;
    w->made.categories[w->made.n_categories++] = "";
    return file_write_all(w->fd, zero, HEAD, w->beside, err);
}

static bool category_number(struct cache_writer *w, struct text name, uint16_t *out,
                            struct err *err)
{
    struct token_cache *c = &w->made;
    if (memchr(name.p ? name.p : "", 0, name.n)) name.n = strlen(name.p);
    for (int i = c->n_categories - 1; i >= 0; i--)
        if (text_is(name, c->categories[i])) {
            *out = (uint16_t)i;
            return true;
        }
    if (c->n_categories >= CATEGORIES_MOST)
        return fail(err, "more than %d categories of rows", CATEGORIES_MOST - 1);
    ROOM(&w->arena, c->categories, c->n_categories, w->cap_categories);
    *out = (uint16_t)c->n_categories;
    c->categories[c->n_categories++] = arena_string(&w->arena, name.p, name.n);
    return true;
}

static bool flush(struct cache_writer *w, struct err *err)
{
    size_t n = w->n_pending;
    w->n_pending = 0;
    return file_write_all(w->fd, w->pending, n, w->beside, err);
}

static bool put_tokens(struct cache_writer *w, const uint32_t *tokens, size_t n, struct err *err)
{
    if (n * 4 > PENDING_MOST - w->n_pending && !flush(w, err)) return false;
    if (n * 4 > PENDING_MOST) return file_write_all(w->fd, tokens, n * 4, w->beside, err);
    memcpy(w->pending + w->n_pending, tokens, n * 4);
    w->n_pending += n * 4;
    return true;
}

bool cache_add(struct cache_writer *w, const uint32_t *tokens, struct document d,
               struct text category, struct err *err)
{
    struct token_cache *c = &w->made;
    if (!category_number(w, category, &d.category, err)) return false;
    d.at = c->n_tokens;
    d.check = check_of(tokens, d.tokens);
    if (!put_tokens(w, tokens, (size_t)d.tokens, err)) return false;
    ROOM(&w->arena, c->documents, c->n_documents, w->cap);
    c->documents[c->n_documents++] = d;
    c->n_tokens += d.tokens;
    return true;
}

static void put_report(struct buf *b, const struct source_report *r)
{
    int64_t list[NUMBERS];
    BUG_IF(numbers(r, list) != NUMBERS);
    buf_put(b, (const char *)list, sizeof list);
    buf_put(b, r->format, strlen(r->format) + 1);
    for (int i = 0; i < r->n_bad; i++) buf_put(b, r->bad[i], strlen(r->bad[i]) + 1);
}

static bool write_end(struct cache_writer *w, const char *key, const struct source_report *report,
                      struct err *err)
{
    struct token_cache *c = &w->made;
    struct buf b = buf_make(&w->arena);
    struct head h = {.version = TOKENS_VERSION, .tokens = c->n_tokens, .documents = c->n_documents};
    memcpy(h.magic, MAGIC, 8);
    memcpy(h.key, key, 32);
    if (c->n_documents)
        buf_put(&b, (const char *)c->documents, (size_t)c->n_documents * sizeof *c->documents);
    size_t from = b.n;
    for (int i = 0; i < c->n_categories; i++)
        buf_put(&b, c->categories[i], strlen(c->categories[i]) + 1);
    h.categories = (int64_t)(b.n - from);
    from = b.n;
    put_report(&b, report);
    h.report = (int64_t)(b.n - from);
    h.index = hash64(b.p, b.n, 0);
    h.self = hash64(&h, HEAD - 8, 0);
    if (!flush(w, err) || !file_write_all(w->fd, b.p, b.n, w->beside, err)) return false;
    if (lseek(w->fd, 0, SEEK_SET) != 0) return fail_errno(err, "cannot seek in %s", w->beside);
    if (!file_write_all(w->fd, &h, HEAD, w->beside, err)) return false;
    return fsync(w->fd) == 0 || fail_errno(err, "cannot sync %s", w->beside);
}

bool cache_end(struct cache_writer *w, const char *key, const struct source_report *report,
               struct err *err)
{
    bool ok = write_end(w, key, report, err);
    if (close(w->fd) != 0 && ok) ok = fail_errno(err, "cannot close %s", w->beside);
    w->fd = -1;
    if (ok && rename(w->beside, w->path) != 0) ok = fail_errno(err, "cannot rename %s", w->beside);
    if (!ok) unlink(w->beside);
    ok = ok && dir_sync(path_dir(&w->arena, w->path), err);
    arena_drop(&w->arena);
    return ok;
}

void cache_abandon(struct cache_writer *w)
{
    if (w->fd >= 0) {
        close(w->fd);
        unlink(w->beside);
    }
    arena_drop(&w->arena);
}

static bool damaged(const struct token_cache *c, const char *what, struct err *err)
{
    return fail(err, "the token cache %s is damaged (%s); remove it and it is made again", c->path,
                what);
}

/* The head must say what the file's size and the key say. */
static bool head_read(struct head *h, const struct token_cache *c, const char *key, int64_t size,
                      struct err *err)
{
    if (size < HEAD) return damaged(c, "cut off", err);
    if (!file_read_at(c->fd, h, HEAD, 0, c->path, err)) return false;
    if (memcmp(h->magic, MAGIC, 8) != 0 || h->self != hash64(h, HEAD - 8, 0))
        return damaged(c, "its head", err);
    if (h->version != TOKENS_VERSION || memcmp(h->key, key, 32) != 0)
        return damaged(c, "another key or version", err);
    int64_t rest = size - HEAD;
    if (h->tokens < 0 || h->tokens > rest / 4 || h->documents < 0 || h->documents > rest / 32 ||
        h->categories < 1 || h->categories > rest || h->report < NUMBERS * 8 + 1 ||
        h->report > rest || h->tokens * 4 + h->documents * 32 + h->categories + h->report != rest)
        return damaged(c, "its size", err);
    return true;
}

/* Splits n bytes of zero-ended names; false where the last one is not ended. */
static bool names_read(const char ***out, int *n_out, const char *p, int64_t n, struct arena *a)
{
    int cap = 0;
    *out = NULL;
    *n_out = 0;
    if (n < 1 || p[n - 1] != 0) return false;
    for (const char *end = p + n; p < end; p += strlen(p) + 1) {
        ROOM(a, *out, *n_out, cap);
        (*out)[(*n_out)++] = p;
    }
    return true;
}

static bool index_read(struct token_cache *c, const struct head *h, struct arena *a,
                       struct err *err)
{
    int64_t n = h->documents * 32 + h->categories + h->report;
    char *p = arena_take(a, 1, (size_t)n);
    if (!file_read_at(c->fd, p, (size_t)n, HEAD + h->tokens * 4, c->path, err)) return false;
    if (hash64(p, (size_t)n, 0) != h->index) return damaged(c, "its index", err);
    c->documents = (struct document *)p;
    c->n_documents = h->documents;
    c->n_tokens = h->tokens;
    p += h->documents * 32;
    const char **texts;
    int n_texts;
    bool ok =
        names_read(&c->categories, &c->n_categories, p, h->categories, a) &&
        names_read(&texts, &n_texts, p + h->categories + NUMBERS * 8, h->report - NUMBERS * 8, a);
    if (!ok) return damaged(c, "its names", err);
    int64_t list[NUMBERS];
    memcpy(list, p + h->categories, sizeof list);
    numbers_back(&c->report, list);
    if (n_texts != c->report.n_bad + 1) return damaged(c, "its report", err);
    snprintf(c->report.format, sizeof c->report.format, "%s", texts[0]);
    for (int i = 0; i < c->report.n_bad; i++)
        snprintf(c->report.bad[i], sizeof c->report.bad[i], "%s", texts[i + 1]);
    int64_t at = 0;
    for (int64_t i = 0; i < c->n_documents; at += c->documents[i++].tokens) {
        const struct document *d = &c->documents[i];
        if (d->at != at || d->tokens < 1 || d->tokens > c->n_tokens - at ||
            d->category >= c->n_categories || d->text > 1)
            return damaged(c, "its documents", err);
    }
    return true;
}

static bool tokens_check(const struct token_cache *c, struct err *err)
{
    struct arena a = arena_make(0);
    uint32_t *p = arena_take(&a, 4, (size_t)c->n_tokens);
    bool ok = file_read_at(c->fd, p, (size_t)c->n_tokens * 4, HEAD, c->path, err);
    for (int64_t i = 0; ok && i < c->n_documents; i++) {
        const struct document *d = &c->documents[i];
        if (check_of(p + d->at, d->tokens) != d->check) ok = damaged(c, "its tokens", err);
    }
    arena_drop(&a);
    return ok;
}

bool cache_open(struct token_cache **out, const char *dir, const char *key, int vocabulary,
                struct arena *a, struct err *err)
{
    struct arena_mark m = arena_mark(a);
    struct token_cache *c = NEW(a, struct token_cache);
    struct head h;
    int64_t size;
    c->path = arena_printf(a, "%s/%s.tokens", dir, key);
    c->vocabulary = vocabulary;
    err->text[0] = 0;
    bool ok = path_exists(c->path) && file_open(&c->fd, &size, c->path, err);
    if (ok) {
        ok = head_read(&h, c, key, size, err) && index_read(c, &h, a, err) &&
             (c->n_tokens * 4 > CHECKED_WHOLE || tokens_check(c, err));
        if (!ok) close(c->fd);
    }
    if (ok) *out = c;
    else arena_back(a, m);
    return ok;
}

bool data_cuts(const struct data_settings *s) { return s->packing != PACKING_SPLICE; }

int32_t document_taken(const struct token_cache *c, int64_t document, const struct data_settings *s)
{
    int32_t n = c->documents[document].tokens;
    BUG_IF(c->max_length != s->max_length);
    if (!data_cuts(s) || n <= s->max_length || c->documents[document].text) return n;
    return c->kept[document] ? s->max_length : 0;
}

int32_t document_pieces(const struct token_cache *c, int64_t document,
                        const struct data_settings *s)
{
    const struct document *d = &c->documents[document];
    return data_cuts(s) && d->text ? (d->tokens + s->max_length - 1) / s->max_length : 1;
}

bool cache_read(const struct token_cache *c, int64_t document, int64_t from, int64_t n,
                uint32_t *out, struct err *err)
{
    const struct document *d = &c->documents[document];
    BUG_IF(from < 0 || n < 0 || from + n > d->tokens);
    if (!file_read_at(c->fd, out, (size_t)n * 4, HEAD + (d->at + from) * 4, c->path, err))
        return false;
    if (n == d->tokens && check_of(out, n) != d->check) return damaged(c, "its tokens", err);
    for (int64_t i = 0; i < n; i++)
        if ((out[i] & ~TRAINED) >= (uint32_t)c->vocabulary)
            return damaged(c, "an id beyond the vocabulary", err);
    return true;
}
