/* tokenizer_bpe.c - byte pair encoding: the pair of neighbours with the lowest rank becomes one piece,
 * the leftmost first, until no pair is in the table. SentencePiece's BPE is the same with the piece's
 * score as rank, so one table serves both.
 *
 * A piece that its own merges give back is looked up whole; short texts are merged by scanning all
 * pairs, long ones with a heap, so that a text of one letter a million times takes n log n. */
#include "engine/format/tokenizer_parts.h"
#include <string.h>

/* ---- the table of pairs ---- */

static inline uint64_t key_of(int32_t left, int32_t right)
{
    return ((uint64_t)(uint32_t)left << 32 | (uint32_t)right) + 1;
}

static inline uint64_t hash_of(uint64_t key) { return key * 0x9E3779B97F4A7C15u; }

static inline struct pair_slot *pair_of(const struct bpe *b, uint64_t key, uint64_t h)
{
    for (size_t i = (size_t)(h ^ h >> 32) & b->pairs.mask;; i = (i + 1) & b->pairs.mask)
        if (b->pairs.slots[i].key == key || !b->pairs.slots[i].key) return &b->pairs.slots[i];
}

/* The later of two equal pairs counts, as in Hugging Face's. */
void bpe_pair(struct bpe *b, int32_t left, int32_t right, uint32_t rank, int32_t id)
{
    uint64_t key = key_of(left, right), h = hash_of(key), bit = h >> b->pairs.maybe_shift;
    *pair_of(b, key, h) = (struct pair_slot){key, rank, id};
    b->pairs.maybe[bit / 64] |= (uint64_t)1 << bit % 64;
}

/* ---- merging ---- */

/* rank << 32 | id, or NONE. */
#define NONE UINT64_MAX
static inline uint64_t look(const struct bpe *b, int32_t left, int32_t right)
{
    if (left < 0 || right < 0) return NONE;
    uint64_t key = key_of(left, right), h = hash_of(key), bit = h >> b->pairs.maybe_shift;
    if (!(b->pairs.maybe[bit / 64] >> bit % 64 & 1)) return NONE;
    const struct pair_slot *s = pair_of(b, key, h);
    return s->key ? (uint64_t)s->rank << 32 | (uint32_t)s->id : NONE;
}

/* The symbols of a piece: ids and where each begins. */
struct symbols { int32_t *id; uint32_t *at; int64_t n, cap; struct arena *a; };
enum { FEW = 96 };

static void put_symbol(struct symbols *s, int32_t id, size_t at)
{
    s->id[s->n] = id;
    s->at[s->n++] = (uint32_t)at;
}

static void merge_few(const struct bpe *b, struct symbols *s)
{
    uint64_t pair[FEW];
    int n = (int)s->n;
    for (int i = 0; i + 1 < n; i++) pair[i] = look(b, s->id[i], s->id[i + 1]);
    for (;;) {
        uint64_t best = NONE;
        int at = 0;
        for (int i = 0; i + 1 < n; i++)
            if (pair[i] >> 32 < best >> 32) best = pair[i], at = i;
        if (best == NONE) break;
        s->id[at] = (int32_t)(uint32_t)best;
        size_t rest = (size_t)(n - at - 2);
        memmove(s->id + at + 1, s->id + at + 2, rest * sizeof *s->id);
        memmove(s->at + at + 1, s->at + at + 2, rest * sizeof *s->at);
        memmove(pair + at, pair + at + 1, rest * sizeof *pair);
        n--;
        if (at) pair[at - 1] = look(b, s->id[at - 1], s->id[at]);
        if (at + 1 < n) pair[at] = look(b, s->id[at], s->id[at + 1]);
    }
    s->n = n;
}

/* A merge that may be done: the smallest order first, which is rank, then place. */
struct candidate { uint64_t order; int32_t left, right, id; };
struct heap { struct candidate *p; int64_t n; };

