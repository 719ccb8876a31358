/* tile.h - the inner product of everything: a tile of MR x NR sums that stay in registers.
 *
 * Both factors lie in panels. A panel has R lanes (MR for the left factor, NR for the right one)
 * and a row of R units for each step of the inner dimension: panel[step][lane]. A unit is 32 bits:
 * one float, or, where the instruction set multiplies BF16 (`pairs`), two neighbours of the inner
 * dimension. So both kinds share the packing, the drivers and the register plan: MR broadcasts and
 * three loads for 3 MR products a step, which keeps the 24 (AVX2: 12) sums in registers. Products of
 * few columns have panels of one or two vectors, so that no third of them is empty. */
#ifndef HONE_CPU_TILE_H
#define HONE_CPU_TILE_H
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/simd.h"

#define NR (3 * V)
#define MR (V / 2)
#define TWO (2 * V)

#ifdef __AVX512BF16__
#define HAS_PAIRS true
INLINE vf v_pairs(vf sum, vf a, vf b) { return _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)b); }
#else
#define HAS_PAIRS false
INLINE vf v_pairs(vf sum, vf a, vf b) { return v_fma(a, b, sum); }
#endif

/* Steps of an inner dimension of n elements. */
INLINE int units_of(int n, bool pairs) { return pairs ? (n + 1) / 2 : n; }

/* Where sums end up once they are whole: y = alpha sums + beta y. */
struct ending { void *y; size_t ld; enum dtype t; float alpha, beta; };

INLINE void *end_at(const struct ending *e, size_t row, int col) {
    return (char *)e->y + (row * e->ld + (size_t)col) * (e->t == BF16 ? 2 : 4);
}

INLINE void end_vector(const struct ending *e, size_t row, int col, vf sum) {
    void *y = end_at(e, row, col);
    vf v = sum * v_set(e->alpha);
    if (e->beta != 0) v = v_fma(v_set(e->beta), v_at(y, e->t, 0, V), v);
    v_to(y, e->t, 0, V, v);
}

/* c [MR, wide vectors] (ld) gets or adds the sums over `units` steps, or they end in e where that is
 * given. Unit k of row i is a[k * step + i * lane]. The sums begin at 0 and are added to c as a
 * whole: one chain of additions over a head's 49,152 columns would lose the small differences that
 * are left of its gradient (5e-4 of the last norm's). */
INLINE void tile_rows(int units, bool pairs, const float *a, size_t step, size_t lane,
                      const float *b, float *c, size_t ld, bool add, const struct ending *e,
                      const int wide) {
    vf sum[MR][3];
#pragma GCC unroll 8
    for (int i = 0; i < MR; i++)
#pragma GCC unroll 3
        for (int j = 0; j < wide; j++) {
            sum[i][j] = v_set(0);
            if (e) __builtin_prefetch(end_at(e, (size_t)i, j * V), 1);
        }
    for (int k = 0; k < units; k++) {
        vf right[3];
#pragma GCC unroll 3
        for (int j = 0; j < wide; j++) right[j] = v_load(b + j * V);
#pragma GCC unroll 8
        for (int i = 0; i < MR; i++) {
            vf x = v_set(a[(size_t)i * lane]);
#pragma GCC unroll 3
            for (int j = 0; j < wide; j++)
                sum[i][j] = pairs ? v_pairs(sum[i][j], x, right[j]) : v_fma(x, right[j], sum[i][j]);
        }
        a += step;
        b += wide * V;
    }
#pragma GCC unroll 8
    for (int i = 0; i < MR; i++)
#pragma GCC unroll 3
        for (int j = 0; j < wide; j++) {
            float *at = c + (size_t)i * ld + (size_t)j * V;
            if (add) sum[i][j] += v_load(at);
            if (e) end_vector(e, (size_t)i, j * V, sum[i][j]);
            else v_store(at, sum[i][j]);
        }
}

/* The same for one, two or three vectors of columns. Unit k of row i is a[k * step + i * lane]: in a
 * panel step is MR and lane 1; where the left factor is read as it lies step is 1. */
