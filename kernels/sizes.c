/* sizes.c - what is the same for every backend: views of matrices, sizes, random numbers. */
#include "kernels/kernels.h"

size_t dtype_bytes(enum dtype t) {
    static const size_t bytes[DTYPES] = {[F32] = 4, [BF16] = 2, [I32] = 4, [U8] = 1};
    return bytes[t];
}

struct mat mat_make(void *p, int rows, int cols, enum dtype t) {
    return (struct mat){.p = p, .rows = rows, .cols = cols, .ld = cols, .t = t};
}

struct mat mat_rows(struct mat m, int first, int rows) {
    if (m.p) m.p = (char *)m.p + (size_t)first * (size_t)m.ld * dtype_bytes(m.t);
    m.rows = rows;
    return m;
}

struct mat mat_cols(struct mat m, int first, int cols) {
    if (m.p) m.p = (char *)m.p + (size_t)first * dtype_bytes(m.t);
    m.cols = cols;
    return m;
}

static uint64_t mix(uint64_t z) {
    z = (z ^ (z >> 33)) * UINT64_C(0xFF51AFD7ED558CCD); /* the finalizer of MurmurHash3 */
    z = (z ^ (z >> 33)) * UINT64_C(0xC4CEB9FE1A85EC53);
    return z ^ (z >> 33);
}

uint64_t kernels_key(struct draw d) {
    uint64_t key = mix(d.seed + UINT64_C(0x632BE59BD9B4E019));
    key = mix(key ^ ((uint64_t)d.step << 32 | d.micro));
    return mix(key ^ ((uint64_t)d.layer << 32 | d.site));
}

uint32_t kernels_random(struct draw d, uint64_t index) {
    return kernels_random_at(kernels_key(d), index);
}

static size_t up(size_t n, size_t unit) { return (n + unit - 1) / unit * unit; }

size_t kernels_packed_bytes(const struct device_info *info, int rows, int cols, enum dtype t,
                            unsigned packing) {
    int copies = packing & PACK_BACKWARD           ? info->pack_copies[t]
                 : packing && info->pack_copies[t] ? 1
                                                   : 0;
    return (size_t)copies * up((size_t)rows, (size_t)info->pack_rows) *
           up((size_t)cols, (size_t)info->pack_cols) * dtype_bytes(t);
}

static size_t larger(size_t a, size_t b) { return a > b ? a : b; }

size_t kernels_workspace_bytes(const struct device_info *info, const struct shape *s) {
    size_t longest = (size_t)s->longest, widest = larger((size_t)s->dim, (size_t)s->ffn * 2);
    /* attn_back: d_o . o, and dq while it is summed */
    size_t dots = (size_t)s->rows * (size_t)s->heads * (size_t)(1 + s->head_dim) * sizeof(float);
    size_t sums = 32 * widest * sizeof(float); /* norm_back: partial sums of dweight */
    size_t order =
        larger((size_t)s->vocab, longest) * sizeof(int32_t); /* sample: the likeliest tokens */
    return up(larger(larger(dots, info->scratch_shared), larger(sums, order)), 256) +
           (size_t)info->threads * info->scratch_per_thread;
}
