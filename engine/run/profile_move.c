/* profile_move.c - entries of a YAML text as a whole: a new one between two others, two that change
 * places, a key that gets another name.
 *
 * In a block an entry owns its lines and the comment lines above it; blank lines stay where they
 * are. In brackets it owns what stands between the commas. */
#include "engine/run/profile_text.h"
#include <string.h>

/* The tree twice, one of them to be changed as the text is, and the entry that is meant. */
struct place {
    struct node *root, *wanted, *list, *mirror;
    const struct node *key; /* that the list is the value of, or NULL */
    int at;                 /* the entry; the list's length where it is one past the last */
};

static bool is_number(struct text word, int *out)
{
    *out = 0;
    for (size_t i = 0; i < word.n; i++) {
        if (word.p[i] < '0' || word.p[i] > '9' || i > 5) return false;
        *out = *out * 10 + (word.p[i] - '0');
    }
    return word.n > 0;
}

static bool place_find(struct place *p, struct text source, const char *path, struct arena *a,
                       struct err *err)
{
    struct trail t, mirror;
    *p = (struct place){0};
    if (!text_tree(&p->root, source, a, err) || !text_tree(&p->wanted, source, a, err))
        return false;
    if (!trail_make(&t, p->root, path, err) || !trail_make(&mirror, p->wanted, path, err))
        return false;
    if (t.there < t.n - 1) return fail(err, "%s: there is no such place in this file", path);
    int last = t.n - 1;
    p->list = t.nodes[last];
    p->mirror = mirror.nodes[last];
    if (last > 0 && t.nodes[last - 1]->kind == NODE_MAP)
        p->key = t.nodes[last - 1]->keys[t.index[last - 1]];
    p->at = t.index[last];
    if (t.there == t.n) return true;
    if (p->list->kind != NODE_MAP && is_number(t.words[last], &p->at) && p->at <= p->list->n)
        return true;
    return fail(err, "%s: there is no such place in this file", path);
}

/* ---- an entry's own bytes ---- */

struct span {
    size_t from, to;
};

static size_t item_end(const struct node *item)
{
    return item->end > item->start ? item->end : item->start;
}

static bool span_of(struct span *out, struct text s, const struct place *p, int i, struct err *err)
{
    const struct node *list = p->list;
    size_t start = entry_start(s, list, i);
    if (list->flow) {
        *out = (struct span){start, value_end(s, list->items[i])};
        return true;
    }
    if (!blank_between(s, line_start(s, start), start))
        return fail(err, "the entry shares its line with another; edit it by hand (E)");
    out->to = line_after(s, item_end(list->items[i]));
    out->from = i > 0    ? line_after(s, item_end(list->items[i - 1]))
                : p->key ? line_after(s, p->key->end)
                         : line_start(s, start);
    while (out->from < start) { /* blank lines above are nobody's */
        size_t next = line_after(s, out->from + 1);
        size_t text = out->from + strspn(s.p + out->from, " \r\n");
        if (text < next || next > start) break;
        out->from = next;
    }
    return true;
}

/* ---- inserting ---- */

static void insert_before(struct splice *x, struct text s, const struct place *p, size_t at,
                          const char *value)
{
    x->from = x->to = at;
    if (p->list->flow) buf_printf(&x->text, "%s, ", value);
    else buf_printf(&x->text, "%*s- %s%s", p->list->column - 1, "", value, line_break(s));
}

static void tree_insert(struct node *list, int at, struct node *value, struct arena *a)
{
    node_put(list, NULL, value, a);
    for (int i = list->n - 1; i > at; i--) list->items[i] = list->items[i - 1];
    list->items[at] = value;
}

/* The list itself, where the file has no such key yet. */
static bool list_begin(struct text *out, struct text source, const char *path, const char *value,
                       struct arena *a, struct err *err)
{
    struct node *root, *wanted, *reads;
    struct splice x = {.text = buf_make(a)};
    size_t n = strcspn(path, ".");
    struct text key = {path, n};
    if (!text_tree(&root, source, a, err) || !text_tree(&wanted, source, a, err)) return false;
    if (!text_tree(&reads, text_of(value), a, err)) return false;
    add_entry(&x, source, root,
              root->flow
                  ? arena_printf(a, "%.*s: [%s]", (int)n, path, value)
                  : arena_printf(a, "%.*s:%s  - %s", (int)n, path, line_break(source), value));
    struct node *list = NEW(a, struct node);
    list->kind = NODE_LIST;
    node_put(list, NULL, reads, a);
    node_put(wanted, node_scalar(key, a), list, a);
    *out = spliced(source, &x, a);
    return reads_as(*out, wanted, path, a, err);
}

