/* gguf_read.c - the entries and tensors of a GGUF file, as hostile as any other input.
 *
 * Every count is compared with the bytes that are there before anything is allocated for it, every
 * product and sum is checked. The file's front is read into memory as far as the entries and tensor
 * rows reach: 16 MiB first, twice as much when that was too short, and parsed again. */
#include "engine/format/gguf.h"
#include "engine/format/tokenizer_parts.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FRONT_FIRST = 16 << 20, FRONT_MOST = 512 << 20, ENTRIES_MOST = 65536, GGUF_TENSORS_MOST = 65536,
       KEY_MOST = 1024, NAME_MOST = 512, ARRAY_MOST = 16 << 20, RANK_MOST = 4 };
#define ELEMENTS_MOST ((int64_t)1 << 48)

struct front {
    const char *p;
    size_t n, i;          /* bytes read, position */
    int64_t size;         /* of the file */
    bool cut;             /* the front ended before the file did: read more */
    struct gguf *g;
    struct err *err;
};

static const struct { const char *name; int bytes; } kinds[GGUF_KINDS] = {
    [GGUF_U8] = {"an 8 bit number", 1}, [GGUF_I8] = {"an 8 bit number", 1}, [GGUF_U16] = {"a 16 bit number", 2},
    [GGUF_I16] = {"a 16 bit number", 2}, [GGUF_U32] = {"a whole number", 4}, [GGUF_I32] = {"a whole number", 4},
    [GGUF_F32] = {"a number", 4}, [GGUF_BOOL] = {"true or false", 1}, [GGUF_TEXT] = {"a text", 8},
    [GGUF_ARRAY] = {"an array", 12}, [GGUF_U64] = {"a whole number", 8}, [GGUF_I64] = {"a whole number", 8},
    [GGUF_F64] = {"a number", 8}};

static bool has(struct front *f, uint64_t bytes)
{
    if (bytes <= f->n - f->i) return true;
    f->cut = f->n < (size_t)f->size && bytes <= (uint64_t)f->size - f->i;
    return fail(f->err, "%s: %llu bytes are announced at byte %zu but the file has %lld: it is cut short or damaged",
                f->g->path, (unsigned long long)bytes, f->i, (long long)f->size);
}

static uint64_t number_at(const char *p, int bytes)
{
    uint64_t v = 0;
    memcpy(&v, p, (size_t)bytes); /* little endian, as the machines that hone knows */
    return v;
}

static bool take(struct front *f, uint64_t *out, int bytes)
{
    if (!has(f, (uint64_t)bytes)) return false;
    *out = number_at(f->p + f->i, bytes);
    f->i += (size_t)bytes;
    return true;
}

static bool take_text(struct front *f, struct text *out)
{
    uint64_t n;
    if (!take(f, &n, 8) || !has(f, n)) return false;
    *out = (struct text){f->p + f->i, (size_t)n};
    f->i += (size_t)n;
    return true;
}

static bool take_array(struct front *f, struct gguf_entry *e)
{
    uint64_t of, bytes;
    if (!take(f, &of, 4) || !take(f, &e->n, 8)) return false;
    if (of >= GGUF_KINDS || of == GGUF_ARRAY)
        return fail(f->err, "%s: key %s is an array of kind %llu, which is not read", f->g->path,
                    shown(f->g->a, e->key), (unsigned long long)of);
    if (e->n > ARRAY_MOST)
        return fail(f->err, "%s: key %s is an array of %llu values; at most %d are read", f->g->path,
                    shown(f->g->a, e->key), (unsigned long long)e->n, ARRAY_MOST);
    e->of = (enum gguf_kind)of;
    bytes = e->n * (uint64_t)kinds[of].bytes; /* of texts: at least */
    if (!has(f, bytes)) return false;
    e->at = f->p + f->i;
    if (of != GGUF_TEXT) f->i += (size_t)bytes;
    for (uint64_t k = 0; of == GGUF_TEXT && k < e->n; k++) {
        struct text t;
        if (!take_text(f, &t)) return false;
    }
    return true;
}

