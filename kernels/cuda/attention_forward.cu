/* attention_forward.cu - attention on tensor cores (Dao 2023): a block has QUERIES rows of one
 * head, 16 a warp, and goes over their keys in tiles; scores, weights and sums stay in registers,
 * and the sums are rescaled when a larger score is met. Keys and values of the next tile are copied
 * while this one is worked on. A head of other than HD columns is filled up with zeros. */
#include "kernels/cuda/attention.h"

enum { QUERIES = 64, FORWARD = QUERIES / 16 * 32 };

template <int HD, int KEYS> struct forward_memory {
    uint16_t q[QUERIES][HD + PAD];
    uint16_t k[2][KEYS][HD + PAD], v[2][KEYS][HD + PAD];
};

/* What a warp has of its 16 queries: of two rows, g and g + 8, the largest score so far in units of
 * 1 / (scale log2 e), the sum of weights (each lane its own columns), and the sums of values. */
template <int HD> struct forward_state { float most[2], total[2], sum[HD / 8][4]; };

/* Scores of a tile become weights, as fragments of A for the product with the values. */
template <int HD, int KEYS>
__device__ static inline void weights(float (&s)[KEYS / 8][4], unsigned (&w)[KEYS / 16][4],
                                      forward_state<HD> *st, float scale_log2, int key,
                                      const int (&seen)[2]) {
    int t = (int)threadIdx.x % 4;
    UNROLL
    for (int h = 0; h < 2; h++) {
        float most = st->most[h];
        UNROLL
        for (int i = 0; i < KEYS / 4; i++) {
            float *x = &s[i / 2][2 * h + i % 2];
            if (key + i / 2 * 8 + 2 * t + i % 2 >= seen[h]) *x = -INFINITY;
            most = fmaxf(most, *x);
        }
        most = fmaxf(most, __shfl_xor_sync(~0U, most, 1));
        most = fmaxf(most, __shfl_xor_sync(~0U, most, 2));
        float base = most == -INFINITY ? 0 : most * scale_log2; /* no key seen yet */
        float factor = exp2f(st->most[h] * scale_log2 - base), total = 0;
        UNROLL
        for (int i = 0; i < KEYS / 4; i++) {
            float *x = &s[i / 2][2 * h + i % 2];
            *x = exp2f(*x * scale_log2 - base);
            total += *x;
        }
        st->most[h] = most;
        st->total[h] = st->total[h] * factor + total;
        UNROLL
        for (int i = 0; i < HD / 4; i++) st->sum[i / 2][2 * h + i % 2] *= factor;
    }
    UNROLL
    for (int i = 0; i < KEYS / 16; i++) {
        UNROLL
        for (int e = 0; e < 4; e++)
            w[i][e] = bf16_pair(s[2 * i + e / 2][e % 2 * 2], s[2 * i + e / 2][e % 2 * 2 + 1]);
    }
}

template <int HD, int KEYS>
__device__ static inline void forward_tile(const forward_memory<HD, KEYS> *m, int stage, int row,
                                           forward_state<HD> *st, float scale_log2, int key,
                                           const int (&seen)[2]) {
    float s[KEYS / 8][4] = {};
    unsigned w[KEYS / 16][4], a[4], b[4];
    UNROLL
    for (int k = 0; k < HD; k += 16) {
        a_rows(a, m->q, row, k);
        UNROLL
        for (int j = 0; j < KEYS; j += 16) {
            b_rows(b, m->k[stage], j, k);
            mma(s[j / 8], a, b[0], b[1]);
            mma(s[j / 8 + 1], a, b[2], b[3]);
        }
    }
    weights<HD, KEYS>(s, w, st, scale_log2, key, seen);
    UNROLL
    for (int j = 0; j < KEYS; j += 16) {
        UNROLL
        for (int c = 0; c < HD; c += 16) {
            b_columns(b, m->v[stage], j, c);
            mma(st->sum[c / 8], w[j / 16], b[0], b[1]);
            mma(st->sum[c / 8 + 1], w[j / 16], b[2], b[3]);
        }
    }
}

