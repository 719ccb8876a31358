/* algorithm.c - cuBLASLt: opened at run time, its descriptors made once, an algorithm chosen once a
 * shape. See algorithm.h. */
#include "kernels/cuda/algorithm.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CANDIDATES = 8, ROUNDS = 2, RUNS = 3, ALIGN_MOST = 16 };

#define LT_FUNCTIONS(F)                                                                      \
    F(Create)                                                                                \
    F(Destroy) F(GetStatusString) F(MatmulDescCreate) F(MatmulDescDestroy)                   \
        F(MatmulDescSetAttribute) F(MatrixLayoutCreate) F(MatrixLayoutDestroy)               \
            F(MatrixLayoutSetAttribute) F(MatmulPreferenceCreate) F(MatmulPreferenceDestroy) \
                F(MatmulPreferenceSetAttribute) F(MatmulAlgoGetHeuristic) F(MatmulAlgoCheck) \
                    F(Matmul)

enum { PLACE_A, PLACE_B, PLACE_D, PLACES };

struct algorithms {
#define LT_MEMBER(name) __typeof__(&cublasLt##name) name;
    LT_FUNCTIONS(LT_MEMBER)
#undef LT_MEMBER
    cublasLtHandle_t handle;
    cublasLtMatmulDesc_t turn[TURNS];
    cublasLtMatrixLayout_t layout[PLACES][2]; /* F32, BF16 */
    cublasLtMatmulPreference_t preference;
    cudaEvent_t start, end;
    struct chosen_table chosen;
    struct kept kept;
};

static bool lt_ok(struct device *d, const struct algorithms *x, cublasStatus_t s, const char *call)
{
    char text[160];
    if (s == CUBLAS_STATUS_SUCCESS) return true;
    snprintf(text, sizeof text, "%s: %.100s", call, x->GetStatusString(s));
    cuda_fault(d, text, 0);
    return false;
}

/* ---- opening ---- */

static bool functions_find(struct algorithms *x, struct library_found *library)
{
    static const char *const names[] = {
#define LT_NAME(name) "cublasLt" #name,
        LT_FUNCTIONS(LT_NAME)
#undef LT_NAME
    };
    void *symbols[sizeof names / sizeof *names];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!(symbols[i] = library_symbol(library, names[i]))) {
            snprintf(library->why, sizeof library->why, "%.180s has no %s", library->path,
                     names[i]);
            return false;
        }
    int at = 0;
#define LT_TAKE(name) memcpy(&x->name, &symbols[at++], sizeof x->name);
    LT_FUNCTIONS(LT_TAKE)
#undef LT_TAKE
    return true;
}

static const cudaDataType_t types[2] = {[F32] = CUDA_R_32F, [BF16] = CUDA_R_16BF};

static bool turn_make(struct device *d, struct algorithms *x, enum turn turn)
{
    int32_t a = turn == TURN_LINEAR ? CUBLAS_OP_T : CUBLAS_OP_N,
            b = turn == TURN_GRAD ? CUBLAS_OP_T : CUBLAS_OP_N;
    return lt_ok(d, x, x->MatmulDescCreate(&x->turn[turn], CUBLAS_COMPUTE_32F, CUDA_R_32F),
                 "cublasLtMatmulDescCreate") &&
           lt_ok(
               d, x,
               x->MatmulDescSetAttribute(x->turn[turn], CUBLASLT_MATMUL_DESC_TRANSA, &a, sizeof a),
               "cublasLtMatmulDescSetAttribute") &&
           lt_ok(
               d, x,
               x->MatmulDescSetAttribute(x->turn[turn], CUBLASLT_MATMUL_DESC_TRANSB, &b, sizeof b),
               "cublasLtMatmulDescSetAttribute");
}

static bool prefer(struct device *d, struct algorithms *x,
                   cublasLtMatmulPreferenceAttributes_t what, const void *value, size_t bytes)
{
    return lt_ok(d, x, x->MatmulPreferenceSetAttribute(x->preference, what, value, bytes),
                 "cublasLtMatmulPreferenceSetAttribute");
}

