/* tokenizer_spm.c - tokenizer.model of SentencePiece: a protocol buffer, and the normaliser in it.
 *
 *     ModelProto:     1 pieces*, 2 trainer_spec, 3 normalizer_spec, 5 denormalizer_spec
 *     SentencePiece:  1 piece, 2 score (float), 3 type (1 normal, 2 unknown, 3 control, 4 user-defined,
 *                     5 unused, 6 byte)
 *     TrainerSpec:    3 model_type (1 unigram, 2 BPE), 24 treat_whitespace_as_suffix, 35 byte_fallback,
 *                     44 unk_surface, 46 bos_piece, 47 eos_piece
 *     NormalizerSpec: 2 precompiled_charsmap, 3 add_dummy_prefix, 4 remove_extra_whitespaces,
 *                     5 escape_whitespaces (all three true where absent)
 *
 * A field is a varint (number << 3 | wire type) and its value: 0 a varint, 1 eight bytes, 2 a varint and
 * as many bytes, 5 four bytes. The charsmap is a size, a double array (Darts-clone) of that many bytes
 * over what is replaced, and the replacements, each ended by a zero byte.
 * Source: google/sentencepiece, sentencepiece_model.proto, normalizer.cc, bpe_model.cc. */
#include "engine/format/tokenizer_parts.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char underline[] = "\xE2\x96\x81";

/* ---- protocol buffer ---- */

struct reader { struct opening *o; struct text file; const char *p, *end; };
struct field { uint64_t number, value; struct text bytes; bool is_bytes; };

static bool bad_field(struct reader *r, const char *why)
{
    return fail(r->o->err, "%s: no SentencePiece model: at byte %zu of %zu %s", r->o->path,
                (size_t)(r->p - r->file.p), r->file.n, why);
}

static bool varint(struct reader *r, uint64_t *v)
{
    *v = 0;
    for (int i = 0; i < 10; i++) {
        if (r->p == r->end) return bad_field(r, "a number is cut off");
        unsigned char c = (unsigned char)*r->p++;
        *v |= (uint64_t)(c & 0x7F) << (7 * i);
        if (c < 0x80) return true;
    }
    return bad_field(r, "a number has more than 10 bytes");
}

static bool next_field(struct reader *r, struct field *f)
{
    uint64_t key, n = 0;
    if (!varint(r, &key)) return false;
    *f = (struct field){.number = key >> 3, .is_bytes = (key & 7) == 2};
    switch (key & 7) {
    case 0: return varint(r, &f->value);
    case 1: n = 8; break;
    case 2: if (!varint(r, &n)) return false; break;
    case 5: n = 4; break;
    default: return bad_field(r, "a field has a wire type that is not allowed");
    }
    if (n > (uint64_t)(r->end - r->p)) return bad_field(r, "a field is longer than what is left of the file");
    f->bytes = (struct text){r->p, (size_t)n};
    if (!f->is_bytes) memcpy(&f->value, r->p, (size_t)n);
    r->p += n;
    return true;
}

static struct reader inside(const struct reader *r, struct text part)
{
    return (struct reader){r->o, r->file, part.p, part.p + part.n};
}

/* ---- pieces ---- */

struct spm_piece { struct text piece; float score; uint64_t type; };
struct spm_model {
    struct spm_piece *list;
    int n, cap;
    uint64_t model_type;
    bool byte_fallback;
    struct text bos, eos;
};

static bool read_piece(struct reader r, struct spm_piece *out)
{
    *out = (struct spm_piece){.type = 1};
    while (r.p < r.end) {
        struct field f;
        if (!next_field(&r, &f)) return false;
        uint32_t bits = (uint32_t)f.value;
        if (f.number == 1) out->piece = f.bytes;
        if (f.number == 2) memcpy(&out->score, &bits, sizeof bits);
        if (f.number == 3) out->type = f.value;
    }
    struct opening *o = r.o;
    if (!out->piece.n) return bad_field(&r, "a piece is empty");
    if (out->piece.n > TOKEN_BYTES_MOST || utf8_bad(out->piece) < out->piece.n)
        return fail(o->err, "%s: piece %s is longer than %d bytes or no UTF-8", o->path,
                    shown(o->scratch, out->piece), TOKEN_BYTES_MOST);
    if (!isfinite(out->score))
        return fail(o->err, "%s: the score of piece %s is not a finite number", o->path,
                    shown(o->scratch, out->piece));
    if (out->type < 1 || out->type > 6)
        return fail(o->err, "%s: piece %s has type %llu; 1 to 6 are known", o->path,
                    shown(o->scratch, out->piece), (unsigned long long)out->type);
    return true;
}

