/* tiles.h - tiles of BF16 in shared memory, from global memory and into the fragments of the tensor
 * cores. A row of a tile is PAD elements longer than it holds, so that the eight rows that ldmatrix
 * reads at once lie in different banks. */
#ifndef HONE_CUDA_TILES_H
#define HONE_CUDA_TILES_H
#include "kernels/cuda/element.h"
#include "kernels/cuda/tensor.h"

enum { PAD = 8 };

/* Whether 16 bytes can be copied at once from every eighth element on, to the end of a row too. */
static inline bool copyable(struct mat m) {
    return m.t == BF16 && (uintptr_t)m.p % 16 == 0 && (m.rows < 2 || m.ld % 8 == 0);
}

/* Rows [row, row + ROWS) and columns [col, col + COLS) of m; what lies at row `rows` or column
 * `cols` and beyond becomes 0. By `threads` threads; there once copies_wait and a barrier have
 * passed. Where m is not copyable the elements are read one by one, and rounded. */
template <int ROWS, int COLS>
__device__ static inline void tile_load(uint16_t (*tile)[COLS + PAD], const struct mat &m, int row,
                                        int col, int rows, int cols, bool can_copy, int threads) {
    for (int i = (int)threadIdx.x; i < ROWS * (COLS / 8); i += threads) {
        int r = i / (COLS / 8), c = i % (COLS / 8) * 8, left = row + r < rows ? cols - col - c : 0;
        left = left < 0 ? 0 : left > 8 ? 8 : left;
        if (can_copy) {
            const uint16_t *from = (const uint16_t *)m.p;
            if (left) from += place(m, row + r, col + c);
            copy_async(&tile[r][c], from, left * 2);
        } else {
            float v[8];
            for (int j = 0; j < 8; j++) {
                float one[1] = {0};
                if (j < left) take(one, m, row + r, col + c + j);
                v[j] = one[0];
            }
            give(tile, BF16, (size_t)(r * (COLS + PAD) + c), v);
        }
    }
}

/* Fragments of 16 x 16 of A, and of 16 of k by two times 8 of n of B. `row` and `col` are where the
 * fragment begins in the tile as it is stored: A is stored [m][k], A of the second [k][m]; B is
 * stored [n][k], B of the second [k][n]. */
template <int LD>
__device__ static inline void a_rows(unsigned (&r)[4], const uint16_t (*tile)[LD], int row,
                                     int col) {
    int l = (int)threadIdx.x % 32;
    ldmatrix(r, &tile[row + l % 16][col + l / 16 * 8]);
}
template <int LD>
__device__ static inline void a_columns(unsigned (&r)[4], const uint16_t (*tile)[LD], int row,
                                        int col) {
    int l = (int)threadIdx.x % 32;
    ldmatrix_transposed(r, &tile[row + l % 8 + l / 16 * 8][col + l / 8 % 2 * 8]);
}
template <int LD>
__device__ static inline void b_rows(unsigned (&r)[4], const uint16_t (*tile)[LD], int row,
                                     int col) {
    int l = (int)threadIdx.x % 32;
    ldmatrix(r, &tile[row + l % 8 + l / 16 * 8][col + l / 8 % 2 * 8]);
}
template <int LD>
__device__ static inline void b_columns(unsigned (&r)[4], const uint16_t (*tile)[LD], int row,
                                        int col) {
    int l = (int)threadIdx.x % 32;
    ldmatrix_transposed(r, &tile[row + l % 16][col + l / 16 * 8]);
}
#endif
