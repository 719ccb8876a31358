/* sample.cu - one token from a row of logits, in the order of kernels.h's definition: penalty,
 * temperature, top-k, top-p, then a draw in the order of the ids. One block does it all.
 *
 * Nothing is sorted. A logit's bits, turned so that they order as unsigned numbers, are searched
 * eight at a time from the top: the value at which a count (top-k) or a share (top-p) is reached.
 * Shares are whole numbers, exp(x - most) in units of 2^-40, so that their sums are exact and the
 * order in which threads add does not matter. */
#include "kernels/cuda/element.h"

enum { SAMPLE = 1024 };

struct sample_args {
    int32_t *id;
    float *x;
    int vocab;
    struct sampling how;
    const int32_t *recent;
    int n_recent;
    uint32_t random;
};

typedef unsigned long long share; /* what atomicAdd takes */

__device__ static inline float logit(const struct sample_args &a, int i) {
    float x = a.how.temperature > 0 ? a.x[i] / a.how.temperature : a.x[i];
    return x == 0 ? 0 : x; /* -0 equals 0 */
}
__device__ static inline unsigned key_of(float x) {
    unsigned bits = __float_as_uint(x);
    return bits >> 31 ? ~bits : bits | 0x80000000U;
}
__device__ static inline share share_of(float x, float most) {
    float e = expf(x - most);
    return e > 0 ? (share)((double)e * 1099511627776.0) : 0;
}

/* A token that is named twice counts once: the thread of its first naming divides. */
__device__ static inline void penalise(const struct sample_args &a) {
    for (int i = (int)threadIdx.x; i < a.n_recent; i += SAMPLE) {
        int earlier = 0, id = a.recent[i];
        while (earlier < i && a.recent[earlier] != id) earlier++;
        if (earlier < i) continue;
        float x = a.x[id];
        a.x[id] = x > 0 ? x / a.how.repetition_penalty : x * a.how.repetition_penalty;
    }
}

/* Of all threads' values: the largest, or the sum of those before this thread and of all. */
__device__ static inline share block_largest(share v, share *between) {
    for (int with = 16; with > 0; with /= 2) {
        share other = __shfl_xor_sync(~0U, v, with);
        v = other > v ? other : v;
    }
    __syncthreads();
    if (threadIdx.x % 32 == 0) between[threadIdx.x / 32] = v;
    __syncthreads();
    for (int i = 0; i < SAMPLE / 32; i++) v = between[i] > v ? between[i] : v;
    return v;
}
__device__ static inline share block_before(share v, share *between, share *total) {
    int lane = (int)threadIdx.x % 32, warp = (int)threadIdx.x / 32;
    share sum = v, ahead = 0, all = 0;
    for (int by = 1; by < 32; by *= 2) {
        share other = __shfl_up_sync(~0U, sum, by);
        if (lane >= by) sum += other;
    }
    __syncthreads();
    if (lane == 31) between[warp] = sum;
    __syncthreads();
    for (int i = 0; i < SAMPLE / 32; i++) {
        if (i < warp) ahead += between[i];
        all += between[i];
    }
    *total = all;
    return ahead + sum - v;
}

/* What a search found: the key at which `wanted` is reached, and how much lies above it. */
struct border { unsigned key; share above; };

/* Counts (most is NULL) or shares, over the tokens with a key of `least` or more. */
__device__ static inline struct border search(const struct sample_args &a, share wanted,
                                              unsigned least, const float *most, share *heap,
                                              struct border *found) {
    struct border b = {0, 0};
    for (int shift = 24; shift >= 0; shift -= 8) {
        __syncthreads();
        if (threadIdx.x < 256) heap[threadIdx.x] = 0;
        __syncthreads();
        for (int i = (int)threadIdx.x; i < a.vocab; i += SAMPLE) {
            float x = logit(a, i);
            unsigned key = key_of(x);
            if (key < least || (shift < 24 && key >> (shift + 8) != b.key)) continue;
            share s = most ? share_of(x, *most) : 1;
            if (s) atomicAdd(&heap[key >> shift & 255], s);
        }
        __syncthreads();
        if (threadIdx.x == 0) {
            unsigned digit = 255;
            while (digit > 0 && b.above + heap[digit] < wanted) b.above += heap[digit--];
            found->key = b.key << 8 | digit;
            found->above = b.above;
        }
        __syncthreads();
        b = *found;
    }
    return b;
}

