/* json.c - JSON through jansson, behind plain nodes.
 *
 * A scan over the bytes comes first: it finds the depth and an upper bound of the number of values
 * before anything is allocated, so neither jansson nor the copy below can recurse further than the
 * limit says. It also finds integers beyond 64 bits (tokenizer_config.json says
 * "model_max_length": 1000000000000000019884624838656), which jansson refuses: they get ".0" in a
 * copy of the source and are read as numbers. */
#include "engine/format/json.h"
#define JSON_OBJECT JANSSON_OBJECT /* our kinds have the same names */
#define JSON_ARRAY JANSSON_ARRAY
#define JSON_NULL JANSSON_NULL
#include <jansson.h>
#undef JSON_OBJECT
#undef JSON_ARRAY
#undef JSON_NULL
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINEAR_KEYS = 16, EXACT_DIGITS = 18 };
static const struct json_limits defaults = {64 << 20, 64, 64 << 20};

/* Without this a document that memory does not suffice for would be called bad JSON. */
__attribute__((constructor)) static void take_memory_or_end(void)
{
    json_set_alloc_funcs(memory_for_library, free);
}

struct scan {
    int64_t nodes;            /* at most so many values: one for each bracket and comma, and one */
    int64_t keys;             /* at most: colons */
    int64_t bytes;            /* of texts and keys, quotes included: enough for them and terminators */
    int deepest;
    int64_t *wide; int n_wide, cap_wide; /* offsets after integers of more than EXACT_DIGITS digits */
};

static size_t skip_text(struct text s, size_t i)
{
    for (i++; i < s.n && s.p[i] != '"'; i++)
        if (s.p[i] == '\\') i++;
    return i;
}

/* Returns the offset of the number's last byte; notes an integer that may not fit 64 bits. */
static size_t skip_number(struct text s, size_t i, struct scan *c, struct arena *a)
{
    size_t from = i;
    while (i < s.n && s.p[i] >= '0' && s.p[i] <= '9') i++;
    bool integer = i == s.n || !strchr(".eE", s.p[i]) || s.p[i] == 0;
    if (integer && i - from > EXACT_DIGITS) {
        ROOM(a, c->wide, c->n_wide, c->cap_wide);
        c->wide[c->n_wide++] = (int64_t)i;
    }
    while (i < s.n && s.p[i] != 0 && strchr("0123456789.eE+-", s.p[i])) i++;
    return i - 1;
}

static struct scan scan(struct text s, struct arena *a)
{
    struct scan c = {.nodes = 1};
    int depth = 0;
    for (size_t i = 0; i < s.n; i++) {
        char b = s.p[i];
        if (b == '"') {
            size_t from = i;
            i = skip_text(s, i);
            c.bytes += (int64_t)(i - from) + 2;
        } else if (b == '[' || b == '{') {
            c.nodes++;
            if (++depth > c.deepest) c.deepest = depth;
        } else if (b == ']' || b == '}') depth--;
        else if (b == ',') c.nodes++;
        else if (b == ':') c.keys++;
        else if (b >= '0' && b <= '9') i = skip_number(s, i, &c, a);
    }
    return c;
}

/* Whether the digits that end at `end` mean more than 63 bits hold. */
static bool too_wide(struct text s, int64_t end)
{
    int64_t from = end, v = 0;
    while (from > 0 && s.p[from - 1] >= '0' && s.p[from - 1] <= '9') from--;
    bool negative = from > 0 && s.p[from - 1] == '-';
    for (int64_t i = from; i < end; i++)
        if (__builtin_mul_overflow(v, 10, &v) ||
            __builtin_add_overflow(v, (negative ? -1 : 1) * (s.p[i] - '0'), &v)) return true;
    return false;
}

/* The source with ".0" after every integer that is too wide; c->wide keeps only those. */
static struct text widened(struct text s, struct scan *c, struct arena *a)
{
    int n = 0;
    for (int i = 0; i < c->n_wide; i++)
        if (too_wide(s, c->wide[i])) c->wide[n++] = c->wide[i];
    c->n_wide = n;
    if (n == 0) return s;
    struct buf b = buf_make(a);
    int64_t from = 0;
    for (int i = 0; i < n; i++) {
        buf_put(&b, s.p + from, (size_t)(c->wide[i] - from));
        buf_put(&b, ".0", 2);
        from = c->wide[i];
    }
    buf_put(&b, s.p + from, s.n - (size_t)from);
    return buf_text(&b);
}

