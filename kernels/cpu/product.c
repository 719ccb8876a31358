/* product.c - products with weights.
 *
 * A product goes slice by slice of its rows, columns and inner dimension. The right factor of a
 * slice is packed into the workspace, each element once and by all threads, the left one too where
 * it cannot be read as it lies; so packing costs one pass over a factor and not one for each block.
 * Then the slice is cut into blocks by its shape alone. A part computes one block, KC units at a
 * time: tile() adds to the block's sums, which wait in scratch as F32 until the slice's last units.
 * Up to FEW rows, as when one token is generated, the weight is read straight through instead. */
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/tile.h"

enum {
    KC = 768, /* units: a right panel is 144 KB with AVX-512, 72 KB with AVX2, in the second cache */
    MB = 128,
    NB = 480,          /* a block: sums of 240 KB */
    NEAR = 4096,       /* units of right panels that stay in the first cache */
    PARTS_WANTED = 16, /* smaller blocks where there would be fewer */
    PACK_LANES = 4 * NR,
    FEW = 4, SPAN = 1024, /* few rows, and the columns of a part of them at most */
    SPAN_LEAST = 128 << 10, /* bytes of the weight in a part: shorter ones stop the hardware's */
    SPAN_MOST = 1 << 20,    /* prefetch too often, longer ones leave a thread without work */
    FEW_WIDEST = 65536, /* columns of a row of which FEW fit the shared workspace */
};

struct product {
    struct device *d;
    struct mat y;
    struct factor left, right;
    int inner;
    bool pairs, direct; /* direct: the left factor is read where it lies */
    int wide, panel;    /* vectors and columns of a right panel */
    float alpha, beta;
    /* the slice: its first row, column and step, its size, its panels */
    int m, n, k, rows, cols, steps;
    float *left_panels, *right_panels;
    struct mat sums;     /* of a slice whose inner dimension goes on, where y is not F32 */
    struct ending ending;/* of the slice's first sum */
    int mb, nb, across;  /* rows and columns of a block, blocks in a row of blocks */
};

static int up_to(int n, int unit) { return (n + unit - 1) / unit * unit; }

/* Where the sums of this slice go. While the inner dimension has more slices they wait in y if it
 * is F32, else in the workspace. */
static struct ending ending_of(const struct product *p) {
    bool waits = p->sums.p != NULL;
    struct mat y = waits ? p->sums : mat_rows(mat_cols(p->y, p->n, p->cols), p->m, p->rows);
    return (struct ending){.y = y.p, .ld = (size_t)y.ld, .t = y.t, .alpha = waits ? 1 : p->alpha,
                           .beta = p->k > 0 ? 1 : waits ? 0 : p->beta};
}

/* rows x cols sums that are no whole tile. */
static void end_some(const struct ending *e, const float *sums, int ld, int rows, int cols) {
    for (int i = 0; i < rows; i++, sums += ld) {
        void *y = end_at(e, (size_t)i, 0);
        for (int j = 0; j < cols; j += V) {
            vf v = v_at(sums, F32, j, cols) * v_set(e->alpha);
            if (e->beta != 0) v = v_fma(v_set(e->beta), v_at(y, e->t, j, cols), v);
            v_to(y, e->t, j, cols, v);
        }
    }
}

/* What a block's tiles share at one step of KC units. */
struct strip { int m, n, k, units; float *sums, *spare; };

/* MR rows from row i of the block against the panel at column j: to the block's sums, and to the
 * ending with the last units of the slice. */
