/* stream.h - private: what a stream is made of. */
#ifndef HONE_DATA_STREAM_H
#define HONE_DATA_STREAM_H
#include "engine/data/tokens.h"

/* A document, or a piece of one, in the order it was chosen. */
struct part_of {
    int32_t source, document;    /* number in the mix; number in the source */
    int32_t from, n;             /* tokens */
};

/* The list of parts of all windows; window w is parts first[w] .. first[w+1]-1. */
struct windows {
    struct arena *a;
    struct part_of *parts; int64_t n_parts, cap_parts;
    int64_t *first, n, cap;
};
void windows_start(struct windows *w, struct arena *a);
void windows_add(struct windows *w, struct part_of part);
void windows_end_one(struct windows *w);

/* Appends the windows that hold `n` documents; each of them is whole, shuffled or in order as wanted. */
void pack(struct windows *out, enum packing_kind kind, const struct part_of *documents, int64_t n,
          int max_length, int64_t *cut, struct arena *scratch);

/* Which documents a stage sees: `tokens[i]` of source i, whole passes first, then the best part of one. */
struct chosen { struct part_of *list; int64_t n, cap; };
void choose(struct chosen *out, const struct source *source, int number, bool held, int64_t tokens,
            bool shuffle, uint64_t seed, const struct data_settings *s, struct arena *a);
/* Deals documents of one source into bins of equal token mass, with the same mix of categories and lengths.
 * bin[i] is where list[i] goes. */
void deal(int32_t *bin, const struct chosen *list, const struct source *source, int bins,
          struct arena *scratch);

/* A permutation of 0..n-1 in place, by stream `seed`. */
void shuffle_parts(struct part_of *list, int64_t n, uint64_t seed);

struct stream_plan {
    struct mix *mix; int n_mix;
    const struct tokenizer *tokenizer;
    struct windows windows;
    int64_t *trained;            /* [windows + 1] sums of labels before each window */
};
#endif
