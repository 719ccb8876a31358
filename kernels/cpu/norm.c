/* norm.c - root mean square norm with the residual sum, a row at a time while it is in the cache.
 */
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/simd.h"

struct norm {
    struct device *d;
    struct mat y, x, residual, weight, dx, dweight;
    float *rstd, eps;
    int each;               /* rows of a part */
};

static void norm_part(void *arg, int part, int thread) {
    (void)thread;
    const struct norm *s = arg;
    int n = s->x.cols;
    for (int i = part * s->each; i < cpu_least((part + 1) * s->each, s->x.rows); i++) {
        void *x = cpu_row(s->x, i), *y = cpu_row(s->y, i);
        const void *residual = s->residual.p ? cpu_row(s->residual, i) : NULL;
        vf squares = v_set(0);
        for (int j = 0; j < n; j += V) {
            vf v = v_at(x, s->x.t, j, n);
            if (residual) {
                v_to(x, s->x.t, j, n, v + v_at(residual, s->residual.t, j, n));
                v = v_at(x, s->x.t, j, n); /* as it is stored, so that the backward sees the same */
            }
            squares = v_fma(v, v, squares);
        }
        float r = 1 / sqrtf(v_sum(squares) / (float)n + s->eps);
        if (s->rstd) s->rstd[i] = r;
        for (int j = 0; j < n; j += V)
            v_to(y, s->y.t, j, n,
                 v_at(x, s->x.t, j, n) * v_set(r) * v_at(s->weight.p, s->weight.t, j, n));
    }
}

static void norm(struct device *d, struct mat y, float *rstd, struct mat x, struct mat residual,
                 struct mat weight, float eps) {
    struct norm s = {
        .d = d, .y = y, .x = x, .residual = residual, .weight = weight, .rstd = rstd, .eps = eps};
    s.each = cpu_rows_of_part(cpu_bytes(mat_rows(x, 0, 1)));
    cpu_run(d, (x.rows + s.each - 1) / s.each, cpu_bytes(x) * 3, norm_part, &s);
}

static void back_row(const struct norm *s, int i, float *sums) {
    int n = s->x.cols;
    const void *x = cpu_row(s->x, i), *dy = cpu_row(s->y, i);
    void *dx = cpu_row(s->dx, i);
    vf dot = v_set(0), r = v_set(s->rstd[i]);
    for (int j = 0; j < n; j += V) {
        vf xj = v_at(x, s->x.t, j, n), g = v_at(dy, s->y.t, j, n);
        dot = v_fma(g * v_at(s->weight.p, s->weight.t, j, n), xj, dot);
        if (sums) v_to(sums, F32, j, n, v_fma(g * r, xj, v_at(sums, F32, j, n)));
    }
    vf back = v_set(v_sum(dot) / (float)n) * r * r;
    for (int j = 0; j < n; j += V) {
        vf g = v_at(dy, s->y.t, j, n) * v_at(s->weight.p, s->weight.t, j, n);
        vf v = (g - v_at(x, s->x.t, j, n) * back) * r;
        v_to(dx, s->dx.t, j, n, v_at(dx, s->dx.t, j, n) + v);
    }
}

static void back_part(void *arg, int part, int thread) {
    (void)thread;
    const struct norm *s = arg;
    float *sums =
        s->dweight.p ? (float *)cpu_shared(s->d) + (size_t)part * (size_t)s->x.cols : NULL;
    if (sums) memset(sums, 0, (size_t)s->x.cols * sizeof *sums);
    for (int i = part * s->each; i < cpu_least((part + 1) * s->each, s->x.rows); i++)
        back_row(s, i, sums);
}

static void norm_back(struct device *d, struct mat dx, struct mat dweight, struct mat dy,
                      struct mat x, struct mat weight, const float *rstd) {
    struct norm s = {.d = d,
                     .y = dy,
                     .x = x,
                     .weight = weight,
                     .dx = dx,
                     .dweight = dweight,
                     .rstd = (float *)rstd};
    int n = x.cols;
    s.each = (x.rows + CPU_SUMS - 1) / CPU_SUMS;
    if (s.each < 8) s.each = 8;
    int parts = (x.rows + s.each - 1) / s.each;
    cpu_run(d, parts, cpu_bytes(x) * 4, back_part, &s);
    if (!dweight.p) return;
    const float *sums = cpu_shared(d);
    for (int j = 0; j < n; j += V) {
        vf sum = v_set(0);
        for (int i = 0; i < parts; i++) sum = sum + v_at(sums + (size_t)i * (size_t)n, F32, j, n);
        v_to(dweight.p, dweight.t, j, n, v_at(dweight.p, dweight.t, j, n) + sum);
    }
}

void CPU_NAME(norm)(struct kernels *k) {
    k->norm = norm;
    k->norm_back = norm_back;
}
