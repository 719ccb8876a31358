/* simd.h - one vector of floats of this instruction set (V of them: 8 with AVX2, 16 with AVX-512)
 * and the few things done with it. Storage is F32 or BF16; a vector is always F32. */
#ifndef HONE_CPU_SIMD_H
#define HONE_CPU_SIMD_H
#include "kernels/kernels.h"
#include <immintrin.h>
#include <math.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline, unused))

#ifdef __AVX512F__
#define V 16
typedef __m512 vf;
INLINE vf v_set(float x) { return _mm512_set1_ps(x); }
INLINE vf v_load(const float *p) { return _mm512_loadu_ps(p); }
INLINE void v_store(float *p, vf v) { _mm512_storeu_ps(p, v); }
INLINE vf v_fma(vf a, vf b, vf c) { return _mm512_fmadd_ps(a, b, c); }
/* Of a NaN and a number these two give the second. */
INLINE vf v_max(vf a, vf b) { return _mm512_max_ps(a, b); }
INLINE vf v_min(vf a, vf b) { return _mm512_min_ps(a, b); }
INLINE vf v_sqrt(vf a) { return _mm512_sqrt_ps(a); }
/* b where x < y, else a */
INLINE vf v_less(vf x, vf y, vf a, vf b) {
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(x, y, _CMP_LT_OQ), a, b);
}
INLINE bool v_any_less(vf x, vf y) { return _mm512_cmp_ps_mask(x, y, _CMP_LT_OQ) != 0; }
INLINE vf v_round(vf a) {
    return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
INLINE vf v_scale2(vf a, vf n) { return _mm512_scalef_ps(a, n); }
INLINE vf v_load_some(const float *p, int n) {
    return _mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
}
INLINE void v_store_some(float *p, vf v, int n) {
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), v);
}
INLINE vf v_widen(const uint16_t *p) {
    __m256i h = _mm256_loadu_si256((const __m256i *)(const void *)p);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16));
}
INLINE vf v_widen_some(const uint16_t *p, int n) {
    __m256i h = _mm256_maskz_loadu_epi16((__mmask16)((1u << n) - 1), p);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16));
}
/* Rounded to BF16, in the low halves of V 32-bit numbers. */
INLINE __m512i v_round16(vf v) {
    __m512i x = _mm512_castps_si512(v),
            odd = _mm512_and_si512(_mm512_srli_epi32(x, 16), _mm512_set1_epi32(1));
    __m512i r =
        _mm512_srli_epi32(_mm512_add_epi32(x, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7FFF))),
                          16);
    __mmask16 nan = _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
    return _mm512_mask_mov_epi32(r, nan, _mm512_set1_epi32(0x7FC0));
}
INLINE __m256i v_narrow16(vf v) {
#ifdef __AVX512BF16__
    return (__m256i)_mm512_cvtneps_pbh(v);
#else
    return _mm512_cvtepi32_epi16(v_round16(v));
#endif
}
INLINE void v_narrow(uint16_t *p, vf v) {
    _mm256_storeu_si256((__m256i *)(void *)p, v_narrow16(v));
}
INLINE void v_narrow_some(uint16_t *p, vf v, int n) {
    _mm256_mask_storeu_epi16(p, (__mmask16)((1u << n) - 1), v_narrow16(v));
}
INLINE __m256 v_low(vf v) { return _mm512_castps512_ps256(v); }
INLINE __m256 v_high(vf v) { return _mm512_extractf32x8_ps(v, 1); }
INLINE void v_store_low(float *p, vf v) { _mm256_storeu_ps(p, v_low(v)); }
INLINE void v_store_high(float *p, vf v) { _mm256_storeu_ps(p, v_high(v)); }
#else
#define V 8
typedef __m256 vf;
INLINE vf v_set(float x) { return _mm256_set1_ps(x); }
INLINE vf v_load(const float *p) { return _mm256_loadu_ps(p); }
INLINE void v_store(float *p, vf v) { _mm256_storeu_ps(p, v); }
INLINE vf v_fma(vf a, vf b, vf c) { return _mm256_fmadd_ps(a, b, c); }
INLINE vf v_max(vf a, vf b) { return _mm256_max_ps(a, b); }
INLINE vf v_min(vf a, vf b) { return _mm256_min_ps(a, b); }
INLINE vf v_sqrt(vf a) { return _mm256_sqrt_ps(a); }
INLINE vf v_less(vf x, vf y, vf a, vf b) {
    return _mm256_blendv_ps(a, b, _mm256_cmp_ps(x, y, _CMP_LT_OQ));
}
INLINE bool v_any_less(vf x, vf y) {
    return _mm256_movemask_ps(_mm256_cmp_ps(x, y, _CMP_LT_OQ)) != 0;
}
INLINE vf v_round(vf a) {
    return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
INLINE vf v_scale2(vf a, vf n) { /* n in -126..127 */
    __m256i e =
        _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23);
    return _mm256_mul_ps(a, _mm256_castsi256_ps(e));
}
INLINE void v_store_low(float *p, vf v) { _mm_storeu_ps(p, _mm256_castps256_ps128(v)); }
INLINE void v_store_high(float *p, vf v) { _mm_storeu_ps(p, _mm256_extractf128_ps(v, 1)); }
INLINE __m256i v_first(int n) {
    static const int32_t mask[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};
    return _mm256_loadu_si256((const __m256i *)(const void *)(mask + 8 - n));
}
INLINE vf v_load_some(const float *p, int n) { return _mm256_maskload_ps(p, v_first(n)); }
INLINE void v_store_some(float *p, vf v, int n) { _mm256_maskstore_ps(p, v_first(n), v); }
INLINE vf v_widen(const uint16_t *p) {
    __m128i h = _mm_loadu_si128((const __m128i *)(const void *)p);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16));
}
INLINE vf v_widen_some(const uint16_t *p, int n) {
    uint16_t h[8] = {0};
    memcpy(h, p, (size_t)n * 2);
    return v_widen(h);
}
INLINE __m256i v_round16(vf v) {
    __m256i x = _mm256_castps_si256(v),
            odd = _mm256_and_si256(_mm256_srli_epi32(x, 16), _mm256_set1_epi32(1));
    __m256i r =
        _mm256_srli_epi32(_mm256_add_epi32(x, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7FFF))),
                          16);
    __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q));
    return _mm256_blendv_epi8(r, _mm256_set1_epi32(0x7FC0), nan);
}
INLINE void v_narrow(uint16_t *p, vf v) {
    __m256i r = v_round16(v);
    __m128i h = _mm_packus_epi32(_mm256_castsi256_si128(r), _mm256_extracti128_si256(r, 1));
    _mm_storeu_si128((__m128i *)(void *)p, h);
}
INLINE void v_narrow_some(uint16_t *p, vf v, int n) {
    uint16_t h[8];
    v_narrow(h, v);
    memcpy(p, h, (size_t)n * 2);
}
#endif