static bool read_trainer(struct reader r, struct spm_model *m)
{
    struct tokenizer *t = r.o->t;
    while (r.p < r.end) {
        struct field f;
        if (!next_field(&r, &f)) return false;
        if (f.number == 3) m->model_type = f.value;
        if (f.number == 24) t->spm.as_suffix = f.value != 0;
        if (f.number == 35) m->byte_fallback = f.value != 0;
        if (f.number == 44 && f.is_bytes)
            t->spm.unknown_surface = (struct text){arena_string(r.o->a, f.bytes.p, f.bytes.n), f.bytes.n};
        if (f.number == 46 && f.is_bytes) m->bos = f.bytes;
        if (f.number == 47 && f.is_bytes) m->eos = f.bytes;
    }
    return true;
}

static bool read_charsmap(struct reader *r, struct text blob)
{
    struct spm *s = &r->o->t->spm;
    uint32_t bytes;
    if (!blob.n) return true;
    if (blob.n < 4) return bad_field(r, "the normaliser is cut off");
    memcpy(&bytes, blob.p, 4);
    if (bytes % 4 || bytes < 4 || bytes >= blob.n - 4 || blob.p[blob.n - 1] != 0)
        return bad_field(r, "the normaliser's sizes do not fit");
    uint32_t *units = NEW_N(r->o->a, uint32_t, bytes / 4);
    memcpy(units, blob.p + 4, bytes);
    s->units = units;
    s->n_units = bytes / 4;
    s->n_texts = blob.n - 4 - bytes;
    s->texts = arena_string(r->o->a, blob.p + 4 + bytes, s->n_texts);
    return true;
}

static bool read_normalizer(struct reader r)
{
    struct spm *s = &r.o->t->spm;
    while (r.p < r.end) {
        struct field f;
        if (!next_field(&r, &f)) return false;
        if (f.number == 2 && !read_charsmap(&r, f.bytes)) return false;
        if (f.number == 3) s->dummy_prefix = f.value != 0;
        if (f.number == 4) s->remove_extra = f.value != 0;
        if (f.number == 5) s->escape = f.value != 0;
    }
    return true;
}

static bool read_denormalizer(struct reader r)
{
    while (r.p < r.end) {
        struct field f;
        if (!next_field(&r, &f)) return false;
        if (f.number == 2 && f.bytes.n)
            return fail(
                r.o->err,
                "%s: the model rewrites text when it decodes (denormalizer_spec), which hone does not do",
                r.o->path);
    }
    return true;
}

static bool read_model(struct opening *o, struct text file, struct spm_model *m)
{
    struct reader r = {o, file, file.p, file.p + file.n};
    while (r.p < r.end) {
        struct field f;
        if (!next_field(&r, &f)) return false;
        if (f.number >= 1 && f.number <= 5 && f.number != 4 && !f.is_bytes)
            return bad_field(&r, "a field has the wrong type");
        if (f.number == 1) {
            if (m->n == TOKENS_MOST) return fail(o->err, "%s: more than %d pieces", o->path, TOKENS_MOST);
            ROOM(o->scratch, m->list, m->n, m->cap);
            if (!read_piece(inside(&r, f.bytes), &m->list[m->n++])) return false;
        }
        if (f.number == 2 && !read_trainer(inside(&r, f.bytes), m)) return false;
        if (f.number == 3 && !read_normalizer(inside(&r, f.bytes))) return false;
        if (f.number == 5 && !read_denormalizer(inside(&r, f.bytes))) return false;
    }
    if (!m->n) return fail(o->err, "%s: no SentencePiece model: it has no pieces", o->path);
    return true;
}

