/* rows.c - operations that move, add or spoil rows. */
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/simd.h"

/* What all of them need; a part is a range of rows of y. */
struct rows {
    struct mat y, x;
    const int32_t *index;
    struct seqs s;
    float value;
    uint64_t key, dropped;
    int each;               /* rows of a part, or columns where the owner is a column */
};

static void run_rows(struct device *d, struct rows *r, void (*fn)(void *, int, int)) {
    r->each = cpu_rows_of_part(cpu_bytes(mat_rows(r->y, 0, 1)));
    cpu_run(d, (r->y.rows + r->each - 1) / r->each, cpu_bytes(r->y) * 2, fn, r);
}

#define EACH_ROW(r, part, i) \
    for (int i = (part) * (r)->each; i < cpu_least(((part) + 1) * (r)->each, (r)->y.rows); i++)

static void convert_part(void *arg, int part, int thread) {
    (void)thread;
    const struct rows *r = arg;
    int n = r->y.cols;
    EACH_ROW(r, part, i) {
        void *y = cpu_row(r->y, i);
        const void *x = cpu_row(r->x, i);
        if (r->y.t == r->x.t) memcpy(y, x, (size_t)n * dtype_bytes(r->y.t));
        else
            for (int j = 0; j < n; j += V) v_to(y, r->y.t, j, n, v_at(x, r->x.t, j, n));
    }
}

static void convert(struct device *d, struct mat to, struct mat from) {
    struct rows r = {.y = to, .x = from};
    run_rows(d, &r, convert_part);
}

static void fill_part(void *arg, int part, int thread) {
    (void)thread;
    const struct rows *r = arg;
    int n = r->y.cols;
    EACH_ROW(r, part, i) {
        if (r->y.t == I32)
            for (int j = 0; j < n; j++) ((int32_t *)cpu_row(r->y, i))[j] = (int32_t)r->value;
        else
            for (int j = 0; j < n; j += V) v_to(cpu_row(r->y, i), r->y.t, j, n, v_set(r->value));
    }
}

static void fill(struct device *d, struct mat m, float value) {
    struct rows r = {.y = m, .value = value};
    run_rows(d, &r, fill_part);
}

static void gather_part(void *arg, int part, int thread) {
    (void)thread;
    const struct rows *r = arg;
    int n = r->y.cols;
    EACH_ROW(r, part, i) {
        const void *x = cpu_row(r->x, r->index[i]);
        for (int j = 0; j < n; j += V) v_to(cpu_row(r->y, i), r->y.t, j, n, v_at(x, r->x.t, j, n));
    }
}

static void gather(struct device *d, struct mat y, struct mat x, const int32_t *index) {
    struct rows r = {.y = y, .x = x, .index = index};
    run_rows(d, &r, gather_part);
}

static void scatter_part(void *arg, int part, int thread) {
    (void)thread;
    const struct rows *r = arg;
    int n = r->x.cols;
    for (int i = part * r->each; i < cpu_least((part + 1) * r->each, r->x.rows); i++) {
        void *y = cpu_row(r->y, r->index[i]);
        for (int j = 0; j < n; j += V) v_to(y, r->y.t, j, n, v_at(cpu_row(r->x, i), r->x.t, j, n));
    }
}

static void scatter(struct device *d, struct mat y, struct mat x, const int32_t *index) {
    fill(d, y, 0);
    struct rows r = {.y = y, .x = x, .index = index};
    r.each = cpu_rows_of_part(cpu_bytes(mat_rows(x, 0, 1)));
    cpu_run(d, (x.rows + r.each - 1) / r.each, cpu_bytes(x) * 2, scatter_part, &r);
}

/* A part owns 64 columns of the table and walks all rows in order, so equal ids never meet. */
static void embed_grad_part(void *arg, int part, int thread) {
    (void)thread;
    const struct rows *r = arg;
    int n = cpu_least(r->x.cols, part * 64 + 64);
    for (int i = 0; i < r->x.rows; i++) {
        void *y = cpu_row(r->y, r->index[i]);
        const void *x = cpu_row(r->x, i);
        for (int j = part * 64; j < n; j += V)
            v_to(y, r->y.t, j, n, v_at(y, r->y.t, j, n) + v_at(x, r->x.t, j, n));
    }
}

