/* profile_edit.c - changing one value of a YAML text and no other byte of it.
 *
 * The tree's marks say which bytes to replace. The new text is read again and must be the old tree
 * with just that change, else the edit is refused: so a rare shape of YAML costs an edit, never a
 * file. */
#include "engine/run/profile_text.h"
#include <stdlib.h>
#include <string.h>

static int child_index(const struct node *n, struct text word)
{
    if (n->kind == NODE_MAP)
        for (int i = 0; i < n->n; i++)
            if (text_equal(n->keys[i]->value, word)) return i;
    if (n->kind != NODE_LIST || word.n == 0 || word.n > 6) return -1;
    char digits[8] = "", *end;
    memcpy(digits, word.p, word.n);
    long i = strtol(digits, &end, 10);
    return *end || i < 0 || i >= n->n ? -1 : (int)i;
}

bool trail_make(struct trail *t, struct node *root, const char *path, struct err *err)
{
    *t = (struct trail){.nodes = {root}};
    for (const char *p = path; p;) {
        const char *dot = strchr(p, '.');
        if (t->n == WORDS_MOST)
            return fail(err, "%s: the path has more than %d words", path, WORDS_MOST);
        t->words[t->n++] = (struct text){p, dot ? (size_t)(dot - p) : strlen(p)};
        p = dot ? dot + 1 : NULL;
    }
    for (; t->there < t->n; t->there++) {
        struct node *n = t->nodes[t->there];
        int i = t->index[t->there] = child_index(n, t->words[t->there]);
        if (i < 0) break;
        t->nodes[t->there + 1] = n->items[i];
    }
    return true;
}

bool text_tree(struct node **root, struct text source, struct arena *a, struct err *err)
{
    struct problems problems = {0};
    if (yaml_parse(root, source, &problems, a) && problems.n == 0) {
        if ((*root)->kind == NODE_SCALAR && node_is_null(*root)) {
            (*root)->kind = NODE_MAP;
            (*root)->start = (*root)->end = source.n;
        }
        return true;
    }
    return fail(err, "line %d, column %d: %s", problems.list[0].line, problems.list[0].column,
                problems.list[0].text);
}

size_t value_end(struct text source, const struct node *n)
{
    size_t end = n->end;
    while (end > n->start && (source.p[end - 1] == '\n' || source.p[end - 1] == '\r')) end--;
    return end;
}

bool profile_text_get(struct text *out, struct text source, const char *path, struct arena *a,
                      struct err *err)
{
    struct node *root;
    struct trail t;
    *out = TEXT("");
    if (!text_tree(&root, source, a, err) || !trail_make(&t, root, path, err)) return false;
    if (t.there < t.n) return true;
    const struct node *n = t.nodes[t.n];
    *out = (struct text){source.p + n->start, value_end(source, n) - n->start};
    return true;
}

/* ---- the value as YAML ---- */

/* The items that a text makes between brackets; NULL: none, it is no YAML there. */
static struct node *in_brackets(const char *value, struct arena *a)
{
    struct problems ignored = {0};
    struct node *list;
    if (strpbrk(value, "\r\n")) return NULL;
    const char *text = arena_printf(a, "[%s]", value);
    bool ok = yaml_parse(&list, text_of(text), &ignored, a) && ignored.n == 0;
    return ok && list->kind == NODE_LIST ? list : NULL;
}

/* The node is all that "[value]" holds: no comma stands behind it. */
static bool fills(const struct node *one, const char *value)
{
    size_t end = one->end - 1, n = strlen(value);
    return one->end <= n + 1 && value[end + strspn(value + end, " ")] == 0;
}

/* What is written for a value, and the node it must read as. A text that YAML would take for
 * something else gets quotes; several words for a list get brackets. */
static const char *fragment(const struct node **reads, const char *path, const char *value,
                            struct arena *a)
{
    const struct field *f = profile_field(path);
    bool word = !f || f->type == FIELD_TEXT || f->type == FIELD_PATH || f->type == FIELD_LIST;
    const struct node *list = in_brackets(value, a);
    const struct node *one =
        list && list->n == 1 && fills(list->items[0], value) ? list->items[0] : NULL;
    bool same = one && one->kind == NODE_SCALAR &&
                (text_equal(one->value, text_of(value)) || !one->plain) && !node_is_null(one);
    if (f && f->type == FIELD_LIST && list && list->n != 1) {
        *reads = list;
        return arena_printf(a, "[%s]", value);
    }
    if (same || (one && f && !(f->type == FIELD_TEXT || f->type == FIELD_PATH)) ||
        (one && !f && one->kind != NODE_SCALAR)) {
        *reads = one;
        return arena_string(a, value + one->start - 1, one->end - one->start); /* without blanks */
    }
    if (!word) return NULL;
    struct buf b = buf_make(a);
    struct node *n = node_scalar(text_of(value), a);
    n->plain = false;
    yaml_put_text(&b, text_of(value));
    *reads = n;
    return b.p;
}

