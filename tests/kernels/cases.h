/* cases.h - the operations' test table: how each operation is called, the shapes it is called with,
 * and how far its results may be from the reference's. t_kernels.c runs it on the CPU backend,
 * tests/cuda on the CUDA kernels. */
#ifndef HONE_TEST_CASES_H
#define HONE_TEST_CASES_H
#include "tests/kernels/side.h"

/* A case: sizes mean what the operation says; t and u are types, f a number. */
struct shape_row { int a, b, c; enum dtype t, u; float f, g; };
typedef void operation(struct side *s, const struct shape_row *r);
struct row {
    const char *name;
    operation *run;
    const struct shape_row *shapes;
    int n;
    double tolerance;
};

static struct weight weight_of(struct side *s, int out, int in, enum dtype stored, enum dtype t,
                               unsigned packing) {
    struct weight w = {.w = side_mat(s, 7, out, in, stored, 3, 1), .t = t};
    size_t bytes = kernels_packed_bytes(&s->info, out, in, t, packing);
    if (bytes) w.packed = side_take(s, bytes);
    s->k->settle(s->d, &w, packing);
    return w;
}

/* ---- products: a rows, b in, c out; t the compute type, u the stored one; y = f x w' + g y ----
 */

static void linear(struct side *s, const struct shape_row *r) {
    struct mat x = side_mat(s, 1, r->a, r->b, r->t, 5, 1),
               y = side_mat(s, 2, r->a, r->c, F32, 2, 1);
    struct weight w = weight_of(s, r->c, r->b, r->u, r->t, PACK_FORWARD);
    s->k->linear(s->d, y, x, &w, r->f, r->g);
    side_read(s, y);
    struct mat z = side_mat(s, 3, r->a, r->c, r->t, 1, 1);
    s->k->linear(s->d, z, x, &w, r->f, r->g);
    side_read(s, z);
}

static void linear_back(struct side *s, const struct shape_row *r) {
    struct mat dy = side_mat(s, 1, r->a, r->c, r->t, 5, 1),
               dx = side_mat(s, 2, r->a, r->b, r->t, 2, 1);
    struct weight w = weight_of(s, r->c, r->b, r->u, r->t, PACK_FORWARD | PACK_BACKWARD);
    s->k->linear_back(s->d, dx, dy, &w, r->f, r->g);
    side_read(s, dx);
}

static void linear_grad(struct side *s, const struct shape_row *r) {
    struct mat dy = side_mat(s, 1, r->a, r->c, r->t, 5, 1),
               x = side_mat(s, 2, r->a, r->b, r->u, 1, 1);
    struct mat dw = side_mat(s, 3, r->c, r->b, r->g > 0 ? BF16 : F32, 4, 1);
    s->k->linear_grad(s->d, dw, dy, x, r->f);
    side_read(s, dw);
}

static void bias(struct side *s, const struct shape_row *r) {
    struct mat y = side_mat(s, 1, r->a, r->b, r->t, 5, 1), b = side_mat(s, 2, 1, r->b, r->u, 0, 1);
    struct mat db = side_mat(s, 3, 1, r->b, F32, 0, 1);
    s->k->bias(s->d, y, b);
    side_read(s, y);
    s->k->bias_grad(s->d, db, y);
    side_read(s, db);
}