static void sift_down(struct heap *h, int64_t i)
{
    struct candidate c = h->p[i];
    for (int64_t child; (child = 2 * i + 1) < h->n; i = child) {
        if (child + 1 < h->n && h->p[child + 1].order < h->p[child].order) child++;
        if (h->p[child].order >= c.order) break;
        h->p[i] = h->p[child];
    }
    h->p[i] = c;
}

static void heap_put(struct heap *h, struct candidate c)
{
    int64_t i = h->n++;
    for (; i && h->p[(i - 1) / 2].order > c.order; i = (i - 1) / 2) h->p[i] = h->p[(i - 1) / 2];
    h->p[i] = c;
}

static bool candidate_at(const struct bpe *b, const int32_t *id, int64_t left, int64_t right,
                         struct candidate *c)
{
    uint64_t pair = look(b, id[left], id[right]);
    if (pair == NONE) return false;
    *c = (struct candidate){pair >> 32 << 32 | (uint64_t)left, id[left], id[right], (int32_t)(uint32_t)pair};
    return true;
}

/* Symbols form a list; a merge keeps the left one's place. A candidate whose symbols have changed is
 * passed over. At most one candidate a merge is added on each side, so the heap stays below 3 n. */
static void merge_many(const struct bpe *b, struct symbols *s, struct arena *scratch)
{
    struct arena_mark mark = arena_mark(scratch);
    int64_t n = s->n;
    int32_t *next = NEW_N(scratch, int32_t, n), *before = NEW_N(scratch, int32_t, n);
    struct heap h = {NEW_N(scratch, struct candidate, 3 * n), 0};
    for (int64_t i = 0; i < n; i++) {
        next[i] = i + 1 < n ? (int32_t)i + 1 : -1;
        before[i] = (int32_t)i - 1;
        if (i + 1 < n && candidate_at(b, s->id, i, i + 1, &h.p[h.n])) h.n++;
    }
    for (int64_t i = h.n / 2 - 1; i >= 0; i--) sift_down(&h, i);
    while (h.n) {
        struct candidate c = h.p[0];
        h.p[0] = h.p[--h.n];
        if (h.n) sift_down(&h, 0);
        int32_t left = (int32_t)(uint32_t)c.order, right = next[left];
        if (right < 0 || s->id[left] != c.left || s->id[right] != c.right) continue;
        s->id[left] = c.id;
        s->id[right] = -2; /* gone */
        next[left] = next[right];
        if (next[left] >= 0) before[next[left]] = left;
        if (before[left] >= 0 && candidate_at(b, s->id, before[left], left, &c)) heap_put(&h, c);
        if (next[left] >= 0 && candidate_at(b, s->id, left, next[left], &c)) heap_put(&h, c);
    }
    int64_t kept = 0;
    for (int64_t i = 0; i >= 0; i = next[i]) {
        s->id[kept] = s->id[i];
        s->at[kept++] = s->at[i];
    }
    s->n = kept;
    arena_back(scratch, mark);
}

/* ---- a piece as symbols ---- */

void unknown_text(struct encoding *e, struct text t)
{
    const struct tokenizer *x = e->t;
    bool bytes = x->model == MODEL_UNIGRAM ? x->unigram.byte_fallback : x->bpe.byte_fallback;
    for (size_t i = 0; bytes && i < t.n; i++) bytes = x->byte_piece[(unsigned char)t.p[i]] >= 0;
    for (size_t i = 0; bytes && i < t.n; i++) put_id(e->out, x->byte_piece[(unsigned char)t.p[i]]);
    if (bytes) return;
    if (x->unknown < 0) e->lost += (int64_t)t.n;
    else if (!e->last_unknown) put_id(e->out, x->unknown);
    e->last_unknown = x->unknown >= 0;
}

/* Hugging Face's rule for the unknown piece: it waits until the next known character. */
struct waiting { bool is; size_t at; };

