/* device.c - a GPU as a device: opened, its memory, and its one stream, which sync waits for.
 *
 * An error of any call is kept as a sentence (cuda_fault) and said by sync; after an error of the
 * device itself every later call fails too, so the run ends there. */
#include "kernels/cuda/host.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    COMPUTE_LEAST = 80, /* sm_80: bf16 products, asynchronous copies */
    RESERVE = 256 << 20 /* what cudart and libraries load after the plan */
};

void cuda_fault(struct device *d, const char *what, int error)
{
    if (d->fault[0]) return;
    if (error)
        snprintf(d->fault, sizeof d->fault, "%s: %s", what, cudaGetErrorString((cudaError_t)error));
    else snprintf(d->fault, sizeof d->fault, "%s", what);
}

bool cuda_ok(struct device *d, cudaError_t e, const char *call)
{
    if (e == cudaSuccess) return true;
    cuda_fault(d, call, (int)e);
    cudaGetLastError(); /* or the next launch would be blamed */
    return false;
}

/* ---- which there are ---- */

static int device_count(void)
{
    int n = 0;
    if (cudaGetDeviceCount(&n) == cudaSuccess) return n;
    cudaGetLastError();
    return 0;
}

static bool is_there(int index, char *why, size_t why_size)
{
    int n = 0, driver = 0;
    cudaError_t e = cudaGetDeviceCount(&n);
    if (e == cudaSuccess && index >= 0 && index < n) return true;
    cudaGetLastError();
    if (e == cudaSuccess)
        snprintf(why, why_size, "device cuda:%d was asked for, and there %s %d, from cuda:0 on",
                 index, n == 1 ? "is" : "are", n);
    else if (e == cudaErrorInsufficientDriver &&
             (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0))
        snprintf(why, why_size, "there is no NVIDIA driver on this machine");
    else if (e == cudaErrorInsufficientDriver)
        snprintf(why, why_size,
                 "the NVIDIA driver is for CUDA %d.%d, and this hone was built with CUDA %d.%d: a "
                 "newer driver is needed, or a build with that toolkit",
                 driver / 1000, driver % 1000 / 10, CUDART_VERSION / 1000,
                 CUDART_VERSION % 1000 / 10);
    else snprintf(why, why_size, "no GPU can be used: %s", cudaGetErrorString(e));
    return false;
}

/* ---- open and close ---- */

static bool properties_read(struct device *d, int index)
{
    struct cudaDeviceProp p;
    if (!cuda_ok(d, cudaSetDevice(index), "cudaSetDevice") ||
        !cuda_ok(d, cudaGetDeviceProperties(&p, index), "cudaGetDeviceProperties"))
        return false;
    snprintf(d->host->name, sizeof d->host->name, "%.95s", p.name);
    d->host->index = index;
    d->host->major = p.major;
    d->host->minor = p.minor;
    d->processors = p.multiProcessorCount;
    if (p.major * 10 + p.minor >= COMPUTE_LEAST) return true;
    snprintf(d->fault, sizeof d->fault,
             "%s has compute capability %d.%d, and hone's kernels need %d.%d", d->host->name,
             p.major, p.minor, COMPUTE_LEAST / 10, COMPUTE_LEAST % 10);
    return false;
}

static void device_close(struct device *d)
{
    if (d->stream) cuda_ok(d, cudaStreamSynchronize(d->stream), "cudaStreamSynchronize");
    algorithms_close(d);
    copies_close(d);
    if (d->stream) cuda_ok(d, cudaStreamDestroy(d->stream), "cudaStreamDestroy");
    free(d->host);
    free(d);
}

static bool device_open(struct device **out, int index, struct pool *pool, char *why,
                        size_t why_size)
{
    (void)pool;
    *out = NULL;
    if (!is_there(index, why, why_size)) return false;
    struct device *d = calloc(1, sizeof *d);
    if (d) d->host = calloc(1, sizeof *d->host);
    if (!d || !d->host) {
        snprintf(why, why_size, "no memory for a device of backend cuda");
        free(d);
        return false;
    }
    if (properties_read(d, index) &&
        cuda_ok(d, cudaStreamCreateWithFlags(&d->stream, cudaStreamNonBlocking),
                "cudaStreamCreateWithFlags") &&
        copies_open(d) && algorithms_open(d)) {
        *out = d;
        return true;
    }
    snprintf(why, why_size, "cuda:%d cannot be used: %.200s", index, d->fault);
    device_close(d);
    return false;
}

