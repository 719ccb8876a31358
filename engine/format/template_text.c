/* template_text.c - what templates do to texts: cutting, splitting, replacing, letters, JSON. A
 * part of a text keeps its runs. */
#include "engine/format/template_tree.h"
#include <string.h>

/* ---- parts of texts ---- */

static bool in_set(struct text set, const char *p, size_t n)
{
    for (size_t i = 0; i < set.n;) {
        int32_t code;
        size_t len = (size_t)utf8_decode(set.p + i, set.n - i, &code);
        if (len == n && memcmp(set.p + i, p, n) == 0) return true;
        i += len;
    }
    return false;
}

/* set NULL: blanks. */
static bool strips(const struct value *set, const char *p, size_t n, int32_t code)
{
    return set ? in_set(set->text, p, n) : is_blank(code);
}

struct span text_stripped(struct text t, const struct value *set, bool left, bool right)
{
    struct span s = {0, t.n};
    int32_t code;
    while (left && s.from < s.to) {
        size_t n = (size_t)utf8_decode(t.p + s.from, t.n - s.from, &code);
        if (!strips(set, t.p + s.from, n, code)) break;
        s.from += n;
    }
    while (right && s.to > s.from) {
        size_t at = s.to - 1;
        while (at > s.from && ((unsigned char)t.p[at] & 0xC0) == 0x80) at--;
        size_t n = (size_t)utf8_decode(t.p + at, t.n - at, &code);
        if (!strips(set, t.p + at, n, code)) break;
        s.to = at;
    }
    return s;
}

bool want_text(struct interp *in, const struct value *v, const char *who)
{
    return v->kind == V_TEXT ||
           template_fail(in, "%s of %s; a text is wanted", who, value_kind_name(v));
}

bool text_strip(struct interp *in, const struct value *v, const struct args *args, bool left,
                bool right, struct value *out)
{
    const struct value *set = arg_get(args, 0, "chars");
    if (set && set->kind == V_NONE) set = NULL;
    if (set && !want_text(in, set, "strip with")) return false;
    struct span s = text_stripped(v->text, set, left, right);
    *out = value_part(in, v, s.from, s.to);
    return template_work(in, (int64_t)(v->text.n >> 8));
}

/* ASCII only: what other letters become is another table's matter. */
bool text_change_case(struct interp *in, const struct value *v, const char *who, char how,
                      struct value *out)
{
    char *p = arena_take(in->a, 1, v->text.n + 1);
    bool start = true;
    for (size_t i = 0; i < v->text.n; i++) {
        char c = v->text.p[i];
        if ((unsigned char)c >= 0x80)
            return template_fail(in, "%s of letters beyond ASCII is not understood", who);
        bool letter = (c | 32) >= 'a' && (c | 32) <= 'z', up = how == 'u' || (start && how != 'l');
        p[i] = !letter ? c : up ? (char)(c & ~32) : (char)(c | 32);
        start = how == 't' && !letter;
    }
    *out = value_made(in, (struct text){p, v->text.n}, v);
    return template_work(in, (int64_t)(v->text.n >> 8));
}

bool written_part(struct interp *in, struct written *w, const struct value *v, size_t from,
                  size_t to)
{
    struct value part = value_part(in, v, from, to);
    return written_put(in, w, &part);
}

bool text_replace(struct interp *in, const struct value *v, const struct args *args,
                  struct value *out)
{
    const struct value *from = arg_get(args, 0, "old"), *to = arg_get(args, 1, "new"),
                       *count = arg_get(args, 2, "count");
    if (!from || !to || from->kind != V_TEXT || to->kind != V_TEXT)
        return template_fail(in, "replace takes two texts");
    if (from->text.n == 0) return template_fail(in, "replace of the empty text is not understood");
    int64_t most = count && count->kind == V_INT && count->number >= 0 ? count->number : INT64_MAX;
    struct written w = {.text = buf_make(in->a)};
    size_t at = 0;
    for (; most > 0; most--) {
        const char *hit = v->text.n > at
                              ? memmem(v->text.p + at, v->text.n - at, from->text.p, from->text.n)
                              : NULL;
        if (!hit) break;
        size_t i = (size_t)(hit - v->text.p);
        struct value origin = value_part(in, v, i, i + from->text.n),
                     with = value_made(in, to->text, &origin);
        if (!template_work(in, 1) || !written_part(in, &w, v, at, i) || !written_put(in, &w, &with))
            return false;
        at = i + from->text.n;
    }
    if (at == 0) {
        *out = *v;
        return true;
    }
    if (!written_part(in, &w, v, at, v->text.n)) return false;
    *out = written_value(in, &w);
    return true;
}

struct pieces {
    struct value *list;
    int n, cap;
};

static bool add_piece(struct interp *in, struct pieces *p, const struct value *v, size_t from,
                      size_t to)
{
    ROOM(in->a, p->list, p->n, p->cap);
    p->list[p->n++] = value_part(in, v, from, to);
    return template_work(in, 1);
}

