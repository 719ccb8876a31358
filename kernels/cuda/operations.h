/* operations.h - the operations of kernels.h as this backend's functions: same parameters, same
 * meaning. They are C functions in C++ files (*.cu); what each does is said in kernels.h.
 *
 * Types: F32 and BF16 anywhere that kernels.h allows a matrix, also mixed; alignment, row distance
 * and column counts are free. Where pointers, distances and columns are whole multiples of 16
 * bytes the wide path is taken, which is the fast one. */
#ifndef HONE_CUDA_OPERATIONS_H
#define HONE_CUDA_OPERATIONS_H
#include "kernels/cuda/device.h"

#ifdef __cplusplus
extern "C" {
#endif
void cuda_convert(struct device *, struct mat to, struct mat from);
void cuda_fill(struct device *, struct mat m, float value);

/* The product of our own, on tensor cores for BF16 and in F32 for checking: what is used where
 * cublasLt is absent or refuses. settle fills w->packed in w->t, in the order of w (one copy serves
 * both products: pack_rows = pack_cols = 1, pack_copies[BF16] = 1). Where packed is NULL w->w is
 * read, of whatever type, and rounded or widened to w->t as it is read. */
void cuda_product_settle(struct device *, const struct weight *w, unsigned packing);
void cuda_product_linear(struct device *, struct mat y, struct mat x, const struct weight *w,
                         float alpha, float beta);
void cuda_product_linear_back(struct device *, struct mat dx, struct mat dy,
                              const struct weight *w, float alpha, float beta);
void cuda_product_linear_grad(struct device *, struct mat dw, struct mat dy, struct mat x,
                              float alpha);

void cuda_bias(struct device *, struct mat y, struct mat b);
void cuda_bias_grad(struct device *, struct mat db, struct mat dy);
void cuda_embed(struct device *, struct mat y, struct mat table, const int32_t *ids);
void cuda_embed_grad(struct device *, struct mat dtable, struct mat dy, const int32_t *ids);
void cuda_gather(struct device *, struct mat y, struct mat x, const int32_t *index);
void cuda_scatter(struct device *, struct mat y, struct mat x, const int32_t *index);
void cuda_add(struct device *, struct mat y, struct mat x, float alpha);
void cuda_dropout(struct device *, struct mat y, struct mat x, float p, struct draw draw);
void cuda_noise(struct device *, struct mat x, struct seqs s, float alpha, struct draw draw);
void cuda_norm(struct device *, struct mat y, float *rstd, struct mat x, struct mat residual,
               struct mat weight, float eps);
void cuda_norm_back(struct device *, struct mat dx, struct mat dweight, struct mat dy,
                    struct mat x, struct mat weight, const float *rstd);
void cuda_rope(struct device *, struct mat x, const int32_t *pos, struct mat table, int head_dim,
               float sign);
void cuda_attn(struct device *, struct mat o, float *lse, struct mat q, struct mat k, struct mat v,
               struct seqs sq, struct seqs sk, const struct attention *);
void cuda_attn_back(struct device *, struct mat dq, struct mat dk, struct mat dv, struct mat d_o,
                    struct mat o, const float *lse, struct mat q, struct mat k, struct mat v,
                    struct seqs s, const struct attention *);
void cuda_swiglu(struct device *, struct mat y, struct mat gu);
void cuda_swiglu_back(struct device *, struct mat dgu, struct mat dy, struct mat gu);
void cuda_xent(struct device *, float *loss, struct mat grad, struct mat logits,
               const int32_t *target, const struct block *block);
void cuda_total(struct device *, struct block *block, const float *loss, int n);
void cuda_sumsq(struct device *, struct block *block, const struct slot *slots, int n);
void cuda_clip(struct device *, struct block *block);
void cuda_adamw(struct device *, const struct slot *slots, int n, const struct block *block);
void cuda_sample(struct device *, int32_t *id, struct mat logits, const struct sampling *,
                 const int32_t *recent, int n, struct draw draw);
#ifdef __cplusplus
}
#endif
#endif
