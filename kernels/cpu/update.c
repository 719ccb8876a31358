/* update.c - the norm of all gradients and AdamW, in one pass each over the memory.
 *
 * All slots count as one long row of elements, which is cut by its length alone. */
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/simd.h"

enum {
    STRETCH = 16384
}; /* elements of a part of adamw: 448 KB of w, g, m and v read and written */

struct update {
    struct device *d;
    const struct slot *slots;
    int n;
    int64_t all, each;
    const struct block *block;
};

static int64_t elements(const struct slot *slots, int n) {
    int64_t all = 0;
    for (int i = 0; i < n; i++) all += slots[i].n;
    return all;
}

/* The elements [at, at + length) of all slots, a piece of one slot at a time. */
struct piece { const struct slot *slot; int64_t first, n; };
static bool next_piece(const struct update *u, int *slot, int64_t *at, int64_t *rest,
                       struct piece *out) {
    while (*slot < u->n && *at >= u->slots[*slot].n) *at -= u->slots[(*slot)++].n;
    if (*slot >= u->n || *rest <= 0) return false;
    int64_t here = u->slots[*slot].n - *at;
    *out = (struct piece){&u->slots[*slot], *at, here < *rest ? here : *rest};
    *at += out->n;
    *rest -= out->n;
    return true;
}

/* Squares in F32, at most 4096 of them summed in F32 lanes, the sums in double. */
static double squares(const float *g, int64_t n) {
    double total = 0;
    for (int64_t first = 0; first < n; first += 4096) {
        int count = n - first < 4096 ? (int)(n - first) : 4096;
        vf sum[4] = {v_set(0), v_set(0), v_set(0), v_set(0)};
        for (int j = 0, c = 0; j < count; j += V, c = (c + 1) & 3) {
            vf v = v_at(g + first, F32, j, count);
            sum[c] = v_fma(v, v, sum[c]);
        }
        total += (double)v_sum((sum[0] + sum[1]) + (sum[2] + sum[3]));
    }
    return total;
}

static void sumsq_part(void *arg, int part, int thread) {
    (void)thread;
    const struct update *u = arg;
    int slot = 0;
    int64_t at = part * u->each, rest = u->each;
    struct piece p;
    double total = 0;
    while (next_piece(u, &slot, &at, &rest, &p)) total += squares(p.slot->g + p.first, p.n);
    u->d->partial[part] = total;
}

static void sumsq(struct device *d, struct block *block, const struct slot *slots, int n) {
    struct update u = {.d = d, .slots = slots, .n = n, .all = elements(slots, n)};
    u.each = (u.all + CPU_PARTS - 1) / CPU_PARTS;
    if (u.each < STRETCH) u.each = STRETCH;
    int parts = (int)((u.all + u.each - 1) / u.each);
    cpu_run(d, parts, u.all * 4, sumsq_part, &u);
    for (int i = 0; i < parts; i++) block->sumsq += d->partial[i];
}

static void clip(struct device *d, struct block *block) {
    (void)d;
    double norm = sqrt(block->sumsq), mean = block->loss * (double)block->inv_trained,
           most = (double)block->max_norm;
    bool finite = isfinite(norm) && isfinite(mean);
    bool over = (block->norm_limit > 0 && norm > block->norm_limit) ||
                (block->loss_limit > 0 && mean > block->loss_limit);
    double factor = most > 0 ? most / (norm + 1e-6) : 1;
    block->skipped = !finite || over;
    block->clip = !finite ? 0 : factor < 1 ? (float)factor : 1;
}

static void adamw_piece(const struct slot *s, int64_t first, int n, const struct block *b) {
    float *w = s->w + first, *m = s->m + first, *v = s->v + first;
    const float *g = s->g + first;
    double lr = (double)b->lr * (double)s->lr_scale;
    vf keep = v_set((float)(1 - lr * (double)s->weight_decay)),
       step = v_set((float)(lr / (double)b->correction1));
    vf root = v_set((float)(1 / sqrt((double)b->correction2))), eps = v_set(b->eps),
       clip_by = v_set(b->clip);
    vf b1 = v_set(b->beta1), b2 = v_set(b->beta2), c1 = v_set(1 - b->beta1),
       c2 = v_set(1 - b->beta2);
    for (int j = 0; j < n; j += V) {
        vf gj = v_at(g, F32, j, n) * clip_by;
        vf mj = v_fma(b1, v_at(m, F32, j, n), c1 * gj),
           vj = v_fma(b2, v_at(v, F32, j, n), c2 * gj * gj);
        vf wj = v_at(w, F32, j, n) * keep - step * mj / v_fma(v_sqrt(vj), root, eps);
        v_to(m, F32, j, n, mj);
        v_to(v, F32, j, n, vj);
        v_to(w, F32, j, n, wj);
    }
}

static void adamw_part(void *arg, int part, int thread) {
    (void)thread;
    const struct update *u = arg;
    int slot = 0;
    int64_t at = (int64_t)part * STRETCH, rest = STRETCH;
    struct piece p;
    while (next_piece(u, &slot, &at, &rest, &p)) adamw_piece(p.slot, p.first, (int)p.n, u->block);
}

static void adamw(struct device *d, const struct slot *slots, int n, const struct block *block) {
    if (block->skipped) return;
    struct update u = {.d = d, .slots = slots, .n = n, .all = elements(slots, n), .block = block};
    cpu_run(d, (int)((u.all + STRETCH - 1) / STRETCH), u.all * 28, adamw_part, &u);
}

void CPU_NAME(update)(struct kernels *k) {
    k->sumsq = sumsq;
    k->clip = clip;
    k->adamw = adamw;
}