static bool take_entry(struct front *f, struct gguf_entry *e)
{
    uint64_t kind;
    struct text value;
    if (!take_text(f, &e->key)) return false;
    if (e->key.n < 1 || e->key.n > KEY_MOST)
        return fail(f->err, "%s: a key has %zu bytes; 1 to %d are allowed", f->g->path, e->key.n, KEY_MOST);
    if (!take(f, &kind, 4)) return false;
    if (kind >= GGUF_KINDS)
        return fail(f->err, "%s: key %s is of the unknown kind %llu", f->g->path, shown(f->g->a, e->key),
                    (unsigned long long)kind);
    e->kind = (enum gguf_kind)kind;
    e->at = f->p + f->i;
    if (kind == GGUF_ARRAY) return take_array(f, e);
    if (kind == GGUF_TEXT) return take_text(f, &value);
    if (!has(f, (uint64_t)kinds[kind].bytes)) return false;
    f->i += (size_t)kinds[kind].bytes;
    return true;
}

static bool take_shape(struct front *f, struct gguf_tensor *t, const char *name)
{
    uint64_t rank, dim, type, at;
    if (!take(f, &rank, 4)) return false;
    if (rank < 1 || rank > RANK_MOST)
        return fail(f->err, "%s: tensor %s has %llu dimensions; 1 to %d are allowed", f->g->path, name,
                    (unsigned long long)rank, RANK_MOST);
    t->rank = (int)rank;
    t->elements = 1;
    for (int d = 0; d < t->rank; d++) {
        if (!take(f, &dim, 8)) return false;
        if (dim < 1 || dim > (uint64_t)ELEMENTS_MOST || __builtin_mul_overflow(t->elements, (int64_t)dim, &t->elements) ||
            t->elements > ELEMENTS_MOST)
            return fail(f->err, "%s: dimension %d of tensor %s is %llu, which is 0 or too large", f->g->path, d, name,
                        (unsigned long long)dim);
        t->dims[d] = (int64_t)dim;
    }
    if (!take(f, &type, 4) || !take(f, &at, 8)) return false;
    if (at > (uint64_t)f->size)
        return fail(f->err, "%s: tensor %s begins at byte %llu of the data; the file has %lld", f->g->path, name,
                    (unsigned long long)at, (long long)f->size);
    t->type = (uint32_t)type;
    t->at = (int64_t)at;
    return true;
}

static bool take_tensor(struct front *f, struct gguf_tensor *t)
{
    struct text name;
    if (!take_text(f, &name)) return false;
    if (name.n < 1 || name.n > NAME_MOST || memchr(name.p, 0, name.n))
        return fail(f->err, "%s: a tensor's name has %zu bytes; 1 to %d without NUL are allowed", f->g->path, name.n, NAME_MOST);
    t->name = arena_string(f->g->a, name.p, name.n);
    const char *safe_name = shown(f->g->a, name);
    if (!take_shape(f, t, safe_name)) return false;
    const struct block *b = ggml_block(t->type);
    if (!b)
        return fail(f->err, "%s: tensor %s is %s; F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q4_K, Q5_K and Q6_K are read",
                    f->g->path, safe_name, ggml_name(t->type));
    if (t->dims[0] % b->elements)
        return fail(f->err, "%s: a row of tensor %s has %lld elements, no multiple of the %d in a block of %s", f->g->path,
                    safe_name, (long long)t->dims[0], b->elements, b->name);
    t->bytes = t->elements / b->elements * b->bytes; /* 2^48 elements of at most 4 bytes fit */
    return true;
}

static int by_key(const void *a, const void *b)
{
    const struct text *x = &((const struct gguf_entry *)a)->key, *y = &((const struct gguf_entry *)b)->key;
    int c = memcmp(x->p, y->p, x->n < y->n ? x->n : y->n);
    return c ? c : (x->n > y->n) - (x->n < y->n);
}

