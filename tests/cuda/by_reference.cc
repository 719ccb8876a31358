/* by_reference.cc - the operations of kernels/cuda/operations.h queued on the device's stream, each
 * done by kernels/ref. So everything of the host side, and the engine on it, is tested with the
 * orders of fake.h at the speed of plain loops; the kernels themselves have tests of their own.
 * What is host memory by kernels.h is posted, as the kernels do it. */
#include "kernels/cuda/operations.h"
#include "tests/cuda/fake.h"

namespace shim
{
cudaError_t (*submit)(cudaStream_t, std::function<cudaError_t()>) = nullptr;
}

/* The reference's own device, which is only a workspace. */
struct plain {
    char *workspace;
    size_t bytes;
};
typedef const struct weight *weights;
typedef const struct slot *slots;
typedef const struct attention *attentions;
typedef const int32_t *numbers;

extern "C" {
void ref_settle(plain *, weights, unsigned);
void ref_linear(plain *, mat, mat, weights, float, float);
void ref_linear_back(plain *, mat, mat, weights, float, float);
void ref_linear_grad(plain *, mat, mat, mat, float);
void ref_bias(plain *, mat, mat);
void ref_bias_grad(plain *, mat, mat);
void ref_convert(plain *, mat, mat);
void ref_fill(plain *, mat, float);
void ref_embed(plain *, mat, mat, numbers);
void ref_embed_grad(plain *, mat, mat, numbers);
void ref_gather(plain *, mat, mat, numbers);
void ref_scatter(plain *, mat, mat, numbers);
void ref_add(plain *, mat, mat, float);
void ref_dropout(plain *, mat, mat, float, draw);
void ref_noise(plain *, mat, seqs, float, draw);
void ref_norm(plain *, mat, float *, mat, mat, mat, float);
void ref_norm_back(plain *, mat, mat, mat, mat, mat, const float *);
void ref_rope(plain *, mat, numbers, mat, int, float);
void ref_attn(plain *, mat, float *, mat, mat, mat, seqs, seqs, attentions);
void ref_attn_back(plain *, mat, mat, mat, mat, mat, const float *, mat, mat, mat, seqs,
                   attentions);
void ref_swiglu(plain *, mat, mat);
void ref_swiglu_back(plain *, mat, mat, mat);
void ref_xent(plain *, float *, mat, mat, numbers, const block *);
void ref_total(plain *, block *, const float *, int);
void ref_sumsq(plain *, block *, slots, int);
void ref_clip(plain *, block *);
void ref_adamw(plain *, slots, int, const block *);
void ref_sample(plain *, int32_t *, mat, const sampling *, numbers, int, draw);
}

static void later(struct device *d, const char *what, std::function<void(plain *)> work)
{
    plain p = {d->workspace, d->workspace_bytes};
    cudaError_t e = shim::submit(d->stream, [=] {
        plain own = p;
        work(&own);
        return cudaSuccess;
    });
    if (e) cuda_fault(d, what, e);
}

template <class... A>
static void queue(struct device *d, const char *what, void (*operation)(plain *, A...), A... a)
{
    later(d, what, [=](plain *p) { operation(p, a...); });
}

/* The borders on the device; false: a fault. */
static bool posted(struct device *d, seqs *s)
{
    size_t bytes = ((size_t)s->n + 1) * sizeof(int32_t);
    s->start = static_cast<const int32_t *>(cuda_post(d, s->start, bytes));
    return s->start != nullptr;
}

static const slot *posted(struct device *d, const slot *s, int n)
{
    return static_cast<const slot *>(cuda_post(d, s, (size_t)n * sizeof *s));
}

