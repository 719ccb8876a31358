/* tokenizer_json.c - tokenizer.json, and its older form vocab.json with merges.txt.
 *
 *     {"added_tokens": [{"id": 0, "content": "<s>", "special": true, ...}],
 *      "normalizer": ..., "pre_tokenizer": ..., "decoder": ..., "post_processor": ...,
 *      "model": {"type": "BPE", "vocab": {"a": 0, ...}, "merges": ["a b", ...] or [["a", "b"], ...]}}
 *
 * hone adds {"model": {"type": "bytes"}}: ids 0 to 255 are the bytes themselves. */
#include "engine/format/tokenizer_parts.h"
#include <string.h>

bool grow_ids(struct opening *o, int64_t size)
{
    struct tokenizer *t = o->t;
    if (size > TOKENS_MOST)
        return fail(o->err, "%s: id %lld is beyond the %d ids that hone reads", o->path,
                    (long long)size - 1, TOKENS_MOST);
    if (size <= t->size) return true;
    if (size > t->cap) {
        size_t old = (size_t)t->cap, cap = (size_t)(t->cap ? size + size / 4 : size);
        t->pieces = arena_grow(o->a, t->pieces, old * sizeof *t->pieces, cap * sizeof *t->pieces);
        t->kinds = arena_grow(o->a, t->kinds, old, cap);
        t->cap = (int)cap;
    }
    t->size = (int)size;
    return true;
}

/* Some ids may have no piece, but a file of a few pieces cannot ask for memory for millions. */
static bool check_spread(struct opening *o, int64_t size, int64_t pieces)
{
    enum { FREE = 65536, A_PIECE = 4 };
    if (size <= FREE + A_PIECE * pieces) return true;
    return fail(o->err, "%s: an id is %lld, but there are only %lld pieces; ids up to %lld would be read", o->path,
                (long long)size - 1, (long long)pieces, (long long)(FREE + A_PIECE * pieces - 1));
}

static bool id_taken(struct opening *o, int64_t id, struct text piece)
{
    return fail(o->err, "%s: id %lld is given to %s and to %s; each id belongs to one piece", o->path,
                (long long)id, shown(o->scratch, o->t->pieces[id]), shown(o->scratch, piece));
}

static bool check_piece(struct opening *o, struct text piece)
{
    if (piece.n <= TOKEN_BYTES_MOST) return true;
    return fail(o->err, "%s: piece %s has %zu bytes; at most %d are allowed", o->path,
                shown(o->scratch, piece), piece.n, TOKEN_BYTES_MOST);
}

/* ---- pieces ---- */

static bool vocab_size(struct opening *o, const struct json *vocab, int64_t *size, size_t *bytes)
{
    if (!vocab || vocab->kind != JSON_OBJECT || !vocab->n)
        return fail(o->err, "%s: model.vocab is no object {\"piece\": id, ...}", o->path);
    for (int i = 0; i < vocab->n; i++) {
        const struct json *id = &vocab->items[i];
        if (id->kind != JSON_INT || id->integer < 0 || id->integer >= TOKENS_MOST)
            return fail(o->err, "%s: the id of piece %s in model.vocab is not a whole number from 0 to %d",
                        o->path, shown(o->scratch, vocab->keys[i]), TOKENS_MOST - 1);
        if (!check_piece(o, vocab->keys[i])) return false;
        if (id->integer >= *size) *size = id->integer + 1;
        *bytes += vocab->keys[i].n;
    }
    return true;
}

static bool read_vocab(struct opening *o, const struct json *vocab, int added)
{
    struct tokenizer *t = o->t;
    int64_t size = 0;
    size_t bytes = 0;
    if (!vocab_size(o, vocab, &size, &bytes) || !check_spread(o, size, vocab->n + added) || !grow_ids(o, size))
        return false;
    char *p = NEW_N(o->a, char, bytes + 1);
    piece_map_make(&t->names, (size_t)(vocab->n + added), o->a);
    for (int i = 0; i < vocab->n; i++) {
        int32_t id = (int32_t)vocab->items[i].integer;
        struct text piece = vocab->keys[i];
        if (t->pieces[id].p) return id_taken(o, id, piece);
        memcpy(p, piece.p, piece.n);
        t->pieces[id] = (struct text){p, piece.n};
        p += piece.n;
        piece_map_add(&t->names, t->pieces, id);
    }
    return true;
}

