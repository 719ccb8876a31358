/* safetensors_header.c - the JSON header of a safetensors file, in one pass without a tree.
 *
 * The header has one shape, so it is read by a scanner that knows it: nothing nests deeper than a
 * tensor's lists, nothing recurses, and a million tensors take a fraction of a second. Texts are
 * decoded in place. What the format's README leaves open is decided towards refusing: each key once,
 * no unknown field, the data covered without hole or overlap. */
#include "engine/format/safetensors_file.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct scan { char *p; size_t n, i; const char *path; struct arena *a; struct err *err; };

static bool bad(struct scan *s, const char *fmt, ...) PRINTF_LIKE(2, 3);
static bool bad(struct scan *s, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(s->err->text, sizeof s->err->text, fmt, ap);
    va_end(ap);
    return fail_in(s->err, "%s: header byte %zu", s->path, s->i);
}

static const char *shown(struct scan *s, const char *name)
{
    struct buf b = buf_make(s->a);
    text_safe(&b, text_of(name), false);
    return b.p;
}

static void skip_space(struct scan *s)
{
    while (s->i < s->n && (s->p[s->i] == ' ' || s->p[s->i] == '\n' || s->p[s->i] == '\t' || s->p[s->i] == '\r')) s->i++;
}

/* The next byte after white space, or -1 at the end. */
static int next(struct scan *s)
{
    skip_space(s);
    return s->i < s->n ? (unsigned char)s->p[s->i] : -1;
}

static bool bad_byte(struct scan *s, const char *allowed)
{
    int c = next(s);
    if (c < 0) return bad(s, "the header ends where %s belongs", allowed);
    if (c > 0x20 && c < 0x7F) return bad(s, "found '%c' where %s belongs", c, allowed);
    return bad(s, "found byte 0x%02X where %s belongs", (unsigned)c, allowed);
}

static bool expect(struct scan *s, char c)
{
    if (next(s) != c) return bad_byte(s, (char[]){'\'', c, '\'', 0});
    s->i++;
    return true;
}

static bool hex4(struct scan *s, int32_t *out)
{
    *out = 0;
    for (int k = 0; k < 4; k++, s->i++) {
        const char *digits = "0123456789abcdef", *d;
        int c = s->i < s->n ? (unsigned char)s->p[s->i] : 0;
        if (c >= 'A' && c <= 'F') c += 'a' - 'A';
        if (c == 0 || !(d = strchr(digits, c))) return bad(s, "\\u is not followed by four hexadecimal digits");
        *out = *out << 4 | (int32_t)(d - digits);
    }
    return true;
}

/* s->i stands after the backslash; appends what the escape means at *w. */
static bool read_escape(struct scan *s, size_t *w)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    int c = s->i < s->n ? (unsigned char)s->p[s->i++] : 0;
    const char *f = c ? strchr(from, c) : NULL;
    if (f) {
        s->p[(*w)++] = to[f - from];
        return true;
    }
    int32_t code, low;
    if (c != 'u') return bad(s, "unknown escape in a text");
    if (!hex4(s, &code)) return false;
    if (code >= 0xD800 && code < 0xDC00 && s->i + 1 < s->n && s->p[s->i] == '\\' && s->p[s->i + 1] == 'u') {
        s->i += 2;
        if (!hex4(s, &low)) return false;
        if (low < 0xDC00 || low > 0xDFFF) return bad(s, "half of a surrogate pair in a text");
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
    }
    if (code >= 0xD800 && code <= 0xDFFF) return bad(s, "half of a surrogate pair in a text");
    *w += (size_t)utf8_encode(code, s->p + *w);
    return true;
}

/* A text, decoded where it stands and terminated: what is decoded is never longer than its source. */
static bool read_text(struct scan *s, struct text *out, const char *what)
{
    if (next(s) != '"') return bad_byte(s, what);
    size_t from = ++s->i, w = from;
    while (s->i < s->n && s->p[s->i] != '"') {
        unsigned char c = (unsigned char)s->p[s->i];
        int32_t code = c;
        if (c < 0x20) return bad(s, "control byte 0x%02X in a text", (unsigned)c);
        if (c == '\\') {
            s->i++;
            if (!read_escape(s, &w)) return false;
            continue;
        }
        int len = c < 0x80 ? 1 : utf8_decode(s->p + s->i, s->n - s->i, &code);
        if (code < 0) return bad(s, "byte 0x%02X is not UTF-8", (unsigned)c);
        for (int k = 0; k < len; k++) s->p[w++] = s->p[s->i++];
    }
    if (s->i >= s->n) return bad(s, "a text does not end");
    s->i++;
    s->p[w] = 0;
    *out = (struct text){s->p + from, w - from};
    return true;
}