static bool take_head(struct front *f, uint64_t *n_tensors, uint64_t *n_entries)
{
    uint64_t magic, version;
    const char *path = f->g->path;
    if (!take(f, &magic, 4) || !take(f, &version, 4)) return false;
    if (magic != 0x46554747) return fail(f->err, "%s does not begin with GGUF", path);
    if ((version & 0xFFFF) == 0) return fail(f->err, "%s is a GGUF file of a big-endian machine, which is not read", path);
    if (version != 2 && version != 3)
        return fail(f->err, "%s is GGUF version %llu; versions 2 and 3 are read", path, (unsigned long long)version);
    if (!take(f, n_tensors, 8) || !take(f, n_entries, 8)) return false;
    if (*n_tensors > GGUF_TENSORS_MOST || *n_entries > ENTRIES_MOST)
        return fail(f->err, "%s announces %llu tensors and %llu entries; at most %d and %d are read", path,
                    (unsigned long long)*n_tensors, (unsigned long long)*n_entries, GGUF_TENSORS_MOST, ENTRIES_MOST);
    return has(f, *n_entries * 13 + *n_tensors * 32); /* the shortest of each */
}

static int by_place(const void *a, const void *b)
{
    const struct gguf_tensor *const *x = a, *const *y = b;
    return ((*x)->at > (*y)->at) - ((*x)->at < (*y)->at);
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(const struct gguf_tensor *const *)a)->name, (*(const struct gguf_tensor *const *)b)->name);
}

/* The data begin after the rows; each tensor is inside of the file, none lies over another. */
static bool place_tensors(struct front *f, int64_t alignment)
{
    struct gguf *g = f->g;
    int64_t start = ((int64_t)f->i + alignment - 1) / alignment * alignment, end = start;
    const struct gguf_tensor **order = NEW_N(g->a, const struct gguf_tensor *, g->n_tensors);
    for (int i = 0; i < g->n_tensors; i++) {
        struct gguf_tensor *t = &g->tensors[i];
        order[i] = t;
        if (t->at % alignment)
            return fail(f->err, "%s: tensor %s begins at byte %lld, no multiple of %lld", g->path,
                        shown(g->a, text_of(t->name)), (long long)t->at, (long long)alignment);
        t->at += start;
        if (t->bytes > f->size - t->at)
            return fail(f->err, "%s: tensor %s needs the bytes %lld to %lld; the file has %lld: it is cut short", g->path,
                        shown(g->a, text_of(t->name)), (long long)t->at, (long long)(t->at + t->bytes), (long long)f->size);
    }
    if (g->n_tensors) qsort(order, (size_t)g->n_tensors, sizeof *order, by_place);
    for (int i = 0; i < g->n_tensors; i++) {
        if (order[i]->at < end)
            return fail(f->err, "%s: tensor %s lies over another", g->path, shown(g->a, text_of(order[i]->name)));
        end = order[i]->at + order[i]->bytes;
    }
    if (g->n_tensors) qsort(order, (size_t)g->n_tensors, sizeof *order, by_name);
    for (int i = 1; i < g->n_tensors; i++)
        if (strcmp(order[i]->name, order[i - 1]->name) == 0)
            return fail(f->err, "%s: tensor %s stands there twice", g->path, shown(g->a, text_of(order[i]->name)));
    return true;
}

static bool parse_front(struct front *f)
{
    struct gguf *g = f->g;
    uint64_t n_tensors = 0, n_entries = 0;
    int64_t alignment = 32;
    if (!take_head(f, &n_tensors, &n_entries)) return false;
    g->n_entries = (int)n_entries;
    g->n_tensors = (int)n_tensors;
    g->entries = NEW_N(g->a, struct gguf_entry, n_entries);
    g->tensors = NEW_N(g->a, struct gguf_tensor, n_tensors);
    for (int i = 0; i < g->n_entries; i++)
        if (!take_entry(f, &g->entries[i])) return false;
    if (n_entries) qsort(g->entries, n_entries, sizeof *g->entries, by_key);
    for (int i = 1; i < g->n_entries; i++)
        if (by_key(&g->entries[i], &g->entries[i - 1]) == 0)
            return fail(f->err, "%s: key %s stands there twice", g->path, shown(g->a, g->entries[i].key));
    for (int i = 0; i < g->n_tensors; i++)
        if (!take_tensor(f, &g->tensors[i])) return false;
    if (!gguf_int(g, &alignment, "general.alignment", 1, 1 << 20, f->err)) return false;
    if (alignment & (alignment - 1))
        return fail(f->err, "%s: general.alignment is %lld, no power of two", g->path, (long long)alignment);
    return place_tensors(f, alignment);
}

