/* product.c - products with weights.
 *
 * The result is cut into blocks by its shape alone. A part computes one block over the whole inner
 * dimension, KC steps at a time: it packs the left factor, then for each panel of the right one
 * (packed by settle, or packed here) lets tile() add to the block's sums, which wait in scratch as
 * F32 until the last step; then they are scaled, blended and stored. Up to FEW rows, as when one
 * token is generated, the weight is read straight through instead. */
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/tile.h"

enum {
    KC = 256, /* units: a right panel is 48 KB with AVX-512, 24 KB with AVX2 */
    MB = 128,
    NB = 480, /* a block whose right factor is packed already: wide, as the left one is packed */
    MB_BOTH = 256,
    NB_BOTH = 240,     /* a block that packs both; both kinds have sums of 240 KB */
    PARTS_WANTED = 16, /* smaller blocks where there would be fewer */
    FEW = 4, SPAN = 2 * NR, /* few rows, and the columns of a part of them */
    FEW_WIDEST = 65536, /* columns of a row that fits the scratch of few rows */
};

struct product {
    struct device *d;
    struct mat y;
    struct factor left, right;
    const float *packed; /* the right factor's panels, or NULL */
    int inner;
    bool pairs;
    float alpha, beta;
    int mb, nb, across;  /* rows and columns of a block, blocks in a row of blocks */
};

static void store(const struct product *p, const float *sums, int m, int rows, int n, int cols) {
    vf alpha = v_set(p->alpha), beta = v_set(p->beta);
    struct mat block = mat_cols(p->y, n, cols);
    for (int i = 0; i < rows; i++, sums += p->nb) {
        void *y = cpu_row(block, m + i);
        for (int j = 0; j < cols; j += V) {
            vf v = v_load(sums + j) * alpha;
            if (p->beta != 0) v = v_fma(beta, v_at(y, p->y.t, j, cols), v);
            v_to(y, p->y.t, j, cols, v);
        }
    }
}

static void block_part(void *arg, int part, int thread) {
    const struct product *p = arg;
    float *left = cpu_scratch(p->d, thread), *right = left + MB_BOTH * KC, *sums = right + KC * NR;
    int m = part / p->across * p->mb, n = part % p->across * p->nb, each = p->pairs ? 2 : 1;
    int rows = cpu_least(p->mb, p->y.rows - m), cols = cpu_least(p->nb, p->y.cols - n);
    int all = units_of(p->inner, p->pairs);
    for (int k = 0; k < p->inner || k == 0; k += KC * each) {
        int steps = cpu_least(KC * each, p->inner - k), units = units_of(steps, p->pairs);
        pack_left(left, &p->left, m, rows, k, steps, p->pairs);
        for (int j = 0; j < cols; j += NR) {
            const float *b = right;
            if (p->packed)
                b = p->packed + ((size_t)(n + j) * (size_t)all + (size_t)(k / each) * NR);
            else pack_right(right, &p->right, n + j, NR, k, steps, p->pairs);
            for (int i = 0; i < rows; i += MR)
                tile(units, p->pairs, left + i * units, b, sums + i * p->nb + j, (size_t)p->nb,
                     k > 0);
        }
    }
    store(p, sums, m, rows, n, cols);
}

static int up_to(int n, int unit) { return (n + unit - 1) / unit * unit; }

static void multiply(struct product *p) {
    if (p->y.rows <= 0 || p->y.cols <= 0) return;
    p->mb = cpu_least(p->packed ? MB : MB_BOTH, up_to(p->y.rows, MR));
    p->nb = cpu_least(p->packed ? NB : NB_BOTH, up_to(p->y.cols, NR));
    int parts;
    for (;;) {
        p->across = (p->y.cols + p->nb - 1) / p->nb;
        parts = p->across * ((p->y.rows + p->mb - 1) / p->mb);
        bool narrow = p->nb > NR, low = p->mb > 4 * MR;
        if (parts >= PARTS_WANTED || (!narrow && !low)) break;
        if (low && (p->mb >= p->nb || !narrow)) p->mb = up_to(p->mb / 2, MR);
        else p->nb = up_to(p->nb / 2, NR);
    }
    int64_t work = (int64_t)p->y.rows * p->y.cols * (p->inner / 8 + 1);
    cpu_run(p->d, parts, work, block_part, p);
}

/* Where the copy for the other direction begins, in bytes: both copies have the same room. */
static size_t copy_bytes(const struct weight *w) {
    size_t rows = (size_t)up_to(w->w.rows, NR), cols = (size_t)up_to(w->w.cols, NR);
    return rows * cols * 2;
}

static bool in_pairs(const struct weight *w) { return HAS_PAIRS && w->t == BF16; }

/* Where there are no products of BF16, the packed copy is w rounded, in its own order. */
static struct mat plain(const struct weight *w) {
    return w->packed && !HAS_PAIRS ? mat_make(w->packed, w->w.rows, w->w.cols, BF16) : w->w;
}