static void strip_tile(const struct product *p, const struct strip *s, int i, int j, int rows,
                       int cols) {
    size_t all = (size_t)units_of(p->steps, p->pairs);
    const float *b = p->right_panels + (size_t)(s->n + j) * all + (size_t)(s->k * p->panel), *a;
    float *c = s->sums + (size_t)i * (size_t)p->nb + (size_t)j;
    bool last = s->k + s->units >= (int)all, whole = rows >= MR && cols >= p->panel;
    struct ending e = p->ending, *to = last && whole ? &e : NULL;
    e.y = end_at(&e, (size_t)(s->m + i), s->n + j);
    int row = p->m + s->m + i, step = p->k + s->k * (p->pairs ? 2 : 1);
    if (p->direct && rows >= MR) {
        tile_direct(s->units, p->pairs, factor_at(&p->left, row, step),
                    p->left.ld / (p->pairs ? 2 : 1), b, c, (size_t)p->nb, s->k > 0, to, p->wide);
    } else {
        a = p->left_panels + (size_t)(s->m + i) * all + (size_t)s->k * MR;
        if (p->direct) {
            pack_left(s->spare, &p->left, row, rows, step, s->units * (p->pairs ? 2 : 1), p->pairs);
            a = s->spare;
        }
        tile(s->units, p->pairs, a, b, c, (size_t)p->nb, s->k > 0, to, p->wide);
    }
    if (last && !whole) end_some(&e, c, p->nb, cpu_least(rows, MR), cpu_least(cols, p->panel));
}

static void strip_by_panels(const struct product *p, const struct strip *s, int rows, int cols) {
    for (int j = 0; j < cols; j += p->panel)
        for (int i = 0; i < rows; i += MR) strip_tile(p, s, i, j, rows - i, cols - j);
}

/* Where all panels stay in the first cache, y is the larger stream and goes by in its own order. */
static void strip_by_rows(const struct product *p, const struct strip *s, int rows, int cols) {
    for (int i = 0; i < rows; i += MR)
        for (int j = 0; j < cols; j += p->panel) strip_tile(p, s, i, j, rows - i, cols - j);
}

static void block_part(void *arg, int part, int thread) {
    const struct product *p = arg;
    float *sums = cpu_scratch(p->d, thread);
    struct strip s = {.m = part / p->across * p->mb, .n = part % p->across * p->nb, .sums = sums,
                      .spare = sums + MB * NB};
    int rows = cpu_least(p->mb, p->rows - s.m), cols = cpu_least(p->nb, p->cols - s.n);
    int units = units_of(p->steps, p->pairs);
    for (s.k = 0; s.k < units || s.k == 0; s.k += KC) {
        s.units = cpu_least(KC, units - s.k);
        if (s.units * p->nb <= NEAR) strip_by_rows(p, &s, rows, cols);
        else strip_by_panels(p, &s, rows, cols);
    }
}

static void multiply_slice(struct product *p) {
    p->mb = cpu_least(MB, up_to(p->rows, MR));
    p->nb = cpu_least(NB, up_to(p->cols, p->panel));
    int parts;
    for (;;) {
        p->across = (p->cols + p->nb - 1) / p->nb;
        parts = p->across * ((p->rows + p->mb - 1) / p->mb);
        bool narrow = p->nb > p->panel, low = p->mb > 4 * MR;
        if (parts >= PARTS_WANTED || (!narrow && !low)) break;
        if (low && (p->mb >= p->nb || !narrow)) p->mb = up_to(p->mb / 2, MR);
        else p->nb = up_to(p->nb / 2, p->panel);
    }
    p->ending = ending_of(p);
    int64_t work = (int64_t)p->rows * p->cols * (p->steps / 8 + 1);
    cpu_run(p->d, parts, work, block_part, p);
}

static void pack_left_part(void *arg, int part, int thread) {
    (void)thread;
    const struct product *p = arg;
    int first = part * PACK_LANES, lanes = cpu_least(PACK_LANES, p->rows - first);
    size_t units = (size_t)units_of(p->steps, p->pairs);
    pack_left(p->left_panels + (size_t)first * units, &p->left, p->m + first, lanes, p->k, p->steps,
              p->pairs);
}

static void pack_right_part(void *arg, int part, int thread) {
    (void)thread;
    const struct product *p = arg;
    int first = part * PACK_LANES, lanes = cpu_least(PACK_LANES, p->cols - first);
    size_t units = (size_t)units_of(p->steps, p->pairs);
    pack_right(p->right_panels + (size_t)first * units, &p->right, p->n + first, lanes, p->k,
               p->steps, p->pairs, p->wide);
}

static void pack_slice(struct product *p, int lanes, void (*part)(void *, int, int)) {
    cpu_run(p->d, (lanes + PACK_LANES - 1) / PACK_LANES, (int64_t)lanes * p->steps * 4, part, p);
}

/* Slices of equal size, none above `most`. */
static int slice_of(int n, int most, int unit) {
    int slices = (n + most - 1) / most;
    return slices < 2 ? most : up_to((n + slices - 1) / slices, unit);
}

