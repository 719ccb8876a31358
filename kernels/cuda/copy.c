/* copy.c - bytes between host and device, none of which waits for the device: uploads and posts go
 * through pinned memory that is filled in two halves, and downloads lie in pinned memory until
 * sync. A half is used again when its copies are over, which the host awaits only where it is a
 * whole half ahead of the device. */
#include "kernels/cuda/host.h"
#include <string.h>

static size_t up(size_t n) { return (n + 255) / 256 * 256; }
static size_t least(size_t a, size_t b) { return a < b ? a : b; }

/* ---- rings ---- */

static bool ring_open(struct device *d, struct ring *r, size_t bytes)
{
    r->bytes = bytes;
    if (!cuda_ok(d, cudaMallocHost((void **)&r->memory, bytes), "cudaMallocHost")) return false;
    for (int i = 0; i < 2; i++)
        if (!cuda_ok(d, cudaEventCreateWithFlags(&r->left[i], cudaEventDisableTiming),
                     "cudaEventCreateWithFlags"))
            return false;
    return true;
}

static void ring_close(struct device *d, struct ring *r)
{
    for (int i = 0; i < 2; i++)
        if (r->left[i]) cuda_ok(d, cudaEventDestroy(r->left[i]), "cudaEventDestroy");
    if (r->memory) cuda_ok(d, cudaFreeHost(r->memory), "cudaFreeHost");
    *r = (struct ring){0};
}

static void ring_start(struct ring *r)
{
    r->at = 0;
    r->half = 0;
    r->pending[0] = r->pending[1] = false;
}

/* Goes on to the other half, whose copies must be over. */
static bool ring_turn(struct device *d, struct ring *r)
{
    int now = r->half, next = 1 - now;
    if (!cuda_ok(d, cudaEventRecord(r->left[now], d->stream), "cudaEventRecord")) return false;
    r->pending[now] = true;
    if (r->pending[next] &&
        !cuda_ok(d, cudaEventSynchronize(r->left[next]), "cudaEventSynchronize"))
        return false;
    r->pending[next] = false;
    r->half = next;
    r->at = next ? r->bytes / 2 : 0;
    return true;
}

/* What is left of the half that is being filled. */
static size_t ring_room(const struct ring *r)
{
    return (r->half ? r->bytes : r->bytes / 2) - r->at;
}

/* ---- uploads ---- */

static size_t upload_some(struct device *d, char *to, const char *from, size_t bytes)
{
    struct ring *r = &d->host->up;
    if (ring_room(r) < 256 && !ring_turn(d, r)) return 0;
    size_t n = least(bytes, ring_room(r));
    memcpy(r->memory + r->at, from, n);
    cudaError_t e = cudaMemcpyAsync(to, r->memory + r->at, n, cudaMemcpyHostToDevice, d->stream);
    r->at += up(n);
    return cuda_ok(d, e, "cudaMemcpyAsync to the device") ? n : 0;
}

void device_upload(struct device *d, void *to, const void *from, size_t bytes)
{
    for (size_t done = 0, n; done < bytes && !d->fault[0]; done += n) {
        n = upload_some(d, (char *)to + done, (const char *)from + done, bytes - done);
        if (!n) return;
    }
}

/* ---- posts ---- */

/* A post of the same bytes in the half that is being filled: a later post of the same operation
 * cannot write over it. */
static const void *post_shared(const struct device *d, const void *host, size_t bytes)
{
    const struct host_side *h = d->host;
    for (int i = 0; i < h->n_shared; i++)
        if (h->shared[i].bytes == bytes &&
            memcmp(h->posts.memory + h->shared[i].at, host, bytes) == 0)
            return h->posts_there + h->shared[i].at;
    return NULL;
}

static void post_remember(struct host_side *h, size_t at, size_t bytes)
{
    if (h->n_shared == HOST_SHARED) {
        memmove(h->shared, h->shared + 1, sizeof *h->shared * (HOST_SHARED - 1));
        h->n_shared--;
    }
    h->shared[h->n_shared++] = (struct posted){at, bytes};
}

const void *cuda_post(struct device *d, const void *host, size_t bytes)
{
    struct host_side *h = d->host;
    if (!h->posts_there || bytes > HOST_POSTS / 2) {
        cuda_fault(d,
                   h->posts_there ? "posting more host memory than there is room for"
                                  : "posting host memory before there is a workspace",
                   0);
        return NULL;
    }
    const void *same = post_shared(d, host, bytes);
    if (same) return same;
    if (ring_room(&h->posts) < bytes) {
        h->n_shared = 0;
        if (!ring_turn(d, &h->posts)) return NULL;
    }
    size_t at = h->posts.at;
    memcpy(h->posts.memory + at, host, bytes);
    cudaError_t e = cudaMemcpyAsync(h->posts_there + at, h->posts.memory + at, bytes,
                                    cudaMemcpyHostToDevice, d->stream);
    if (!cuda_ok(d, e, "cudaMemcpyAsync of a post")) return NULL;
    h->posts.at += up(bytes);
    post_remember(h, at, bytes);
    return h->posts_there + at;
}

/* ---- downloads ---- */

static void downloads_land(struct host_side *h)
{
    for (int i = 0; i < h->n_waiting; i++)
        memcpy(h->waiting[i].to, h->down + h->waiting[i].at, h->waiting[i].bytes);
    h->n_waiting = 0;
    h->down_used = 0;
}

void device_download(struct device *d, void *to, const void *from, size_t bytes)
{
    struct host_side *h = d->host;
    for (size_t done = 0, n; done < bytes && !d->fault[0]; done += n) {
        if (h->down_used == HOST_DOWN || h->n_waiting == HOST_WAITING) {
            if (!cuda_ok(d, cudaStreamSynchronize(d->stream), "cudaStreamSynchronize")) return;
            downloads_land(h);
        }
        n = least(bytes - done, HOST_DOWN - h->down_used);
        cudaError_t e = cudaMemcpyAsync(h->down + h->down_used, (const char *)from + done, n,
                                        cudaMemcpyDeviceToHost, d->stream);
        if (!cuda_ok(d, e, "cudaMemcpyAsync from the device")) return;
        h->waiting[h->n_waiting++] = (struct waiting){(char *)to + done, h->down_used, n};
        h->down_used = least(h->down_used + up(n), HOST_DOWN);
    }
}

/* ---- */

bool copies_open(struct device *d)
{
    struct host_side *h = d->host;
    return ring_open(d, &h->up, HOST_UP) && ring_open(d, &h->posts, HOST_POSTS) &&
           cuda_ok(d, cudaMallocHost((void **)&h->down, HOST_DOWN), "cudaMallocHost");
}

void copies_close(struct device *d)
{
    struct host_side *h = d->host;
    ring_close(d, &h->up);
    ring_close(d, &h->posts);
    if (h->down) cuda_ok(d, cudaFreeHost(h->down), "cudaFreeHost");
    h->down = NULL;
}

void copies_done(struct device *d)
{
    struct host_side *h = d->host;
    ring_start(&h->up);
    ring_start(&h->posts);
    h->n_shared = 0;
    if (d->fault[0]) { /* what did not come is not handed out */
        h->n_waiting = 0;
        h->down_used = 0;
    }
    downloads_land(h);
}
