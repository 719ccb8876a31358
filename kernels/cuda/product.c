/* product.c - products by cuBLASLt where it does them, else by our own kernels: mixed types, empty
 * factors, and machines without the library. */
#include "kernels/cuda/host.h"
#include "kernels/cuda/operations.h"

static struct factor factor_of(struct mat m)
{
    return (struct factor){.p = m.p, .ld = m.ld, .t = m.t};
}

static struct mat weight_read(const struct weight *w)
{
    return w->packed ? mat_make(w->packed, w->w.rows, w->w.cols, w->t) : w->w;
}

/* Both factors of the type that is multiplied in, and a result that holds it. */
static bool suits(const struct device *d, struct mat a, struct mat b, struct mat out, enum dtype t)
{
    return d->host->algorithms && a.t == t && b.t == t && (out.t == F32 || out.t == t) &&
           a.rows > 0 && a.cols > 0 && b.rows > 0 && b.cols > 0;
}

void device_linear(struct device *d, struct mat y, struct mat x, const struct weight *w,
                   float alpha, float beta)
{
    struct mat f = weight_read(w);
    struct request r = {.turn = TURN_LINEAR,
                        .a = factor_of(f),
                        .b = factor_of(x),
                        .d = factor_of(y),
                        .m = y.cols,
                        .n = y.rows,
                        .k = x.cols,
                        .alpha = alpha,
                        .beta = beta};
    if (!suits(d, f, x, y, w->t) || !algorithms_run(d, &r))
        cuda_product_linear(d, y, x, w, alpha, beta);
}

void device_linear_back(struct device *d, struct mat dx, struct mat dy, const struct weight *w,
                        float alpha, float beta)
{
    struct mat f = weight_read(w);
    struct request r = {.turn = TURN_BACK,
                        .a = factor_of(f),
                        .b = factor_of(dy),
                        .d = factor_of(dx),
                        .m = dx.cols,
                        .n = dx.rows,
                        .k = dy.cols,
                        .alpha = alpha,
                        .beta = beta};
    if (!suits(d, f, dy, dx, w->t) || !algorithms_run(d, &r))
        cuda_product_linear_back(d, dx, dy, w, alpha, beta);
}

void device_linear_grad(struct device *d, struct mat dw, struct mat dy, struct mat x, float alpha)
{
    struct request r = {.turn = TURN_GRAD,
                        .a = factor_of(x),
                        .b = factor_of(dy),
                        .d = factor_of(dw),
                        .m = dw.cols,
                        .n = dw.rows,
                        .k = dy.rows,
                        .alpha = alpha,
                        .beta = 1};
    if (!suits(d, x, dy, dw, x.t) || !algorithms_run(d, &r))
        cuda_product_linear_grad(d, dw, dy, x, alpha);
}
