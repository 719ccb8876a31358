/* tokenizer_steps.c - the normalisers, pre-tokenizers and decoders of a tokenizer.json: read as rows,
 * run one after the other. A step that is not in the tables is refused by name. */
#include "engine/format/tokenizer_parts.h"
#include <string.h>

/* ---- reading ---- */

static bool is_kind(const struct json *o, const char *type)
{
    const struct json *t = json_get(o, "type");
    return t && t->kind == JSON_TEXT && text_is(t->text, type);
}

static bool unknown_step(struct opening *o, const char *what, const struct json *step)
{
    const struct json *t = json_get(step, "type");
    return fail(o->err, "%s: the %s %s is not known to hone", o->path, what,
                t && t->kind == JSON_TEXT ? shown(o->scratch, t->text) : "without a type");
}

static bool many_steps(struct opening *o, const char *what)
{
    return fail(o->err, "%s: more than %d %ss follow each other", o->path, STEPS_MOST, what);
}

static struct text kept(struct opening *o, struct text t)
{
    return (struct text){arena_string(o->a, t.p, t.n), t.n};
}

/* {"String": s} or {"Regex": s}, or s itself. */
static bool read_pattern(struct opening *o, struct split *s, const struct json *step, const char *what)
{
    const struct json *p = json_get(step, "pattern"), *text = json_get(p, "String"),
                      *regex = json_get(p, "Regex");
    s->unicode = o->t->unicode;
    if (p && p->kind == JSON_TEXT) text = p;
    if (regex && regex->kind == JSON_TEXT) return split_regex(s, regex->text, o->path, o->a, o->err);
    if (!text || text->kind != JSON_TEXT)
        return fail(o->err, "%s: a %s has no pattern {\"String\": ...} or {\"Regex\": ...}", o->path, what);
    s->pattern = PATTERN_TEXT;
    s->literal = kept(o, text->text);
    return true;
}

static bool read_text(struct opening *o, struct text *out, const struct json *step, const char *key,
                      const char *fallback)
{
    struct text t = text_of(fallback);
    if (!json_get_text(&t, step, key, o->path, o->err)) return false;
    if (t.n > TOKEN_BYTES_MOST)
        return fail(o->err, "%s: %s has %zu bytes; at most %d are allowed", o->path, key, t.n,
                    TOKEN_BYTES_MOST);
    *out = kept(o, t);
    return true;
}

static const struct { const char *type; enum norm_kind kind; } norm_rows[] = {
    {"NFC", NORM_NFC}, {"NFD", NORM_NFD}, {"NFKC", NORM_NFKC}, {"NFKD", NORM_NFKD}, {"Lowercase", NORM_LOWER},
    {"Strip", NORM_STRIP}, {"Replace", NORM_REPLACE}, {"Prepend", NORM_PREPEND}};

static bool read_norm(struct opening *o, const struct json *step)
{
    struct tokenizer *t = o->t;
    if (!step || step->kind == JSON_NULL) return true;
    if (is_kind(step, "Sequence")) {
        const struct json *list = json_get(step, "normalizers");
        for (int i = 0; list && list->kind == JSON_ARRAY && i < list->n; i++)
            if (!read_norm(o, &list->items[i])) return false;
        return true;
    }
    struct norm_step n = {.left = true, .right = true};
    size_t row = 0;
    while (row < COUNT(norm_rows) && !is_kind(step, norm_rows[row].type)) row++;
    if (row == COUNT(norm_rows)) return unknown_step(o, "normalizer", step);
    n.kind = norm_rows[row].kind;
    if (n.kind == NORM_REPLACE &&
        (!read_pattern(o, &n.find, step, "Replace") || !read_text(o, &n.with, step, "content", "")))
        return false;
    if (n.kind == NORM_PREPEND && !read_text(o, &n.with, step, "prepend", "")) return false;
    if (!json_get_bool(&n.left, step, "strip_left", o->path, o->err) ||
        !json_get_bool(&n.right, step, "strip_right", o->path, o->err)) return false;
    if (t->norm_n == STEPS_MOST) return many_steps(o, "normalizer");
    t->norm[t->norm_n++] = n;
    return true;
}

static bool put_pre(struct opening *o, struct pre_step step)
{
    if (o->t->pre_n == STEPS_MOST) return many_steps(o, "pre-tokenizer");
    step.split.unicode = o->t->unicode;
    o->t->pre[o->t->pre_n++] = step;
    return true;
}

