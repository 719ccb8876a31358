/* template_value.c - values of the template language: texts with runs, lists, maps, as Python has
 * them. */
#include "engine/format/template_tree.h"
#include <stdio.h>
#include <string.h>

bool template_fail(struct interp *in, const char *fmt, ...)
{
    char what[600];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    in->failed = true;
    return fail(in->err, "template %s, line %d: %s", in->name, in->line, what);
}

bool template_work(struct interp *in, int64_t n)
{
    in->steps += n;
    if (in->failed) return false;
    return in->steps <= TEMPLATE_STEPS_MOST ||
           template_fail(in, "it takes more than %d steps; that is the limit", TEMPLATE_STEPS_MOST);
}

const char *value_kind_name(const struct value *v)
{
    static const char *const names[] = {[V_UNDEFINED] = "something undefined",
                                        [V_NONE] = "none",
                                        [V_BOOL] = "true or false",
                                        [V_INT] = "a number",
                                        [V_TEXT] = "a text",
                                        [V_LIST] = "a list",
                                        [V_MAP] = "a mapping",
                                        [V_NAMESPACE] = "a namespace",
                                        [V_LOOP] = "the loop",
                                        [V_MACRO] = "a macro"};
    return names[v->kind];
}

struct value value_text(struct text t) { return (struct value){.kind = V_TEXT, .text = t}; }
struct value value_int(int64_t n) { return (struct value){.kind = V_INT, .number = n}; }
struct value value_bool(bool yes) { return (struct value){.kind = V_BOOL, .number = yes}; }
struct value value_none(void) { return (struct value){.kind = V_NONE}; }
struct value value_undefined(struct text what)
{
    return (struct value){.kind = V_UNDEFINED, .text = what};
}
struct value value_list(struct value *items, int n)
{
    return (struct value){.kind = V_LIST, .items = items, .n = n};
}

bool value_true(const struct value *v)
{
    switch (v->kind) {
    case V_UNDEFINED:
    case V_NONE: return false;
    case V_BOOL:
    case V_INT: return v->number != 0;
    case V_TEXT: return v->text.n > 0;
    case V_LIST: return v->n > 0;
    case V_MAP: return v->map->n > 0;
    default: return true;
    }
}

static bool is_number(const struct value *v) { return v->kind == V_INT || v->kind == V_BOOL; }

static bool equal(struct interp *in, const struct value *a, const struct value *b, int depth);

static bool map_equal(struct interp *in, const struct map *a, const struct map *b, int depth)
{
    if (a->n != b->n) return false;
    for (int i = 0; i < a->n; i++) {
        const struct value *v = map_get(b, a->keys[i]);
        if (!v || !equal(in, &a->values[i], v, depth)) return false;
    }
    return true;
}

/* Values that hold each other through a namespace nest as deep as a loop likes, and one value may
 * stand in many places. */
static bool equal(struct interp *in, const struct value *a, const struct value *b, int depth)
{
    if (!template_work(in, 1)) return false;
    if (depth > TEMPLATE_DEPTH_MOST)
        return template_fail(in, "values that nest more than %d deep are compared",
                             TEMPLATE_DEPTH_MOST);
    if (is_number(a) && is_number(b)) return a->number == b->number;
    if (a->kind != b->kind) return false;
    if (a->kind == V_TEXT)
        return template_work(in, (int64_t)(a->text.n >> 8)) && text_equal(a->text, b->text);
    if (a->kind == V_MAP) return map_equal(in, a->map, b->map, depth + 1);
    if (a->kind != V_LIST)
        return a->kind == V_NONE || a->kind == V_UNDEFINED ||
               (a->map == b->map && a->macro == b->macro);
    bool same = a->n == b->n;
    for (int i = 0; same && i < a->n; i++)
        same = equal(in, &a->items[i], &b->items[i], depth + 1);
    return same;
}

bool value_equal(struct interp *in, const struct value *a, const struct value *b)
{
    return equal(in, a, b, 0);
}

const struct value *map_get(const struct map *m, struct text key)
{
    for (int i = 0; i < m->n; i++)
        if (text_equal(m->keys[i], key)) return &m->values[i];
    return NULL;
}

bool map_put(struct interp *in, struct map *m, struct text key, struct value v)
{
    for (int i = 0; i < m->n; i++)
        if (text_equal(m->keys[i], key)) {
            m->values[i] = v;
            return true;
        }
    if (m->n == TEMPLATE_NAMES_MOST)
        return template_fail(in, "a mapping has more than %d keys", TEMPLATE_NAMES_MOST);
    int cap = m->cap;
    ROOM(in->a, m->keys, m->n, cap);
    ROOM(in->a, m->values, m->n, m->cap);
    m->keys[m->n] = key;
    m->values[m->n++] = v;
    return true;
}