/* Rounded to BF16, as floats. */
INLINE vf v_rounded(vf v) {
#ifdef __AVX512F__
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(v_narrow16(v)), 16));
#else
    return _mm256_castsi256_ps(_mm256_slli_epi32(v_round16(v), 16));
#endif
}

/* Of 2 V neighbours in BF16 the even ones and the odd ones. */
INLINE void v_widen_pairs(const uint16_t *p, vf *even, vf *odd) {
#ifdef __AVX512F__
    __m512i h = _mm512_loadu_si512(p);
    *even = _mm512_castsi512_ps(_mm512_slli_epi32(h, 16));
    *odd = _mm512_castsi512_ps(_mm512_and_si512(h, _mm512_set1_epi32((int)0xFFFF0000)));
#else
    __m256i h = _mm256_loadu_si256((const __m256i *)(const void *)p);
    *even = _mm256_castsi256_ps(_mm256_slli_epi32(h, 16));
    *odd = _mm256_castsi256_ps(_mm256_and_si256(h, _mm256_set1_epi32((int)0xFFFF0000)));
#endif
}

/* Elements j .. j + V - 1 of a row of n elements; those from n on read as 0 and are not written. */
INLINE vf v_at(const void *p, enum dtype t, int j, int n) {
    if (t == BF16) {
        const uint16_t *h = (const uint16_t *)p + j;
        return n - j >= V ? v_widen(h) : v_widen_some(h, n - j);
    }
    const float *f = (const float *)p + j;
    return n - j >= V ? v_load(f) : v_load_some(f, n - j);
}
INLINE void v_to(void *p, enum dtype t, int j, int n, vf v) {
    if (t == BF16) {
        uint16_t *h = (uint16_t *)p + j;
        if (n - j >= V) v_narrow(h, v);
        else v_narrow_some(h, v, n - j);
        return;
    }
    float *f = (float *)p + j;
    if (n - j >= V) v_store(f, v);
    else v_store_some(f, v, n - j);
}
/* v where the lane belongs to the n elements, else `other`: for maxima and exponentials of tails.
 */
