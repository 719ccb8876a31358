/* number.c - random numbers without state, hashes, clocks. */
#include "engine/base/base.h"
#include <stdio.h>
#include <time.h>
#define XXH_STATIC_LINKING_ONLY /* the size of the state, which lies in our arena */
#include <xxhash.h>

/* SplitMix64 (Steele, Lea, Flood 2014) as a function of its counter: value n of the stream `seed`. */
uint64_t rand_at(uint64_t seed, uint64_t n)
{
    uint64_t z = seed * 0xD1342543DE82EF95u + (n + 1) * 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

double rand_unit(uint64_t seed, uint64_t n) { return (double)(rand_at(seed, n) >> 11) * 0x1p-53; }

uint64_t hash64(const void *p, size_t n, uint64_t seed) { return XXH3_64bits_withSeed(p, n, seed); }

/* The state is in the caller's arena (its type is aligned to 64 as the arena is). */
void hash_start(struct hash *h, struct arena *a)
{
    h->state = arena_take(a, sizeof(XXH3_state_t), 1);
    XXH3_128bits_reset(h->state);
}

void hash_add(struct hash *h, const void *p, size_t n) { XXH3_128bits_update(h->state, p, n); }

char *hash_text(const struct hash *h, char out[33])
{
    XXH128_hash_t v = XXH3_128bits_digest(h->state);
    snprintf(out, 33, "%016llx%016llx", (unsigned long long)v.high64, (unsigned long long)v.low64);
    return out;
}

static double clock_seconds(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

double now_unix(void) { return clock_seconds(CLOCK_REALTIME); }
double now_monotonic(void) { return clock_seconds(CLOCK_MONOTONIC); }
