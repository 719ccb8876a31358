/* activation.c - SwiGLU of a row gate | up, and its gradient. */
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/simd.h"

struct swiglu { struct mat y, gu, dgu; int each; };

INLINE vf logistic(vf x) { return v_set(1) / (v_set(1) + v_exp(v_set(0) - x)); }

static void swiglu_part(void *arg, int part, int thread) {
    (void)thread;
    const struct swiglu *s = arg;
    int n = s->y.cols;
    struct mat up = mat_cols(s->gu, n, n);
    for (int i = part * s->each; i < cpu_least((part + 1) * s->each, s->y.rows); i++)
        for (int j = 0; j < n; j += V) {
            vf g = v_at(cpu_row(s->gu, i), s->gu.t, j, n), u = v_at(cpu_row(up, i), up.t, j, n);
            v_to(cpu_row(s->y, i), s->y.t, j, n, g * logistic(g) * u);
        }
}

static void back_part(void *arg, int part, int thread) {
    (void)thread;
    const struct swiglu *s = arg;
    int n = s->y.cols;
    struct mat up = mat_cols(s->gu, n, n), dup = mat_cols(s->dgu, n, n);
    for (int i = part * s->each; i < cpu_least((part + 1) * s->each, s->y.rows); i++)
        for (int j = 0; j < n; j += V) {
            vf g = v_at(cpu_row(s->gu, i), s->gu.t, j, n), u = v_at(cpu_row(up, i), up.t, j, n);
            vf dy = v_at(cpu_row(s->y, i), s->y.t, j, n), l = logistic(g);
            v_to(cpu_row(s->dgu, i), s->dgu.t, j, n, dy * u * l * v_fma(g, v_set(1) - l, v_set(1)));
            v_to(cpu_row(dup, i), dup.t, j, n, dy * g * l);
        }
}

static void swiglu(struct device *d, struct mat y, struct mat gu) {
    struct swiglu s = {.y = y, .gu = gu, .each = cpu_rows_of_part(cpu_bytes(mat_rows(gu, 0, 1)))};
    cpu_run(d, (y.rows + s.each - 1) / s.each, cpu_bytes(gu) * 2, swiglu_part, &s);
}

static void swiglu_back(struct device *d, struct mat dgu, struct mat dy, struct mat gu) {
    struct swiglu s = {
        .y = dy, .gu = gu, .dgu = dgu, .each = cpu_rows_of_part(cpu_bytes(mat_rows(gu, 0, 1)))};
    cpu_run(d, (dy.rows + s.each - 1) / s.each, cpu_bytes(gu) * 3, back_part, &s);
}

void CPU_NAME(activation)(struct kernels *k) {
    k->swiglu = swiglu;
    k->swiglu_back = swiglu_back;
}
