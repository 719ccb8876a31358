/* activation.c - SwiGLU (Shazeer 2020) of a row gate | up, and its gradient:
 * silu(g) = g s(g) with s the logistic function; silu'(g) = s(g) (1 + g (1 - s(g))). */
#include "kernels/ref/ref.h"
#include <math.h>

static double logistic(double x) { return 1 / (1 + exp(-x)); }

void ref_swiglu(struct device *d, struct mat y, struct mat gu) {
    (void)d;
    for (int i = 0; i < y.rows; i++)
        for (int j = 0; j < y.cols; j++) {
            double g = get(gu, i, j), u = get(gu, i, y.cols + j);
            set(y, i, j, g * logistic(g) * u);
        }
}

void ref_swiglu_back(struct device *d, struct mat dgu, struct mat dy, struct mat gu) {
    (void)d;
    for (int i = 0; i < dy.rows; i++)
        for (int j = 0; j < dy.cols; j++) {
            double g = get(gu, i, j), u = get(gu, i, dy.cols + j), dv = get(dy, i, j),
                   s = logistic(g);
            set(dgu, i, j, dv * u * s * (1 + g * (1 - s)));
            set(dgu, i, dy.cols + j, dv * g * s);
        }
}
