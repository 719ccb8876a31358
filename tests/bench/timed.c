/* timed.c - each row calls the real one and adds what it took to the operation's line. The bytes are
 * what the operation has to read and write at least, whatever a cache may hold of them. */
#include "tests/bench/timed.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { FEW_ROWS = 8 }; /* below that a product is reading its weight */

static const struct kernels *real;
static struct timed timed;

double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

void timed_reset(void) { timed.n = 0; }
const struct timed *timed_so_far(void) { return &timed; }

static void add(struct timed_row what)
{
    for (int i = 0; i < timed.n; i++) {
        struct timed_row *r = &timed.rows[i];
        if (strcmp(r->name, what.name) || r->a != what.a || r->b != what.b || r->c != what.c ||
            r->type != what.type)
            continue;
        r->calls++;
        r->seconds += what.seconds;
        r->work += what.work;
        return;
    }
    if (timed.n == TIMED_ROWS) {
        fprintf(stderr, "timed: more than %d operations and shapes\n", TIMED_ROWS);
        _Exit(1);
    }
    what.calls = 1;
    timed.rows[timed.n++] = what;
}

static double bytes_of(struct mat m)
{
    return m.p ? (double)m.rows * m.cols * (double)dtype_bytes(m.t) : 0;
}

static void add_bytes(const char *name, struct mat m, double bytes, double start)
{
    double took = seconds_now() - start;
    add((struct timed_row){.name = name, .a = m.rows, .b = m.cols, .kind = TIMED_BYTES,
                           .seconds = took, .work = bytes});
}

static void add_product(const char *name, enum product_kind kind, int rows, int out, int in,
                        enum dtype t, enum dtype stored, double start)
{
    double took = seconds_now() - start, weight = (double)out * in * (double)dtype_bytes(stored);
    bool few = rows < FEW_ROWS && kind != PRODUCT_GRAD;
    add((struct timed_row){.name = name, .a = rows, .b = out, .c = in, .product = kind, .type = t,
                           .kind = few ? TIMED_BYTES : TIMED_PRODUCT, .seconds = took,
                           .work = few ? weight : 2.0 * rows * out * in});
}

/* ---- memory ---- */

static void timed_upload(struct device *d, void *to, const void *from, size_t bytes)
{
    double start = seconds_now();
    real->upload(d, to, from, bytes);
    add_bytes("upload", mat_make(NULL, 0, 0, U8), 2.0 * (double)bytes, start);
}
static void timed_download(struct device *d, void *to, const void *from, size_t bytes)
{
    double start = seconds_now();
    real->download(d, to, from, bytes);
    add_bytes("download", mat_make(NULL, 0, 0, U8), 2.0 * (double)bytes, start);
}
static void timed_convert(struct device *d, struct mat to, struct mat from)
{
    double start = seconds_now();
    real->convert(d, to, from);
    add_bytes("convert", to, bytes_of(to) + bytes_of(from), start);
}
static void timed_fill(struct device *d, struct mat m, float value)
{
    double start = seconds_now();
    real->fill(d, m, value);
    add_bytes("fill", m, bytes_of(m), start);
}

/* ---- products ---- */

static enum dtype stored_as(const struct weight *w) { return w->packed ? w->t : w->w.t; }

static void timed_settle(struct device *d, const struct weight *w, unsigned packing)
{
    double start = seconds_now(), copies = w->packed ? (packing & PACK_BACKWARD ? 2 : 1) : 0;
    real->settle(d, w, packing);
    double bytes = (double)w->w.rows * w->w.cols * copies * (double)dtype_bytes(w->t);
    add_bytes("settle", w->w, copies > 0 ? bytes_of(w->w) + bytes : 0, start);
}
static void timed_linear(struct device *d, struct mat y, struct mat x, const struct weight *w,
                         float alpha, float beta)
{
    double start = seconds_now();
    real->linear(d, y, x, w, alpha, beta);
    add_product("linear", PRODUCT_FORWARD, x.rows, y.cols, x.cols, w->t, stored_as(w), start);
}
static void timed_linear_back(struct device *d, struct mat dx, struct mat dy,
                              const struct weight *w, float alpha, float beta)
{
    double start = seconds_now();
    real->linear_back(d, dx, dy, w, alpha, beta);
    add_product("linear_back", PRODUCT_BACK, dy.rows, dy.cols, dx.cols, w->t, stored_as(w), start);
}
static void timed_linear_grad(struct device *d, struct mat dw, struct mat dy, struct mat x,
                              float alpha)
{
    double start = seconds_now();
    real->linear_grad(d, dw, dy, x, alpha);
    enum dtype t = dy.t == BF16 && x.t == BF16 ? BF16 : F32;
    add_product("linear_grad", PRODUCT_GRAD, x.rows, dy.cols, x.cols, t, F32, start);
}
static void timed_bias(struct device *d, struct mat y, struct mat b)
{
    double start = seconds_now();
    real->bias(d, y, b);
    add_bytes("bias", y, 2 * bytes_of(y), start);
}
static void timed_bias_grad(struct device *d, struct mat db, struct mat dy)
{
    double start = seconds_now();
    real->bias_grad(d, db, dy);
    add_bytes("bias_grad", dy, bytes_of(dy), start);
}

