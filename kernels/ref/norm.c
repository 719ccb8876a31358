/* norm.c - root mean square norm (Zhang and Sennrich 2019) fused with the residual sum, and its
 * gradient: with r = rstd and n columns, dx_j = r (w_j dy_j - x_j r^2 sum_k(w_k dy_k x_k) / n). */
#include "kernels/ref/ref.h"
#include <math.h>

void ref_norm(struct device *d, struct mat y, float *rstd, struct mat x, struct mat residual,
              struct mat weight, float eps) {
    (void)d;
    for (int i = 0; i < x.rows; i++) {
        double squares = 0;
        for (int j = 0; j < x.cols; j++) {
            if (residual.p) put(x, i, j, get(residual, i, j));
            squares += get(x, i, j) * get(x, i, j);
        }
        double r = 1 / sqrt(squares / x.cols + (double)eps);
        if (rstd) rstd[i] = (float)r;
        for (int j = 0; j < x.cols; j++) set(y, i, j, get(x, i, j) * r * get(weight, 0, j));
    }
}

void ref_norm_back(struct device *d, struct mat dx, struct mat dweight, struct mat dy, struct mat x,
                   struct mat weight, const float *rstd) {
    (void)d;
    for (int i = 0; i < x.rows; i++) {
        double r = (double)rstd[i], dot = 0;
        for (int j = 0; j < x.cols; j++) dot += get(weight, 0, j) * get(dy, i, j) * get(x, i, j);
        for (int j = 0; j < x.cols; j++)
            put(dx, i, j,
                r * (get(weight, 0, j) * get(dy, i, j) - get(x, i, j) * r * r * dot / x.cols));
    }
    if (!dweight.p) return;
    for (int j = 0; j < x.cols; j++) {
        double sum = 0;
        for (int i = 0; i < x.rows; i++) sum += get(dy, i, j) * get(x, i, j) * (double)rstd[i];
        put(dweight, 0, j, sum);
    }
}