static struct factor factor_of(struct mat m, bool natural) {
    return (struct factor){.p = m.p, .ld = (size_t)m.ld, .t = m.t, .natural = natural,
                           .steps = natural ? m.rows : m.cols, .lanes = natural ? m.cols : m.rows};
}

struct settling { struct factor right; float *to; int panels; };

static void settle_part(void *arg, int part, int thread) {
    (void)thread;
    const struct settling *s = arg;
    size_t units = (size_t)units_of(s->right.steps, true);
    int first = part * 4, panels = cpu_least(4, s->panels - first);
    pack_right(s->to + (size_t)first * NR * units, &s->right, first * NR, panels * NR, 0,
               s->right.steps, true);
}

static void settle_copy(struct device *d, struct mat w, bool natural, char *to) {
    struct settling s = {.right = factor_of(w, natural), .to = (float *)(void *)to};
    s.panels = (s.right.lanes + NR - 1) / NR;
    cpu_run(d, (s.panels + 3) / 4, cpu_bytes(w) * 2, settle_part, &s);
}

static void settle(struct device *d, const struct weight *w, unsigned packing) {
    if (!w->packed) return;
    if (!HAS_PAIRS) {
        cpu_table.convert(d, mat_make(w->packed, w->w.rows, w->w.cols, BF16), w->w);
        return;
    }
    settle_copy(d, w->w, false, w->packed);
    if (packing & PACK_BACKWARD) settle_copy(d, w->w, true, (char *)w->packed + copy_bytes(w));
}

struct few {
    struct device *d;
    struct mat y, x, w;
    const float *packed;
    enum dtype t;
    float alpha, beta;
};

/* Rows of x as F32 one after the other, rounded where the compute type is BF16. */
static void widen_rows(float *to, struct mat x, enum dtype t) {
    for (int i = 0; i < x.rows; i++, to += x.cols)
        for (int j = 0; j < x.cols; j += V) {
            vf v = v_at(cpu_row(x, i), x.t, j, x.cols);
            uint16_t rounded[V];
            if (t == BF16 && x.t == F32) {
                v_narrow(rounded, v);
                v = v_widen(rounded);
            }
            v_to(to, F32, j, x.cols, v);
        }
}

/* Sums [x.rows, SPAN] of `count` columns from `first` on become columns of y. */
static void blend(const struct few *f, const float *sums, int first, int count) {
    vf alpha = v_set(f->alpha), beta = v_set(f->beta);
    struct mat part = mat_cols(f->y, first, count);
    for (int r = 0; r < f->x.rows; r++, sums += SPAN) {
        void *y = cpu_row(part, r);
        for (int j = 0; j < count; j += V) {
            vf v = v_at(sums, F32, j, count) * alpha;
            if (f->beta != 0) v = v_fma(beta, v_at(y, f->y.t, j, count), v);
            v_to(y, f->y.t, j, count, v);
        }
    }
}

/* One row of w, which memory sends as one stream, against one row of x: four sums that do not wait
 * for each other. Asking for lines ahead only disturbs the hardware's own prefetch (measured). */
INLINE float dot(const void *w, enum dtype t, const float *x, int n) {
    vf sum[4] = {v_set(0), v_set(0), v_set(0), v_set(0)};
    size_t size = t == BF16 ? 2 : 4;
    int k = 0;
    for (; k + 4 * V <= n; k += 4 * V)
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) {
            const char *at = (const char *)w + (size_t)(k + i * V) * size;
            sum[i] = v_fma(t == BF16 ? v_widen((const void *)at) : v_load((const void *)at),
                           v_load(x + k + i * V), sum[i]);
        }
    for (; k < n; k += V) sum[0] = v_fma(v_at(w, t, k, n), v_at(x, F32, k, n), sum[0]);
    return v_sum((sum[0] + sum[1]) + (sum[2] + sum[3]));
}

static void few_dots_part(void *arg, int part, int thread) {
    const struct few *f = arg;
    float *x = cpu_scratch(f->d, thread), sums[FEW * SPAN];
    int n = f->w.cols, first = part * SPAN, count = cpu_least(SPAN, f->w.rows - first);
    widen_rows(x, f->x, f->t);
    for (int i = 0; i < count; i++) {
        const void *w = cpu_row(f->w, first + i);
        for (int r = 0; r < f->x.rows; r++) {
            const float *row = x + (size_t)r * (size_t)n;
            float *sum = &sums[r * SPAN + i];
            *sum = f->w.t == BF16 ? dot(w, BF16, row, n) : dot(w, F32, row, n);
        }
    }
    blend(f, sums, first, count);
}

