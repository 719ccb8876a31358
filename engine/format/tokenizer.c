/* tokenizer.c - opening a tokenizer, what it says of itself, and the way of a text through it:
 * added tokens are cut out, the rest is normalised, cut again, split, and given to the model. */
#include "engine/format/tokenizer_parts.h"
#include <stdio.h>
#include <string.h>

/* ---- opening ---- */

static const char *model_name(const struct tokenizer *t)
{
    static const char *const names[] = {
        [MODEL_BPE] = "BPE", [MODEL_UNIGRAM] = "unigram", [MODEL_BYTES] = "bytes"};
    if (t->is_spm) return t->model == MODEL_BPE ? "SentencePiece BPE" : "SentencePiece unigram";
    if (t->model == MODEL_BPE && t->alphabet) return "byte-level BPE";
    if (t->model == MODEL_BPE && t->bpe.byte_fallback) return "BPE with byte fallback";
    return names[t->model];
}

/* Tokens that are looked for behind the normalisers are normalised themselves. */
static bool make_matcher(struct opening *o, struct matcher *m, bool normalized)
{
    struct tokenizer *t = o->t;
    struct encoding e = {.t = t, .scratch = o->scratch, .err = o->err};
    size_t bytes = 0;
    bool ok = true;
    for (int i = 0; ok && i < t->added_n; i++) {
        struct added *token = &t->added[i];
        if (token->normalized != normalized) continue;
        struct buf b = buf_make(o->scratch);
        token->found = token->content;
        if (normalized && t->norm_n) {
            ok = normalise(&e, &b, token->content, false);
            token->found = (struct text){arena_string(o->a, b.p ? b.p : "", b.n), b.n};
        }
        bytes += token->found.n;
        m->n += token->found.n > 0;
    }
    matching_end(&e.matching);
    if (!ok) return false;
    if (bytes >= TRIE_NODES_MOST)
        return fail(o->err, "%s: the added tokens have %zu bytes together", o->path, bytes);
    if (!m->n) return true;
    trie_make(&m->trie, bytes, o->a);
    for (int i = 0; i < t->added_n; i++)
        if (t->added[i].normalized == normalized && t->added[i].found.n)
            trie_add(&m->trie, t->added[i].found, i);
    return true;
}

bool make_matchers(struct opening *o)
{
    struct tokenizer *t = o->t;
    for (int i = 0; i < t->pre_n; i++) t->written = t->written || t->pre[i].kind == PRE_ALPHABET;
    return make_matcher(o, &t->raw, false) && make_matcher(o, &t->normalised, true);
}

static bool read_json_file(struct opening *o, const struct json **out, struct hash *h)
{
    struct text file;
    struct json_limits limits = {.bytes = JSON_BYTES_MOST};
    if (!file_read(&file, o->path, JSON_BYTES_MOST, o->scratch, o->err)) return false;
    hash_add(h, file.p, file.n);
    return json_parse(out, file, o->path, limits, o->scratch, o->err);
}

static bool open_tokenizer_json(struct opening *o, const char *dir, struct hash *h)
{
    const struct json *root;
    (void)dir;
    return read_json_file(o, &root, h) && open_json(o, root);
}

static bool open_vocab_json(struct opening *o, const char *dir, struct hash *h)
{
    const struct json *vocab;
    struct text merges;
    const char *path = path_join(o->scratch, dir, "merges.txt");
    if (!read_json_file(o, &vocab, h) || !file_read(&merges, path, MODEL_BYTES_MOST, o->scratch, o->err))
        return false;
    hash_add(h, merges.p, merges.n);
    return open_pair(o, vocab, merges);
}

static bool open_tokenizer_model(struct opening *o, const char *dir, struct hash *h)
{
    struct text file;
    if (!file_read(&file, o->path, MODEL_BYTES_MOST, o->scratch, o->err)) return false;
    hash_add(h, file.p, file.n);
    if (!open_spm(o, file) || (dir && !open_added(o, dir))) return false;
    for (int i = 0; i < o->t->added_n; i++) {
        hash_add(h, &o->t->added[i].id, sizeof o->t->added[i].id);
        hash_add(h, o->t->added[i].content.p, o->t->added[i].content.n);
    }
    hash_add(h, o->t->spm.each_part ? "1" : "0", 1);
    return true;
}

struct form { const char *name, *with; bool (*open)(struct opening *o, const char *dir, struct hash *h); };
static const struct form forms[] = {
    {"tokenizer.json", NULL, open_tokenizer_json}, {"tokenizer.model", NULL, open_tokenizer_model},
    {"vocab.json", "merges.txt", open_vocab_json}};