/* Sums over slices of k are taken in fp32 and in a fixed order, so the bits repeat. */
static bool descriptors_make(struct device *d, struct algorithms *x)
{
    uint64_t workspace = HOST_PRODUCTS;
    uint32_t schemes = CUBLASLT_REDUCTION_SCHEME_NONE | CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
    for (int t = 0; t < TURNS; t++)
        if (!turn_make(d, x, (enum turn)t)) return false;
    for (int p = 0; p < PLACES; p++)
        for (int t = 0; t < 2; t++)
            if (!lt_ok(d, x, x->MatrixLayoutCreate(&x->layout[p][t], types[t], 1, 1, 1),
                       "cublasLtMatrixLayoutCreate"))
                return false;
    return lt_ok(d, x, x->MatmulPreferenceCreate(&x->preference),
                 "cublasLtMatmulPreferenceCreate") &&
           prefer(d, x, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace, sizeof workspace) &&
           prefer(d, x, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &schemes, sizeof schemes);
}

static bool parts_make(struct device *d, struct algorithms *x)
{
    x->chosen.rows = calloc(CHOSEN_MOST, sizeof *x->chosen.rows);
    if (!x->chosen.rows) {
        cuda_fault(d, "no memory for the table of algorithms", 0);
        return false;
    }
    return lt_ok(d, x, x->Create(&x->handle), "cublasLtCreate") && descriptors_make(d, x) &&
           cuda_ok(d, cudaEventCreate(&x->start), "cudaEventCreate") &&
           cuda_ok(d, cudaEventCreate(&x->end), "cudaEventCreate");
}

bool algorithms_open(struct device *d)
{
    struct host_side *h = d->host;
    if (!library_open(&h->library, LIBRARY_CUBLASLT)) return true;
    library_version(h->library_version, LIBRARY_CUBLASLT, &h->library);
    struct algorithms *x = calloc(1, sizeof *x);
    if (!x || !functions_find(x, &h->library)) {
        free(x);
        return true;
    }
    x->kept.fd = -1;
    h->algorithms = x;
    if (!parts_make(d, x)) return false;
    kept_open(&x->kept, h, d->processors);
    kept_lock(&x->kept, &x->chosen);
    kept_unlock(&x->kept);
    return true;
}

void algorithms_close(struct device *d)
{
    struct algorithms *x = d->host->algorithms;
    if (!x) return;
    if (x->preference) x->MatmulPreferenceDestroy(x->preference);
    for (int t = 0; t < TURNS; t++)
        if (x->turn[t]) x->MatmulDescDestroy(x->turn[t]);
    for (int p = 0; p < PLACES; p++)
        for (int t = 0; t < 2; t++)
            if (x->layout[p][t]) x->MatrixLayoutDestroy(x->layout[p][t]);
    if (x->start) cudaEventDestroy(x->start);
    if (x->end) cudaEventDestroy(x->end);
    if (x->handle) x->Destroy(x->handle);
    kept_close(&x->kept);
    free(x->chosen.rows);
    free(x);
    d->host->algorithms = NULL;
}

/* ---- a request in the library's terms ---- */

static int alignment(const struct factor *f)
{
    uintptr_t bits = (uintptr_t)f->p | (uintptr_t)f->ld * (f->t == BF16 ? 2 : 4);
    int align = 2;
    while (align < ALIGN_MOST && !(bits & (uintptr_t)align)) align *= 2;
    return align;
}

/* Up to the next quarter of a power of two; up to 8 as it is. */
static int64_t rounded(int64_t rows)
{
    int64_t step = 1;
    while (step * 8 < rows) step *= 2;
    return (rows + step - 1) / step * step;
}

static int64_t rows_of(const struct request *r) { return r->turn == TURN_GRAD ? r->k : r->n; }

static struct shape_key key_of(const struct request *r)
{
    struct shape_key key = {.turn = (int32_t)r->turn,
                            .factors = (int32_t)r->a.t,
                            .result = (int32_t)r->d.t,
                            .adds = r->beta != 0,
                            .align = {alignment(&r->a), alignment(&r->b), alignment(&r->d)},
                            .m = r->m,
                            .n = r->n,
                            .k = r->k};
    if (r->turn == TURN_GRAD) key.k = rounded(r->k);
    else key.n = rounded(r->n);
    return key;
}

