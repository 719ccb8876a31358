/* t_host.c - the host side of the CUDA backend on fakes: memory, copies, posts, products and which
 * algorithm does them, and that a failure of any library call is a sentence. */
#include "tests/cuda/twin.h"
#include "kernels/pool.h"
#include <dirent.h>
#include <math.h>

static const char *const orders[] = {"eager", "lazy", "odd", "even"};

struct open {
    struct device *d;
    struct device_info info;
    void *workspace;
    size_t workspace_bytes;
    char why[512];
};

static void *take(struct open *o, size_t bytes)
{
    void *p = twin.k->alloc(o->d, bytes);
    assert_non_null(p);
    return p;
}

static bool begin(struct open *o)
{
    *o = (struct open){0};
    twin_load("ref");
    if (!twin.k->open(&o->d, 0, NULL, o->why, sizeof o->why)) return false;
    twin.k->info(o->d, &o->info);
    struct shape s = {.rows = 64,
                      .longest = 64,
                      .dim = 64,
                      .heads = 4,
                      .kv_heads = 4,
                      .head_dim = 16,
                      .ffn = 64,
                      .vocab = 64,
                      .loss_rows = 8,
                      .t = F32};
    o->workspace_bytes = kernels_workspace_bytes(&o->info, &s);
    o->workspace = twin.k->alloc(o->d, o->workspace_bytes);
    if (o->workspace) twin.k->workspace(o->d, o->workspace, o->workspace_bytes);
    else snprintf(o->why, sizeof o->why, "no memory for the workspace");
    return o->workspace != NULL;
}

static void end(struct open *o)
{
    if (o->workspace) twin.k->free(o->d, o->workspace, o->workspace_bytes);
    if (o->d) twin.k->close(o->d);
}

static void must(struct open *o)
{
    if (!twin.k->sync(o->d, o->why, sizeof o->why)) fail_msg("%s", o->why);
}

static float number(uint64_t at)
{
    return (float)((double)kernels_random_at(7, at) / 2147483648.0 - 1);
}

/* ---- memory ---- */

static void memory_is_zero_counted_and_given_back(void **state)
{
    (void)state;
    NEEDS_TWIN();
    struct open o;
    assert_true(begin(&o));
    int64_t before = twin_counts().bytes;
    unsigned char got[1000];
    memset(got, 1, sizeof got);
    void *p = take(&o, sizeof got);
    assert_int_equal((uintptr_t)p % 256, 0);
    assert_int_equal(twin_counts().bytes, before + 1000);
    twin.k->download(o.d, got, p, sizeof got);
    must(&o);
    for (size_t i = 0; i < sizeof got; i++) assert_int_equal(got[i], 0);
    twin.k->free(o.d, p, sizeof got);
    end(&o);
    struct fake_counts c = twin_counts();
    assert_int_equal(c.bytes, 0);
    assert_int_equal(c.host_bytes, 0);
    assert_int_equal(c.streams + c.events + c.handles, 0);
}

static void more_memory_than_there_is_is_refused(void **state)
{
    (void)state;
    NEEDS_TWIN();
    struct open o;
    assert_true(begin(&o));
    assert_null(twin.k->alloc(o.d, (size_t)1 << 40));
    must(&o); /* and is no fault of the device */
    assert_true(o.info.memory_free > 0 && o.info.memory_free < o.info.memory_total);
    end(&o);
}

/* ---- copies ---- */

/* What was given to upload may be written over at once; what was asked for is there after sync. */
static void copies_neither_wait_nor_depend_on_the_order(void **state)
{
    (void)state;
    NEEDS_TWIN();
    static const size_t sizes[] = {1, 255, 257, 70000, 5 << 20, 21 << 20};
    for (size_t r = 0; r < sizeof orders / sizeof *orders; r++) {
        struct open o;
        assert_true(begin(&o));
        twin.order(orders[r]);
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            size_t n = sizes[i];
            unsigned char *host = calloc(n, 1), *back = calloc(n, 1);
            for (size_t j = 0; j < n; j++)
                host[j] = (unsigned char)(j * 7 + (j >> 8) + (j >> 16) * 13 + i);
            void *p = take(&o, n);
            twin.k->upload(o.d, p, host, n);
            memset(host, 0, n);
            twin.k->download(o.d, back, p, n);
            must(&o);
            for (size_t j = 0; j < n; j++)
                if (back[j] != (unsigned char)(j * 7 + (j >> 8) + (j >> 16) * 13 + i))
                    fail_msg("%s: byte %zu of %zu is %d", orders[r], j, n, back[j]);
            twin.k->free(o.d, p, n);
            free(host);
            free(back);
        }
        end(&o);
        assert_null(twin.damage());
    }
    twin.order("lazy");
}

