/* update.c - the norm of the gradients, clipping, the guards, and AdamW (Loshchilov and Hutter
 * 2019) as torch.optim.AdamW computes it. */
#include "kernels/ref/ref.h"
#include <math.h>

void ref_sumsq(struct device *d, struct block *block, const struct slot *slots, int n) {
    (void)d;
    double sum = 0;
    for (int s = 0; s < n; s++)
        for (int64_t i = 0; i < slots[s].n; i++)
            sum += (double)slots[s].g[i] * (double)slots[s].g[i];
    block->sumsq += sum;
}

void ref_clip(struct device *d, struct block *block) {
    (void)d;
    double norm = sqrt(block->sumsq), mean = block->loss * (double)block->inv_trained,
           most = (double)block->max_norm;
    bool finite = isfinite(norm) && isfinite(mean);
    bool over = (block->norm_limit > 0 && norm > block->norm_limit) ||
                (block->loss_limit > 0 && mean > block->loss_limit);
    block->skipped = !finite || over;
    double clip = most > 0 ? most / (norm + 1e-6) : 1; /* as torch.nn.utils.clip_grad_norm_ */
    block->clip = !finite ? 0 : clip < 1 ? (float)clip : 1;
}

void ref_adamw(struct device *d, const struct slot *slots, int n, const struct block *block) {
    (void)d;
    if (block->skipped) return;
    double beta1 = (double)block->beta1, beta2 = (double)block->beta2,
           root = sqrt((double)block->correction2);
    for (int s = 0; s < n; s++) {
        const struct slot *t = &slots[s];
        double lr = (double)block->lr * (double)t->lr_scale;
        for (int64_t i = 0; i < t->n; i++) {
            double g = (double)t->g[i] * (double)block->clip;
            double w = (double)t->w[i] * (1 - lr * (double)t->weight_decay);
            t->m[i] = (float)(beta1 * (double)t->m[i] + (1 - beta1) * g);
            t->v[i] = (float)(beta2 * (double)t->v[i] + (1 - beta2) * g * g);
            double step = lr / (double)block->correction1;
            t->w[i] = (float)(w - step * (double)t->m[i] /
                                      (sqrt((double)t->v[i]) / root + (double)block->eps));
        }
    }
}
