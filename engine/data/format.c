/* format.c - what a row of each dataset format says: a row of a table for each format.
 *
 * A reader takes the JSON object of one row and makes a conversation of it, or says what is wrong
 * with the row. Fields that a format does not know are left alone. */
#include "engine/data/rows.h"
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* The names that data sets use for the roles of a conversation. */
static const struct {
    const char *name, *role;
} roles[] = {
    {"user", "user"},
    {"human", "user"},
    {"assistant", "assistant"},
    {"gpt", "assistant"},
    {"bot", "assistant"},
    {"model", "assistant"},
    {"function_call", "assistant"},
    {"system", "system"},
    {"developer", "system"},
    {"tool", "tool"},
    {"observation", "tool"},
    {"function", "tool"},
};

static bool role_of(struct text *out, struct text name, const char *where, struct err *err)
{
    for (size_t i = 0; i < COUNT(roles); i++)
        if (text_is(name, roles[i].name)) {
            *out = text_of(roles[i].role);
            return true;
        }
    return fail(err, "%s: the role \"%.*s\" is not known; user, assistant, system and tool are",
                where, name.n > 40 ? 40 : (int)name.n, name.p);
}

static bool text_field(struct text *out, const struct json *row, const char *key, const char *where,
                       struct err *err)
{
    const struct json *v = json_get(row, key);
    if (!v || v->kind == JSON_NULL) return fail(err, "%s: \"%s\" is missing", where, key);
    return json_get_text(out, row, key, where, err);
}

static void add(struct conversation *c, const char *role, struct text content)
{
    c->messages[c->n++] = (struct message){text_of(role), content};
}

static bool read_text(struct conversation *out, const struct json *row, const char *where,
                      struct arena *a, struct err *err)
{
    (void)a;
    out->kind = PROSE;
    return text_field(&out->target, row, "text", where, err);
}

static bool read_colossal(struct conversation *out, const struct json *row, const char *where,
                          struct arena *a, struct err *err)
{
    (void)a;
    out->kind = PROSE;
    return json_get_text(&out->source, row, "source", where, err) &&
           text_field(&out->target, row, "target", where, err);
}

/* "history": [[question, answer], ...] goes before the row's own question. */
static bool read_history(struct conversation *out, const struct json *h, const char *where,
                         struct err *err)
{
    for (int i = 0; i < h->n; i++) {
        const struct json *turn = &h->items[i];
        if (turn->kind != JSON_ARRAY || turn->n != 2 || turn->items[0].kind != JSON_TEXT ||
            turn->items[1].kind != JSON_TEXT)
            return fail(err, "%s: \"history\" must hold pairs of two texts; number %d is none",
                        where, i + 1);
        add(out, "user", turn->items[0].text);
        add(out, "assistant", turn->items[1].text);
    }
    return true;
}

static bool read_alpaca(struct conversation *out, const struct json *row, const char *where,
                        struct arena *a, struct err *err)
{
    struct text instruction = {0}, input = {0}, output = {0}, system = {0};
    const struct json *history = json_get(row, "history");
    if (!text_field(&instruction, row, "instruction", where, err) ||
        !json_get_text(&input, row, "input", where, err) ||
        !text_field(&output, row, "output", where, err) ||
        !json_get_text(&system, row, "system", where, err))
        return false;
    int turns = history && history->kind == JSON_ARRAY ? history->n : 0;
    if (turns > TURNS_MOST / 2)
        return fail(err, "%s: %d turns of history; at most %d are read", where, turns,
                    TURNS_MOST / 2);
    out->messages = NEW_N(a, struct message, turns * 2 + 3);
    if (system.n) add(out, "system", system);
    if (turns && !read_history(out, history, where, err)) return false;
    if (input.n && instruction.n) {
        struct buf b = buf_make(a);
        buf_put(&b, instruction.p, instruction.n);
        buf_put(&b, "\n", 1);
        buf_put(&b, input.p, input.n);
        instruction = buf_text(&b);
    } else if (input.n) instruction = input;
    add(out, "user", instruction);
    add(out, "assistant", output);
    return true;
}