/* Which file of the folder is read, or how the file is read. */
static const struct form *choose(struct opening *o, const char *dir)
{
    if (!path_is_dir(dir)) {
        size_t n = strlen(dir);
        o->path = dir;
        return n > 5 && !strcmp(dir + n - 5, ".json") ? &forms[0] : &forms[1];
    }
    for (size_t i = 0; i < COUNT(forms); i++) {
        o->path = path_join(o->scratch, dir, forms[i].name);
        if (path_exists(o->path) &&
            (!forms[i].with || path_exists(path_join(o->scratch, dir, forms[i].with))))
            return &forms[i];
    }
    fail(o->err,
         "%s: there is no tokenizer in this folder; hone reads tokenizer.json, tokenizer.model, or "
         "vocab.json with merges.txt",
         dir);
    return NULL;
}

static bool open_all(struct opening *o, const char *dir)
{
    struct tokenizer *t = o->t;
    struct hash h;
    char count[32];
    const struct form *form = choose(o, dir);
    const char *folder = path_is_dir(dir) ? dir : NULL;
    if (!form) return false;
    hash_start(&h, o->scratch);
    hash_add(&h, form->name, strlen(form->name));
    if (!form->open(o, folder, &h) || !make_matchers(o) || !make_shown(o) ||
        (folder && !open_config(o, folder)))
        return false;
    hash_text(&h, t->hash);
    if (t->model == MODEL_BYTES)
        snprintf(t->about, sizeof t->about, "plain bytes, %s ids", text_count(count, t->size));
    else snprintf(t->about, sizeof t->about, "%s, %s pieces", model_name(t), text_count(count, t->size));
    return true;
}

bool tokenizer_open(struct tokenizer **out, const char *dir, struct arena *a, struct err *err)
{
    struct arena scratch = arena_make(0);
    struct arena_mark mark = arena_mark(a);
    struct opening o = {NEW(a, struct tokenizer), a, &scratch, dir, err};
    o.t->bos = o.t->eos = o.t->unknown = -1;
    memset(o.t->byte_piece, 0xFF, sizeof o.t->byte_piece);
    o.t->unicode = unicode_make(a);
    bool ok = open_all(&o, dir);
    arena_drop(&scratch);
    if (!ok) arena_back(a, mark);
    else *out = o.t;
    return ok;
}

/* ---- what it says of itself ---- */

const char *tokenizer_about(const struct tokenizer *t) { return t->about; }
int tokenizer_size(const struct tokenizer *t) { return t->size; }
int tokenizer_bos(const struct tokenizer *t) { return t->bos; }
int tokenizer_eos(const struct tokenizer *t) { return t->eos; }
bool tokenizer_adds_bos(const struct tokenizer *t) { return t->adds_bos; }
struct text tokenizer_chat_template(const struct tokenizer *t) { return t->chat_template; }
const char *tokenizer_hash(const struct tokenizer *t) { return t->hash; }

bool tokenizer_special(const struct tokenizer *t, int32_t id)
{
    return id >= 0 && id < t->size && (t->kinds[id] & PIECE_SPECIAL);
}

int tokenizer_find(const struct tokenizer *t, struct text piece)
{
    return piece_map_find(&t->names, t->pieces, piece.p, piece.n);
}

struct text tokenizer_piece(const struct tokenizer *t, int32_t id)
{
    return id >= 0 && id < t->size && t->pieces[id].p ? t->pieces[id] : text_of("");
}

void ids_put(struct ids *list, int32_t id)
{
    ROOM(list->a, list->p, list->n, list->cap);
    list->p[list->n++] = id;
}

/* ---- encoding ---- */

/* SentencePiece's user-defined pieces are cut out first and never merge with what is around them. */
static void encode_around_user(struct encoding *e, struct text s)
{
    const struct trie *user = &e->t->user;
    size_t done = 0, length;
    for (size_t i = 0; i < s.n;) {
        int32_t id = user->root[(unsigned char)s.p[i]] ? trie_longest(user, s.p + i, s.n - i, &length) : -1,
                code;
        if (id < 0) {
            i += (size_t)utf8_decode(s.p + i, s.n - i, &code);
            continue;
        }
        bpe_encode(e, (struct text){s.p + done, i - done});
        put_id(e->out, id);
        e->last_unknown = false;
        done = i += length;
    }
    bpe_encode(e, (struct text){s.p + done, s.n - done});
}

bool model_encode(struct encoding *e, struct text piece)
{
    const struct tokenizer *t = e->t;
    struct arena_mark mark = arena_mark(e->scratch);
    if (t->written) {
        struct buf raw = buf_make(e->scratch);
        alphabet_bytes(&raw, piece);
        piece = buf_text(&raw);
    }
    if (!t->is_spm) e->last_unknown = false;
    if (t->model == MODEL_UNIGRAM) unigram_encode(e, piece);
    else if (t->model == MODEL_BYTES)
        for (size_t i = 0; i < piece.n; i++) put_id(e->out, (unsigned char)piece.p[i]);
    else if (t->has_user) encode_around_user(e, piece);
    else bpe_encode(e, piece);
    if (t->written) arena_back(e->scratch, mark);
    return true;
}