static bool take_pieces(struct opening *o, const struct spm_model *m)
{
    static const uint8_t kinds[] = {0, 0, PIECE_UNKNOWN, PIECE_SPECIAL, PIECE_USER, PIECE_UNUSED, PIECE_BYTE};
    struct tokenizer *t = o->t;
    if (!grow_ids(o, m->n)) return false;
    piece_map_make(&t->names, (size_t)m->n, o->a);
    for (int id = 0; id < m->n; id++) {
        const struct spm_piece *p = &m->list[id];
        t->pieces[id] = (struct text){arena_string(o->a, p->piece.p, p->piece.n), p->piece.n};
        t->kinds[id] = kinds[p->type];
        if (!piece_map_add(&t->names, t->pieces, id))
            return fail(o->err, "%s: piece %s stands twice", o->path, shown(o->scratch, p->piece));
        if (p->type == 2 && t->unknown >= 0)
            return fail(o->err, "%s: pieces %d and %d are both the unknown piece", o->path, t->unknown, id);
        if (p->type == 2) t->unknown = id;
    }
    if (t->unknown < 0) return fail(o->err, "%s: no piece is the unknown piece", o->path);
    for (int i = 0; i < 256; i++) {
        t->byte_piece[i] =
            piece_map_find(&t->names, t->pieces, arena_printf(o->scratch, "<0x%02X>", (unsigned)i), 6);
        if (t->byte_piece[i] >= 0 && !(t->kinds[t->byte_piece[i]] & PIECE_BYTE)) t->byte_piece[i] = -1;
        if (m->byte_fallback && t->byte_piece[i] < 0)
            return fail(o->err, "%s: the model falls back to bytes, but has no byte piece <0x%02X>",
                        o->path, (unsigned)i);
    }
    return true;
}

/* ---- BPE: from scores to a table of pairs ---- */

static int by_score(const void *a, const void *b, void *list)
{
    float x = ((const struct spm_piece *)list)[*(const int32_t *)a].score;
    float y = ((const struct spm_piece *)list)[*(const int32_t *)b].score;
    return x > y ? -1 : x < y;
}

/* The best score has rank 0; equal scores have the same. */
static uint32_t *ranks_of(struct opening *o, const struct spm_model *m)
{
    int32_t *order = NEW_N(o->scratch, int32_t, m->n);
    uint32_t *ranks = NEW_N(o->scratch, uint32_t, m->n), rank = 0;
    for (int i = 0; i < m->n; i++) order[i] = i;
    qsort_r(order, (size_t)m->n, sizeof *order, by_score, m->list);
    for (int i = 0; i < m->n; i++) {
        if (i && m->list[order[i]].score != m->list[order[i - 1]].score) rank++;
        ranks[order[i]] = rank;
    }
    return ranks;
}

struct split_pair { int32_t left, right, id; };
struct pair_list { struct split_pair *list; int64_t n, cap; int32_t bytes_n, bytes_cap; };

/* The id of a part of a piece: a piece, or a character that is none, which gets an id past the last. */
static int32_t part_id(struct opening *o, struct pair_list *p, struct text part, bool is_character)
{
    struct bpe *b = &o->t->bpe;
    int32_t id = piece_map_find(&b->map, b->bytes, part.p, part.n);
    if (id >= 0 || !is_character) return id;
    ROOM(o->a, b->bytes, p->bytes_n, p->bytes_cap);
    b->bytes[p->bytes_n] = part;
    piece_map_room(&b->map, b->bytes, o->a);
    piece_map_add(&b->map, b->bytes, p->bytes_n);
    return p->bytes_n++;
}

/* Every way to cut a piece in two that its merging could have come from. */
static void cut_piece(struct opening *o, struct pair_list *p, int32_t id)
{
    struct text piece = o->t->pieces[id];
    int32_t code;
    size_t first = (size_t)utf8_decode(piece.p, piece.n, &code), n;
    for (size_t i = first; i < piece.n; i += n) {
        n = (size_t)utf8_decode(piece.p + i, piece.n - i, &code);
        int32_t left = part_id(o, p, (struct text){piece.p, i}, i == first);
        int32_t right = part_id(o, p, (struct text){piece.p + i, piece.n - i}, i + n == piece.n);
        if (left < 0 || right < 0) continue;
        ROOM(o->scratch, p->list, p->n, p->cap);
        p->list[p->n++] = (struct split_pair){left, right, id};
    }
}

