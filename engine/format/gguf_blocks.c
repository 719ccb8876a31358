/* gguf_blocks.c - the block types of GGML as fp32, and Q8_0 from fp32.
 *
 * A block holds a run of weights as small integers with one or two half-precision scales; K blocks
 * have 256 weights and scales for parts of them. The products are taken in the order of the gguf
 * Python package, in fp32, so that results are equal to the last bit (tests/golden/quants.py). */
#include "engine/format/gguf.h"
#include "engine/format/safetensors.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static float half_at(const uint8_t *p) { return f16_to_f32((uint16_t)(p[0] | p[1] << 8)); }

static void widen_f32(float *out, const uint8_t *p) { memcpy(out, p, 4); }
static void widen_f16(float *out, const uint8_t *p) { *out = half_at(p); }
static void widen_bf16(float *out, const uint8_t *p) { *out = bf16_to_f32((uint16_t)(p[0] | p[1] << 8)); }

/* d, 16 bytes: element i in the low, element i + 16 in the high half of byte i. */
static void widen_q4_0(float *out, const uint8_t *p)
{
    float d = half_at(p);
    for (int i = 0; i < 16; i++) {
        out[i] = d * (float)((p[2 + i] & 15) - 8);
        out[i + 16] = d * (float)((p[2 + i] >> 4) - 8);
    }
}

/* d, least, 16 bytes as in Q4_0. */
static void widen_q4_1(float *out, const uint8_t *p)
{
    float d = half_at(p), least = half_at(p + 2);
    for (int i = 0; i < 16; i++) {
        out[i] = d * (float)(p[4 + i] & 15) + least;
        out[i + 16] = d * (float)(p[4 + i] >> 4) + least;
    }
}

static void widen_q8_0(float *out, const uint8_t *p)
{
    float d = half_at(p);
    for (int i = 0; i < 32; i++) out[i] = (float)(int8_t)p[2 + i] * d;
}

/* Eight scales and eight minima of 6 bits in 12 bytes: the low 6 bits of bytes 0-3 and 4-7 are those
 * of parts 0-3; bytes 8-11 hold the low halves of parts 4-7, whose top bits are atop bytes 0-7. */
static void k_scales(int part, const uint8_t *p, float *scale, float *least)
{
    int s = part < 4 ? p[part] & 63 : (p[part + 4] & 15) | (p[part - 4] >> 6) << 4;
    int m = part < 4 ? p[part + 4] & 63 : p[part + 4] >> 4 | (p[part] >> 6) << 4;
    *scale = (float)s;
    *least = (float)m;
}

/* d, dmin, 12 bytes of scales, `high` (Q5_K: 32 bytes, bit `part` of byte i), then 128 bytes: parts 2k
 * and 2k+1 are the low and high halves of 32 of them. */
static void widen_k(float *out, const uint8_t *p, const uint8_t *high, const uint8_t *low)
{
    float d = half_at(p), dmin = half_at(p + 2);
    for (int part = 0; part < 8; part++) {
        float scale, least;
        k_scales(part, p + 4, &scale, &least);
        scale *= d;
        least *= dmin;
        for (int i = 0; i < 32; i++) {
            int q = low[part / 2 * 32 + i] >> part % 2 * 4 & 15;
            if (high) q |= (high[i] >> part & 1) << 4;
            out[part * 32 + i] = scale * (float)q - least;
        }
    }
}

static void widen_q4_k(float *out, const uint8_t *p) { widen_k(out, p, NULL, p + 16); }
static void widen_q5_k(float *out, const uint8_t *p) { widen_k(out, p, p + 16, p + 48); }

/* 128 bytes of low halves, 64 of upper pairs of bits, 16 signed scales, d: for each 128 weights, four
 * runs of 32 share 64 low bytes (halves) and 32 upper bytes (pairs of bits). */
static void widen_q6_k(float *out, const uint8_t *p)
{
    float d = half_at(p + 208);
    for (int run = 0; run < 8; run++) {
        const uint8_t *low = p + run / 4 * 64 + run % 2 * 32, *high = p + 128 + run / 4 * 32;
        for (int i = 0; i < 32; i++) {
            int q = (low[i] >> run % 4 / 2 * 4 & 15) | (high[i] >> run % 4 * 2 & 3) << 4;
            float scale = d * (float)(int8_t)p[192 + run * 2 + i / 16];
            out[run * 32 + i] = scale * (float)(q - 32);
        }
    }
}

static const struct { uint32_t type; struct block block; } blocks[] = {
    {GGML_F32, {"F32", 1, 4, widen_f32}}, {GGML_F16, {"F16", 1, 2, widen_f16}},
    {GGML_BF16, {"BF16", 1, 2, widen_bf16}}, {GGML_Q8_0, {"Q8_0", 32, 34, widen_q8_0}},
    {GGML_Q4_0, {"Q4_0", 32, 18, widen_q4_0}}, {GGML_Q4_1, {"Q4_1", 32, 20, widen_q4_1}},
    {GGML_Q4_K, {"Q4_K", 256, 144, widen_q4_k}}, {GGML_Q5_K, {"Q5_K", 256, 176, widen_q5_k}},
    {GGML_Q6_K, {"Q6_K", 256, 210, widen_q6_k}}};

static const struct { uint32_t type; const char *name; } others[] = {
    {6, "Q5_0"}, {7, "Q5_1"}, {9, "Q8_1"}, {10, "Q2_K"}, {11, "Q3_K"}, {15, "Q8_K"}, {16, "IQ2_XXS"}, {17, "IQ2_XS"},
    {18, "IQ3_XXS"}, {19, "IQ1_S"}, {20, "IQ4_NL"}, {21, "IQ3_S"}, {22, "IQ2_S"}, {23, "IQ4_XS"}, {24, "I8"},
    {25, "I16"}, {26, "I32"}, {27, "I64"}, {28, "F64"}, {29, "IQ1_M"}, {34, "TQ1_0"}, {35, "TQ2_0"}, {39, "MXFP4"}};

const struct block *ggml_block(uint32_t type)
{
    for (size_t i = 0; i < COUNT(blocks); i++)
        if (blocks[i].type == type) return &blocks[i].block;
    return NULL;
}

const char *ggml_name(uint32_t type)
{
    const struct block *b = ggml_block(type);
    if (b) return b->name;
    for (size_t i = 0; i < COUNT(others); i++)
        if (others[i].type == type) return others[i].name;
    return "of an unknown type";
}

void ggml_widen(float *out, const void *p, int64_t n, uint32_t type)
{
    const struct block *b = ggml_block(type);
    const uint8_t *q = p;
    if (type == GGML_F32) {
        memcpy(out, p, (size_t)n * 4);
        return;
    }
    for (int64_t i = 0; i < n; i += b->elements, q += b->bytes) b->widen(out + i, q);
}

/* The largest magnitude becomes 127; rounding is half away from zero, as ggml's roundf. */
void q8_0_narrow(uint8_t *out, const float *in, int64_t n)
{
    for (int64_t i = 0; i < n; i += 32, out += 34) {
        float most = 0;
        for (int k = 0; k < 32; k++) most = fmaxf(most, fabsf(in[i + k]));
        float d = most / 127, by = d != 0 ? 1 / d : 0;
        uint16_t half = f32_to_f16(d);
        memcpy(out, &half, 2);
        for (int k = 0; k < 32; k++) out[2 + k] = (uint8_t)(int8_t)roundf(in[i + k] * by);
    }
}
