/* attention.h - what the kernels of attention share: their arguments, and how a block finds its
 * sequence. Borders of sequences are read on the device, so grids depend on counts alone. */
#ifndef HONE_CUDA_ATTENTION_H
#define HONE_CUDA_ATTENTION_H
#include "kernels/cuda/tiles.h"

#define LOG2_E 1.4426950408889634F

struct attend {
    struct mat q, k, v, o;
    float *lse;                      /* [rows, heads], or NULL */
    const int32_t *sq, *sk;          /* on the device: borders of queries and of keys */
    int n, heads, group, head_dim;   /* sequences; query heads that share a key head */
    float scale;
    bool q_copies, k_copies;         /* asynchronously: q and d_o, k and v */
};

/* What the backward pass has besides; delta is [rows, heads]: the dot of d_o and o. */
struct attend_back { struct mat dq, dk, dv, d_o; float *delta; };

/* A piece of a sequence: rows [first, end) of queries, of which this begins at first + from; keys
 * [key, key + keys) and how many more keys than queries there are. */
struct piece { int first, end, from, key, keys, ahead; };

__device__ static inline void piece_of(const struct attend &a, int s, struct piece *p) {
    p->first = a.sq[s], p->end = a.sq[s + 1];
    p->key = a.sk[s], p->keys = a.sk[s + 1] - a.sk[s];
    p->ahead = p->keys - (p->end - p->first);
}

/* The sequence of a row: the last one that begins at it or before, of those that are not empty. */
__device__ static inline int sequence_of_row(const int32_t *start, int n, int row) {
    int low = 0, high = n;
    while (high - low > 1) {
        int middle = (low + high) / 2;
        if (start[middle] <= row) low = middle;
        else high = middle;
    }
    return low;
}

/* Tile `index` of all sequences' tiles of `size` rows, those of a sequence from its end on, since
 * they have most to do. false: there are not so many. A warp looks at 32 sequences at a time. */
__device__ static inline bool tile_find(const struct attend &a, int index, int size,
                                        struct piece *p) {
    int lane = (int)threadIdx.x % 32, before = 0;
    for (int first = 0; first < a.n; first += 32) {
        int s = first + lane, sum = s < a.n ? (a.sq[s + 1] - a.sq[s] + size - 1) / size : 0;
        for (int by = 1; by < 32; by *= 2) {
            int other = __shfl_up_sync(~0U, sum, by);
            if (lane >= by) sum += other;
        }
        unsigned reached = __ballot_sync(~0U, before + sum > index);
        if (reached) {
            int at = __ffs((int)reached) - 1;
            int last = before + __shfl_sync(~0U, sum, at) - 1; /* of this sequence's tiles */
            piece_of(a, first + at, p);
            p->from = (last - index) * size;
            return true;
        }
        before += __shfl_sync(~0U, sum, 31);
    }
    return false;
}

/* The plain kernels take any types; the tensor kernels BF16 everywhere. */
void attention_plain(struct device *, const struct attend &, int rows, int longest);
void attention_tensor(struct device *, const struct attend &, int rows);
void attention_plain_back(struct device *, const struct attend &, const struct attend_back &,
                          int rows);
void attention_tensor_back(struct device *, const struct attend &, const struct attend_back &,
                           int rows);
#endif