/* ---- rows ---- */

static void timed_embed(struct device *d, struct mat y, struct mat table, const int32_t *ids)
{
    double start = seconds_now();
    real->embed(d, y, table, ids);
    add_bytes("embed", y, 2 * bytes_of(y), start);
}
static void timed_embed_grad(struct device *d, struct mat dtable, struct mat dy, const int32_t *ids)
{
    double start = seconds_now();
    real->embed_grad(d, dtable, dy, ids);
    add_bytes("embed_grad", dy, 3 * bytes_of(dy), start);
}
static void timed_gather(struct device *d, struct mat y, struct mat x, const int32_t *index)
{
    double start = seconds_now();
    real->gather(d, y, x, index);
    add_bytes("gather", y, 2 * bytes_of(y), start);
}
static void timed_scatter(struct device *d, struct mat y, struct mat x, const int32_t *index)
{
    double start = seconds_now();
    real->scatter(d, y, x, index);
    add_bytes("scatter", y, bytes_of(y) + 2 * bytes_of(x), start);
}
static void timed_add(struct device *d, struct mat y, struct mat x, float alpha)
{
    double start = seconds_now();
    real->add(d, y, x, alpha);
    add_bytes("add", y, 2 * bytes_of(y) + bytes_of(x), start);
}
static void timed_dropout(struct device *d, struct mat y, struct mat x, float p, struct draw draw)
{
    double start = seconds_now();
    real->dropout(d, y, x, p, draw);
    add_bytes("dropout", y, bytes_of(y) + bytes_of(x), start);
}

/* ---- a block ---- */

static void timed_norm(struct device *d, struct mat y, float *rstd, struct mat x,
                       struct mat residual, struct mat weight, float eps)
{
    double start = seconds_now();
    real->norm(d, y, rstd, x, residual, weight, eps);
    double both = residual.p ? bytes_of(residual) + bytes_of(x) : 0;
    add_bytes("norm", y, bytes_of(y) + bytes_of(x) + both, start);
}
static void timed_norm_back(struct device *d, struct mat dx, struct mat dweight, struct mat dy,
                            struct mat x, struct mat weight, const float *rstd)
{
    double start = seconds_now();
    real->norm_back(d, dx, dweight, dy, x, weight, rstd);
    add_bytes("norm_back", dx, 2 * bytes_of(dx) + bytes_of(dy) + bytes_of(x), start);
}
static void timed_rope(struct device *d, struct mat x, const int32_t *pos, struct mat table,
                       int head_dim, float sign)
{
    double start = seconds_now();
    real->rope(d, x, pos, table, head_dim, sign);
    add_bytes("rope", x, 2 * bytes_of(x), start);
}
static double pairs_of(struct seqs sq, struct seqs sk)
{
    double pairs = 0;
    for (int i = 0; i < sq.n; i++) {
        double q = sq.start[i + 1] - sq.start[i], k = sk.start[i + 1] - sk.start[i];
        pairs += q * (k - q) + q * (q + 1) / 2;
    }
    return pairs;
}
static void timed_attn(struct device *d, struct mat o, float *lse, struct mat q, struct mat k,
                       struct mat v, struct seqs sq, struct seqs sk, const struct attention *a)
{
    double start = seconds_now();
    real->attn(d, o, lse, q, k, v, sq, sk, a);
    double took = seconds_now() - start;
    bool one = q.rows == sq.n; /* one query a sequence: reading the cache */
    double flop = 4 * pairs_of(sq, sk) * a->heads * a->head_dim;
    double bytes = 2.0 * sk.start[sk.n] * k.cols * (double)dtype_bytes(k.t);
    add((struct timed_row){.name = "attn", .a = q.rows, .b = q.cols, .c = sq.n, .type = q.t,
                           .kind = one ? TIMED_BYTES : TIMED_FLOPS, .seconds = took,
                           .work = one ? bytes : flop});
}
static void timed_attn_back(struct device *d, struct mat dq, struct mat dk, struct mat dv,
                            struct mat d_o, struct mat o, const float *lse, struct mat q,
                            struct mat k, struct mat v, struct seqs s, const struct attention *a)
{
    double start = seconds_now();
    real->attn_back(d, dq, dk, dv, d_o, o, lse, q, k, v, s, a);
    double took = seconds_now() - start;
    add((struct timed_row){.name = "attn_back", .a = q.rows, .b = q.cols, .c = s.n, .type = q.t,
                           .kind = TIMED_FLOPS, .seconds = took,
                           .work = 10 * pairs_of(s, s) * a->heads * a->head_dim});
}
static void timed_swiglu(struct device *d, struct mat y, struct mat gu)
{
    double start = seconds_now();
    real->swiglu(d, y, gu);
    add_bytes("swiglu", y, bytes_of(y) + bytes_of(gu), start);
}
static void timed_swiglu_back(struct device *d, struct mat dgu, struct mat dy, struct mat gu)
{
    double start = seconds_now();
    real->swiglu_back(d, dgu, dy, gu);
    add_bytes("swiglu_back", dy, bytes_of(dgu) + bytes_of(dy) + bytes_of(gu), start);
}

