/* element.h - what all kernels stand on: elements of a matrix as floats, W of a row at a time, sums
 * over a warp and a block in a fixed order, and the grid of an operation on elements.
 *
 * Types are looked at when a kernel runs: all threads take the same branch, and there is one kernel
 * for all mixtures. W is 8 where all of an operation's matrices are `wide`, and 1 otherwise. */
#ifndef HONE_CUDA_ELEMENT_H
#define HONE_CUDA_ELEMENT_H
#include "kernels/cuda/operations.h"
#include "kernels/cuda/port.h"

enum { WIDE = 8 };

__device__ static inline float bf16_float(unsigned bits) { return __uint_as_float(bits << 16); }
__device__ static inline uint16_t bf16_bits(float f) { return (uint16_t)bf16_pair(f, 0); }

__device__ static inline size_t place(const struct mat &m, int row, int col) {
    return (size_t)row * (size_t)m.ld + (size_t)col;
}

/* W elements from place `at` on, of type t. */
template <int W>
__device__ static inline void take(float (&v)[W], const void *p, enum dtype t, size_t at) {
    if (W == 1) {
        v[0] = t == BF16 ? bf16_float(((const uint16_t *)p)[at]) : ((const float *)p)[at];
    } else if (t == BF16) {
        uint4 u = *(const uint4 *)((const uint16_t *)p + at);
        const unsigned pair[4] = {u.x, u.y, u.z, u.w};
        for (int i = 0; i < W; i++)
            v[i] = bf16_float(i & 1 ? pair[i / 2] >> 16 : pair[i / 2] & 0xFFFF);
    } else {
        const float4 *f = (const float4 *)((const float *)p + at);
        for (int i = 0; i < W / 4; i++) {
            float4 four = f[i];
            v[4 * i] = four.x, v[4 * i + 1] = four.y, v[4 * i + 2] = four.z, v[4 * i + 3] = four.w;
        }
    }
}
template <int W>
__device__ static inline void give(void *p, enum dtype t, size_t at, const float (&v)[W]) {
    if (W == 1) {
        if (t == BF16) ((uint16_t *)p)[at] = bf16_bits(v[0]);
        else ((float *)p)[at] = v[0];
    } else if (t == BF16) {
        unsigned pair[4];
        for (int i = 0; i < 4; i++) pair[i] = bf16_pair(v[(2 * i) % W], v[(2 * i + 1) % W]);
        *(uint4 *)((uint16_t *)p + at) = uint4{pair[0], pair[1], pair[2], pair[3]};
    } else {
        float4 *f = (float4 *)((float *)p + at);
        for (int i = 0; i < W / 4; i++)
            f[i] = float4{v[4 * i], v[(4 * i + 1) % W], v[(4 * i + 2) % W], v[(4 * i + 3) % W]};
    }
}
template <int W>
__device__ static inline void take(float (&v)[W], const struct mat &m, int row, int col) {
    take(v, m.p, m.t, place(m, row, col));
}
template <int W>
__device__ static inline void give(const struct mat &m, int row, int col, const float (&v)[W]) {
    give(m.p, m.t, place(m, row, col), v);
}
/* What is stored and read again: rounded to the type. */
__device__ static inline float rounded(float f, enum dtype t) {
    return t == BF16 ? bf16_float(bf16_bits(f)) : f;
}

/* ---- sums ---- */

template <class T> __device__ static inline T warp_sum(T v) {
    for (int with = 16; with > 0; with /= 2) v += __shfl_xor_sync(~0U, v, with);
    return v;
}
__device__ static inline float warp_most(float v) {
    for (int with = 16; with > 0; with /= 2) v = fmaxf(v, __shfl_xor_sync(~0U, v, with));
    return v;
}

/* Over a block of whole warps, the same in every thread; `between` has room for a value a warp. */
template <class T> __device__ static inline T block_sum(T v, T *between) {
    int lane = (int)threadIdx.x % 32, warp = (int)threadIdx.x / 32, warps = (int)blockDim.x / 32;
    v = warp_sum(v);
    __syncthreads(); /* a former sum may still be read */
    if (lane == 0) between[warp] = v;
    __syncthreads();
    return warp_sum(lane < warps ? between[lane] : (T)0);
}
__device__ static inline float block_most(float v, float *between) {
    int lane = (int)threadIdx.x % 32, warp = (int)threadIdx.x / 32, warps = (int)blockDim.x / 32;
    v = warp_most(v);
    __syncthreads();
    if (lane == 0) between[warp] = v;
    __syncthreads();
    return warp_most(lane < warps ? between[lane] : -INFINITY);
}

/* ---- an operation on elements ---- */

/* F is a struct of an operation's arguments with `template <int W> void at(int row, int col)`. */
template <int W, class F> KERNEL(256) each_element(int rows, int cols, F f) {
    int col = (int)(blockIdx.x * blockDim.x + threadIdx.x) * W;
    if (col >= cols) return;
    for (int row = (int)(blockIdx.y * blockDim.y + threadIdx.y); row < rows;
         row += (int)(gridDim.y * blockDim.y))
        f.template at<W>(row, col);
}

static inline unsigned parts_of(int64_t n, int64_t size) {
    return (unsigned)((n + size - 1) / size);
}

/* Whether rows can be read and written 16 bytes at a time. */
static inline bool wide(struct mat m) {
    size_t row = (size_t)m.ld * dtype_bytes(m.t);
    return m.cols % WIDE == 0 && (uintptr_t)m.p % 16 == 0 && (m.rows < 2 || row % 16 == 0);
}

template <class F>
static inline void each(struct device *d, const char *what, bool is_wide, int rows, int cols, F f) {
    if (rows == 0 || cols == 0) return;
    int items = is_wide ? cols / WIDE : cols, x = 1;
    while (x < items && x < 256) x *= 2;
    unsigned y = 256 / (unsigned)x, down = parts_of(rows, y);
    dim3 grid(parts_of(items, x), down < 65535 ? down : 65535), block((unsigned)x, y);
    if (is_wide) launch(d, what, each_element<WIDE, F>, grid, block, 0, rows, cols, f);
    else launch(d, what, each_element<1, F>, grid, block, 0, rows, cols, f);
}
#endif
