/* yaml.c - YAML through libyaml's events into a tree with marks.
 *
 * Only events are used: libyaml's own documents have no limit on depth and expand aliases. Its
 * marks count characters, so a table of byte offsets turns them into places of the source. */
#include "engine/run/yaml_tree.h"
#include <stdio.h>
#include <string.h>
#include <yaml.h>

enum {
    YAML_BYTES_MOST = 256 * 1024,
    YAML_DEPTH_MOST = 16,
    YAML_EVENTS_MOST = 10000,
    YAML_SCALAR_MOST = 64 * 1024,
    PROBLEMS_MOST = 100
};

struct reader {
    struct arena *a;
    struct problems *problems;
    struct text source;              /* without the byte order mark */
    size_t skipped;                  /* bytes of the byte order mark */
    uint32_t *at;                    /* byte of each character, and of the end */
    size_t characters;
    struct node *open[YAML_DEPTH_MOST];
    struct node *key[YAML_DEPTH_MOST];   /* the key that waits for its value */
    int depth;
    struct node *root;
    size_t last;                     /* where the last event ended */
    int documents;
};

void problem_add(struct problems *p, struct arena *a, int line, int column, const char *fmt, ...)
{
    if (p->n >= PROBLEMS_MOST) return;
    ROOM(a, p->list, p->n, p->cap);
    struct problem *x = &p->list[p->n++];
    x->line = line;
    x->column = column;
    char text[2 * sizeof x->text]; /* names and values in it come from outside */
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    text_fit(x->text, sizeof x->text, text_of(text));
}

struct node *node_get(const struct node *map, struct text key)
{
    if (!map || map->kind != NODE_MAP) return NULL;
    for (int i = 0; i < map->n; i++)
        if (text_equal(map->keys[i]->value, key)) return map->items[i];
    return NULL;
}

bool node_is_null(const struct node *n)
{
    static const char *const words[] = {"", "~", "null", "Null", "NULL"};
    if (!n) return true;
    if (n->kind != NODE_SCALAR || !n->plain) return false;
    for (size_t i = 0; i < COUNT(words); i++)
        if (text_is(n->value, words[i])) return true;
    return false;
}

bool node_equal(const struct node *x, const struct node *y)
{
    if (x->kind != y->kind || x->n != y->n) return false;
    if (x->kind == NODE_SCALAR)
        return text_equal(x->value, y->value) && node_is_null(x) == node_is_null(y);
    for (int i = 0; i < x->n; i++)
        if (!node_equal(x->items[i], y->items[i]) ||
            (x->kind == NODE_MAP && !text_equal(x->keys[i]->value, y->keys[i]->value)))
            return false;
    return true;
}

void node_put(struct node *parent, struct node *key, struct node *item, struct arena *a)
{
    if (key) {
        ROOM(a, parent->keys, parent->n, parent->key_cap);
        parent->keys[parent->n] = key;
    }
    ROOM(a, parent->items, parent->n, parent->cap);
    parent->items[parent->n++] = item;
}

struct node *node_scalar(struct text value, struct arena *a)
{
    struct node *n = NEW(a, struct node);
    n->kind = NODE_SCALAR;
    n->plain = true;
    n->value = (struct text){arena_string(a, value.p, value.n), value.n};
    return n;
}

/* ---- places ---- */

static void count_characters(struct reader *r)
{
    r->at = NEW_N(r->a, uint32_t, r->source.n + 1);
    size_t i = 0, n = 0;
    for (int32_t code; i < r->source.n; n++) {
        r->at[n] = (uint32_t)i;
        i += (size_t)utf8_decode(r->source.p + i, r->source.n - i, &code);
    }
    r->at[n] = (uint32_t)i;
    r->characters = n;
}

static size_t byte_of(const struct reader *r, yaml_mark_t m)
{
    return r->at[m.index < r->characters ? m.index : r->characters] + r->skipped;
}

/* Line and column of a byte of the source, for what has no mark. */
static void place_of(struct text source, size_t at, int *line, int *column)
{
    *line = *column = 1;
    for (size_t i = 0; i < at && i < source.n; i++) {
        if (source.p[i] == '\n') {
            ++*line;
            *column = 1;
        } else if ((source.p[i] & 0xC0) != 0x80) {
            ++*column;
        }
    }
}

/* Tabs between values: YAML's indentation is made of spaces, and a tab that looks like it is
 * refused wherever it stands outside a value or a comment. */
