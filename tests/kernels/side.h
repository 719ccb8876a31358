/* side.h - one backend under test: its device, memory that goes with a case, inputs that are the
 * same on every backend, and outputs read back as floats. Every matrix has a mark behind each row
 * and behind its end, so that a write outside is seen. */
#ifndef HONE_TEST_SIDE_H
#define HONE_TEST_SIDE_H
#include "tests/test.h"
#include "kernels/kernels.h"
#include "kernels/pool.h"
#include <math.h>

enum { SIDE_BLOCKS = 64, SIDE_OUTPUTS = 4 << 20, SIDE_MARK = 0x5A };

struct side {
    const struct kernels *k;
    struct device *d;
    struct pool *pool;
    struct device_info info;
    void *block[SIDE_BLOCKS];
    size_t bytes[SIDE_BLOCKS];
    int blocks;
    void *workspace;
    size_t workspace_bytes;
    size_t outs;
    unsigned salt;           /* changes the numbers of side_mat() for ids below 100 */
    int gap_times;           /* what gaps between rows are multiplied with; 0: 1 */
    bool exact;              /* nothing behind a matrix: for a build that sees reads outside */
    float out[SIDE_OUTPUTS]; /* all outputs of a case, one after the other */
};

/* k: the table of a backend. */
static inline bool side_begin(struct side *s, const struct kernels *k, int threads, char *why,
                              size_t why_size) {
    memset(s, 0, offsetof(struct side, out));
    s->k = k;
    if (!s->k) return false;
    s->pool = pool_make(threads);
    if (!s->pool || !s->k->open(&s->d, 0, s->pool, why, why_size)) return false;
    s->k->info(s->d, &s->info);
    struct shape shape = {.rows = 4096,
                          .longest = 4096,
                          .dim = 2048,
                          .heads = 16,
                          .kv_heads = 16,
                          .head_dim = 256,
                          .ffn = 2048,
                          .vocab = 100000,
                          .loss_rows = 512,
                          .t = F32};
    s->workspace_bytes = kernels_workspace_bytes(&s->info, &shape);
    s->workspace = s->k->alloc(s->d, s->workspace_bytes);
    s->k->workspace(s->d, s->workspace, s->workspace_bytes);
    return s->workspace != NULL;
}

static inline bool side_open(struct side *s, const char *name, int threads, char *why,
                             size_t why_size) {
    const char *build = getenv("HONE_BUILD");
    const struct kernels *k = kernels_load(name, build ? build : "build", why, why_size);
    return side_begin(s, k, threads, why, why_size);
}

static inline void side_reset(struct side *s) {
    for (int i = 0; i < s->blocks; i++) s->k->free(s->d, s->block[i], s->bytes[i]);
    s->blocks = 0;
    s->outs = 0;
}

static inline void side_close(struct side *s) {
    side_reset(s);
    if (s->workspace) s->k->free(s->d, s->workspace, s->workspace_bytes);
    if (s->d) s->k->close(s->d);
    pool_drop(s->pool);
    s->d = NULL, s->pool = NULL;
}

static inline void *side_take(struct side *s, size_t bytes) {
    assert_true(s->blocks < SIDE_BLOCKS);
    void *p = s->k->alloc(s->d, bytes);
    assert_non_null(p);
    assert_int_equal((uintptr_t)p % 256, 0);
    s->block[s->blocks] = p;
    s->bytes[s->blocks++] = bytes;
    return p;
}

/* In (-1, 1), from the id and the place alone. */
static inline float side_number(unsigned id, uint64_t at) {
    struct draw d = {.seed = id};
    return (float)((double)kernels_random(d, at) / 2147483648.0 - 1);
}

static inline uint16_t side_bf16(float f) {
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return (uint16_t)((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

static inline float side_float(const struct mat *m, int row, int col) {
    size_t at = (size_t)row * (size_t)m->ld + (size_t)col;
    uint32_t bits;
    if (m->t == F32) return ((const float *)m->p)[at];
    bits = (uint32_t)((const uint16_t *)m->p)[at] << 16;
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static inline void side_set(struct mat *m, int row, int col, float f) {
    size_t at = (size_t)row * (size_t)m->ld + (size_t)col;
    if (m->t == F32) ((float *)m->p)[at] = f;
    else ((uint16_t *)m->p)[at] = side_bf16(f);
}

/* Numbers in (-scale, scale) of this id; ld = cols + gap. Both backends use the host's memory. */
static inline struct mat side_mat(struct side *s, unsigned id, int rows, int cols, enum dtype t,
                                  int gap, float scale) {
    if (s->gap_times) gap *= s->gap_times;
    size_t bytes = (size_t)rows * (size_t)(cols + gap) * dtype_bytes(t);
    if (s->exact && rows) bytes -= (size_t)gap * dtype_bytes(t);
    else bytes += 64;
    struct mat m = mat_make(side_take(s, bytes), rows, cols, t);
    m.ld = cols + gap;
    memset(m.p, SIDE_MARK, bytes);
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < cols; j++)
            side_set(&m, i, j,
                     scale * side_number(id + (id < 100 ? s->salt : 0),
                                         (uint64_t)i * 100003 + (uint64_t)j));
    return m;
}

/* What a moment of a slot stands for, worked out anew from kernels.h. */
static inline float side_moment(const struct slot *s, bool second, int64_t i) {
    const void *p = second ? s->v : s->m;
    if (s->moment != U8) {
        struct mat row = mat_make((void *)(uintptr_t)p, 1, (int)s->n, s->moment);
        return side_float(&row, 0, (int)i);
    }
    int segments = second ? 8 : 7, code = ((const uint8_t *)p)[i] & (second ? 255 : 127), e = 0;
    double scale = (double)(second ? s->v_scale : s->m_scale)[i / 256];
    while (code >> (e + 1)) e++;
    double value = code ? pow(8, e - segments) * (7.0 * code / pow(2, e) - 6) : 0;
    return (float)(scale * value * (!second && ((const uint8_t *)p)[i] & 128 ? -1 : 1));
}

static inline int32_t *side_ints(struct side *s, const int32_t *v, int n) {
    int32_t *p = side_take(s, (size_t)n * sizeof *p + 64);
    if (n) s->k->upload(s->d, p, v, (size_t)n * sizeof *p);
    return p;
}

static inline void side_push(struct side *s, float f) {
    assert_true(s->outs < SIDE_OUTPUTS);
    s->out[s->outs++] = f;
}

static inline void side_sync(struct side *s) {
    char why[1024];
    if (!s->k->sync(s->d, why, sizeof why)) fail_msg("%s", why);
}

/* Appends a matrix to the outputs and checks the marks around it. */
static inline void side_read(struct side *s, struct mat m) {
    side_sync(s);
    size_t size = dtype_bytes(m.t);
    for (int i = 0; i < m.rows; i++) {
        for (int j = 0; j < m.cols; j++) side_push(s, side_float(&m, i, j));
        const unsigned char *gap =
            (const unsigned char *)m.p + ((size_t)i * (size_t)m.ld + (size_t)m.cols) * size;
        size_t room = i + 1 < m.rows ? (size_t)(m.ld - m.cols) * size : s->exact ? 0 : 64;
        for (size_t b = 0; b < room; b++)
            if (gap[b] != SIDE_MARK)
                fail_msg("a write outside: row %d, %zu bytes behind its end", i, b);
    }
}

static inline void side_read_floats(struct side *s, const float *p, int n) {
    side_sync(s);
    for (int i = 0; i < n; i++) side_push(s, p[i]);
}
#endif