/* content may be a list of typed parts; only text can be learnt. */
static bool content_of(struct text *out, const struct json *v, const char *where, struct arena *a,
                       struct err *err)
{
    if (v && v->kind == JSON_TEXT) {
        *out = v->text;
        return true;
    }
    if (!v || v->kind != JSON_ARRAY)
        return fail(err, "%s: a message has no text as its content", where);
    struct buf b = buf_make(a);
    for (int i = 0; i < v->n; i++) {
        struct text type = TEXT("text"), part = {0};
        const struct json *p = &v->items[i];
        if (p->kind != JSON_OBJECT)
            return fail(err, "%s: part %d of a content is no object", where, i + 1);
        if (!json_get_text(&type, p, "type", where, err)) return false;
        if (!text_is(type, "text"))
            return fail(err, "%s: a part of type \"%.*s\"; only \"text\" is read", where,
                        type.n > 40 ? 40 : (int)type.n, type.p);
        if (!text_field(&part, p, json_get(p, "value") ? "value" : "text", where, err))
            return false;
        buf_put(&b, part.p, part.n);
    }
    *out = buf_text(&b);
    return true;
}

static bool read_turns(struct conversation *out, const struct json *list, const char *key,
                       const char *role_key, const char *content_key, const char *where,
                       struct arena *a, struct err *err)
{
    if (!list || list->kind != JSON_ARRAY)
        return fail(err, "%s: \"%s\" must be a list of messages", where, key);
    if (list->n + out->n > TURNS_MOST)
        return fail(err, "%s: %d turns; at most %d are read", where, list->n, TURNS_MOST);
    struct message *all = NEW_N(a, struct message, out->n + list->n + 1);
    for (int i = 0; i < out->n; i++) all[i] = out->messages[i];
    out->messages = all;
    for (int i = 0; i < list->n; i++) {
        struct text name = {0}, role = {0}, content = {0};
        const struct json *m = &list->items[i];
        if (m->kind != JSON_OBJECT)
            return fail(err, "%s: turn %d of \"%s\" is no object", where, i + 1, key);
        if (!text_field(&name, m, role_key, where, err) || !role_of(&role, name, where, err) ||
            !content_of(&content, json_get(m, content_key), where, a, err))
            return false;
        out->messages[out->n++] = (struct message){role, content};
    }
    return true;
}

/* A "system" beside the turns stands before them. */
static bool read_system(struct conversation *out, const struct json *row, const char *where,
                        struct arena *a, struct err *err)
{
    struct text system = {0};
    if (!json_get_text(&system, row, "system", where, err)) return false;
    out->messages = NEW_N(a, struct message, 1);
    if (system.n) add(out, "system", system);
    return true;
}

static bool read_sharegpt(struct conversation *out, const struct json *row, const char *where,
                          struct arena *a, struct err *err)
{
    return read_system(out, row, where, a, err) &&
           read_turns(out, json_get(row, "conversations"), "conversations", "from", "value", where,
                      a, err);
}

static bool read_messages(struct conversation *out, const struct json *row, const char *where,
                          struct arena *a, struct err *err)
{
    return read_turns(out, json_get(row, "messages"), "messages", "role", "content", where, a, err);
}

/* Two texts, or two lists of messages. */
static bool read_prompt(struct conversation *out, const struct json *row, const char *where,
                        struct arena *a, struct err *err)
{
    static const struct {
        const char *key, *role;
    } parts[] = {{"prompt", "user"}, {"completion", "assistant"}};
    out->messages = NEW_N(a, struct message, 2);
    for (int i = 0; i < 2; i++) {
        const struct json *v = json_get(row, parts[i].key);
        if (v && v->kind == JSON_ARRAY) {
            if (!read_turns(out, v, parts[i].key, "role", "content", where, a, err)) return false;
            continue;
        }
        struct text t = {0};
        if (!text_field(&t, row, parts[i].key, where, err)) return false;
        struct message *all = NEW_N(a, struct message, out->n + 2);
        for (int k = 0; k < out->n; k++) all[k] = out->messages[k];
        out->messages = all;
        add(out, parts[i].role, t);
    }
    return true;
}