/* y = alpha sums + beta y for the rows of a part. */
static void finish_part(void *arg, int part, int thread) {
    (void)thread;
    const struct product *p = arg;
    struct mat y = mat_rows(mat_cols(p->y, p->n, p->cols), p->m, p->rows);
    struct ending e = {cpu_row(y, part), (size_t)y.ld, y.t, p->alpha, p->beta};
    end_some(&e, cpu_row(p->sums, part), 0, 1, p->cols);
}

/* One slice of columns, of all rows or, where sums wait, of the rows from p->m on. */
static void multiply_columns(struct product *p, int group, int rows, int steps) {
    int end = cpu_least(p->m + group, p->y.rows), begin = p->m;
    for (p->k = 0; p->k < p->inner || p->k == 0; p->k += steps) {
        p->steps = cpu_least(steps, p->inner - p->k);
        pack_slice(p, p->cols, pack_right_part);
        for (p->m = begin; p->m < end; p->m += p->rows) {
            p->rows = cpu_least(rows, end - p->m);
            if (!p->direct) pack_slice(p, p->rows, pack_left_part);
            multiply_slice(p);
        }
    }
    p->m = begin;
    if (p->sums.p) cpu_run(p->d, p->rows, (int64_t)p->rows * p->cols * 8, finish_part, p);
}

/* Vectors of a panel: three, but where fewer leave a tenth less of the panels empty. */
static int wide_of(int cols) {
    int wide = 3;
    for (int w = 2; w > 0; w--)
        if (up_to(cols, w * V) * 10 <= up_to(cols, wide * V) * 9) wide = w;
    return wide;
}

static void multiply(struct product *p) {
    if (p->y.rows <= 0 || p->y.cols <= 0) return;
    p->wide = wide_of(p->y.cols);
    p->panel = p->wide * V;
    int steps = slice_of(p->inner, CPU_UNITS * (p->pairs ? 2 : 1), 64);
    int units = units_of(cpu_least(steps, p->inner), p->pairs) + 1, group = p->y.rows;
    int cols = slice_of(p->y.cols, CPU_RIGHT / units / NR * NR, NR), rows = p->y.rows;
    p->direct = factor_lies(&p->left, p->inner, p->pairs);
    p->left_panels = cpu_shared(p->d);
    p->right_panels = p->left_panels + CPU_LEFT;
    if (!p->direct) rows = slice_of(rows, CPU_LEFT / units / MB * MB, MB);
    if (steps < p->inner && p->y.t != F32) {
        group = rows = cpu_least(rows, CPU_BETWEEN / cols / MB * MB);
        p->sums = mat_make(p->right_panels + CPU_RIGHT, rows, cols, F32);
    }
    for (p->n = 0; p->n < p->y.cols; p->n += cols) {
        p->cols = cpu_least(cols, p->y.cols - p->n);
        for (p->m = 0; p->m < p->y.rows; p->m += group) multiply_columns(p, group, rows, steps);
    }
}

static bool in_pairs(enum dtype t) { return HAS_PAIRS && t == BF16; }

static struct factor factor_of(struct mat m, bool natural) {
    return (struct factor){.p = m.p, .ld = (size_t)m.ld, .t = m.t, .natural = natural,
                           .steps = natural ? m.rows : m.cols, .lanes = natural ? m.cols : m.rows};
}

static struct factor factor_of_weight(const struct weight *w, bool natural) {
    struct factor f = factor_of(w->w, natural);
    f.rounded = w->t == BF16 && w->w.t == F32 && !HAS_PAIRS;
    return f;
}

struct few {
    struct mat y, x, w;
    enum dtype t;
    float alpha, beta;
    bool pairs;
    float *wide;         /* rows of x as widen_rows or narrow_rows writes them */
    int span;            /* columns of a part */
};

/* Rows of x in BF16, `wide` apart, with zeros behind them: the right factors of dot_pairs(). */
static void narrow_rows(const struct few *f, int wide) {
    uint16_t *to = (uint16_t *)f->wide;
    memset(to, 0, (size_t)f->x.rows * (size_t)wide * 2);
    for (int i = 0; i < f->x.rows; i++, to += wide)
        for (int j = 0; j < f->x.cols; j += V)
            v_to(to, BF16, j, f->x.cols, v_at(cpu_row(f->x, i), f->x.t, j, f->x.cols));
}

