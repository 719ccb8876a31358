/* moments.h - AdamW's moments in fewer bits, a block of elements at a time: as floats, and back
 * with random rounding (kernels.h, struct slot). */
#ifndef HONE_CPU_MOMENTS_H
#define HONE_CPU_MOMENTS_H
#include "kernels/cpu/simd.h"

typedef int32_t vi __attribute__((vector_size(4 * V)));
typedef uint32_t vu __attribute__((vector_size(4 * V)));
typedef uint64_t vq __attribute__((vector_size(4 * V)));  /* V / 2 lanes */

INLINE vf v_bits(vi x) { return (vf)x; }
INLINE vf v_abs(vf x) { return v_bits((vi)x & 0x7FFFFFFF); }
/* 2^n for whole n of -126 to 127 */
INLINE vf v_power2(vi n) { return v_bits((n + 127) << 23); }

/* V bytes as whole numbers, and the low bytes or halves of V whole numbers, which fit. */
INLINE vi v_bytes(const uint8_t *p) {
#ifdef __AVX512F__
    return (vi)_mm512_cvtepu8_epi32(_mm_loadu_si128((const void *)p));
#else
    return (vi)_mm256_cvtepu8_epi32(_mm_loadl_epi64((const void *)p));
#endif
}
INLINE void v_to_halves(uint16_t *p, vi x) {
#ifdef __AVX512F__
    _mm256_storeu_si256((void *)p, _mm512_cvtepi32_epi16((__m512i)x));
#else
    __m256i two = _mm256_permute4x64_epi64(_mm256_packus_epi32((__m256i)x, (__m256i)x), 0x08);
    _mm_storeu_si128((void *)p, _mm256_castsi256_si128(two));
#endif
}
INLINE void v_to_bytes(uint8_t *p, vi x) {
#ifdef __AVX512F__
    _mm_storeu_si128((void *)p, _mm512_cvtepi32_epi8((__m512i)x));
#else
    uint16_t halves[V];
    v_to_halves(halves, x);
    __m128i h = _mm_loadu_si128((const void *)halves);
    _mm_storel_epi64((void *)p, _mm_packus_epi16(h, h));
#endif
}

/* kernels_random_at(key, first) and its V - 1 neighbours: two registers of 64-bit numbers, of which
 * the high halves stay. */
INLINE vq v_mixed(vq index, uint64_t key) {
    vq z = key + index * UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}
INLINE vu v_random(uint64_t key, uint64_t first) {
#ifdef __AVX512F__
    const vq lane = {0, 1, 2, 3, 4, 5, 6, 7};
    const __m512i odd =
        _mm512_set_epi32(31, 29, 27, 25, 23, 21, 19, 17, 15, 13, 11, 9, 7, 5, 3, 1);
    vq low = v_mixed(lane + first, key), high = v_mixed(lane + first + V / 2, key);
    return (vu)_mm512_permutex2var_epi32((__m512i)low, odd, (__m512i)high);
#else
    const vq lane = {0, 1, 2, 3};
    vq low = v_mixed(lane + first, key), high = v_mixed(lane + first + V / 2, key);
    __m256 odd = _mm256_shuffle_ps((__m256)low, (__m256)high, 0xDD);
    return (vu)_mm256_permute4x64_epi64(_mm256_castps_si256(odd), 0xD8);
#endif
}

/* ---- BF16: the draw is added below the last bit that stays ---- */

INLINE void v_to_half(uint16_t *p, vf x, vu draw) {
    v_to_halves(p, (vi)(((vu)x + draw) >> 16));
}

/* ---- codes of S segments ---- */

