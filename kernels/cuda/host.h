/* host.h - what the host side keeps of a device beside the stream that the kernels know.
 *
 * Nothing here allocates after open but the search for an algorithm, once a shape, which gives its
 * memory back. The workspace that the plan made is cut in three: what operations use, what is
 * posted to them, what cuBLASLt uses. */
#ifndef HONE_CUDA_HOST_H
#define HONE_CUDA_HOST_H
#include "kernels/cuda/device.h"
#include "kernels/library.h"
#include <cublasLt.h>

enum {
    HOST_UP = 8 << 20, HOST_DOWN = 4 << 20,  /* pinned memory of copies, bytes */
    HOST_POSTS = 4 << 20,                    /* of posts, here and on the device */
    HOST_PRODUCTS = 32 << 20,                /* what cuBLASLt may use on the device */
    HOST_OWN = HOST_POSTS + HOST_PRODUCTS,   /* device_info.scratch_per_thread */
    HOST_WAITING = 64,                       /* downloads between two syncs before one more waits */
    HOST_SHARED = 8                          /* posts that are remembered for their equals */
};

/* Pinned memory that is filled in two halves: one is filled while copies from the other may still
 * be under way. */
struct ring {
    char *memory;
    size_t bytes, at;
    int half;                /* which is being filled */
    cudaEvent_t left[2];     /* recorded when a half is left */
    bool pending[2];
};

struct waiting { void *to; size_t at, bytes; };
struct posted { size_t at, bytes; };

struct algorithms;

struct host_side {
    int index;                               /* of the device */
    char name[96];
    int major, minor;
    struct ring up, posts;
    char *down;
    size_t down_used;
    struct waiting waiting[HOST_WAITING];
    int n_waiting;
    struct posted shared[HOST_SHARED];
    int n_shared;
    char *posts_there, *products_there;      /* in the workspace; NULL before it is given */
    struct library_found library;            /* cuBLASLt, or why not */
    char library_version[32];
    struct algorithms *algorithms;           /* NULL: the products of our own */
};

/* false, with the fault noted, where a call of cudart failed. */
bool cuda_ok(struct device *d, cudaError_t e, const char *call);

/* ---- copy.c ---- */
bool copies_open(struct device *d);
void copies_close(struct device *d);
void copies_done(struct device *d);          /* after the stream was waited for */
void device_upload(struct device *d, void *to, const void *from, size_t bytes);
void device_download(struct device *d, void *to, const void *from, size_t bytes);

/* ---- algorithm.c: cuBLASLt, its descriptors, and which algorithm a shape has ---- */
/* Column-major: d [m, n] = alpha op(a) op(b) + beta d, sums of k in fp32. */
struct factor { void *p; int64_t ld; enum dtype t; };
enum turn { TURN_LINEAR, TURN_BACK, TURN_GRAD, TURNS };      /* op(a) = a'; neither; op(b) = b' */
struct request {
    enum turn turn;
    struct factor a, b, d;
    int64_t m, n, k;
    float alpha, beta;
};
/* Finds the library; where it cannot be used, host->library.why says so and products are our own.
 * false: a fault is noted. */
bool algorithms_open(struct device *d);
void algorithms_close(struct device *d);
/* false: cuBLASLt does not do this one. A call that fails is a fault, and true. */
bool algorithms_run(struct device *d, const struct request *r);

/* ---- product.c ---- */
void device_linear(struct device *d, struct mat y, struct mat x, const struct weight *w,
                   float alpha, float beta);
void device_linear_back(struct device *d, struct mat dx, struct mat dy, const struct weight *w,
                        float alpha, float beta);
void device_linear_grad(struct device *d, struct mat dw, struct mat dy, struct mat x, float alpha);

/* ---- device.c ---- */
void device_table(struct kernels *k);
#endif
