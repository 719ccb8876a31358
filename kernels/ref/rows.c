/* rows.c - operations that move, add or spoil rows. */
#include "kernels/ref/ref.h"
#include <math.h>

void ref_convert(struct device *d, struct mat to, struct mat from) {
    (void)d;
    if (to.t == I32) { /* ids and positions have no other type */
        for (int i = 0; i < to.rows; i++)
            memcpy((int32_t *)to.p + (size_t)i * (size_t)to.ld,
                   (const int32_t *)from.p + (size_t)i * (size_t)from.ld,
                   (size_t)to.cols * sizeof(int32_t));
        return;
    }
    for (int i = 0; i < to.rows; i++)
        for (int j = 0; j < to.cols; j++) set(to, i, j, get(from, i, j));
}

void ref_fill(struct device *d, struct mat m, float value) {
    (void)d;
    for (int i = 0; i < m.rows; i++)
        for (int j = 0; j < m.cols; j++) {
            if (m.t == I32) ((int32_t *)m.p)[(size_t)i * (size_t)m.ld + (size_t)j] = (int32_t)value;
            else set(m, i, j, (double)value);
        }
}

void ref_gather(struct device *d, struct mat y, struct mat x, const int32_t *index) {
    (void)d;
    for (int i = 0; i < y.rows; i++)
        for (int j = 0; j < y.cols; j++) set(y, i, j, get(x, index[i], j));
}

void ref_embed(struct device *d, struct mat y, struct mat table, const int32_t *ids) {
    ref_gather(d, y, table, ids);
}

void ref_embed_grad(struct device *d, struct mat dtable, struct mat dy, const int32_t *ids) {
    (void)d;
    for (int i = 0; i < dy.rows; i++)
        for (int j = 0; j < dy.cols; j++) put(dtable, ids[i], j, get(dy, i, j));
}

void ref_scatter(struct device *d, struct mat y, struct mat x, const int32_t *index) {
    ref_fill(d, y, 0);
    for (int i = 0; i < x.rows; i++)
        for (int j = 0; j < x.cols; j++) set(y, index[i], j, get(x, i, j));
}

void ref_add(struct device *d, struct mat y, struct mat x, float alpha) {
    (void)d;
    for (int i = 0; i < y.rows; i++)
        for (int j = 0; j < y.cols; j++) put(y, i, j, (double)alpha * get(x, i, j));
}

void ref_dropout(struct device *d, struct mat y, struct mat x, float p, struct draw draw) {
    (void)d;
    uint64_t key = kernels_key(draw), dropped = (uint64_t)((double)p * 4294967296.0);
    for (int i = 0; i < y.rows; i++)
        for (int j = 0; j < y.cols; j++) {
            uint64_t index = (uint64_t)i * (uint64_t)y.cols + (uint64_t)j;
            bool kept = kernels_random_at(key, index) >= dropped;
            set(y, i, j, kept ? get(x, i, j) / (1 - (double)p) : 0);
        }
}

void ref_noise(struct device *d, struct mat x, struct seqs s, float alpha, struct draw draw) {
    (void)d;
    uint64_t key = kernels_key(draw);
    for (int n = 0; n < s.n; n++) {
        double length = s.start[n + 1] - s.start[n];
        double scale = (double)alpha / sqrt(length * (double)x.cols);
        for (int i = s.start[n]; i < s.start[n + 1]; i++)
            for (int j = 0; j < x.cols; j++) {
                uint64_t index = (uint64_t)i * (uint64_t)x.cols + (uint64_t)j;
                double u = ((double)kernels_random_at(key, index) + 0.5) / 2147483648.0 - 1;
                put(x, i, j, scale * u);
            }
    }
}