static void small_copies_do_not_wait(void **state)
{
    (void)state;
    NEEDS_TWIN();
    struct open o;
    assert_true(begin(&o));
    float host[64] = {0}, back[64];
    float *p = take(&o, sizeof host);
    must(&o);
    int64_t waits = twin_counts().waits;
    for (int i = 0; i < 60; i++) {
        twin.k->upload(o.d, p, host, sizeof host);
        twin.k->download(o.d, back, p, sizeof back);
    }
    assert_int_equal(twin_counts().waits, waits);
    must(&o);
    twin.k->free(o.d, p, sizeof host);
    end(&o);
}

/* Attention with borders of the host that change right after each call: more of them than the ring
 * of posts holds, and equal ones, which share a copy. */
static void posted_borders_are_those_of_the_call(void **state)
{
    (void)state;
    NEEDS_TWIN();
    enum { ROWS = 8, DIM = 4, CALLS = 9, MANY = 200000 };
    struct attention a = {.heads = 1, .kv_heads = 1, .head_dim = DIM, .scale = 1};
    for (size_t r = 0; r < sizeof orders / sizeof *orders; r++) {
        struct open o;
        assert_true(begin(&o));
        twin.order(orders[r]);
        float x[ROWS * DIM], back[CALLS][ROWS * DIM];
        for (int i = 0; i < ROWS * DIM; i++) x[i] = number((uint64_t)i);
        struct mat q = mat_make(take(&o, sizeof x), ROWS, DIM, F32);
        struct mat out = mat_make(take(&o, sizeof back), ROWS, DIM, F32);
        twin.k->upload(o.d, q.p, x, sizeof x);
        int32_t *start = calloc(MANY + 1, sizeof *start);
        for (int c = 0; c < CALLS; c++) { /* the first document has c rows; the rest are empty */
            for (int i = 1; i <= MANY; i++) start[i] = ROWS;
            start[1] = c % ROWS;
            struct seqs s = {start, MANY, ROWS};
            struct mat y = out;
            y.p = (char *)out.p + (size_t)c * sizeof x;
            twin.k->attn(o.d, y, NULL, q, q, q, s, s, &a);
            memset(start, 0x7F, (MANY + 1) * sizeof *start);
            start[0] = 0;
        }
        twin.k->download(o.d, back, out.p, sizeof back);
        must(&o);
        for (int c = 0; c < CALLS; c++) /* the first row of a document is its own value */
            assert_memory_equal(&back[c][c % ROWS * DIM], &x[c % ROWS * DIM], DIM * 4);
        assert_memory_not_equal(back[1], back[3], sizeof x);
        free(start);
        twin.k->free(o.d, q.p, sizeof x);
        twin.k->free(o.d, out.p, sizeof back);
        end(&o);
    }
    twin.order("lazy");
}

/* ---- products ---- */

static float value_of(const void *p, size_t i, enum dtype t)
{
    uint32_t bits = t == F32 ? ((const uint32_t *)p)[i] : (uint32_t)((const uint16_t *)p)[i] << 16;
    float f;
    memcpy(&f, &bits, 4);
    return f;
}