static bool read_split(struct opening *o, const struct json *step)
{
    static const char *const names[] = {[SPLIT_ISOLATED] = "Isolated", [SPLIT_REMOVED] = "Removed",
        [SPLIT_MERGED_WITH_PREVIOUS] = "MergedWithPrevious", [SPLIT_MERGED_WITH_NEXT] = "MergedWithNext",
        [SPLIT_CONTIGUOUS] = "Contiguous"};
    struct pre_step s = {.kind = PRE_SPLIT};
    struct text behaviour = TEXT("");
    if (!read_pattern(o, &s.split, step, "Split") ||
        !json_get_text(&behaviour, step, "behavior", o->path, o->err) ||
        !json_get_bool(&s.split.invert, step, "invert", o->path, o->err)) return false;
    size_t i = 0;
    while (i < COUNT(names) && !text_is(behaviour, names[i])) i++;
    if (i == COUNT(names))
        return fail(o->err, "%s: the behavior %s of a Split is not known to hone", o->path,
                    shown(o->scratch, behaviour));
    s.split.behaviour = (enum behaviour)i;
    return put_pre(o, s);
}

static bool read_digits(struct opening *o, const struct json *step)
{
    bool individual = false;
    if (!json_get_bool(&individual, step, "individual_digits", o->path, o->err)) return false;
    return put_pre(o, (struct pre_step){.kind = PRE_SPLIT, .split = {.pattern = PATTERN_NUMBER,
        .behaviour = individual ? SPLIT_ISOLATED : SPLIT_CONTIGUOUS}});
}

/* The pieces are written in the byte alphabet from here on; where nothing follows, only in thought. */
static bool read_byte_level(struct opening *o, const struct json *step)
{
    bool prefix = true, regex = true;
    if (!json_get_bool(&prefix, step, "add_prefix_space", o->path, o->err) ||
        !json_get_bool(&regex, step, "use_regex", o->path, o->err)) return false;
    if (o->t->alphabet)
        return fail(o->err, "%s: two ByteLevel pre-tokenizers follow each other, which hone does not do",
                    o->path);
    o->t->alphabet = true;
    if (prefix && !put_pre(o, (struct pre_step){.kind = PRE_PREFIX_SPACE})) return false;
    if (regex && !put_pre(o, (struct pre_step){.kind = PRE_SPLIT, .split = {.pattern = PATTERN_GPT2}}))
        return false;
    return put_pre(o, (struct pre_step){.kind = PRE_ALPHABET});
}

/* Older files say add_prefix_space, newer ones prepend_scheme. */
static bool read_scheme(struct opening *o, enum prepend_scheme *scheme, const struct json *step)
{
    bool prefix = true;
    struct text name = TEXT("");
    if (!json_get_bool(&prefix, step, "add_prefix_space", o->path, o->err) ||
        !json_get_text(&name, step, "prepend_scheme", o->path, o->err)) return false;
    *scheme = prefix ? PREPEND_ALWAYS : PREPEND_NEVER;
    if (text_is(name, "first")) *scheme = PREPEND_FIRST;
    else if (text_is(name, "never")) *scheme = PREPEND_NEVER;
    else if (text_is(name, "always")) *scheme = PREPEND_ALWAYS;
    else if (name.n)
        return fail(o->err, "%s: the prepend_scheme %s is not known to hone", o->path,
                    shown(o->scratch, name));
    return true;
}

static bool read_metaspace(struct opening *o, const struct json *step)
{
    struct pre_step s = {.kind = PRE_METASPACE, .splits = true};
    if (!read_text(o, &s.with, step, "replacement", "\xE2\x96\x81") || !read_scheme(o, &s.scheme, step) ||
        !json_get_bool(&s.splits, step, "split", o->path, o->err)) return false;
    s.split = (struct split){.pattern = PATTERN_TEXT, .behaviour = SPLIT_MERGED_WITH_NEXT, .literal = s.with};
    return put_pre(o, s);
}

static bool read_punctuation(struct opening *o, const struct json *step)
{
    struct text behaviour = TEXT("Isolated");
    if (!json_get_text(&behaviour, step, "behavior", o->path, o->err)) return false;
    bool contiguous = text_is(behaviour, "Contiguous");
    if (!contiguous && !text_is(behaviour, "Isolated"))
        return fail(o->err, "%s: the behavior %s of a Punctuation is not known to hone", o->path,
                    shown(o->scratch, behaviour));
    return put_pre(o, (struct pre_step){.kind = PRE_SPLIT, .split = {.pattern = PATTERN_PUNCTUATION,
        .behaviour = contiguous ? SPLIT_CONTIGUOUS : SPLIT_ISOLATED}});
}