/* "file:line:column: what"; where `where` ends in ":17" it is itself the place of a line. */
static bool fail_at(struct err *err, struct text source, const struct scan *c, const char *where,
                    const json_error_t *e, struct arena *a)
{
    int column = e->column;
    int64_t end = e->position; /* of the copy; each ".0" before it moves it back to its place in the source */
    for (int i = 0; i < c->n_wide && c->wide[i] < end; i++) end -= 2;
    for (int i = 0; i < c->n_wide && c->wide[i] < end; i++)
        if (!memchr(source.p + c->wide[i], '\n', (size_t)(end - c->wide[i]))) column -= 2;
    const char *colon = strrchr(where, ':');
    bool has_line = e->line == 1 && colon && colon[1] && strspn(colon + 1, "0123456789") == strlen(colon + 1);
    struct buf what = buf_make(a);
    text_safe(&what, text_of(e->text), false);
    if (has_line) return fail(err, "%s:%d: bad JSON: %s", where, column, what.p);
    return fail(err, "%s:%d:%d: bad JSON: %s", where, e->line, column, what.p);
}

/* jansson reads over a NUL that follows a number, so it is looked for before. */
static bool without_nul(struct text s, const char *where, struct arena *a, struct err *err)
{
    const char *nul = s.n ? memchr(s.p, 0, s.n) : NULL;
    json_error_t e = {.line = 1, .column = 1, .text = "a NUL byte"};
    if (!nul) return true;
    for (const char *p = s.p; p < nul; p++) {
        if (*p == '\n') e.line++, e.column = 1;
        else e.column += ((unsigned char)*p & 0xC0) != 0x80;
    }
    return fail_at(err, s, &(struct scan){0}, where, &e, a);
}

/* Three blocks, sized by the scan, from which the copy takes in order. */
struct pool { struct json *nodes; struct text *keys; char *bytes; struct arena *a; };

static struct text pool_text(struct pool *p, const char *s, size_t n)
{
    char *q = p->bytes;
    if (n) memcpy(q, s, n);
    p->bytes += n + 1;
    return (struct text){q, n};
}

/* Open addressing: slots[0] is the size, a power of two; then key numbers from 1, or 0. */
static const int32_t *index_keys(const struct text *keys, int n, struct arena *a)
{
    uint32_t size = 32;
    while (size < (uint32_t)n * 2) size *= 2;
    int32_t *slots = NEW_N(a, int32_t, size + 1);
    slots[0] = (int32_t)size;
    for (int i = 0; i < n; i++) {
        uint32_t at = (uint32_t)hash64(keys[i].p, keys[i].n, 0) & (size - 1);
        while (slots[at + 1]) at = (at + 1) & (size - 1);
        slots[at + 1] = i + 1;
    }
    return slots;
}

static struct json copy(json_t *v, struct pool *p);

static struct json copy_object(json_t *v, struct pool *p)
{
    int n = (int)json_object_size(v), i = 0;
    struct json *items = p->nodes;
    struct text *keys = p->keys;
    p->nodes += n;
    p->keys += n;
    for (void *it = json_object_iter(v); it; it = json_object_iter_next(v, it), i++) {
        const char *key = json_object_iter_key(it);
        keys[i] = pool_text(p, key, strlen(key));
        items[i] = copy(json_object_iter_value(it), p);
    }
    return (struct json){.kind = JSON_OBJECT, .n = n, .items = items, .keys = keys,
                         .slots = n > LINEAR_KEYS ? index_keys(keys, n, p->a) : NULL};
}

static struct json copy_array(json_t *v, struct pool *p)
{
    int n = (int)json_array_size(v);
    struct json *items = p->nodes;
    p->nodes += n;
    for (int i = 0; i < n; i++) items[i] = copy(json_array_get(v, (size_t)i), p);
    return (struct json){.kind = JSON_ARRAY, .n = n, .items = items};
}

/* Recursion is as deep as the source, which the scan has bounded. */
static struct json copy(json_t *v, struct pool *p)
{
    switch (json_typeof(v)) {
    case JANSSON_OBJECT: return copy_object(v, p);
    case JANSSON_ARRAY: return copy_array(v, p);
    case JSON_STRING:
        return (struct json){.kind = JSON_TEXT,
                             .text = pool_text(p, json_string_value(v), json_string_length(v))};
    case JSON_INTEGER:
        return (struct json){.kind = JSON_INT, .integer = json_integer_value(v),
                             .number = (double)json_integer_value(v)};
    case JSON_REAL: return (struct json){.kind = JSON_NUM, .number = json_real_value(v)};
    case JSON_TRUE: return (struct json){.kind = JSON_BOOL, .yes = true};
    case JSON_FALSE: return (struct json){.kind = JSON_BOOL};
    default: return (struct json){.kind = JSON_NULL};
    }
}

