/* update.cu - the norm of the gradients, clipping, the guards, and AdamW over the flat table of
 * slots.
 *
 * Slots are cut into chunks from their first element on; a block has a chunk. Which slot a chunk
 * lies in is found in a table of where each slot's chunks begin, which one block adds up first, so
 * that the host's rows are all that has to be posted. */
#include "kernels/cuda/moments.h"

enum { CHUNK = 16384, UPDATE = 256, WALK = 1024 };

/* In the workspace: chunk[i] and before[i] are the chunks and elements of all slots before slot i;
 * behind them a double for each chunk. */
struct walk {
    const struct slot *slots;
    int n;
    int64_t *before, *chunk;
    double *sums;
    unsigned chunks;
};

static bool walk_of(struct device *d, const struct slot *slots, int n,
                    struct walk *w) {
    int64_t chunks = 0;
    for (int i = 0; i < n; i++) chunks += (slots[i].n + CHUNK - 1) / CHUNK;
    if (chunks == 0) return false;
    if ((int64_t)(n + 1) * 16 + chunks * 8 > CUDA_SCRATCH || chunks > INT32_MAX) {
        cuda_fault(d, "an update of more slots or elements than the workspace can count", 0);
        return false;
    }
    w->slots = (const struct slot *)cuda_post(d, slots, (size_t)n * sizeof *slots);
    w->n = n;
    w->before = (int64_t *)d->workspace;
    w->chunk = w->before + n + 1;
    w->sums = (double *)(w->chunk + n + 1);
    w->chunks = (unsigned)chunks;
    return w->slots != NULL;
}

/* The sum of v over the threads before this one; total: over all. */
template <class T>
__device__ static inline T block_before(T v, T *between, T *total) {
    int lane = (int)threadIdx.x % 32, warp = (int)threadIdx.x / 32, warps = (int)blockDim.x / 32;
    T sum = v, ahead = 0, all = 0;
    for (int by = 1; by < 32; by *= 2) {
        T other = __shfl_up_sync(~0U, sum, by);
        if (lane >= by) sum += other;
    }
    __syncthreads(); /* a former sum may still be read */
    if (lane == 31) between[warp] = sum;
    __syncthreads();
    for (int i = 0; i < warps; i++) {
        if (i < warp) ahead += between[i];
        all += between[i];
    }
    *total = all;
    return ahead + sum - v;
}

KERNEL(WALK) walk_slots(struct walk w) {
    SHARED(int64_t, between, [WALK / 32]);
    int64_t elements = 0, chunks = 0, all;
    for (int first = 0; first <= w.n; first += WALK) {
        int i = first + (int)threadIdx.x;
        int64_t n = i < w.n ? w.slots[i].n : 0, c = (n + CHUNK - 1) / CHUNK;
        int64_t before = elements + block_before(n, between, &all);
        elements += all;
        int64_t chunk = chunks + block_before(c, between, &all);
        chunks += all;
        if (i <= w.n) w.before[i] = before, w.chunk[i] = chunk;
    }
}

/* The slot of a chunk: the last whose chunks begin at it or before and that has any. */
__device__ static inline int slot_of(const struct walk &w, int64_t chunk) {
    int low = 0, high = w.n;
    while (high - low > 1) {
        int middle = (low + high) / 2;
        if (w.chunk[middle] <= chunk) low = middle;
        else high = middle;
    }
    return low;
}

__device__ static inline bool aligned(const void *p) { return (uintptr_t)p % 16 == 0; }

/* ---- the sum of squares ---- */

KERNEL(UPDATE) chunk_squares(struct walk w) {
    SHARED(double, between, [UPDATE / 32]);
    int s = slot_of(w, (int64_t)blockIdx.x);
    struct slot slot = w.slots[s];
    int64_t first = ((int64_t)blockIdx.x - w.chunk[s]) * CHUNK,
            end = slot.n < first + CHUNK ? slot.n : first + CHUNK;
    bool is_wide = aligned(slot.g);
    double sum = 0;
    for (int64_t i = first + (int64_t)threadIdx.x * WIDE; i < end; i += UPDATE * WIDE) {
        float g[WIDE], squares = 0;
        int n = end - i < WIDE ? (int)(end - i) : WIDE;
        moments_take(g, slot.g, slot.gradient, 0, i, n, is_wide && n == WIDE, false);
        for (int j = 0; j < WIDE; j++) squares += g[j] * g[j];
        sum += (double)squares;
    }
    sum = block_sum(sum, between);
    if (threadIdx.x == 0) w.sums[blockIdx.x] = sum;
}

KERNEL(1024) add_squares(struct block *block, const double *sums, unsigned n) {
    SHARED(double, between, [32]);
    double sum = 0;
    for (unsigned i = threadIdx.x; i < n; i += 1024) sum += sums[i];
    sum = block_sum(sum, between);
    if (threadIdx.x == 0) block->sumsq += sum;
}

