/* shim.h - the kernels of kernels/cuda compiled as plain C++ and run on the CPU, for tests. It is
 * included before a kernel's file (-include), and gives it the words of CUDA C++ that port.h and
 * tensor.h give it under nvcc.
 *
 * Every thread of a block is a fiber that runs until a barrier, a warp's collective or its end;
 * which one runs next is a schedule. What is legal on a device is the same in every schedule and
 * with every filling of fresh shared memory; what is not ends the launch with a sentence that names
 * file, line, block and thread:
 *
 *   a barrier that not all threads of the block reach, or reach at different places; a deadlock;
 *   a lane that is not in the mask it calls with, or a shuffle from one that is not;
 *   more shared memory than the device has, or over 48 KiB without having asked for it;
 *   a launch of no or too many threads or blocks; an address that ldmatrix or cp.async refuse;
 *   cp.async copies that nobody waits for (a copy happens as late as the wait allows).
 *
 * Built with RACE (race.cc) it also finds two accesses that nothing orders. */
#ifndef HONE_CUDA_SHIM_H
#define HONE_CUDA_SHIM_H
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <cuda_runtime_api.h>
#include <functional>
#include <tuple>
#include <type_traits>

#undef __global__
#undef __device__
#undef __host__
#undef __shared__
#undef __launch_bounds__
#define __global__
#define __device__
#define __host__
#define __launch_bounds__(...)
#define __restrict__ __restrict
#define UNROLL
#define WHERE const char *file_ = __builtin_FILE(), int line_ = __builtin_LINE()

inline uint3 threadIdx, blockIdx; /* set before a fiber runs */
inline dim3 blockDim, gridDim;