static void refuse_tabs(struct reader *r, size_t from, size_t to)
{
    struct text whole = {r->source.p - r->skipped, r->source.n + r->skipped};
    bool comment = false;
    for (size_t i = from; i < to && i < whole.n; i++) {
        char c = whole.p[i];
        comment = c == '\n' ? false : comment || c == '#';
        if (c != '\t' || comment) continue;
        int line, column;
        place_of(whole, i, &line, &column);
        problem_add(r->problems, r->a, line, column,
                    "a tab stands here; YAML is indented with spaces");
        while (i + 1 < to && whole.p[i + 1] == '\t') i++;
    }
}

/* ---- from events to the tree ---- */

static bool stop(struct reader *r, yaml_mark_t m, const char *why)
{
    problem_add(r->problems, r->a, (int)m.line + 1, (int)m.column + 1, "%s", why);
    return false;
}

static struct node *node_make(struct reader *r, enum node_kind kind, const yaml_event_t *e)
{
    struct node *n = NEW(r->a, struct node);
    n->kind = kind;
    n->start = byte_of(r, e->start_mark);
    n->end = byte_of(r, e->end_mark);
    n->line = (int)e->start_mark.line + 1;
    n->column = (int)e->start_mark.column + 1;
    return n;
}

static void check_key(struct reader *r, const struct node *map, const struct node *key)
{
    for (int i = 0; i < map->n; i++)
        if (text_equal(map->keys[i]->value, key->value)) {
            problem_add(
                r->problems, r->a, key->line, key->column, "%.*s: said twice; line %d says it too",
                (int)(key->value.n > 80 ? 80 : key->value.n), key->value.p, map->keys[i]->line);
            return;
        }
}

/* Puts a node where it belongs: the root, an item, a key, or the value of the key that waits. */
static bool place(struct reader *r, struct node *n, yaml_mark_t m)
{
    if (r->depth == 0) {
        r->root = n;
        return true;
    }
    struct node *parent = r->open[r->depth - 1], **key = &r->key[r->depth - 1];
    if (parent->kind == NODE_LIST) {
        node_put(parent, NULL, n, r->a);
    } else if (!*key) {
        if (n->kind != NODE_SCALAR) return stop(r, m, "a key is a word, not a list or a map");
        check_key(r, parent, n);
        *key = n;
    } else {
        node_put(parent, *key, n, r->a);
        *key = NULL;
    }
    return true;
}

static bool take_scalar(struct reader *r, const yaml_event_t *e)
{
    if (e->data.scalar.length > YAML_SCALAR_MOST)
        return stop(r, e->start_mark, "this value is longer than 64 KiB");
    struct node *n = node_make(r, NODE_SCALAR, e);
    n->value =
        (struct text){arena_string(r->a, (const char *)e->data.scalar.value, e->data.scalar.length),
                      e->data.scalar.length};
    n->plain = e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    n->literal = e->data.scalar.style == YAML_LITERAL_SCALAR_STYLE ||
                 e->data.scalar.style == YAML_FOLDED_SCALAR_STYLE;
    return place(r, n, e->start_mark);
}

static bool take_start(struct reader *r, const yaml_event_t *e, enum node_kind kind, bool flow)
{
    if (r->depth == YAML_DEPTH_MOST)
        return stop(r, e->start_mark, "more than 16 lists and maps inside each other");
    struct node *n = node_make(r, kind, e);
    n->flow = flow;
    if (!place(r, n, e->start_mark)) return false;
    r->key[r->depth] = NULL;
    r->open[r->depth++] = n;
    return true;
}

static void take_end(struct reader *r, const yaml_event_t *e)
{
    struct node *n = r->open[--r->depth];
    /* The end mark of a block points at the next token. */
    n->end = n->flow ? byte_of(r, e->end_mark) : n->n ? n->items[n->n - 1]->end : n->start;
}

static void refuse_extras(struct reader *r, const yaml_event_t *e, const yaml_char_t *anchor,
                          const yaml_char_t *tag)
{
    int line = (int)e->start_mark.line + 1, column = (int)e->start_mark.column + 1;
    if (anchor)
        problem_add(r->problems, r->a, line, column,
                    "an anchor (&%.40s) is not allowed here; write the value out",
                    (const char *)anchor);
    if (tag)
        problem_add(r->problems, r->a, line, column,
                    "a tag (%.40s) is not allowed here; write the plain value", (const char *)tag);
}

