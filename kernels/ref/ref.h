/* ref.h - what the files of the reference share: its device, and reading and writing one element.
 *
 * The reference is the definition of every operation: plain loops, every sum in double in the
 * order of the indices, every result rounded once when it is stored. It is meant to be read. */
#ifndef HONE_REF_H
#define HONE_REF_H
#include "kernels/kernels.h"
#include <string.h>

struct device { char *workspace; size_t workspace_bytes; };

static inline float bf16_value(uint16_t b) {
    uint32_t bits = (uint32_t)b << 16;
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

/* Round to nearest, ties to even; a NaN stays one. */
static inline uint16_t bf16_of(float f) {
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    if ((bits & 0x7FFFFFFF) > 0x7F800000) return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

static inline double get(struct mat m, int row, int col) {
    size_t i = (size_t)row * (size_t)m.ld + (size_t)col;
    return m.t == BF16 ? (double)bf16_value(((const uint16_t *)m.p)[i])
                       : (double)((const float *)m.p)[i];
}

static inline void set(struct mat m, int row, int col, double value) {
    size_t i = (size_t)row * (size_t)m.ld + (size_t)col;
    if (m.t == BF16) ((uint16_t *)m.p)[i] = bf16_of((float)value);
    else ((float *)m.p)[i] = (float)value;
}

static inline void put(struct mat m, int row, int col, double value) {
    set(m, row, col, get(m, row, col) + value);
}

void ref_settle(struct device *, const struct weight *w, unsigned packing);
void ref_linear(struct device *, struct mat y, struct mat x, const struct weight *w, float alpha,
                float beta);
void ref_linear_back(struct device *, struct mat dx, struct mat dy, const struct weight *w,
                     float alpha, float beta);
void ref_linear_grad(struct device *, struct mat dw, struct mat dy, struct mat x, float alpha);
void ref_bias(struct device *, struct mat y, struct mat b);
void ref_bias_grad(struct device *, struct mat db, struct mat dy);
void ref_convert(struct device *, struct mat to, struct mat from);
void ref_fill(struct device *, struct mat m, float value);
void ref_embed(struct device *, struct mat y, struct mat table, const int32_t *ids);
void ref_embed_grad(struct device *, struct mat dtable, struct mat dy, const int32_t *ids);
void ref_gather(struct device *, struct mat y, struct mat x, const int32_t *index);
void ref_scatter(struct device *, struct mat y, struct mat x, const int32_t *index);
void ref_add(struct device *, struct mat y, struct mat x, float alpha);
void ref_dropout(struct device *, struct mat y, struct mat x, float p, struct draw draw);
void ref_noise(struct device *, struct mat x, struct seqs s, float alpha, struct draw draw);
void ref_norm(struct device *, struct mat y, float *rstd, struct mat x, struct mat residual,
              struct mat weight, float eps);
void ref_norm_back(struct device *, struct mat dx, struct mat dweight, struct mat dy, struct mat x,
                   struct mat weight, const float *rstd);
void ref_rope(struct device *, struct mat x, const int32_t *pos, struct mat table, int head_dim,
              float sign);
void ref_attn(struct device *, struct mat o, float *lse, struct mat q, struct mat k, struct mat v,
              struct seqs sq, struct seqs sk, const struct attention *);
void ref_attn_back(struct device *, struct mat dq, struct mat dk, struct mat dv, struct mat d_o,
                   struct mat o, const float *lse, struct mat q, struct mat k, struct mat v,
                   struct seqs s, const struct attention *);
void ref_swiglu(struct device *, struct mat y, struct mat gu);
void ref_swiglu_back(struct device *, struct mat dgu, struct mat dy, struct mat gu);
void ref_xent(struct device *, float *loss, struct mat grad, struct mat logits,
              const int32_t *target, const struct block *block);
void ref_total(struct device *, struct block *block, const float *loss, int n);
void ref_sumsq(struct device *, struct block *block, const struct slot *slots, int n);
void ref_clip(struct device *, struct block *block);
void ref_adamw(struct device *, const struct slot *slots, int n, const struct block *block);
void ref_sample(struct device *, int32_t *id, struct mat logits, const struct sampling *,
                const int32_t *recent, int n, struct draw draw);
#endif