/* Rows of x as F32 one after the other, `wide` apart and with zeros behind them, rounded where the
 * compute type is BF16. For a weight stored in BF16 each 2 V neighbours are parted into the even
 * and the odd ones. */
static void widen_rows(const struct few *f, int wide) {
    float *to = f->wide;
    bool rounds = f->t == BF16 && f->x.t == F32, parted = f->w.t == BF16;
    int n = f->x.cols;
    for (int i = 0; i < f->x.rows; i++, to += wide)
        for (int j = 0; j < wide; j += 2 * V) {
            float x[2 * V] = {0};
            for (int k = j; k < n && k < j + 2 * V; k += V) {
                vf v = v_at(cpu_row(f->x, i), f->x.t, k, n);
                v_store(x + k - j, rounds ? v_rounded(v) : v);
            }
            for (int k = 0; k < 2 * V; k++) to[j + (parted ? k / 2 + k % 2 * V : k)] = x[k];
        }
}

/* A row of w in BF16, which memory sends as one stream, against a parted row of x: four sums that
 * do not wait for each other. Asking for lines ahead only disturbs the hardware's own prefetch
 * (measured). */
INLINE float dot_parted(const uint16_t *w, const float *x, int n) {
    vf sum[4] = {v_set(0), v_set(0), v_set(0), v_set(0)}, even, odd;
    int k = 0;
    for (; k + 4 * V <= n; k += 4 * V)
#pragma GCC unroll 2
        for (int i = 0; i < 2; i++) {
            v_widen_pairs(w + k + i * 2 * V, &even, &odd);
            sum[2 * i] = v_fma(even, v_load(x + k + i * 2 * V), sum[2 * i]);
            sum[2 * i + 1] = v_fma(odd, v_load(x + k + i * 2 * V + V), sum[2 * i + 1]);
        }
    for (; k < n; k += 2 * V) {
        uint16_t rest[2 * V] = {0};
        memcpy(rest, w + k, sizeof *w * (size_t)cpu_least(2 * V, n - k));
        v_widen_pairs(rest, &even, &odd);
        sum[0] = v_fma(even, v_load(x + k), sum[0]);
        sum[1] = v_fma(odd, v_load(x + k + V), sum[1]);
    }
    return v_sum((sum[0] + sum[1]) + (sum[2] + sum[3]));
}

/* The same as pairs with a row of x in BF16. One row at a time: two streams side by side in a page
 * halve what memory sends (measured). */
INLINE float dot_pairs(const uint16_t *w, const uint16_t *x, int n) {
    vf sum[4] = {v_set(0), v_set(0), v_set(0), v_set(0)};
    int k = 0;
    for (; k + 8 * V <= n; k += 8 * V)
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++)
            sum[i] = v_pairs(sum[i], v_load((const float *)(const void *)(w + k + i * 2 * V)),
                             v_load((const float *)(const void *)(x + k + i * 2 * V)));
    for (; k + 2 * V <= n; k += 2 * V)
        sum[0] = v_pairs(sum[0], v_load((const float *)(const void *)(w + k)),
                         v_load((const float *)(const void *)(x + k)));
    if (k < n) {
        uint16_t rest[2 * V] = {0};
        memcpy(rest, w + k, sizeof *w * (size_t)(n - k));
        sum[0] = v_pairs(sum[0], v_load((const float *)(const void *)rest),
                         v_load((const float *)(const void *)(x + k)));
    }
    return v_sum((sum[0] + sum[1]) + (sum[2] + sum[3]));
}

/* The same with a row of w in F32. */
INLINE float dot(const float *w, bool rounds, const float *x, int n) {
    vf sum[4] = {v_set(0), v_set(0), v_set(0), v_set(0)};
    int k = 0;
    for (; k + 4 * V <= n; k += 4 * V)
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) {
            vf v = v_load(w + k + i * V);
            sum[i] = v_fma(rounds ? v_rounded(v) : v, v_load(x + k + i * V), sum[i]);
        }
    for (; k < n; k += V) {
        vf v = v_at(w, F32, k, n);
        sum[0] = v_fma(rounds ? v_rounded(v) : v, v_load(x + k), sum[0]);
    }
    return v_sum((sum[0] + sum[1]) + (sum[2] + sum[3]));
}

