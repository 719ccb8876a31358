/* activation.cu - SwiGLU of a row gate | up, and its gradient:
 * silu(g) = g s(g) with s the logistic function; silu'(g) = s(g) (1 + g (1 - s(g))). */
#include "kernels/cuda/element.h"

__device__ static inline float logistic(float x) { return 1 / (1 + expf(-x)); }

struct swiglu_args {
    struct mat y, gu;
    template <int W> __device__ void at(int row, int col) const {
        float g[W], u[W];
        take(g, gu, row, col);
        take(u, gu, row, y.cols + col);
        for (int i = 0; i < W; i++) g[i] = g[i] * logistic(g[i]) * u[i];
        give(y, row, col, g);
    }
};

void cuda_swiglu(struct device *d, struct mat y, struct mat gu) {
    each(d, "swiglu", wide(y) && wide(gu), y.rows, y.cols, swiglu_args{y, gu});
}

struct swiglu_back_args {
    struct mat dgu, dy, gu;
    template <int W> __device__ void at(int row, int col) const {
        float g[W], u[W], v[W];
        take(g, gu, row, col);
        take(u, gu, row, dy.cols + col);
        take(v, dy, row, col);
        for (int i = 0; i < W; i++) {
            float s = logistic(g[i]), dv = v[i];
            v[i] = dv * g[i] * s;
            g[i] = dv * u[i] * s * (1 + g[i] * (1 - s));
        }
        give(dgu, row, col, g);
        give(dgu, row, dy.cols + col, v);
    }
};

void cuda_swiglu_back(struct device *d, struct mat dgu, struct mat dy, struct mat gu) {
    each(d, "swiglu_back", wide(dgu) && wide(dy) && wide(gu), dy.rows, dy.cols,
         swiglu_back_args{dgu, dy, gu});
}