INLINE vf v_keep(vf v, int j, int n, float other) {
    if (n - j >= V) return v;
    float x[V];
    v_store(x, v);
    for (int i = n - j; i < V; i++) x[i] = other;
    return v_load(x);
}

/* The lanes in one fixed order: halves against halves. */
INLINE float v_sum(vf v) {
#ifdef __AVX512F__
    __m256 h = _mm256_add_ps(v_low(v), v_high(v));
#else
    __m256 h = v;
#endif
    __m128 q = _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
    q = _mm_add_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_add_ss(q, _mm_movehdup_ps(q)));
}
INLINE float v_most(vf v) {
    float x[V];
    v_store(x, v);
    float most = x[0];
    for (int i = 1; i < V; i++) most = x[i] > most ? x[i] : most;
    return most;
}

/* e^x to 1.2 ulp (Cephes expf: x = n ln 2 + r, a polynomial of degree 6 in r). 0 below -87.3, where
 * a float would be subnormal; at most e^88.3; NaN stays NaN. */
INLINE vf v_exp(vf x) {
    vf c = v_max(v_set(-87.3f), v_min(v_set(88.3f), x)), n = v_round(c * v_set(1.44269504f));
    vf r = v_fma(n, v_set(-0.693359375f), c);
    r = v_fma(n, v_set(2.12194440e-4f), r);
    vf p = v_fma(v_set(1.9875691500e-4f), r, v_set(1.3981999507e-3f));
    p = v_fma(p, r, v_set(8.3334519073e-3f));
    p = v_fma(p, r, v_set(4.1665795894e-2f));
    p = v_fma(p, r, v_set(1.6666665459e-1f));
    p = v_fma(p, r, v_set(5.0000001201e-1f));
    p = v_fma(p, r * r, r + v_set(1));
    return v_less(x, v_set(-87.3f), v_scale2(p, n), v_set(0));
}

/* 2^x within 1.7e-7 of it, for a softmax, whose x are at most about 0 (up to 127 is right): a minimax
 * polynomial of degree 5 with p(0) = 1. 0 where a float would be subnormal (AVX-512: where it would be
 * 0; threads take subnormal numbers as 0); NaN stays NaN. */
INLINE vf v_exp2(vf x) {
#ifdef __AVX512F__
    vf c = v_max(v_set(-200), x), n = v_round(c), f = c - n; /* scalef knows what is too small */
#else
    vf c = v_max(v_set(-126), v_min(v_set(127), x)), n = v_round(c), f = c - n;
#endif
    vf p = v_fma(v_set(1.32647273e-3f), f, v_set(9.67151279e-3f));
    p = v_fma(p, f, v_set(5.55073374e-2f));
    p = v_fma(p, f, v_set(2.40222421e-1f));
    p = v_fma(p, f, v_set(6.93146978e-1f));
    p = v_fma(p, f, v_set(1));
#ifdef __AVX512F__
    return v_scale2(p, n);
#else
    return v_less(x, v_set(-126), v_scale2(p, n), v_set(0));
#endif
}

/* ln x for a finite x > 0, in double: x = 2^e m with m near 1, ln m = 2 artanh((m - 1) / (m + 1)).
 */
static inline double log_of(double x) {
    int e;
    double m = frexp(x, &e);
    if (m < 0.70710678118654752) m *= 2, e--;
    double s = (m - 1) / (m + 1), s2 = s * s, sum = 0;
    for (int k = 25; k >= 1; k -= 2)
        sum = sum * s2 + 1.0 / k; /* s2 < 0.0295: 0.0295^13 is below 1e-19 */
    return 2 * s * sum + e * 0.69314718055994530942;
}
#endif
