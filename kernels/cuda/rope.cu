/* rope.cu - rotary position embedding, the halves of a head rotated against each other. A thread
 * turns W pairs of one head; the table carries theta and every scaling. */
#include "kernels/cuda/element.h"

struct rope_args {
    struct mat x, table;
    const int32_t *pos;
    int half;
    float sign;
    template <int W> __device__ void at(int row, int pair) const {
        int head = pair / half, j = pair - head * half, first = head * 2 * half + j;
        float a[W], b[W], c[W], s[W];
        take(a, x, row, first);
        take(b, x, row, first + half);
        take(c, table, pos[row], j);
        take(s, table, pos[row], half + j);
        for (int i = 0; i < W; i++) {
            float turned = a[i] * c[i] - b[i] * (s[i] * sign);
            b[i] = b[i] * c[i] + a[i] * (s[i] * sign);
            a[i] = turned;
        }
        give(x, row, first, a);
        give(x, row, first + half, b);
    }
};

void cuda_rope(struct device *d, struct mat x, const int32_t *pos, struct mat table, int head_dim,
               float sign) {
    int half = head_dim / 2;
    bool is_wide = half % WIDE == 0 && wide(x) && wide(table);
    each(d, "rope", is_wide, x.rows, x.cols / 2, rope_args{x, table, pos, half, sign});
}
