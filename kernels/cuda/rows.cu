/* rows.cu - operations that move, add or spoil rows. Every element of an output belongs to one
 * thread, so nothing depends on an order. */
#include "kernels/cuda/sums.h"

/* ---- element by element ---- */

struct convert_args {
    struct mat to, from;
    template <int W> __device__ void at(int row, int col) const {
        float v[W];
        take(v, from, row, col);
        give(to, row, col, v);
    }
};
struct convert_ints_args { /* ids and positions have no other type */
    struct mat to, from;
    template <int W> __device__ void at(int row, int col) const {
        for (int i = 0; i < W; i++)
            ((int32_t *)to.p)[place(to, row, col + i)] =
                ((const int32_t *)from.p)[place(from, row, col + i)];
    }
};

void cuda_convert(struct device *d, struct mat to, struct mat from) {
    if (to.t == I32)
        each(d, "convert", false, to.rows, to.cols, convert_ints_args{to, from});
    else each(d, "convert", wide(to) && wide(from), to.rows, to.cols, convert_args{to, from});
}

struct fill_args {
    struct mat m;
    float value;
    template <int W> __device__ void at(int row, int col) const {
        float v[W];
        for (int i = 0; i < W; i++) v[i] = value;
        if (m.t == I32) ((int32_t *)m.p)[place(m, row, col)] = (int32_t)value;
        else give(m, row, col, v);
    }
};

void cuda_fill(struct device *d, struct mat m, float value) {
    each(d, "fill", m.t != I32 && wide(m), m.rows, m.cols, fill_args{m, value});
}

struct add_args {
    struct mat y, x;
    float alpha;
    template <int W> __device__ void at(int row, int col) const {
        float a[W], b[W];
        take(a, y, row, col);
        take(b, x, row, col);
        for (int i = 0; i < W; i++) a[i] += alpha * b[i];
        give(y, row, col, a);
    }
};

void cuda_add(struct device *d, struct mat y, struct mat x, float alpha) {
    each(d, "add", wide(y) && wide(x), y.rows, y.cols, add_args{y, x, alpha});
}

struct bias_args {
    struct mat y, b;
    template <int W> __device__ void at(int row, int col) const {
        float a[W], v[W];
        take(a, y, row, col);
        take(v, b, 0, col);
        for (int i = 0; i < W; i++) a[i] += v[i];
        give(y, row, col, a);
    }
};

void cuda_bias(struct device *d, struct mat y, struct mat b) {
    each(d, "bias", wide(y) && wide(b), y.rows, y.cols, bias_args{y, b});
}

struct dropout_args {
    struct mat y, x;
    float scale;
    uint32_t dropped;
    uint64_t key;
    template <int W> __device__ void at(int row, int col) const {
        float v[W];
        take(v, x, row, col);
        uint64_t first = (uint64_t)row * (uint64_t)y.cols + (uint64_t)col;
        for (int i = 0; i < W; i++)
            v[i] = kernels_random_at(key, first + (uint64_t)i) >= dropped ? v[i] * scale : 0;
        give(y, row, col, v);
    }
};

void cuda_dropout(struct device *d, struct mat y, struct mat x, float p, struct draw draw) {
    float scale = (float)(1 / (1 - (double)p));
    uint32_t dropped = (uint32_t)((double)p * 4294967296.0);
    each(d, "dropout", wide(y) && wide(x), y.rows, y.cols,
         dropout_args{y, x, scale, dropped, kernels_key(draw)});
}

/* The sequence of a row: the last one that begins at it or before, of those that are not empty. */
__device__ static inline int sequence_of(const int32_t *start, int n, int row) {
    int low = 0, high = n;
    while (high - low > 1) {
        int middle = (low + high) / 2;
        if (start[middle] <= row) low = middle;
        else high = middle;
    }
    return low;
}

struct noise_args {
    struct mat x;
    const int32_t *start;
    int n;
    float alpha;
    uint64_t key;
    template <int W> __device__ void at(int row, int col) const {
        float v[W];
        int s = sequence_of(start, n, row), length = start[s + 1] - start[s];
        float scale = alpha / sqrtf((float)length * (float)x.cols);
        uint64_t first = (uint64_t)row * (uint64_t)x.cols + (uint64_t)col;
        take(v, x, row, col);
        for (int i = 0; i < W; i++) {
            float u = (float)kernels_random_at(key, first + (uint64_t)i) + 0.5F;
            v[i] += scale * (u / 2147483648.0F - 1);
        }
        give(x, row, col, v);
    }
};

void cuda_noise(struct device *d, struct mat x, struct seqs s, float alpha, struct draw draw) {
    if (s.n == 0 || x.rows == 0) return;
    const void *start = cuda_post(d, s.start, (size_t)(s.n + 1) * sizeof *s.start);
    if (!start) return;
    each(d, "noise", wide(x), s.start[s.n], x.cols,
         noise_args{x, (const int32_t *)start, s.n, alpha, kernels_key(draw)});
}