INLINE void tile_wide(int units, bool pairs, const float *a, size_t step, size_t lane,
                      const float *b, float *c, size_t ld, bool add, const struct ending *e,
                      int wide) {
    if (wide == 1) tile_rows(units, pairs, a, step, lane, b, c, ld, add, e, 1);
    else if (wide == 2) tile_rows(units, pairs, a, step, lane, b, c, ld, add, e, 2);
    else tile_rows(units, pairs, a, step, lane, b, c, ld, add, e, 3);
}

/* A tile whose left factor lies in a panel. */
static __attribute__((unused, noinline)) void tile(int units, bool pairs, const float *a,
                                                   const float *b, float *c, size_t ld, bool add,
                                                   const struct ending *e, int wide) {
    if (HAS_PAIRS && pairs) tile_wide(units, true, a, MR, 1, b, c, ld, add, e, wide);
    else tile_wide(units, false, a, MR, 1, b, c, ld, add, e, wide);
}

/* A tile whose left factor is read where it is: rows of units, `lane` units apart. */
static __attribute__((unused, noinline)) void tile_direct(int units, bool pairs, const float *a,
                                                          size_t lane, const float *b, float *c,
                                                          size_t ld, bool add,
                                                          const struct ending *e, int wide) {
    if (HAS_PAIRS && pairs) tile_wide(units, true, a, 1, lane, b, c, ld, add, e, wide);
    else tile_wide(units, false, a, 1, lane, b, c, ld, add, e, wide);
}

/* Columns 0 .. TWO - 1 of a step of the right factor as it lies: two vectors of units. Of two rows
 * of BF16 (pairs) the columns come out of order; natural_order() sets that right for sums. */
INLINE void natural_units(const char *row, size_t line, enum dtype t, bool pairs, vf right[2]) {
    if (!pairs) {
        right[0] = t == BF16 ? v_widen((const uint16_t *)(const void *)row)
                             : v_load((const float *)(const void *)row);
        right[1] = t == BF16 ? v_widen((const uint16_t *)(const void *)row + V)
                             : v_load((const float *)(const void *)row + V);
        return;
    }
    (void)line;
#ifdef __AVX512BF16__
    __m512i first = _mm512_loadu_si512(row), second = _mm512_loadu_si512(row + line);
    right[0] = (vf)_mm512_unpacklo_epi16(first, second);
    right[1] = (vf)_mm512_unpackhi_epi16(first, second);
#endif
}
INLINE void natural_order(bool pairs, vf sum[2]) {
    (void)pairs, (void)sum;
#ifdef __AVX512BF16__
    if (!pairs) return;
    const __m512i low = _mm512_setr_epi32(0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23),
                  high = _mm512_setr_epi32(8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31);
    vf first = sum[0], second = sum[1];
    sum[0] = _mm512_permutex2var_ps(first, low, second);
    sum[1] = _mm512_permutex2var_ps(first, high, second);
#endif
}

/* c [MR, TWO] (ld) gets or adds the sums of a left panel and the right factor as it lies, `line`
 * bytes from a row to the next. */
INLINE void tile_natural_rows(int units, bool pairs, const float *a, const char *b, size_t line,
                              enum dtype t, float *c, size_t ld, bool add) {
    vf sum[MR][2];
#pragma GCC unroll 8
    for (int i = 0; i < MR; i++) sum[i][0] = sum[i][1] = v_set(0);
    for (int k = 0; k < units; k++, a += MR, b += line * (pairs ? 2 : 1)) {
        vf right[2];
        natural_units(b, line, t, pairs, right);
#pragma GCC unroll 8
        for (int i = 0; i < MR; i++) {
            vf x = v_set(a[i]);
#pragma GCC unroll 2
            for (int j = 0; j < 2; j++)
                sum[i][j] = pairs ? v_pairs(sum[i][j], x, right[j]) : v_fma(x, right[j], sum[i][j]);
        }
    }
#pragma GCC unroll 8
    for (int i = 0; i < MR; i++) {
        natural_order(pairs, sum[i]);
#pragma GCC unroll 2
        for (int j = 0; j < 2; j++) {
            float *at = c + (size_t)i * ld + (size_t)j * V;
            if (add) sum[i][j] += v_load(at);
            v_store(at, sum[i][j]);
        }
    }
}
static __attribute__((unused, noinline)) void
tile_natural(int units, bool pairs, const float *a, const void *b, size_t line, enum dtype t,
             float *c, size_t ld, bool add) {
    if (HAS_PAIRS && pairs) tile_natural_rows(units, true, a, b, line, BF16, c, ld, add);
    else if (t == BF16) tile_natural_rows(units, false, a, b, line, BF16, c, ld, add);
    else tile_natural_rows(units, false, a, b, line, F32, c, ld, add);
}

