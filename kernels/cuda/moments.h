/* moments.h - AdamW's moments in fewer bits: eight of them as floats, and back with random rounding
 * (kernels.h, struct slot). */
#ifndef HONE_CUDA_MOMENTS_H
#define HONE_CUDA_MOMENTS_H
#include "kernels/cuda/element.h"

/* 2^n for whole n of -126 to 127 */
__device__ static inline float power2(int n) { return __uint_as_float((unsigned)(n + 127) << 23); }

__device__ static inline int segments_of(bool has_sign) {
    return has_sign ? MOMENT_SIGNED : MOMENT_UNSIGNED;
}

__device__ static inline float code_value(int code, bool has_sign) {
    int sign = has_sign ? code & 128 : 0, c = has_sign ? code & 127 : code;
    if (c == 0) return 0;
    int e = 31 - __clz(c);
    float v = (7 * ((float)c * power2(-e)) - 6) * power2(3 * (e - segments_of(has_sign)));
    return sign ? -v : v;
}

/* Places are exact to 2^-15 of a code; 0 to 2^S - 1/2. */
__device__ static inline float code_place(float y, int S) {
    if (y < power2(-3 * S)) return y * power2(3 * S);
    int t = (int)(__float_as_uint(y) >> 23) - 127 + 3 * S, e = t / 3;
    return (y * power2(3 * (S - e)) + 6) * (1.0F / 7) * power2(e);
}

__device__ static inline unsigned code_of(float x, float scale, unsigned draw, bool has_sign) {
    const int S = segments_of(has_sign);
    if (!(scale > 0)) return 0;
    float place = code_place(fabsf(x) / scale, S) + (float)draw * (1.0F / 65536);
    place = fminf(place, (float)(1 << S) - 0.5F);
    unsigned code = (unsigned)place;
    if (!has_sign) return code == 0 && x > 0 ? 1 : code;
    return code | (x < 0 ? 128 : 0);
}

/* n of a lane's eight elements from `at` on; whole: all eight, and their addresses fit. */
__device__ static inline void moments_take(float (&x)[8], const void *p, enum dtype t, float scale,
                                           int64_t at, int n, bool whole, bool has_sign) {
    if (t == U8) {
        const uint8_t *from = (const uint8_t *)p + at;
        for (int i = 0; i < 8; i++) x[i] = i < n ? scale * code_value(from[i], has_sign) : 0;
    } else if (whole) {
        take(x, p, t, (size_t)at);
    } else {
        for (int i = 0; i < 8; i++) {
            float one[1] = {0};
            if (i < n) take(one, p, t, (size_t)(at + i));
            x[i] = one[0];
        }
    }
}

/* draw: 16 bits for each element. The block's scale is written by lane 0. */
__device__ static inline void moments_give(void *p, enum dtype t, float *scale, int64_t at, int n,
                                           bool whole, const float (&x)[8],
                                           const unsigned (&draw)[8], bool has_sign) {
    if (t == U8) {
        float largest = 0;
        for (int i = 0; i < 8; i++) largest = fmaxf(largest, fabsf(x[i]));
        largest = warp_most(largest);
        const int S = segments_of(has_sign);
        double last = (7 * (double)((1 << S) - 1) / (double)(1 << (S - 1)) - 6) / 8;
        float s = largest < MOMENT_LEAST ? 0 : (float)((double)largest / last);
        if (threadIdx.x % 32 == 0) *scale = s;
        for (int i = 0; i < n; i++)
            ((uint8_t *)p)[at + i] = (uint8_t)code_of(x[i], s, draw[i], has_sign);
    } else if (t == BF16) {
        for (int i = 0; i < n; i++)
            ((uint16_t *)p)[at + i] = (uint16_t)((__float_as_uint(x[i]) + draw[i]) >> 16);
    } else if (whole) {
        give(p, t, (size_t)at, x);
    } else {
        for (int i = 0; i < n; i++) ((float *)p)[at + i] = x[i];
    }
}
#endif
