/* attention.cu - causal attention over packed sequences with grouped key heads, and its gradient:
 * which kernels do it, and the plain ones.
 *
 * With s_j = scale q.k_j over the keys that a query sees, lse = log sum exp s and p = exp(s - lse):
 * o = sum p_j v_j. Backward, with D = do.o: dv_j adds p_j do, ds_j = p_j (do.v_j - D),
 * dq = scale sum ds_j k_j, dk_j adds scale ds_j q.
 *
 * The plain kernels give a warp one row of one head: 32 keys at a time, a key a lane for the scores
 * and columns a lane for the sums. They are for F32, and for few queries over many keys, where the
 * keys are cut into shares whose results are put together in order. */
#include "kernels/cuda/attention.h"

enum { WARPS = 4, COLUMNS = ATTENTION_HEAD_DIM / 32 };
enum { SHARE_LEAST = 256, SHARE_ROWS = 64, FEW_QUERIES = 8 };

/* The dot of a row of floats in shared memory and part of a row of m. */
template <int W>
__device__ static inline float dot(const float *x, const struct mat &m, int row, int col, int n) {
    float sum = 0;
    for (int c = 0; c < n; c += W) {
        float v[W];
        take(v, m, row, col + c);
        for (int i = 0; i < W; i++) sum += x[c + i] * v[i];
    }
    return sum;
}

__device__ static inline void row_to_shared(float *to, const struct mat &m, int row, int col,
                                            int n) {
    for (int c = (int)threadIdx.x % 32; c < n; c += 32) {
        float v[1];
        take(v, m, row, col + c);
        to[c] = v[0];
    }
}

/* Which column of a row a lane's sum[i] is: every 32nd, or eight in a row of as many lanes as that
 * takes; past the row's end where there is none. */
template <int W> __device__ static inline int column_of(int i) {
    int lane = (int)threadIdx.x % 32;
    return W == 1 ? lane + 32 * i : lane * W + i;
}

/* sum adds p_j of lane j times row j, for `count` lanes. With W columns a lane the lanes that are
 * left over make further groups, which take rows in turn: see together(). */
template <int W>
__device__ static inline void add_rows(float (&sum)[COLUMNS], float p, int count,
                                       const struct mat &m, int row, int col, int n) {
    int lane = (int)threadIdx.x % 32, lanes = W == 1 ? 32 : n / W, groups = 32 / lanes,
        group = lane / lanes, c = lane % lanes * W;
    for (int first = 0; first < count; first += groups) {
        int j = first + group;
        float pj = __shfl_sync(~0U, p, j % 32), v[W];
        if (group >= groups || j >= count) continue;
        if (W == 1) {
            UNROLL
            for (int i = 0; i < COLUMNS; i++) {
                if (lane + 32 * i >= n) continue;
                take(v, m, row + j, col + lane + 32 * i);
                sum[i] += pj * v[0];
            }
        } else {
            take(v, m, row + j, col + c);
            UNROLL
            for (int i = 0; i < W; i++) sum[i] += pj * v[i];
        }
    }
}

/* The groups' sums, in order, in the lanes of the first. */
template <int W> __device__ static inline void together(float (&sum)[COLUMNS], int n) {
    int lane = (int)threadIdx.x % 32, lanes = W == 1 ? 32 : n / W, groups = 32 / lanes;
    UNROLL
    for (int i = 0; i < COLUMNS; i++) {
        float own = sum[i];
        for (int g = 1; g < groups; g++) {
            float other = __shfl_sync(~0U, own, (lane + g * lanes) % 32);
            if (lane < lanes) sum[i] += other;
        }
    }
}

template <int W>
__device__ static inline void row_out(const struct mat &m, int row, int col, int n, float factor,
                                      const float (&sum)[COLUMNS]) {
    UNROLL
    for (int i = 0; i < COLUMNS; i++) {
        float v[1] = {sum[i] * factor};
        if (column_of<W>(i) < n) give(m, row, col + column_of<W>(i), v);
    }
}

