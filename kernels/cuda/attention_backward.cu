/* attention_backward.cu - the gradient of attention on tensor cores, without a sum that two blocks
 * share: one kernel has a tile of keys and goes over the queries that see them (dk, dv), another
 * has a tile of queries and goes over the keys that they see (dq). Both work the weights out again
 * from lse. A head of other than HD columns is filled up with zeros. */
#include "kernels/cuda/attention.h"

enum { OWN = 64, OTHER = 32, BACKWARD = OWN / 16 * 32 };

/* The tile that a block keeps, of two matrices, and the one that passes by. */
template <int HD> struct backward_memory {
    uint16_t own[2][OWN][HD + PAD], other[2][OTHER][HD + PAD];
};

/* s [16 x OTHER] = 16 rows of `own` times `other` transposed. */
template <int HD>
__device__ static inline void scores(float (&s)[OTHER / 8][4], const uint16_t (*own)[HD + PAD],
                                     int row, const uint16_t (*other)[HD + PAD]) {
    unsigned a[4], b[4];
    UNROLL
    for (int j = 0; j < OTHER / 2; j++) s[j / 4][j % 4] = 0;
    UNROLL
    for (int k = 0; k < HD; k += 16) {
        a_rows(a, own, row, k);
        UNROLL
        for (int j = 0; j < OTHER; j += 16) {
            b_rows(b, other, j, k);
            mma(s[j / 8], a, b[0], b[1]);
            mma(s[j / 8 + 1], a, b[2], b[3]);
        }
    }
}

/* sum [16 x COLS] adds s (as BF16) times columns [col, col + COLS) of `other`. */
template <int HD, int COLS>
__device__ static inline void add_product(float (&sum)[COLS / 8][4], const float (&s)[OTHER / 8][4],
                                          const uint16_t (*other)[HD + PAD], int col) {
    UNROLL
    for (int j = 0; j < OTHER; j += 16) {
        unsigned a[4], b[4];
        UNROLL
        for (int e = 0; e < 4; e++)
            a[e] = bf16_pair(s[j / 8 + e / 2][e % 2 * 2], s[j / 8 + e / 2][e % 2 * 2 + 1]);
        UNROLL
        for (int c = 0; c < COLS; c += 16) {
            b_columns(b, other, j, col + c);
            mma(sum[c / 8], a, b[0], b[1]);
            mma(sum[c / 8 + 1], a, b[2], b[3]);
        }
    }
}

template <int COLS>
__device__ static inline void rows_out(const struct mat &m, int first, int end, int col, int left,
                                       float factor, const float (&sum)[COLS / 8][4]) {
    int lane = (int)threadIdx.x % 32;
    UNROLL
    for (int i = 0; i < COLS / 2; i++) {
        int row = first + lane / 4 + i % 4 / 2 * 8, c = i / 4 * 8 + lane % 4 * 2 + i % 2;
        float v[1] = {sum[i / 4][i % 4] * factor};
        if (row < end && c < left) give(m, row, col + c, v);
    }
}

/* Two matrices' rows from `row` on into two tiles, all there when it returns. */
template <int ROWS, int HD>
__device__ static inline void tiles_load(uint16_t (*tiles)[ROWS][HD + PAD], const struct mat &x,
                                         const struct mat &y, int row, int end, int col, int n,
                                         bool can_copy) {
    tile_load<ROWS, HD>(tiles[0], x, row, col, end, col + n, can_copy, BACKWARD);
    tile_load<ROWS, HD>(tiles[1], y, row, col, end, col + n, can_copy, BACKWARD);
    copies_commit();
}

/* ---- dk and dv ---- */

/* s: scores [keys x queries] become weights. `query` is the first of the tile, `key` this lane's
 * first key; both count from the sequence's begin. lse is that of its first query and this head. */
__device__ static inline void key_weights(float (&s)[OTHER / 8][4], const float *lse, int heads,
                                          float scale, int query, int queries, int key) {
    int t = (int)threadIdx.x % 4;
    UNROLL
    for (int i = 0; i < OTHER / 4; i++) {
        int q = query + i / 2 * 8 + 2 * t + i % 2, held = q < queries ? q : 0;
        float l = lse[held * heads];
        UNROLL
        for (int h = 0; h < 2; h++) {
            float *x = &s[i / 2][2 * h + i % 2];
            *x = q < queries && q >= key + 8 * h ? exp2f((*x * scale - l) * LOG2_E) : 0;
        }
    }
}

/* dp becomes ds. */
__device__ static inline void key_differences(float (&dp)[OTHER / 8][4],
                                              const float (&s)[OTHER / 8][4], const float *delta,
                                              int heads, int query, int queries) {
    int t = (int)threadIdx.x % 4;
    UNROLL
    for (int i = 0; i < OTHER / 4; i++) {
        int q = query + i / 2 * 8 + 2 * t + i % 2, held = q < queries ? q : 0;
        float d = delta[held * heads];
        UNROLL
        for (int h = 0; h < 2; h++) {
            float p = s[i / 2][2 * h + i % 2], *y = &dp[i / 2][2 * h + i % 2];
            *y = p == 0 ? 0 : p * (*y - d); /* not seen: whatever stands there */
        }
    }
}