static bool read_spaces(struct opening *o, const struct json *step)
{
    (void)step;
    return put_pre(o, (struct pre_step){.kind = PRE_SPLIT,
                                        .split = {.pattern = PATTERN_SPACE, .behaviour = SPLIT_REMOVED}});
}

static const struct {
    const char *type;
    bool (*read)(struct opening *o, const struct json *step);
} pre_rows[] = {
    {"Split", read_split},         {"Digits", read_digits},           {"ByteLevel", read_byte_level},
    {"Metaspace", read_metaspace}, {"Punctuation", read_punctuation}, {"WhitespaceSplit", read_spaces}};

static bool read_pre(struct opening *o, const struct json *step)
{
    if (!step || step->kind == JSON_NULL) return true;
    if (is_kind(step, "Sequence")) {
        const struct json *list = json_get(step, "pretokenizers");
        for (int i = 0; list && list->kind == JSON_ARRAY && i < list->n; i++)
            if (!read_pre(o, &list->items[i])) return false;
        return true;
    }
    for (size_t i = 0; i < COUNT(pre_rows); i++)
        if (is_kind(step, pre_rows[i].type)) return pre_rows[i].read(o, step);
    return unknown_step(o, "pre-tokenizer", step);
}

static const struct { const char *type; enum decode_kind kind; } decode_rows[] = {
    {"ByteLevel", DECODE_BYTE_LEVEL}, {"ByteFallback", DECODE_BYTE_FALLBACK}, {"Fuse", DECODE_FUSE},
    {"Replace", DECODE_REPLACE}, {"Strip", DECODE_STRIP}, {"Metaspace", DECODE_METASPACE}};

static bool read_decode(struct opening *o, const struct json *step)
{
    struct tokenizer *t = o->t;
    if (!step || step->kind == JSON_NULL) return true;
    if (is_kind(step, "Sequence")) {
        const struct json *list = json_get(step, "decoders");
        for (int i = 0; list && list->kind == JSON_ARRAY && i < list->n; i++)
            if (!read_decode(o, &list->items[i])) return false;
        return true;
    }
    struct decode_step d = {.start = 0};
    int64_t stop = 0;
    size_t row = 0;
    while (row < COUNT(decode_rows) && !is_kind(step, decode_rows[row].type)) row++;
    if (row == COUNT(decode_rows)) return unknown_step(o, "decoder", step);
    d.kind = decode_rows[row].kind;
    struct split find = {.pattern = PATTERN_TEXT};
    if (d.kind == DECODE_REPLACE &&
        (!read_pattern(o, &find, step, "Replace") || !read_text(o, &d.with, step, "content", "")))
        return false;
    d.find = find.literal;
    if (find.pattern != PATTERN_TEXT)
        return fail(o->err, "%s: a decoder replaces a regular expression, which hone does not do", o->path);
    if (d.kind == DECODE_METASPACE &&
        (!read_text(o, &d.find, step, "replacement", "\xE2\x96\x81") || !read_scheme(o, &d.scheme, step)))
        return false;
    if (d.kind == DECODE_STRIP && (!read_text(o, &d.find, step, "content", " ") ||
        !json_get_int(&d.start, step, "start", 0, 1024, o->path, o->err) ||
        !json_get_int(&stop, step, "stop", 0, 1024, o->path, o->err))) return false;
    if (stop) return fail(o->err, "%s: a decoder strips the end of the text, which hone does not do", o->path);
    if (t->decode_n == STEPS_MOST) return many_steps(o, "decoder");
    t->decode[t->decode_n++] = d;
    return true;
}

bool open_steps(struct opening *o, const struct json *root)
{
    struct tokenizer *t = o->t;
    if (!read_norm(o, json_get(root, "normalizer")) || !read_pre(o, json_get(root, "pre_tokenizer")) ||
        !read_decode(o, json_get(root, "decoder"))) return false;
    if (t->pre_n && t->pre[t->pre_n - 1].kind == PRE_ALPHABET) t->pre_n--;
    return true;
}

/* ---- running ---- */

static bool replace(struct encoding *e, const struct norm_step *n, struct buf *out, struct text s)
{
    struct pieces w = {.split = &n->find, .t = s, .matching = &e->matching, .err = e->err};
    struct stretch m;
    size_t copied = 0;
    int got;
    while ((got = pieces_match(&w, &m)) > 0) {
        buf_put(out, s.p + copied, m.start - copied);
        buf_put(out, n->with.p, n->with.n);
        copied = m.end;
    }
    buf_put(out, s.p + copied, s.n - copied);
    return got == 0;
}

