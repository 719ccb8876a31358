/* tokenizer_words.c - the way by which nearly all text goes: short words that were seen before, and
 * words of other scripts in the parts that can be merged by themselves.
 *
 * A cache keeps what words of up to 15 bytes became. It outlives the call, because a data set comes
 * as many short texts. One call sits at one cache, so nothing inside is shared between threads; a
 * call that finds no free seat goes without.
 *
 * Two characters that stand side by side in no piece of the vocabulary never become part of one
 * piece, so what is before and behind such a place is merged apart. Chinese has no blanks, but its
 * words fall into parts of one or two characters that way, which the cache knows. */
#include "engine/format/tokenizer_parts.h"
#include <string.h>
#include <unistd.h>

/* The first words of a set stay; the last one makes room, and moves up when it is met again. */
enum { IDS_MOST = 4, ID_BITS = 24, WAYS = 4 };
struct word { struct word_key key; uint32_t ids[IDS_MOST]; }; /* their number in ids[0]'s highest byte */
struct word_cache { struct word *words; int shift; bool taken; };

/* Pairs of characters that some piece has side by side, by hash; and, for pieces that begin or end
 * inside of a character, by the last byte before the place and the first behind it. */
enum { PAIR_BITS = 19 };
struct joins { uint64_t pairs[(1 << PAIR_BITS) / 64], torn[256][4]; };

/* ---- places where no merge reaches across ---- */

static inline uint32_t pair_bit(int32_t left, int32_t right)
{
    uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    return (uint32_t)(key * 0x9E3779B97F4A7C15u >> (64 - PAIR_BITS));
}

static inline bool joined(const struct joins *j, int32_t left, int32_t right, const char *place)
{
    uint32_t bit = pair_bit(left, right);
    unsigned char last = (unsigned char)place[-1], first = (unsigned char)place[0];
    uint64_t known = j->pairs[bit / 64] >> bit % 64 | j->torn[last][first / 64] >> first % 64;
    return ((int)(known & 1) | (left < 0) | (right < 0)) != 0;
}

static void add_joins(struct joins *j, struct text piece)
{
    int32_t before = -1;
    for (size_t i = 0, n; i < piece.n; i += n) {
        int32_t code;
        n = (size_t)utf8_decode(piece.p + i, piece.n - i, &code);
        unsigned char first = (unsigned char)piece.p[i];
        if (i && code >= 0 && before >= 0) {
            uint32_t bit = pair_bit(before, code);
            j->pairs[bit / 64] |= (uint64_t)1 << bit % 64;
        } else if (i) {
            j->torn[(unsigned char)piece.p[i - 1]][first / 64] |= (uint64_t)1 << first % 64;
        }
        before = code;
    }
}

/* A byte without a piece is left out, or stands for the unknown piece: no cut is made beside it. */
static void keep_around(struct joins *j, unsigned char byte)
{
    memset(j->torn[byte], 0xFF, sizeof j->torn[byte]);
    for (int last = 0; last < 256; last++) j->torn[last][byte / 64] |= (uint64_t)1 << byte % 64;
}

/* ---- the cache ---- */

enum { KEY_MOST = 15, PART = 0x80 };

/* Where the text has not 16 more bytes. */
static __attribute__((noinline)) struct word_key late_key(const char *p, size_t n)
{
    uint64_t two[2] = {0, 0};
    memcpy(two, p, n);
    return (struct word_key){two[0], two[1]};
}

/* The bytes of a word, the rest zero; the highest byte is its length. `end` is where its text ends. */
static inline struct word_key key_of(const char *p, size_t n, const char *end)
{
    static const uint64_t keep[9] = {0, 0xFF, 0xFFFF, 0xFFFFFF, 0xFFFFFFFF, 0xFFFFFFFFFF,
                                     0xFFFFFFFFFFFF, 0xFFFFFFFFFFFFFF, UINT64_MAX};
    struct word_key key;
    if (end - p >= 16) {
        memcpy(&key.low, p, 8);
        memcpy(&key.high, p + 8, 8);
        key.low &= keep[n < 8 ? n : 8];
        key.high &= keep[n < 8 ? 0 : n - 8];
    } else {
        key = late_key(p, n);
    }
    key.high |= (uint64_t)n << 56;
    return key;
}

static inline struct word *set_of(const struct word_cache *c, struct word_key key)
{
    uint64_t h = (key.low ^ (key.high << 29 | key.high >> 35) * 0xD6E8FEB86659FD93u) * 0x9E3779B97F4A7C15u;
    return &c->words[(h >> c->shift) * WAYS];
}

static inline bool is_key(const struct word *w, struct word_key key)
{
    return ((w->key.low ^ key.low) | (w->key.high ^ key.high)) == 0;
}

static inline void put_word(struct ids *out, const struct word *w)
{
    uint32_t n = w->ids[0] >> ID_BITS;
    if (out->cap - out->n < IDS_MOST) {
        for (uint32_t i = 0; i < n; i++) put_id(out, (int32_t)(w->ids[i] & ((1u << ID_BITS) - 1)));
        return;
    }
    memcpy(out->p + out->n, w->ids, sizeof w->ids);
    out->p[out->n] &= (1 << ID_BITS) - 1;
    out->n += n;
}