static bool check_name(struct scan *s, struct text name)
{
    if (name.n < 1 || name.n > TENSOR_NAME_MOST)
        return bad(s, "a tensor's name has %zu bytes; 1 to %d are allowed", name.n, TENSOR_NAME_MOST);
    for (size_t i = 0; i < name.n;) {
        int32_t code;
        i += (size_t)utf8_decode(name.p + i, name.n - i, &code);
        if (code < 0x20 || (code >= 0x7F && code < 0xA0))
            return bad(s, "a tensor's name holds the control character U+%04X", (unsigned)code);
    }
    return true;
}

static bool read_size(struct scan *s, int64_t *out)
{
    int c = next(s);
    if (c < '0' || c > '9') return bad_byte(s, "a whole number from 0");
    size_t from = s->i;
    for (*out = 0; s->i < s->n && s->p[s->i] >= '0' && s->p[s->i] <= '9'; s->i++) {
        *out = *out * 10 + (s->p[s->i] - '0');
        if (*out > SIZE_MOST) return bad(s, "a size is over 2^48");
    }
    if (s->p[from] == '0' && s->i - from > 1) return bad(s, "a number starts with 0");
    return true;
}

static bool read_sizes(struct scan *s, int64_t *out, int *n, int most, const char *what)
{
    *n = 0;
    if (!expect(s, '[')) return false;
    if (next(s) == ']') {
        s->i++;
        return true;
    }
    for (;; s->i++) {
        if (*n == most) return bad(s, "%s has more than %d numbers", what, most);
        if (!read_size(s, &out[(*n)++])) return false;
        if (next(s) != ',') return expect(s, ']');
    }
}

static bool read_type(struct scan *s, struct tensor *t)
{
    struct text name;
    if (!read_text(s, &name, "the dtype's name")) return false;
    if (tensor_type_find(&t->type, name)) return true;
    return bad(s, "unsupported dtype \"%s\"; convert the file to F32, F16 or BF16", shown(s, name.p));
}

/* The product of the dimensions that are not 0 must fit too, so that their order does not matter. */
static bool read_shape(struct scan *s, struct tensor *t)
{
    int64_t product = 1;
    bool empty = false;
    if (!read_sizes(s, t->dims, &t->rank, TENSOR_RANK_MOST, "the shape")) return false;
    for (int i = 0; i < t->rank; i++) {
        if (t->dims[i] == 0) empty = true;
        else if (__builtin_mul_overflow(product, t->dims[i], &product) || product > SIZE_MOST)
            return bad(s, "the shape's product is over 2^48");
    }
    t->elements = empty ? 0 : product;
    return true;
}

static bool read_offsets(struct scan *s, struct tensor *t)
{
    int64_t ends[2];
    int n;
    if (!read_sizes(s, ends, &n, 2, "data_offsets")) return false;
    if (n != 2) return bad(s, "data_offsets has %d numbers, not 2", n);
    if (ends[1] < ends[0])
        return bad(s, "data_offsets end at %lld before they begin at %lld", (long long)ends[1], (long long)ends[0]);
    t->at = ends[0];
    t->bytes = ends[1] - ends[0];
    return true;
}

static const struct field { const char *name; bool (*read)(struct scan *s, struct tensor *t); } fields[] = {
    {"dtype", read_type}, {"shape", read_shape}, {"data_offsets", read_offsets}};

static bool read_field(struct scan *s, struct tensor *t, unsigned *seen)
{
    struct text key;
    if (!read_text(s, &key, "a field of the tensor")) return false;
    for (size_t f = 0; f < COUNT(fields); f++) {
        if (!text_is(key, fields[f].name)) continue;
        if (*seen & 1u << f) return bad(s, "tensor %s has %s twice", shown(s, t->name), fields[f].name);
        *seen |= 1u << f;
        return expect(s, ':') && fields[f].read(s, t);
    }
    return bad(s, "tensor %s has the unknown field \"%s\"; dtype, shape and data_offsets are known",
               shown(s, t->name), shown(s, key.p));
}

static bool read_tensor(struct scan *s, struct tensor *t, int64_t data_bytes)
{
    unsigned seen = 0;
    int64_t bytes;
    if (!expect(s, '{')) return false;
    if (next(s) != '}')
        for (;; s->i++) {
            if (!read_field(s, t, &seen)) return false;
            if (next(s) != ',') break;
        }
    if (!expect(s, '}')) return false;
    for (size_t f = 0; f < COUNT(fields); f++)
        if (!(seen & 1u << f)) return bad(s, "tensor %s has no %s", shown(s, t->name), fields[f].name);
    if (__builtin_mul_overflow(t->elements, tensor_type_bytes(t->type), &bytes) || bytes > SIZE_MOST)
        return bad(s, "tensor %s has over 2^48 bytes", shown(s, t->name));
    if (bytes != t->bytes)
        return bad(s, "tensor %s takes %lld bytes by shape and dtype but %lld by its data_offsets",
                   shown(s, t->name), (long long)bytes, (long long)t->bytes);
    if (t->at + t->bytes > data_bytes)
        return bad(s, "tensor %s ends at byte %lld of the data; the file has %lld: it is cut short or damaged",
                   shown(s, t->name), (long long)(t->at + t->bytes), (long long)data_bytes);
    return true;
}