/* What a share of the keys came to: the largest score, the sum of exp, and the sums of v. */
__device__ static inline float *share_of(float *shares, const struct attend &a, int row, int head,
                                         int share, int count) {
    size_t at = ((size_t)row * (size_t)a.heads + (size_t)head) * (size_t)count + (size_t)share;
    return shares + at * (size_t)(a.head_dim + 2);
}

/* blockIdx: row, head / WARPS, share of `size` keys. shares NULL: there is one, and it is all. */
template <int W> KERNEL(WARPS * 32) plain_forward(struct attend a, float *shares, int size) {
    SHARED(float, rows, [WARPS][ATTENTION_HEAD_DIM]);
    int warp = (int)threadIdx.x / 32, lane = (int)threadIdx.x % 32, row = (int)blockIdx.x,
        head = (int)blockIdx.y * WARPS + warp, n = a.head_dim;
    if (head >= a.heads) return;
    int col = head * n, k_col = head / a.group * n;
    struct piece s;
    piece_of(a, sequence_of_row(a.sq, a.n, row), &s);
    int seen = row - s.first + 1 + s.ahead, first = (int)blockIdx.z * size;
    int end = seen < first + size ? seen : first + size;
    row_to_shared(rows[warp], a.q, row, col, n);
    __syncwarp();
    float most = -INFINITY, total = 0, sum[COLUMNS] = {};
    for (int j = first; j < end; j += 32) {
        bool in = j + lane < end;
        float score = -INFINITY;
        if (in) score = a.scale * dot<W>(rows[warp], a.k, s.key + j + lane, k_col, n);
        float higher = fmaxf(most, warp_most(score)), factor = expf(most - higher),
              p = in ? expf(score - higher) : 0;
        total = total * factor + warp_sum(p);
        most = higher;
        for (int i = 0; i < COLUMNS; i++) sum[i] *= factor;
        add_rows<W>(sum, p, end - j < 32 ? end - j : 32, a.v, s.key + j, k_col, n);
    }
    together<W>(sum, n);
    if (!shares) {
        row_out<W>(a.o, row, col, n, seen > 0 ? 1 / total : 0, sum);
        if (a.lse && lane == 0)
            a.lse[(size_t)row * (size_t)a.heads + (size_t)head] =
                seen > 0 ? most + logf(total) : -INFINITY;
        return;
    }
    float *share = share_of(shares, a, row, head, (int)blockIdx.z, (int)gridDim.z);
    if (lane == 0) share[0] = most, share[1] = total;
    UNROLL
    for (int i = 0; i < COLUMNS; i++)
        if (column_of<W>(i) < n) share[2 + column_of<W>(i)] = sum[i];
}

/* The shares of a row and head, in order. A share that saw no key has -inf and zeros. */
KERNEL(WARPS * 32) put_together(struct attend a, float *shares, int count) {
    int lane = (int)threadIdx.x % 32, row = (int)blockIdx.x,
        head = (int)blockIdx.y * WARPS + (int)threadIdx.x / 32, n = a.head_dim;
    if (head >= a.heads) return;
    float most = -INFINITY, total = 0, sum[COLUMNS] = {};
    for (int s = 0; s < count; s++) most = fmaxf(most, share_of(shares, a, row, head, s, count)[0]);
    for (int s = 0; s < count; s++) {
        const float *share = share_of(shares, a, row, head, s, count);
        if (share[1] == 0) continue;
        float factor = expf(share[0] - most);
        total += share[1] * factor;
        for (int i = 0; i < COLUMNS; i++)
            if (lane + 32 * i < n) sum[i] += share[2 + lane + 32 * i] * factor;
    }
    row_out<1>(a.o, row, head * n, n, total != 0 ? 1 / total : 0, sum);
    if (a.lse && lane == 0)
        a.lse[(size_t)row * (size_t)a.heads + (size_t)head] =
            total != 0 ? most + logf(total) : -INFINITY;
}

/* Keys of a share: SHARE_LEAST or more so that the shares fit CUDA_SCRATCH; all where there are
 * many rows, since they keep a device busy without. */
static int share_size(const struct attend &a, int rows, int longest) {
    int64_t one = (int64_t)rows * a.heads * (a.head_dim + 2) * 4, size = SHARE_LEAST;
    if (rows > SHARE_ROWS) return longest;
    while (size < longest && one * ((longest + size - 1) / size) > CUDA_SCRATCH) size *= 2;
    return size < longest ? (int)size : longest;
}

