/* tokenizer_unigram.c - the unigram model: of all ways to cut a text into pieces, the one whose
 * scores (log probabilities) add up to most, by Viterbi's algorithm over the bytes.
 *
 * SentencePiece keeps the sums in single precision, Hugging Face in double; of equal paths the one found
 * first stays. */
#include "engine/format/tokenizer_parts.h"
#include <math.h>

static const double unknown_penalty = 10;

bool unigram_make(struct opening *o, const double *scores)
{
    struct tokenizer *t = o->t;
    struct unigram *u = &t->unigram;
    size_t bytes = 0;
    double least = INFINITY, most = -INFINITY;
    u->score = NEW_N(o->a, double, t->size);
    for (int id = 0; id < t->size; id++) {
        if (!isfinite(scores[id]))
            return fail(o->err, "%s: the score of piece %s is not a finite number", o->path, shown(o->scratch, t->pieces[id]));
        u->score[id] = scores[id];
        bool counts = !t->is_spm || !(t->kinds[id] & ~PIECE_ADDED);
        if (counts && scores[id] < least) least = scores[id];
        if (counts && scores[id] > most) most = scores[id];
        bytes += t->pieces[id].n;
    }
    if (bytes >= TRIE_NODES_MOST)
        return fail(o->err, "%s: the pieces have %zu bytes together; a unigram model may have %d", o->path, bytes, TRIE_NODES_MOST - 1);
    u->single = t->is_spm;
    u->most = most;
    u->unknown_score = u->single ? (double)((float)least - (float)unknown_penalty) : least - unknown_penalty;
    trie_make(&u->trie, bytes, o->a);
    for (int id = 0; id < t->size; id++)
        if (!t->is_spm || !(t->kinds[id] & (PIECE_SPECIAL | PIECE_UNKNOWN | PIECE_BYTE | PIECE_UNUSED)))
            trie_add(&u->trie, t->pieces[id], id);
    return true;
}

/* The best path that ends here. */
struct node { double score; int32_t id; int32_t start; };

static void offer(struct node *end, double score, int32_t id, size_t start, bool single)
{
    if (end->start >= 0 && score <= end->score) return;
    *end = (struct node){single ? (double)(float)score : score, id, (int32_t)start};
}

static void best_paths(const struct tokenizer *t, struct node *nodes, struct text s)
{
    const struct unigram *u = &t->unigram;
    for (size_t i = 0, n; i < s.n; i += n) {
        int32_t code;
        bool one = false;
        n = (size_t)utf8_decode(s.p + i, s.n - i, &code);
        uint32_t at = 0;
        for (size_t k = i; k < s.n && (at = trie_step(&u->trie, at, (unsigned char)s.p[k])) != 0; k++) {
            int32_t id = u->trie.values[at];
            if (id < 0) continue;
            size_t length = k + 1 - i;
            double score = u->score[id]; /* user-defined pieces are always taken */
            if (t->kinds[id] & PIECE_USER) score = (double)((float)length * (float)u->most) - 0.1;
            offer(&nodes[k + 1], score + nodes[i].score, id, i, u->single);
            one = one || length == n;
        }
        if (!one) {
            double score = u->unknown_score + nodes[i].score;
            offer(&nodes[i + n], u->single ? (double)(float)score : score, -1, i, u->single);
        }
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