/* What is packed: element (step s of the inner dimension, lane l) is p[s * ld + l] where `natural`,
 * else p[l * ld + s]. Steps and lanes from these counts on read as 0. rounded: F32 is rounded to
 * BF16 on the way, where that is the compute type and there are no pairs. */
struct factor { const void *p; size_t ld; enum dtype t; bool natural, rounded; int steps, lanes; };

/* A lane of the left factor is a row of units as it lies. */
INLINE bool factor_lies(const struct factor *f, int steps, bool pairs) {
    if (f->natural) return false;
    return pairs ? f->t == BF16 && f->ld % 2 == 0 && steps % 2 == 0 : f->t == F32;
}

INLINE const void *factor_at(const struct factor *f, int line, int at) {
    return (const char *)f->p + ((size_t)line * f->ld + (size_t)at) * (f->t == BF16 ? 2 : 4);
}

/* Two vectors of floats as V pairs (first, second), rounded to BF16. */
INLINE vf v_pair(vf first, vf second) {
#ifdef __AVX512BF16__
    const __m512i turns = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8,
                                           23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    __m512i both = (__m512i)_mm512_cvtne2ps_pbh(second, first);
    return _mm512_castsi512_ps(_mm512_permutexvar_epi16(turns, both));
#elif defined __AVX512F__
    __m512i low = _mm512_cvtepu16_epi32(v_narrow16(first)),
            high = _mm512_cvtepu16_epi32(v_narrow16(second));
    return _mm512_castsi512_ps(_mm512_or_si512(low, _mm512_slli_epi32(high, 16)));
#else
    __m256i high = _mm256_slli_epi32(v_round16(second), 16);
    return _mm256_castsi256_ps(_mm256_or_si256(v_round16(first), high));
#endif
}

/* 2 V neighbours as V pairs, rounded to BF16. */
INLINE vf v_neighbours(vf low, vf high) {
#ifdef __AVX512BF16__
    return (vf)_mm512_cvtne2ps_pbh(high, low);
#else
    uint16_t h[2 * V];
    v_narrow(h, low);
    v_narrow(h + V, high);
    vf v;
    memcpy(&v, h, sizeof v);
    return v;
#endif
}

/* The same of floats that are BF16 already. */
INLINE vf v_pair_exact(vf first, vf second) {
#ifdef __AVX512F__
    return _mm512_castsi512_ps(_mm512_or_si512(_mm512_srli_epi32(_mm512_castps_si512(first), 16),
                                               _mm512_castps_si512(second)));
#else
    return _mm256_castsi256_ps(_mm256_or_si256(_mm256_srli_epi32(_mm256_castps_si256(first), 16),
                                               _mm256_castps_si256(second)));
#endif
}

/* V units of one lane from step s on (s even where pairs), for a factor whose steps are contiguous.
 */