bool profile_text_insert(struct text *out, struct text source, const char *path, const char *value,
                         struct arena *a, struct err *err)
{
    struct place p;
    struct node *reads, *root;
    struct span span;
    struct splice x = {.text = buf_make(a)};
    const char *dot = strchr(path, '.');
    if (!text_tree(&root, source, a, err)) return false;
    if (dot && !node_get(root, (struct text){path, (size_t)(dot - path)}))
        return list_begin(out, source, path, value, a, err);
    if (!place_find(&p, source, path, a, err) || !text_tree(&reads, text_of(value), a, err))
        return false;
    if (node_is_null(p.list) && p.key) {
        replace_value(&x, source, p.key, p.list, arena_printf(a, "[%s]", value));
        *p.mirror = (struct node){.kind = NODE_LIST};
    } else if (p.list->kind != NODE_LIST) {
        return fail(err, "%s: a list is wanted there", path);
    } else if (p.at == p.list->n) {
        add_entry(&x, source, p.list, value);
    } else {
        if (!span_of(&span, source, &p, p.at, err)) return fail_in(err, "%s", path);
        insert_before(&x, source, &p, span.from, value);
    }
    tree_insert(p.mirror, p.at, reads, a);
    *out = spliced(source, &x, a);
    return reads_as(*out, p.wanted, path, a, err);
}

/* ---- changing places ---- */

static void tree_swap(struct node *list, int i)
{
    struct node *item = list->items[i];
    list->items[i] = list->items[i + 1];
    list->items[i + 1] = item;
    if (list->kind != NODE_MAP) return;
    struct node *key = list->keys[i];
    list->keys[i] = list->keys[i + 1];
    list->keys[i + 1] = key;
}

/* The second span, what lies between, the first span. The last line of a file may lack its line
 * break: whichever entry comes last then does without. */
static void put_swapped(struct buf *out, struct text s, struct span first, struct span second,
                        bool lines)
{
    bool bare = lines && second.to > second.from && s.p[second.to - 1] != '\n';
    const char *nl = line_break(s);
    buf_put(out, s.p + second.from, second.to - second.from);
    if (bare) buf_printf(out, "%s", nl);
    buf_put(out, s.p + first.to, second.from - first.to);
    buf_put(out, s.p + first.from, first.to - first.from - (bare ? strlen(nl) : 0));
}

bool profile_text_move(struct text *out, struct text source, const char *path, int by,
                       struct arena *a, struct err *err)
{
    struct place p;
    struct span first, second;
    struct splice x = {.text = buf_make(a)};
    if (!place_find(&p, source, path, a, err)) return false;
    int i = by < 0 ? p.at - 1 : p.at;
    if (p.at >= p.list->n || i < 0 || i + 1 >= p.list->n)
        return fail(err, "%s: there is nothing %s it", path, by < 0 ? "before" : "after");
    if (!span_of(&first, source, &p, i, err) || !span_of(&second, source, &p, i + 1, err))
        return fail_in(err, "%s", path);
    x.from = first.from;
    x.to = second.to;
    put_swapped(&x.text, source, first, second, !p.list->flow);
    tree_swap(p.mirror, i);
    *out = spliced(source, &x, a);
    return reads_as(*out, p.wanted, path, a, err);
}

/* ---- another name ---- */

bool profile_text_rename(struct text *out, struct text source, const char *path, const char *name,
                         struct arena *a, struct err *err)
{
    struct place p;
    struct splice x = {.text = buf_make(a)};
    if (!place_find(&p, source, path, a, err)) return false;
    if (p.list->kind != NODE_MAP) return fail(err, "%s: only a key has a name", path);
    if (node_get(p.list, text_of(name)))
        return fail(err, "%s: there is one called %s already", path, name);
    const struct node *key = p.list->keys[p.at];
    x.from = key->start;
    x.to = key->end;
    yaml_put_text(&x.text, text_of(name));
    struct node *renamed = node_scalar(text_of(name), a);
    p.mirror->keys[p.at] = renamed;
    *out = spliced(source, &x, a);
    return reads_as(*out, p.wanted, path, a, err);
}