static void few_part(void *arg, int part, int thread) {
    const struct few *f = arg;
    float sums[FEW * SPAN];
    (void)thread;
    int n = f->w.cols, wide = up_to(n, 2 * V);
    int first = part * f->span, count = cpu_least(f->span, f->w.rows - first);
    for (int i = 0; i < count; i++) {
        const void *w = cpu_row(f->w, first + i);
        for (int r = 0; r < f->x.rows; r++) {
            const float *row = f->wide + (size_t)r * (size_t)wide / (f->pairs ? 2 : 1);
            sums[r * SPAN + i] = f->pairs          ? dot_pairs(w, (const uint16_t *)(const void *)row, n)
                                 : f->w.t == BF16 ? dot_parted(w, row, n)
                                 : f->t == BF16   ? dot(w, true, row, n)
                                                  : dot(w, false, row, n);
        }
    }
    struct mat y = mat_cols(f->y, first, count);
    struct ending e = {y.p, (size_t)y.ld, y.t, f->alpha, f->beta};
    end_some(&e, sums, SPAN, f->x.rows, count);
}

static void linear(struct device *d, struct mat y, struct mat x, const struct weight *w,
                   float alpha, float beta) {
    if (x.rows <= FEW && x.cols <= FEW_WIDEST) {
        struct few f = {.y = y, .x = x, .w = w->w, .t = w->t, .alpha = alpha, .beta = beta,
                        .pairs = in_pairs(w->t) && w->w.t == BF16, .wide = cpu_shared(d)};
        if (f.pairs) narrow_rows(&f, up_to(x.cols, 2 * V));
        else widen_rows(&f, up_to(x.cols, 2 * V));
        int64_t bytes = cpu_bytes(f.w) / (2 * PARTS_WANTED);
        bytes = bytes < SPAN_LEAST ? SPAN_LEAST : bytes > SPAN_MOST ? SPAN_MOST : bytes;
        f.span = cpu_least(SPAN, up_to((int)(bytes / (cpu_bytes(mat_rows(f.w, 0, 1)) + 1)), V));
        if (x.rows > 0) cpu_run(d, (y.cols + f.span - 1) / f.span, cpu_bytes(f.w), few_part, &f);
        return;
    }
    struct product p = {.d = d, .y = y, .left = factor_of(x, false),
                        .right = factor_of_weight(w, false), .inner = x.cols, .pairs = in_pairs(w->t), .alpha = alpha, .beta = beta};
    multiply(&p);
}

static void linear_back(struct device *d, struct mat dx, struct mat dy, const struct weight *w,
                        float alpha, float beta) {
    struct product p = {.d = d, .y = dx, .left = factor_of(dy, false),
                        .right = factor_of_weight(w, true), .inner = dy.cols, .pairs = in_pairs(w->t), .alpha = alpha, .beta = beta};
    multiply(&p);
}

/* ---- gradients of few rows or columns (an adapter's) ----
 *
 * dw has up to NARROW rows (or, turned, columns). The narrow factor is packed, the wide one is read
 * as it lies, once: DEEP rows of a part's columns at a time, which then stay in the cache. */
enum { NARROW = 64, DEEP = 128, STRIPES = 4 };

struct narrow {
    struct device *d;
    struct mat dw, wide;
    struct factor left;
    bool pairs, turned;
    float alpha;
    int units, span;     /* of all rows; columns of a part */
    float *panels;
};

/* Rows [row, row + rows) of a stripe with zeros where it has none: TWO columns, and an even number
 * of rows. */
static const void *padded(const struct narrow *n, int row, int rows, int col, void *spare) {
    size_t size = n->wide.t == BF16 ? 2 : 4;
    memset(spare, 0, (size_t)(rows + 1) * TWO * size);
    for (int i = 0; i < rows; i++)
        memcpy((char *)spare + (size_t)i * TWO * size,
               cpu_row(mat_cols(n->wide, col, 1), row + i),
               (size_t)cpu_least(TWO, n->wide.cols - col) * size);
    return spare;
}