INLINE vf v_of_code(const uint8_t *p, vf scale, const bool has_sign) {
    vi all = v_bytes(p), code = has_sign ? all & 127 : all;
    vi bits = (vi)__builtin_convertvector(code, vf), e = (bits >> 23) - 127;
    vf in_segment = v_bits((bits & 0x7FFFFF) | 0x3F800000); /* code / 2^e, from 1 to 2 */
    vf x = v_fma(v_set(7), in_segment, v_set(-6)) *
           v_power2(3 * (e - (has_sign ? MOMENT_SIGNED : MOMENT_UNSIGNED))) * scale;
    x = v_bits((vi)x & (code > 0)); /* code 0 is 0 */
    return has_sign ? v_bits((vi)x | (all & 128) << 24) : x;
}

/* Places are exact to 2^-15 of a code. t / 3 as (11 t) >> 5 holds for 0 <= t < 32. */
INLINE void v_to_code(uint8_t *p, vf x, vf per_scale, vi draw, const bool has_sign) {
    const int S = has_sign ? MOMENT_SIGNED : MOMENT_UNSIGNED;
    vf y = v_abs(x) * per_scale, least = v_power2((vi){0} - 3 * S);
    vi t = ((vi)y >> 23) - 127 + 3 * S, e = (t * 11) >> 5;
    vf in_segment = y * v_power2(3 * (S - e)); /* from 1 to 8 */
    vf place = (in_segment + v_set(6)) * v_set(1.0f / 7) * v_power2(e);
    place = v_less(y, least, place, y * v_power2((vi){0} + 3 * S));
    place = place + __builtin_convertvector(draw, vf) * v_set(1.0f / 65536);
    place = v_min(place, v_set((float)(1 << S) - 0.5f));
    if (!has_sign) place = v_less(v_set(0), y, place, v_max(place, v_set(1)));
    vi code = __builtin_convertvector(place, vi);
    if (has_sign) code |= ((vi)x >> 24) & 128;
    v_to_bytes(p, code);
}

/* ---- a block: at most MOMENT_BLOCK elements of one of the two moments ---- */

/* What lies behind n up to the next multiple of V reads as 0. */
INLINE void moments_read(float *out, const void *p, enum dtype t, float scale, int n,
                         const bool has_sign) {
    uint8_t last[V] = {0};
    if (t == BF16) {
        for (int j = 0; j < n; j += V) v_store(out + j, v_at(p, BF16, j, n));
        return;
    }
    for (int j = 0; j < n; j += V) {
        const uint8_t *from = (const uint8_t *)p + j;
        if (n - j < V) from = memcpy(last, from, (size_t)(n - j));
        v_store(out + j, v_of_code(from, v_set(scale), has_sign));
    }
}

INLINE float moments_largest(const float *x, int n) {
    vf most = v_set(0);
    for (int j = 0; j < n; j += V) most = v_max(most, v_abs(v_load(x + j)));
    return v_most(most);
}

/* draws: the high half for a moment with a sign, the low half for the other. */
INLINE void moments_write(void *p, enum dtype t, float *scale, const float *x,
                          const uint32_t *draws, int n, const bool has_sign) {
    uint16_t halves[MOMENT_BLOCK + V];
    uint8_t *codes = (uint8_t *)halves;
    float per_scale = 0;
    if (t == U8) {
        const int S = has_sign ? MOMENT_SIGNED : MOMENT_UNSIGNED;
        float last = (7 * ((float)(1 << S) - 1) / (float)(1 << (S - 1)) - 6) / 8;
        float largest = moments_largest(x, n);
        *scale = largest < MOMENT_LEAST ? 0 : (float)((double)largest / (double)last);
        per_scale = *scale > 0 ? 1 / *scale : 0;
    }
    for (int j = 0; j < n; j += V) {
        vu draw;
        memcpy(&draw, draws + j, sizeof draw);
        draw = has_sign ? draw >> 16 : draw & 0xFFFF;
        if (t == BF16) v_to_half(halves + j, v_load(x + j), draw);
        else v_to_code(codes + j, v_load(x + j), v_set(per_scale), (vi)draw, has_sign);
    }
    memcpy(p, halves, (size_t)n * (t == BF16 ? 2 : 1));
}
#endif
