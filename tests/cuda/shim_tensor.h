/* shim_tensor.h - tensor cores and asynchronous copies for the shim: what kernels/cuda/tensor.h is
 * under nvcc. The layouts of fragments are those of the PTX manual, sections on mma.m16n8k16 and
 * ldmatrix: with g = lane / 4 and t = lane % 4 a lane holds of
 *
 *   A [16 x 16]  a0 row g, a1 row g + 8, columns 2t and 2t + 1; a2, a3 the same eight columns on
 *   B [16 x 8]   b0 rows 2t and 2t + 1 of column g; b1 eight rows on
 *   D [16 x 8]   d0, d1 row g, columns 2t and 2t + 1; d2, d3 row g + 8 */
#ifndef HONE_CUDA_SHIM_TENSOR_H
#define HONE_CUDA_SHIM_TENSOR_H

namespace shim {
/* The last lane to come works out the product of all: each sum in the order of k, in F32, the
 * products exact. */
inline void mma_finish(meeting *m) {
    float a[16][16], b[8][16], d[16][8];
    unsigned r[10];
    auto value = [&](int i, int half) {
        return same_bits<float>(half ? r[i] & 0xFFFF0000U : r[i] << 16);
    };
    for (int l = 0; l < 32; l++) {
        int g = l / 4, t = l % 4;
        memcpy(r, m->slot[l], sizeof r);
        for (int h = 0; h < 2; h++) {
            for (int i = 0; i < 4; i++) a[g + 8 * (i & 1)][2 * t + h + 8 * (i / 2)] = value(i, h);
            for (int i = 0; i < 2; i++) b[g][2 * t + h + 8 * i] = value(4 + i, h);
        }
        for (int i = 0; i < 4; i++) d[g + i / 2 * 8][2 * t + (i & 1)] = same_bits<float>(r[6 + i]);
    }
    for (int i = 0; i < 16; i++)
        for (int j = 0; j < 8; j++)
            for (int k = 0; k < 16; k++) d[i][j] += a[i][k] * b[j][k];
    for (int l = 0; l < 32; l++)
        for (int i = 0; i < 4; i++)
            memcpy(m->slot[l] + 24 + 4 * i, &d[l / 4 + i / 2 * 8][2 * (l % 4) + (i & 1)], 4);
}

inline void ldmatrix(unsigned (&r)[4], const void *p, bool transposed, const char *file,
                     int line) {
    if ((uintptr_t)p & 15) fail(file, line, "ldmatrix: the row address is not a multiple of 16");
    meeting *m = meet(~0U, LDMATRIX, &p, sizeof p, file, line);
    int g = lane() / 4, t = lane() % 4;
    for (int i = 0; i < 4; i++) {
        unsigned pair[2];
        for (int h = 0; h < 2; h++) {
            int row = transposed ? 2 * t + h : g, col = transposed ? g : 2 * t + h;
            pair[h] = from_slot<const uint16_t *>(m, 8 * i + row)[col];
        }
        r[i] = pair[0] | pair[1] << 16;
    }
}
} // namespace shim

inline void mma(float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1, WHERE) {
    unsigned r[10] = {a[0], a[1], a[2], a[3], b0, b1};
    memcpy(r + 6, d, sizeof d);
    shim::meeting *m = shim::meet(~0U, shim::MMA, r, sizeof r, file_, line_, shim::mma_finish);
    memcpy(d, m->slot[shim::lane()] + 24, sizeof d);
}
inline void ldmatrix(unsigned (&r)[4], const void *p, WHERE) {
    shim::ldmatrix(r, p, false, file_, line_);
}
inline void ldmatrix_transposed(unsigned (&r)[4], const void *p, WHERE) {
    shim::ldmatrix(r, p, true, file_, line_);
}
/* `bytes` of 16 are copied, the rest becomes 0. */
inline void copy_async(void *to, const void *from, int bytes, WHERE) {
    if (((uintptr_t)to | (uintptr_t)from) & 15)
        shim::fail(file_, line_, "cp.async: an address is not a multiple of 16");
    shim::copy_later(to, from, bytes, 16 - bytes);
}
inline void copies_commit() { shim::copies_commit(); }
template <int N> inline void copies_wait(WHERE) { shim::copies_wait(N, file_, line_); }
#endif