static const struct shape_row products[] = {
    {0, 8, 8, F32, F32, 1, 0}, {1, 7, 5, F32, F32, 1, 0}, {1, 129, 67, F32, BF16, 1, 0},
    {2, 64, 48, F32, F32, 2, 0.5F},
    {3, 65, 200, F32, BF16, 1, 0}, {4, 300, 49, F32, F32, 1, 1}, {5, 33, 49, F32, F32, 1, 0},
    {33, 65, 97, F32, F32, 1, 1},
    {17, 1, 1, F32, F32, 1, 0}, {40, 600, 260, F32, BF16, 1, 0}, {260, 70, 500, F32, F32, 0.25F, 0},
    {0, 8, 8, BF16, F32, 1, 0}, {1, 7, 5, BF16, F32, 1, 0}, {1, 129, 67, BF16, BF16, 1, 0},
    {2, 64, 48, BF16, F32, 2, 0.5F},
    {3, 65, 200, BF16, F32, 1, 0}, {4, 300, 49, BF16, F32, 1, 1}, {5, 33, 49, BF16, BF16, 1, 0},
    {33, 65, 97, BF16, F32, 1, 1},
    {17, 1, 1, BF16, F32, 1, 0}, {40, 1100, 260, BF16, F32, 1, 0},
    {260, 70, 500, BF16, BF16, 0.25F, 0},
    /* more than a slice: of the inner dimension, of columns, of rows that are packed */
    {6, 9000, 20, BF16, F32, 1, 1}, {6, 20, 9000, BF16, F32, 0.5F, 1}, {7, 5000, 20, F32, BF16, 1, 0},
    {9, 2000, 1100, F32, F32, 1, 1}, {9, 1100, 2000, F32, F32, 1, 0}, {600, 4096, 5, BF16, BF16, 1, 0},
};
static const struct shape_row grads[] = {
    {0, 8, 8, F32, F32, 1, 0}, {1, 7, 5, F32, F32, 1, 0}, {37, 65, 97, F32, F32, 2, 0},
    {300, 260, 33, F32, F32, 1, 0},
    {1, 7, 5, BF16, BF16, 1, 0}, {37, 65, 97, BF16, BF16, 2, 0},
    {601, 260, 33, BF16, BF16, 1, 0}, {37, 65, 97, F32, BF16, 1, 0},
    {70, 16, 300, BF16, F32, 1, 0}, {601, 260, 33, BF16, BF16, 1, 1}, {37, 65, 97, BF16, BF16, 2, 1},
    {2500, 65, 50, BF16, BF16, 1, 1}, {2500, 65, 70, BF16, BF16, 1, 1}, {601, 260, 97, BF16, BF16, 1, 0},
    {300, 260, 97, F32, F32, 1, 0}, {2100, 80, 1100, F32, F32, 1, 0}, {4500, 70, 600, BF16, BF16, 1, 0},
    /* adapters: few columns on a side, read in stripes and in blocks of rows */
    {257, 64, 64, BF16, BF16, 1, 0}, {129, 16, 515, BF16, BF16, 2, 0}, {131, 700, 9, F32, F32, 1, 1},
    {128, 16, 96, BF16, BF16, 1, 1}, {1, 16, 300, BF16, BF16, 1, 0}, {129, 8, 130, F32, BF16, 1, 0},
    {2100, 20, 1100, F32, F32, 1, 0}, {4500, 20, 600, BF16, BF16, 1, 0},
};

/* ---- rows: a rows, b cols ---- */

static const int32_t some_ids[12] = {3, 0, 3, 7, 1, 3, 11, 0, 5, 5, 2, 9};

static int32_t *ids_of(struct side *s, int n, int below) {
    int32_t ids[512];
    assert_true(n <= 512);
    for (int i = 0; i < n; i++) ids[i] = some_ids[i % 12] % below;
    return side_ints(s, ids, n);
}

static void embed(struct side *s, const struct shape_row *r) {
    struct mat table = side_mat(s, 1, 12, r->b, r->u, 3, 1),
               y = side_mat(s, 2, r->a, r->b, r->t, 1, 1);
    struct mat dtable = side_mat(s, 3, 12, r->b, F32, 3, 1);
    int32_t *ids = ids_of(s, r->a, 12);
    s->k->embed(s->d, y, table, ids);
    side_read(s, y);
    s->k->embed_grad(s->d, dtable, y, ids);
    side_read(s, dtable);
}

