/* update.c - the norm of the gradients, clipping, the guards, and AdamW (Loshchilov and Hutter
 * 2019) as torch.optim.AdamW computes it, with moments in fewer bits where a slot says so. */
#include "kernels/ref/ref.h"
#include <math.h>

static double gradient(const struct slot *s, int64_t i) {
    return s->gradient == BF16 ? (double)bf16_value(((const uint16_t *)s->g)[i])
                               : (double)((const float *)s->g)[i];
}

void ref_sumsq(struct device *d, struct block *block, const struct slot *slots, int n) {
    (void)d;
    double sum = 0;
    for (int s = 0; s < n; s++)
        for (int64_t i = 0; i < slots[s].n; i++)
            sum += gradient(&slots[s], i) * gradient(&slots[s], i);
    block->sumsq += sum;
}

void ref_clip(struct device *d, struct block *block) {
    (void)d;
    double norm = sqrt(block->sumsq), mean = block->loss * (double)block->inv_trained,
           most = (double)block->max_norm;
    bool finite = isfinite(norm) && isfinite(mean);
    bool over = (block->norm_limit > 0 && norm > block->norm_limit) ||
                (block->loss_limit > 0 && mean > block->loss_limit);
    block->skipped = !finite || over;
    double clip = most > 0 ? most / (norm + 1e-6) : 1; /* as torch.nn.utils.clip_grad_norm_ */
    block->clip = !finite ? 0 : clip < 1 ? (float)clip : 1;
}

/* ---- moments in fewer bits ---- */

static double code_value(int code, int segments) {
    int e = code > 0 ? ilogb(code) : 0;
    return code > 0 ? ldexp(7 * ldexp(code, -e) - 6, 3 * (e - segments)) : 0;
}

/* Where a value in [0, value(2^segments - 1)] lies between the codes. */
static double code_place(double value, int segments) {
    double least = ldexp(1, -3 * segments);
    if (value < least) return value / least;
    int e = (ilogb(value) + 3 * segments) / 3;
    return ldexp(ldexp(value, 3 * (segments - e)) + 6, e) / 7;
}

static uint16_t bf16_drawn(float f, uint32_t draw) {
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return (uint16_t)((bits + draw) >> 16);
}

/* One of the two moments of a slot. */
struct moment { void *p; float *scale; enum dtype t; bool has_sign; };

static struct moment moment_of(const struct slot *s, bool second) {
    return (struct moment){.p = second ? s->v : s->m, .scale = second ? s->v_scale : s->m_scale,
                           .t = s->moment, .has_sign = !second};
}

static double moment_get(struct moment x, int64_t i) {
    if (x.t == F32) return (double)((const float *)x.p)[i];
    if (x.t == BF16) return (double)bf16_value(((const uint16_t *)x.p)[i]);
    int code = ((const uint8_t *)x.p)[i];
    double scale = (double)x.scale[i / MOMENT_BLOCK];
    if (!x.has_sign) return scale * code_value(code, MOMENT_UNSIGNED);
    return scale * code_value(code & 127, MOMENT_SIGNED) * (code & 128 ? -1 : 1);
}

static uint8_t code_of(double value, float scale, bool has_sign, uint32_t draw) {
    int segments = has_sign ? MOMENT_SIGNED : MOMENT_UNSIGNED, most = (1 << segments) - 1;
    if (!(scale > 0)) return 0;
    int code = (int)floor(code_place(fabs(value) / (double)scale, segments) + draw / 65536.0);
    code = code > most ? most : code;
    if (!has_sign) return (uint8_t)(code == 0 && value > 0 ? 1 : code);
    return (uint8_t)(code | (value < 0 ? 128 : 0));
}

/* The new values of elements [first, first + n), a whole block where the codes have a scale. */
static void moments_set(struct moment x, int64_t first, int n, const double *value,
                        const uint32_t *draw) {
    float largest = 0, *scale = x.t == U8 ? &x.scale[first / MOMENT_BLOCK] : NULL;
    int segments = x.has_sign ? MOMENT_SIGNED : MOMENT_UNSIGNED;
    for (int i = 0; i < n; i++) largest = fmaxf(largest, fabsf((float)value[i]));
    if (scale)
        *scale = largest < MOMENT_LEAST
                     ? 0
                     : (float)((double)largest / code_value((1 << segments) - 1, segments));
    for (int i = 0; i < n; i++) {
        if (x.t == F32) ((float *)x.p)[first + i] = (float)value[i];
        else if (x.t == BF16)
            ((uint16_t *)x.p)[first + i] = bf16_drawn((float)value[i], draw[i]);
        else ((uint8_t *)x.p)[first + i] = code_of(value[i], *scale, x.has_sign, draw[i]);
    }
}

/* Elements [first, first + n) of a slot that begins at element `at` of all. */
static void adamw_block(const struct slot *s, int64_t first, int n, int64_t at,
                        const struct block *b) {
    double m[MOMENT_BLOCK], v[MOMENT_BLOCK], beta1 = (double)b->beta1, beta2 = (double)b->beta2;
    uint32_t draw_m[MOMENT_BLOCK], draw_v[MOMENT_BLOCK];
    double lr = (double)b->lr * (double)s->lr_scale, step = lr / (double)b->correction1;
    struct moment first_moment = moment_of(s, false), second_moment = moment_of(s, true);
    for (int i = 0; i < n; i++) {
        uint32_t r = kernels_random_at(b->key, (uint64_t)(at + first + i));
        double g = gradient(s, first + i) * (double)b->clip;
        draw_m[i] = r >> 16, draw_v[i] = r & 0xFFFF;
        m[i] = beta1 * moment_get(first_moment, first + i) + (1 - beta1) * g;
        v[i] = beta2 * moment_get(second_moment, first + i) + (1 - beta2) * g * g;
        double w = (double)s->w[first + i] * (1 - lr * (double)s->weight_decay);
        double root = sqrt((double)(float)v[i]) / sqrt((double)b->correction2);
        s->w[first + i] = (float)(w - step * (double)(float)m[i] / (root + (double)b->eps));
    }
    moments_set(first_moment, first, n, m, draw_m);
    moments_set(second_moment, first, n, v, draw_v);
}

void ref_adamw(struct device *d, const struct slot *slots, int n, const struct block *block) {
    (void)d;
    int64_t at = 0;
    if (block->skipped) return;
    for (int s = 0; s < n; at += slots[s++].n)
        for (int64_t i = 0; i < slots[s].n; i += MOMENT_BLOCK) {
            int64_t rest = slots[s].n - i;
            adamw_block(&slots[s], i, rest < MOMENT_BLOCK ? (int)rest : MOMENT_BLOCK, at, block);
        }
}