static bool is_word(const struct unicode *u, struct text s, bool at_end)
{
    int length;
    size_t at = 0;
    if (!s.n) return false;
    if (at_end) for (at = s.n - 1; at && ((unsigned char)s.p[at] & 0xC0) == 0x80;) at--;
    return class_at(u, s.p + at, s.p + s.n, &length) & CLASS_WORD;
}

/* Spaces before `start`, but not before `least`; spaces from `stop` on. */
static size_t before_spaces(const struct unicode *u, struct text s, size_t start, size_t least)
{
    while (start > least) {
        size_t last = start - 1;
        int length;
        while (last > least && ((unsigned char)s.p[last] & 0xC0) == 0x80) last--;
        if (!(class_at(u, s.p + last, s.p + start, &length) & CLASS_SPACE)) break;
        start = last;
    }
    return start;
}

static size_t after_spaces(const struct unicode *u, struct text s, size_t stop)
{
    int length;
    while (stop < s.n && (class_at(u, s.p + stop, s.p + s.n, &length) & CLASS_SPACE)) stop += (size_t)length;
    return stop;
}

/* The next added token at or after *search: the longest of those that begin leftmost. */
static const struct added *next_added(const struct tokenizer *t, const struct matcher *m, struct text s,
                                      size_t *search, size_t *start)
{
    size_t length;
    for (size_t i = *search; i < s.n; i++) {
        if (!m->trie.root[(unsigned char)s.p[i]]) continue;
        int32_t found = trie_longest(&m->trie, s.p + i, s.n - i, &length);
        if (found < 0) continue;
        *start = i;
        *search = i + length;
        return &t->added[found];
    }
    return NULL;
}

static bool encode_part(struct encoding *e, struct text s, bool first) { return pretokenise(e, 0, s, first); }

/* Cuts added tokens out of s and gives what is between them to `rest`. */
static bool cut_added(struct encoding *e, const struct matcher *m, struct text s, bool first,
                      bool (*rest)(struct encoding *e, struct text s, bool first))
{
    const struct unicode *u = e->t->unicode;
    size_t done = 0, search = 0, start = 0;
    const struct added *token;
    while (m->n && (token = next_added(e->t, m, s, &search, &start)) != NULL) {
        size_t stop = search;
        if (token->special && !(e->flags & ENCODE_SPECIAL)) continue;
        if (token->single_word && (is_word(u, (struct text){s.p, start}, true) ||
                                   is_word(u, (struct text){s.p + stop, s.n - stop}, false))) continue;
        if (token->lstrip && start > done) start = before_spaces(u, s, start, done);
        if (token->rstrip) stop = after_spaces(u, s, stop);
        if (done < start && !rest(e, (struct text){s.p + done, start - done}, first && done == 0)) return false;
        put_id(e->out, token->id);
        e->last_unknown = false;
        done = stop;
    }
    return done == s.n || rest(e, (struct text){s.p + done, s.n - done}, first && done == 0);
}

static bool normalise_part(struct encoding *e, struct text s, bool first)
{
    const struct tokenizer *t = e->t;
    struct buf b = buf_make(e->scratch);
    struct arena_mark mark = arena_mark(e->scratch);
    bool ok = true;
    if (t->is_spm) {
        enum spm_part where = !first ? PART_LATER : e->flags & ENCODE_CONTINUES ? PART_CONTINUES : PART_FIRST;
        spm_normalise(t, &b, s, where);
        s = buf_text(&b);
    } else if (t->norm_n) {
        ok = normalise(e, &b, s, first);
        s = buf_text(&b);
    }
    ok = ok && cut_added(e, &t->normalised, s, first, encode_part);
    arena_back(e->scratch, mark);
    return ok;
}

bool tokenizer_encode(const struct tokenizer *t, struct ids *out, struct text s, unsigned flags,
                      int64_t *lost, struct arena *scratch, struct err *err)
{
    if (s.n > TEXT_BYTES_MOST)
        return fail(err, "a text of %zu bytes is too long to be tokenized at once; at most %d are allowed",
                    s.n, TEXT_BYTES_MOST);
    struct arena own = arena_make(0);
    if (scratch == out->a) scratch = &own; /* what is given back would take the ids along */
    struct arena_mark mark = arena_mark(scratch);
    struct encoding e = {.t = t, .out = out, .scratch = scratch, .err = err, .flags = flags};
    if (t->model == MODEL_BPE) words_sit(&e);
    int64_t before = out->n;
    bool ok = cut_added(&e, &t->raw, s, true, normalise_part);
    if (!ok) out->n = before;
    words_leave(&e);
    matching_end(&e.matching);
    arena_back(scratch, mark);
    arena_drop(&own);
    if (lost) *lost += e.lost;
    return ok;
}
