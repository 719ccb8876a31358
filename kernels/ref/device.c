/* device.c - the reference's device: the host's memory, no queue, no threads. */
#include "kernels/pool.h"
#include "kernels/ref/ref.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static int ref_count(void) { return 1; }

static bool ref_open(struct device **out, int index, struct pool *pool, char *why,
                     size_t why_size) {
    (void)pool;
    *out = NULL;
    if (index != 0) {
        snprintf(why, why_size, "backend ref has one device, number 0; %d was asked for", index);
        return false;
    }
    *out = calloc(1, sizeof **out);
    if (!*out) snprintf(why, why_size, "no memory for a device of backend ref");
    return *out != NULL;
}

static void ref_close(struct device *d) { free(d); }

static void ref_info(struct device *d, struct device_info *out) {
    (void)d;
    *out = (struct device_info){.backend = "ref",
                                .name = "reference in plain C",
                                .isa = "c",
                                .library = "none",
                                .threads = 1,
                                .pack_rows = 1,
                                .pack_cols = 1};
    out->fast[F32] = true;
    out->pack_copies[BF16] =
        1; /* a copy that is rounded to BF16, in the order of w, for both products */
    pool_memory(&out->memory_total, &out->memory_free);
}

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* The speed of the loop that the products are made of, over vectors that stay in the first cache.
 */
static double ref_peak(struct device *d, enum dtype t) {
    (void)d;
    float a[1024];
    volatile double sink = 0;
    for (int i = 0; i < 1024; i++) a[i] = (float)i;
    struct mat m = mat_make(a, 2, 512, F32);
    if (t == BF16) m = mat_make(a, 2, 512, BF16);
    double start = seconds(), end = start;
    int64_t rounds = 0;
    while (end - start < 0.1) {
        for (int r = 0; r < 1000; r++, rounds++) {
            double sum = 0;
            for (int i = 0; i < 512; i++) sum += get(m, 0, i) * get(m, 1, i);
            sink = sink + sum;
        }
        end = seconds();
    }
    return (double)rounds * 1024 / (end - start);
}

static void *ref_alloc(struct device *d, size_t bytes) {
    (void)d;
    void *p = NULL;
    if (posix_memalign(&p, 256, bytes ? bytes : 1)) return NULL;
    return memset(p, 0, bytes);
}

static void ref_free(struct device *d, void *p, size_t bytes) {
    (void)d, (void)bytes;
    free(p);
}

static void ref_workspace(struct device *d, void *p, size_t bytes) {
    d->workspace = p;
    d->workspace_bytes = bytes;
}

static void ref_copy(struct device *d, void *to, const void *from, size_t bytes) {
    (void)d;
    if (bytes) memcpy(to, from, bytes);
}

static bool ref_sync(struct device *d, char *why, size_t why_size) {
    (void)d, (void)why, (void)why_size;
    return true;
}

const struct kernels kernels_ref = {
    .abi = KERNELS_ABI, .name = "ref",
    .count = ref_count, .open = ref_open, .close = ref_close, .info = ref_info, .peak = ref_peak,
    .alloc = ref_alloc, .free = ref_free, .workspace = ref_workspace, .upload = ref_copy,
    .download = ref_copy, .convert = ref_convert, .fill = ref_fill, .sync = ref_sync,
    .settle = ref_settle, .linear = ref_linear, .linear_back = ref_linear_back,
    .linear_grad = ref_linear_grad, .bias = ref_bias, .bias_grad = ref_bias_grad,
    .embed = ref_embed, .embed_grad = ref_embed_grad, .gather = ref_gather, .scatter = ref_scatter,
    .add = ref_add, .dropout = ref_dropout, .noise = ref_noise,
    .norm = ref_norm, .norm_back = ref_norm_back, .rope = ref_rope, .attn = ref_attn,
    .attn_back = ref_attn_back, .swiglu = ref_swiglu, .swiglu_back = ref_swiglu_back,
    .xent = ref_xent, .total = ref_total, .sumsq = ref_sumsq, .clip = ref_clip, .adamw = ref_adamw,
    .sample = ref_sample,
};
