/* loss.c - cross-entropy over a row of logits, with its gradient in the place of the logits. */
#include "kernels/ref/ref.h"
#include <math.h>

static double log_sum_exp(struct mat x, int row) {
    double most = -INFINITY, total = 0;
    for (int j = 0; j < x.cols; j++) most = get(x, row, j) > most ? get(x, row, j) : most;
    for (int j = 0; j < x.cols; j++) total += exp(get(x, row, j) - most);
    return most + log(total);
}

void ref_xent(struct device *d, float *loss, struct mat grad, struct mat logits,
              const int32_t *target, const struct block *block) {
    (void)d;
    for (int i = 0; i < logits.rows; i++) {
        bool trained = target[i] >= 0;
        double lse = trained ? log_sum_exp(logits, i) : 0;
        loss[i] = trained ? (float)(lse - get(logits, i, target[i])) : 0;
        if (!grad.p) continue;
        /* Upwards: a narrower gradient over the logits never reaches what is not read yet. */
        for (int j = 0; j < logits.cols; j++) {
            double p = trained ? exp(get(logits, i, j) - lse) - (j == target[i]) : 0;
            set(grad, i, j, p * (double)block->inv_trained);
        }
    }
}

void ref_total(struct device *d, struct block *block, const float *loss, int n) {
    (void)d;
    for (int i = 0; i < n; i++) block->loss += (double)loss[i];
}
