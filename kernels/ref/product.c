/* product.c - products with a weight [out, in], their gradients, and biases.
 *
 * A weight of compute type BF16 is rounded to it by settle, and x and dy are rounded as they are
 * read, so that both factors of every multiplication are BF16. */
#include "kernels/ref/ref.h"

void ref_settle(struct device *d, const struct weight *w, unsigned packing) {
    (void)packing;
    if (w->packed) ref_convert(d, mat_make(w->packed, w->w.rows, w->w.cols, w->t), w->w);
}

static struct mat factor(const struct weight *w) {
    return w->packed ? mat_make(w->packed, w->w.rows, w->w.cols, w->t) : w->w;
}

static double get_as(struct mat m, int row, int col, enum dtype t) {
    double value = get(m, row, col);
    return t == BF16 ? (double)bf16_value(bf16_of((float)value)) : value;
}

static double blend(struct mat m, int row, int col, double product, float alpha, float beta) {
    double value = (double)alpha * product;
    return beta == 0 ? value : value + (double)beta * get(m, row, col); /* 0: y may hold anything */
}

void ref_linear(struct device *d, struct mat y, struct mat x, const struct weight *w, float alpha,
                float beta) {
    (void)d;
    struct mat f = factor(w);
    for (int i = 0; i < y.rows; i++)
        for (int o = 0; o < y.cols; o++) {
            double sum = 0;
            for (int k = 0; k < x.cols; k++) sum += get_as(x, i, k, w->t) * get(f, o, k);
            set(y, i, o, blend(y, i, o, sum, alpha, beta));
        }
}

void ref_linear_back(struct device *d, struct mat dx, struct mat dy, const struct weight *w,
                     float alpha, float beta) {
    (void)d;
    struct mat f = factor(w);
    for (int i = 0; i < dx.rows; i++)
        for (int k = 0; k < dx.cols; k++) {
            double sum = 0;
            for (int o = 0; o < dy.cols; o++) sum += get_as(dy, i, o, w->t) * get(f, o, k);
            set(dx, i, k, blend(dx, i, k, sum, alpha, beta));
        }
}

void ref_linear_grad(struct device *d, struct mat dw, struct mat dy, struct mat x, float alpha) {
    (void)d;
    for (int o = 0; o < dw.rows; o++)
        for (int k = 0; k < dw.cols; k++) {
            double sum = 0;
            for (int i = 0; i < dy.rows; i++) sum += get(dy, i, o) * get(x, i, k);
            put(dw, o, k, (double)alpha * sum);
        }
}

void ref_bias(struct device *d, struct mat y, struct mat b) {
    (void)d;
    for (int i = 0; i < y.rows; i++)
        for (int j = 0; j < y.cols; j++) put(y, i, j, get(b, 0, j));
}

void ref_bias_grad(struct device *d, struct mat db, struct mat dy) {
    (void)d;
    for (int j = 0; j < dy.cols; j++) {
        double sum = 0;
        for (int i = 0; i < dy.rows; i++) sum += get(dy, i, j);
        put(db, 0, j, sum);
    }
}