extern "C" {

void cuda_product_settle(struct device *d, weights w, unsigned packing)
{
    weight copy = *w;
    later(d, "settle", [=](plain *p) { ref_settle(p, &copy, packing); });
}
void cuda_product_linear(struct device *d, mat y, mat x, weights w, float alpha, float beta)
{
    weight copy = *w;
    later(d, "linear", [=](plain *p) { ref_linear(p, y, x, &copy, alpha, beta); });
}
void cuda_product_linear_back(struct device *d, mat dx, mat dy, weights w, float alpha, float beta)
{
    weight copy = *w;
    later(d, "linear_back", [=](plain *p) { ref_linear_back(p, dx, dy, &copy, alpha, beta); });
}
void cuda_product_linear_grad(struct device *d, mat dw, mat dy, mat x, float alpha)
{
    queue(d, "linear_grad", ref_linear_grad, dw, dy, x, alpha);
}
void cuda_bias(struct device *d, mat y, mat b) { queue(d, "bias", ref_bias, y, b); }
void cuda_bias_grad(struct device *d, mat db, mat dy)
{
    queue(d, "bias_grad", ref_bias_grad, db, dy);
}
void cuda_convert(struct device *d, mat to, mat from)
{
    queue(d, "convert", ref_convert, to, from);
}
void cuda_fill(struct device *d, mat m, float value) { queue(d, "fill", ref_fill, m, value); }
void cuda_embed(struct device *d, mat y, mat table, numbers ids)
{
    queue(d, "embed", ref_embed, y, table, ids);
}
void cuda_embed_grad(struct device *d, mat dtable, mat dy, numbers ids)
{
    queue(d, "embed_grad", ref_embed_grad, dtable, dy, ids);
}
void cuda_gather(struct device *d, mat y, mat x, numbers index)
{
    queue(d, "gather", ref_gather, y, x, index);
}
void cuda_scatter(struct device *d, mat y, mat x, numbers index)
{
    queue(d, "scatter", ref_scatter, y, x, index);
}
void cuda_add(struct device *d, mat y, mat x, float alpha)
{
    queue(d, "add", ref_add, y, x, alpha);
}
void cuda_dropout(struct device *d, mat y, mat x, float p, draw key)
{
    queue(d, "dropout", ref_dropout, y, x, p, key);
}
void cuda_noise(struct device *d, mat x, seqs s, float alpha, draw key)
{
    if (posted(d, &s)) queue(d, "noise", ref_noise, x, s, alpha, key);
}
void cuda_norm(struct device *d, mat y, float *rstd, mat x, mat residual, mat w, float eps)
{
    queue(d, "norm", ref_norm, y, rstd, x, residual, w, eps);
}
void cuda_norm_back(struct device *d, mat dx, mat dweight, mat dy, mat x, mat w, const float *rstd)
{
    queue(d, "norm_back", ref_norm_back, dx, dweight, dy, x, w, rstd);
}
void cuda_rope(struct device *d, mat x, numbers pos, mat table, int head_dim, float sign)
{
    queue(d, "rope", ref_rope, x, pos, table, head_dim, sign);
}
void cuda_attn(struct device *d, mat o, float *lse, mat q, mat k, mat v, seqs sq, seqs sk,
               attentions a)
{
    attention copy = *a;
    if (posted(d, &sq) && posted(d, &sk))
        later(d, "attn", [=](plain *p) { ref_attn(p, o, lse, q, k, v, sq, sk, &copy); });
}
void cuda_attn_back(struct device *d, mat dq, mat dk, mat dv, mat d_o, mat o, const float *lse,
                    mat q, mat k, mat v, seqs s, attentions a)
{
    attention copy = *a;
    if (posted(d, &s))
        later(d, "attn_back",
              [=](plain *p) { ref_attn_back(p, dq, dk, dv, d_o, o, lse, q, k, v, s, &copy); });
}
void cuda_swiglu(struct device *d, mat y, mat gu) { queue(d, "swiglu", ref_swiglu, y, gu); }
void cuda_swiglu_back(struct device *d, mat dgu, mat dy, mat gu)
{
    queue(d, "swiglu_back", ref_swiglu_back, dgu, dy, gu);
}
void cuda_xent(struct device *d, float *loss, mat grad, mat logits, numbers target, const block *b)
{
    queue(d, "xent", ref_xent, loss, grad, logits, target, b);
}
void cuda_total(struct device *d, block *b, const float *loss, int n)
{
    queue(d, "total", ref_total, b, loss, n);
}
void cuda_sumsq(struct device *d, block *b, slots s, int n)
{
    if ((s = posted(d, s, n))) queue(d, "sumsq", ref_sumsq, b, s, n);
}
void cuda_clip(struct device *d, block *b) { queue(d, "clip", ref_clip, b); }
void cuda_adamw(struct device *d, slots s, int n, const block *b)
{
    if ((s = posted(d, s, n))) queue(d, "adamw", ref_adamw, s, n, b);
}
void cuda_sample(struct device *d, int32_t *id, mat logits, const sampling *s, numbers recent,
                 int n, draw key)
{
    sampling copy = *s;
    if (n) recent = static_cast<numbers>(cuda_post(d, recent, (size_t)n * sizeof *recent));
    if (!n || recent)
        later(d, "sample", [=](plain *p) { ref_sample(p, id, logits, &copy, recent, n, key); });
}
}