/* Columns [blockIdx.z OUT, + OUT) of dk and dv. own: k, v; other: q, d_o. */
template <int HD, int OUT> KERNEL(BACKWARD) tensor_back_key(struct attend a, struct attend_back b) {
    SHARED_DYNAMIC(char, memory);
    backward_memory<HD> *m = (backward_memory<HD> *)memory;
    struct piece p;
    if (!tile_find(a, (int)blockIdx.x, OWN, &p)) return;
    int kv_head = (int)blockIdx.y, n = a.head_dim, col = kv_head * n, part = (int)blockIdx.z * OUT;
    int row = (int)threadIdx.x / 32 * 16, g = (int)threadIdx.x % 32 / 4, queries = p.end - p.first;
    size_t at = (size_t)p.first * (size_t)a.heads;
    float dk[OUT / 8][4] = {}, dv[OUT / 8][4] = {}, s[OTHER / 8][4], dp[OTHER / 8][4];
    tiles_load<OWN, HD>(m->own, a.k, a.v, p.first + p.from, p.end, col, n, a.k_copies);
    for (int head = kv_head * a.group; head < (kv_head + 1) * a.group; head++)
        for (int query = p.from; query < queries; query += OTHER) {
            __syncthreads(); /* the last tile has been used by all */
            tiles_load<OTHER, HD>(m->other, a.q, b.d_o, p.first + query, p.end, head * n, n,
                                  a.q_copies);
            copies_wait<0>();
            __syncthreads();
            scores<HD>(s, m->own[0], row, m->other[0]);
            key_weights(s, a.lse + at + head, a.heads, a.scale, query, queries, p.from + row + g);
            add_product<HD, OUT>(dv, s, m->other[1], part);
            scores<HD>(dp, m->own[1], row, m->other[1]);
            key_differences(dp, s, b.delta + at + head, a.heads, query, queries);
            add_product<HD, OUT>(dk, dp, m->other[0], part);
        }
    copies_wait<0>();
    rows_out<OUT>(b.dk, p.first + p.from + row, p.end, col + part, n - part, a.scale, dk);
    rows_out<OUT>(b.dv, p.first + p.from + row, p.end, col + part, n - part, 1, dv);
}

/* ---- dq ---- */

/* s: scores [queries x keys] and dp become ds, in dp. */
__device__ static inline void query_weights(const float (&s)[OTHER / 8][4],
                                            float (&dp)[OTHER / 8][4], float scale, int query,
                                            int key, const float (&lse)[2],
                                            const float (&delta)[2]) {
    int t = (int)threadIdx.x % 4;
    UNROLL
    for (int i = 0; i < OTHER / 2; i++) {
        int h = i % 4 / 2, q = query + 8 * h, k = key + i / 4 * 8 + 2 * t + i % 2;
        float w = exp2f((s[i / 4][i % 4] * scale - lse[h]) * LOG2_E), *y = &dp[i / 4][i % 4];
        *y = q >= k ? w * (*y - delta[h]) : 0;
    }
}

/* own: q, d_o; other: k, v. */
template <int HD> KERNEL(BACKWARD) tensor_back_query(struct attend a, struct attend_back b) {
    SHARED_DYNAMIC(char, memory);
    backward_memory<HD> *m = (backward_memory<HD> *)memory;
    struct piece p;
    if (!tile_find(a, (int)blockIdx.x, OWN, &p)) return;
    int head = (int)blockIdx.y, n = a.head_dim, col = head / a.group * n;
    int row = (int)threadIdx.x / 32 * 16, g = (int)threadIdx.x % 32 / 4;
    int last = p.end - p.first < p.from + OWN ? p.end - p.first : p.from + OWN; /* keys seen */
    float dq[HD / 8][4] = {}, s[OTHER / 8][4], dp[OTHER / 8][4], lse[2], delta[2];
    for (int h = 0; h < 2; h++) {
        int at = p.first + p.from + row + g + 8 * h; /* a row beyond the end is not written */
        size_t i = (size_t)(at < p.end ? at : p.first) * (size_t)a.heads + (size_t)head;
        lse[h] = a.lse[i], delta[h] = b.delta[i];
    }
    tiles_load<OWN, HD>(m->own, a.q, b.d_o, p.first + p.from, p.end, head * n, n, a.q_copies);
    for (int key = 0; key < last; key += OTHER) {
        __syncthreads(); /* the last tile has been used by all */
        tiles_load<OTHER, HD>(m->other, a.k, a.v, p.first + key, p.end, col, n, a.k_copies);
        copies_wait<0>();
        __syncthreads();
        scores<HD>(s, m->own[0], row, m->other[0]);
        scores<HD>(dp, m->own[1], row, m->other[1]);
        query_weights(s, dp, a.scale, p.from + row + g, key, lse, delta);
        add_product<HD, HD>(dq, dp, m->other[0], 0);
    }
    copies_wait<0>();
    rows_out<HD>(b.dq, p.first + p.from + row, p.end, head * n, n, a.scale, dq);
}

template <int HD, int OUT>
static void backward_launch(struct device *d, const struct attend &a, const struct attend_back &b,
                            int rows) {
    unsigned tiles = (unsigned)(rows / OWN + a.n), kv_heads = (unsigned)(a.heads / a.group);
    launch(d, "attn_back", tensor_back_key<HD, OUT>, dim3(tiles, kv_heads, HD / OUT), BACKWARD,
           sizeof(backward_memory<HD>), a, b);
    launch(d, "attn_back", tensor_back_query<HD>, dim3(tiles, (unsigned)a.heads), BACKWARD,
           sizeof(backward_memory<HD>), a, b);
}

void attention_tensor_back(struct device *d, const struct attend &a, const struct attend_back &b,
                           int rows) {
    if (a.head_dim <= 64) backward_launch<64, 64>(d, a, b, rows);
    else if (a.head_dim <= 80) backward_launch<80, 80>(d, a, b, rows);
    else if (a.head_dim <= 96) backward_launch<96, 96>(d, a, b, rows);
    else if (a.head_dim <= 128) backward_launch<128, 128>(d, a, b, rows);
    else backward_launch<256, 128>(d, a, b, rows);
}