static void keep_word(struct encoding *e, struct word *set, struct word_key key, int64_t first)
{
    int64_t n = e->out->n - first;
    if (n < 1 || n > IDS_MOST) return;
    int way = 0;
    while (way < WAYS - 1 && set[way].key.high) way++;
    set[way] = (struct word){.key = key};
    for (int64_t i = 0; i < n; i++) set[way].ids[i] = (uint32_t)e->out->p[first + i];
    set[way].ids[0] |= (uint32_t)n << ID_BITS;
}

static __attribute__((noinline)) void miss(struct encoding *e, const struct unit *u)
{
    int64_t first = e->out->n, lost = e->lost;
    struct text word = {u->p, u->n};
    if (u->part) bpe_merge(e, word);
    else word_encode(e, word);
    if (u->set && e->lost == lost && !e->last_unknown) keep_word(e, u->set, u->key, first);
}

/* Gives the units that wait to the model, in order. */
void words_flush(struct encoding *e)
{
    for (int i = 0; i < e->n_units; i++) {
        const struct unit *u = &e->units[i];
        struct word *set = u->set;
        unsigned found = 0;
        for (int way = 0; set && way < WAYS; way++) found |= (unsigned)is_key(&set[way], u->key) << way;
        if (!found) {
            miss(e, u);
            continue;
        }
        int way = __builtin_ctz(found);
        put_word(e->out, &set[way]);
        e->last_unknown = false;
        if (way == WAYS - 1) {
            struct word up = set[way];
            set[way] = set[way - 1];
            set[way - 1] = up;
        }
    }
    e->n_units = 0;
}

/* ---- words ---- */

/* Units wait a little, so that what the cache has of them is on its way when it is needed. */
static inline void put_unit(struct encoding *e, const char *p, size_t n, const char *end, bool part)
{
    struct unit *u = &e->units[e->n_units++];
    *u = (struct unit){.p = p, .n = n, .part = part};
    if (n <= KEY_MOST && e->words) {
        u->key = key_of(p, n, end);
        if (part && e->t->bpe.ignore_merges) u->key.high |= (uint64_t)PART << 56;
        u->set = set_of(e->words, u->key);
        __builtin_prefetch(u->set);
        __builtin_prefetch(u->set + 2);
    }
    if (e->n_units == UNITS_MOST) words_flush(e);
}

/* Cuts a word where no merge reaches across; false: there is no such place. A word with such a place
 * is no piece of the vocabulary either. */
static bool cut_word(struct encoding *e, const char *p, size_t n, const char *text_end)
{
    const struct joins *j = e->t->bpe.joins;
    const char *start = p, *end = p + n, *at = p;
    int32_t before, code;
    for (at += utf8_next(at, end, &before); at < end;) {
        int length = utf8_next(at, end, &code);
        if (!joined(j, before, code, at)) {
            put_unit(e, start, (size_t)(at - start), text_end, true);
            start = at;
        }
        before = code;
        at += length;
    }
    if (start == p) return false;
    put_unit(e, start, (size_t)(end - start), text_end, true);
    return true;
}

void words_put(struct encoding *e, const char *p, size_t n, const char *end, bool plain)
{
    if (plain || !e->t->bpe.joins || !cut_word(e, p, n, end)) put_unit(e, p, n, end, false);
}

void words_split(struct encoding *e, const struct split *split, struct text s)
{
    const char *p = s.p, *end = s.p + s.n;
    for (size_t n; p < end; p += n) {
        if ((n = split_plain(p, end)) != 0) {
            put_unit(e, p, n, end, false);
            continue;
        }
        n = split_scan(split, p, end);
        bool wide = (unsigned char)p[0] >= 0x80 || (n > 1 && (unsigned char)p[1] >= 0x80);
        words_put(e, p, n, end, !wide);
    }
    words_flush(e);
}

/* ---- seats ---- */

void words_make(struct opening *o)
{
    enum { SEATS_MOST = 16, SETS_LEAST = 64, SETS_MOST = 8192 };
    struct bpe *b = &o->t->bpe;
    int sets = SETS_LEAST, bits = 6;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    while (sets < SETS_MOST && sets * 16 < o->t->size) sets *= 2, bits++;
    b->seats = cores < 1 ? 1 : cores > SEATS_MOST ? SEATS_MOST : (int)cores;
    b->words = NEW_N(o->a, struct word_cache, b->seats);
    for (int i = 0; i < b->seats; i++)
        b->words[i] = (struct word_cache){NEW_N(o->a, struct word, sets * WAYS), 64 - bits, false};
    if (!b->byte_level) return;
    b->joins = NEW(o->a, struct joins);
    for (int id = 0; id < b->n_bytes; id++) add_joins(b->joins, b->bytes[id]);
    for (int byte = 0; byte < 256; byte++)
        if (b->byte_id[byte] < 0) keep_around(b->joins, (unsigned char)byte);
}

/* A free cache, or none. */
void words_sit(struct encoding *e)
{
    const struct bpe *b = &e->t->bpe;
    for (int i = 0; i < b->seats && !e->words; i++)
        if (!__atomic_test_and_set(&b->words[i].taken, __ATOMIC_ACQUIRE)) e->words = &b->words[i];
}

void words_leave(struct encoding *e)
{
    if (e->words) __atomic_clear(&e->words->taken, __ATOMIC_RELEASE);
    e->words = NULL;
}
