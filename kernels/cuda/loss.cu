/* loss.cu - cross-entropy over a row of logits, a block a row, with its gradient in the place of
 * the logits where that is asked for. The largest logit and the sum are found in one pass, each
 * thread rescaling its own sum when it meets a larger one. */
#include "kernels/cuda/element.h"

enum { XENT_MOST = 1024 };

/* The sum of exp(v - most) over what a thread has seen. -inf adds nothing, a NaN stays one. */
struct running { float most, sum; };
__device__ static inline void run_on(struct running *r, float v) {
    if (v > r->most) {
        r->sum = r->sum * expf(r->most - v) + 1;
        r->most = v;
    } else if (v != -INFINITY) r->sum += expf(v - r->most);
}

/* Upwards in steps of the whole block: where grad is the narrower and lies over the logits it never
 * reaches what is not read yet, if all of a step is read before any of it is written. */
template <int W>
__device__ static inline void gradient_row(struct mat grad, struct mat logits, int row, int target,
                                           float most, float factor, float scale) {
    bool over = grad.p == logits.p && grad.t != logits.t;
    for (int first = 0; first < grad.cols; first += (int)blockDim.x * W) {
        int col = first + (int)threadIdx.x * W;
        float v[W];
        if (col < grad.cols && target >= 0) take(v, logits, row, col);
        if (over) __syncthreads();
        if (col >= grad.cols) continue;
        for (int i = 0; i < W; i++) {
            float p = target >= 0 ? expf(v[i] - most) * factor : 0;
            v[i] = (p - (col + i == target ? 1.0F : 0.0F)) * scale;
        }
        if (target < 0)
            for (int i = 0; i < W; i++) v[i] = 0;
        give(grad, row, col, v);
    }
}

template <int W>
KERNEL(XENT_MOST) xent_row(float *loss, struct mat grad, struct mat logits, const int32_t *targets,
                           const struct block *block) {
    SHARED(float, between, [XENT_MOST / 32]);
    int row = (int)blockIdx.x, target = targets[row];
    struct running r = {-INFINITY, 0};
    float aim[1] = {0}, v[W];
    if (target >= 0) take(aim, logits, row, target);
    for (int col = (int)threadIdx.x * W; target >= 0 && col < logits.cols;
         col += (int)blockDim.x * W) {
        take(v, logits, row, col);
        for (int i = 0; i < W; i++) run_on(&r, v[i]);
    }
    float most = block_most(r.most, between);
    float sum = block_sum(r.sum == 0 ? 0 : r.sum * expf(r.most - most), between);
    if (threadIdx.x == 0) loss[row] = target >= 0 ? most + logf(sum) - aim[0] : 0;
    if (grad.p) gradient_row<W>(grad, logits, row, target, most, 1 / sum, block->inv_trained);
}

void cuda_xent(struct device *d, float *loss, struct mat grad, struct mat logits,
               const int32_t *target, const struct block *block) {
    if (logits.rows == 0) return;
    bool is_wide = wide(logits) && (!grad.p || wide(grad));
    unsigned threads = logits.cols >= 4096 ? 1024 : 256;
    launch(d, "xent", is_wide ? xent_row<WIDE> : xent_row<1>, (unsigned)logits.rows, threads, 0,
           loss, grad, logits, target, block);
}

KERNEL(1024) total_loss(struct block *block, const float *loss, int n) {
    SHARED(double, between, [32]);
    double sum = 0;
    for (int i = (int)threadIdx.x; i < n; i += 1024) sum += (double)loss[i];
    sum = block_sum(sum, between);
    if (threadIdx.x == 0) block->loss += sum;
}

void cuda_total(struct device *d, struct block *block, const float *loss, int n) {
    if (n > 0) launch(d, "total", total_loss, 1, 1024, 0, block, loss, n);
}