static struct text strip(const struct unicode *u, const struct norm_step *n, struct text s)
{
    int length;
    while (n->left && s.n && (class_at(u, s.p, s.p + s.n, &length) & CLASS_SPACE)) {
        s.p += length;
        s.n -= (size_t)length;
    }
    while (n->right && s.n) {
        size_t last = s.n - 1;
        while (last && ((unsigned char)s.p[last] & 0xC0) == 0x80) last--;
        if (!(class_at(u, s.p + last, s.p + s.n, &length) & CLASS_SPACE)) break;
        s.n = last;
    }
    return s;
}

static bool norm_step(struct encoding *e, const struct norm_step *n, struct buf *out, struct text s,
                      bool continues)
{
    const struct unicode *u = e->t->unicode;
    switch (n->kind) {
    case NORM_NFC: unicode_normalise(out, s, FORM_NFC); break;
    case NORM_NFD: unicode_normalise(out, s, FORM_NFD); break;
    case NORM_NFKC: unicode_normalise(out, s, FORM_NFKC); break;
    case NORM_NFKD: unicode_normalise(out, s, FORM_NFKD); break;
    case NORM_LOWER: unicode_lower(out, s); break;
    case NORM_REPLACE: return replace(e, n, out, s);
    case NORM_PREPEND:
        if (s.n && !continues) buf_put(out, n->with.p, n->with.n);
        buf_put(out, s.p, s.n);
        break;
    case NORM_STRIP:
        s = strip(u, n, s);
        buf_put(out, s.p, s.n);
        break;
    }
    return true;
}

bool normalise(struct encoding *e, struct buf *out, struct text s, bool first)
{
    for (int i = 0; i < e->t->norm_n; i++) {
        struct buf next = buf_make(e->scratch);
        if (!norm_step(e, &e->t->norm[i], &next, s, first && (e->flags & ENCODE_CONTINUES))) return false;
        s = buf_text(&next);
    }
    *out = buf_make(e->scratch);
    buf_put(out, s.p, s.n);
    return true;
}

static bool split_on(struct encoding *e, int step, struct text piece, bool first)
{
    const struct tokenizer *t = e->t;
    const struct pre_step *s = &t->pre[step];
    if (step + 1 == t->pre_n && t->model == MODEL_BPE && t->bpe.joins && !t->written && split_scans(&s->split)) {
        words_split(e, &s->split, piece);
        return true;
    }
    struct pieces w = {.split = &s->split, .t = piece, .matching = &e->matching, .err = e->err};
    struct text part;
    int got;
    while ((got = pieces_next(&w, &part)) > 0)
        if (!pretokenise(e, step + 1, part, first && part.p == piece.p)) return false;
    return got == 0;
}

/* Steps that write the piece anew; what they take from the scratch arena is given back. */
static bool rewrite_on(struct encoding *e, int step, struct text piece, bool first)
{
    const struct pre_step *s = &e->t->pre[step];
    struct arena_mark mark = arena_mark(e->scratch);
    struct buf b = buf_make(e->scratch);
    bool prefix = s->scheme == PREPEND_ALWAYS || (s->scheme == PREPEND_FIRST && first), ok;
    if (first && (e->flags & ENCODE_CONTINUES)) prefix = false;
    if (s->kind == PRE_PREFIX_SPACE) {
        if (prefix && piece.n && *piece.p != ' ') buf_put(&b, " ", 1);
        buf_put(&b, piece.p, piece.n);
    } else if (s->kind == PRE_ALPHABET) {
        for (size_t i = 0; i < piece.n; i++) alphabet_put(&b, (unsigned char)piece.p[i]);
    } else {
        bool begins = (piece.n >= s->with.n && !memcmp(piece.p, s->with.p, s->with.n)) ||
                      (piece.n && *piece.p == ' ');
        if (prefix && !begins) buf_put(&b, s->with.p, s->with.n);
        for (size_t i = 0; i < piece.n; i++)
            if (piece.p[i] == ' ') buf_put(&b, s->with.p, s->with.n);
            else buf_put(&b, piece.p + i, 1);
    }
    if (s->kind == PRE_METASPACE && s->splits) ok = split_on(e, step, buf_text(&b), first);
    else ok = pretokenise(e, step + 1, buf_text(&b), first);
    arena_back(e->scratch, mark);
    return ok;
}

bool pretokenise(struct encoding *e, int step, struct text piece, bool first)
{
    if (step == e->t->pre_n) return model_encode(e, piece);
    return e->t->pre[step].kind == PRE_SPLIT ? split_on(e, step, piece, first)
                                             : rewrite_on(e, step, piece, first);
}
