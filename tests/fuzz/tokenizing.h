/* tokenizing.h - what must hold of any tokenizer that was opened, for the two harnesses of
 * tokenizer files. */
#ifndef HONE_TOKENIZING_H
#define HONE_TOKENIZING_H
#include "engine/format/tokenizer_parts.h"
#include "tests/fuzz/fuzz.h"

static bool ids_equal(const struct ids *x, const struct ids *y)
{
    return x->n == y->n && (x->n == 0 || memcmp(x->p, y->p, (size_t)x->n * sizeof *x->p) == 0);
}

/* Ids are of the vocabulary, encoding again gives the same ones, and decoding gives the same text
 * whole and one by one. */
static inline void check_tokens(const struct tokenizer *t, struct text s, const struct ids *ids,
                                unsigned flags, int64_t lost, struct arena *a)
{
    struct ids again = {.a = a};
    struct buf whole = buf_make(a), singly = buf_make(a);
    struct arena scratch = arena_make(0);
    struct err err;
    int64_t lost_again = 0;
    for (int64_t i = 0; i < ids->n; i++) HOLDS(ids->p[i] >= 0 && ids->p[i] < tokenizer_size(t));
    HOLDS(lost >= 0);
    HOLDS(tokenizer_encode(t, &again, s, flags, &lost_again, &scratch, &err));
    HOLDS(ids_equal(ids, &again) && lost == lost_again && scratch.used == 0);
    arena_drop(&scratch);
    for (int skip = 0; skip < 2; skip++) {
        struct decoding d = {.skip_special = skip};
        whole.n = singly.n = 0;
        tokenizer_decode(t, &whole, ids->p, ids->n, skip);
        for (int64_t i = 0; i < ids->n; i++) {
            struct buf piece = buf_make(a);
            tokenizer_decode_next(t, &d, ids->p[i], &piece);
            buf_put(&singly, piece.p ? piece.p : "", piece.n);
            HOLDS(utf8_bad(buf_text(&singly)) == singly.n);
        }
        tokenizer_decode_end(t, &d, &singly);
        HOLDS(text_equal(buf_text(&whole), buf_text(&singly)));
    }
    tokenizer_decode(t, &whole, (const int32_t[]){-1, INT32_MAX, INT32_MIN, tokenizer_size(t)}, 4,
                     false);
}

/* What it says of itself. */
static inline void check_answers(const struct tokenizer *t)
{
    HOLDS(tokenizer_size(t) >= 1 && tokenizer_size(t) <= TOKENS_MOST);
    HOLDS(tokenizer_bos(t) < tokenizer_size(t) && tokenizer_eos(t) < tokenizer_size(t));
    HOLDS(!tokenizer_adds_bos(t) || tokenizer_bos(t) >= 0);
    HOLDS(strlen(tokenizer_hash(t)) == 32);
    fuzz_sentence(tokenizer_about(t));
    for (int id = 0; id < tokenizer_size(t) && id < 2000; id++) {
        struct text piece = tokenizer_piece(t, id);
        if (t->pieces[id].p) HOLDS(tokenizer_find(t, piece) == id);
        tokenizer_special(t, id);
    }
}

/* Byte pair encoding as it is told in a sentence: of all neighbours that a merge joins, the one
 * with the lowest rank, the leftmost first, until there is none. rank gives -1 where none joins
 * them. */
struct parts {
    struct text *p;
    int n;
};
static inline void merge_naively(struct parts *s,
                                 int64_t (*rank)(void *of, struct text l, struct text r), void *of)
{
    for (;;) {
        int64_t least = -1;
        int at = 0;
        for (int i = 0; i + 1 < s->n; i++) {
            int64_t r = rank(of, s->p[i], s->p[i + 1]);
            if (r >= 0 && (least < 0 || r < least)) least = r, at = i;
        }
        if (least < 0) return;
        s->p[at].n += s->p[at + 1].n; /* neighbours lie side by side */
        s->n--;
        memmove(s->p + at + 1, s->p + at + 2, (size_t)(s->n - at - 1) * sizeof *s->p);
    }
}
static inline struct parts characters_of(struct text s, bool bytes, struct arena *a)
{
    struct parts out = {NEW_N(a, struct text, s.n), 0};
    for (size_t i = 0, n; i < s.n; i += n) {
        int32_t code;
        n = bytes ? 1 : (size_t)utf8_decode(s.p + i, s.n - i, &code);
        out.p[out.n++] = (struct text){s.p + i, n};
    }
    return out;
}
#endif