static void gather_scatter(struct side *s, const struct shape_row *r) {
    struct mat x = side_mat(s, 1, 12, r->b, r->u, 3, 1), y = side_mat(s, 2, r->a, r->b, r->t, 1, 1);
    struct mat z = side_mat(s, 3, 2 * r->a, r->b, r->u, 2, 1);
    int32_t order[512];
    s->k->gather(s->d, y, x, ids_of(s, r->a, 12));
    side_read(s, y);
    for (int i = 0; i < r->a; i++) order[i] = i == 0 ? 2 * r->a - 1 : 2 * i - 1;
    s->k->scatter(s->d, z, y, side_ints(s, order, r->a));
    side_read(s, z);
}

static void add_convert_fill(struct side *s, const struct shape_row *r) {
    struct mat x = side_mat(s, 1, r->a, r->b, r->t, 3, 1),
               y = side_mat(s, 2, r->a, r->b, r->u, 1, 1);
    s->k->add(s->d, y, x, -0.75F);
    side_read(s, y);
    s->k->convert(s->d, x, y);
    side_read(s, x);
    s->k->fill(s->d, y, 0.3F);
    side_read(s, y);
}

static void dropout(struct side *s, const struct shape_row *r) {
    struct draw draw = {.seed = 1234567890123, .step = 3, .micro = 1, .layer = 2, .site = 5};
    struct mat x = side_mat(s, 1, r->a, r->b, r->t, 3, 1),
               y = side_mat(s, 2, r->a, r->b, r->t, 1, 1);
    s->k->dropout(s->d, y, x, 0.3F, draw);
    side_read(s, y);
    s->k->dropout(s->d, x, x, 0.3F, draw);
    side_read(s, x);
}

static const int32_t starts[][8] = {{0, 5, 6, 40, 41}, {0, 300},           {0},
                                    {0, 1, 2, 3},      {0, 130, 131, 260}, {0, 7, 7, 20}};
static struct seqs seqs_of(int which) {
    static const int n[] = {4, 1, 0, 3, 3, 3}, longest[] = {34, 300, 0, 1, 130, 13};
    return (struct seqs){.start = starts[which], .n = n[which], .longest = longest[which]};
}

static void noise(struct side *s, const struct shape_row *r) {
    struct seqs q = seqs_of(r->a);
    struct draw draw = {.seed = 9, .step = 1};
    struct mat x = side_mat(s, 1, q.start[q.n], r->b, r->t, 3, 1);
    s->k->noise(s->d, x, q, 5, draw);
    side_read(s, x);
}

static const struct shape_row rows[] = {
    {0, 5, 0, F32, F32, 0, 0}, {1, 1, 0, F32, F32, 0, 0}, {3, 17, 0, F32, BF16, 0, 0},
    {40, 64, 0, BF16, F32, 0, 0},
    {200, 301, 0, BF16, BF16, 0, 0}, {300, 130, 0, F32, F32, 0, 0},
};
static const struct shape_row packed[] = {{0, 8, 0, F32, F32, 0, 0},
    {1, 33, 0, BF16, F32, 0, 0}, {2, 8, 0, F32, F32, 0, 0}, {5, 70, 0, F32, F32, 0, 0}};

/* ---- block of a transformer ---- */

static void norm(struct side *s, const struct shape_row *r) {
    struct mat x = side_mat(s, 1, r->a, r->b, r->t, 3, 2),
               y = side_mat(s, 2, r->a, r->b, r->t, 1, 1);
    struct mat residual = side_mat(s, 3, r->a, r->b, r->t, 2, 1),
               w = side_mat(s, 4, 1, r->b, r->u, 0, 1), none = {0};
    float *rstd = side_take(s, (size_t)r->a * sizeof *rstd + 64);
    s->k->norm(s->d, y, rstd, x, none, w, 1e-5F);
    side_read(s, y);
    s->k->norm(s->d, y, rstd, x, residual, w, 1e-5F);
    side_read(s, y);
    side_read(s, x);
    side_read_floats(s, rstd, r->a);
    struct mat dx = side_mat(s, 5, r->a, r->b, r->t, 1, 1), dw = side_mat(s, 6, 1, r->b, F32, 0, 1);
    s->k->norm_back(s->d, dx, dw, residual, x, w, rstd);
    side_read(s, dx);
    side_read(s, dw);
    s->k->norm_back(s->d, dx, none, residual, x, w, rstd);
    side_read(s, dx);
}