/* <0x0A>: the byte 10; -1: no such piece. */
int byte_of_piece(struct text piece)
{
    static const char digits[] = "0123456789ABCDEF0123456789abcdef";
    if (piece.n != 6 || memcmp(piece.p, "<0x", 3) || piece.p[5] != '>') return -1;
    const char *high = memchr(digits, piece.p[3], 32), *low = memchr(digits, piece.p[4], 32);
    return high && low ? (int)((high - digits) % 16 * 16 + (low - digits) % 16) : -1;
}

static void find_byte_pieces(struct tokenizer *t)
{
    for (int i = 0; i < 256; i++) {
        static const char hex[] = "0123456789ABCDEF";
        char name[6] = {'<', '0', 'x', hex[i / 16], hex[i % 16], '>'};
        t->byte_piece[i] = piece_map_find(&t->names, t->pieces, name, 6);
    }
    for (int id = 0; id < t->size; id++)
        if (byte_of_piece(t->pieces[id]) >= 0) t->kinds[id] |= PIECE_BYTE;
}

/* ---- BPE ---- */

/* What the model sees of each piece: itself, or the bytes that it writes in the alphabet. A piece
 * that is not written in it can never come out of bytes. */
static void read_bytes(struct opening *o)
{
    struct tokenizer *t = o->t;
    struct bpe *b = &t->bpe;
    size_t bytes = 1;
    for (int id = 0; id < t->size; id++) bytes += t->pieces[id].n;
    struct buf raw = {o->a, t->alphabet ? NEW_N(o->a, char, bytes) : NULL, 0, bytes};
    b->bytes = NEW_N(o->a, struct text, t->size);
    b->n_bytes = t->size;
    piece_map_make(&b->map, (size_t)t->size, o->a);
    for (int id = 0; id < t->size; id++) {
        size_t start = raw.n;
        struct text piece = t->pieces[id];
        if (t->alphabet && !alphabet_bytes(&raw, piece)) raw.n = start;
        if (t->alphabet) piece = (struct text){raw.p + start, raw.n - start};
        if (!piece.n) continue;
        b->bytes[id] = piece;
        piece_map_add(&b->map, b->bytes, id);
    }
    b->byte_level = t->alphabet;
    for (int i = 0; i < 256; i++) {
        char byte = (char)i;
        b->byte_id[i] = t->alphabet ? piece_map_find(&b->map, b->bytes, &byte, 1) : t->byte_piece[i];
    }
}

static bool merge_fails(struct opening *o, int64_t i, struct text what, const char *why)
{
    return fail(o->err, "%s: merge %lld of model.merges, %s, %s", o->path, (long long)i + 1,
                shown(o->scratch, what), why);
}

/* Enters the merge of `left` and `right`; both and what they make must be pieces. */
static bool read_merge(struct opening *o, struct text left, struct text right, int64_t i, struct buf *joined)
{
    struct tokenizer *t = o->t;
    int32_t l = piece_map_find(&t->names, t->pieces, left.p, left.n);
    int32_t r = piece_map_find(&t->names, t->pieces, right.p, right.n);
    if (l < 0) return merge_fails(o, i, left, "has a part that is not in the vocabulary");
    if (r < 0) return merge_fails(o, i, right, "has a part that is not in the vocabulary");
    joined->n = 0;
    buf_put(joined, left.p, left.n);
    buf_put(joined, right.p, right.n);
    int32_t id = piece_map_find(&t->names, t->pieces, joined->p, joined->n);
    if (id < 0) return merge_fails(o, i, buf_text(joined), "makes a piece that is not in the vocabulary");
    if (t->bpe.bytes[l].p && t->bpe.bytes[r].p) bpe_pair(&t->bpe, l, r, (uint32_t)i, id);
    return true;
}