static bool read_label(bool *trained, const struct json *label, int32_t id, int i,
                       const char *where, struct err *err)
{
    if (label->kind != JSON_INT) return fail(err, "%s: \"labels\"[%d] is no integer", where, i);
    if (label->integer != -100 && label->integer != id)
        return fail(err,
                    "%s: \"labels\"[%d] is %lld where \"input_ids\" has %d; it may be that or -100 "
                    "(not trained)",
                    where, i, (long long)label->integer, id);
    *trained = label->integer != -100;
    return true;
}

static bool read_tokens(struct conversation *out, const struct json *row, const char *where,
                        struct arena *a, struct err *err)
{
    const struct json *ids = json_get(row, "input_ids"), *labels = json_get(row, "labels");
    if (!ids || ids->kind != JSON_ARRAY)
        return fail(err, "%s: \"input_ids\" must be a list of integers", where);
    if (labels && (labels->kind != JSON_ARRAY || labels->n != ids->n))
        return fail(err, "%s: \"labels\" must be a list as long as \"input_ids\" (%d)", where,
                    ids->n);
    out->kind = TOKENS;
    out->ids = NEW_N(a, int32_t, ids->n);
    out->trained = NEW_N(a, bool, ids->n);
    for (int i = 0; i < ids->n; i++) {
        const struct json *v = &ids->items[i];
        if (v->kind != JSON_INT || v->integer < 0 || v->integer > INT32_MAX)
            return fail(err, "%s: \"input_ids\"[%d] is no token id", where, i);
        out->ids[i] = (int32_t)v->integer;
        out->trained[i] = true;
        if (labels && !read_label(&out->trained[i], &labels->items[i], out->ids[i], i, where, err))
            return false;
    }
    out->n_ids = ids->n;
    return true;
}

static const struct format formats[] = {
    {"messages", {"messages", NULL}, read_messages},
    {"sharegpt", {"conversations", NULL}, read_sharegpt},
    {"alpaca", {"instruction", "output"}, read_alpaca},
    {"prompt_completion", {"prompt", "completion"}, read_prompt},
    {"colossal", {"source", "target"}, read_colossal},
    {"tokens", {"input_ids", NULL}, read_tokens},
    {"text", {"text", NULL}, read_text},
};

static const char *names(char out[160])
{
    out[0] = 0;
    for (size_t i = 0, n = 0; i < COUNT(formats); i++)
        n += (size_t)snprintf(out + n, 160 - n, "%s%s", i ? ", " : "", formats[i].name);
    return out;
}

const struct format *format_find(const char *name, struct err *err)
{
    char all[160];
    for (size_t i = 0; i < COUNT(formats); i++)
        if (strcmp(formats[i].name, name) == 0) return &formats[i];
    fail(err, "the dataset format \"%s\" is not known; auto, %s are", name, names(all));
    return NULL;
}

static bool fits(const struct format *f, const struct json *row)
{
    for (size_t k = 0; k < COUNT(f->keys); k++)
        if (f->keys[k] && !json_get(row, f->keys[k])) return false;
    return true;
}

#define ROWS_LOOKED_AT 16

/* Marks in `fit` the formats that the row may have. The sentence of the first bad row is kept. */
static void look(const struct row *row, const char *path, bool fit[], int *objects,
                 struct err *first, struct arena *a)
{
    struct err err = {{0}};
    const struct json *v = NULL;
    char *where = arena_printf(a, "%s:%lld", path, (long long)row->line);
    if (row->too_long) fail(&err, "%s: the row is longer than 64 MiB", where);
    else if (json_parse(&v, row->text, where, (struct json_limits){.bytes = ROW_BYTES_MOST}, a,
                        &err) &&
             v->kind != JSON_OBJECT)
        fail(&err, "%s: a row must be an object", where);
    if (err.text[0]) {
        if (!first->text[0]) *first = err;
        return;
    }
    ++*objects;
    for (size_t i = 0; i < COUNT(formats); i++) fit[i] = fit[i] && fits(&formats[i], v);
}

