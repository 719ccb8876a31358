/* loss.c - cross-entropy, a row at a time: its maximum, the sum of its exponentials, its gradient.
 */
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/simd.h"

struct xent {
    float *loss;
    struct mat grad, logits;
    const int32_t *target;
    const struct block *block;
};

/* Four chains each, since an addition takes four cycles. */
static float row_most(const void *x, enum dtype t, int n) {
    vf most[4] = {v_set(-INFINITY), v_set(-INFINITY), v_set(-INFINITY), v_set(-INFINITY)};
    int j = 0;
    for (; j + 4 * V <= n; j += 4 * V)
        for (int c = 0; c < 4; c++) most[c] = v_max(most[c], v_at(x, t, j + c * V, n));
    for (; j < n; j += V) most[0] = v_max(most[0], v_keep(v_at(x, t, j, n), j, n, -INFINITY));
    return v_most(v_max(v_max(most[0], most[1]), v_max(most[2], most[3])));
}

static double row_sum(const void *x, enum dtype t, int n, float most) {
    double total = 0;
    for (int first = 0; first < n; first += 4096) { /* short sums in F32, their total in double */
        int end = cpu_least(first + 4096, n);
        vf sum[2] = {v_set(0), v_set(0)};
        for (int j = first, c = 0; j < end; j += V, c ^= 1) {
            vf v = v_keep(v_at(x, t, j, end), j, end, -INFINITY);
            sum[c] = sum[c] + v_exp(v - v_set(most));
        }
        total += (double)v_sum(sum[0] + sum[1]);
    }
    return total;
}

/* exp(x - most) / sum and not exp(x - lse): near the largest logits, which carry the row, x - most
 * is exact, while rounding lse would scale the whole row by a part in a million (seen as 5e-4 of
 * the last norm's gradient). */
static void gradient(const struct xent *s, int row, float most, double sum) {
    int n = s->logits.cols, target = s->target[row];
    const void *x = cpu_row(s->logits, row);
    void *g = cpu_row(s->grad, row);
    vf scale = v_set((float)((double)s->block->inv_trained / sum)), shift = v_set(most);
    float hit = v_most(v_keep(v_at(x, s->logits.t, target, n), 0, 1, -INFINITY));
    /* Upwards: a narrower gradient over the logits never reaches what is not read yet. */
    for (int j = 0; j < n; j += V)
        v_to(g, s->grad.t, j, n, v_exp(v_at(x, s->logits.t, j, n) - shift) * scale);
    vf p = v_exp(v_set(hit) - shift) * v_set((float)(1 / sum)) - v_set(1);
    v_to(g, s->grad.t, target, target + 1, p * v_set(s->block->inv_trained));
}

static void xent_part(void *arg, int row, int thread) {
    (void)thread;
    const struct xent *s = arg;
    int n = s->logits.cols;
    const void *x = cpu_row(s->logits, row);
    if (s->target[row] < 0) {
        s->loss[row] = 0;
        for (int j = 0; s->grad.p && j < n; j += V)
            v_to(cpu_row(s->grad, row), s->grad.t, j, n, v_set(0));
        return;
    }
    float most = row_most(x, s->logits.t, n);
    double sum = row_sum(x, s->logits.t, n, most), lse = (double)most + log_of(sum);
    float hit[V];
    v_store(hit, v_at(x, s->logits.t, s->target[row], n));
    s->loss[row] = (float)(lse - (double)hit[0]);
    if (s->grad.p) gradient(s, row, most, sum);
}

static void xent(struct device *d, float *loss, struct mat grad, struct mat logits,
                 const int32_t *target, const struct block *block) {
    struct xent s = {
        .loss = loss, .grad = grad, .logits = logits, .target = target, .block = block};
    cpu_run(d, logits.rows, cpu_bytes(logits) * 3, xent_part, &s);
}

static void total(struct device *d, struct block *block, const float *loss, int n) {
    (void)d;
    for (int i = 0; i < n; i++) block->loss += (double)loss[i];
}

void CPU_NAME(loss)(struct kernels *k) {
    k->xent = xent;
    k->total = total;
}
