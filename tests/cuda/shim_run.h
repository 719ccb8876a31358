/* shim_run.h - what shim.cc, the scheduler, shares with race.cc, the checker of accesses. */
#ifndef HONE_CUDA_SHIM_RUN_H
#define HONE_CUDA_SHIM_RUN_H
#include "tests/cuda/shim.h"
#include <vector>

namespace shim {
constexpr size_t stack_bytes = 128 << 10;

struct late_copy { void *to; const void *from; int bytes, zeros, group; };
struct fiber {
    void *context;
    char *stack;
    void *fake;                    /* ASan's */
    uint3 thread;
    int warp, lane;
    bool done;
    const char *file;              /* where it waits */
    int line;
    std::vector<late_copy> copies;
    int group;                     /* of the copies that come next */
};

/* Collectives of a warp under one mask follow each other, so a mask has one place to meet, with
 * two meetings of which one is still read while the other fills. */
struct place {
    unsigned mask, arrived, generation;
    meeting_kind kind;
    const char *file;
    int line;
    meeting m[2];
};
constexpr int places_most = 4;
struct warp {
    place places[places_most];
    int n;
    unsigned live, ready;
    unsigned clock[32][32]; /* [i][j]: how far lane i has seen lane j, counted by __syncwarp */
};
struct shared_array { const void *key; void *p; size_t bytes; };

struct block_state {
    std::vector<fiber> fibers;
    warp warps[32];
    shared_array arrays[32];
    int n_arrays, live, at_barrier;
    unsigned barriers;             /* passed so far */
    const char *barrier_file;
    int barrier_line;
    void *dynamic;
    size_t dynamic_bytes, shared_bytes;
    long number;                   /* of the block in its grid */
    unsigned launch;
};
extern block_state now;
extern fiber *current;

/* The checker: empty where the kernels are not instrumented. */
void race_access(const void *p, int bytes, bool write, bool atomic, void *from);
void race_forget(const void *p, size_t bytes);
} // namespace shim
#endif