void cuda_sumsq(struct device *d, struct block *block, const struct slot *slots, int n) {
    struct walk w;
    if (!walk_of(d, slots, n, &w)) return;
    launch(d, "sumsq", walk_slots, 1, WALK, 0, w);
    launch(d, "sumsq", chunk_squares, w.chunks, UPDATE, 0, w);
    launch(d, "sumsq", add_squares, 1, 1024, 0, block, (const double *)w.sums, w.chunks);
}

KERNEL(1) clip_block(struct block *block) {
    double norm = sqrt(block->sumsq), mean = block->loss * (double)block->inv_trained,
           most = (double)block->max_norm;
    bool finite = fabs(norm) <= 1.7976931348623157e308 && fabs(mean) <= 1.7976931348623157e308;
    bool over = (block->norm_limit > 0 && norm > block->norm_limit) ||
                (block->loss_limit > 0 && mean > block->loss_limit);
    double clip = most > 0 ? most / (norm + 1e-6) : 1; /* as torch.nn.utils.clip_grad_norm_ */
    block->skipped = !finite || over;
    block->clip = !finite ? 0 : clip < 1 ? (float)clip : 1;
}

void cuda_clip(struct device *d, struct block *block) {
    launch(d, "clip", clip_block, 1, 1, 0, block);
}

/* ---- AdamW ---- */

/* The scalars of an update. */
struct rule { float keep, step, root, eps, clip, b1, b2; };

__device__ static inline struct rule rule_of(const struct slot &s, const struct block *b) {
    double lr = (double)b->lr * (double)s.lr_scale;
    return rule{(float)(1 - lr * (double)s.weight_decay), (float)(lr / (double)b->correction1),
                (float)(1 / sqrt((double)b->correction2)), b->eps, b->clip, b->beta1, b->beta2};
}

/* A moment block, a warp's: eight elements a lane. `before`: elements of the slots before. */
__device__ static inline void adamw_block(const struct slot &s, const struct rule &r, int64_t first,
                                          int64_t before, uint64_t key) {
    int64_t at = first + (int64_t)(threadIdx.x % 32) * 8, rest = s.n - at;
    int n = rest < 0 ? 0 : rest < 8 ? (int)rest : 8;
    bool whole = n == 8 && aligned(s.w) && aligned(s.g) && aligned(s.m) && aligned(s.v);
    float w[8], g[8], m[8], v[8];
    unsigned draw_m[8], draw_v[8];
    float *m_scale = s.moment == U8 ? s.m_scale + first / MOMENT_BLOCK : NULL,
          *v_scale = s.moment == U8 ? s.v_scale + first / MOMENT_BLOCK : NULL;
    moments_take(w, s.w, F32, 0, at, n, whole, true);
    moments_take(g, s.g, s.gradient, 0, at, n, whole, true);
    moments_take(m, s.m, s.moment, m_scale ? *m_scale : 0, at, n, whole, true);
    moments_take(v, s.v, s.moment, v_scale ? *v_scale : 0, at, n, whole, false);
    __syncwarp(); /* the scales are read before lane 0 writes new ones */
    for (int i = 0; i < 8; i++) {
        float gi = g[i] * r.clip;
        uint32_t random = kernels_random_at(key, (uint64_t)(before + at + i));
        m[i] = r.b1 * m[i] + (1 - r.b1) * gi;
        v[i] = r.b2 * v[i] + (1 - r.b2) * gi * gi;
        w[i] = w[i] * r.keep - r.step * m[i] / (sqrtf(v[i]) * r.root + r.eps);
        draw_m[i] = random >> 16, draw_v[i] = random & 0xFFFF;
    }
    moments_give(s.w, F32, NULL, at, n, whole, w, draw_m, true);
    moments_give(s.m, s.moment, m_scale, at, n, whole, m, draw_m, true);
    moments_give(s.v, s.moment, v_scale, at, n, whole, v, draw_v, false);
}

KERNEL(UPDATE) adamw_chunk(struct walk w, const struct block *block) {
    if (block->skipped) return;
    int s = slot_of(w, (int64_t)blockIdx.x);
    struct slot slot = w.slots[s];
    struct rule r = rule_of(slot, block);
    int64_t first = ((int64_t)blockIdx.x - w.chunk[s]) * CHUNK,
            end = slot.n < first + CHUNK ? slot.n : first + CHUNK;
    for (int64_t i = first + (int64_t)(threadIdx.x / 32) * MOMENT_BLOCK; i < end;
         i += UPDATE / 32 * MOMENT_BLOCK)
        adamw_block(slot, r, i, w.before[s], block->key);
}

void cuda_adamw(struct device *d, const struct slot *slots, int n, const struct block *block) {
    struct walk w;
    if (!walk_of(d, slots, n, &w)) return;
    launch(d, "adamw", walk_slots, 1, WALK, 0, w);
    launch(d, "adamw", adamw_chunk, w.chunks, UPDATE, 0, w, block);
}