struct called {
    cublasLtMatmulDesc_t desc;
    cublasLtMatrixLayout_t a, b, d;
};

static bool lay(struct device *d, struct algorithms *x, cublasLtMatrixLayout_t l, int64_t rows,
                int64_t cols, int64_t ld)
{
    uint64_t r = (uint64_t)rows, c = (uint64_t)cols;
    const char *call = "cublasLtMatrixLayoutSetAttribute";
    return lt_ok(d, x, x->MatrixLayoutSetAttribute(l, CUBLASLT_MATRIX_LAYOUT_ROWS, &r, sizeof r),
                 call) &&
           lt_ok(d, x, x->MatrixLayoutSetAttribute(l, CUBLASLT_MATRIX_LAYOUT_COLS, &c, sizeof c),
                 call) &&
           lt_ok(d, x, x->MatrixLayoutSetAttribute(l, CUBLASLT_MATRIX_LAYOUT_LD, &ld, sizeof ld),
                 call);
}

static bool called_make(struct device *d, struct algorithms *x, struct called *c,
                        const struct request *r)
{
    bool a = r->turn == TURN_LINEAR, b = r->turn == TURN_GRAD;
    *c = (struct called){.desc = x->turn[r->turn],
                         .a = x->layout[PLACE_A][r->a.t],
                         .b = x->layout[PLACE_B][r->b.t],
                         .d = x->layout[PLACE_D][r->d.t]};
    return lay(d, x, c->a, a ? r->k : r->m, a ? r->m : r->k, r->a.ld) &&
           lay(d, x, c->b, b ? r->n : r->k, b ? r->k : r->n, r->b.ld) &&
           lay(d, x, c->d, r->m, r->n, r->d.ld);
}

static cublasStatus_t multiply(struct device *d, struct algorithms *x, const struct called *c,
                               const struct request *r, const cublasLtMatmulAlgo_t *algo)
{
    return x->Matmul(x->handle, c->desc, &r->alpha, r->a.p, c->a, r->b.p, c->b, &r->beta, r->d.p,
                     c->d, r->d.p, c->d, algo, d->host->products_there, HOST_PRODUCTS, d->stream);
}

/* ---- the search ---- */

/* Milliseconds of one run, or a negative number where the library does not do it after all. */
static float time_runs(struct device *d, struct algorithms *x, const struct called *c,
                       const struct request *r, const cublasLtMatmulAlgo_t *algo)
{
    float least = -1;
    if (multiply(d, x, c, r, algo) != CUBLAS_STATUS_SUCCESS) return -1;
    for (int round = 0; round < ROUNDS; round++) {
        float ms = 0;
        if (!cuda_ok(d, cudaEventRecord(x->start, d->stream), "cudaEventRecord")) return -1;
        for (int i = 0; i < RUNS; i++)
            if (multiply(d, x, c, r, algo) != CUBLAS_STATUS_SUCCESS) return -1;
        if (!cuda_ok(d, cudaEventRecord(x->end, d->stream), "cudaEventRecord") ||
            !cuda_ok(d, cudaEventSynchronize(x->end), "cudaEventSynchronize") ||
            !cuda_ok(d, cudaEventElapsedTime(&ms, x->start, x->end), "cudaEventElapsedTime"))
            return -1;
        if (least < 0 || ms < least) least = ms;
    }
    return least;
}

static bool candidates(struct device *d, struct algorithms *x, const struct called *c,
                       const struct shape_key *key, cublasLtMatmulHeuristicResult_t *out, int *n)
{
    static const cublasLtMatmulPreferenceAttributes_t what[4] = {
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES};
    for (int i = 0; i < 4; i++) {
        uint32_t align = (uint32_t)key->align[i < PLACE_D ? i : PLACE_D];
        if (!prefer(d, x, what[i], &align, sizeof align)) return false;
    }
    *n = 0;
    cublasStatus_t s = x->MatmulAlgoGetHeuristic(x->handle, c->desc, c->a, c->b, c->d, c->d,
                                                 x->preference, CANDIDATES, out, n);
    return s == CUBLAS_STATUS_NOT_SUPPORTED || lt_ok(d, x, s, "cublasLtMatmulAlgoGetHeuristic");
}