static void embed_grad(struct device *d, struct mat dtable, struct mat dy, const int32_t *ids) {
    struct rows r = {.y = dtable, .x = dy, .index = ids};
    cpu_run(d, (dy.cols + 63) / 64, cpu_bytes(dy) * 3, embed_grad_part, &r);
}

static void add_part(void *arg, int part, int thread) {
    (void)thread;
    const struct rows *r = arg;
    int n = r->y.cols;
    vf alpha = v_set(r->value);
    EACH_ROW(r, part, i) {
        void *y = cpu_row(r->y, i);
        const void *x = cpu_row(r->x, i);
        for (int j = 0; j < n; j += V)
            v_to(y, r->y.t, j, n, v_fma(alpha, v_at(x, r->x.t, j, n), v_at(y, r->y.t, j, n)));
    }
}

static void add(struct device *d, struct mat y, struct mat x, float alpha) {
    struct rows r = {.y = y, .x = x, .value = alpha};
    run_rows(d, &r, add_part);
}

/* V factors from the random numbers of V neighbours. */
static vf factors(const struct rows *r, int row, int j, bool dropping) {
    float f[V];
    uint64_t first = (uint64_t)row * (uint64_t)r->y.cols + (uint64_t)j;
    for (uint64_t i = 0; i < V; i++) {
        uint32_t u = kernels_random_at(r->key, first + i);
        f[i] = dropping ? (u >= r->dropped ? r->value : 0)
                        : (float)(((double)u + 0.5) * (1.0 / 2147483648.0) - 1);
    }
    return v_load(f);
}

static void dropout_part(void *arg, int part, int thread) {
    (void)thread;
    const struct rows *r = arg;
    int n = r->y.cols;
    EACH_ROW(r, part, i)
        for (int j = 0; j < n; j += V)
            v_to(cpu_row(r->y, i), r->y.t, j, n,
                 v_at(cpu_row(r->x, i), r->x.t, j, n) * factors(r, i, j, true));
}

static void dropout(struct device *d, struct mat y, struct mat x, float p, struct draw draw) {
    struct rows r = {.y = y,
                     .x = x,
                     .value = (float)(1 / (1 - (double)p)),
                     .key = kernels_key(draw),
                     .dropped = (uint64_t)((double)p * 4294967296.0)};
    run_rows(d, &r, dropout_part);
}

static int sequence_of(struct seqs s, int row) {
    int low = 0, high = s.n - 1; /* the last sequence that starts at or before the row */
    while (low < high) {
        int middle = (low + high + 1) / 2;
        if (s.start[middle] <= row) low = middle;
        else high = middle - 1;
    }
    return low;
}

static void noise_part(void *arg, int part, int thread) {
    (void)thread;
    const struct rows *r = arg;
    int n = r->y.cols;
    EACH_ROW(r, part, i) {
        int q = sequence_of(r->s, i);
        double length = r->s.start[q + 1] - r->s.start[q];
        vf scale = v_set((float)((double)r->value / sqrt(length * n)));
        void *y = cpu_row(r->y, i);
        for (int j = 0; j < n; j += V)
            v_to(y, r->y.t, j, n, v_fma(scale, factors(r, i, j, false), v_at(y, r->y.t, j, n)));
    }
}

static void noise(struct device *d, struct mat x, struct seqs s, float alpha, struct draw draw) {
    struct rows r = {.y = x, .s = s, .value = alpha, .key = kernels_key(draw)};
    if (s.n < 1) return;
    r.y.rows = cpu_least(x.rows, s.start[s.n]);
    run_rows(d, &r, noise_part);
}

void CPU_NAME(rows)(struct kernels *k) {
    k->convert = convert;
    k->fill = fill;
    k->embed = gather;
    k->embed_grad = embed_grad;
    k->gather = gather;
    k->scatter = scatter;
    k->add = add;
    k->dropout = dropout;
    k->noise = noise;
}