static bool within(const struct scan *c, struct text source, const char *where,
                   struct json_limits most, struct err *err)
{
    if ((int64_t)source.n > most.bytes)
        return fail(err, "%s has %zu bytes of JSON; at most %lld are read", where, source.n, (long long)most.bytes);
    if (c->deepest > most.depth)
        return fail(err, "%s nests JSON %d deep; at most %d is read", where, c->deepest, most.depth);
    if (c->nodes > most.nodes)
        return fail(err, "%s has about %lld JSON values; at most %lld are read", where,
                    (long long)c->nodes, (long long)most.nodes);
    return true;
}

static struct json_limits limits_or_defaults(struct json_limits l)
{
    return (struct json_limits){l.bytes ? l.bytes : defaults.bytes, l.depth ? l.depth : defaults.depth,
                                l.nodes ? l.nodes : defaults.nodes};
}

static bool parse(const struct json **out, struct text source, const char *where, struct json_limits most,
                  struct arena *a, struct err *err)
{
    struct scan c = {0};
    if ((int64_t)source.n > most.bytes) return within(&c, source, where, most, err);
    struct arena scratch = arena_make(0);
    c = scan(source, &scratch);
    bool ok = within(&c, source, where, most, err) && without_nul(source, where, &scratch, err);
    json_t *v = NULL;
    if (ok) {
        json_error_t e;
        struct text wide = widened(source, &c, &scratch);
        v = json_loadb(wide.p, wide.n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL, &e);
        ok = v || fail_at(err, source, &c, where, &e, &scratch);
    }
    arena_drop(&scratch);
    if (!ok) return false;
    struct json *top = NEW(a, struct json);
    struct pool p = {NEW_N(a, struct json, c.nodes), NEW_N(a, struct text, c.keys),
                     arena_take(a, 1, (size_t)c.bytes), a};
    *top = copy(v, &p);
    json_decref(v);
    *out = top;
    return true;
}

bool json_parse(const struct json **out, struct text source, const char *where,
                struct json_limits limits, struct arena *a, struct err *err)
{
    return parse(out, source, where, limits_or_defaults(limits), a, err);
}

bool json_read(const struct json **out, const char *path, struct json_limits limits,
               struct arena *a, struct err *err)
{
    struct arena file = arena_make(0);
    struct text source;
    limits = limits_or_defaults(limits);
    bool ok = file_read(&source, path, limits.bytes, &file, err) && parse(out, source, path, limits, a, err);
    arena_drop(&file);
    return ok;
}

const struct json *json_get(const struct json *o, const char *key)
{
    if (!o || o->kind != JSON_OBJECT) return NULL;
    struct text name = text_of(key);
    if (!o->slots) {
        for (int i = 0; i < o->n; i++)
            if (text_equal(o->keys[i], name)) return &o->items[i];
        return NULL;
    }
    uint32_t mask = (uint32_t)o->slots[0] - 1, at = (uint32_t)hash64(name.p, name.n, 0) & mask;
    for (int i; (i = o->slots[at + 1]) != 0; at = (at + 1) & mask)
        if (text_equal(o->keys[i - 1], name)) return &o->items[i - 1];
    return NULL;
}

static const char *const kind_names[] = {"null", "true or false", "an integer", "a number", "a text",
                                         "an array", "an object"};

/* The value of `key` where it is there and not null; *ok is false where it has another kind. */
static const struct json *typed(const struct json *o, const char *key, enum json_kind kind, bool *ok,
                                const char *where, struct err *err)
{
    const struct json *v = json_get(o, key);
    *ok = true;
    if (!v || v->kind == JSON_NULL) return NULL;
    if (v->kind == kind || (kind == JSON_NUM && v->kind == JSON_INT)) return v;
    *ok = fail(err, "%s: \"%s\" is %s; it must be %s", where, key, kind_names[v->kind], kind_names[kind]);
    return NULL;
}