/* Results that are added to are added to elsewhere while runs are timed; where there is no memory
 * for that, the library's first proposal is taken and not kept. */
static bool elsewhere(struct device *d, struct request *r, void **scratch)
{
    size_t bytes = ((size_t)(r->n - 1) * (size_t)r->d.ld + (size_t)r->m) * (r->d.t == BF16 ? 2 : 4);
    *scratch = NULL;
    if (r->beta == 0) return true;
    if (cudaMalloc(scratch, bytes) != cudaSuccess) {
        cudaGetLastError();
        return false;
    }
    r->d.p = *scratch;
    return cuda_ok(d, cudaMemsetAsync(*scratch, 0, bytes, d->stream), "cudaMemsetAsync");
}

/* The fastest; best < 0: none. false: a fault. */
static bool fastest(struct device *d, struct algorithms *x, const struct called *c,
                    const struct request *r, const cublasLtMatmulHeuristicResult_t *list, int n,
                    int *best)
{
    float least = 0;
    *best = -1;
    for (int i = 0; i < n && !d->fault[0]; i++) {
        if (list[i].state != CUBLAS_STATUS_SUCCESS) continue;
        float ms = time_runs(d, x, c, r, &list[i].algo);
        if (ms < 0 || (*best >= 0 && ms >= least)) continue;
        *best = i;
        least = ms;
    }
    return !d->fault[0];
}

static bool search(struct device *d, struct algorithms *x, const struct called *c,
                   const struct request *r, struct chosen *to)
{
    cublasLtMatmulHeuristicResult_t list[CANDIDATES];
    struct request trial = *r;
    void *scratch = NULL;
    int n = 0, best = 0;
    if (!candidates(d, x, c, &to->key, list, &n)) return false;
    bool timed = n > 0 && elsewhere(d, &trial, &scratch);
    bool ok = !d->fault[0] && (!timed || fastest(d, x, c, &trial, list, n, &best));
    if (scratch && !cuda_ok(d, cudaFree(scratch), "cudaFree")) ok = false;
    to->refused = n == 0 || best < 0;
    if (ok && !to->refused) to->algo = list[best].algo;
    if (ok && !to->refused && timed) kept_add(&x->kept, to);
    return ok;
}

/* NULL: the library does not do it, or a fault. */
static struct chosen *choose(struct device *d, struct algorithms *x, const struct called *c,
                             const struct request *r)
{
    struct shape_key key = key_of(r);
    struct chosen *found = chosen_find(&x->chosen, &key);
    if (!found || found->taken) return found && !found->refused ? found : NULL;
    kept_lock(&x->kept, &x->chosen);
    found = chosen_find(&x->chosen, &key); /* another process may have chosen meanwhile */
    if (found && !found->taken) {
        struct chosen new = {.key = key, .taken = true};
        if (search(d, x, c, r, &new)) {
            *found = new;
            x->chosen.n++;
        }
    }
    kept_unlock(&x->kept);
    return found && found->taken && !found->refused ? found : NULL;
}

/* The algorithm was chosen for other numbers of rows too: whether it does this one. */
static bool agrees(struct device *d, struct algorithms *x, const struct called *c,
                   const struct request *r, struct chosen *a)
{
    cublasLtMatmulHeuristicResult_t result;
    if (a->rows == rows_of(r)) return true;
    cublasStatus_t s =
        x->MatmulAlgoCheck(x->handle, c->desc, c->a, c->b, c->d, c->d, &a->algo, &result);
    if (s == CUBLAS_STATUS_NOT_SUPPORTED) return false;
    if (!lt_ok(d, x, s, "cublasLtMatmulAlgoCheck") || result.workspaceSize > HOST_PRODUCTS)
        return false;
    a->rows = rows_of(r);
    return true;
}

bool algorithms_run(struct device *d, const struct request *r)
{
    struct algorithms *x = d->host->algorithms;
    struct called c;
    if (!d->host->products_there) return false;
    if (d->fault[0] || !called_make(d, x, &c, r)) return true;
    struct chosen *a = choose(d, x, &c, r);
    if (!a || !agrees(d, x, &c, r, a)) return d->fault[0] != 0;
    lt_ok(d, x, multiply(d, x, &c, r, &a->algo), "cublasLtMatmul");
    return true;
}
