/* device.h - what the kernels and the host side of the CUDA backend share: the device, how what is
 * host memory by kernels.h reaches it, and how an error is kept until sync.
 *
 * Every operation queues its kernels on the device's one stream and returns; none allocates, waits
 * or asks the device anything, so any run of operations may be captured into a graph. Bits depend
 * on shapes and types alone: never on the number of processors or on the order of blocks. */
#ifndef HONE_CUDA_DEVICE_H
#define HONE_CUDA_DEVICE_H
#include "kernels/kernels.h"
#include <cuda_runtime_api.h>

/* Bytes of the workspace that every operation may count on, whatever the shapes: it is
 * device_info.scratch_shared. Users: partial sums of norm_back, bias_grad and sumsq, the shares of
 * attention over many keys, the walk over slots. */
enum { CUDA_SCRATCH = 16 << 20 };

/* Dynamic shared memory that the largest kernel asks for: 99 KiB, what every device from sm_80 on
 * grants. */
enum { CUDA_SHARED_MOST = 101376 };

struct device {
    cudaStream_t stream;
    char *workspace;                 /* device memory, aligned to 256 */
    size_t workspace_bytes;
    int processors;                  /* streaming multiprocessors */
    char fault[256];                 /* the first error since the last sync, or "" */
    struct host_side *host;          /* the host side's own: products, posts, captured graphs */
};

#ifdef __cplusplus
extern "C" {
#endif
/* The address on the device of a copy of `bytes` bytes of host memory, aligned to 256. The copy is
 * queued before the operations that are queued from now on, stays until the next sync, and is
 * taken at once: the host memory may go. Equal bytes may share a copy. NULL (with a fault noted)
 * where there is no room; the caller then queues nothing. Never waits for the device. */
const void *cuda_post(struct device *, const void *host, size_t bytes);

/* Keeps the first error as a sentence for sync: what was queued, and cudaError_t or 0 with a
 * reason of its own. */
void cuda_fault(struct device *, const char *what, int error);
#ifdef __cplusplus
}
#endif
#endif