static bool read_front(struct gguf *g, struct err *err)
{
    for (int64_t most = FRONT_FIRST;; most *= 2) {
        struct arena_mark m = arena_mark(g->a);
        int64_t n = g->size < most ? g->size : most;
        char *p = arena_take(g->a, 1, (size_t)n + 1);
        struct front f = {p, (size_t)n, 0, g->size, false, g, err};
        if (!file_read_at(g->fd, p, (size_t)n, 0, g->path, err)) return false;
        if (parse_front(&f)) return true;
        if (!f.cut) return false;
        if (most == FRONT_MOST)
            return fail(err, "%s: entries and tensor rows take more than %d bytes", g->path, FRONT_MOST);
        arena_back(g->a, m);
    }
}

bool gguf_open(struct gguf *g, const char *path, struct arena *a, struct err *err)
{
    *g = (struct gguf){.path = path, .a = a};
    if (!file_open(&g->fd, &g->size, path, err)) return false;
    if (read_front(g, err)) return true;
    gguf_close(g);
    return false;
}

void gguf_close(struct gguf *g)
{
    close(g->fd);
    g->fd = -1;
}

const struct gguf_tensor *gguf_find(const struct gguf *g, const char *name)
{
    for (int i = 0; i < g->n_tensors; i++)
        if (strcmp(g->tensors[i].name, name) == 0) return &g->tensors[i];
    return NULL;
}

bool gguf_floats(const struct gguf *g, const struct gguf_tensor *t, int64_t first, int64_t n, float *out, void *raw,
                 struct err *err)
{
    const struct block *b = ggml_block(t->type);
    BUG_IF(first % b->elements || n % b->elements || first < 0 || n < 0 || first > t->elements - n);
    int64_t at = t->at + first / b->elements * b->bytes;
    if (!file_read_at(g->fd, raw, (size_t)(n / b->elements * b->bytes), at, g->path, err)) return false;
    ggml_widen(out, raw, n, t->type);
    return true;
}

const struct gguf_entry *gguf_get(const struct gguf *g, const char *key)
{
    struct gguf_entry e = {.key = text_of(key)};
    return g->n_entries ? bsearch(&e, g->entries, (size_t)g->n_entries, sizeof e, by_key) : NULL;
}

static bool wrong_kind(const struct gguf *g, const char *key, enum gguf_kind is, const char *must, struct err *err)
{
    return fail(err, "%s: %s is %s; it must be %s", g->path, key, kinds[is].name, must);
}

static bool is_whole(enum gguf_kind k) { return k <= GGUF_I32 || k == GGUF_U64 || k == GGUF_I64; }

/* Unsigned 64 bits beyond the signed ones become the largest signed. */
static int64_t whole_at(const char *p, enum gguf_kind kind)
{
    uint64_t v = number_at(p, kinds[kind].bytes);
    switch (kind) {
    case GGUF_I8: return (int8_t)v;
    case GGUF_I16: return (int16_t)v;
    case GGUF_I32: return (int32_t)v;
    case GGUF_I64: return (int64_t)v;
    default: return v > INT64_MAX ? INT64_MAX : (int64_t)v;
    }
}

static double real_at(const char *p, enum gguf_kind kind)
{
    float f;
    double d;
    if (kind == GGUF_F32) {
        memcpy(&f, p, 4);
        return f;
    }
    memcpy(&d, p, 8);
    return d;
}

