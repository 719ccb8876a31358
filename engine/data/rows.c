/* rows.c - a file as records: lines of JSON, the elements of one JSON array, or paragraphs of text.
 *
 * Nothing is parsed here: a record is found by its newline, by counting brackets outside of
 * strings, or by the blank line after it, so a file of any size is read with one buffer as long as
 * its longest record. A record over the limit is walked over without being kept. */
#include "engine/data/rows.h"
#include <string.h>
#include <unistd.h>

#define PIECE (1 << 20)

static bool blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

/* Reads a piece more behind what is there. *got is false at the end of the file. */
static bool more(struct rows *r, bool *got, struct err *err)
{
    int64_t left = r->size - r->at;
    *got = left > 0;
    if (left <= 0) return true;
    if (r->from > 0) memmove(r->p, r->p + r->from, r->n - r->from);
    r->n -= r->from;
    r->from = 0;
    if (r->cap - r->n < PIECE) {
        size_t cap = r->cap ? r->cap * 2 : 2 * PIECE;
        r->p = arena_grow(&r->arena, r->p, r->n, cap);
        r->cap = cap;
    }
    size_t n = left < PIECE ? (size_t)left : PIECE;
    if (!file_read_at(r->fd, r->p + r->n, n, r->at, r->path, err)) return false;
    r->n += n;
    r->at += (int64_t)n;
    return true;
}

bool rows_open(struct rows *r, const char *path, bool plain, struct err *err)
{
    bool got;
    *r = (struct rows){
        .path = path, .kind = plain ? ROWS_PLAIN : ROWS_LINES, .line = 1, .arena = arena_make(0)};
    if (!file_open(&r->fd, &r->size, path, err)) return false;
    if (r->size == 0) {
        rows_close(r);
        return fail(err, "%s is empty (0 bytes); there is nothing to learn from it", path);
    }
    if (!more(r, &got, err)) {
        rows_close(r);
        return false;
    }
    if (r->n >= 3 && memcmp(r->p, "\xEF\xBB\xBF", 3) == 0) r->from = 3;
    size_t i = r->from;
    while (i < r->n && blank(r->p[i])) i++;
    if (!plain && i < r->n && r->p[i] == '[') r->kind = ROWS_ARRAY;
    return true;
}

void rows_close(struct rows *r)
{
    if (r->fd >= 0) close(r->fd);
    r->fd = -1;
    arena_drop(&r->arena);
}

static void take(struct rows *r, size_t n)
{
    for (const char *p = r->p + r->from, *end = p + n;
         (p = memchr(p, '\n', (size_t)(end - p))) != NULL; p++)
        r->line++;
    r->from += n;
}

/* How many bytes from r->from on end the line that holds byte `skip` of them, its newline included;
 * what is left where the file ends first. Over the limit all of it is dropped and *too_long set. */
static bool line_end(struct rows *r, size_t skip, size_t *n, bool *too_long, struct err *err)
{
    bool got = true;
    while (got) {
        const char *p = r->p + r->from, *end = NULL;
        if (r->n > r->from + skip) end = memchr(p + skip, '\n', r->n - r->from - skip);
        if (end) {
            *n = (size_t)(end - p) + 1;
            return true;
        }
        skip = r->n - r->from;
        if ((int64_t)skip > ROW_BYTES_MOST) {
            *too_long = true;
            take(r, skip);
            skip = 0;
        }
        if (!more(r, &got, err)) return false;
    }
    *n = r->n - r->from;
    return true;
}

static bool next_line(struct rows *r, struct row *out, bool *any, struct err *err)
{
    for (;;) {
        size_t n;
        *out = (struct row){.line = r->line};
        if (!line_end(r, 0, &n, &out->too_long, err)) return false;
        *any = n > 0 || out->too_long;
        if (!*any) return true;
        const char *p = r->p + r->from;
        size_t from = 0, to = n;
        while (from < to && blank(p[from])) from++;
        while (to > from && blank(p[to - 1])) to--;
        out->text = (struct text){p + from, to - from};
        out->too_long |= (int64_t)out->text.n > ROW_BYTES_MOST;
        take(r, n);
        if (out->text.n > 0 || out->too_long) return true;
    }
}

static bool all_blank(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!blank(p[i])) return false;
    return true;
}

