/* product.cu - the product of our own: C [m, n] = alpha A B + beta C, of two factors each of which
 * may be stored either way round. Three kernels:
 *
 *   tensor_product  BF16 factors on tensor cores: tiles of 128 x 128 (64 x 64 where there are few),
 *                   three stages of asynchronous copies, F32 sums in registers;
 *   plain_product   F32 factors in F32, for checking and for small things;
 *   few_rows        at most FEW rows of x: a warp reads one row of the weight and is done, at the
 *                   pace of memory.
 *
 * Every element is one thread's, and its sum has one order: k upwards. */
#include "kernels/cuda/tiles.h"

/* m x n of C; k: how long the sums are. Of A: [m][k], or [k][m] where a_down; of B: [n][k], or
 * [k][n] where b_down. */
struct product {
    struct mat c, a, b;
    int k;
    bool a_down, b_down;
    bool a_copies, b_copies;         /* asynchronously */
    float alpha, beta;
};

__device__ static inline void blend(const struct product &p, int row, int col, float sum) {
    if (row >= p.c.rows || col >= p.c.cols) return;
    float v[1] = {0};
    if (p.beta != 0) take(v, p.c, row, col); /* 0: it may hold anything */
    v[0] = p.beta != 0 ? p.alpha * sum + p.beta * v[0] : p.alpha * sum;
    give(p.c, row, col, v);
}

/* ---- tensor cores ---- */

enum { STEP = 32, STAGES = 3 };

template <bool A_DOWN, bool B_DOWN, int M, int N> struct stage {
    uint16_t a[A_DOWN ? STEP : M][(A_DOWN ? M : STEP) + PAD];
    uint16_t b[B_DOWN ? STEP : N][(B_DOWN ? N : STEP) + PAD];
};

template <bool A_DOWN, bool B_DOWN, int M, int N>
__device__ static inline void stage_load(stage<A_DOWN, B_DOWN, M, N> *s, const struct product &p,
                                         int m0, int n0, int k0) {
    if (k0 < p.k) {
        constexpr int A_ROWS = A_DOWN ? STEP : M, B_ROWS = B_DOWN ? STEP : N;
        constexpr int A_COLS = A_DOWN ? M : STEP, B_COLS = B_DOWN ? N : STEP;
        int m = p.c.rows, n = p.c.cols;
        tile_load<A_ROWS, A_COLS>(s->a, p.a, A_DOWN ? k0 : m0, A_DOWN ? m0 : k0, A_DOWN ? p.k : m,
                                  A_DOWN ? m : p.k, p.a_copies, N * 2);
        tile_load<B_ROWS, B_COLS>(s->b, p.b, B_DOWN ? k0 : n0, B_DOWN ? n0 : k0, B_DOWN ? p.k : n,
                                  B_DOWN ? n : p.k, p.b_copies, N * 2);
    }
    copies_commit();
}