/* a rows, b head_dim, c heads */
static void rope(struct side *s, const struct shape_row *r) {
    struct mat x = side_mat(s, 1, r->a, r->b * r->c, r->t, 3, 1),
               table = side_mat(s, 2, 12, r->b, F32, 0, 1);
    int32_t *pos = ids_of(s, r->a, 12);
    s->k->rope(s->d, x, pos, table, r->b, 1);
    side_read(s, x);
    s->k->rope(s->d, x, pos, table, r->b, -1);
    side_read(s, x);
}

static void swiglu(struct side *s, const struct shape_row *r) {
    struct mat gu = side_mat(s, 1, r->a, 2 * r->b, r->t, 3, 20),
               y = side_mat(s, 2, r->a, r->b, r->t, 1, 1);
    s->k->swiglu(s->d, y, gu);
    side_read(s, y);
    struct mat dgu = side_mat(s, 3, r->a, 2 * r->b, r->t, 2, 1);
    s->k->swiglu_back(s->d, dgu, y, gu);
    side_read(s, dgu);
    s->k->swiglu_back(s->d, gu, y, gu);
    side_read(s, gu);
}

/* a which sequences, b head_dim, c heads * 100 + kv_heads; f: keys that each sequence has before
 * its first query */
static void attention(struct side *s, const struct shape_row *r) {
    struct attention a = {
        .heads = r->c / 100, .kv_heads = r->c % 100, .head_dim = r->b, .scale = 0.35F};
    struct seqs sq = seqs_of(r->a), sk = sq;
    int32_t more[8] = {0};
    for (int i = 0; i < sq.n; i++)
        more[i + 1] = more[i] + sq.start[i + 1] - sq.start[i] + (int)r->f;
    sk.start = more;
    sk.longest += (int)r->f;
    int n = sq.start[sq.n], m = more[sk.n], q_cols = a.heads * r->b, k_cols = a.kv_heads * r->b;
    struct mat q = side_mat(s, 1, n, q_cols, r->t, 4, 1), o = side_mat(s, 2, n, q_cols, r->t, 1, 1);
    struct mat k = side_mat(s, 3, m, k_cols, r->u, 3, 1), v = side_mat(s, 4, m, k_cols, r->u, 2, 1);
    float *lse = side_take(s, (size_t)(n * a.heads) * sizeof *lse + 64);
    s->k->attn(s->d, o, lse, q, k, v, sq, sk, &a);
    side_read(s, o);
    side_read_floats(s, lse, n * a.heads);
    if (r->f != 0) return;
    struct mat d_o = side_mat(s, 5, n, q_cols, r->t, 4, 1),
               dq = side_mat(s, 6, n, q_cols, r->t, 3, 1);
    struct mat dk = side_mat(s, 8, n, k_cols, r->u, 1, 1),
               dv = side_mat(s, 9, n, k_cols, r->u, 2, 1);
    s->k->attn_back(s->d, dq, dk, dv, d_o, o, lse, q, k, v, sq, &a);
    side_read(s, dq);
    side_read(s, dk);
    side_read(s, dv);
}

static const struct shape_row ropes[] = {{0, 4, 1, F32, F32, 0, 0}, {1, 2, 1, F32, F32, 0, 0},
    {9, 6, 3, F32, F32, 0, 0}, {100, 64, 5, BF16, F32, 0, 0}};
