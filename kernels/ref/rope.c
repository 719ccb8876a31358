/* rope.c - rotary position embedding (Su et al. 2021) with the halves of a head rotated against
 * each other, as transformers lays out LLaMA's weights. The backward of a rotation is the rotation
 * by the negative angle. */
#include "kernels/ref/ref.h"

void ref_rope(struct device *d, struct mat x, const int32_t *pos, struct mat table, int head_dim,
              float sign) {
    (void)d;
    int half = head_dim / 2;
    for (int i = 0; i < x.rows; i++)
        for (int first = 0; first < x.cols; first += head_dim)
            for (int j = 0; j < half; j++) {
                double c = get(table, pos[i], j), s = get(table, pos[i], half + j) * (double)sign;
                double a = get(x, i, first + j), b = get(x, i, first + half + j);
                set(x, i, first + j, a * c - b * s);
                set(x, i, first + half + j, b * c + a * s);
            }
}