static bool take(struct reader *r, const yaml_event_t *e)
{
    switch (e->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (r->documents++)
            return stop(r, e->start_mark, "a second document begins here; a file holds one");
        return true;
    case YAML_SCALAR_EVENT:
        refuse_extras(r, e, e->data.scalar.anchor, e->data.scalar.tag);
        return take_scalar(r, e);
    case YAML_SEQUENCE_START_EVENT:
        refuse_extras(r, e, e->data.sequence_start.anchor, e->data.sequence_start.tag);
        return take_start(r, e, NODE_LIST,
                          e->data.sequence_start.style == YAML_FLOW_SEQUENCE_STYLE);
    case YAML_MAPPING_START_EVENT:
        refuse_extras(r, e, e->data.mapping_start.anchor, e->data.mapping_start.tag);
        return take_start(r, e, NODE_MAP, e->data.mapping_start.style == YAML_FLOW_MAPPING_STYLE);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        take_end(r, e);
        return true;
    case YAML_ALIAS_EVENT:
        problem_add(r->problems, r->a, (int)e->start_mark.line + 1, (int)e->start_mark.column + 1,
                    "an alias (*%.40s) is not allowed here; write the value out",
                    (const char *)e->data.alias.anchor);
        struct node *n = node_make(r, NODE_SCALAR, e);
        n->plain = true;
        n->value = TEXT("");
        return place(r, n, e->start_mark);
    default:
        return true;
    }
}

/* ---- the whole ---- */

static bool syntax_problem(struct reader *r, const yaml_parser_t *y)
{
    if (y->error == YAML_READER_ERROR) {
        int line, column;
        place_of(r->source, y->problem_offset, &line, &column);
        problem_add(r->problems, r->a, line, column, "%s (byte 0x%02X)", y->problem,
                    y->problem_value & 0xFF);
        return false;
    }
    size_t at = byte_of(r, y->problem_mark) - r->skipped;
    bool tab = at < r->source.n && r->source.p[at] == '\t';
    problem_add(r->problems, r->a, (int)y->problem_mark.line + 1, (int)y->problem_mark.column + 1,
                "%s%s%s%s",
                tab ? "a tab stands here; YAML is indented with spaces" : "this is no YAML: ",
                tab          ? ""
                : y->problem ? y->problem
                             : "out of memory",
                !tab && y->context ? ", " : "", !tab && y->context ? y->context : "");
    return false;
}

static bool read_events(struct reader *r, yaml_parser_t *y)
{
    for (int events = 0;; events++) {
        yaml_event_t e;
        if (!yaml_parser_parse(y, &e)) return syntax_problem(r, y);
        bool last = e.type == YAML_STREAM_END_EVENT;
        size_t start = byte_of(r, e.start_mark), end = byte_of(r, e.end_mark);
        if (start > r->last) refuse_tabs(r, r->last, start);
        if (end > r->last) r->last = end;
        bool ok = events < YAML_EVENTS_MOST
                      ? take(r, &e)
                      : stop(r, e.start_mark, "more than 10,000 values in one file");
        yaml_event_delete(&e);
        if (!ok || last) return ok;
    }
}

static bool source_is_sound(struct text source, struct problems *problems, struct arena *a)
{
    if (source.n > YAML_BYTES_MOST) {
        char size[16];
        problem_add(problems, a, 1, 1, "the file has %s; 256 KiB are allowed",
                    text_bytes(size, (int64_t)source.n));
        return false;
    }
    size_t bad = utf8_bad(source);
    if (bad == source.n) return true;
    int line, column;
    place_of(source, bad, &line, &column);
    problem_add(problems, a, line, column,
                "this is not UTF-8 (byte 0x%02X); save the file as UTF-8",
                (unsigned char)source.p[bad]);
    return false;
}

bool yaml_parse(struct node **out, struct text source, struct problems *problems, struct arena *a)
{
    *out = NULL;
    if (!source_is_sound(source, problems, a)) return false;
    struct reader r = {.a = a, .problems = problems, .source = source};
    if (source.n >= 3 && memcmp(source.p, "\xEF\xBB\xBF", 3) == 0) {
        r.skipped = r.last = 3;
        r.source.p += 3;
        r.source.n -= 3;
    }
    count_characters(&r);
    yaml_parser_t y;
    if (!yaml_parser_initialize(&y)) {
        problem_add(problems, a, 1, 1, "there is no memory to read this file");
        return false;
    }
    yaml_parser_set_encoding(&y, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&y, (const unsigned char *)r.source.p, r.source.n);
    bool ok = read_events(&r, &y);
    yaml_parser_delete(&y);
    if (!ok) return false;
    if (!r.root) {
        r.root = NEW(a, struct node);
        r.root->kind = NODE_MAP;
        r.root->line = r.root->column = 1;
        r.root->start = r.root->end = source.n;
    }
    *out = r.root;
    return true;
}