/* Lines up to the next blank one. */
static bool next_paragraph(struct rows *r, struct row *out, bool *any, struct err *err)
{
    size_t n = 0;
    bool too_long = false;
    *out = (struct row){.line = r->line};
    for (;;) {
        size_t end;
        bool dropped = false;
        if (!line_end(r, n, &end, &dropped, err)) return false;
        if (dropped) n = 0;
        too_long |= dropped;
        if (end == n && !dropped) break; /* the end of the file */
        if (!dropped && all_blank(r->p + r->from + n, end - n)) {
            if (n > 0 || too_long) break;
            take(r, end);
            out->line = r->line;
            continue;
        }
        n = end;
    }
    out->text = (struct text){r->p + r->from, n};
    take(r, n);
    while (out->text.n > 0 && blank(out->text.p[out->text.n - 1])) out->text.n--;
    out->too_long = too_long || (int64_t)n > ROW_BYTES_MOST;
    *any = n > 0 || too_long;
    return true;
}

/* The next byte that is not blank, at r->from; 0 at the end of the file. */
static bool skip_blanks(struct rows *r, char *c, struct err *err)
{
    bool got = true;
    for (;;) {
        size_t n = 0;
        while (r->from + n < r->n && blank(r->p[r->from + n])) n++;
        take(r, n);
        *c = r->from < r->n ? r->p[r->from] : 0;
        if (r->from < r->n || !got) return true;
        if (!more(r, &got, err)) return false;
    }
}

/* Walks over one value: until its brackets are closed, or a comma or bracket follows a plain one.
 */
struct walk {
    int depth;
    bool in_text, escaped, ended;
};

static size_t walk_on(struct walk *w, const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char c = p[i];
        if (w->in_text) {
            if (w->escaped) w->escaped = false;
            else if (c == '\\') w->escaped = true;
            else if (c == '"') w->in_text = false;
        } else if (c == '"') w->in_text = true;
        else if (c == '{' || c == '[') w->depth++;
        else if (w->depth == 0 && (c == ',' || c == ']' || c == '}' || blank(c))) {
            w->ended = true;
            return i;
        } else if ((c == '}' || c == ']') && --w->depth == 0) {
            w->ended = true;
            return i + 1;
        }
    }
    return n;
}

static bool value_length(struct rows *r, size_t *n, struct err *err)
{
    struct walk w = {0};
    bool got = true;
    *n = 0;
    while (!w.ended && got) {
        *n += walk_on(&w, r->p + r->from + *n, r->n - r->from - *n);
        if ((int64_t)*n > ROW_BYTES_MOST)
            return fail(err, "%s:%lld: an element of the array is longer than 64 MiB", r->path,
                        (long long)r->line);
        if (!w.ended && !more(r, &got, err)) return false;
    }
    return true;
}

static bool array_broken(const struct rows *r, char c, const char *wanted, struct err *err)
{
    if (c == 0)
        return fail(err, "%s:%lld: the file ends inside its JSON array; it is cut off", r->path,
                    (long long)r->line);
    return fail(err, "%s:%lld: the JSON array goes on with byte 0x%02x where %s is wanted", r->path,
                (long long)r->line, (unsigned char)c, wanted);
}

static bool array_ends(struct rows *r, struct err *err)
{
    char c;
    take(r, 1);
    r->ended = true;
    if (!skip_blanks(r, &c, err)) return false;
    return c == 0 || array_broken(r, c, "the end of the file", err);
}

static bool next_element(struct rows *r, struct row *out, bool *any, struct err *err)
{
    char c;
    *any = false;
    if (r->ended) return true;
    if (!skip_blanks(r, &c, err)) return false;
    bool first = !r->open;
    if (first) {
        r->open = true;
        take(r, 1); /* '[', seen by rows_open */
        if (!skip_blanks(r, &c, err)) return false;
    } else if (c == ',') {
        take(r, 1);
        if (!skip_blanks(r, &c, err)) return false;
        if (c == ']') return array_broken(r, c, "an element", err);
    } else if (c != ']') return array_broken(r, c, "a comma or the closing bracket", err);
    if (c == ']') return array_ends(r, err);
    size_t n;
    if (c == 0) return array_broken(r, c, "an element", err);
    *out = (struct row){.line = r->line};
    if (!value_length(r, &n, err)) return false;
    if (n == 0) return array_broken(r, c, "an element", err);
    out->text = (struct text){r->p + r->from, n};
    take(r, n);
    *any = true;
    return true;
}

bool rows_next(struct rows *r, struct row *out, bool *any, struct err *err)
{
    static bool (*const next[])(struct rows *, struct row *, bool *, struct err *) = {
        [ROWS_LINES] = next_line, [ROWS_ARRAY] = next_element, [ROWS_PLAIN] = next_paragraph};
    return next[r->kind](r, out, any, err);
}