static const struct shape_row attentions[] = {
    {0, 4, 101, F32, F32, 0, 0}, {0, 64, 303, F32, F32, 0, 0}, {1, 16, 201, F32, F32, 0, 0},
    {2, 8, 101, F32, F32, 0, 0},
    {3, 6, 402, F32, F32, 0, 0}, {4, 36, 903, F32, F32, 0, 0}, {5, 32, 201, F32, F32, 0, 0},
    {1, 256, 101, F32, F32, 0, 0},
    {0, 6, 601, F32, F32, 0, 0}, {0, 16, 202, F32, F32, 9, 0}, {1, 64, 101, F32, F32, 150, 0},
    {3, 64, 402, F32, F32, 1100, 0},
    {3, 64, 903, F32, BF16, 300, 0}, {0, 4, 101, BF16, BF16, 0, 0},
    {0, 64, 303, BF16, BF16, 0, 0}, {1, 18, 201, BF16, BF16, 0, 0},
    {4, 36, 903, BF16, BF16, 0, 0}, {5, 32, 201, BF16, BF16, 0, 0},
    {1, 64, 101, BF16, BF16, 150, 0}, {3, 64, 903, BF16, BF16, 33, 0},
    {1, 32, 301, BF16, BF16, -3, 0},
};

/* ---- loss and update ---- */

static void xent(struct side *s, const struct shape_row *r) {
    struct block *block = side_take(s, sizeof *block);
    *block = (struct block){.inv_trained = 0.125F};
    int32_t target[512];
    for (int i = 0; i < r->a; i++) target[i] = i % 3 == 1 ? -100 : (i * 7919 + r->b - 1) % r->b;
    int32_t *t = side_ints(s, target, r->a);
    float *loss = side_take(s, (size_t)r->a * sizeof *loss + 64);
    struct mat x = side_mat(s, 1, r->a, r->b, F32, 2, 30), none = {0},
               grad = side_mat(s, 2, r->a, r->b, r->t, 1, 1);
    s->k->xent(s->d, loss, none, x, t, block);
    side_read_floats(s, loss, r->a);
    s->k->xent(s->d, loss, grad, x, t, block);
    side_read(s, grad);
    side_read(s, x);
    struct mat over = x;
    over.t = r->t;
    if (r->t == BF16) over.ld = 2 * x.ld;
    s->k->xent(s->d, loss, over, x, t, block);
    for (int i = 0; i < r->a; i++)
        for (int j = 0; j < r->b; j++) side_push(s, side_float(&over, i, j));
    s->k->total(s->d, block, loss, r->a);
    side_sync(s);
    side_push(s, (float)block->loss);
}

/* a slots; f: max_norm, g: norm_limit */
static void update(struct side *s, const struct shape_row *r) {
    struct block *block = side_take(s, sizeof *block);
    *block = (struct block){.lr = 0.01F,
                            .beta1 = 0.9F,
                            .beta2 = 0.95F,
                            .eps = 1e-8F,
                            .correction1 = 0.19F,
                            .correction2 = 0.0975F,
                            .max_norm = r->f,
                            .inv_trained = 0.5F,
                            .norm_limit = (double)r->g,
                            .loss = 3};
    static const int sizes[6] = {1, 17, 90000, 64, 5000, 33};
    struct slot slots[6];
    for (int i = 0; i < r->a; i++) {
        struct mat m[4];
        for (unsigned j = 0; j < 4; j++)
            m[j] = side_mat(s, (unsigned)i * 4 + j, 1, sizes[i], F32, 0, 1);
        for (int j = 0; j < sizes[i]; j++)
            side_set(&m[3], 0, j, side_float(&m[3], 0, j) * side_float(&m[3], 0, j));
        slots[i] = (struct slot){.w = m[0].p, .g = m[1].p, .m = m[2].p, .v = m[3].p, .n = sizes[i],
                                 .weight_decay = i % 2 ? 0.1F : 0, .lr_scale = i % 3 ? 1 : 0.5F};
    }
    s->k->sumsq(s->d, block, slots, r->a);
    s->k->clip(s->d, block);
    s->k->adamw(s->d, slots, r->a, block);
    side_sync(s);
    side_push(s, (float)block->sumsq);
    side_push(s, (float)(block->sumsq - (double)(float)block->sumsq)); /* its last bits too */
    side_push(s, block->clip);
    side_push(s, (float)block->skipped);
    for (int i = 0; i < r->a; i++) {
        side_read_floats(s, slots[i].w, sizes[i]);
        side_read_floats(s, slots[i].m, sizes[i]);
        side_read_floats(s, slots[i].v, sizes[i]);
        side_read_floats(s, slots[i].g, sizes[i]);
    }
}

