/* template.c - chat templates: opening them, and a conversation as segments.
 *
 * The language is the part of Jinja that chat templates of real models use, set up as transformers
 * does (trim_blocks, lstrip_blocks, break and continue, tojson without escaping):
 *
 *   statements   if, for (with if, else, several names), set (also of a namespace, as a block),
 *                macro, break, continue, generation, raw, comments
 *   expressions  texts, whole numbers, true, false, none, lists, mappings, or, and, not,
 *                == != < <= > >=, in, not in, + - * // % ~, x if y else z, a.b, a[b], slices,
 *                calls, filters, tests
 *   the rest     the tables of template_call.c; loop.index, index0, revindex, first, last, length,
 *                previtem, nextitem
 *   given        messages, bos_token, eos_token, add_generation_prompt; tools and documents are
 *                none; strftime_now is not defined, so that a text does not depend on the day
 *
 * What is an answer: the content of an assistant's message, what the template writes between parts
 * of it, and the end token behind it with the blanks before it. A template with {% generation %}
 * blocks says it itself. An end token is eos, or a word like <|im_end|> or </s>. */
#include "engine/format/template_tree.h"
#include <stdio.h>
#include <string.h>

/* Raised when the same source gives another text or other segments than before. */
#define TEMPLATE_VERSION "1"

struct template {
    const char *name;
    char hash[33];
    bool models_own, generation;
    struct body body;
};

const char *template_name(const struct template *t) { return t->name; }
const char *template_hash(const struct template *t) { return t->hash; }
bool template_is_models_own(const struct template *t) { return t->models_own; }

static bool compile(struct template *t, struct text source, struct arena *a, struct err *err)
{
    struct tokens tokens = {0};
    struct hash h;
    if ((int64_t)source.n > TEMPLATE_SOURCE_MOST)
        return fail(err, "template %s has %zu bytes; at most %d are read", t->name, source.n,
                    TEMPLATE_SOURCE_MOST);
    if (utf8_bad(source) < source.n)
        return fail(err, "template %s is not UTF-8 at byte %zu", t->name, utf8_bad(source));
    hash_start(&h, a);
    hash_add(&h, TEMPLATE_VERSION, sizeof TEMPLATE_VERSION);
    hash_add(&h, source.p, source.n);
    hash_text(&h, t->hash);
    bool ok = template_lex(&tokens, source, t->name, a, err) &&
              template_parse(&t->body, &t->generation, &tokens, t->name, a, err);
    return ok;
}

/* "chatml, llama2, ..." */
static char *names_in(const char *dir, struct arena *a)
{
    struct err ignored;
    struct buf b = buf_make(a);
    char **names;
    int n;
    buf_put(&b, "", 0);
    if (!dir || !dir_list(&names, &n, dir, a, &ignored)) return b.p;
    for (int i = 0; i < n; i++) {
        size_t length = strlen(names[i]);
        if (length > 6 && strcmp(names[i] + length - 6, ".jinja") == 0)
            buf_printf(&b, "%s%.*s", b.n ? ", " : "", (int)(length - 6), names[i]);
    }
    return b.p;
}

static bool read_named(struct text *source, const char *name, const char *dir, struct arena *a,
                       struct err *err)
{
    size_t n = strlen(name);
    bool path = strchr(name, '/') || (n > 6 && strcmp(name + n - 6, ".jinja") == 0);
    char *file =
        path ? path_join(a, NULL, name) : arena_printf(a, "%s/%s.jinja", dir ? dir : ".", name);
    if (!path && !path_exists(file))
        return fail(err, "there is no template \"%s\"; auto, a path to a .jinja file, or %s", name,
                    names_in(dir, a));
    return file_read(source, file, TEMPLATE_SOURCE_MOST, a, err);
}

bool template_open(struct template **out, const char *spec, const char *dir, struct text own,
                   struct arena *a, struct err *err)
{
    struct template *t = NEW(a, struct template);
    struct text source = own;
    bool automatic = strcmp(spec, "auto") == 0;
    t->models_own = automatic && own.n > 0;
    t->name = t->models_own ? "auto (the model's own)"
              : automatic   ? "plain"
                            : arena_string(a, spec, strlen(spec));
    if (!t->models_own && !read_named(&source, t->name, dir, a, err)) return false;
    if (!compile(t, source, a, err)) return false;
    *out = t;
    return true;
}

/* ---- rendering ---- */

static struct value messages_value(struct interp *in, const struct message *messages, int n)
{
    struct value *list = NEW_N(in->a, struct value, n);
    struct run *runs = NEW_N(in->a, struct run, n);
    for (int i = 0; i < n; i++) {
        struct map *m = NEW(in->a, struct map);
        struct value content = value_text(messages[i].content);
        runs[i] = (struct run){messages[i].content.n, i, false};
        content.runs = &runs[i];
        content.n_runs = messages[i].content.n > 0;
        map_put(in, m, TEXT("role"), value_text(messages[i].role));
        map_put(in, m, TEXT("content"), content);
        list[i] = (struct value){.kind = V_MAP, .map = m};
    }
    return value_list(list, n);
}