/* ---- loss and update ---- */

static void timed_xent(struct device *d, float *loss, struct mat grad, struct mat logits,
                       const int32_t *target, const struct block *block)
{
    double start = seconds_now();
    real->xent(d, loss, grad, logits, target, block);
    add_bytes("xent", logits, bytes_of(logits) + bytes_of(grad), start);
}
static void timed_total(struct device *d, struct block *block, const float *loss, int n)
{
    double start = seconds_now();
    real->total(d, block, loss, n);
    add_bytes("total", mat_make(NULL, n, 1, F32), 4.0 * n, start);
}
static void timed_sumsq(struct device *d, struct block *block, const struct slot *slots, int n)
{
    double start = seconds_now(), bytes = 0;
    real->sumsq(d, block, slots, n);
    for (int i = 0; i < n; i++)
        bytes += (double)slots[i].n * (double)dtype_bytes(slots[i].gradient);
    add_bytes("sumsq", mat_make(NULL, n, 1, F32), bytes, start);
}
static void timed_adamw(struct device *d, const struct slot *slots, int n, const struct block *block)
{
    double start = seconds_now(), bytes = 0;
    real->adamw(d, slots, n, block);
    for (int i = 0; i < n; i++)
        bytes += (double)slots[i].n * (8 + (double)dtype_bytes(slots[i].gradient) +
                                       4 * (double)dtype_bytes(slots[i].moment));
    add_bytes("adamw", mat_make(NULL, n, 1, F32), bytes, start);
}
static void timed_sample(struct device *d, int32_t *id, struct mat logits,
                         const struct sampling *s, const int32_t *recent, int n, struct draw draw)
{
    double start = seconds_now();
    real->sample(d, id, logits, s, recent, n, draw);
    add_bytes("sample", logits, bytes_of(logits), start);
}

const struct kernels *timed_over(const struct kernels *of)
{
    static struct kernels k;
    real = of;
    k = *of;
    timed_reset();
#define TIMED(op) k.op = timed_##op
    TIMED(upload), TIMED(download), TIMED(convert), TIMED(fill);
    TIMED(settle), TIMED(linear), TIMED(linear_back), TIMED(linear_grad);
    TIMED(bias), TIMED(bias_grad), TIMED(embed), TIMED(embed_grad), TIMED(gather), TIMED(scatter);
    TIMED(add), TIMED(dropout), TIMED(norm), TIMED(norm_back), TIMED(rope);
    TIMED(attn), TIMED(attn_back), TIMED(swiglu), TIMED(swiglu_back);
    TIMED(xent), TIMED(total), TIMED(sumsq), TIMED(adamw), TIMED(sample);
    return &k;
}