namespace shim {
constexpr int slot_bytes = 64; /* what a lane can hand over in one collective */

struct options {
    int order;          /* 0 round robin, 1 backwards, 2 and 3 a warp as far ahead as it can go,
                           forwards and backwards, 4 and up random, odd ones with a warp ahead */
    int poison;         /* the byte that fresh shared memory is filled with */
    size_t shared_most; /* bytes of a block: 101376 on the smallest device, sm_86 */
};
struct counts { long launches, blocks, switches; size_t shared_most; };
extern options option;
extern counts count;

/* Runs a kernel's launch: at once, or when the test that set this says (its streams). */
extern cudaError_t (*submit)(cudaStream_t, std::function<cudaError_t()>);
cudaError_t run(const void *kernel, const char *name, dim3 grid, dim3 block, size_t bytes,
                const std::function<void()> &body);
void allow_shared(const void *kernel, size_t bytes);
const char *fault(); /* the sentence of the last failed launch */

[[noreturn]] void fail(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void *shared(const void *key, size_t bytes, const char *name);
void *shared_dynamic();
void barrier(const char *file, int line);
/* Hands `size` bytes to the lanes of the mask; the last to come runs `finish` over the slots. What
 * comes back stays until the lanes meet again. Only a __syncwarp orders memory. */
struct meeting { char slot[32][slot_bytes]; unsigned there; };
enum meeting_kind { SYNCWARP, SHUFFLE, VOTE, MMA, LDMATRIX };
meeting *meet(unsigned mask, meeting_kind kind, const void *value, int size, const char *file,
              int line, void (*finish)(meeting *) = nullptr);
int lane();
void copy_later(void *to, const void *from, int bytes, int zeros);
void copies_commit();
void copies_wait(int newest_left, const char *file, int line);
void atomic_access(const void *p, int bytes);

template <class T> T from_slot(const meeting *m, int l) {
    T value;
    memcpy(&value, m->slot[l], sizeof value);
    return value;
}
template <class U, class T> U same_bits(T v) {
    static_assert(sizeof(U) == sizeof(T));
    U u;
    memcpy(&u, &v, sizeof u);
    return u;
}
template <class T> T shuffle(unsigned mask, T v, int from, bool in, const char *file, int line) {
    static_assert(sizeof(T) <= slot_bytes && std::is_trivially_copyable_v<T>);
    meeting *m = meet(mask, SHUFFLE, &v, sizeof v, file, line);
    if (!in) return v;
    if (!(m->there >> from & 1))
        fail(file, line, "a shuffle reads lane %d, which is not there", from);
    return from_slot<T>(m, from);
}
template <class T, class F> __attribute__((no_sanitize("thread"))) T atomic(T *p, F change) {
    atomic_access(p, sizeof(T));
    T old = *p;
    *p = (T)change(old);
    return old;
}
} // namespace shim

#define SHARED(T, name, ...) \
    static char name##_key;  \
    typedef T name##_type __VA_ARGS__; \
    name##_type &name = *(name##_type *)shim::shared(&name##_key, sizeof(name##_type), #name)
#define SHARED_DYNAMIC(T, name) T *name = (T *)shim::shared_dynamic()

template <class... P, class... A>
cudaError_t launch_kernel(void (*kernel)(P...), dim3 grid, dim3 block, size_t bytes,
                          cudaStream_t stream, A... a) {
    std::tuple<std::decay_t<P>...> args(static_cast<P>(a)...); /* copied as parameters are */
    return shim::submit(stream, [=]() {
        return shim::run((const void *)kernel, __PRETTY_FUNCTION__, grid, block, bytes,
                         [&] { std::apply(kernel, args); });
    });
}
template <class... P> cudaError_t allow_shared(void (*kernel)(P...), size_t bytes) {
    shim::allow_shared((const void *)kernel, bytes);
    return cudaSuccess;
}

inline void __syncthreads(WHERE) { shim::barrier(file_, line_); }
inline void __syncwarp(unsigned mask = ~0U, WHERE) {
    shim::meet(mask, shim::SYNCWARP, "", 1, file_, line_);
}
template <class T> T __shfl_sync(unsigned mask, T v, int from, int width = 32, WHERE) {
    int first = shim::lane() & ~(width - 1);
    return shim::shuffle(mask, v, first | (from & (width - 1)), true, file_, line_);
}
template <class T> T __shfl_xor_sync(unsigned mask, T v, int with, int width = 32, WHERE) {
    int from = shim::lane() ^ with, first = shim::lane() & ~(width - 1);
    return shim::shuffle(mask, v, from, from < first + width, file_, line_);
}
template <class T> T __shfl_up_sync(unsigned mask, T v, int by, int width = 32, WHERE) {
    int from = shim::lane() - by, first = shim::lane() & ~(width - 1);
    return shim::shuffle(mask, v, from, from >= first, file_, line_);
}
inline unsigned __ballot_sync(unsigned mask, int yes, WHERE) {
    shim::meeting *m = shim::meet(mask, shim::VOTE, &yes, sizeof yes, file_, line_);
    unsigned all = 0;
    for (int l = 0; l < 32; l++)
        if ((m->there >> l & 1) && shim::from_slot<int>(m, l)) all |= 1U << l;
    return all;
}

template <class T> T atomicAdd(T *p, std::common_type_t<T> v) {
    static_assert(std::is_integral_v<T>, "sums of floats by atomics have no fixed order");
    return shim::atomic(p, [=](T old) { return old + v; });
}
template <class T> T atomicMax(T *p, std::common_type_t<T> v) {
    return shim::atomic(p, [=](T old) { return std::max(old, v); });
}
template <class T> T atomicMin(T *p, std::common_type_t<T> v) {
    return shim::atomic(p, [=](T old) { return std::min(old, v); });
}

inline float __uint_as_float(unsigned u) { return shim::same_bits<float>(u); }
inline unsigned __float_as_uint(float f) { return shim::same_bits<unsigned>(f); }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __clz(int x) { return x ? __builtin_clz((unsigned)x) : 32; }
#define __expf(x) expf(x)
#define __logf(x) logf(x)
inline float exp2_fast(float x) { return exp2f(x); }
inline float rsqrtf(float x) { return 1.0F / sqrtf(x); }
inline float __fdividef(float a, float b) { return a / b; }
using std::max;
using std::min;

/* Two BF16 in a word, rounded to nearest, ties to even; lo in the low half. */
inline unsigned bf16_pair(float lo, float hi) {
    auto one = [](float f) -> unsigned {
        unsigned u = __float_as_uint(f);
        if ((u & 0x7FFFFFFF) > 0x7F800000) return u >> 16 | 0x40;
        return (u + 0x7FFF + (u >> 16 & 1)) >> 16;
    };
    return one(lo) | one(hi) << 16;
}

#include "tests/cuda/shim_tensor.h"
#endif