static int pair_order(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

static bool read_metadata(struct scan *s, struct header *h)
{
    int cap = 0;
    if (next(s) == 'n' && s->n - s->i >= 4 && memcmp(s->p + s->i, "null", 4) == 0) {
        s->i += 4;
        return true;
    }
    if (!expect(s, '{')) return false;
    if (next(s) != '}')
        for (;; s->i++) {
            struct text key, value;
            if (h->n_metadata == METADATA_MOST) return bad(s, "__metadata__ has over %d entries", METADATA_MOST);
            if (!read_text(s, &key, "a key of __metadata__") || !expect(s, ':') ||
                !read_text(s, &value, "a text (all values of __metadata__ are texts)")) return false;
            if (strlen(key.p) != key.n || strlen(value.p) != value.n) return bad(s, "a NUL in __metadata__");
            if (2 * h->n_metadata == cap) ROOM(s->a, h->metadata, cap, cap);
            h->metadata[2 * h->n_metadata] = key.p;
            h->metadata[2 * h->n_metadata++ + 1] = value.p;
            if (next(s) != ',') break;
        }
    if (!expect(s, '}')) return false;
    if (h->n_metadata) qsort(h->metadata, (size_t)h->n_metadata, 2 * sizeof *h->metadata, pair_order);
    for (int i = 1; i < h->n_metadata; i++)
        if (strcmp(h->metadata[2 * i], h->metadata[2 * i - 2]) == 0)
            return bad(s, "__metadata__ has the key \"%s\" twice", shown(s, h->metadata[2 * i]));
    return true;
}

static bool read_entry(struct scan *s, struct header *h, bool *metadata_seen, int most, int64_t data_bytes)
{
    struct text name;
    if (!read_text(s, &name, "a tensor's name")) return false;
    if (text_is(name, "__metadata__")) {
        if (*metadata_seen) return bad(s, "__metadata__ stands there twice");
        *metadata_seen = true;
        return expect(s, ':') && read_metadata(s, h);
    }
    if (h->n == most) return bad(s, "more than %d tensors in one file", most);
    struct tensor *t = &h->list[h->n++];
    t->name = name.p;
    return check_name(s, name) && expect(s, ':') && read_tensor(s, t, data_bytes);
}

static int by_place(const void *a, const void *b)
{
    const struct tensor *x = a, *y = b;
    if (x->at != y->at) return x->at < y->at ? -1 : 1;
    return (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct tensor *)a)->name, ((const struct tensor *)b)->name);
}

/* Every byte of the data belongs to one tensor, and every name to one. */
static bool check_cover(struct scan *s, struct header *h, int64_t data_bytes)
{
    int64_t at = 0;
    if (h->n) qsort(h->list, (size_t)h->n, sizeof *h->list, by_place);
    for (int i = 0; i < h->n; i++) {
        if (h->list[i].at != at)
            return fail(s->err, "%s: tensor %s begins at byte %lld of the data where %lld belongs (%s)", s->path,
                        shown(s, h->list[i].name), (long long)h->list[i].at, (long long)at,
                        h->list[i].at > at ? "a hole" : "an overlap");
        at += h->list[i].bytes;
    }
    if (at != data_bytes)
        return fail(s->err, "%s has %lld bytes of data but its tensors take %lld", s->path,
                    (long long)data_bytes, (long long)at);
    if (h->n) qsort(h->list, (size_t)h->n, sizeof *h->list, by_name);
    for (int i = 1; i < h->n; i++)
        if (strcmp(h->list[i].name, h->list[i - 1].name) == 0)
            return fail(s->err, "%s: tensor %s stands there twice", s->path, shown(s, h->list[i].name));
    return true;
}

/* The shortest entry has 48 bytes and a brace of its own: a bound on their number before allocating. */
static int tensors_at_most(const char *p, size_t n)
{
    size_t braces = 0;
    for (size_t i = 0; i < n; i++) braces += p[i] == '{';
    if (braces > n / 48 + 1) braces = n / 48 + 1;
    return braces < TENSORS_PER_FILE ? (int)braces : TENSORS_PER_FILE;
}

bool header_parse(struct header *out, char *p, size_t n, int64_t data_bytes, const char *path,
                  struct arena *a, struct arena *lists, struct err *err)
{
    struct scan s = {p, n, 0, path, a, err};
    bool metadata_seen = false;
    int most = tensors_at_most(p, n);
    *out = (struct header){.list = NEW_N(lists, struct tensor, most)};
    if (!expect(&s, '{')) return false;
    if (next(&s) != '}')
        for (;; s.i++) {
            if (!read_entry(&s, out, &metadata_seen, most, data_bytes)) return false;
            if (next(&s) != ',') break;
        }
    if (!expect(&s, '}')) return false;
    if (next(&s) >= 0) return bad_byte(&s, "the end of the header");
    return check_cover(&s, out, data_bytes);
}