bool json_get_text(struct text *out, const struct json *o, const char *key, const char *where, struct err *err)
{
    bool ok;
    const struct json *v = typed(o, key, JSON_TEXT, &ok, where, err);
    if (v) *out = v->text;
    return ok;
}

bool json_get_int(int64_t *out, const struct json *o, const char *key, int64_t least, int64_t most,
                  const char *where, struct err *err)
{
    bool ok;
    const struct json *v = typed(o, key, JSON_INT, &ok, where, err);
    if (!v) return ok;
    if (v->integer < least || v->integer > most)
        return fail(err, "%s: \"%s\" is %lld; it must be %lld to %lld", where, key, (long long)v->integer,
                    (long long)least, (long long)most);
    *out = v->integer;
    return true;
}

bool json_get_num(double *out, const struct json *o, const char *key, double least, double most,
                  const char *where, struct err *err)
{
    bool ok;
    const struct json *v = typed(o, key, JSON_NUM, &ok, where, err);
    if (!v) return ok;
    if (!(v->number >= least && v->number <= most))
        return fail(err, "%s: \"%s\" is %g; it must be %g to %g", where, key, v->number, least, most);
    *out = v->number;
    return true;
}

bool json_get_bool(bool *out, const struct json *o, const char *key, const char *where, struct err *err)
{
    bool ok;
    const struct json *v = typed(o, key, JSON_BOOL, &ok, where, err);
    if (v) *out = v->yes;
    return ok;
}

static void put_control(struct buf *b, unsigned char c)
{
    const char *short_forms = "\bb\tt\nn\ff\rr";
    for (const char *p = short_forms; *p; p += 2)
        if ((unsigned char)*p == c) {
            buf_put(b, (char[]){'\\', p[1]}, 2);
            return;
        }
    buf_printf(b, "\\u%04x", c);
}

void json_put_text(struct buf *b, struct text t)
{
    buf_put(b, "\"", 1);
    for (size_t i = 0, plain; i < t.n;) {
        for (plain = i; i < t.n; i++) {
            unsigned char c = (unsigned char)t.p[i];
            if (c < 0x20 || c >= 0x7F || c == '"' || c == '\\') break;
        }
        buf_put(b, t.p + plain, i - plain);
        if (i == t.n) break;
        int32_t code;
        int len = utf8_decode(t.p + i, t.n - i, &code);
        if (code < 0) buf_put(b, "\xEF\xBF\xBD", 3);
        else if (code < 0x20 || code == 0x7F) put_control(b, (unsigned char)code);
        else if (code < 0x7F) buf_put(b, (char[]){'\\', (char)code}, 2);
        else buf_put(b, t.p + i, (size_t)len);
        i += (size_t)len;
    }
    buf_put(b, "\"", 1);
}

/* More digits never read back worse, so the fewest that suffice are found by halving. */
void json_put_num(struct buf *b, double v)
{
    char s[400]; /* the compiler does not see that %g is short */
    int least = 1, most = 17;
    if (!isfinite(v)) {
        buf_put(b, "null", 4);
        return;
    }
    while (least < most) {
        int digits = (least + most) / 2;
        snprintf(s, sizeof s, "%.*g", digits, v);
        if (strtod(s, NULL) == v) most = digits;
        else least = digits + 1;
    }
    int n = snprintf(s, sizeof s, "%.*g", least, v);
    for (int i = 0; i < n; i++)
        if (s[i] == ',') s[i] = '.'; /* the locale's decimal point */
    buf_put(b, s, (size_t)n);
}

void json_put_int(struct buf *b, int64_t v) { buf_printf(b, "%lld", (long long)v); }

void json_put_key(struct buf *b, const char *key)
{
    size_t n = b->n;
    while (n > 0 && strchr(" \n\t", b->p[n - 1])) n--;
    if (n > 0 && b->p[n - 1] != '{') buf_put(b, ", ", 2);
    json_put_text(b, text_of(key));
    buf_put(b, ": ", 2);
}

void json_field_text(struct buf *b, const char *key, struct text v)
{
    json_put_key(b, key);
    json_put_text(b, v);
}

void json_field_num(struct buf *b, const char *key, double v)
{
    json_put_key(b, key);
    json_put_num(b, v);
}

void json_field_int(struct buf *b, const char *key, int64_t v)
{
    json_put_key(b, key);
    json_put_int(b, v);
}

void json_field_bool(struct buf *b, const char *key, bool v)
{
    json_put_key(b, key);
    buf_printf(b, v ? "true" : "false");
}