static void device_info(struct device *d, struct device_info *out)
{
    size_t unused = 0, total = 0;
    const struct host_side *h = d->host;
    *out = (struct device_info){.backend = "cuda",
                                .threads = 1,
                                .fast = {[F32] = true, [BF16] = true},
                                .pack_rows = 1,
                                .pack_cols = 1,
                                .pack_copies = {[BF16] = 1},
                                .scratch_per_thread = HOST_OWN,
                                .scratch_shared = CUDA_SCRATCH};
    snprintf(out->name, sizeof out->name, "%s", h->name);
    snprintf(out->isa, sizeof out->isa, "sm_%d%d", h->major, h->minor);
    if (h->algorithms)
        snprintf(out->library, sizeof out->library, "cuBLASLt %s", h->library_version);
    else snprintf(out->library, sizeof out->library, "hone " HONE_VERSION " (no cuBLASLt)");
    if (!cuda_ok(d, cudaMemGetInfo(&unused, &total), "cudaMemGetInfo")) return;
    out->memory_total = (int64_t)total;
    out->memory_free = (int64_t)unused > RESERVE ? (int64_t)unused - RESERVE : 0;
}

/* ---- how fast ---- */

/* Dense bf16 products by the makers' data sheets, in TFLOP/s: what MFU is a share of. A longer name
 * comes before one that it contains. */
static const struct {
    const char *name;
    double bf16;
} peaks[] = {
    {"H200 NVL", 836},   {"H200", 989.4},     {"GH200", 989.4},      {"H100 NVL", 835},
    {"H100 PCIe", 756},  {"H100", 989.4},     {"H800", 989.4},       {"H20", 148},
    {"B200", 2250},      {"B300", 2250},      {"A100", 311.8},       {"A800", 311.8},
    {"A30", 165},        {"A40", 149.7},      {"A10", 125},          {"L40S", 362},
    {"L40", 181},        {"L4", 121},         {"RTX 6000 Ada", 364}, {"RTX A6000", 154.8},
    {"RTX 5090", 209.5}, {"RTX 4090", 165.2}, {"RTX 3090", 71},      {"RTX PRO 6000", 503.8},
};

/* Products of fp32 on the ordinary units: 64 (sm_80) or 128 a cycle and processor. A GPU that no
 * row names: four times as many bf16 ones a cycle as fp32 ones, which is the least of a generation.
 */
static double device_peak(struct device *d, enum dtype t)
{
    int clock = 0;
    const struct host_side *h = d->host;
    for (size_t i = 0; t == BF16 && i < sizeof peaks / sizeof *peaks; i++)
        if (strstr(h->name, peaks[i].name)) return peaks[i].bf16 * 1e12;
    if (!cuda_ok(d, cudaDeviceGetAttribute(&clock, cudaDevAttrClockRate, h->index),
                 "cudaDeviceGetAttribute"))
        return 0;
    double units = h->major == 8 && h->minor == 0 ? 64 : 128;
    return (double)d->processors * units * 2 * clock * 1e3 * (t == BF16 ? 4 : 1);
}

/* ---- memory ---- */

/* The device of the calling thread: it may be another one than that which opened it. */
static bool device_enter(struct device *d)
{
    return cuda_ok(d, cudaSetDevice(d->host->index), "cudaSetDevice");
}

static void *device_alloc(struct device *d, size_t bytes)
{
    void *p = NULL;
    if (!device_enter(d)) return NULL;
    if (cudaMalloc(&p, bytes ? bytes : 1) != cudaSuccess) {
        cudaGetLastError(); /* the caller says what it could not have */
        return NULL;
    }
    if (cuda_ok(d, cudaMemsetAsync(p, 0, bytes ? bytes : 1, d->stream), "cudaMemsetAsync"))
        return p;
    cuda_ok(d, cudaFree(p), "cudaFree");
    return NULL;
}

static void device_free(struct device *d, void *p, size_t bytes)
{
    (void)bytes;
    if (p) cuda_ok(d, cudaFree(p), "cudaFree");
}

static void device_workspace(struct device *d, void *p, size_t bytes)
{
    struct host_side *h = d->host;
    bool own = p && bytes >= HOST_OWN && device_enter(d);
    d->workspace = p;
    d->workspace_bytes = own ? (bytes - HOST_OWN) / 256 * 256 : bytes;
    h->posts_there = own ? d->workspace + d->workspace_bytes : NULL;
    h->products_there = own ? h->posts_there + HOST_POSTS : NULL;
    h->n_shared = 0;
}

static bool device_sync(struct device *d, char *why, size_t why_size)
{
    if (device_enter(d)) {
        cuda_ok(d, cudaStreamSynchronize(d->stream), "waiting for the device");
        cuda_ok(d, cudaGetLastError(), "an operation");
    }
    copies_done(d);
    if (!d->fault[0]) return true;
    snprintf(why, why_size, "%s", d->fault);
    d->fault[0] = 0;
    return false;
}

void device_table(struct kernels *k)
{
    k->count = device_count;
    k->open = device_open;
    k->close = device_close;
    k->info = device_info;
    k->peak = device_peak;
    k->alloc = device_alloc;
    k->free = device_free;
    k->workspace = device_workspace;
    k->upload = device_upload;
    k->download = device_download;
    k->sync = device_sync;
}