/* The same with narrow moments and gradients: a slots, t the moments' type, u the gradients'. What
 * a code stands for is read back; one drawn to the other neighbour is 1 / 73 of its block's largest. */
static void narrow_update(struct side *s, const struct shape_row *r) {
    struct block *block = side_take(s, sizeof *block);
    *block = (struct block){.lr = 0.01F, .beta1 = 0.9F, .beta2 = 0.95F, .eps = 1e-8F, .clip = 0.5F,
                            .correction1 = 0.19F, .correction2 = 0.0975F, .key = 77};
    static const int sizes[6] = {1, 17, 90000, 256, 5001, 300};
    struct slot slots[6];
    for (int i = 0; i < r->a; i++) {
        int blocks = (sizes[i] + MOMENT_BLOCK - 1) / MOMENT_BLOCK;
        struct mat w = side_mat(s, (unsigned)i * 4, 1, sizes[i], F32, 0, 1),
                   g = side_mat(s, (unsigned)i * 4 + 1, 1, sizes[i], r->u, 0, 1);
        slots[i] = (struct slot){.w = w.p, .g = g.p, .n = sizes[i], .gradient = r->u,
                                 .moment = r->t, .weight_decay = 0.1F, .lr_scale = 1};
        slots[i].m = side_take(s, (size_t)sizes[i] * 4);
        slots[i].v = side_take(s, (size_t)sizes[i] * 4);
        slots[i].m_scale = side_take(s, (size_t)blocks * 4);
        slots[i].v_scale = side_take(s, (size_t)blocks * 4);
    }
    s->k->sumsq(s->d, block, slots, r->a);
    side_sync(s);
    side_push(s, (float)block->sumsq);
    for (int step = 0; step < 3; step++) s->k->adamw(s->d, slots, r->a, block);
    for (int i = 0; i < r->a; i++) {
        side_read_floats(s, slots[i].w, sizes[i]);
        for (int j = 0; j < sizes[i]; j++) side_push(s, side_moment(&slots[i], false, j));
        for (int j = 0; j < sizes[i]; j++) side_push(s, side_moment(&slots[i], true, j));
    }
}

static const struct shape_row losses[] = {{0, 5, 0, F32, F32, 0, 0}, {1, 1, 0, F32, F32, 0, 0},
    {7, 100, 0, F32, F32, 0, 0}, {7, 99, 0, BF16, F32, 0, 0}, {40, 5003, 0, BF16, F32, 0, 0}};
static const struct shape_row updates[] = {{0, 0, 0, F32, F32, 1, 0}, {1, 0, 0, F32, F32, 0, 0},
    {6, 0, 0, F32, F32, 1, 0}, {6, 0, 0, F32, F32, 1e6F, 0}, {6, 0, 0, F32, F32, 1, 5}};

static const struct shape_row narrow_updates[] = {{6, 0, 0, BF16, F32, 0, 0},
    {6, 0, 0, U8, F32, 0, 0}, {3, 0, 0, U8, BF16, 0, 0}, {6, 0, 0, F32, BF16, 0, 0}};