/* ---- by an index ---- */

struct gather_args {
    struct mat y, x;
    const int32_t *index;
    template <int W> __device__ void at(int row, int col) const {
        float v[W];
        take(v, x, index[row], col);
        give(y, row, col, v);
    }
};
struct scatter_args {
    struct mat y, x;
    const int32_t *index;
    template <int W> __device__ void at(int row, int col) const {
        float v[W];
        take(v, x, row, col);
        give(y, index[row], col, v);
    }
};

void cuda_gather(struct device *d, struct mat y, struct mat x, const int32_t *index) {
    each(d, "gather", wide(y) && wide(x), y.rows, y.cols, gather_args{y, x, index});
}

void cuda_embed(struct device *d, struct mat y, struct mat table, const int32_t *ids) {
    each(d, "embed", wide(y) && wide(table), y.rows, y.cols, gather_args{y, table, ids});
}

void cuda_scatter(struct device *d, struct mat y, struct mat x, const int32_t *index) {
    cuda_fill(d, y, 0);
    each(d, "scatter", wide(y) && wide(x), x.rows, x.cols, scatter_args{y, x, index});
}

/* ---- the gradient of embed ---- */

enum { OWNER = 128 };

/* A row of the table belongs to the block of the first of its ids, found by looking at all before
 * it; that block adds the rows of dy that have the id, in their order. */
KERNEL(OWNER) embed_owner(struct mat dtable, struct mat dy, const int32_t *ids) {
    SHARED(int, found, [OWNER / 32]);
    SHARED(unsigned, matches, [OWNER / 32]);
    int me = (int)blockIdx.x, id = ids[me], lane = (int)threadIdx.x % 32,
        warp = (int)threadIdx.x / 32;
    bool before = false;
    for (int i = me - 1 - (int)threadIdx.x; i >= 0 && !before; i -= OWNER) before = ids[i] == id;
    unsigned any = __ballot_sync(~0U, before);
    if (lane == 0) found[warp] = any != 0;
    __syncthreads();
    for (int w = 0; w < OWNER / 32; w++)
        if (found[w]) return;
    float *sum = (float *)dtable.p + place(dtable, id, 0);
    for (int first = me; first < dy.rows; first += OWNER) {
        int i = first + (int)threadIdx.x;
        unsigned here = __ballot_sync(~0U, i < dy.rows && ids[i] == id);
        __syncthreads();
        if (lane == 0) matches[warp] = here;
        __syncthreads();
        for (int w = 0; w < OWNER / 32; w++)
            for (unsigned rest = matches[w]; rest; rest &= rest - 1) {
                int row = first + 32 * w + __ffs((int)rest) - 1;
                for (int col = (int)threadIdx.x; col < dy.cols; col += OWNER) {
                    float v[1];
                    take(v, dy, row, col);
                    sum[col] += v[0];
                }
            }
    }
}

void cuda_embed_grad(struct device *d, struct mat dtable, struct mat dy, const int32_t *ids) {
    if (dy.rows) launch(d, "embed_grad", embed_owner, (unsigned)dy.rows, OWNER, 0, dtable, dy, ids);
}

/* ---- the gradient of bias ---- */

/* 32 columns of one part of the rows: eight threads a column, their sums added in order. */
KERNEL(256) column_sums(float *sums, struct mat dy, int part_rows) {
    SHARED(float, between, [8][32]);
    int col = (int)(blockIdx.x * 32 + threadIdx.x), first = (int)blockIdx.y * part_rows;
    int end = min(first + part_rows, dy.rows);
    float sum = 0, v[1];
    for (int row = first + (int)threadIdx.y; row < end && col < dy.cols; row += 8) {
        take(v, dy, row, col);
        sum += v[0];
    }
    between[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y > 0 || col >= dy.cols) return;
    for (int i = 1; i < 8; i++) sum += between[i][threadIdx.x];
    sums[(size_t)blockIdx.y * (size_t)dy.cols + (size_t)col] = sum;
}

void cuda_bias_grad(struct device *d, struct mat db, struct mat dy) {
    if (dy.rows == 0 || dy.cols == 0) return;
    float *sums = (float *)d->workspace;
    int rows = (int)parts_of(dy.rows, sum_parts(dy.rows, dy.cols));
    int parts = (int)parts_of(dy.rows, rows);
    launch(d, "bias_grad", column_sums, dim3(parts_of(dy.cols, 32), (unsigned)parts), dim3(32, 8),
           0, sums, dy, rows);
    launch(d, "bias_grad", add_parts, parts_of(dy.cols, 256), 256, 0, (float *)db.p, sums, parts,
           dy.cols);
}