static bool read_merges(struct opening *o, const struct json *merges)
{
    struct buf joined = buf_make(o->scratch);
    if (!merges || merges->kind != JSON_ARRAY) return fail(o->err, "%s: model.merges is no list", o->path);
    if (merges->n > TOKENS_MOST)
        return fail(o->err, "%s: %d merges; at most %d are allowed", o->path, merges->n, TOKENS_MOST);
    bpe_make(o, (size_t)merges->n);
    for (int i = 0; i < merges->n; i++) {
        const struct json *m = &merges->items[i];
        struct text left, right;
        if (m->kind == JSON_ARRAY && m->n == 2 && m->items[0].kind == JSON_TEXT &&
            m->items[1].kind == JSON_TEXT) {
            left = m->items[0].text;
            right = m->items[1].text;
        } else if (m->kind == JSON_TEXT) {
            const char *space = memchr(m->text.p, ' ', m->text.n);
            left = (struct text){m->text.p, space ? (size_t)(space - m->text.p) : 0};
            right = (struct text){space ? space + 1 : NULL, space ? m->text.n - left.n - 1 : 0};
            if (!space || memchr(right.p, ' ', right.n))
                return merge_fails(o, i, m->text, "is not two pieces with a space between them");
        } else {
            return fail(o->err, "%s: merge %d of model.merges is neither \"a b\" nor [\"a\", \"b\"]",
                        o->path, i + 1);
        }
        if (!read_merge(o, left, right, i, &joined)) return false;
    }
    return true;
}

static bool read_options(struct opening *o, const struct json *model)
{
    struct bpe *b = &o->t->bpe;
    struct text unknown = TEXT(""), prefix = TEXT(""), suffix = TEXT("");
    double dropout = 0;
    if (!json_get_text(&unknown, model, "unk_token", o->path, o->err) ||
        !json_get_text(&prefix, model, "continuing_subword_prefix", o->path, o->err) ||
        !json_get_text(&suffix, model, "end_of_word_suffix", o->path, o->err) ||
        !json_get_num(&dropout, model, "dropout", 0, 1, o->path, o->err) ||
        !json_get_bool(&b->fuse_unknown, model, "fuse_unk", o->path, o->err) ||
        !json_get_bool(&b->byte_fallback, model, "byte_fallback", o->path, o->err) ||
        !json_get_bool(&b->ignore_merges, model, "ignore_merges", o->path, o->err)) return false;
    if (prefix.n) return fail(o->err, "%s: model.continuing_subword_prefix is not done by hone", o->path);
    if (suffix.n) return fail(o->err, "%s: model.end_of_word_suffix is not done by hone", o->path);
    if (dropout > 0)
        return fail(o->err, "%s: model.dropout is %g; hone tokenizes without chance", o->path, dropout);
    if (!unknown.n) return true;
    o->t->unknown = piece_map_find(&o->t->names, o->t->pieces, unknown.p, unknown.n);
    if (o->t->unknown < 0)
        return fail(o->err, "%s: model.unk_token %s is not in the vocabulary", o->path,
                    shown(o->scratch, unknown));
    o->t->kinds[o->t->unknown] |= PIECE_UNKNOWN;
    return true;
}

static bool read_bpe(struct opening *o, const struct json *model, int added)
{
    struct tokenizer *t = o->t;
    t->model = MODEL_BPE;
    if (!read_vocab(o, json_get(model, "vocab"), added) || !read_options(o, model)) return false;
    find_byte_pieces(t);
    read_bytes(o);
    if (!read_merges(o, json_get(model, "merges"))) return false;
    bpe_finish(o);
    if (t->alphabet && t->bpe.byte_fallback)
        for (int i = 0; i < 256; i++)
            if (t->bpe.byte_id[i] < 0)
                return fail(o->err,
                            "%s: byte_fallback together with ByteLevel and no piece for byte %d, which "
                            "hone does not do",
                            o->path, i);
    return true;
}

/* ---- unigram and bytes ---- */

static bool read_unigram(struct opening *o, const struct json *model, int added)
{
    struct tokenizer *t = o->t;
    const struct json *vocab = json_get(model, "vocab");
    int64_t unknown = -1;
    if (!vocab || vocab->kind != JSON_ARRAY || !vocab->n || vocab->n > TOKENS_MOST)
        return fail(o->err, "%s: model.vocab is no list [[\"piece\", score], ...] of 1 to %d pieces",
                    o->path, TOKENS_MOST);
    if (!json_get_int(&unknown, model, "unk_id", 0, vocab->n - 1, o->path, o->err) ||
        !json_get_bool(&t->unigram.byte_fallback, model, "byte_fallback", o->path, o->err) ||
        !grow_ids(o, vocab->n))
        return false;
    if (t->alphabet) return fail(o->err, "%s: a Unigram model with ByteLevel, which hone does not do", o->path);
    double *scores = NEW_N(o->a, double, vocab->n);
    piece_map_make(&t->names, (size_t)(vocab->n + added), o->a);
    for (int i = 0; i < vocab->n; i++) {
        const struct json *row = &vocab->items[i];
        bool right = row->kind == JSON_ARRAY && row->n == 2 && row->items[0].kind == JSON_TEXT &&
                     (row->items[1].kind == JSON_NUM || row->items[1].kind == JSON_INT);
        if (!right) return fail(o->err, "%s: entry %d of model.vocab is not [\"piece\", score]", o->path, i);
        struct text piece = row->items[0].text;
        if (!check_piece(o, piece)) return false;
        t->pieces[i] = (struct text){arena_string(o->a, piece.p, piece.n), piece.n};
        scores[i] = row->items[1].number;
        if (!piece_map_add(&t->names, t->pieces, i))
            return fail(o->err, "%s: piece %s stands twice in model.vocab", o->path, shown(o->scratch, piece));
    }
    t->model = MODEL_UNIGRAM;
    t->unknown = (int)unknown;
    if (unknown >= 0) t->kinds[unknown] |= PIECE_UNKNOWN;
    find_byte_pieces(t);
    return unigram_make(o, scores);
}