/* a which sampling, b vocabulary */
static void sample(struct side *s, const struct shape_row *r) {
    static const struct sampling how[] = {{0, 1, 1, 0},  {0.7F, 1, 1, 0},        {1, 0.9F, 1, 0},
                                          {1, 1, 1, 40}, {1.3F, 0.8F, 1.2F, 50}, {0, 1, 1.5F, 0}};
    int32_t recent[6] = {1, 2, 2, 0, 1, 0}, *id = side_take(s, 64);
    for (unsigned i = 0; i < 40; i++) {
        struct mat x = side_mat(s, i + 1, 1, r->b, F32, 0, 8);
        if (i == 3) for (int j = 0; j < r->b; j++) side_set(&x, 0, j, 1.5F); /* equals */
        struct draw draw = {.seed = 5, .step = i};
        s->k->sample(s->d, id, x, &how[r->a], recent, r->b > 2 ? 6 : 0, draw);
        side_sync(s);
        side_push(s, (float)*id);
        s->blocks--;
        s->k->free(s->d, s->block[s->blocks], s->bytes[s->blocks]);
    }
}
static const struct shape_row samples[] = {
    {0, 100, 0, F32, F32, 0, 0}, {1, 300, 0, F32, F32, 0, 0}, {2, 1001, 0, F32, F32, 0, 0},
    {3, 1001, 0, F32, F32, 0, 0},
    {4, 5000, 0, F32, F32, 0, 0}, {5, 77, 0, F32, F32, 0, 0}, {4, 1, 0, F32, F32, 0, 0},
};

#define SHAPES(a) a, (int)(sizeof(a) / sizeof((a)[0]))
static const struct row table[] = {
    {"linear", linear, SHAPES(products), 2e-6},
    {"linear_back", linear_back, SHAPES(products), 2e-6},
    {"linear_grad", linear_grad, SHAPES(grads), 2e-6},
    {"bias and bias_grad", bias, SHAPES(rows), 1e-6},
    {"embed and embed_grad", embed, SHAPES(rows), 1e-6},
    {"gather and scatter", gather_scatter, SHAPES(rows), 1e-7},
    {"add, convert and fill", add_convert_fill, SHAPES(rows), 1e-6},
    {"dropout", dropout, SHAPES(rows), 1e-6},
    {"noise", noise, SHAPES(packed), 1e-6}, {"norm and norm_back", norm, SHAPES(rows), 2e-6},
    {"rope", rope, SHAPES(ropes), 1e-6}, {"swiglu and swiglu_back", swiglu, SHAPES(rows), 2e-6},
    {"attn and attn_back", attention, SHAPES(attentions), 1e-5},
    {"xent and total", xent, SHAPES(losses), 2e-6},
    {"sumsq, clip and adamw", update, SHAPES(updates), 2e-6},
    {"adamw with narrow moments", narrow_update, SHAPES(narrow_updates), 0.02},
    {"sample", sample, SHAPES(samples), 0},
};

static double largest(const float *p, size_t n) {
    double most = 0;
    for (size_t i = 0; i < n; i++)
        if (isfinite(p[i]) && fabs((double)p[i]) > most) most = fabs((double)p[i]);
    return most;
}

/* A BF16 result may be rounded to the other neighbour: 2^-8 of its size. */
static double allowed(const struct row *row, const struct shape_row *r) {
    bool narrow = row->run != narrow_update && (r->t == BF16 || r->u == BF16);
    return row->tolerance == 0 ? 0
           : narrow            ? (row->run == attention ? 0.02 : 0.008)
                               : row->tolerance;
}

static void compare(const struct row *row, const struct shape_row *r, const struct side *ref,
                    const struct side *s) {
    assert_int_equal(ref->outs, s->outs);
    double most = largest(ref->out, ref->outs), limit = allowed(row, r) * (most > 1e-3 ? most : 1e-3);
    for (size_t i = 0; i < s->outs; i++) {
        double a = (double)ref->out[i], b = (double)s->out[i];
        if (a == b || (isnan(a) && isnan(b)) || fabs(a - b) <= limit) continue;
        fail_msg("%s, case %d (%d %d %d): output %zu is %.9g, the reference says %.9g", row->name,
                 (int)(r - row->shapes), r->a, r->b, r->c, i, b, a);
    }
}
#endif