template <int HD>
__device__ static inline void forward_out(const struct attend &a, const struct piece &p, int row,
                                          int head, float scale, forward_state<HD> *st) {
    int t = (int)threadIdx.x % 4;
    UNROLL
    for (int h = 0; h < 2; h++) {
        float total = st->total[h];
        total += __shfl_xor_sync(~0U, total, 1);
        total += __shfl_xor_sync(~0U, total, 2);
        int at = p.first + row + 8 * h;
        if (at >= p.end) continue;
        bool any = st->most[h] != -INFINITY || total != 0; /* a NaN is passed on */
        float factor = any ? 1 / total : 0;
        if (a.lse && t == 0)
            a.lse[(size_t)at * (size_t)a.heads + (size_t)head] =
                any ? st->most[h] * scale + logf(total) : -INFINITY;
        UNROLL
        for (int i = 0; i < HD / 4; i++) {
            int col = i / 2 * 8 + 2 * t + i % 2;
            float v[1] = {st->sum[i / 2][2 * h + i % 2] * factor};
            if (col < a.head_dim) give(a.o, at, head * a.head_dim + col, v);
        }
    }
}

template <int HD, int KEYS> KERNEL(FORWARD) tensor_forward(struct attend a) {
    SHARED_DYNAMIC(char, memory);
    forward_memory<HD, KEYS> *m = (forward_memory<HD, KEYS> *)memory;
    struct piece p;
    if (!tile_find(a, (int)blockIdx.x, QUERIES, &p)) return;
    int head = (int)blockIdx.y, col = head * a.head_dim, k_col = head / a.group * a.head_dim;
    int last = p.end - p.first - p.from < QUERIES ? p.end - p.first : p.from + QUERIES;
    int keys = last + p.ahead < p.keys ? last + p.ahead : p.keys; /* that any of them sees */
    int row = (int)threadIdx.x / 32 * 16, g = (int)threadIdx.x % 32 / 4;
    const int seen[2] = {p.from + row + g + 1 + p.ahead, p.from + row + g + 9 + p.ahead};
    forward_state<HD> st = {{-INFINITY, -INFINITY}, {0, 0}, {}};
    auto load = [&](int stage, int key) {
        if (key < keys) {
            tile_load<KEYS, HD>(m->k[stage], a.k, p.key + key, k_col, p.key + p.keys,
                                k_col + a.head_dim, a.k_copies, FORWARD);
            tile_load<KEYS, HD>(m->v[stage], a.v, p.key + key, k_col, p.key + p.keys,
                                k_col + a.head_dim, a.k_copies, FORWARD);
        }
        copies_commit();
    };
    tile_load<QUERIES, HD>(m->q, a.q, p.first + p.from, col, p.end, col + a.head_dim, a.q_copies,
                           FORWARD);
    load(0, 0);
    for (int key = 0, stage = 0; key < keys; key += KEYS, stage ^= 1) {
        load(stage ^ 1, key + KEYS);
        copies_wait<1>();
        __syncthreads();
        forward_tile<HD, KEYS>(m, stage, row, &st, a.scale * LOG2_E, key, seen);
        __syncthreads(); /* before its stage is loaded again */
    }
    copies_wait<0>();
    forward_out<HD>(a, p, p.from + row + g, head, a.scale, &st);
}

template <int HD, int KEYS>
static void forward_launch(struct device *d, const struct attend &a, int rows) {
    dim3 grid((unsigned)(rows / QUERIES + a.n), (unsigned)a.heads);
    launch(d, "attn", tensor_forward<HD, KEYS>, grid, FORWARD, sizeof(forward_memory<HD, KEYS>), a);
}

void attention_tensor(struct device *d, const struct attend &a, int rows) {
    if (a.head_dim <= 64) forward_launch<64, 64>(d, a, rows);
    else if (a.head_dim <= 80) forward_launch<80, 64>(d, a, rows);
    else if (a.head_dim <= 96) forward_launch<96, 32>(d, a, rows);
    else if (a.head_dim <= 128) forward_launch<128, 32>(d, a, rows);
    else forward_launch<256, 32>(d, a, rows);
}
