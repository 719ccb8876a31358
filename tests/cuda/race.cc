/* race.cc - two accesses that nothing orders. Kernels compiled with clang's -fsanitize=thread call
 * __tsan_read and __tsan_write for every access; they are answered here, and libtsan is not linked
 * (it does not see fibers of this kind). Two accesses to a byte, one of them a write, are ordered
 * by a kernel's end, by a __syncthreads between them in the same block or by a __syncwarp between
 * them in the same warp; shuffles order nothing. For each byte the last write and two reads are
 * kept. Reading shared memory that no thread of the block has written is refused too. */
#include "tests/cuda/shim_run.h"
#include <cstdio>
#include <cstdlib>
#include <dlfcn.h>
#include <unordered_map>

namespace shim {
struct record { unsigned launch, block, clock, from; uint16_t thread, barriers; bool atomic; };
struct cell { record write, read[2]; };
static std::unordered_map<uintptr_t, cell *> pages;

static cell *cell_of(uintptr_t at) {
    static uintptr_t page = ~(uintptr_t)0;
    static cell *cells;
    if (at >> 10 != page) {
        cell *&c = pages[page = at >> 10];
        if (!c) c = (cell *)calloc(1024, sizeof(cell));
        cells = c;
    }
    return cells + (at & 1023);
}

void race_forget(const void *p, size_t bytes) {
    for (size_t i = 0; !pages.empty() && i < bytes; i++) *cell_of((uintptr_t)p + i) = cell();
}

static bool ordered(const record &r) {
    if (r.launch != now.launch) return true;
    if (r.block != (unsigned)now.number) return false;
    if (r.thread == current->warp * 32 + current->lane) return true;
    if (r.thread / 32 == current->warp &&
        now.warps[current->warp].clock[current->lane][r.thread & 31] >= r.clock)
        return true;
    return r.barriers < now.barriers;
}

/* Where an address of code is, by addr2line where there is one. */
static void place_name(char *out, size_t size, unsigned from) {
    Dl_info info;
    char *p = (char *)&place_name + (int)from, command[600];
    *out = 0;
    if (!dladdr(p, &info)) return;
    snprintf(command, sizeof command, "addr2line -e %s %#lx 2>/dev/null", info.dli_fname,
             (unsigned long)(p - (char *)info.dli_fbase) - 1);
    FILE *f = popen(command, "r");
    if (f && fgets(out, (int)size, f)) out[strcspn(out, " \n")] = 0;
    if (f) pclose(f);
}

static void race(const record &old, bool old_write, const record &mine, bool write, int bytes) {
    char here[300], there[300];
    place_name(here, sizeof here, mine.from);
    place_name(there, sizeof there, old.from);
    fail(here, 0, "race: a %s of %d bytes, and before it a %s by block %u thread %d at %s",
         write ? "write" : "read", bytes, old_write ? "write" : "read", old.block, old.thread,
         there);
}

static bool is_shared(const void *p) {
    const char *at = (const char *)p, *dynamic = (const char *)now.dynamic;
    if (at >= dynamic && at < dynamic + now.dynamic_bytes) return true;
    for (int i = 0; i < now.n_arrays; i++) {
        const char *first = (const char *)now.arrays[i].p;
        if (at >= first && at < first + now.arrays[i].bytes) return true;
    }
    return false;
}

static void remember_read(cell *c, const record &mine) {
    record *r = c->read;
    if (r[0].launch != mine.launch || (r[0].block == mine.block && r[0].thread == mine.thread)) {
        r[0] = mine;
        return;
    }
    if (r[1].launch != mine.launch || r[1].block == r[0].block || r[1].block == mine.block)
        r[1] = r[0];
    r[0] = mine;
}

void race_access(const void *p, int bytes, bool write, bool atomic, void *from) {
    const char *at = (const char *)p;
    if (!current || (at >= current->stack && at < current->stack + stack_bytes)) return;
    if (at >= (char *)&now && at < (char *)(&now + 1)) return; /* what a collective hands over */
    record mine = {now.launch, (unsigned)now.number,
                   now.warps[current->warp].clock[current->lane][current->lane],
                   (unsigned)((char *)from - (char *)&place_name),
                   (uint16_t)(current->warp * 32 + current->lane), (uint16_t)now.barriers, atomic};
    bool in_shared = is_shared(p);
    for (int i = 0; i < bytes; i++) {
        cell *c = cell_of((uintptr_t)p + (uintptr_t)i);
        if (!write && in_shared && !c->write.launch) {
            char here[300];
            place_name(here, sizeof here, mine.from);
            fail(here, 0, "a read of shared memory that no thread of the block has written");
        }
        if (!(atomic && c->write.atomic) && !ordered(c->write))
            race(c->write, true, mine, write, bytes);
        if (!write) {
            remember_read(c, mine);
            continue;
        }
        for (record &r : c->read)
            if (!ordered(r)) race(r, false, mine, true, bytes);
        c->write = mine;
        c->read[0] = c->read[1] = record();
    }
}
} // namespace shim

#define HERE __builtin_return_address(0)
#define ACCESS(n)                                                                             \
    void __tsan_read##n(void *p) { shim::race_access(p, n, false, false, HERE); }             \
    void __tsan_write##n(void *p) { shim::race_access(p, n, true, false, HERE); }             \
    void __tsan_unaligned_read##n(void *p) { shim::race_access(p, n, false, false, HERE); }   \
    void __tsan_unaligned_write##n(void *p) { shim::race_access(p, n, true, false, HERE); }
#define ATOMIC(n, T)                                                                       \
    T __tsan_atomic##n##_load(const T *p, int) { return __atomic_load_n(p, 5); }           \
    void __tsan_atomic##n##_store(T *p, T v, int) { __atomic_store_n(p, v, 5); }
extern "C" {
ACCESS(1) ACCESS(2) ACCESS(4) ACCESS(8) ACCESS(16)
ATOMIC(8, uint8_t) ATOMIC(32, uint32_t) ATOMIC(64, uint64_t)
void __tsan_init() {}
void __tsan_func_entry(void *) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void *, void *) {}
void __tsan_vptr_read(void *) {}
void __tsan_read_range(void *p, size_t n) { shim::race_access(p, (int)n, false, false, HERE); }
void __tsan_write_range(void *p, size_t n) { shim::race_access(p, (int)n, true, false, HERE); }
}