struct value value_part(struct interp *in, const struct value *v, size_t from, size_t to)
{
    if (from == to) return value_text(TEXT("")); /* an empty text may lie nowhere */
    struct value out = value_text((struct text){v->text.p + from, to - from});
    if (v->n_runs == 0) return out;
    struct run *runs = NEW_N(in->a, struct run, v->n_runs);
    for (int i = 0; i < v->n_runs; i++) {
        size_t begin = i ? v->runs[i - 1].end : 0, end = v->runs[i].end;
        if (end <= from || begin >= to) continue;
        runs[out.n_runs] = v->runs[i];
        runs[out.n_runs++].end = (end < to ? end : to) - from;
    }
    out.runs = runs;
    return out;
}

struct value value_made(struct interp *in, struct text t, const struct value *from)
{
    struct value out = value_text(t);
    int message = -1;
    bool generation = false;
    for (int i = 0; i < from->n_runs; i++) {
        generation |= from->runs[i].generation;
        if (from->runs[i].message < 0 || from->runs[i].message == message) continue;
        if (message >= 0) return out; /* of several messages: nobody's */
        message = from->runs[i].message;
    }
    if ((message < 0 && !generation) || t.n == 0) return out;
    struct run *run = NEW(in->a, struct run);
    *run = (struct run){t.n, message, generation};
    out.runs = run;
    out.n_runs = 1;
    return out;
}

static void put_run(struct interp *in, struct written *w, struct run run)
{
    struct run *last = w->n ? &w->runs[w->n - 1] : NULL;
    if (last && last->message == run.message && last->generation == run.generation) {
        last->end = run.end;
        return;
    }
    ROOM(in->a, w->runs, w->n, w->cap);
    w->runs[w->n++] = run;
}

bool written_put(struct interp *in, struct written *w, const struct value *v)
{
    size_t base = w->text.n;
    if (v->text.n == 0) return true;
    if ((int64_t)(base + v->text.n) > TEMPLATE_OUTPUT_MOST)
        return template_fail(in, "it writes more than %lld MiB; that is the limit",
                             TEMPLATE_OUTPUT_MOST >> 20);
    if (!template_work(in, (int64_t)(v->text.n >> 8) + v->n_runs)) return false;
    buf_put(&w->text, v->text.p, v->text.n);
    bool inside = in->generation > 0;
    if (v->n_runs == 0) put_run(in, w, (struct run){base + v->text.n, -1, inside});
    for (int i = 0; i < v->n_runs; i++)
        put_run(in, w,
                (struct run){base + v->runs[i].end, v->runs[i].message,
                             v->runs[i].generation || inside});
    return true;
}

struct value written_value(struct interp *in, const struct written *w)
{
    (void)in;
    struct value out = value_text(buf_text(&w->text));
    out.runs = w->runs;
    out.n_runs = w->n;
    return out;
}

bool value_string(struct interp *in, const struct value *v, struct value *out)
{
    switch (v->kind) {
    case V_TEXT: *out = *v; return true;
    case V_UNDEFINED: *out = value_text((struct text){0}); return true;
    case V_NONE: *out = value_text(TEXT("None")); return true;
    case V_BOOL: *out = value_text(v->number ? TEXT("True") : TEXT("False")); return true;
    case V_INT:
        *out = value_text(text_of(arena_printf(in->a, "%lld", (long long)v->number)));
        return true;
    default:
        return template_fail(in, "%s is written out as text; only tojson can", value_kind_name(v));
    }
}

static bool characters(struct interp *in, const struct value *v, struct value *list)
{
    int64_t n = text_length(v->text);
    if (!template_work(in, n)) return false;
    struct value *items = NEW_N(in->a, struct value, n);
    for (size_t at = 0, i = 0; at < v->text.n; i++) {
        int32_t code;
        size_t end = at + (size_t)utf8_decode(v->text.p + at, v->text.n - at, &code);
        items[i] = value_part(in, v, at, end);
        at = end;
    }
    *list = value_list(items, (int)n);
    return true;
}

bool value_iterate(struct interp *in, const struct value *v, struct value *list)
{
    struct value *keys;
    switch (v->kind) {
    case V_LIST: *list = *v; return true;
    case V_UNDEFINED: *list = value_list(NULL, 0); return true;
    case V_TEXT: return characters(in, v, list);
    case V_MAP:
        keys = NEW_N(in->a, struct value, v->map->n);
        for (int i = 0; i < v->map->n; i++) keys[i] = value_text(v->map->keys[i]);
        *list = value_list(keys, v->map->n);
        return template_work(in, v->map->n);
    default: return template_fail(in, "%s cannot be looped over", value_kind_name(v));
    }
}

int64_t text_length(struct text t)
{
    int64_t n = 0;
    for (size_t i = 0; i < t.n; i++) n += ((unsigned char)t.p[i] & 0xC0) != 0x80;
    return n;
}

size_t text_offset(struct text t, int64_t points)
{
    size_t i = 0;
    for (; i < t.n && points > 0; points--) do
            i++;
        while (i < t.n && ((unsigned char)t.p[i] & 0xC0) == 0x80);
    return i;
}

/* Python's str.isspace for one character, of which strip() and split() are made. */
bool is_blank(int32_t c)
{
    return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 ||
           c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 ||
           c == 0x202F || c == 0x205F || c == 0x3000;
}