INLINE vf units_of_lane(const struct factor *f, int lane, int s, bool pairs) {
    if (lane >= f->lanes) return v_set(0);
    if (!pairs) {
        vf v = v_at(factor_at(f, lane, 0), f->t, s, f->steps);
        return f->rounded ? v_rounded(v) : v;
    }
    if (f->t == BF16 && f->steps - s >= 2 * V) return v_load((const float *)factor_at(f, lane, s));
    uint16_t h[2 * V];
    memset(h, 0, sizeof h);
    int n = f->steps - s < 2 * V ? f->steps - s : 2 * V;
    const void *row = factor_at(f, lane, 0);
    if (f->t == BF16) memcpy(h, (const uint16_t *)row + s, (size_t)n * 2);
    else {
        v_to(h, BF16, 0, n < V ? n : V, v_at(row, F32, s, f->steps));
        if (n > V) v_to(h, BF16, V, n, v_at(row, F32, s + V, f->steps));
    }
    vf v;
    memcpy(&v, h, sizeof v);
    return v;
}

/* Four lanes of V units each, turned: to[unit * stride + lane] for the first n units. */
INLINE void turn4(float *to, size_t stride, const vf r[4], int n) {
    vf t[4];
#ifdef __AVX512F__
    vf a = _mm512_unpacklo_ps(r[0], r[1]), b = _mm512_unpackhi_ps(r[0], r[1]);
    vf c = _mm512_unpacklo_ps(r[2], r[3]), d = _mm512_unpackhi_ps(r[2], r[3]);
#define PD(kind, x, y) _mm512_castpd_ps(_mm512_unpack##kind##_pd(_mm512_castps_pd(x), _mm512_castps_pd(y)))
#define LANE(x, l) _mm512_extractf32x4_ps(x, l)
#define LANES(X) X(0) X(1) X(2) X(3)
#else
    vf a = _mm256_unpacklo_ps(r[0], r[1]), b = _mm256_unpackhi_ps(r[0], r[1]);
    vf c = _mm256_unpacklo_ps(r[2], r[3]), d = _mm256_unpackhi_ps(r[2], r[3]);
#define PD(kind, x, y) _mm256_castpd_ps(_mm256_unpack##kind##_pd(_mm256_castps_pd(x), _mm256_castps_pd(y)))
#define LANE(x, l) _mm256_extractf128_ps(x, l)
#define LANES(X) X(0) X(1)
#endif
    t[0] = PD(lo, a, c), t[1] = PD(hi, a, c), t[2] = PD(lo, b, d), t[3] = PD(hi, b, d);
    __m128 u[V];
#define SPLIT(l) u[4 * l] = LANE(t[0], l), u[4 * l + 1] = LANE(t[1], l), u[4 * l + 2] = LANE(t[2], l), \
                 u[4 * l + 3] = LANE(t[3], l);
    LANES(SPLIT)
    if (n >= V) {
#pragma GCC unroll 16
        for (int i = 0; i < V; i++) _mm_storeu_ps(to + (size_t)i * stride, u[i]);
    } else {
        for (int i = 0; i < n; i++) _mm_storeu_ps(to + (size_t)i * stride, u[i]);
    }
#undef PD
#undef LANE
#undef LANES
#undef SPLIT
}

/* V units that lie whole in the row. */
INLINE vf whole_units(const void *p, enum dtype t, bool pairs) {
    if (t == BF16) return pairs ? v_load(p) : v_widen(p);
    const float *f = p;
    return pairs ? v_neighbours(v_load(f), v_load(f + V)) : v_load(f);
}

/* Four lanes of a panel of R over all its steps: four streams of reads. */
INLINE void pack_four(float *to, const struct factor *f, int lane, int step, int units, bool pairs,
                      const int R) {
    int each = pairs ? 2 : 1, u = 0, whole = 0;
    if (lane + 4 <= f->lanes && !f->rounded) whole = (f->steps - step) / each;
    vf r[4];
    size_t line = f->ld * (f->t == BF16 ? 2 : 4), wide = (size_t)each * (f->t == BF16 ? 2 : 4);
    const char *row = factor_at(f, lane, step);
    for (; u + V <= whole && u + V <= units; u += V) {
#pragma GCC unroll 4
        for (size_t i = 0; i < 4; i++)
            r[i] = whole_units(row + i * line + (size_t)u * wide, f->t, pairs);
        turn4(to + (size_t)u * (size_t)R, (size_t)R, r, V);
    }
    for (; u < units; u += V) {
        for (int i = 0; i < 4; i++) r[i] = units_of_lane(f, lane + i, step + u * each, pairs);
        turn4(to + (size_t)u * (size_t)R, (size_t)R, r, units - u);
    }
}