/* A block of N / 16 warps, two down and N / 32 across, each M / 2 x 32 of the tile. */
template <bool A_DOWN, bool B_DOWN, int M, int N> KERNEL(N * 2) tensor_product(struct product p) {
    SHARED_DYNAMIC(char, memory);
    constexpr int DOWN = M / 32; /* fragments of 16 rows in a warp's part */
    stage<A_DOWN, B_DOWN, M, N> *stages = (stage<A_DOWN, B_DOWN, M, N> *)memory;
    int m0 = (int)blockIdx.x * M, n0 = (int)blockIdx.y * N, warp = (int)threadIdx.x / 32,
        lane = (int)threadIdx.x % 32, m = warp % 2 * (M / 2), n = warp / 2 * 32;
    float sum[DOWN][4][4] = {};
    for (int i = 0; i < STAGES - 1; i++) stage_load(&stages[i], p, m0, n0, i * STEP);
    for (int k0 = 0, at = 0; k0 < p.k; k0 += STEP, at = (at + 1) % STAGES) {
        copies_wait<STAGES - 2>();
        __syncthreads(); /* and the stage that is loaded next has been used by all */
        stage_load(&stages[(at + STAGES - 1) % STAGES], p, m0, n0, k0 + (STAGES - 1) * STEP);
        for (int k = 0; k < STEP; k += 16) {
            unsigned a[DOWN][4], b[2][4];
            UNROLL
            for (int i = 0; i < DOWN; i++) {
                if (A_DOWN) a_columns(a[i], stages[at].a, k, m + i * 16);
                else a_rows(a[i], stages[at].a, m + i * 16, k);
            }
            UNROLL
            for (int j = 0; j < 2; j++) {
                if (B_DOWN) b_columns(b[j], stages[at].b, k, n + j * 16);
                else b_rows(b[j], stages[at].b, n + j * 16, k);
            }
            UNROLL
            for (int i = 0; i < DOWN; i++) {
                UNROLL
                for (int j = 0; j < 4; j++)
                    mma(sum[i][j], a[i], b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]);
            }
        }
    }
    copies_wait<0>();
    UNROLL
    for (int i = 0; i < DOWN * 16; i++)
        blend(p, m0 + m + i / 16 * 16 + lane / 4 + i % 4 / 2 * 8,
              n0 + n + i / 4 % 4 * 8 + lane % 4 * 2 + i % 2, sum[i / 16][i / 4 % 4][i % 4]);
}

template <bool A_DOWN, bool B_DOWN, int M, int N>
static void tensor_launch(struct device *d, const struct product &p) {
    dim3 grid(parts_of(p.c.rows, M), parts_of(p.c.cols, N));
    launch(d, "product", tensor_product<A_DOWN, B_DOWN, M, N>, grid, N * 2,
           STAGES * sizeof(stage<A_DOWN, B_DOWN, M, N>), p);
}

template <bool A_DOWN, bool B_DOWN>
static void tensor_sized(struct device *d, const struct product &p) {
    /* Fewer tiles than any device has processors: smaller ones keep more of them busy. */
    bool few = (int64_t)parts_of(p.c.rows, 128) * (int64_t)parts_of(p.c.cols, 128) < 64;
    if (few) tensor_launch<A_DOWN, B_DOWN, 64, 64>(d, p);
    else tensor_launch<A_DOWN, B_DOWN, 128, 128>(d, p);
}

/* ---- F32 ---- */

enum { PLAIN = 64, PLAIN_STEP = 16 };

/* One of a factor's elements, [i][k] whichever way it is stored. */
__device__ static inline float factor(const struct mat &m, bool down, int i, int n, int k,
                                      int end) {
    float v[1] = {0};
    if (i < n && k < end) {
        if (down) take(v, m, k, i);
        else take(v, m, i, k);
    }
    return v[0];
}

/* Neighbouring threads read neighbouring elements, whichever way the factor is stored. */
__device__ static inline void plain_load(float (*tile)[PLAIN + 4], const struct mat &m, bool down,
                                         int first, int n, int k0, int end) {
    for (int e = (int)threadIdx.x; e < PLAIN * PLAIN_STEP; e += 256) {
        int i = down ? e % PLAIN : e / PLAIN_STEP, k = down ? e / PLAIN : e % PLAIN_STEP;
        tile[k][i] = factor(m, down, first + i, n, k0 + k, end);
    }
}

KERNEL(256) plain_product(struct product p) {
    SHARED(float, a, [PLAIN_STEP][PLAIN + 4]);
    SHARED(float, b, [PLAIN_STEP][PLAIN + 4]);
    int m0 = (int)blockIdx.x * PLAIN, n0 = (int)blockIdx.y * PLAIN, m = (int)threadIdx.x / 16 * 4,
        n = (int)threadIdx.x % 16 * 4;
    float sum[4][4] = {};
    for (int k0 = 0; k0 < p.k; k0 += PLAIN_STEP) {
        __syncthreads();
        plain_load(a, p.a, p.a_down, m0, p.c.rows, k0, p.k);
        plain_load(b, p.b, p.b_down, n0, p.c.cols, k0, p.k);
        __syncthreads();
        for (int k = 0; k < PLAIN_STEP; k++)
            for (int i = 0; i < 4; i++)
                for (int j = 0; j < 4; j++) sum[i][j] += a[k][m + i] * b[k][n + j];
    }
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++) blend(p, m0 + m + i, n0 + n + j, sum[i][j]);
}