static struct segment *add_segment(struct segments *out, struct text text, int message,
                                   struct arena *a)
{
    if (text.n == 0) return NULL;
    ROOM(a, out->list, out->n, out->cap);
    out->list[out->n] = (struct segment){.text = text, .message = message};
    return &out->list[out->n++];
}

/* The length of the end token that `t` begins with, or 0. */
static size_t end_token(struct text t, struct text eos)
{
    if (eos.n > 0 && t.n >= eos.n && memcmp(t.p, eos.p, eos.n) == 0) return eos.n;
    if (t.n < 3 || t.p[0] != '<') return 0;
    for (size_t i = 1; i < t.n && i < 64; i++) {
        if (t.p[i] == '>') return i > 1 ? i + 1 : 0;
        if (t.p[i] == ' ' || t.p[i] == '\n' || t.p[i] == '<') return 0;
    }
    return 0;
}

static bool is_assistant(const struct message *messages, int n, int i)
{
    return i >= 0 && i < n && text_is(messages[i].role, "assistant");
}

/* The template's own words between two parts of an assistant's message are part of the answer. */
static bool between_parts(const struct written *w, int i)
{
    return i > 0 && i + 1 < w->n && w->runs[i - 1].message >= 0 &&
           w->runs[i - 1].message == w->runs[i + 1].message;
}

/* Splits the own words behind an answer: blanks and end token are of the answer, the rest is not.
 */
static void put_own(struct segments *out, struct text t, int answered, struct text eos,
                    struct arena *a)
{
    size_t blanks = 0;
    while (answered >= 0 && blanks < t.n && strchr(" \n\t", t.p[blanks]) && t.p[blanks]) blanks++;
    size_t end = answered < 0 ? 0 : end_token((struct text){t.p + blanks, t.n - blanks}, eos);
    if (end) {
        struct segment *s = add_segment(out, (struct text){t.p, blanks}, answered, a);
        if (s) s->answer = true;
        s = add_segment(out, (struct text){t.p + blanks, end}, answered, a);
        s->answer = s->end = true;
        t = (struct text){t.p + blanks + end, t.n - blanks - end};
    }
    add_segment(out, t, -1, a);
}

/* Answers as the roles and the end tokens say. */
static void segments_by_role(struct segments *out, const struct written *w,
                             const struct message *messages, int n, struct text eos,
                             struct arena *a)
{
    int answered = -1;
    for (int i = 0; i < w->n; i++) {
        size_t from = i ? w->runs[i - 1].end : 0;
        struct text t = {w->text.p + from, w->runs[i].end - from};
        int message = w->runs[i].message;
        if (message < 0 && between_parts(w, i)) message = w->runs[i - 1].message;
        bool answer = is_assistant(messages, n, message);
        if (message < 0) put_own(out, t, answered, eos, a);
        else {
            struct segment *s = add_segment(out, t, message, a);
            if (s) s->answer = answer;
        }
        answered = answer ? message : -1;
    }
}

/* The assistant's message that a generation block holds: its own words are that message's too. */
static int message_of_block(const struct written *w, int i)
{
    for (int k = i; k < w->n && w->runs[k].generation; k++)
        if (w->runs[k].message >= 0) return w->runs[k].message;
    for (int k = i; k >= 0 && w->runs[k].generation; k--)
        if (w->runs[k].message >= 0) return w->runs[k].message;
    return -1;
}

static void segments_by_block(struct segments *out, const struct written *w, struct text eos,
                              struct arena *a)
{
    for (int i = 0; i < w->n; i++) {
        size_t from = i ? w->runs[i - 1].end : 0;
        struct text t = {w->text.p + from, w->runs[i].end - from};
        bool answer = w->runs[i].generation;
        int message =
            w->runs[i].message < 0 && answer ? message_of_block(w, i) : w->runs[i].message;
        bool behind = answer && w->runs[i].message < 0 && i > 0 && w->runs[i - 1].generation;
        size_t end = behind ? end_token(t, eos) : 0;
        if (end) {
            struct segment *s = add_segment(out, (struct text){t.p, end}, message, a);
            s->answer = s->end = true;
            t = (struct text){t.p + end, t.n - end};
        }
        struct segment *s = add_segment(out, t, message, a);
        if (s) s->answer = answer;
    }
}

bool template_render(const struct template *t, const struct message *messages, int n,
                     struct render how, struct segments *out, struct arena *a, struct err *err)
{
    struct written written = {.text = buf_make(a)};
    struct interp in = {.name = t->name, .a = a, .err = err, .out = &written};
    variable_set(&in, TEXT("messages"), messages_value(&in, messages, n));
    variable_set(&in, TEXT("bos_token"), value_text(how.bos));
    variable_set(&in, TEXT("eos_token"), value_text(how.eos));
    variable_set(&in, TEXT("add_generation_prompt"), value_bool(how.ask));
    variable_set(&in, TEXT("tools"), value_none());
    variable_set(&in, TEXT("documents"), value_none());
    if (!template_do(&in, &t->body)) return false;
    if (t->generation) segments_by_block(out, &written, how.eos, a);
    else segments_by_role(out, &written, messages, n, how.eos, a);
    return true;
}
