/* sample.c - one token from a row of logits. The order of likelihood is a heap of which only the
 * tokens that may be drawn are taken off. */
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/simd.h"

struct sample {
    struct device *d;
    int32_t *id;
    float *x;
    int vocab, n;
    const struct sampling *s;
    const int32_t *recent;
    struct draw draw;
};

static bool before(const float *x, int32_t a, int32_t b) {
    return x[a] != x[b] ? x[a] > x[b] : a < b;
}

static void sift(const float *x, int32_t *heap, int at, int n) {
    for (int child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && before(x, heap[child + 1], heap[child])) child++;
        if (!before(x, heap[child], heap[at])) return;
        int32_t t = heap[at];
        heap[at] = heap[child];
        heap[child] = t;
    }
}

static int32_t pop(const float *x, int32_t *heap, int *n) {
    int32_t top = heap[0];
    heap[0] = heap[--*n];
    sift(x, heap, 0, *n);
    return top;
}

/* All logits are read before one is written, so a token that is named twice counts once. */
static void penalise(const struct sample *t, float *old) {
    float penalty = t->s->repetition_penalty;
    for (int i = 0; i < t->n; i++) old[i] = t->x[t->recent[i]];
    for (int i = 0; i < t->n; i++)
        t->x[t->recent[i]] = old[i] > 0 ? old[i] / penalty : old[i] * penalty;
}

static double weight(float x, float most) {
    float e[V];
    v_store(e, v_exp(v_set(x - most)));
    return (double)e[0];
}

static double sum_from(const float *x, int n, float most) {
    double total = 0;
    for (int j = 0; j < n; j += V)
        total += (double)v_sum(v_keep(v_exp(v_at(x, F32, j, n) - v_set(most)), j, n, 0));
    return total;
}

/* The last token, in order of likelihood, that may be drawn. */
static int32_t last_kept(const struct sample *t, int32_t *heap) {
    const float *x = t->x;
    int n = t->vocab, left = n, k = t->s->top_k > 0 && t->s->top_k < n ? t->s->top_k : n;
    for (int i = 0; i < n; i++) heap[i] = i;
    for (int i = n / 2; i-- > 0;) sift(x, heap, i, n);
    float most = x[heap[0]], total = 0;
    double sum = 0, wanted = INFINITY;
    if (t->s->top_p < 1 && k == n) wanted = (double)t->s->top_p * sum_from(x, n, most);
    if (t->s->top_p < 1 &&
        k < n) { /* the share of what top-k leaves: take those off once to know it */
        double kept = 0;
        int32_t last = heap[0];
        int rest = n;
        for (int i = 0; rest > 0 && (i < k || x[heap[0]] == x[last]); i++)
            last = pop(x, heap, &rest), kept += weight(x[last], most);
        wanted = (double)t->s->top_p * kept;
        for (int i = 0; i < n; i++) heap[i] = i;
        for (int i = n / 2; i-- > 0;) sift(x, heap, i, n);
    }
    (void)total;
    int32_t last = heap[0];
    for (int i = 0; left > 0 && (i < k || x[heap[0]] == x[last]); i++) {
        last = pop(x, heap, &left);
        if ((sum += weight(x[last], most)) >= wanted) break;
    }
    return last;
}

static void sample_part(void *arg, int part, int thread) {
    (void)part, (void)thread;
    const struct sample *t = arg;
    float *x = t->x;
    int n = t->vocab;
    if (t->s->repetition_penalty != 1) penalise(t, cpu_shared(t->d));
    int32_t best = 0, last = -1;
    for (int j = 1; j < n; j++) best = x[j] > x[best] ? j : best;
    *t->id = best;
    if (t->s->temperature == 0) return;
    for (int j = 0; j < n; j += V)
        v_to(x, F32, j, n, v_at(x, F32, j, n) / v_set(t->s->temperature));
    if (t->s->top_p < 1 || (t->s->top_k > 0 && t->s->top_k < n))
        last = last_kept(t, cpu_shared(t->d));
    float most = x[best];
    for (int j = 0; last >= 0 && j < n; j++)
        if (before(x, last, j)) x[j] = -INFINITY;
    double wanted =
               ((double)kernels_random(t->draw, 0) + 0.5) / 4294967296.0 * sum_from(x, n, most),
           sum = 0;
    for (int j = 0; j < n; j += V) {
        double all = (double)v_sum(v_keep(v_exp(v_at(x, F32, j, n) - v_set(most)), j, n, 0));
        if (sum + all <= wanted) {
            sum += all;
            continue;
        }
        for (int i = j; i < cpu_least(j + V, n); i++) {
            double e = weight(x[i], most);
            if (e > 0) *t->id = i;
            if ((sum += e) > wanted) return;
        }
    }
}

static void sample(struct device *d, int32_t *id, struct mat logits, const struct sampling *s,
                   const int32_t *recent, int n, struct draw draw) {
    struct sample t = {.d = d,
                       .id = id,
                       .x = logits.p,
                       .vocab = logits.cols,
                       .n = n,
                       .s = s,
                       .recent = recent,
                       .draw = draw};
    cpu_run(d, 1, 0, sample_part, &t);
}

void CPU_NAME(sample)(struct kernels *k) { k->sample = sample; }
