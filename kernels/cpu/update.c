/* update.c - the norm of all gradients and AdamW, in one pass each over the memory.
 *
 * All slots count as one long row of elements, which is cut by its length alone. */
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/moments.h"

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

/* The elements [at, at + rest) of all slots, a piece of one slot at a time; before: of the slots
 * that came before the piece's. */
struct piece { const struct slot *slot; int64_t first, n, before; };
struct walk { int slot; int64_t at, rest, before; };

static bool next_piece(const struct update *u, struct walk *w, struct piece *out) {
    while (w->slot < u->n && w->at >= u->slots[w->slot].n) {
        w->at -= u->slots[w->slot].n;
        w->before += u->slots[w->slot++].n;
    }
    if (w->slot >= u->n || w->rest <= 0) return false;
    int64_t here = u->slots[w->slot].n - w->at;
    *out = (struct piece){&u->slots[w->slot], w->at, here < w->rest ? here : w->rest, w->before};
    w->at += out->n;
    w->rest -= out->n;
    return true;
}

static const void *element(const void *p, enum dtype t, int64_t i) {
    return (const char *)p + i * (t == F32 ? 4 : t == BF16 ? 2 : 1);
}

/* Squares in F32, at most 4096 of them summed in F32 lanes, the sums in double. */
static double squares(const void *g, enum dtype t, int64_t n) {
    double total = 0;
    for (int64_t first = 0; first < n; first += 4096) {
        int count = n - first < 4096 ? (int)(n - first) : 4096;
        const void *at = element(g, t, first);
        vf sum[4] = {v_set(0), v_set(0), v_set(0), v_set(0)};
        for (int j = 0, c = 0; j < count; j += V, c = (c + 1) & 3) {
            vf v = v_at(at, t, j, count);
            sum[c] = v_fma(v, v, sum[c]);
        }
        total += (double)v_sum((sum[0] + sum[1]) + (sum[2] + sum[3]));
    }
    return total;
}

static void sumsq_part(void *arg, int part, int thread) {
    (void)thread;
    const struct update *u = arg;
    struct walk w = {.at = part * u->each, .rest = u->each};
    struct piece p;
    double total = 0;
    while (next_piece(u, &w, &p))
        total += squares(element(p.slot->g, p.slot->gradient, p.first), p.slot->gradient, p.n);
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

/* The scalars of an update, and what one step of V elements does. */
struct rule { vf keep, step, root, eps, clip, b1, b2, c1, c2; };

static struct rule rule_of(const struct slot *s, const struct block *b) {
    double lr = (double)b->lr * (double)s->lr_scale;
    return (struct rule){.keep = v_set((float)(1 - lr * (double)s->weight_decay)),
                         .step = v_set((float)(lr / (double)b->correction1)),
                         .root = v_set((float)(1 / sqrt((double)b->correction2))),
                         .eps = v_set(b->eps),
                         .clip = v_set(b->clip),
                         .b1 = v_set(b->beta1),
                         .b2 = v_set(b->beta2),
                         .c1 = v_set(1 - b->beta1),
                         .c2 = v_set(1 - b->beta2)};
}

INLINE vf adamw_step(const struct rule *r, vf w, vf g, vf *m, vf *v) {
    vf gj = g * r->clip;
    *m = v_fma(r->b1, *m, r->c1 * gj);
    *v = v_fma(r->b2, *v, r->c2 * gj * gj);
    return w * r->keep - r->step * *m / v_fma(v_sqrt(*v), r->root, r->eps);
}

static void adamw_piece(const struct slot *s, int64_t first, int n, const struct block *b) {
    float *w = s->w + first, *m = (float *)s->m + first, *v = (float *)s->v + first;
    const void *g = element(s->g, s->gradient, first);
    const struct rule r = rule_of(s, b);
    for (int j = 0; j < n; j += V) {
        vf mj = v_at(m, F32, j, n), vj = v_at(v, F32, j, n);
        vf wj = adamw_step(&r, v_at(w, F32, j, n), v_at(g, s->gradient, j, n), &mj, &vj);
        v_to(m, F32, j, n, mj);
        v_to(v, F32, j, n, vj);
        v_to(w, F32, j, n, wj);
    }
}

/* A block of narrow moments: as floats, one step, and back. */
static void narrow_block(const struct slot *s, int64_t first, int n, int64_t before,
                         const struct block *b) {
    float m[MOMENT_BLOCK + V], v[MOMENT_BLOCK + V], *w = s->w + first;
    uint32_t draws[MOMENT_BLOCK + V];
    const void *g = element(s->g, s->gradient, first);
    void *to_m = (void *)element(s->m, s->moment, first);
    void *to_v = (void *)element(s->v, s->moment, first);
    float *m_scale = s->moment == U8 ? s->m_scale + first / MOMENT_BLOCK : NULL,
          *v_scale = s->moment == U8 ? s->v_scale + first / MOMENT_BLOCK : NULL;
    const struct rule r = rule_of(s, b);
    moments_read(m, to_m, s->moment, m_scale ? *m_scale : 0, n, true);
    moments_read(v, to_v, s->moment, v_scale ? *v_scale : 0, n, false);
    for (int j = 0; j < n; j += V) {
        vf mj = v_load(m + j), vj = v_load(v + j);
        v_to(w, F32, j, n,
             adamw_step(&r, v_at(w, F32, j, n), v_at(g, s->gradient, j, n), &mj, &vj));
        v_store(m + j, mj);
        v_store(v + j, vj);
        vu draw = v_random(b->key, (uint64_t)(before + first + j));
        memcpy(draws + j, &draw, sizeof draw);
    }
    moments_write(to_m, s->moment, m_scale, m, draws, n, true);
    moments_write(to_v, s->moment, v_scale, v, draws, n, false);
}

/* A block belongs to the piece that its first element lies in. */
static void narrow_piece(const struct piece *p, const struct block *b) {
    int64_t end = p->first + p->n, first = (p->first + MOMENT_BLOCK - 1) / MOMENT_BLOCK;
    for (int64_t i = first * MOMENT_BLOCK; i < end; i += MOMENT_BLOCK) {
        int64_t rest = p->slot->n - i;
        narrow_block(p->slot, i, rest < MOMENT_BLOCK ? (int)rest : MOMENT_BLOCK, p->before, b);
    }
}

static void adamw_part(void *arg, int part, int thread) {
    (void)thread;
    const struct update *u = arg;
    struct walk w = {.at = (int64_t)part * STRETCH, .rest = STRETCH};
    struct piece p;
    while (next_piece(u, &w, &p)) {
        if (p.slot->moment == F32) adamw_piece(p.slot, p.first, (int)p.n, u->block);
        else narrow_piece(&p, u->block);
    }
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