/* The panels of a packed weight that hold SPAN columns, read straight through. */
static void few_panels_part(void *arg, int part, int thread) {
    const struct few *f = arg;
    int units = units_of(f->x.cols, true), first = part * SPAN;
    int count = cpu_least(SPAN, f->w.rows - first);
    float *x = cpu_scratch(f->d, thread), sums[FEW * SPAN];
    struct factor rows = factor_of(f->x, false);
    size_t lane = (size_t)units;
    for (int r = 0; r < f->x.rows; r++)
        for (int u = 0; u < units; u += V)
            v_to(x + (size_t)r * lane, F32, u, units, units_of_lane(&rows, r, 2 * u, true));
    for (int j = 0; j < count; j += NR) {
        const float *b = f->packed + (size_t)(first + j) * lane;
        if (f->x.rows == 1) tile_rows(units, true, x, 1, lane, b, sums + j, SPAN, false, 1);
        else if (f->x.rows == 2) tile_rows(units, true, x, 1, lane, b, sums + j, SPAN, false, 2);
        else if (f->x.rows == 3) tile_rows(units, true, x, 1, lane, b, sums + j, SPAN, false, 3);
        else tile_rows(units, true, x, 1, lane, b, sums + j, SPAN, false, 4);
    }
    blend(f, sums, first, count);
}

static void linear(struct device *d, struct mat y, struct mat x, const struct weight *w,
                   float alpha, float beta) {
    bool pairs = in_pairs(w);
    const float *packed = pairs ? w->packed : NULL;
    if (x.rows <= FEW && x.cols <= FEW_WIDEST && (packed || !pairs)) {
        struct few f = {.d = d,
                        .y = y,
                        .x = x,
                        .w = plain(w),
                        .packed = packed,
                        .t = w->t,
                        .alpha = alpha,
                        .beta = beta};
        if (x.rows > 0)
            cpu_run(d, (y.cols + SPAN - 1) / SPAN, cpu_bytes(f.w),
                    packed ? few_panels_part : few_dots_part, &f);
        return;
    }
    struct product p = {.d = d,
                        .y = y,
                        .left = factor_of(x, false),
                        .right = factor_of(plain(w), false),
                        .packed = packed,
                        .inner = x.cols,
                        .pairs = pairs,
                        .alpha = alpha,
                        .beta = beta};
    multiply(&p);
}

static void linear_back(struct device *d, struct mat dx, struct mat dy, const struct weight *w,
                        float alpha, float beta) {
    bool pairs = in_pairs(w);
    struct product p = {.d = d,
                        .y = dx,
                        .left = factor_of(dy, false),
                        .right = factor_of(plain(w), true),
                        .inner = dy.cols,
                        .pairs = pairs,
                        .alpha = alpha,
                        .beta = beta};
    if (pairs && w->packed)
        p.packed = (const float *)(const void *)((const char *)w->packed + copy_bytes(w));
    multiply(&p);
}

static void linear_grad(struct device *d, struct mat dw, struct mat dy, struct mat x, float alpha) {
    struct product p = {.d = d,
                        .y = dw,
                        .left = factor_of(dy, true),
                        .right = factor_of(x, true),
                        .inner = dy.rows,
                        .pairs = HAS_PAIRS && dy.t == BF16 && x.t == BF16,
                        .alpha = alpha,
                        .beta = 1};
    if (dy.rows > 0) multiply(&p);
}

struct column { struct mat y, x; };

static void bias_part(void *arg, int part, int thread) {
    (void)thread;
    const struct column *c = arg;
    int rows = cpu_rows_of_part(cpu_bytes(mat_rows(c->y, 0, 1))), n = c->y.cols;
    for (int i = part * rows; i < cpu_least((part + 1) * rows, c->y.rows); i++) {
        void *y = cpu_row(c->y, i);
        for (int j = 0; j < n; j += V)
            v_to(y, c->y.t, j, n, v_at(y, c->y.t, j, n) + v_at(c->x.p, c->x.t, j, n));
    }
}

static void bias(struct device *d, struct mat y, struct mat b) {
    struct column c = {y, b};
    int rows = cpu_rows_of_part(cpu_bytes(mat_rows(y, 0, 1)));
    cpu_run(d, (y.rows + rows - 1) / rows, cpu_bytes(y), bias_part, &c);
}

/* 64 columns, all rows in order: sums of 64 rows each, added up. */
static void bias_grad_part(void *arg, int part, int thread) {
    (void)thread;
    const struct column *c = arg;
    int n = cpu_least(c->x.cols, part * 64 + 64);
    for (int j = part * 64; j < n; j += V) {
        vf total = v_set(0);
        for (int first = 0; first < c->x.rows; first += 64) {
            vf sum = v_set(0);
            for (int i = first; i < cpu_least(first + 64, c->x.rows); i++)
                sum = sum + v_at(cpu_row(c->x, i), c->x.t, j, n);
            total = total + sum;
        }
        v_to(c->y.p, c->y.t, j, n, v_at(c->y.p, c->y.t, j, n) + total);
    }
}

static void bias_grad(struct device *d, struct mat db, struct mat dy) {
    struct column c = {db, dy};
    cpu_run(d, (dy.cols + 63) / 64, cpu_bytes(dy), bias_grad_part, &c);
}

void CPU_NAME(product)(struct kernels *k) {
    k->settle = settle;
    k->linear = linear;
    k->linear_back = linear_back;
    k->linear_grad = linear_grad;
    k->bias = bias;
    k->bias_grad = bias_grad;
}