static bool make_bpe(struct opening *o, const struct spm_model *m)
{
    struct tokenizer *t = o->t;
    struct bpe *b = &t->bpe;
    struct pair_list pairs = {.bytes_n = m->n, .bytes_cap = m->n};
    uint64_t work = 0;
    t->model = MODEL_BPE;
    b->bytes = NEW_N(o->a, struct text, m->n);
    b->n_bytes = m->n;
    b->byte_fallback = m->byte_fallback;
    b->late_unknown = true;
    memcpy(b->byte_id, t->byte_piece, sizeof b->byte_id);
    piece_map_make(&b->map, (size_t)m->n, o->a);
    for (int32_t id = 0; id < m->n; id++) {
        if (t->kinds[id] & PIECE_UNUSED)
            return fail(o->err, "%s: a BPE model with unused pieces, which hone does not do", o->path);
        if (t->kinds[id]) continue;
        b->bytes[id] = t->pieces[id];
        piece_map_add(&b->map, b->bytes, id);
        work += (uint64_t)t->pieces[id].n * t->pieces[id].n;
    }
    if (work >> 32) return fail(o->err, "%s: the pieces are too long for a BPE model", o->path);
    for (int32_t id = 0; id < m->n; id++)
        if (!t->kinds[id]) cut_piece(o, &pairs, id);
    const uint32_t *ranks = ranks_of(o, m);
    bpe_make(o, (size_t)pairs.n);
    for (int64_t i = 0; i < pairs.n; i++)
        bpe_pair(b, pairs.list[i].left, pairs.list[i].right, ranks[pairs.list[i].id], pairs.list[i].id);
    bpe_finish(o);
    return true;
}

static bool make_unigram(struct opening *o, const struct spm_model *m)
{
    double *scores = NEW_N(o->scratch, double, m->n);
    for (int i = 0; i < m->n; i++) scores[i] = m->list[i].score;
    o->t->model = MODEL_UNIGRAM;
    o->t->unigram.byte_fallback = m->byte_fallback;
    return unigram_make(o, scores);
}

/* Control pieces are special tokens, found where the caller asks for them; user-defined ones always. */
static bool take_special(struct opening *o, const struct spm_model *m)
{
    struct tokenizer *t = o->t;
    size_t user = 0;
    for (int32_t id = 0; id < m->n; id++) {
        struct added token = {.content = t->pieces[id], .id = id, .special = true};
        if ((t->kinds[id] & (PIECE_SPECIAL | PIECE_UNKNOWN)) && !add_token(o, token)) return false;
        if (t->kinds[id] & PIECE_USER) user += t->pieces[id].n;
    }
    t->bos = tokenizer_find(t, m->bos);
    t->eos = tokenizer_find(t, m->eos);
    if (t->bos >= 0 && !(t->kinds[t->bos] & PIECE_SPECIAL)) t->bos = -1;
    if (t->eos >= 0 && !(t->kinds[t->eos] & PIECE_SPECIAL)) t->eos = -1;
    t->adds_bos = t->bos >= 0;
    if (!user) return true;
    if (user >= TRIE_NODES_MOST)
        return fail(o->err, "%s: the user-defined pieces have %zu bytes together", o->path, user);
    t->has_user = true;
    trie_make(&t->user, user, o->a);
    for (int32_t id = 0; id < m->n; id++)
        if (t->kinds[id] & PIECE_USER) trie_add(&t->user, t->pieces[id], id);
    return true;
}

/* "IQ== 0": a rank file of tiktoken, which some models call tokenizer.model too. */
static bool is_rank_file(struct text file)
{
    static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=";
    size_t i = 0;
    while (i < file.n && i < 64 && memchr(base64, file.p[i], sizeof base64 - 1)) i++;
    return i >= 4 && i % 4 == 0 && i + 1 < file.n && file.p[i] == ' ' && file.p[i + 1] >= '0' && file.p[i + 1] <= '9';
}