/* ---- where a change goes ---- */

size_t line_start(struct text s, size_t at)
{
    while (at > 0 && s.p[at - 1] != '\n') at--;
    return at;
}

size_t line_after(struct text s, size_t at)
{
    if (at > 0 && s.p[at - 1] == '\n') return at;
    while (at < s.n && s.p[at] != '\n') at++;
    return at < s.n ? at + 1 : at;
}

bool blank_between(struct text s, size_t from, size_t to)
{
    while (from < to && s.p[from] == ' ') from++;
    return from == to;
}

const char *line_break(struct text s)
{
    const char *p = s.n ? memchr(s.p, '\n', s.n) : NULL;
    return p && p > s.p && p[-1] == '\r' ? "\r\n" : "\n";
}

void replace_value(struct splice *out, struct text s, const struct node *key,
                          const struct node *n, const char *text)
{
    out->from = n->start;
    out->to = value_end(s, n);
    if (key && n->kind != NODE_SCALAR &&
        !n->flow) { /* a block below its key: the value moves beside it */
        out->from = key->end;
        while (s.p[out->from] != ':') out->from++;
        out->from++;
        buf_printf(&out->text, " %s", text);
        return;
    }
    bool needs_blank = n->start > 0 && n->start == n->end && s.p[n->start - 1] != ' ';
    buf_printf(&out->text, "%s%s", needs_blank ? " " : "", text);
}

void add_entry(struct splice *out, struct text s, const struct node *parent,
                      const char *entry)
{
    const struct node *last = parent->n ? parent->items[parent->n - 1] : NULL;
    if (parent->flow) {
        out->from = out->to = last ? last->end : parent->start + 1;
        buf_printf(&out->text, "%s%s", last ? ", " : "", entry);
        return;
    }
    size_t end = last ? last->end : parent->end;
    if (last && end < last->start) end = last->start;
    out->from = out->to = line_after(s, end);
    const char *nl = line_break(s);
    if (out->from > 0 && s.p[out->from - 1] != '\n') buf_printf(&out->text, "%s", nl);
    buf_printf(&out->text, "%*s%s%s%s", parent->n ? parent->column - 1 : 0, "",
               parent->kind == NODE_LIST ? "- " : "", entry, nl);
}

/* The '-' of a block list's item. */
static size_t dash_of(struct text s, const struct node *item)
{
    size_t at = item->start;
    while (at > 0 && s.p[at] != '-') at--;
    if (at == item->start && at > 0) /* the value itself begins with '-' */
        for (at--; at > 0 && s.p[at] != '-';) at--;
    return at;
}

size_t entry_start(struct text s, const struct node *parent, int i)
{
    if (parent->kind == NODE_MAP) return parent->keys[i]->start;
    return parent->flow ? parent->items[i]->start : dash_of(s, parent->items[i]);
}

static bool remove_entry(struct splice *out, struct text s, const struct node *parent, int i,
                         struct err *err)
{
    const struct node *item = parent->items[i];
    size_t start = entry_start(s, parent, i);
    if (parent->flow) {
        bool more = i + 1 < parent->n;
        out->from = !more && i > 0 ? parent->items[i - 1]->end : start;
        out->to = more ? entry_start(s, parent, i + 1) : item->end;
        return true;
    }
    size_t first = line_start(s, start);
    bool alone = blank_between(
        s, first == 0 && s.n >= 3 && memcmp(s.p, "\xEF\xBB\xBF", 3) == 0 ? 3 : first, start);
    if (!alone && i + 1 == parent->n)
        return fail(err, "it is all that its list entry says; remove the entry itself");
    out->from = alone ? first : start;
    out->to = alone ? line_after(s, item->end > start ? item->end : start)
                    : entry_start(s, parent, i + 1);
    return true;
}

/* ---- the change, in the text and in the tree ---- */

/* "key: {next: {last: value}}" for words that are not there yet. */
static const char *entry_text(const struct trail *t, int from, const char *value, struct arena *a)
{
    struct buf b = buf_make(a);
    for (int i = from; i < t->n; i++) {
        if (i > from) buf_printf(&b, "{");
        yaml_put_text(&b, t->words[i]);
        buf_printf(&b, ": ");
    }
    buf_printf(&b, "%s", value);
    for (int i = from + 1; i < t->n; i++) buf_printf(&b, "}");
    return b.p;
}