static void unknown_symbol(struct encoding *e, struct symbols *s, struct text c, size_t at, struct waiting *w)
{
    const struct bpe *b = &e->t->bpe;
    if (e->t->unknown < 0) {
        e->lost += (int64_t)c.n;
        return;
    }
    if (w->is && b->fuse_unknown) return;
    if (w->is) put_symbol(s, e->t->unknown, w->at);
    *w = (struct waiting){true, at};
}

static void byte_symbols(struct encoding *e, struct symbols *s, struct text piece)
{
    const struct bpe *b = &e->t->bpe;
    struct waiting w = {false, 0};
    for (size_t i = 0; i < piece.n; i++) {
        int32_t id = b->byte_id[(unsigned char)piece.p[i]];
        if (id < 0) {
            unknown_symbol(e, s, (struct text){piece.p + i, 1}, i, &w);
            continue;
        }
        if (w.is) put_symbol(s, e->t->unknown, w.at);
        w.is = false;
        put_symbol(s, id, i);
    }
    if (w.is) put_symbol(s, e->t->unknown, w.at);
}

static int32_t character_id(const struct bpe *b, const char *p, size_t n)
{
    return n == 1 && (unsigned char)*p < 128 ? b->ascii_id[(unsigned char)*p]
                                             : piece_map_find(&b->map, b->bytes, p, n);
}

static void character_symbols(struct encoding *e, struct symbols *s, struct text piece)
{
    const struct bpe *b = &e->t->bpe;
    struct waiting w = {false, 0};
    for (size_t i = 0, n; i < piece.n; i += n) {
        int32_t code;
        n = (size_t)utf8_decode(piece.p + i, piece.n - i, &code);
        int32_t id = character_id(b, piece.p + i, n);
        if (id >= 0 || b->late_unknown) {
            if (w.is) put_symbol(s, e->t->unknown, w.at);
            w.is = false;
            put_symbol(s, id, i);
            continue;
        }
        size_t k = 0;
        while (b->byte_fallback && k < n && b->byte_id[(unsigned char)piece.p[i + k]] >= 0) k++;
        if (k == n) for (k = 0; k < n; k++) put_symbol(s, b->byte_id[(unsigned char)piece.p[i + k]], i + k);
        else unknown_symbol(e, s, (struct text){piece.p + i, n}, i, &w);
    }
    if (w.is) put_symbol(s, e->t->unknown, w.at);
}

/* Symbols as ids. For SentencePiece what is still unknown is settled now. */
static void put_symbols(struct encoding *e, const struct symbols *s, struct text piece)
{
    const struct tokenizer *t = e->t;
    for (int64_t i = 0; i < s->n; i++) {
        bool known = s->id[i] >= 0 && s->id[i] < t->size;
        if (known) {
            put_id(e->out, s->id[i]);
            e->last_unknown = false;
        } else {
            size_t end = i + 1 < s->n ? s->at[i + 1] : piece.n;
            unknown_text(e, (struct text){piece.p + s->at[i], end - s->at[i]});
        }
    }
}

void bpe_merge(struct encoding *e, struct text piece)
{
    const struct bpe *b = &e->t->bpe;
    int32_t few_ids[FEW];
    uint32_t few_at[FEW];
    struct symbols s = {.id = few_ids, .at = few_at};
    struct arena_mark mark = arena_mark(e->scratch);
    if (piece.n > FEW) {
        s.id = NEW_N(e->scratch, int32_t, piece.n);
        s.at = NEW_N(e->scratch, uint32_t, piece.n);
    }
    if (b->byte_level) byte_symbols(e, &s, piece);
    else character_symbols(e, &s, piece);
    if (s.n > FEW) merge_many(b, &s, e->scratch);
    else if (s.n) merge_few(b, &s);
    put_symbols(e, &s, piece);
    arena_back(e->scratch, mark);
}

enum { NOT_ASKED, WHOLE, NOT_WHOLE };

