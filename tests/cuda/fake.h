/* fake.h - what stands in for cudart and cuBLASLt where there is no GPU, and how a test holds it.
 *
 * The fakes answer by the libraries' own names, so the same host objects link with them. Device
 * memory is host memory between two guards, poisoned when it is taken and counted; an operation of
 * a stream is kept until somebody waits for it, in one of four legal orders (FAKE_ORDER):
 *
 *   eager   it runs when it is queued                lazy       as late as allowed (the default)
 *   odd     streams 1, 3, .. are lazy                even       streams 2, 4, .. are lazy
 *
 * so a missing wait, or host memory that is written too early, shows up as wrong numbers. Pageable
 * host memory behaves as documented: it is read when the copy is queued, and a copy into it waits.
 *
 * Environment: FAKE_DEVICES (1), FAKE_MEMORY (bytes of a device, 8 GiB), FAKE_DRIVER (0: none),
 * FAKE_FAIL ("cudaMalloc:2": its second call fails; ":0": none does). */
#ifndef HONE_FAKE_H
#define HONE_FAKE_H
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct fake_counts {
    int64_t bytes, bytes_most, allocations;   /* device memory now, at most; calls of cudaMalloc */
    int64_t host_bytes;                       /* pinned memory now */
    int64_t host_allocations;
    int64_t waits;                            /* the host waited: synchronize, pageable copies */
    int64_t launches, products, copies;       /* queued */
    int64_t streams, events, handles;         /* made and not destroyed */
};
void fake_counts(struct fake_counts *out);

/* The call number `nth` (from 1, counted from now on) of `call` fails; "queued": the nth operation
 * that is run fails, as a kernel that touches what it may not, and the device is lost. */
void fake_fail(const char *call, int64_t nth);
/* How often `call` was made since the last fake_fail() or fake_reset(). */
int64_t fake_calls(const char *call);
/* Names of all calls made since then, one a line; returns the length. */
size_t fake_names(char *out, size_t size);
/* The device works again, nothing fails, counters of calls are 0. */
void fake_reset(void);
void fake_order(const char *order);
/* NULL, or what is wrong with memory: a guard that was written over. */
const char *fake_damage(void);

#ifdef __cplusplus
}
#include <cuda_runtime_api.h>
#include <functional>
/* For the fake of another library: counts the call, and true where it is the one that fails. */
bool fake_call(const char *name);
cudaError_t fake_enqueue(cudaStream_t stream, std::function<cudaError_t()> run);
/* The allocation that holds all of these bytes: device memory, pinned memory, or neither. */
enum fake_place { FAKE_DEVICE, FAKE_PINNED, FAKE_PAGEABLE, FAKE_OUTSIDE };
fake_place fake_where(const void *p, size_t bytes);
#endif
#endif