const struct format *format_detect(const char *path, struct err *err)
{
    struct rows r;
    struct arena a = arena_make(0);
    struct err first = {{0}};
    bool fit[COUNT(formats)], any = true, ok;
    int objects = 0, seen = 0;
    char all[160];
    memset(fit, true, sizeof fit);
    if (!rows_open(&r, path, false, err)) return NULL;
    for (ok = true; ok && any && seen < ROWS_LOOKED_AT; seen += any) {
        struct row row;
        ok = rows_next(&r, &row, &any, err);
        if (ok && any) look(&row, path, fit, &objects, &first, &a);
        arena_drop(&a);
    }
    rows_close(&r);
    if (!ok) return NULL;
    if (seen == 0) fail(err, "%s has no rows; there is nothing to learn from it", path);
    else if (objects == 0) *err = first;
    else
        for (size_t i = 0; i < COUNT(formats); i++)
            if (fit[i]) return &formats[i];
    if (seen && objects)
        fail(err, "%s: its first %d rows are of no format that is known (%s); name one", path,
             objects, names(all));
    return NULL;
}

static bool ends_in(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);
    return n >= m && strcasecmp(s + n - m, end) == 0;
}

bool format_is_plain(const char *path, const char *format, bool *plain, struct err *err)
{
    bool text = strcmp(format, "auto") == 0 || strcmp(format, "text") == 0;
    bool json = ends_in(path, ".json") || ends_in(path, ".jsonl") || ends_in(path, ".ndjson");
    *plain = text && (ends_in(path, ".txt") || ends_in(path, ".md"));
    if (!text || json || *plain) return true;
    struct rows r;
    if (!rows_open(&r, path, true, err)) return false;
    size_t i = r.from;
    while (i < r.n && strchr(" \t\r\n", r.p[i]) && r.p[i]) i++;
    *plain = i == r.n || (r.p[i] != '{' && r.p[i] != '[');
    rows_close(&r);
    return true;
}

static bool parse(const struct json **v, const struct row *row, const char *where, struct arena *a,
                  struct err *err)
{
    if (!json_parse(v, row->text, where, (struct json_limits){.bytes = ROW_BYTES_MOST}, a, err))
        return false;
    return (*v)->kind == JSON_OBJECT || fail(err, "%s: a row must be an object", where);
}

bool row_read(struct conversation *out, const struct format *f, const struct row *row, bool plain,
              const char *path, struct arena *a, struct err *err)
{
    const struct json *v;
    char *where = arena_printf(a, "%s:%lld", path, (long long)row->line);
    *out = (struct conversation){0};
    if (row->too_long) return fail(err, "%s: the row is longer than 64 MiB", where);
    if (plain) {
        size_t bad = utf8_bad(row->text);
        if (bad < row->text.n)
            return fail(err, "%s: byte 0x%02x, %zu bytes on, is not UTF-8", where,
                        (unsigned char)row->text.p[bad], bad);
        out->kind = PROSE;
        out->target = row->text;
        return true;
    }
    if (!parse(&v, row, where, a, err) || !f->read(out, v, where, a, err)) return false;
    const struct json *category = json_get(v, "category");
    if (category && category->kind == JSON_TEXT) out->category = category->text;
    return true;
}

static uint64_t mixed(uint64_t h, const void *p, size_t n) { return hash64(p, n, h ^ (uint64_t)n); }

uint64_t conversation_hash(const struct conversation *c)
{
    uint64_t h = (uint64_t)c->kind;
    for (int i = 0; i < c->n; i++) {
        h = mixed(h, c->messages[i].role.p, c->messages[i].role.n);
        h = mixed(h, c->messages[i].content.p, c->messages[i].content.n);
    }
    h = mixed(h, c->source.p, c->source.n);
    h = mixed(h, c->target.p, c->target.n);
    return mixed(h, c->ids, (size_t)c->n_ids * sizeof *c->ids);
}