void attention_plain(struct device *d, const struct attend &a, int rows, int longest) {
    int size = share_size(a, rows, longest), count = (int)parts_of(longest, size);
    float *shares = count > 1 ? (float *)d->workspace : NULL;
    dim3 grid((unsigned)rows, parts_of(a.heads, WARPS), (unsigned)count);
    bool is_wide = a.head_dim % WIDE == 0 && wide(a.k) && wide(a.v);
    launch(d, "attn", is_wide ? plain_forward<WIDE> : plain_forward<1>, grid, WARPS * 32, 0, a,
           shares, size);
    grid.z = 1;
    if (shares) launch(d, "attn", put_together, grid, WARPS * 32, 0, a, shares, count);
}

/* ---- backward ---- */

/* A warp for each row and head. */
KERNEL(WARPS * 32) dots(struct attend a, struct attend_back b, int rows) {
    int lane = (int)threadIdx.x % 32, at = (int)blockIdx.x * WARPS + (int)threadIdx.x / 32;
    if (at >= rows * a.heads) return;
    int row = at / a.heads, col = at % a.heads * a.head_dim;
    float sum = 0, x[1], y[1];
    for (int c = lane; c < a.head_dim; c += 32) {
        take(x, b.d_o, row, col + c);
        take(y, a.o, row, col + c);
        sum += x[0] * y[0];
    }
    sum = warp_sum(sum);
    if (lane == 0) b.delta[at] = sum;
}

template <int W> KERNEL(WARPS * 32) plain_back_query(struct attend a, struct attend_back b) {
    SHARED(float, rows, [WARPS][2][ATTENTION_HEAD_DIM]);
    int warp = (int)threadIdx.x / 32, lane = (int)threadIdx.x % 32, row = (int)blockIdx.x,
        head = (int)blockIdx.y * WARPS + warp, n = a.head_dim;
    if (head >= a.heads) return;
    int col = head * n, k_col = head / a.group * n, seen;
    size_t at = (size_t)row * (size_t)a.heads + (size_t)head;
    float lse = a.lse[at], delta = b.delta[at], sum[COLUMNS] = {};
    struct piece s;
    piece_of(a, sequence_of_row(a.sq, a.n, row), &s);
    seen = row - s.first + 1;
    row_to_shared(rows[warp][0], a.q, row, col, n);
    row_to_shared(rows[warp][1], b.d_o, row, col, n);
    __syncwarp();
    for (int j = 0; j < seen; j += 32) {
        float ds = 0;
        if (j + lane < seen) {
            float p = expf(a.scale * dot<W>(rows[warp][0], a.k, s.key + j + lane, k_col, n) - lse);
            ds = p * (dot<W>(rows[warp][1], a.v, s.key + j + lane, k_col, n) - delta);
        }
        add_rows<1>(sum, ds, seen - j < 32 ? seen - j : 32, a.k, s.key + j, k_col, n);
    }
    row_out<1>(b.dq, row, col, n, a.scale, sum);
}

/* A warp for each key row and key head: all queries of its sequence from that row on, all the query
 * heads that share the key head. */
template <int W> KERNEL(WARPS * 32) plain_back_key(struct attend a, struct attend_back b) {
    SHARED(float, rows, [WARPS][2][ATTENTION_HEAD_DIM]);
    int warp = (int)threadIdx.x / 32, lane = (int)threadIdx.x % 32, row = (int)blockIdx.x,
        kv_head = (int)blockIdx.y * WARPS + warp, n = a.head_dim;
    if (kv_head * a.group >= a.heads) return;
    int k_col = kv_head * n, end = a.sq[sequence_of_row(a.sq, a.n, row) + 1];
    float sum_k[COLUMNS] = {}, sum_v[COLUMNS] = {};
    row_to_shared(rows[warp][0], a.k, row, k_col, n);
    row_to_shared(rows[warp][1], a.v, row, k_col, n);
    __syncwarp();
    for (int head = kv_head * a.group; head < (kv_head + 1) * a.group; head++)
        for (int j = row; j < end; j += 32) {
            float p = 0, ds = 0;
            int count = end - j < 32 ? end - j : 32;
            if (lane < count) {
                size_t at = (size_t)(j + lane) * (size_t)a.heads + (size_t)head;
                p = expf(a.scale * dot<W>(rows[warp][0], a.q, j + lane, head * n, n) - a.lse[at]);
                ds = p * (dot<W>(rows[warp][1], b.d_o, j + lane, head * n, n) - b.delta[at]);
            }
            add_rows<1>(sum_k, ds, count, a.q, j, head * n, n);
            add_rows<1>(sum_v, p, count, b.d_o, j, head * n, n);
        }
    row_out<1>(b.dk, row, k_col, n, a.scale, sum_k);
    row_out<1>(b.dv, row, k_col, n, 1, sum_v);
}