bool open_spm(struct opening *o, struct text file)
{
    if (is_rank_file(file))
        return fail(o->err, "%s: this is a rank file of tiktoken, which lacks the pre-tokenizer and the special tokens; "
                    "hone reads the tokenizer.json that is published beside it", o->path);
    struct spm_model m = {.model_type = 1, .bos = TEXT("<s>"), .eos = TEXT("</s>")};
    struct tokenizer *t = o->t;
    t->is_spm = true;
    t->spm = (struct spm){.dummy_prefix = true, .remove_extra = true, .escape = true, .each_part = true,
                          .unknown_surface = TEXT(" \xE2\x81\x87 ")};
    if (!read_model(o, file, &m)) return false;
    if (m.model_type != 1 && m.model_type != 2)
        return fail(o->err, "%s: the model is of type %llu (%s); hone reads unigram (1) and BPE (2)",
                    o->path, (unsigned long long)m.model_type,
                    m.model_type == 3   ? "word"
                    : m.model_type == 4 ? "character"
                                        : "unknown");
    if (!take_pieces(o, &m)) return false;
    return (m.model_type == 2 ? make_bpe(o, &m) : make_unigram(o, &m)) && take_special(o, &m);
}

/* ---- the normaliser ---- */

static uint32_t unit_offset(uint32_t unit) { return unit >> 10 << ((unit & 1u << 9) >> 6); }

/* The longest prefix of s that the charsmap replaces: its length and the replacement, or 0. */
static size_t longest_rule(const struct spm *n, struct text s, struct text *with)
{
    size_t length = 0, at = 0;
    uint32_t value = 0;
    if (!n->n_units) return 0;
    at ^= unit_offset(n->units[0]);
    for (size_t i = 0; i < s.n; i++) {
        unsigned char byte = (unsigned char)s.p[i];
        at ^= byte;
        if (at >= n->n_units) break;
        uint32_t unit = n->units[at];
        if ((unit & (1u << 31 | 0xFF)) != byte) break;
        at ^= unit_offset(unit);
        if ((unit >> 8 & 1) && at < n->n_units) {
            value = n->units[at] & ~(1u << 31);
            length = i + 1;
        }
    }
    if (length && value < n->n_texts) *with = text_of(n->texts + value);
    return length && value < n->n_texts ? length : 0;
}

/* What the text's beginning becomes; returns how many bytes of it. */
static size_t next_part(const struct tokenizer *t, struct text s, struct text *part)
{
    size_t length;
    int32_t code;
    if (t->has_user && trie_longest(&t->user, s.p, s.n, &length) >= 0) {
        *part = (struct text){s.p, length};
        return length;
    }
    length = longest_rule(&t->spm, s, part);
    if (length) return length;
    length = (size_t)utf8_decode(s.p, s.n, &code);
    *part = code < 0 ? text_of("\xEF\xBF\xBD") : (struct text){s.p, length};
    return length;
}

static void put_escaped(const struct spm *n, struct buf *out, struct text part)
{
    for (size_t i = 0; i < part.n; i++)
        if (n->escape && part.p[i] == ' ') buf_put(out, underline, 3);
        else buf_put(out, part.p + i, 1);
}

static struct text without_leading(const struct tokenizer *t, struct text s)
{
    while (s.n) {
        struct text part = {NULL, 0};
        size_t length = next_part(t, s, &part);
        if (!text_is(part, " ")) break;
        s = (struct text){s.p + length, s.n - length};
    }
    return s;
}

void spm_normalise(const struct tokenizer *t, struct buf *out, struct text s, enum spm_part where)
{
    const struct spm *n = &t->spm;
    struct text space = n->escape ? text_of(underline) : text_of(" ");
    bool after_space = n->remove_extra && where != PART_CONTINUES;
    bool prefix = n->dummy_prefix && (where == PART_FIRST || (where == PART_LATER && n->each_part));
    if (after_space) s = without_leading(t, s);
    if (!s.n) return;
    if (prefix && !n->as_suffix) buf_put(out, space.p, space.n);
    while (s.n) {
        struct text part = {NULL, 0};
        size_t length = next_part(t, s, &part);
        while (after_space && part.n && *part.p == ' ') part = (struct text){part.p + 1, part.n - 1};
        if (part.n) {
            put_escaped(n, out, part);
            after_space = part.p[part.n - 1] == ' ';
        }
        if (!n->remove_extra) after_space = false;
        s = (struct text){s.p + length, s.n - length};
    }
    while (n->remove_extra && out->n >= space.n && !memcmp(out->p + out->n - space.n, space.p, space.n))
        out->n -= space.n;
    if (prefix && n->as_suffix) buf_put(out, space.p, space.n);
}
