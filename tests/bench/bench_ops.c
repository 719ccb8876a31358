/* bench_ops.c - how fast the operations of the CPU backend are at the shapes of a training step and
 * of generation, as shares of what this machine does: its measured peak and its read bandwidth.
 *
 *     bench_ops [110m|135m] [f32|bf16] [threads]    prints a table; all shapes and types without
 * arguments
 *
 * `onednn` is the time of the same products alone in oneDNN (weights packed once, one call each),
 * which is what a step is measured against. */
#include "kernels/kernels.h"
#include "kernels/pool.h"
#include "tests/bench/library.h"
#include "tests/bench/timed.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct model { const char *name; int dim, ffn, heads, kv_heads, vocab, layers, length, batch; };
static const struct model models[] = {
    {"110m", 768, 2048, 12, 12, 32000, 12, 1024, 4},
    {"135m", 576, 1536, 9, 3, 49152, 30, 512, 4},
};

static const struct kernels *k;
static struct device *d;
static struct device_info info;
static struct pool *pool;
static double peak, bandwidth;

/* What is taken for one model stays until the next. */
static struct { void *p; size_t bytes; } taken[256];
static int takes;

static void *take(size_t bytes) {
    void *p = k->alloc(d, bytes);
    if (!p || takes == 256) {
        fprintf(stderr, "bench_ops: no memory for %zu bytes\n", bytes);
        _Exit(1);
    }
    taken[takes].p = p;
    taken[takes++].bytes = bytes;
    return p;
}

static void give_back(void) {
    while (takes > 0) takes--, k->free(d, taken[takes].p, taken[takes].bytes);
}

static struct mat mat(int rows, int cols, enum dtype t) {
    struct mat m = mat_make(take((size_t)rows * (size_t)cols * dtype_bytes(t)), rows, cols, t);
    for (size_t i = 0; i < (size_t)rows * (size_t)cols; i++) {
        float f = (float)((double)(i * 2654435761u % 65536) / 65536 - 0.5);
        uint32_t bits;
        memcpy(&bits, &f, 4);
        if (t == F32) ((float *)m.p)[i] = f;
        else ((uint16_t *)m.p)[i] = (uint16_t)(bits >> 16);
    }
    return m;
}

static double print(const char *name, const char *shape, double time, double flop, double bytes) {
    printf("%-14s %-24s %9.3f ms", name, shape, time * 1e3);
    if (flop > 0)
        printf("  %7.1f GF/s  %5.1f %% of peak", flop / time * 1e-9, 100 * flop / time / peak);
    else
        printf("  %7.1f GB/s  %5.1f %% of read", bytes / time * 1e-9,
               100 * bytes / time / bandwidth);
    printf("\n");
    fflush(stdout);
    return time;
}

/* ---- products ---- */

struct product { struct mat y, x, dw; struct weight w; };
static void run_linear(void *arg) {
    struct product *p = arg;
    k->linear(d, p->y, p->x, &p->w, 1, 0);
}
static void run_back(void *arg) {
    struct product *p = arg;
    k->linear_back(d, p->x, p->y, &p->w, 1, 0);
}
static void run_grad(void *arg) {
    struct product *p = arg;
    k->linear_grad(d, p->dw, p->y, p->x, 1);
}
static void run_settle(void *arg) {
    struct product *p = arg;
    k->settle(d, &p->w, PACK_FORWARD | PACK_BACKWARD);
}

struct sums { double ours, onednn, rest; };

static void bench_product(struct sums *sum, const char *name, int rows, int in, int out,
                          enum dtype t, int times) {
    char shape[64];
    struct product p = {.y = mat(rows, out, t), .x = mat(rows, in, t), .dw = mat(out, in, F32)};
    p.w = (struct weight){.w = mat(out, in, F32), .t = t};
    size_t bytes = kernels_packed_bytes(&info, out, in, t, PACK_FORWARD | PACK_BACKWARD);
    if (bytes) p.w.packed = take(bytes);
    double flop = 2.0 * rows * in * out, ours, theirs;
    if (bytes)
        sum->rest += times * print("settle", name, best_of(run_settle, &p), 0, 12.0 * in * out);
    snprintf(shape, sizeof shape, "%s %dx%dx%d", name, rows, out, in);
    ours = print("linear", shape, best_of(run_linear, &p), flop, 0);
    ours += print("linear_back", shape, best_of(run_back, &p), flop, 0);
    ours += print("linear_grad", shape, best_of(run_grad, &p), flop, 0);
    theirs = print("  onednn", "", library_time(rows, out, in, t, false, true), flop, 0);
    theirs += print("  onednn", "", library_time(rows, in, out, t, false, true), flop, 0);
    theirs += print("  onednn", "", library_time(out, in, rows, t, true, false), flop, 0);
    sum->ours += times * ours;
    sum->onednn += times * theirs;
}

