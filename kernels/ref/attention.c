/* attention.c - causal attention over packed sequences with grouped key heads, and its gradient.
 *
 * With s_j = scale q.k_j over the keys that a query sees, lse = log sum exp s and p = exp(s - lse):
 * o = sum p_j v_j. Backward, with D = do.o: dv_j adds p_j do, ds_j = p_j (do.v_j - D),
 * dq = scale sum ds_j k_j, dk_j adds scale ds_j q (Dao et al. 2022, appendix B). */
#include "kernels/ref/ref.h"
#include <math.h>

/* One query head of one row against its keys: first key row, how many are seen, first columns. */
struct view { int row, head, q_col, k_col, first, seen; };

static double dot(struct mat a, int row_a, int col_a, struct mat b, int row_b, int col_b, int n) {
    double sum = 0;
    for (int j = 0; j < n; j++) sum += get(a, row_a, col_a + j) * get(b, row_b, col_b + j);
    return sum;
}

static struct view view_of(struct seqs sq, struct seqs sk, int n, int row, int head,
                           const struct attention *a) {
    int i = row - sq.start[n], queries = sq.start[n + 1] - sq.start[n],
        keys = sk.start[n + 1] - sk.start[n];
    int seen = i + 1 + keys - queries;
    return (struct view){.row = row,
                         .head = head,
                         .q_col = head * a->head_dim,
                         .k_col = head / (a->heads / a->kv_heads) * a->head_dim,
                         .first = sk.start[n],
                         .seen = seen > 0 ? seen : 0};
}

/* Two passes over the keys, so that no row of scores has to be stored. */
static void attend(struct mat o, float *lse, struct mat q, struct mat k, struct mat v,
                   struct view w, const struct attention *a) {
    double most = -INFINITY, total = 0;
    for (int j = 0; j < w.seen; j++) {
        double s = (double)a->scale * dot(q, w.row, w.q_col, k, w.first + j, w.k_col, a->head_dim);
        double higher = s > most ? s : most;
        total = total * exp(most - higher) + exp(s - higher);
        most = higher;
    }
    double log_total = w.seen ? most + log(total) : -INFINITY;
    if (lse) lse[(size_t)w.row * (size_t)a->heads + (size_t)w.head] = (float)log_total;
    double sum[ATTENTION_HEAD_DIM];
    for (int c = 0; c < a->head_dim; c++) sum[c] = 0;
    for (int j = 0; j < w.seen; j++) {
        double s = (double)a->scale * dot(q, w.row, w.q_col, k, w.first + j, w.k_col, a->head_dim);
        double p = exp(s - log_total);
        for (int c = 0; c < a->head_dim; c++) sum[c] += p * get(v, w.first + j, w.k_col + c);
    }
    for (int c = 0; c < a->head_dim; c++) set(o, w.row, w.q_col + c, sum[c]);
}

void ref_attn(struct device *d, struct mat o, float *lse, struct mat q, struct mat k, struct mat v,
              struct seqs sq, struct seqs sk, const struct attention *a) {
    (void)d;
    for (int n = 0; n < sq.n; n++)
        for (int row = sq.start[n]; row < sq.start[n + 1]; row++)
            for (int head = 0; head < a->heads; head++)
                attend(o, lse, q, k, v, view_of(sq, sk, n, row, head, a), a);
}

/* dq of one row; the other direction, over the queries that see a key, is in back_key. */
static void back_query(struct mat dq, struct mat d_o, struct mat o, double lse, struct mat q,
                       struct mat k, struct mat v, struct view w, const struct attention *a) {
    double sum[ATTENTION_HEAD_DIM],
        big_d = dot(d_o, w.row, w.q_col, o, w.row, w.q_col, a->head_dim);
    for (int c = 0; c < a->head_dim; c++) sum[c] = 0;
    for (int j = 0; j < w.seen; j++) {
        int key = w.first + j;
        double p =
            exp((double)a->scale * dot(q, w.row, w.q_col, k, key, w.k_col, a->head_dim) - lse);
        double ds = p * (dot(d_o, w.row, w.q_col, v, key, w.k_col, a->head_dim) - big_d);
        for (int c = 0; c < a->head_dim; c++)
            sum[c] += (double)a->scale * ds * get(k, key, w.k_col + c);
    }
    for (int c = 0; c < a->head_dim; c++) set(dq, w.row, w.q_col + c, sum[c]);
}

/* dk and dv of one key head of one row: all queries of its sequence from that row on, all the
 * query heads that share the key head. */
static void back_key(struct mat dk, struct mat dv, struct mat d_o, struct mat o, const float *lse,
                     struct mat q, struct mat k, struct mat v, int key, int end, int kv_head,
                     const struct attention *a) {
    double sum_k[ATTENTION_HEAD_DIM], sum_v[ATTENTION_HEAD_DIM];
    int group = a->heads / a->kv_heads, k_col = kv_head * a->head_dim, n = a->head_dim;
    for (int c = 0; c < n; c++) sum_k[c] = sum_v[c] = 0;
    for (int head = kv_head * group; head < (kv_head + 1) * group; head++)
        for (int row = key; row < end; row++) {
            int q_col = head * n;
            double l = (double)lse[(size_t)row * (size_t)a->heads + (size_t)head];
            double p = exp((double)a->scale * dot(q, row, q_col, k, key, k_col, n) - l);
            double big_d = dot(d_o, row, q_col, o, row, q_col, n);
            double ds = p * (dot(d_o, row, q_col, v, key, k_col, n) - big_d);
            for (int c = 0; c < n; c++) sum_k[c] += (double)a->scale * ds * get(q, row, q_col + c);
            for (int c = 0; c < n; c++) sum_v[c] += p * get(d_o, row, q_col + c);
        }
    for (int c = 0; c < n; c++) set(dk, key, k_col + c, sum_k[c]);
    for (int c = 0; c < n; c++) set(dv, key, k_col + c, sum_v[c]);
}

void ref_attn_back(struct device *d, struct mat dq, struct mat dk, struct mat dv, struct mat d_o,
                   struct mat o, const float *lse, struct mat q, struct mat k, struct mat v,
                   struct seqs s, const struct attention *a) {
    (void)d;
    for (int n = 0; n < s.n; n++)
        for (int row = s.start[n]; row < s.start[n + 1]; row++) {
            for (int head = 0; head < a->heads; head++) {
                double l = (double)lse[(size_t)row * (size_t)a->heads + (size_t)head];
                back_query(dq, d_o, o, l, q, k, v, view_of(s, s, n, row, head, a), a);
            }
            for (int head = 0; head < a->kv_heads; head++)
                back_key(dk, dv, d_o, o, lse, q, k, v, row, s.start[n + 1], head, a);
        }
}
