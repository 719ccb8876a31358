/* stand.c - see stand.h. What is posted lives until the next sync, as device.h promises, and is
 * freed then, so that a late reader is seen. */
#include "tests/cuda/stand.h"
#include "kernels/cuda/operations.h"
#include "tests/cuda/schedule.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { POSTS = 256 };
struct host_side { void *posted[POSTS]; int n; char fault[1200]; }; /* longer than the device's */
static struct host_side host;
static struct device only;

static void *take(size_t bytes) {
    void *p = NULL;
    return posix_memalign(&p, 256, bytes ? bytes : 1) ? NULL : p;
}

const void *cuda_post(struct device *d, const void *from, size_t bytes) {
    struct host_side *h = d->host;
    void *p = h->n < POSTS ? take(bytes) : NULL;
    if (!p) return cuda_fault(d, "post: no room", 0), NULL;
    h->posted[h->n++] = p;
    return memcpy(p, from, bytes);
}

void cuda_fault(struct device *d, const char *what, int error) {
    if (d->fault[0]) return;
    snprintf(d->fault, sizeof d->fault, "%s: error %d", what, error);
    snprintf(d->host->fault, sizeof d->host->fault, "%s: error %d: %s", what, error, shim_fault());
}

static int count(void) { return 1; }

static bool open_device(struct device **out, int index, struct pool *pool, char *why,
                        size_t why_size) {
    (void)index, (void)pool, (void)why, (void)why_size;
    memset(&only, 0, sizeof only);
    only.processors = 4;
    only.host = &host;
    *out = &only;
    return true;
}

static void drop_posts(struct host_side *h) {
    while (h->n > 0) free(h->posted[--h->n]);
}

static void close_device(struct device *d) { drop_posts(d->host); }

static void info(struct device *d, struct device_info *out) {
    (void)d;
    *out = (struct device_info){.backend = "cuda", .name = "shim", .isa = "sm_80", .threads = 1,
                                .scratch_shared = CUDA_SCRATCH, .pack_rows = 1, .pack_cols = 1};
    out->fast[F32] = out->fast[BF16] = true;
    out->pack_copies[BF16] = 1;
}

static double peak(struct device *d, enum dtype t) { return (void)d, (void)t, 1; }

static void *alloc(struct device *d, size_t bytes) {
    (void)d;
    void *p = take(bytes);
    return p ? memset(p, 0, bytes) : NULL;
}

static void drop(struct device *d, void *p, size_t bytes) { (void)d, (void)bytes, free(p); }

static void workspace(struct device *d, void *p, size_t bytes) {
    d->workspace = p;
    d->workspace_bytes = bytes;
}

static void copy(struct device *d, void *to, const void *from, size_t bytes) {
    (void)d;
    if (bytes) memcpy(to, from, bytes);
}

static bool sync_device(struct device *d, char *why, size_t why_size) {
    drop_posts(d->host);
    bool good = !d->fault[0];
    if (!good) snprintf(why, why_size, "%s", d->host->fault);
    d->fault[0] = 0;
    return good;
}

const struct kernels stand = {
    .abi = KERNELS_ABI, .name = "cuda", .count = count, .open = open_device, .close = close_device,
    .info = info, .peak = peak, .alloc = alloc, .free = drop, .workspace = workspace,
    .upload = copy, .download = copy, .sync = sync_device,
    .convert = cuda_convert, .fill = cuda_fill,
    .settle = cuda_product_settle, .linear = cuda_product_linear,
    .linear_back = cuda_product_linear_back, .linear_grad = cuda_product_linear_grad,
    .bias = cuda_bias, .bias_grad = cuda_bias_grad, .embed = cuda_embed,
    .embed_grad = cuda_embed_grad, .gather = cuda_gather, .scatter = cuda_scatter,
    .add = cuda_add, .dropout = cuda_dropout, .noise = cuda_noise, .norm = cuda_norm,
    .norm_back = cuda_norm_back, .rope = cuda_rope, .attn = cuda_attn, .attn_back = cuda_attn_back,
    .swiglu = cuda_swiglu, .swiglu_back = cuda_swiglu_back, .xent = cuda_xent,
    .total = cuda_total, .sumsq = cuda_sumsq, .clip = cuda_clip, .adamw = cuda_adamw,
    .sample = cuda_sample,
};