/* ---- the rest of a step ---- */

struct rest {
    struct mat x, y, r, w, dw, qkv, q, kk, v, o, dq, dk, dv, gu, h, logits, rope;
    float *rstd, *lse, *loss;
    int32_t *pos, *target, *id;
    struct seqs s, one, cache;
    struct attention a;
    struct block *block;
    struct slot slot;
    struct sampling sampling;
};
static void run_norm(void *arg) {
    struct rest *r = arg;
    k->norm(d, r->y, r->rstd, r->x, r->r, r->w, 1e-5F);
}
static void run_norm_back(void *arg) {
    struct rest *r = arg;
    k->norm_back(d, r->y, r->dw, r->r, r->x, r->w, r->rstd);
}
static void run_rope(void *arg) {
    struct rest *r = arg;
    k->rope(d, r->q, r->pos, r->rope, r->a.head_dim, 1);
}
static void run_attn(void *arg) {
    struct rest *r = arg;
    k->attn(d, r->o, r->lse, r->q, r->kk, r->v, r->s, r->s, &r->a);
}
static void run_attn_back(void *arg) {
    struct rest *r = arg;
    k->attn_back(d, r->dq, r->dk, r->dv, r->o, r->o, r->lse, r->q, r->kk, r->v, r->s, &r->a);
}
static void run_attn_one(void *arg) {
    struct rest *r = arg;
    k->attn(d, r->o, NULL, r->q, r->kk, r->v, r->one, r->cache, &r->a);
}
static void run_swiglu(void *arg) { struct rest *r = arg; k->swiglu(d, r->h, r->gu); }
static void run_swiglu_back(void *arg) {
    struct rest *r = arg;
    k->swiglu_back(d, r->gu, r->h, r->gu);
}
static void run_xent(void *arg) {
    struct rest *r = arg;
    k->xent(d, r->loss, r->logits, r->logits, r->target, r->block);
}
static void run_sumsq(void *arg) { struct rest *r = arg; k->sumsq(d, r->block, &r->slot, 1); }
static void run_adamw(void *arg) { struct rest *r = arg; k->adamw(d, &r->slot, 1, r->block); }
static void run_embed(void *arg) { struct rest *r = arg; k->embed(d, r->x, r->dw, r->target); }
static void run_sample(void *arg) {
    struct rest *r = arg;
    k->sample(d, r->id, mat_rows(r->logits, 0, 1), &r->sampling, NULL, 0, (struct draw){0});
}

