/* tokenizer_unigram.c - the unigram model: of all ways to cut a text into pieces, the one whose
 * scores (log probabilities) add up to most, by Viterbi's algorithm over the bytes.
 *
 * SentencePiece's arithmetic is that of its version 0.2.3 (older ones round sums on long texts differently and
 * score user-defined pieces in another way), Hugging Face's is in double precision; of equal paths the one
 * found first stays. */
#include "engine/format/tokenizer_parts.h"
#include <math.h>

static const double unknown_penalty = 10;

/* SentencePiece keeps its sums in single precision. */
static double sum(const struct tokenizer *t, double a, double b)
{
    return t->is_spm ? (double)((float)a + (float)b) : a + b;
}

bool unigram_make(struct opening *o, const double *scores)
{
    struct tokenizer *t = o->t;
    struct unigram *u = &t->unigram;
    size_t bytes = 0;
    double least = INFINITY;
    u->score = NEW_N(o->a, double, t->size);
    for (int id = 0; id < t->size; id++) {
        if (!isfinite(scores[id]))
            return fail(o->err, "%s: the score of piece %s is not a finite number", o->path,
                        shown(o->scratch, t->pieces[id]));
        u->score[id] = scores[id];
        bool counts = !t->is_spm || !(t->kinds[id] & ~PIECE_ADDED);
        if (counts && scores[id] < least) least = scores[id];
        bytes += t->pieces[id].n;
    }
    if (bytes >= TRIE_NODES_MOST)
        return fail(o->err, "%s: the pieces have %zu bytes together; a unigram model may have %d", o->path,
                    bytes, TRIE_NODES_MOST - 1);
    u->unknown_score = sum(t, least, -unknown_penalty);
    trie_make(&u->trie, bytes, o->a);
    for (int id = 0; id < t->size; id++)
        if (!t->is_spm || !(t->kinds[id] & (PIECE_SPECIAL | PIECE_UNKNOWN | PIECE_BYTE | PIECE_UNUSED)))
            trie_add(&u->trie, t->pieces[id], id);
    return true;
}

/* The best path that ends here. */
struct node { double score; int32_t id; int32_t start; };

static void offer(struct node *end, double score, int32_t id, size_t start)
{
    if (end->start >= 0 && score <= end->score) return;
    *end = (struct node){score, id, (int32_t)start};
}

/* Only differences count, so sums that have grown large start again from zero, which keeps them exact. */
static void start_again(struct node *nodes, size_t from, size_t last)
{
    double offset = nodes[from].score;
    for (size_t i = from; i <= last; i++)
        if (nodes[i].start >= 0) nodes[i].score = (double)((float)nodes[i].score - (float)offset);
}

static void best_paths(const struct tokenizer *t, struct node *nodes, struct text s)
{
    static const double large = 100000;
    const struct unigram *u = &t->unigram;
    size_t furthest = 0;
    for (size_t i = 0, n; i < s.n; i += n) {
        int32_t code;
        bool one = false;
        n = (size_t)utf8_decode(s.p + i, s.n - i, &code);
        if (t->is_spm && fabs(nodes[i].score) > large) start_again(nodes, i, furthest);
        uint32_t at = 0;
        for (size_t k = i; k < s.n && (at = trie_step(&u->trie, at, (unsigned char)s.p[k])) != 0; k++) {
            int32_t id = u->trie.values[at];
            if (id < 0) continue;
            size_t length = k + 1 - i;
            bool user = t->kinds[id] & PIECE_USER; /* they score above all others */
            offer(&nodes[k + 1], sum(t, user ? 0.1 * (double)(length - 1) : u->score[id], nodes[i].score),
                  id, i);
            one = one || length == n;
            if (k + 1 > furthest) furthest = k + 1;
        }
        if (!one) offer(&nodes[i + n], sum(t, u->unknown_score, nodes[i].score), -1, i);
        if (!one && i + n > furthest) furthest = i + n;
    }
}

void unigram_encode(struct encoding *e, struct text piece)
{
    const struct tokenizer *t = e->t;
    struct arena_mark mark = arena_mark(e->scratch);
    struct node *nodes = NEW_N(e->scratch, struct node, piece.n + 1);
    size_t n = 0;
    for (size_t i = 0; i <= piece.n; i++) nodes[i].start = -1;
    nodes[0].start = 0;
    best_paths(t, nodes, piece);
    uint32_t *ends = NEW_N(e->scratch, uint32_t, piece.n + 1);
    for (size_t end = piece.n; end > 0; end = (size_t)nodes[end].start) ends[n++] = (uint32_t)end;
    while (n) {
        size_t end = ends[--n], start = (size_t)nodes[end].start;
        int32_t id = nodes[end].id;
        if (id >= 0 && id != t->unknown) {
            put_id(e->out, id);
            e->last_unknown = false;
        } else {
            unknown_text(e, (struct text){piece.p + start, end - start});
        }
    }
    arena_back(e->scratch, mark);
}