/* split(): at runs of blanks. */
static bool split_blanks(struct interp *in, const struct value *v, int64_t most, struct value *out)
{
    struct pieces p = {0};
    struct text t = v->text;
    size_t at = 0;
    for (;;) {
        int32_t code;
        at += text_stripped((struct text){t.p + at, t.n - at}, NULL, true, false).from;
        if (at >= t.n) break;
        size_t end = at;
        while (end < t.n) {
            size_t n = (size_t)utf8_decode(t.p + end, t.n - end, &code);
            if (is_blank(code) && p.n < most) break;
            end += n;
        }
        if (p.n >= most)
            end = at + text_stripped((struct text){t.p + at, t.n - at}, NULL, false, true).to;
        if (!add_piece(in, &p, v, at, end)) return false;
        if (p.n > most) break;
        at = end;
    }
    *out = value_list(p.list, p.n);
    return true;
}

bool text_split(struct interp *in, const struct value *v, const struct args *args,
                struct value *out)
{
    const struct value *by = arg_get(args, 0, "sep"), *limit = arg_get(args, 1, "maxsplit");
    int64_t most = limit && limit->kind == V_INT && limit->number >= 0 ? limit->number : INT64_MAX;
    if (!by || by->kind == V_NONE) return split_blanks(in, v, most, out);
    if (!want_text(in, by, "split by")) return false;
    if (by->text.n == 0) return template_fail(in, "split by the empty text");
    struct pieces p = {0};
    size_t at = 0;
    for (; p.n < most;) {
        const char *hit =
            v->text.n > at ? memmem(v->text.p + at, v->text.n - at, by->text.p, by->text.n) : NULL;
        if (!hit) break;
        if (!add_piece(in, &p, v, at, (size_t)(hit - v->text.p))) return false;
        at = (size_t)(hit - v->text.p) + by->text.n;
    }
    if (!add_piece(in, &p, v, at, v->text.n)) return false;
    *out = value_list(p.list, p.n);
    return template_work(in, (int64_t)(v->text.n >> 8));
}

static bool ends_with(struct text t, struct text end, bool at_start)
{
    return t.n >= end.n &&
           (end.n == 0 || memcmp(at_start ? t.p : t.p + t.n - end.n, end.p, end.n) == 0);
}

/* startswith and endswith take one text or a tuple of them. */
bool text_edge(struct interp *in, const struct value *v, const struct args *args, bool at_start,
               struct value *out)
{
    const struct value *what = arg_get(args, 0, "prefix");
    struct value list;
    if (!what) return template_fail(in, "startswith and endswith take a text");
    list = what->kind == V_LIST ? *what : value_list((struct value *)what, 1);
    bool yes = false;
    for (int i = 0; i < list.n; i++) {
        if (!want_text(in, &list.items[i], "startswith")) return false;
        yes |= ends_with(v->text, list.items[i].text, at_start);
    }
    *out = value_bool(yes);
    return true;
}

/* ---- JSON as Python's json.dumps(ensure_ascii=False) writes it ---- */

static void put_json_text(struct buf *b, struct text t)
{
    static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
    buf_put(b, "\"", 1);
    for (size_t i = 0; i < t.n; i++) {
        unsigned char c = (unsigned char)t.p[i];
        const char *plain = c ? strchr(from, c) : NULL;
        if (plain) buf_put(b, (char[]){'\\', to[plain - from]}, 2);
        else if (c < 0x20) buf_printf(b, "\\u%04x", c);
        else buf_put(b, t.p + i, 1);
    }
    buf_put(b, "\"", 1);
}

static void new_line(struct buf *b, int64_t indent, int depth)
{
    if (indent < 0) return;
    buf_put(b, "\n", 1);
    for (int64_t i = 0; i < indent * depth; i++) buf_put(b, " ", 1);
}

bool value_json(struct interp *in, struct buf *b, const struct value *v, int64_t indent, int depth)
{
    if (!template_work(in, 1) || depth > TEMPLATE_DEPTH_MOST)
        return depth <= TEMPLATE_DEPTH_MOST ? false : template_fail(in, "tojson nests too deep");
    bool map = v->kind == V_MAP;
    int n = map ? v->map->n : v->n;
    switch (v->kind) {
    case V_NONE: buf_put(b, "null", 4); return true;
    case V_BOOL: buf_printf(b, v->number ? "true" : "false"); return true;
    case V_INT: buf_printf(b, "%lld", (long long)v->number); return true;
    case V_TEXT: put_json_text(b, v->text); return template_work(in, (int64_t)(v->text.n >> 8));
    case V_LIST:
    case V_MAP: break;
    default: return template_fail(in, "tojson of %s", value_kind_name(v));
    }
    buf_put(b, map ? "{" : "[", 1);
    for (int i = 0; i < n; i++) {
        if (i) buf_printf(b, indent < 0 ? ", " : ",");
        new_line(b, indent, depth + 1);
        if (map) {
            put_json_text(b, v->map->keys[i]);
            buf_put(b, ": ", 2);
        }
        if (!value_json(in, b, map ? &v->map->values[i] : &v->items[i], indent, depth + 1))
            return false;
    }
    if (n) new_line(b, indent, depth);
    buf_put(b, map ? "}" : "]", 1);
    return true;
}
