/* choose.c - which documents of a source a stage sees, in which order, and in which bin.
 *
 * Every choice is a function of (seed, source, pass, document): there is no state, so the same
 * stage is the same list on every machine and after every resume. */
#include "engine/data/stream.h"
#include <stdlib.h>
#include <string.h>

void shuffle_parts(struct part_of *list, int64_t n, uint64_t seed)
{
    for (int64_t i = n - 1; i > 0; i--) {
        int64_t k = (int64_t)(rand_at(seed, (uint64_t)i) % (uint64_t)(i + 1));
        struct part_of t = list[i];
        list[i] = list[k];
        list[k] = t;
    }
}

/* The documents of one side of the hold-out, in file order. */
static struct part_of *all_of(const struct source *source, int number, bool held, int64_t *n,
                              const struct data_settings *s, struct arena *a)
{
    const struct token_cache *c = source->cache;
    int64_t most = 0;
    for (int64_t i = 0; i < c->n_documents; i++) most += document_pieces(c, i, s);
    struct part_of *list = NEW_N(a, struct part_of, most);
    *n = 0;
    for (int64_t i = 0; i < c->n_documents; i++) {
        int32_t tokens = document_taken(c, i, s), from = 0;
        if (c->held[i] != held || tokens == 0) continue;
        for (int32_t left = document_pieces(c, i, s); left > 0; left--) {
            int32_t piece = (tokens - from) / left;
            list[(*n)++] = (struct part_of){number, (int32_t)i, from, piece};
            from += piece;
        }
    }
    return list;
}

static void take(struct chosen *out, struct part_of part, struct arena *a)
{
    ROOM(a, out->list, out->n, out->cap);
    out->list[out->n++] = part;
}

void choose(struct chosen *out, const struct source *source, int number, bool held, int64_t tokens,
            bool shuffle, uint64_t seed, const struct data_settings *s, struct arena *a)
{
    struct arena scratch = arena_make(0);
    int64_t n;
    struct part_of *list = all_of(source, number, held, &n, s, &scratch);
    struct part_of *pass = NEW_N(&scratch, struct part_of, n);
    *out = (struct chosen){0};
    for (uint64_t p = 0; n > 0 && tokens > 0; p++) {
        memcpy(pass, list, (size_t)n * sizeof *list);
        if (shuffle) shuffle_parts(pass, n, rand_at(seed, p));
        for (int64_t i = 0; i < n && tokens > 0; i++) {
            if (pass[i].n > tokens && pass[i].n - tokens >= tokens && out->n > 0) {
                tokens = 0; /* leaving it out is nearer to the share than taking it */
                break;
            }
            take(out, pass[i], a);
            tokens -= pass[i].n;
        }
    }
    arena_drop(&scratch);
}

/* A document on its way into a bin. */
struct dealt {
    int64_t index;
    int32_t category, n;
    uint64_t lot;
};

static int by_category_and_length(const void *x, const void *y)
{
    const struct dealt *a = x, *b = y;
    if (a->category != b->category) return a->category < b->category ? -1 : 1;
    if (a->n != b->n) return a->n > b->n ? -1 : 1;
    if (a->lot != b->lot) return a->lot < b->lot ? -1 : 1;
    return a->index < b->index ? -1 : a->index > b->index;
}

/* The bin with the least of this category; of equal ones that with the least of all. */
static int lightest(const int64_t *of_category, const int64_t *of_all, int bins)
{
    int best = 0;
    for (int b = 1; b < bins; b++)
        if (of_category[b] < of_category[best] ||
            (of_category[b] == of_category[best] && of_all[b] < of_all[best]))
            best = b;
    return best;
}

void deal(int32_t *bin, const struct chosen *list, const struct source *source, int bins,
          struct arena *scratch)
{
    struct arena_mark m = arena_mark(scratch);
    struct dealt *order = NEW_N(scratch, struct dealt, list->n);
    int64_t *of_category = NEW_N(scratch, int64_t, bins), *of_all = NEW_N(scratch, int64_t, bins);
    bool one_category = source->spec.category && source->spec.category[0];
    for (int64_t i = 0; i < list->n; i++) {
        const struct document *d = &source->cache->documents[list->list[i].document];
        order[i] = (struct dealt){i, one_category ? 0 : d->category, list->list[i].n,
                                  rand_at(d->hash, (uint64_t)i)};
    }
    if (list->n) qsort(order, (size_t)list->n, sizeof *order, by_category_and_length);
    for (int64_t i = 0; i < list->n; i++) {
        if (i > 0 && order[i].category != order[i - 1].category)
            memset(of_category, 0, (size_t)bins * sizeof *of_category);
        int b = lightest(of_category, of_all, bins);
        of_category[b] += order[i].n;
        of_all[b] += order[i].n;
        bin[order[i].index] = b;
    }
    arena_back(scratch, m);
}