static void store(void *p, size_t i, enum dtype t, float f)
{
    uint32_t bits;
    memcpy(&bits, &f, 4);
    if (t == F32) ((uint32_t *)p)[i] = bits;
    else ((uint16_t *)p)[i] = (uint16_t)((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

struct made {
    struct mat m;
    float *host;
    size_t bytes;
};

/* A view of `cols` columns from column `skip` of a matrix that is wider. */
static struct made make(struct open *o, int rows, int cols, int skip, enum dtype t, uint64_t seed)
{
    size_t n = (size_t)rows * (size_t)(cols + 2 * skip), bytes = n * dtype_bytes(t);
    struct made x = {.bytes = bytes, .host = calloc(n, sizeof(float))};
    void *raw = calloc(bytes, 1);
    for (size_t i = 0; i < n; i++) {
        store(raw, i, t, number(seed * 1000003 + i));
        x.host[i] = value_of(raw, i, t);
    }
    x.m = mat_cols(mat_make(take(o, bytes), rows, cols + 2 * skip, t), skip, cols);
    x.host += skip;
    twin.k->upload(o->d, (char *)x.m.p - (size_t)skip * dtype_bytes(t), raw, bytes);
    free(raw);
    return x;
}

static void drop(struct open *o, struct made *x, int skip)
{
    twin.k->free(o->d, (char *)x->m.p - (size_t)skip * dtype_bytes(x->m.t), x->bytes);
    free(x->host - skip);
}

static void read_back(struct open *o, const struct made *x, float *out)
{
    size_t w = dtype_bytes(x->m.t);
    char *raw = calloc((size_t)x->m.rows * (size_t)x->m.cols, w);
    for (int i = 0; i < x->m.rows; i++)
        twin.k->download(o->d, raw + (size_t)i * (size_t)x->m.cols * w,
                         (char *)x->m.p + (size_t)i * (size_t)x->m.ld * w, (size_t)x->m.cols * w);
    must(o);
    for (size_t i = 0; i < (size_t)x->m.rows * (size_t)x->m.cols; i++)
        out[i] = value_of(raw, i, x->m.t);
    free(raw);
}

/* product: 0 linear, 1 linear_back, 2 linear_grad. */
static double at(int product, const struct made *a, const struct made *b, int i, int j)
{
    double sum = 0;
    if (product == 0)
        for (int k = 0; k < a->m.cols; k++)
            sum += (double)a->host[i * a->m.ld + k] * (double)b->host[j * b->m.ld + k];
    else if (product == 1)
        for (int k = 0; k < a->m.cols; k++)
            sum += (double)a->host[i * a->m.ld + k] * (double)b->host[k * b->m.ld + j];
    else
        for (int k = 0; k < a->m.rows; k++)
            sum += (double)a->host[k * a->m.ld + i] * (double)b->host[k * b->m.ld + j];
    return sum;
}

static void run(struct open *o, int product, const struct made *y, const struct made *a,
                const struct made *b, float alpha, float beta)
{
    struct weight w = {.w = b->m, .t = b->m.t};
    if (product == 0) twin.k->linear(o->d, y->m, a->m, &w, alpha, beta);
    else if (product == 1) twin.k->linear_back(o->d, y->m, a->m, &w, alpha, beta);
    else twin.k->linear_grad(o->d, y->m, a->m, b->m, alpha);
}

/* n rows, in and out features. true: cuBLASLt did it. */
static bool product_is_right(struct open *o, int product, int n, int in, int out, int skip,
                             enum dtype t, enum dtype result, float beta)
{
    struct made a = product ? make(o, n, out, skip, t, 1) : make(o, n, in, skip, t, 1);
    struct made b = product < 2 ? make(o, out, in, skip, t, 2) : make(o, n, in, skip, t, 2);
    struct made y = product == 0   ? make(o, n, out, skip, result, 3)
                    : product == 1 ? make(o, n, in, skip, result, 3)
                                   : make(o, out, in, skip, result, 3);
    float *got = calloc((size_t)y.m.rows * (size_t)y.m.cols, sizeof *got);
    int64_t before = twin_counts().products;
    run(o, product, &y, &a, &b, 0.5f, beta);
    read_back(o, &y, got);
    double bar = (result == BF16 ? 8e-3 : 3e-6);
    for (int i = 0; i < y.m.rows; i++)
        for (int j = 0; j < y.m.cols; j++) {
            double want = 0.5 * at(product, &a, &b, i, j) +
                          (product == 2 ? 1 : (double)beta) * (double)y.host[i * y.m.ld + j];
            double is = (double)got[i * y.m.cols + j];
            if (!(fabs(is - want) <= bar * (1 + fabs(want))))
                fail_msg("product %d, %d x %d x %d, at %d %d: %g instead of %g", product, n, in,
                         out, i, j, is, want);
        }
    bool by_library = twin_counts().products > before;
    free(got);
    drop(o, &a, skip);
    drop(o, &b, skip);
    drop(o, &y, skip);
    return by_library;
}

static void products_are_right_in_every_type_and_alignment(void **state)
{
    (void)state;
    NEEDS_TWIN();
    static const int sizes[][3] = {{1, 8, 16}, {5, 7, 3}, {33, 24, 40}, {64, 16, 8}};
    for (size_t r = 0; r < 4; r++) {
        struct open o;
        twin_load("ref");
        twin_forget();
        assert_true(begin(&o));
        twin.order(orders[r]);
        for (size_t s = 0; s < 4; s++)
            for (int product = 0; product < 3; product++)
                for (int i = 0; i < 12; i++) {
                    enum dtype t = i & 1 ? BF16 : F32, result = i & 2 ? BF16 : F32;
                    bool by = product_is_right(&o, product, sizes[s][0], sizes[s][1], sizes[s][2],
                                               i % 3, t, result, i & 4 ? 1 : 0);
                    assert_int_equal(by, t == BF16 || result == F32); /* else it is our own */
                }
        end(&o);
        assert_null(twin.damage());
    }
    twin.order("lazy");
}

static void products_are_our_own_without_the_library(void **state)
{
    (void)state;
    NEEDS_TWIN();
    struct open o;
    twin_load("ref");
    setenv("HONE_CUDA", "/nowhere", 1);
    assert_true(begin(&o));
    assert_non_null(strstr(o.info.library, "no cuBLASLt"));
    assert_false(product_is_right(&o, 0, 5, 8, 8, 0, BF16, F32, 1));
    end(&o);
    setenv("HONE_CUDA", twin.libraries, 1);
}

/* ---- algorithms ---- */

static char *kept_file(char out[512])
{
    DIR *folder = opendir(twin.home);
    struct dirent *e;
    out[0] = 0;
    while ((e = readdir(folder)))
        if (strncmp(e->d_name, "cublaslt-", 9) == 0)
            snprintf(out, 512, "%s/%s", twin.home, e->d_name);
    closedir(folder);
    return out;
}

static int lines_of(const char *path)
{
    char line[1024];
    int n = 0;
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f)) n++;
    if (f) fclose(f);
    return n;
}

static void products_of(struct open *o, int rows)
{
    assert_true(product_is_right(o, 0, rows, 8, 8, 0, BF16, F32, 0));
    assert_true(product_is_right(o, 2, rows, 8, 8, 0, BF16, F32, 1));
}

static void an_algorithm_is_searched_once_and_kept(void **state)
{
    (void)state;
    NEEDS_TWIN();
    char path[512];
    struct open o;
    twin_load("ref");
    twin_forget();
    assert_true(begin(&o));
    twin.fail("", 0);
    products_of(&o, 33);
    assert_int_equal(twin.calls("cublasLtMatmulAlgoGetHeuristic"), 2);
    int64_t allocations = twin_counts().allocations;
    products_of(&o, 33);
    products_of(&o, 36); /* the same quarter of a power of two */
    assert_int_equal(twin.calls("cublasLtMatmulAlgoGetHeuristic"), 2);
    assert_int_equal(twin_counts().allocations, allocations + 12); /* this test's matrices */
    products_of(&o, 41);
    assert_int_equal(twin.calls("cublasLtMatmulAlgoGetHeuristic"), 4);
    end(&o);
    assert_int_equal(lines_of(kept_file(path)), 1 + 4);
    assert_true(begin(&o));
    twin.fail("", 0);
    products_of(&o, 34);
    assert_int_equal(twin.calls("cublasLtMatmulAlgoGetHeuristic"), 0);
    end(&o);
}

static void what_another_process_chose_counts(void **state)
{
    (void)state;
    NEEDS_TWIN();
    char path[512];
    struct open one, two;
    twin_load("ref");
    twin_forget();
    assert_true(begin(&one));
    assert_true(begin(&two));
    products_of(&one, 16);
    twin.fail("", 0);
    products_of(&two, 16);
    assert_int_equal(twin.calls("cublasLtMatmulAlgoGetHeuristic"), 0);
    assert_int_equal(lines_of(kept_file(path)), 1 + 2);
    end(&one);
    end(&two);
}

static void a_file_of_another_kind_is_left_alone(void **state)
{
    (void)state;
    NEEDS_TWIN();
    static const char *const contents[] = {
        "hone 0: something else\n", "",
        "hone 1: cuBLASLt 13.1.0, NVIDIA fake, sm_90, 4 processors\n0 1 0 0 16 16 16 8 8",
        "hone 1: cuBLASLt 13.1.0, NVIDIA fake, sm_90, 4 processors\n9 1 0 0 16 16 16 8 16 8 1 2 "
        "3\n",
        "hone 1: cuBLASLt 13.1.0, NVIDIA fake, sm_90, 4 processors\n"
        "0 1 0 0 16 16 16 8 16 8 ff ff ff ff ff ff ff ff\n"};
    char path[512];
    struct open o;
    twin_load("ref");
    twin_forget();
    assert_true(begin(&o));
    products_of(&o, 16);
    end(&o);
    kept_file(path);
    for (size_t i = 0; i < sizeof contents / sizeof *contents; i++) {
        FILE *f = fopen(path, "w");
        fputs(contents[i], f);
        fclose(f);
        assert_true(begin(&o));
        if (i < 4) products_of(&o, 16);
        else assert_false(product_is_right(&o, 0, 16, 8, 8, 0, BF16, F32, 0)); /* none of its own */
        end(&o);
    }
    assert_int_equal(lines_of(path) > 1, 1);
    twin_forget();
}

/* ---- failures ---- */

/* What a run does with a device, once. false: it said why. */
static bool everything(struct open *o)
{
    unsigned char host[512] = {0};
    int32_t start[2] = {0, 16};
    if (!begin(o)) return false;
    char *p = twin.k->alloc(o->d, 2048);
    if (!p && twin.k->sync(o->d, o->why, sizeof o->why))
        return snprintf(o->why, sizeof o->why, "no memory"), false;
    if (!p) return false;
    struct mat x = mat_make(p, 16, 8, BF16), y = mat_make(p + 1024, 16, 8, F32);
    struct weight w = {.w = mat_make(p + 512, 8, 8, BF16), .t = BF16};
    twin.k->upload(o->d, p, host, sizeof host);
    twin.k->linear(o->d, y, x, &w, 1, 1);
    twin.k->noise(o->d, y, (struct seqs){start, 1, 16}, 1, (struct draw){.seed = 1});
    twin.k->download(o->d, host, y.p, sizeof host);
    twin.k->peak(o->d, F32);
    bool ok = twin.k->sync(o->d, o->why, sizeof o->why);
    twin.k->free(o->d, p, 2048);
    return ok && twin.k->sync(o->d, o->why, sizeof o->why);
}

enum { CALLS_MOST = 64 };
struct called {
    char names[CALLS_MOST][64];
    int64_t said[CALLS_MOST], all[CALLS_MOST];
    int n;
};

static void calls_list(struct called *c, int64_t (*into)[CALLS_MOST])
{
    static char names[8192];
    twin.names(names, sizeof names);
    for (char *n = names, *e; (e = strchr(n, '\n')); n = e + 1) {
        int i = 0;
        *e = 0;
        while (i < c->n && strcmp(c->names[i], n) != 0) i++;
        assert_true(i < CALLS_MOST);
        if (i == c->n) snprintf(c->names[c->n++], sizeof c->names[0], "%.63s", n);
        (*into)[i] = twin.calls(n);
    }
}

/* Which calls a run makes; `said`: how many before the device is closed. */
static void calls_count(struct called *c)
{
    struct open o;
    *c = (struct called){.n = 0};
    twin_forget();
    twin.fail("", 0);
    if (!everything(&o)) fail_msg("%s", o.why);
    calls_list(c, &c->said);
    end(&o);
    calls_list(c, &c->all);
}

static void one_call_fails(const char *call, int64_t nth, bool said)
{
    struct open o;
    twin_forget();
    twin.fail(call, nth);
    bool ok = everything(&o);
    /* a candidate that fails is not chosen, and memory that is refused may be done without */
    if (ok && said && strcmp(call, "cublasLtMatmul") != 0 && strcmp(call, "cudaMalloc") != 0)
        fail_msg("call %d of %s failed and nobody said so", (int)nth, call);
    if (!ok && strlen(o.why) < 9) fail_msg("call %d of %s: '%s'", (int)nth, call, o.why);
    end(&o);
    twin.reset();
    assert_null(twin.damage());
}

static void every_call_that_fails_is_a_sentence(void **state)
{
    (void)state;
    NEEDS_TWIN();
    struct called c;
    twin_load("ref");
    calls_count(&c);
    for (int i = 0; i < c.n; i++)
        for (int64_t nth = 1; nth <= c.all[i]; nth++)
            one_call_fails(c.names[i], nth, nth <= c.said[i]);
    assert_true(c.n > 25);
}

static void a_device_that_is_lost_says_so_at_every_sync(void **state)
{
    (void)state;
    NEEDS_TWIN();
    struct open o;
    assert_true(begin(&o));
    void *p = take(&o, 64);
    must(&o);
    twin.fail("queued", 1);
    twin.k->fill(o.d, mat_make(p, 4, 4, F32), 1);
    for (int i = 0; i < 2; i++) {
        o.why[0] = 0;
        assert_false(twin.k->sync(o.d, o.why, sizeof o.why));
        assert_non_null(strstr(o.why, "illegal memory access"));
        twin.k->upload(o.d, p, o.why, 64);
        assert_null(twin.k->alloc(o.d, 64));
    }
    twin.k->free(o.d, p, 64);
    end(&o);
    twin.reset();
}

static void a_machine_without_a_gpu_is_told_why(void **state)
{
    (void)state;
    NEEDS_TWIN();
    static const struct {
        const char *devices, *driver, *says;
        int index, count;
    } rows[] = {{"0", "13000", "no CUDA-capable device", 0, 0},
                {"1", "0", "no NVIDIA driver", 0, 0},
                {"2", "13000", "cuda:2 was asked for, and there are 2", 2, 2}};
    twin_load("ref");
    for (size_t i = 0; i < 3; i++) {
        struct device *d = (struct device *)&rows;
        char why[256] = "";
        setenv("FAKE_DEVICES", rows[i].devices, 1);
        setenv("FAKE_DRIVER", rows[i].driver, 1);
        assert_int_equal(twin.k->count(), rows[i].count);
        assert_false(twin.k->open(&d, rows[i].index, NULL, why, sizeof why));
        assert_null(d);
        if (!strstr(why, rows[i].says)) fail_msg("'%s'", why);
    }
    unsetenv("FAKE_DEVICES");
    unsetenv("FAKE_DRIVER");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_zero_counted_and_given_back),
        cmocka_unit_test(more_memory_than_there_is_is_refused),
        cmocka_unit_test(copies_neither_wait_nor_depend_on_the_order),
        cmocka_unit_test(small_copies_do_not_wait),
        cmocka_unit_test(posted_borders_are_those_of_the_call),
        cmocka_unit_test(products_are_right_in_every_type_and_alignment),
        cmocka_unit_test(products_are_our_own_without_the_library),
        cmocka_unit_test(an_algorithm_is_searched_once_and_kept),
        cmocka_unit_test(what_another_process_chose_counts),
        cmocka_unit_test(a_file_of_another_kind_is_left_alone),
        cmocka_unit_test(every_call_that_fails_is_a_sentence),
        cmocka_unit_test(a_device_that_is_lost_says_so_at_every_sync),
        cmocka_unit_test(a_machine_without_a_gpu_is_told_why),
    };
    return cmocka_run_group_tests_name("cuda host", tests, NULL, twin_drop);
}