static bool read_plain_bytes(struct opening *o, const struct json *model, int added)
{
    struct tokenizer *t = o->t;
    (void)model;
    if (!grow_ids(o, 256)) return false;
    t->model = MODEL_BYTES;
    piece_map_make(&t->names, (size_t)(256 + added), o->a);
    for (int i = 0; i < 256; i++) {
        t->pieces[i] = text_of(arena_printf(o->a, "<0x%02X>", (unsigned)i));
        piece_map_add(&t->names, t->pieces, i);
    }
    find_byte_pieces(t);
    t->decode[0] = (struct decode_step){.kind = DECODE_BYTE_FALLBACK};
    t->decode_n = 1;
    return true;
}

/* ---- added tokens ---- */

/* Of two entries for one piece the first counts. */
bool add_token(struct opening *o, struct added token)
{
    struct tokenizer *t = o->t;
    if (!check_piece(o, token.content)) return false;
    if (!token.content.n) return fail(o->err, "%s: the added token with id %d is empty", o->path, token.id);
    int32_t there = piece_map_find(&t->names, t->pieces, token.content.p, token.content.n);
    if (there >= 0 && there != token.id)
        return fail(o->err, "%s: added token %s has id %d, but the vocabulary gives it id %d", o->path,
                    shown(o->scratch, token.content), token.id, there);
    if (there >= 0 && (t->kinds[there] & PIECE_ADDED)) return true;
    if (there < 0) {
        int64_t size = (int64_t)token.id + 1;
        if (!check_spread(o, size, (int64_t)t->names.n + 1) || !grow_ids(o, size)) return false;
        if (t->pieces[token.id].p) return id_taken(o, token.id, token.content);
        t->pieces[token.id] =
            (struct text){arena_string(o->a, token.content.p, token.content.n), token.content.n};
        piece_map_room(&t->names, t->pieces, o->a);
        piece_map_add(&t->names, t->pieces, token.id);
    }
    token.content = t->pieces[token.id];
    t->kinds[token.id] |= (uint8_t)(PIECE_ADDED | (token.special ? PIECE_SPECIAL : 0));
    ROOM(o->a, t->added, t->added_n, t->added_cap);
    t->added[t->added_n++] = token;
    return true;
}

static bool read_added(struct opening *o, const struct json *list)
{
    if (!list || list->kind == JSON_NULL) return true;
    if (list->kind != JSON_ARRAY) return fail(o->err, "%s: added_tokens is no list", o->path);
    for (int i = 0; i < list->n; i++) {
        const struct json *entry = &list->items[i];
        struct added token = {.id = -1, .normalized = true};
        int64_t id = -1;
        if (!json_get_int(&id, entry, "id", 0, TOKENS_MOST - 1, o->path, o->err) ||
            !json_get_text(&token.content, entry, "content", o->path, o->err) ||
            !json_get_bool(&token.special, entry, "special", o->path, o->err)) return false;
        token.normalized = !token.special;
        if (!json_get_bool(&token.normalized, entry, "normalized", o->path, o->err) ||
            !json_get_bool(&token.lstrip, entry, "lstrip", o->path, o->err) ||
            !json_get_bool(&token.rstrip, entry, "rstrip", o->path, o->err) ||
            !json_get_bool(&token.single_word, entry, "single_word", o->path, o->err)) return false;
        if (id < 0) return fail(o->err, "%s: entry %d of added_tokens has no id", o->path, i);
        token.id = (int32_t)id;
        if (!add_token(o, token)) return false;
    }
    return true;
}

