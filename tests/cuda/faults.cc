/* faults.cc - that the shim says what is wrong: one kernel for each rule of shim.h, broken on
 * purpose, and a word of the sentence that it must end with. Those with `race` are seen by the race
 * checker only. Prints TAP. */
#include "tests/cuda/schedule.h"
#include "tests/cuda/shim.h"
#include <cstdio>

static void divergent(float *) {
    if (threadIdx.x < 32) __syncthreads();
    else __syncthreads();
}
static void deadlock(float *) {
    if (threadIdx.x == 0) __syncwarp(3);
    else if (threadIdx.x != 1) __syncthreads();
    else __syncwarp(6), __syncthreads();
}
static void not_in_mask(float *x) { x[threadIdx.x] = __shfl_sync(0xFFFF, 1.0F, 0); }
static void source_is_gone(float *x) { x[threadIdx.x] = __shfl_sync(0xFFFF, 1.0F, 20); }
static void lane_is_gone(float *x) {
    float d[4] = {};
    unsigned a[4] = {};
    if (threadIdx.x == 5) return;
    mma(d, a, 0, 0);
    x[threadIdx.x] = d[0];
}
static void too_much(float *) { SHARED(float, all, [40000]); (void)all; }
static void static_over(float *) { SHARED(float, all, [13000]); (void)all; }
static void unaligned(float *x) {
    SHARED_DYNAMIC(char, to);
    copy_async(to + 8, x, 16);
}
static void not_waited(float *x) {
    SHARED_DYNAMIC(char, to);
    copy_async(to, x, 16);
    copies_commit();
}
static void odd_row(float *) {
    SHARED_DYNAMIC(char, to);
    unsigned r[4];
    ldmatrix(r, to + 2 * threadIdx.x);
}
static void nothing(float *) {}
static void blocks_meet(float *x) { x[threadIdx.x] = (float)blockIdx.x; }
static void no_syncwarp(float *x) {
    SHARED(float, row, [64]);
    row[threadIdx.x] = 0;
    __syncwarp();
    row[threadIdx.x] = x[threadIdx.x];
    x[threadIdx.x] = row[threadIdx.x ^ 1];
}
static void no_barrier(float *x) {
    SHARED(float, row, [64]);
    row[threadIdx.x] = x[threadIdx.x];
    __syncwarp();
    x[threadIdx.x] = row[63 - threadIdx.x];
}
static void never_written(float *x) {
    SHARED(float, row, [64]);
    if (threadIdx.x < 63) row[threadIdx.x] = 1;
    __syncthreads();
    x[threadIdx.x] = row[threadIdx.x];
}

static const struct fault {
    const char *name;
    void (*kernel)(float *);
    unsigned blocks, threads;
    size_t bytes;
    bool race;
    const char *word;
} table[] = {
    {"a barrier at two places", divergent, 1, 64, 0, false, "divergent __syncthreads"},
    {"threads that wait for each other", deadlock, 1, 64, 0, false, "deadlock"},
    {"a lane that is not in its mask", not_in_mask, 1, 32, 0, false, "lacks it"},
    {"a shuffle from a lane that is not there", source_is_gone, 1, 16, 0, false, "not there"},
    {"a product without all lanes", lane_is_gone, 1, 32, 0, false, "needed here"},
    {"more shared memory than there is", too_much, 1, 32, 0, false, "the device has"},
    {"48 KiB of static shared memory", static_over, 1, 32, 0, false, "static shared memory"},
    {"48 KiB that were not asked for", nothing, 1, 32, 50000, false, "without having asked"},
    {"more dynamic memory than there is", nothing, 1, 32, 200000, false, "than the device has"},
    {"2048 threads", nothing, 1, 2048, 0, false, "1024 threads"},
    {"no threads", nothing, 1, 0, 0, false, "1024 threads"},
    {"no blocks", nothing, 0, 32, 0, false, "no blocks"},
    {"a copy to an odd address", unaligned, 1, 32, 1024, false, "multiple of 16"},
    {"a copy that nobody waits for", not_waited, 1, 32, 1024, false, "nobody has waited"},
    {"a row of ldmatrix at an odd address", odd_row, 1, 32, 1024, false, "multiple of 16"},
    {"two blocks that write the same", blocks_meet, 2, 32, 0, true, "race"},
    {"lanes without a __syncwarp", no_syncwarp, 1, 32, 0, true, "race"},
    {"warps without a barrier", no_barrier, 1, 64, 0, true, "race"},
    {"shared memory that was not written", never_written, 1, 64, 0, true, "has written"},
};

int main(int argc, char **argv) {
    bool race = argc > 1 && strcmp(argv[1], "race") == 0;
    static float x[64];
    int n = 0, bad = 0;
    for (const struct fault &f : table) {
        if (f.race != race) continue;
        dim3 grid(f.blocks), block(f.threads);
        cudaError_t e = launch_kernel(f.kernel, grid, block, f.bytes, nullptr, x);
        bool seen = e != cudaSuccess && strstr(shim_fault(), f.word);
        printf("%s %d - %s is said\n", seen ? "ok" : "not ok", ++n, f.name);
        if (!seen) bad++, printf("# error %d: %s\n", (int)e, shim_fault());
    }
    printf("1..%d\n", n);
    return bad != 0;
}