static void bench_rest(struct sums *sum, const struct model *m, enum dtype t) {
    static int32_t starts[16], one[2] = {0, 1}, cache[2] = {0, 0};
    int rows = m->length * m->batch, hd = m->dim / m->heads, kv = hd * m->kv_heads, loss_rows = 512;
    double size = (double)dtype_bytes(t), rd = (double)rows * m->dim * size,
           rf = (double)rows * m->ffn * size;
    for (int i = 0; i <= m->batch; i++) starts[i] = i * m->length;
    cache[1] = m->length;
    struct rest r = {.x = mat(rows, m->dim, t),
                     .y = mat(rows, m->dim, t),
                     .r = mat(rows, m->dim, t),
                     .w = mat(1, m->dim, F32),
                     .dw = mat(1, m->dim, F32),
                     .q = mat(rows, m->dim, t),
                     .kk = mat(rows, kv, t),
                     .v = mat(rows, kv, t),
                     .o = mat(rows, m->dim, t),
                     .dq = mat(rows, m->dim, t),
                     .dk = mat(rows, kv, t),
                     .dv = mat(rows, kv, t),
                     .gu = mat(rows, 2 * m->ffn, t),
                     .h = mat(rows, m->ffn, t),
                     .logits = mat(loss_rows, m->vocab, F32),
                     .rope = mat(m->length, hd, F32)};
    r.rstd = take((size_t)rows * 4), r.lse = take((size_t)rows * (size_t)m->heads * 4),
    r.loss = take((size_t)rows * 4);
    r.pos = take((size_t)rows * 4), r.target = take((size_t)rows * 4), r.id = take(4),
    r.block = take(sizeof *r.block);
    for (int i = 0; i < rows; i++) r.pos[i] = i % m->length;
    *r.block = (struct block){.lr = 1e-4F,
                              .beta1 = 0.9F,
                              .beta2 = 0.95F,
                              .eps = 1e-8F,
                              .correction1 = 1,
                              .correction2 = 1,
                              .clip = 1,
                              .inv_trained = 1};
    r.s = (struct seqs){starts, m->batch, m->length}, r.one = (struct seqs){one, 1, 1},
    r.cache = (struct seqs){cache, 1, m->length};
    r.a = (struct attention){
        .heads = m->heads, .kv_heads = m->kv_heads, .head_dim = hd, .scale = 0.125F};
    r.slot = (struct slot){.n = 16 << 20, .weight_decay = 0.1F, .lr_scale = 1};
    r.slot.w = mat(1, 16 << 20, F32).p, r.slot.g = mat(1, 16 << 20, F32).p;
    r.slot.m = mat(1, 16 << 20, F32).p, r.slot.v = mat(1, 16 << 20, F32).p;
    memset(r.slot.v, 0, 64 << 20); /* a second moment is not negative */
    r.sampling =
        (struct sampling){.temperature = 0.8F, .top_p = 0.9F, .repetition_penalty = 1, .top_k = 50};
    double n = m->layers,
           params = n * (2.0 * m->dim * m->dim + 2.0 * m->dim * kv + 3.0 * m->dim * m->ffn) +
                    (double)m->vocab * m->dim;
    double causal = 2.0 * rows * m->length * m->dim; /* half of 4 T^2 d */
    char shape[64];
    snprintf(shape, sizeof shape, "%d x %d", rows, m->dim);
    double attention = print("attn", shape, best_of(run_attn, &r), causal, 0) * n;
    attention += print("attn_back", shape, best_of(run_attn_back, &r), causal * 2.5, 0) * n;
    double other = print("norm", shape, best_of(run_norm, &r), 0, 4 * rd) * (2 * n + 1);
    other += print("norm_back", shape, best_of(run_norm_back, &r), 0, 4 * rd) * (2 * n + 1);
    other += print("rope", shape, best_of(run_rope, &r), 0, 2 * rd) * n * 2 *
             (1 + (double)m->kv_heads / m->heads);
    snprintf(shape, sizeof shape, "%d x %d", rows, m->ffn);
    other += print("swiglu", shape, best_of(run_swiglu, &r), 0, 3 * rf) * n;
    other += print("swiglu_back", shape, best_of(run_swiglu_back, &r), 0, 5 * rf) * n;
    snprintf(shape, sizeof shape, "%d x %d", loss_rows, m->vocab);
    other += print("xent", shape, best_of(run_xent, &r), 0, 8.0 * loss_rows * m->vocab) * rows /
             loss_rows;
    other += print("sumsq", "16 M", best_of(run_sumsq, &r), 0, 4.0 * r.slot.n) * params /
             (double)r.slot.n;
    other += print("adamw", "16 M", best_of(run_adamw, &r), 0, 28.0 * r.slot.n) * params /
             (double)r.slot.n;
    print("embed", shape, best_of(run_embed, &r), 0, 2 * rd);
    print("attn (1 query)", "", best_of(run_attn_one, &r), 0, 2.0 * m->length * kv * size);
    print("sample", "", best_of(run_sample, &r), 0, 4.0 * m->vocab);
    printf("of a step: attention %.0f ms, the rest without products %.0f ms\n", attention * 1e3,
           other * 1e3);
    sum->rest += attention + other;
}

