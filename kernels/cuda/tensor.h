/* tensor.h - tensor cores and asynchronous copies: the only place with PTX. The layouts are said in
 * tests/cuda/shim_tensor.h, which stands in for this file where kernels run on the CPU. */
#ifndef HONE_CUDA_TENSOR_H
#define HONE_CUDA_TENSOR_H
#include "kernels/cuda/port.h"

#ifdef __CUDACC__
/* D [16 x 8] += A [16 x 16] B [16 x 8]: BF16 factors, F32 sums. */
__device__ static inline void mma(float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
                 "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

__device__ static inline unsigned shared_address(const void *p) {
    return (unsigned)__cvta_generic_to_shared(p);
}

/* Four matrices of 8 x 8 BF16; lane l gives the address of row l % 8 of matrix l / 8. */
__device__ static inline void ldmatrix(unsigned (&r)[4], const void *p) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(p))
                 : "memory");
}
__device__ static inline void ldmatrix_transposed(unsigned (&r)[4], const void *p) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(p))
                 : "memory");
}

/* 16 bytes of shared memory: `bytes` of them copied, the rest 0. There once a wait says so. */
__device__ static inline void copy_async(void *to, const void *from, int bytes) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)),
                 "l"(from), "r"(bytes)
                 : "memory");
}
__device__ static inline void copies_commit() {
    asm volatile("cp.async.commit_group;" ::: "memory");
}
/* All groups but the newest N are there, for this thread: a barrier tells the others. */
template <int N> __device__ static inline void copies_wait() {
    asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}
#endif
#endif