/* One stripe of TWO columns over `rows` rows, against every panel of the narrow factor. */
static void narrow_stripe(const struct narrow *n, int row, int rows, int col, float *sums,
                          void *spare) {
    size_t line = (size_t)n->wide.ld * (n->wide.t == BF16 ? 2 : 4);
    const void *b = cpu_row(mat_cols(n->wide, col, 1), row);
    if (n->wide.cols - col < TWO || (n->pairs && rows % 2)) {
        b = padded(n, row, rows, col, spare);
        line = TWO * (n->wide.t == BF16 ? 2 : 4);
    }
    int first = units_of(row, n->pairs), units = units_of(rows, n->pairs);
    for (int l = 0; l < n->left.lanes; l += MR)
        tile_natural(units, n->pairs, n->panels + (size_t)l * (size_t)n->units + first * MR, b, line,
                     n->wide.t, sums + l * n->span, (size_t)n->span, row > 0);
}

static void narrow_end(const struct narrow *n, int first, int count, const float *sums) {
    struct ending e = {.ld = (size_t)n->dw.ld, .t = n->dw.t, .alpha = n->alpha, .beta = 1};
    if (!n->turned) {
        e.y = mat_cols(n->dw, first, count).p;
        end_some(&e, sums, n->span, n->left.lanes, count);
        return;
    }
    e.y = cpu_row(n->dw, first);
    float row[NARROW];
    for (int j = 0; j < count; j++) {
        for (int l = 0; l < n->left.lanes; l++) row[l] = sums[l * n->span + j];
        end_some(&e, row, 0, 1, n->left.lanes);
        e.y = end_at(&e, 1, 0);
    }
}

static void narrow_part(void *arg, int part, int thread) {
    const struct narrow *n = arg;
    float *sums = cpu_scratch(n->d, thread), *spare = sums + (NARROW + MR) * STRIPES * TWO;
    int first = part * n->span, count = cpu_least(n->span, n->wide.cols - first);
    for (int row = 0; row < n->wide.rows; row += DEEP)
        for (int j = 0; j < count; j += TWO)
            narrow_stripe(n, row, cpu_least(DEEP, n->wide.rows - row), first + j, sums + j, spare);
    narrow_end(n, first, count, sums);
}

static bool is_narrow(struct mat few, bool pairs) {
    return few.cols <= NARROW && few.rows > 0 &&
           (int64_t)up_to(few.cols, MR) * units_of(few.rows, pairs) <= CPU_LEFT;
}

static void narrow_grad(struct device *d, struct mat dw, struct mat few, struct mat wide,
                        bool turned, bool pairs, float alpha) {
    struct narrow n = {.d = d, .dw = dw, .wide = wide, .left = factor_of(few, true), .pairs = pairs,
                       .turned = turned, .alpha = alpha, .units = units_of(few.rows, pairs),
                       .panels = cpu_shared(d)};
    pack_left(n.panels, &n.left, 0, few.cols, 0, few.rows, pairs);
    n.span = cpu_least(STRIPES * TWO, up_to((wide.cols + PARTS_WANTED - 1) / PARTS_WANTED, TWO));
    cpu_run(d, (wide.cols + n.span - 1) / n.span, cpu_bytes(wide) * 4, narrow_part, &n);
}

static void linear_grad(struct device *d, struct mat dw, struct mat dy, struct mat x, float alpha) {
    bool pairs = in_pairs(dy.t) && x.t == BF16;
    if (is_narrow(dy, pairs)) narrow_grad(d, dw, dy, x, false, pairs, alpha);
    else if (is_narrow(x, pairs)) narrow_grad(d, dw, x, dy, true, pairs, alpha);
    else if (dy.rows > 0) {
        struct product p = {.d = d, .y = dw, .left = factor_of(dy, true),
                            .right = factor_of(x, true), .inner = dy.rows, .pairs = pairs,
                            .alpha = alpha, .beta = 1};
        multiply(&p);
    }
}

/* Nothing is kept packed: packing the weight as a product begins costs about 1 % of it at 2,048
 * rows, and a copy for each direction would take four more bytes a parameter. */
static void settle(struct device *d, const struct weight *w, unsigned packing) {
    (void)d, (void)w, (void)packing;
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