void attention_plain_back(struct device *d, const struct attend &a, const struct attend_back &b,
                          int rows) {
    bool is_wide = a.head_dim % WIDE == 0 && wide(a.k) && wide(a.v) && wide(a.q) && wide(b.d_o);
    dim3 queries((unsigned)rows, parts_of(a.heads, WARPS)),
        keys((unsigned)rows, parts_of(a.heads / a.group, WARPS));
    launch(d, "attn_back", is_wide ? plain_back_query<WIDE> : plain_back_query<1>, queries,
           WARPS * 32, 0, a, b);
    launch(d, "attn_back", is_wide ? plain_back_key<WIDE> : plain_back_key<1>, keys, WARPS * 32, 0,
           a, b);
}

/* ---- which ---- */

static bool attend_of(struct device *d, struct mat q, struct mat k, struct mat v, struct mat o,
                      const float *lse, struct seqs sq, struct seqs sk, const struct attention *h,
                      struct attend *a) {
    size_t bytes = (size_t)(sq.n + 1) * sizeof *sq.start;
    if (sq.n == 0 || sq.start[sq.n] == 0) return false;
    *a = {q, k, v, o, (float *)lse, NULL, NULL, sq.n, h->heads, h->heads / h->kv_heads, h->head_dim,
          h->scale, false, false};
    a->sq = (const int32_t *)cuda_post(d, sq.start, bytes);
    a->sk = sk.start == sq.start ? a->sq : (const int32_t *)cuda_post(d, sk.start, bytes);
    a->q_copies = h->head_dim % 8 == 0 && copyable(q);
    a->k_copies = h->head_dim % 8 == 0 && copyable(k) && copyable(v);
    return a->sq && a->sk;
}

void cuda_attn(struct device *d, struct mat o, float *lse, struct mat q, struct mat k, struct mat v,
               struct seqs sq, struct seqs sk, const struct attention *h) {
    struct attend a;
    if (!attend_of(d, q, k, v, o, lse, sq, sk, h, &a)) return;
    bool narrow = q.t == BF16 && k.t == BF16 && v.t == BF16 && o.t == BF16;
    if (narrow && sq.longest > FEW_QUERIES) attention_tensor(d, a, sq.start[sq.n]);
    else attention_plain(d, a, sq.start[sq.n], sk.longest > 0 ? sk.longest : 1);
}

void cuda_attn_back(struct device *d, struct mat dq, struct mat dk, struct mat dv, struct mat d_o,
                    struct mat o, const float *lse, struct mat q, struct mat k, struct mat v,
                    struct seqs s, const struct attention *h) {
    struct attend a;
    if (!attend_of(d, q, k, v, o, lse, s, s, h, &a)) return;
    struct attend_back b = {dq, dk, dv, d_o, (float *)d->workspace};
    int rows = s.start[s.n];
    a.q_copies = a.q_copies && copyable(d_o);
    launch(d, "attn_back", dots, parts_of((int64_t)rows * h->heads, WARPS), WARPS * 32, 0, a, b,
           rows);
    bool narrow = q.t == BF16 && k.t == BF16 && v.t == BF16 && d_o.t == BF16 && dq.t == BF16 &&
                  dk.t == BF16 && dv.t == BF16;
    if (narrow) attention_tensor_back(d, a, b, rows);
    else attention_plain_back(d, a, b, rows);
}