/* One token through all weights, which are more than any cache holds. */
static void bench_decode(const struct model *m, enum dtype t) {
    struct product p[64];
    int n = 0, dims[4][2] = {{m->dim, m->dim},
                             {m->dim, m->dim * m->kv_heads / m->heads},
                             {m->ffn, m->dim},
                             {m->dim, m->ffn}};
    int each = m->layers < 12 ? m->layers : 12;
    double bytes = 0, time = 0;
    for (int l = 0; l < each; l++)
        for (int i = 0; i < 4; i++, n++) {
            int out = dims[i][0], in = dims[i][1];
            p[n] = (struct product){.y = mat(1, out, t),
                                    .x = mat(1, in, t),
                                    .w = {.w = mat(out, in, t == F32 ? F32 : BF16), .t = t}};
            size_t packed = kernels_packed_bytes(&info, out, in, t, PACK_FORWARD);
            if (packed) p[n].w.packed = take(packed);
            k->settle(d, &p[n].w, PACK_FORWARD);
            bytes += (double)out * in * (double)dtype_bytes(t);
        }
    time = 1e30;
    for (int i = 0; i < 30; i++) {
        double start = seconds_now();
        for (int j = 0; j < n; j++) run_linear(&p[j]);
        start = seconds_now() - start;
        if (start < time) time = start;
    }
    print("linear", "1 row, decode", time, 0, bytes);
}

/* ---- the machine ---- */

/* Reading: the sum of the squares of 256 MB, which no cache holds. */
struct reading { struct slot slot; struct block *block; };
static void run_read(void *arg) {
    struct reading *r = arg;
    k->sumsq(d, r->block, &r->slot, 1);
}

static void bench(const struct model *m, enum dtype t) {
    struct sums sum = {0};
    int rows = m->length * m->batch, kv = m->dim * m->kv_heads / m->heads;
    peak = k->peak(d, t);
    printf("\n%s, %s: peak %.0f GF/s, read %.1f GB/s\n", m->name, t == BF16 ? "bf16" : "f32",
           peak * 1e-9, bandwidth * 1e-9);
    bench_product(&sum, "qkv", rows, m->dim, m->dim + 2 * kv, t, m->layers);
    bench_product(&sum, "o", rows, m->dim, m->dim, t, m->layers);
    bench_product(&sum, "gate|up", rows, m->dim, 2 * m->ffn, t, m->layers);
    bench_product(&sum, "down", rows, m->ffn, m->dim, t, m->layers);
    give_back();
    bench_product(&sum, "head", 1024, m->dim, m->vocab, t, rows / 1024);
    give_back();
    bench_rest(&sum, m, t);
    give_back();
    bench_decode(m, t);
    give_back();
    printf("products of a step: hone %.2f s, oneDNN %.2f s; all else %.2f s; a step reaches %.0f "
           "%% of oneDNN's products alone\n",
           sum.ours, sum.onednn, sum.rest, 100 * sum.onednn / (sum.ours + sum.rest));
}

int main(int argc, char **argv) {
    char why[512];
    const char *build = getenv("B");
    k = kernels_load("cpu", build ? build : "build", why, sizeof why);
    pool = pool_make(argc > 3 ? (int)strtol(argv[3], NULL, 10) : 0);
    if (!k || !k->open(&d, 0, pool, why, sizeof why))
        return fprintf(stderr, "bench_ops: %s\n", why), 1;
    k->info(d, &info);
    struct shape shape = {
        .rows = 4096, .longest = 1024, .dim = 768, .heads = 12, .ffn = 2048, .vocab = 50000};
    size_t bytes = kernels_workspace_bytes(&info, &shape);
    k->workspace(d, k->alloc(d, bytes), bytes);
    struct reading r = {.slot.n = 64 << 20, .block = take(sizeof *r.block)};
    r.slot.g = mat(1, 64 << 20, F32).p;
    bandwidth = (double)r.slot.n * 4 / best_of(run_read, &r);
    give_back();
    printf("%s, %s, %d threads\n", info.name, info.isa, info.threads);
    for (size_t i = 0; i < sizeof models / sizeof models[0]; i++)
        for (int t = F32; t <= BF16; t++)
            if ((argc < 2 || strcmp(argv[1], models[i].name) == 0) &&
                (argc < 3 || (strcmp(argv[2], "bf16") == 0) == (t == BF16)))
                bench(&models[i], (enum dtype)t);
    return 0;
}