bool gguf_int(const struct gguf *g, int64_t *out, const char *key, int64_t least, int64_t most, struct err *err)
{
    const struct gguf_entry *e = gguf_get(g, key);
    if (!e) return true;
    if (!is_whole(e->kind)) return wrong_kind(g, key, e->kind, "a whole number", err);
    int64_t v = whole_at(e->at, e->kind);
    if (v < least || v > most)
        return fail(err, "%s: %s is %lld; it must be %lld to %lld", g->path, key, (long long)v, (long long)least, (long long)most);
    *out = v;
    return true;
}

bool gguf_num(const struct gguf *g, double *out, const char *key, double least, double most, struct err *err)
{
    const struct gguf_entry *e = gguf_get(g, key);
    if (!e) return true;
    if (e->kind != GGUF_F32 && e->kind != GGUF_F64) return wrong_kind(g, key, e->kind, "a number", err);
    double v = real_at(e->at, e->kind);
    if (!(v >= least && v <= most))
        return fail(err, "%s: %s is %g; it must be %g to %g", g->path, key, v, least, most);
    *out = v;
    return true;
}

bool gguf_bool(const struct gguf *g, bool *out, const char *key, struct err *err)
{
    const struct gguf_entry *e = gguf_get(g, key);
    if (!e) return true;
    if (e->kind != GGUF_BOOL) return wrong_kind(g, key, e->kind, "true or false", err);
    *out = *e->at != 0;
    return true;
}

/* A text stands as length and bytes; its length was checked when the front was read. */
static struct text text_at(const char *p) { return (struct text){p + 8, (size_t)number_at(p, 8)}; }

bool gguf_text(const struct gguf *g, struct text *out, const char *key, struct err *err)
{
    const struct gguf_entry *e = gguf_get(g, key);
    if (!e) return true;
    if (e->kind != GGUF_TEXT) return wrong_kind(g, key, e->kind, "a text", err);
    *out = text_at(e->at);
    return true;
}

bool gguf_texts(const struct gguf *g, struct text **out, int *n, const char *key, struct err *err)
{
    const struct gguf_entry *e = gguf_get(g, key);
    *n = 0;
    if (!e) return true;
    if (e->kind != GGUF_ARRAY || e->of != GGUF_TEXT) return wrong_kind(g, key, e->kind, "an array of texts", err);
    const char *p = e->at;
    *n = (int)e->n;
    *out = NEW_N(g->a, struct text, e->n);
    for (int i = 0; i < *n; i++) {
        (*out)[i] = text_at(p);
        p = (*out)[i].p + (*out)[i].n;
    }
    return true;
}

bool gguf_ints(const struct gguf *g, int32_t **out, int *n, const char *key, struct err *err)
{
    const struct gguf_entry *e = gguf_get(g, key);
    *n = 0;
    if (!e) return true;
    if (e->kind != GGUF_ARRAY || !is_whole(e->of)) return wrong_kind(g, key, e->kind, "an array of whole numbers", err);
    *n = (int)e->n;
    *out = NEW_N(g->a, int32_t, e->n);
    for (int i = 0; i < *n; i++) {
        int64_t v = whole_at(e->at + (int64_t)i * kinds[e->of].bytes, e->of);
        if (v < INT32_MIN || v > INT32_MAX) return fail(err, "%s: number %d of %s is too large", g->path, i, key);
        (*out)[i] = (int32_t)v;
    }
    return true;
}

bool gguf_nums(const struct gguf *g, float **out, int *n, const char *key, struct err *err)
{
    const struct gguf_entry *e = gguf_get(g, key);
    *n = 0;
    if (!e) return true;
    if (e->kind != GGUF_ARRAY || (e->of != GGUF_F32 && e->of != GGUF_F64))
        return wrong_kind(g, key, e->kind, "an array of numbers", err);
    *n = (int)e->n;
    *out = NEW_N(g->a, float, e->n);
    for (int i = 0; i < *n; i++) (*out)[i] = (float)real_at(e->at + (int64_t)i * kinds[e->of].bytes, e->of);
    return true;
}