/* What is learnt about a piece is the same for every thread, so a relaxed byte is enough. */
void word_encode(struct encoding *e, struct text piece)
{
    const struct bpe *b = &e->t->bpe;
    int32_t id = piece.n <= b->longest ? piece_map_find(&b->map, b->bytes, piece.p, piece.n) : -1;
    if (id < 0 || id >= e->t->size) {
        bpe_merge(e, piece);
        return;
    }
    int known = b->ignore_merges ? WHOLE : __atomic_load_n(&b->whole[id], __ATOMIC_RELAXED);
    if (known == WHOLE) {
        put_id(e->out, id);
        e->last_unknown = false;
        return;
    }
    if (known == NOT_WHOLE) {
        bpe_merge(e, piece);
        return;
    }
    int64_t n = e->out->n, lost = e->lost;
    bpe_merge(e, piece);
    bool whole = e->out->n == n + 1 && e->out->p[n] == id && e->lost == lost;
    __atomic_store_n(&b->whole[id], whole ? WHOLE : NOT_WHOLE, __ATOMIC_RELAXED);
}

static bool at_underline(const char *p, size_t n) { return n >= 3 && !memcmp(p, "\xE2\x96\x81", 3); }

/* Where no piece holds a space behind another character, words cannot merge with each other: a cut is
 * made before each run of U+2581. */
void bpe_encode(struct encoding *e, struct text piece)
{
    if (!e->t->bpe.by_words) {
        if (piece.n) words_put(e, piece.p, piece.n, piece.p + piece.n, false);
        words_flush(e);
        return;
    }
    for (size_t start = 0, i = 0; start < piece.n; start = i) {
        while (at_underline(piece.p + i, piece.n - i)) i += 3;
        while (i < piece.n && !at_underline(piece.p + i, piece.n - i)) {
            const char *next = memchr(piece.p + i + 1, 0xE2, piece.n - i - 1);
            i = next ? (size_t)(next - piece.p) : piece.n;
        }
        words_put(e, piece.p + start, i - start, piece.p + piece.n, true);
    }
    words_flush(e);
}

/* ---- making ---- */

void bpe_make(struct opening *o, size_t pairs)
{
    struct bpe *b = &o->t->bpe;
    size_t n = 16;
    int bits = 5;
    while (n < pairs * 2) n *= 2, bits++;
    b->pairs.slots = NEW_N(o->a, struct pair_slot, n);
    b->pairs.mask = n - 1;
    b->pairs.maybe = NEW_N(o->a, uint64_t, (((size_t)1 << bits) + 63) / 64); /* 4 to 8 bits a pair */
    b->pairs.maybe_shift = 64 - bits;
    b->whole = NEW_N(o->a, uint8_t, o->t->size + 1);
}

/* A piece holds U+2581 behind another character. */
static bool joins_words(struct text piece)
{
    size_t i = 0;
    while (at_underline(piece.p + i, piece.n - i)) i += 3;
    return i < piece.n && memmem(piece.p + i, piece.n - i, "\xE2\x96\x81", 3) != NULL;
}

void bpe_finish(struct opening *o)
{
    struct bpe *b = &o->t->bpe;
    const struct tokenizer *t = o->t;
    b->longest = 0;
    b->all_bytes = true;
    for (int i = 0; i < 256; i++) b->all_bytes = b->all_bytes && b->byte_id[i] >= 0;
    b->by_words = !b->byte_level && !b->ignore_merges &&
                  piece_map_find(&b->map, b->bytes, "\xE2\x96\x81", 3) >= 0 &&
                  (b->late_unknown || !b->byte_fallback || b->all_bytes);
    for (int id = 0; id < t->size; id++) {
        if (b->bytes[id].n > b->longest) b->longest = b->bytes[id].n;
        if (b->by_words && b->bytes[id].n && joins_words(b->bytes[id])) b->by_words = false;
    }
    for (int c = 0; c < 128; c++) {
        char one = (char)c;
        b->ascii_id[c] = piece_map_find(&b->map, b->bytes, &one, 1);
    }
    words_make(o);
}