/* ---- few rows ---- */

enum { FEW = 8 };

/* A warp has one column of C, which is one row of the weight, and all rows of x. t: what both
 * factors are rounded to. */
template <int W> KERNEL(256) few_rows(struct product p, enum dtype t) {
    int col = (int)(blockIdx.x * 8 + threadIdx.x / 32), lane = (int)threadIdx.x % 32;
    float sum[FEW] = {};
    if (col >= p.c.cols) return; /* a whole warp */
    for (int k = lane * W; k < p.k; k += 32 * W) {
        float w[W], x[W];
        take(w, p.b, col, k);
        for (int i = 0; i < W; i++) w[i] = rounded(w[i], t);
        UNROLL
        for (int row = 0; row < FEW; row++) {
            if (row >= p.c.rows) continue;
            take(x, p.a, row, k);
            for (int i = 0; i < W; i++) sum[row] += rounded(x[i], t) * w[i];
        }
    }
    UNROLL
    for (int row = 0; row < FEW; row++) {
        if (row >= p.c.rows) continue;
        float all = warp_sum(sum[row]);
        if (lane == 0) blend(p, row, col, all);
    }
}

/* ---- which ---- */

static void product_launch(struct device *d, struct product p, enum dtype t) {
    if (p.c.rows == 0 || p.c.cols == 0) return;
    p.a_copies = copyable(p.a), p.b_copies = copyable(p.b);
    if (!p.a_down && !p.b_down && p.c.rows <= FEW) {
        bool is_wide = p.k % WIDE == 0 && wide(p.a) && wide(p.b);
        launch(d, "product", is_wide ? few_rows<WIDE> : few_rows<1>, parts_of(p.c.cols, 8), 256, 0,
               p, t);
    } else if (t == BF16) {
        if (p.a_down) tensor_sized<true, true>(d, p);
        else if (p.b_down) tensor_sized<false, true>(d, p);
        else tensor_sized<false, false>(d, p);
    } else {
        dim3 grid(parts_of(p.c.rows, PLAIN), parts_of(p.c.cols, PLAIN));
        launch(d, "product", plain_product, grid, 256, 0, p);
    }
}

static struct mat factor_of(const struct weight *w) {
    return w->packed ? mat_make(w->packed, w->w.rows, w->w.cols, w->t) : w->w;
}

void cuda_product_settle(struct device *d, const struct weight *w, unsigned packing) {
    (void)packing;
    if (w->packed) cuda_convert(d, mat_make(w->packed, w->w.rows, w->w.cols, w->t), w->w);
}

void cuda_product_linear(struct device *d, struct mat y, struct mat x, const struct weight *w,
                         float alpha, float beta) {
    product_launch(d, {y, x, factor_of(w), x.cols, false, false, false, false, alpha, beta}, w->t);
}

void cuda_product_linear_back(struct device *d, struct mat dx, struct mat dy,
                              const struct weight *w, float alpha, float beta) {
    product_launch(d, {dx, dy, factor_of(w), dy.cols, false, true, false, false, alpha, beta},
                   w->t);
}

void cuda_product_linear_grad(struct device *d, struct mat dw, struct mat dy, struct mat x,
                              float alpha) {
    enum dtype t = dy.t == BF16 && x.t == BF16 ? BF16 : F32;
    product_launch(d, {dw, dy, x, dy.rows, true, true, false, false, alpha, 1}, t);
}
