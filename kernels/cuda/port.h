/* port.h - the words in which the kernels are written, so that the same file compiles with nvcc for
 * a device and as plain C++ for the tests (there tests/cuda/shim.h, included before the file, says
 * what they mean). No kernel uses what only one of the two has. */
#ifndef HONE_CUDA_PORT_H
#define HONE_CUDA_PORT_H
#include "kernels/cuda/device.h"

#ifdef __CUDACC__
#include <cuda_bf16.h>
#include <cuda_runtime.h>
#include <string.h>

/* Before a loop whose index chooses registers. */
#define UNROLL _Pragma("unroll")
#define SHARED(T, name, ...) __shared__ T name __VA_ARGS__
#define SHARED_DYNAMIC(T, name)                                     \
    extern __shared__ __align__(128) unsigned char shared_dynamic[]; \
    T *name = (T *)shared_dynamic

template <class... P, class... A>
static inline cudaError_t launch_kernel(void (*kernel)(P...), dim3 grid, dim3 block, size_t bytes,
                                        cudaStream_t stream, A... a) {
    kernel<<<grid, block, bytes, stream>>>(static_cast<P>(a)...);
    return cudaGetLastError();
}
template <class... P> static inline cudaError_t allow_shared(void (*kernel)(P...), size_t bytes) {
    return cudaFuncSetAttribute((const void *)kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                (int)bytes);
}

/* Two BF16 in a word, rounded to nearest, ties to even; lo in the low half. */
__device__ static inline unsigned bf16_pair(float lo, float hi) {
    __nv_bfloat162 pair = __floats2bfloat162_rn(lo, hi);
    unsigned bits;
    memcpy(&bits, &pair, sizeof bits);
    return bits;
}
#elif !defined(SHARED)
#error "a kernel's file is compiled by nvcc, or behind tests/cuda/shim.h"
#endif

/* A kernel, and how many threads of a block it is written for at most. */
#define KERNEL(threads) static __global__ void __launch_bounds__(threads)

/* Queues a kernel; an error is kept for sync under the operation's name. */
template <class... P, class... A>
static inline void launch(struct device *d, const char *what, void (*kernel)(P...), dim3 grid,
                          dim3 block, size_t bytes, A... a) {
    cudaError_t error = bytes > 49152 ? allow_shared(kernel, bytes) : cudaSuccess;
    if (error == cudaSuccess) error = launch_kernel(kernel, grid, block, bytes, d->stream, a...);
    if (error != cudaSuccess) cuda_fault(d, what, (int)error);
}
#endif
