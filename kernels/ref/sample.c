/* sample.c - one token from a row of logits, in the order of transformers' processors: repetition
 * penalty, temperature, top-k (equals of the last one stay), top-p (the fewest tokens, likeliest
 * first, that reach p; at least one), then a draw in the order of the ids. */
#include "kernels/ref/ref.h"
#include <math.h>

/* "a goes before b": the higher logit, of equals the lower id. */
static bool before(const float *x, int32_t a, int32_t b) {
    return x[a] != x[b] ? x[a] > x[b] : a < b;
}

static void sift(const float *x, int32_t *heap, int at, int n) {
    for (int child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && before(x, heap[child], heap[child + 1])) child++;
        if (!before(x, heap[at], heap[child])) return;
        int32_t t = heap[at];
        heap[at] = heap[child];
        heap[child] = t;
    }
}

/* Heap sort, since it needs no memory: afterwards order[] goes from the likeliest to the least. */
static void sort(const float *x, int32_t *order, int n) {
    for (int i = 0; i < n; i++) order[i] = i;
    for (int i = n / 2; i-- > 0;) sift(x, order, i, n);
    for (int end = n - 1; end > 0; end--) {
        int32_t t = order[0];
        order[0] = order[end];
        order[end] = t;
        sift(x, order, 0, end);
    }
}

static void penalise(float *x, const int32_t *recent, int n, double penalty) {
    for (int i = 0; i < n; i++) {
        int earlier = 0;
        while (earlier < i && recent[earlier] != recent[i]) earlier++;
        if (earlier < i) continue; /* a token counts once */
        float *l = &x[recent[i]];
        *l = (float)(*l > 0 ? (double)*l / penalty : (double)*l * penalty);
    }
}

/* How many of the sorted tokens may be drawn. */
static int kept(const float *x, const int32_t *order, int n, const struct sampling *s) {
    int k = n;
    if (s->top_k > 0 && s->top_k < n) {
        k = s->top_k;
        while (k < n && x[order[k]] == x[order[s->top_k - 1]]) k++;
    }
    if (s->top_p >= 1) return k;
    double total = 0, sum = 0;
    for (int i = 0; i < k; i++) total += exp((double)x[order[i]] - (double)x[order[0]]);
    for (int i = 0; i < k; i++) {
        sum += exp((double)x[order[i]] - (double)x[order[0]]);
        if (sum >= (double)s->top_p * total) return i + 1;
    }
    return k;
}

void ref_sample(struct device *d, int32_t *id, struct mat logits, const struct sampling *s,
                const int32_t *recent, int n, struct draw draw) {
    float *x = logits.p;
    int vocab = logits.cols;
    if (s->repetition_penalty != 1) penalise(x, recent, n, (double)s->repetition_penalty);
    if (s->temperature == 0) {
        *id = 0;
        for (int j = 1; j < vocab; j++) *id = x[j] > x[*id] ? j : *id;
        return;
    }
    for (int j = 0; j < vocab; j++) x[j] = (float)((double)x[j] / (double)s->temperature);
    int32_t *order = (int32_t *)(void *)d->workspace;
    sort(x, order, vocab);
    int k = kept(x, order, vocab, s);
    double most = (double)x[order[0]], total = 0, sum = 0;
    int32_t last = order[k - 1];
    for (int j = 0; j < vocab; j++) {
        if (j != last && before(x, last, j)) x[j] = -INFINITY;
        total += exp((double)x[j] - most);
    }
    double wanted = ((double)kernels_random(draw, 0) + 0.5) / 4294967296.0 * total;
    *id = order[0];
    for (int j = 0; j < vocab; j++) {
        double e = exp((double)x[j] - most);
        if (e > 0) *id = j;
        if ((sum += e) > wanted) return;
    }
}