INLINE void pack_turned(float *to, const struct factor *f, int lane, int lanes, int step, int units,
                        bool pairs, const int R) {
    for (int l = 0; l < lanes; l += R, to += (size_t)units * (size_t)R)
        for (int i = 0; i < R; i += 4) pack_four(to + i, f, lane + l + i, step, units, pairs, R);
}

/* V lanes of one step, or of two neighbours where pairs. */
INLINE vf lanes_of_step(const struct factor *f, int lane, int s, bool pairs) {
    if (lane >= f->lanes || s >= f->steps) return v_set(0);
    vf v = v_at(factor_at(f, s, 0), f->t, lane, f->lanes), next = v_set(0);
    if (!pairs) return f->rounded ? v_rounded(v) : v;
    if (s + 1 < f->steps) next = v_at(factor_at(f, s + 1, 0), f->t, lane, f->lanes);
    return f->t == BF16 ? v_pair_exact(v, next) : v_pair(v, next);
}

/* V lanes into the panels of R that hold them: a left panel has half a vector, a right one two or
 * three. */
INLINE void lanes_to(float *panels, size_t size, int l, int lanes, vf v, const int R) {
    float *to = panels + (size_t)(l / R) * size + l % R;
    if (R >= V) v_store(to, v);
    else {
        v_store_low(to, v);
        if (l + R < lanes) v_store_high(to + size, v);
    }
}

/* A few steps of all lanes after the other, so that each panel is written in pieces of some lines.
 */
INLINE void pack_natural(float *to, const struct factor *f, int lane, int lanes, int step,
                         int units, bool pairs, const int R) {
    enum { STEPS = 16 };
    size_t size = (size_t)units * (size_t)R;
    int all = (lanes + R - 1) / R * R;
    for (int first = 0; first < units; first += STEPS)
        for (int l = 0; l < all; l += V)
            for (int u = first; u < units && u < first + STEPS; u++)
                lanes_to(to + (size_t)u * (size_t)R, size, l, all,
                         lanes_of_step(f, lane + l, step + u * (pairs ? 2 : 1), pairs), R);
}

/* Packs the steps [step, step + steps) of the panels that hold the lanes [lane, lane + lanes), one
 * panel of units_of(steps) rows after the other. With pairs, step is even, and an odd number of
 * steps ends where the factor ends. */
INLINE void pack(float *to, const struct factor *f, int lane, int lanes, int step, int steps,
                 bool pairs, const int R) {
    int units = units_of(steps, pairs);
    if (f->natural) pack_natural(to, f, lane, lanes, step, units, pairs, R);
    else pack_turned(to, f, lane, lanes, step, units, pairs, R);
}
static __attribute__((unused, noinline)) void
pack_left(float *to, const struct factor *f, int lane, int lanes, int step, int steps, bool pairs) {
    if (HAS_PAIRS && pairs) pack(to, f, lane, lanes, step, steps, true, MR);
    else pack(to, f, lane, lanes, step, steps, false, MR);
}
/* wide: vectors of columns of a panel. */
static __attribute__((unused, noinline)) void pack_right(float *to, const struct factor *f,
                                                         int lane, int lanes, int step, int steps,
                                                         bool pairs, int wide) {
    bool p = HAS_PAIRS && pairs;
    if (wide == 1 && p) pack(to, f, lane, lanes, step, steps, true, V);
    else if (wide == 1) pack(to, f, lane, lanes, step, steps, false, V);
    else if (wide == 2 && p) pack(to, f, lane, lanes, step, steps, true, TWO);
    else if (wide == 2) pack(to, f, lane, lanes, step, steps, false, TWO);
    else if (p) pack(to, f, lane, lanes, step, steps, true, NR);
    else pack(to, f, lane, lanes, step, steps, false, NR);
}
#endif