/* ---- the file ---- */

/* The text begins with a special token where the post-processor puts one before the sequence. */
static void read_template(struct opening *o, const struct json *post)
{
    struct tokenizer *t = o->t;
    const struct json *list = json_get(post, "processors"), *single = json_get(post, "single");
    for (int i = 0; list && list->kind == JSON_ARRAY && i < list->n && !t->adds_bos; i++) {
        const struct json *inner = json_get(&list->items[i], "single");
        if (inner) single = inner;
    }
    if (!single || single->kind != JSON_ARRAY || !single->n) return;
    const struct json *name = json_get(json_get(&single->items[0], "SpecialToken"), "id");
    if (!name || name->kind != JSON_TEXT) return;
    int32_t id = tokenizer_find(t, name->text);
    if (id < 0) return;
    t->bos = id;
    t->adds_bos = true;
}

static const struct {
    const char *type;
    bool (*read)(struct opening *o, const struct json *model, int added);
} models[] = {{"BPE", read_bpe}, {"Unigram", read_unigram}, {"bytes", read_plain_bytes}};

bool open_json(struct opening *o, const struct json *root)
{
    const struct json *model = json_get(root, "model"), *added = json_get(root, "added_tokens");
    struct text type = json_get(model, "merges") ? text_of("BPE") : text_of("");
    if (!model || model->kind != JSON_OBJECT) return fail(o->err, "%s: there is no object \"model\"", o->path);
    if (!json_get_text(&type, model, "type", o->path, o->err)) return false;
    size_t i = 0;
    while (i < COUNT(models) && !text_is(type, models[i].type)) i++;
    if (i == COUNT(models))
        return fail(o->err, "%s: the model %s is not known to hone; it reads BPE, Unigram and bytes", o->path,
                    shown(o->scratch, type));
    if (!open_steps(o, root) || !models[i].read(o, model, added && added->kind == JSON_ARRAY ? added->n : 0) ||
        !read_added(o, added)) return false;
    read_template(o, json_get(root, "post_processor"));
    return true;
}

/* ---- vocab.json with merges.txt ---- */

/* GPT-2's pair: byte-level, GPT-2's pattern; one merge a line after a line that begins with #version. */
bool open_pair(struct opening *o, const struct json *vocab, struct text merges)
{
    struct tokenizer *t = o->t;
    struct buf joined = buf_make(o->scratch);
    int64_t lines = 1, rank = 0;
    t->alphabet = true;
    t->pre[t->pre_n++] =
        (struct pre_step){.kind = PRE_SPLIT, .split = {.pattern = PATTERN_GPT2, .unicode = t->unicode}};
    t->decode[t->decode_n++] = (struct decode_step){.kind = DECODE_BYTE_LEVEL};
    t->model = MODEL_BPE;
    if (!read_vocab(o, vocab, 0)) return false;
    find_byte_pieces(t);
    read_bytes(o);
    for (size_t i = 0; i < merges.n; i++) lines += merges.p[i] == '\n';
    if (lines > TOKENS_MOST)
        return fail(o->err, "%s: %lld merges; at most %d are allowed", o->path, (long long)lines,
                    TOKENS_MOST);
    bpe_make(o, (size_t)lines);
    for (const char *p = merges.p, *end = p + merges.n, *next; p < end; p = next + 1) {
        next = memchr(p, '\n', (size_t)(end - p));
        if (!next) next = end;
        struct text line = {p, (size_t)(next - p)};
        if (line.n && line.p[line.n - 1] == '\r') line.n--;
        const char *space = memchr(line.p, ' ', line.n);
        if (!line.n || (line.n >= 8 && !memcmp(line.p, "#version", 8))) continue;
        if (!space) return merge_fails(o, rank, line, "is not two pieces with a space between them");
        struct text left = {line.p, (size_t)(space - line.p)}, right = {space + 1, line.n - left.n - 1};
        if (!read_merge(o, left, right, rank++, &joined)) return false;
    }
    bpe_finish(o);
    int32_t end = tokenizer_find(t, text_of("<|endoftext|>"));
    t->bos = t->eos = end;
    return end < 0 ||
           add_token(o, (struct added){.content = TEXT("<|endoftext|>"), .id = end, .special = true});
}
