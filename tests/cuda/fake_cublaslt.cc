/* fake_cublaslt.cc - the part of cuBLASLt that hone uses: D = alpha op(A) op(B) + beta C,
 * column-major, bf16 or fp32 factors with fp32 sums. It refuses what the real one refuses (leading
 * dimensions, types, alignment below what was promised, a workspace that is too small) and every
 * attribute it does not know.
 *
 * Four algorithms: they add in different orders, so that a change of algorithm is a change of bits;
 * the last one promises and then refuses. They take 3, 2, 1.5 and 1 ms of the fake clock. */
#include "tests/cuda/fake.h"
#include <cublasLt.h>
#include <cstdlib>
#include <cstring>
#include <vector>

extern "C" void fake_spend(double ms);
extern "C" void fake_product(void);
extern "C" void fake_handle(int more);

namespace
{

struct Description {
    int32_t compute, scale, transa, transb;
};
struct Layout {
    uint32_t type;
    uint64_t rows, cols;
    int64_t ld;
};
struct Preference {
    uint64_t workspace;
    uint32_t align[4], schemes;
};
struct Algorithm {
    uint32_t number, align[4], magic;
    uint64_t workspace;
};
enum { ALGORITHMS = 4, MAGIC = 0x484F4E45 };
const uint64_t needs[ALGORITHMS] = {0, 0, 1 << 16, 0};
const double takes[ALGORITHMS] = {3, 2, 1.5, 1};

static_assert(sizeof(Description) <= sizeof(cublasLtMatmulDescOpaque_t), "fits");
static_assert(sizeof(Layout) <= sizeof(cublasLtMatrixLayoutOpaque_t), "fits");
static_assert(sizeof(Preference) <= sizeof(cublasLtMatmulPreferenceOpaque_t), "fits");
static_assert(sizeof(Algorithm) <= sizeof(cublasLtMatmulAlgo_t), "fits");

template <class T> T *as(void *p) { return reinterpret_cast<T *>(p); }

size_t width(uint32_t type) { return type == CUDA_R_16BF ? 2 : type == CUDA_R_32F ? 4 : 0; }

bool layout_is_good(const Layout &l)
{
    return width(l.type) && l.rows > 0 && l.cols > 0 && l.ld >= static_cast<int64_t>(l.rows);
}

/* Bytes from the first element to behind the last. */
size_t extent(const Layout &l)
{
    return ((l.cols - 1) * static_cast<size_t>(l.ld) + l.rows) * width(l.type);
}

struct Product {
    Description d;
    Layout a, b, c, o;
    uint64_t m, n, k;
};

bool product_make(Product *p, cublasLtMatmulDesc_t d, cublasLtMatrixLayout_t a,
                  cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t o)
{
    p->d = *as<Description>(d);
    p->a = *as<Layout>(a), p->b = *as<Layout>(b), p->c = *as<Layout>(c), p->o = *as<Layout>(o);
    p->m = p->d.transa ? p->a.cols : p->a.rows;
    p->k = p->d.transa ? p->a.rows : p->a.cols;
    p->n = p->d.transb ? p->b.rows : p->b.cols;
    bool shapes = p->k == (p->d.transb ? p->b.cols : p->b.rows) && p->o.rows == p->m &&
                  p->o.cols == p->n && p->c.rows == p->m && p->c.cols == p->n;
    bool types = p->a.type == p->b.type && p->c.type == p->o.type &&
                 (p->a.type == CUDA_R_16BF || p->o.type == CUDA_R_32F);
    return shapes && types && layout_is_good(p->a) && layout_is_good(p->b) &&
           layout_is_good(p->c) && layout_is_good(p->o) && p->d.compute == CUBLAS_COMPUTE_32F &&
           p->d.scale == CUDA_R_32F;
}

/* op(factor) with k running fastest: out[i * k ..]. */
std::vector<float> unpack(const void *p, const Layout &l, bool k_first, uint64_t k, uint64_t n)
{
    std::vector<float> out(k * n);
    for (uint64_t i = 0; i < n; i++)
        for (uint64_t j = 0; j < k; j++) {
            uint64_t at =
                k_first ? i * static_cast<uint64_t>(l.ld) + j : j * static_cast<uint64_t>(l.ld) + i;
            if (l.type == CUDA_R_32F) out[i * k + j] = static_cast<const float *>(p)[at];
            else {
                uint32_t bits = static_cast<uint32_t>(static_cast<const uint16_t *>(p)[at]) << 16;
                memcpy(&out[i * k + j], &bits, 4);
            }
        }
    return out;
}

float load(const void *p, uint32_t type, uint64_t at)
{
    float f;
    uint32_t bits = type == CUDA_R_32F
                        ? static_cast<const uint32_t *>(p)[at]
                        : static_cast<uint32_t>(static_cast<const uint16_t *>(p)[at]) << 16;
    memcpy(&f, &bits, 4);
    return f;
}

void store(void *p, uint32_t type, uint64_t at, float f)
{
    uint32_t bits;
    memcpy(&bits, &f, 4);
    if (type == CUDA_R_32F) static_cast<uint32_t *>(p)[at] = bits;
    else if ((bits & 0x7FFFFFFF) > 0x7F800000)
        static_cast<uint16_t *>(p)[at] = static_cast<uint16_t>(bits >> 16 | 0x40);
    else
        static_cast<uint16_t *>(p)[at] =
            static_cast<uint16_t>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

float dot(const float *x, const float *y, uint64_t k, uint32_t algorithm)
{
    float even = 0, odd = 0;
    if (algorithm == 0)
        for (uint64_t i = 0; i < k; i++) even += x[i] * y[i];
    else if (algorithm == 1)
        for (uint64_t i = k; i-- > 0;) even += x[i] * y[i];
    else
        for (uint64_t i = 0; i < k; i++) (i % 2 ? odd : even) += x[i] * y[i];
    return even + odd;
}

void multiply(const Product &p, uint32_t algorithm, float alpha, const void *A, const void *B,
              float beta, const void *C, void *D)
{
    std::vector<float> a = unpack(A, p.a, p.d.transa != 0, p.k, p.m),
                       b = unpack(B, p.b, p.d.transb == 0, p.k, p.n);
    for (uint64_t j = 0; j < p.n; j++)
        for (uint64_t i = 0; i < p.m; i++) {
            float sum = alpha * dot(&a[i * p.k], &b[j * p.k], p.k, algorithm);
            if (beta != 0) sum += beta * load(C, p.c.type, j * static_cast<uint64_t>(p.c.ld) + i);
            store(D, p.o.type, j * static_cast<uint64_t>(p.o.ld) + i, sum);
        }
}

uint32_t alignment_of(const void *p, const Layout &l)
{
    uintptr_t bits = reinterpret_cast<uintptr_t>(p) | static_cast<uintptr_t>(l.ld) * width(l.type);
    uint32_t align = 1;
    while (align < 256 && !(bits & align)) align *= 2;
    return align;
}

} // namespace

#define CALL() \
    if (fake_call(__func__)) return CUBLAS_STATUS_INTERNAL_ERROR

extern "C" {

size_t cublasLtGetVersion(void) { return 130100; }

const char *cublasLtGetStatusString(cublasStatus_t s)
{
    return s == CUBLAS_STATUS_SUCCESS           ? "CUBLAS_STATUS_SUCCESS"
           : s == CUBLAS_STATUS_NOT_SUPPORTED   ? "CUBLAS_STATUS_NOT_SUPPORTED"
           : s == CUBLAS_STATUS_INVALID_VALUE   ? "CUBLAS_STATUS_INVALID_VALUE"
           : s == CUBLAS_STATUS_NOT_INITIALIZED ? "CUBLAS_STATUS_NOT_INITIALIZED"
                                                : "CUBLAS_STATUS_INTERNAL_ERROR";
}

cublasStatus_t cublasLtCreate(cublasLtHandle_t *h)
{
    if (fake_call(__func__)) return CUBLAS_STATUS_NOT_INITIALIZED;
    *h = reinterpret_cast<cublasLtHandle_t>(new char);
    fake_handle(1);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t h)
{
    bool fails = fake_call(__func__);
    delete reinterpret_cast<char *>(h);
    fake_handle(-1);
    return fails ? CUBLAS_STATUS_INTERNAL_ERROR : CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *d, cublasComputeType_t compute,
                                        cudaDataType_t scale)
{
    CALL();
    *d = new cublasLtMatmulDescOpaque_t();
    *as<Description>(*d) = {compute, scale, 0, 0};
    fake_handle(1);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t d)
{
    bool fails = fake_call(__func__);
    delete d;
    fake_handle(-1);
    return fails ? CUBLAS_STATUS_INTERNAL_ERROR : CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t d,
                                              cublasLtMatmulDescAttributes_t a, const void *v,
                                              size_t n)
{
    CALL();
    if (n != 4) return CUBLAS_STATUS_INVALID_VALUE;
    if (a == CUBLASLT_MATMUL_DESC_TRANSA) memcpy(&as<Description>(d)->transa, v, 4);
    else if (a == CUBLASLT_MATMUL_DESC_TRANSB) memcpy(&as<Description>(d)->transb, v, 4);
    else return CUBLAS_STATUS_NOT_SUPPORTED;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *l, cudaDataType type,
                                          uint64_t rows, uint64_t cols, int64_t ld)
{
    CALL();
    *l = new cublasLtMatrixLayoutOpaque_t();
    *as<Layout>(*l) = {static_cast<uint32_t>(type), rows, cols, ld};
    fake_handle(1);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t l)
{
    bool fails = fake_call(__func__);
    delete l;
    fake_handle(-1);
    return fails ? CUBLAS_STATUS_INTERNAL_ERROR : CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t l,
                                                cublasLtMatrixLayoutAttribute_t a, const void *v,
                                                size_t n)
{
    CALL();
    if (n != 8) return CUBLAS_STATUS_INVALID_VALUE;
    if (a == CUBLASLT_MATRIX_LAYOUT_ROWS) memcpy(&as<Layout>(l)->rows, v, 8);
    else if (a == CUBLASLT_MATRIX_LAYOUT_COLS) memcpy(&as<Layout>(l)->cols, v, 8);
    else if (a == CUBLASLT_MATRIX_LAYOUT_LD) memcpy(&as<Layout>(l)->ld, v, 8);
    else return CUBLAS_STATUS_NOT_SUPPORTED;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *p)
{
    CALL();
    *p = new cublasLtMatmulPreferenceOpaque_t();
    *as<Preference>(*p) = {0, {256, 256, 256, 256}, ~0u};
    fake_handle(1);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t p)
{
    bool fails = fake_call(__func__);
    delete p;
    fake_handle(-1);
    return fails ? CUBLAS_STATUS_INTERNAL_ERROR : CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t pp,
                                                    cublasLtMatmulPreferenceAttributes_t a,
                                                    const void *v, size_t n)
{
    CALL();
    Preference *p = as<Preference>(pp);
    void *to = nullptr;
    switch (a) {
    case CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES: to = &p->workspace; break;
    case CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK: to = &p->schemes; break;
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES: to = &p->align[0]; break;
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES: to = &p->align[1]; break;
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES: to = &p->align[2]; break;
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES: to = &p->align[3]; break;
    default: return CUBLAS_STATUS_NOT_SUPPORTED;
    }
    if (n != (to == &p->workspace ? 8u : 4u)) return CUBLAS_STATUS_INVALID_VALUE;
    memcpy(to, v, n);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t d,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t o,
                                              cublasLtMatmulPreference_t pp, int want,
                                              cublasLtMatmulHeuristicResult_t *out, int *n)
{
    CALL();
    Product p;
    *n = 0;
    if (want < 1 || !product_make(&p, d, a, b, c, o)) return CUBLAS_STATUS_INVALID_VALUE;
    const Preference *q = as<Preference>(pp);
    for (uint32_t i = 0; i < ALGORITHMS && *n < want; i++) {
        if (needs[i] > q->workspace) continue;
        cublasLtMatmulHeuristicResult_t r = {};
        Algorithm x = {i, {q->align[0], q->align[1], q->align[2], q->align[3]}, MAGIC, needs[i]};
        memcpy(&r.algo, &x, sizeof x);
        r.workspaceSize = needs[i];
        r.state = CUBLAS_STATUS_SUCCESS;
        out[(*n)++] = r;
    }
    return *n ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
}

cublasStatus_t cublasLtMatmulAlgoCheck(cublasLtHandle_t, cublasLtMatmulDesc_t d,
                                       cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                       cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t o,
                                       const cublasLtMatmulAlgo_t *algo,
                                       cublasLtMatmulHeuristicResult_t *out)
{
    CALL();
    Product p;
    const Algorithm *x = reinterpret_cast<const Algorithm *>(algo);
    if (!product_make(&p, d, a, b, c, o)) return CUBLAS_STATUS_INVALID_VALUE;
    if (x->magic != MAGIC || x->number >= ALGORITHMS) return CUBLAS_STATUS_NOT_SUPPORTED;
    *out = {};
    memcpy(&out->algo, algo, sizeof *algo);
    out->workspaceSize = x->workspace;
    out->state = CUBLAS_STATUS_SUCCESS;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t d, const void *alpha,
                              const void *A, cublasLtMatrixLayout_t a, const void *B,
                              cublasLtMatrixLayout_t b, const void *beta, const void *C,
                              cublasLtMatrixLayout_t c, void *D, cublasLtMatrixLayout_t o,
                              const cublasLtMatmulAlgo_t *algo, void *workspace, size_t bytes,
                              cudaStream_t s)
{
    CALL();
    Product p;
    float al, be;
    if (!algo || !product_make(&p, d, a, b, c, o)) return CUBLAS_STATUS_INVALID_VALUE;
    memcpy(&al, alpha, 4), memcpy(&be, beta, 4);
    Algorithm x;
    memcpy(&x, algo, sizeof x);
    if (x.magic != MAGIC || x.number == ALGORITHMS - 1) return CUBLAS_STATUS_NOT_SUPPORTED;
    const struct {
        const void *p;
        const Layout *l;
    } all[4] = {{A, &p.a}, {B, &p.b}, {C, &p.c}, {D, &p.o}};
    for (int i = 0; i < 4; i++)
        if (fake_where(all[i].p, extent(*all[i].l)) != FAKE_DEVICE ||
            alignment_of(all[i].p, *all[i].l) < x.align[i])
            return CUBLAS_STATUS_INVALID_VALUE;
    if (bytes < x.workspace || (x.workspace && (fake_where(workspace, bytes) != FAKE_DEVICE ||
                                                reinterpret_cast<uintptr_t>(workspace) % 256)))
        return CUBLAS_STATUS_INVALID_VALUE;
    fake_product();
    uint32_t number = x.number;
    return fake_enqueue(s,
                        [=] {
                            if (x.workspace) memset(workspace, 0xEE, x.workspace);
                            multiply(p, number, al, A, B, be, C, D);
                            fake_spend(takes[number]);
                            return cudaSuccess;
                        })
               ? CUBLAS_STATUS_EXECUTION_FAILED
               : CUBLAS_STATUS_SUCCESS;
}
}
