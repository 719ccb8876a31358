/* cuda_runtime_api.h - what the kernels use of the toolkit's header of this name, for machines that
 * have no toolkit: the tests add this folder to the include path there only. */
#ifndef HONE_TEST_CUDA_RUNTIME_API_H
#define HONE_TEST_CUDA_RUNTIME_API_H
typedef struct CUstream_st *cudaStream_t;
typedef enum cudaError {
    cudaSuccess = 0,
    cudaErrorInvalidConfiguration = 9,
    cudaErrorLaunchFailure = 719
} cudaError_t;
#ifdef __cplusplus
struct uint3 { unsigned x, y, z; };
struct alignas(8) uint2 { unsigned x, y; };
struct alignas(16) uint4 { unsigned x, y, z, w; };
struct alignas(16) float4 { float x, y, z, w; };
struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned a = 1, unsigned b = 1, unsigned c = 1) : x(a), y(b), z(c) {}
};
#endif
#endif