static bool is_next_index(const struct trail *t)
{
    char *end, digits[8] = "";
    const struct node *list = t->nodes[t->there];
    if (list->kind != NODE_LIST || t->there + 1 != t->n || t->words[t->there].n == 0 ||
        t->words[t->there].n > 6)
        return false;
    memcpy(digits, t->words[t->there].p, t->words[t->there].n);
    return strtol(digits, &end, 10) == list->n && !*end;
}

static bool splice_set(struct splice *out, struct text s, const struct trail *t, const char *path,
                       const char *value, struct arena *a, struct err *err)
{
    const struct node *deepest = t->nodes[t->there];
    const struct node *parent = t->there > 0 ? t->nodes[t->there - 1] : NULL;
    const struct node *key =
        parent && parent->kind == NODE_MAP ? parent->keys[t->index[t->there - 1]] : NULL;
    if (t->there == t->n) {
        replace_value(out, s, key, deepest, value);
        return true;
    }
    if (is_next_index(t)) add_entry(out, s, deepest, value);
    else if (deepest->kind == NODE_MAP)
        add_entry(out, s, deepest, entry_text(t, t->there, value, a));
    else if (key && node_is_null(deepest))
        replace_value(out, s, key, deepest,
                      arena_printf(a, "{%s}", entry_text(t, t->there, value, a)));
    else return fail(err, "%s: there is no such place in this file", path);
    return true;
}

/* The same change in a tree of its own: what the new text must read as. */
static void tree_set(struct trail *t, const struct node *value, struct arena *a)
{
    struct node *n = t->nodes[t->there];
    for (int i = t->there; i < t->n; i++) {
        struct node *child = node_scalar(TEXT(""), a);
        if (n->kind == NODE_SCALAR) *n = (struct node){.kind = NODE_MAP};
        node_put(n, n->kind == NODE_MAP ? node_scalar(t->words[i], a) : NULL, child, a);
        n = child;
    }
    *n = *value;
}

static void tree_remove(struct node *parent, int i)
{
    parent->n--;
    for (; i < parent->n; i++) {
        parent->items[i] = parent->items[i + 1];
        if (parent->kind == NODE_MAP) parent->keys[i] = parent->keys[i + 1];
    }
}

/* Removing the last key of a map removes the map too, where that is a key's value itself. */
static int remove_level(const struct trail *t)
{
    int level = t->n - 1;
    while (level > 0 && t->nodes[level]->n == 1 && t->nodes[level - 1]->kind == NODE_MAP) level--;
    return level;
}

struct text spliced(struct text s, const struct splice *x, struct arena *a)
{
    struct buf b = buf_make(a);
    buf_put(&b, s.p, x->from);
    buf_put(&b, x->text.p ? x->text.p : "", x->text.n);
    buf_put(&b, s.p + x->to, s.n - x->to);
    return buf_text(&b);
}

bool reads_as(struct text text, const struct node *wanted, const char *path, struct arena *a,
                     struct err *err)
{
    struct node *got;
    struct err why = {0};
    if (text_tree(&got, text, a, &why) && node_equal(got, wanted)) return true;
    return fail(
        err,
        "%s: the file cannot be changed there without touching more of it%s%s; edit it by hand (E)",
        path, why.text[0] ? ": " : "", why.text);
}

bool profile_text_set(struct text *out, struct text source, const char *path, const char *value,
                      struct arena *a, struct err *err)
{
    struct node *root, *wanted;
    struct trail t, mirror;
    struct splice x = {.text = buf_make(a)};
    const struct node *reads = NULL;
    if (!text_tree(&root, source, a, err) || !text_tree(&wanted, source, a, err)) return false;
    if (!trail_make(&t, root, path, err) || !trail_make(&mirror, wanted, path, err)) return false;
    if (!value && t.there < t.n) {
        *out = source;
        return true;
    }
    if (value) {
        const char *text = fragment(&reads, path, value, a);
        if (!text) return fail(err, "%s: %.80s is no value that can stand there", path, value);
        if (!splice_set(&x, source, &t, path, text, a, err)) return false;
        tree_set(&mirror, reads, a);
    } else {
        int level = remove_level(&t);
        if (!remove_entry(&x, source, t.nodes[level], t.index[level], err))
            return fail_in(err, "%s", path);
        tree_remove(mirror.nodes[level], mirror.index[level]);
    }
    struct text text = spliced(source, &x, a);
    if (!reads_as(text, wanted, path, a, err)) return false;
    *out = text;
    return true;
}