/* The tokens that may be drawn: those above a key, and of those that have it the first few. */
struct kept { unsigned key; share equals; };

__device__ static inline struct kept kept_of(const struct sample_args &a, float most, share *heap,
                                             share *between, struct border *found) {
    struct kept k = {0, ~(share)0};
    if (a.how.top_k > 0 && a.how.top_k < a.vocab)
        k.key = search(a, (share)a.how.top_k, 0, NULL, heap, found).key;
    if (a.how.top_p >= 1) return k;
    share sum = 0, all;
    for (int i = (int)threadIdx.x; i < a.vocab; i += SAMPLE) {
        float x = logit(a, i);
        if (key_of(x) >= k.key) sum += share_of(x, most);
    }
    block_before(sum, between, &all);
    share wanted = (share)ceil((double)a.how.top_p * (double)all);
    struct border b = search(a, wanted > 0 ? wanted : 1, k.key, &most, heap, found);
    unsigned bits = b.key >> 31 ? b.key & 0x7FFFFFFF : ~b.key;
    share each = share_of(__uint_as_float(bits), most),
          missing = wanted > b.above ? wanted - b.above : 1;
    k.key = b.key;
    k.equals = each ? (missing + each - 1) / each : 1;
    return k;
}

/* A thread has a stretch of ids, so that what lies before it is known from sums alone. */
__device__ static inline void draw_one(const struct sample_args &a, struct kept k, float most,
                                       share *between) {
    int size = (a.vocab + SAMPLE - 1) / SAMPLE, first = (int)threadIdx.x * size;
    int end = first + size < a.vocab ? first + size : a.vocab;
    share equals = 0, sum = 0, all;
    for (int i = first; i < end; i++) equals += key_of(logit(a, i)) == k.key;
    share rank = block_before(equals, between, &all), seen = rank;
    for (int i = first; i < end; i++) {
        unsigned key = key_of(logit(a, i));
        if (key > k.key || (key == k.key && seen++ < k.equals)) sum += share_of(logit(a, i), most);
    }
    share at = block_before(sum, between, &all);
    share wanted = (share)(((double)a.random + 0.5) / 4294967296.0 * (double)all);
    if (wanted < at || wanted >= at + sum) return;
    seen = rank;
    for (int i = first; i < end; i++) {
        unsigned key = key_of(logit(a, i));
        if (key > k.key || (key == k.key && seen++ < k.equals)) at += share_of(logit(a, i), most);
        if (at <= wanted) continue;
        *a.id = i;
        return;
    }
}

KERNEL(SAMPLE) sample_row(struct sample_args a) {
    SHARED(share, heap, [256]);
    SHARED(share, between, [SAMPLE / 32]);
    SHARED(struct border, found, [1]);
    if (a.how.repetition_penalty != 1) penalise(a);
    __syncthreads();
    share best = 0; /* the highest key, of equals the lowest id */
    for (int i = (int)threadIdx.x; i < a.vocab; i += SAMPLE) {
        share s = (share)key_of(logit(a, i)) << 32 | (unsigned)~i;
        best = s > best ? s : best;
    }
    best = block_largest(best, between);
    int likeliest = (int)~(unsigned)best;
    if (threadIdx.x == 0) *a.id = likeliest;
    if (a.how.temperature == 0) return;
    float most = logit(a, likeliest);
    struct kept k = kept_of(a, most, heap, between, found);
    __syncthreads(); /* what was written to id first stays first */
    draw_one(a, k, most, between);
}

void cuda_sample(struct device *d, int32_t *id, struct mat logits, const struct sampling *s,
                 const int32_t *recent, int n, struct draw draw) {
    const void *posted = n > 0 ? cuda_post(d, recent, (size_t)n * sizeof *recent) : NULL;
    if (n > 0 && !posted) return;
    launch(d, "sample", sample_row, 1, SAMPLE, 0,
           sample_args{id, (float *)logits.p, logits.cols, *s, (const int32_t *)posted, n,
                       kernels_random(draw, 0)});
}
