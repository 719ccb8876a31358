/* shim.cc - blocks of fibers and who of them runs next (shim.h says what for). Blocks run one after
 * the other, so two that share data without a kernel's end between them show in another order of
 * blocks or in the race checker, never as a hang. */
#include "tests/cuda/schedule.h"
#include "tests/cuda/shim_run.h"
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <sys/mman.h>
#ifndef __x86_64__
#include <ucontext.h>
#endif

extern "C" {
__attribute__((weak)) void __sanitizer_start_switch_fiber(void **, const void *, size_t);
__attribute__((weak)) void __sanitizer_finish_switch_fiber(void *, const void **, size_t *);
__attribute__((weak)) void __asan_unpoison_memory_region(void const volatile *, size_t);
}

namespace shim {
static cudaError_t submit_now(cudaStream_t, std::function<cudaError_t()> work) { return work(); }
cudaError_t (*submit)(cudaStream_t, std::function<cudaError_t()>) = submit_now;
options option = {0, 0xFF, 101376};
counts count;
block_state now;
fiber *current;

static char sentence[1000];
static bool failed;
static int last;      /* the thread that ran last */
static uint64_t seed;
static std::vector<char *> stacks;
static std::map<const void *, size_t> allowed; /* kernels that asked for more than 48 KiB */
static const std::function<void()> *body;
static void *main_context, *main_fake;
static const void *main_stack;
static size_t main_stack_bytes;

const char *fault() { return sentence; }
int lane() { return current->lane; }
void allow_shared(const void *kernel, size_t bytes) { allowed[kernel] = bytes; }

static unsigned random_below(unsigned n) {
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)(seed >> 33) % n;
}

/* ---- switching ---- */

#ifdef __x86_64__
extern "C" void shim_switch(void **from, void *to);
asm(".text\n.globl shim_switch\n.type shim_switch,@function\nshim_switch:\n"
    "pushq %rbp\npushq %rbx\npushq %r12\npushq %r13\npushq %r14\npushq %r15\n"
    "movq %rsp,(%rdi)\nmovq %rsi,%rsp\n"
    "popq %r15\npopq %r14\npopq %r13\npopq %r12\npopq %rbx\npopq %rbp\nret\n"
    ".size shim_switch,.-shim_switch\n");

static void *context_make(char *stack, void (*entry)()) {
    void **sp = (void **)(stack + stack_bytes) - 2; /* entry finds rsp = 16 n + 8 */
    *sp = (void *)entry;
    for (int i = 1; i <= 6; i++) sp[-i] = nullptr;
    return sp - 6;
}
#else
static void shim_switch(void **from, void *to) {
    static thread_local ucontext_t own;
    if (!*from) *from = &own;
    swapcontext((ucontext_t *)*from, (ucontext_t *)to);
}
static void *context_make(char *stack, void (*entry)()) {
    ucontext_t *c = (ucontext_t *)stack; /* at the stack's far end */
    getcontext(c);
    c->uc_stack.ss_sp = stack + sizeof *c;
    c->uc_stack.ss_size = stack_bytes - sizeof *c;
    c->uc_link = nullptr;
    makecontext(c, entry, 0);
    return c;
}
#endif

static void to_scheduler(bool leaving) {
    if (__sanitizer_start_switch_fiber)
        __sanitizer_start_switch_fiber(leaving ? nullptr : &current->fake, main_stack,
                                       main_stack_bytes);
    shim_switch(&current->context, main_context);
    if (__sanitizer_finish_switch_fiber)
        __sanitizer_finish_switch_fiber(current->fake, nullptr, nullptr);
}

static void to_fiber(fiber *f) {
    current = f;
    threadIdx = f->thread;
    count.switches++;
    if (__sanitizer_start_switch_fiber)
        __sanitizer_start_switch_fiber(&main_fake, f->stack, stack_bytes);
    shim_switch(&main_context, f->context);
    current = nullptr;
    if (__sanitizer_finish_switch_fiber)
        __sanitizer_finish_switch_fiber(main_fake, nullptr, nullptr);
}

static void wait_at(const char *file, int line) {
    current->file = file;
    current->line = line;
    to_scheduler(false);
}

void fail(const char *file, int line, const char *format, ...) {
    char text[400];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (!failed)
        snprintf(sentence, sizeof sentence, "%s:%d: block (%u,%u,%u) thread (%u,%u,%u): %s", file,
                 line, blockIdx.x, blockIdx.y, blockIdx.z, threadIdx.x, threadIdx.y, threadIdx.z,
                 text);
    failed = true;
    to_scheduler(false);
    abort();
}

/* ---- who runs next ---- */

/* Round robin: the next ready thread after the last one, or before it. */
static int pick_in_turn(int warps, bool back) {
    int n = warps * 32;
    for (int k = 1; k <= n; k++) {
        int i = (last + (back ? n - k : k)) % n;
        unsigned ready = now.warps[i / 32].ready;
        if (ready >> (i % 32) & 1) return last = i;
        if (!ready && i % 32 == (back ? 31 : 0)) k += 31;
    }
    return -1;
}

static int pick(int warps) {
    int order = option.order;
    bool back = order == 1 || order == 3, chance = order >= 4;
    bool ahead = order == 2 || order == 3 || (chance && order & 1);
    if (order <= 1) return pick_in_turn(warps, back);
    int w = last / 32 % warps;
    if (!ahead || !now.warps[w].ready) {
        if (chance) w = (int)random_below((unsigned)warps);
        int k = 0;
        for (; k < warps && !now.warps[w].ready; k++) w = (w + (back ? warps - 1 : 1)) % warps;
        if (k == warps) return -1;
    }
    unsigned ready = now.warps[w].ready;
    int bit = back ? 31 - __builtin_clz(ready) : __builtin_ctz(ready);
    if (chance)
        for (bit = (int)random_below(32); !(ready >> bit & 1);) bit = (bit + 1) & 31;
    return last = w * 32 + bit;
}

/* ---- barriers and collectives ---- */

static void barrier_open() {
    now.at_barrier = 0;
    now.barriers++;
    for (warp &w : now.warps) w.ready |= w.live;
}

void barrier(const char *file, int line) {
    if (now.at_barrier == 0) now.barrier_file = file, now.barrier_line = line;
    else if (now.barrier_line != line || strcmp(now.barrier_file, file))
        fail(file, line, "a divergent __syncthreads: others wait at %s:%d", now.barrier_file,
             now.barrier_line);
    if (++now.at_barrier == now.live) barrier_open();
    wait_at(file, line);
}

static void meeting_open(warp *w, place *p) {
    unsigned lanes = p->mask & w->live, seen[32] = {};
    p->arrived = 0;
    p->generation++;
    p->m[p->generation & 1].there = 0;
    w->ready |= lanes;
    if (p->kind != SYNCWARP) return;
    for (int i = 0; i < 32; i++)
        for (int j = 0; j < 32 && (lanes >> i & 1); j++) seen[j] = max(seen[j], w->clock[i][j]);
    for (int i = 0; i < 32; i++)
        if (lanes >> i & 1) memcpy(w->clock[i], seen, sizeof seen), w->clock[i][i]++;
}

static place *place_of(warp *w, unsigned mask, const char *file, int line) {
    for (int k = 0; k < w->n; k++)
        if (w->places[k].mask == mask) return &w->places[k];
    if (w->n == places_most) fail(file, line, "more than %d masks in a warp", places_most);
    place *p = &w->places[w->n++];
    p->mask = mask;
    p->arrived = p->generation = 0;
    p->m[0].there = 0;
    return p;
}

meeting *meet(unsigned mask, meeting_kind kind, const void *value, int size, const char *file,
              int line, void (*finish)(meeting *)) {
    warp *w = &now.warps[current->warp];
    int l = current->lane;
    if (!(mask >> l & 1))
        fail(file, line, "lane %d calls a collective whose mask %08x lacks it", l, mask);
    place *p = place_of(w, mask, file, line);
    if (!p->arrived) p->kind = kind, p->file = file, p->line = line;
    else if (p->kind != kind || p->line != line)
        fail(file, line, "lanes of one mask are in different collectives: others at %s:%d", p->file,
             p->line);
    meeting *m = &p->m[p->generation & 1];
    memcpy(m->slot[l], value, (size_t)size);
    m->there |= 1U << l;
    p->arrived |= 1U << l;
    if (p->arrived == (mask & w->live)) {
        if (finish && m->there != mask) fail(file, line, "a lane has ended that is needed here");
        if (finish) finish(m);
        meeting_open(w, p);
    }
    wait_at(file, line);
    return m;
}

/* A thread that has ended counts nowhere any more. */
static void leave() {
    warp *w = &now.warps[current->warp];
    if (!current->copies.empty())
        fail("the kernel's end", 0, "cp.async copies that nobody has waited for");
    current->done = true;
    w->live &= ~(1U << current->lane);
    if (--now.live && now.at_barrier == now.live) barrier_open();
    for (int k = 0; k < w->n; k++) {
        place *p = &w->places[k];
        if (p->arrived && p->arrived == (p->mask & w->live)) {
            if (p->kind == MMA || p->kind == LDMATRIX)
                fail(p->file, p->line, "a lane has ended that is needed here");
            meeting_open(w, p);
        }
    }
}

/* ---- memory ---- */

static void *fresh(size_t bytes) {
    void *p;
    if (posix_memalign(&p, 128, bytes ? bytes : 1)) abort(); /* exact, for ASan */
    memset(p, option.poison, bytes);
    race_forget(p, bytes);
    return p;
}

static void more_shared(size_t bytes, const char *name) {
    now.shared_bytes += bytes;
    count.shared_most = max(count.shared_most, now.shared_bytes);
    if (now.shared_bytes > option.shared_most)
        fail(name, 0, "%zu bytes of shared memory; the device has %zu", now.shared_bytes,
             option.shared_most);
    if (now.shared_bytes > 49152 && now.dynamic_bytes + 49152 <= now.shared_bytes)
        fail(name, 0, "over 48 KiB of static shared memory");
}

void *shared(const void *key, size_t bytes, const char *name) {
    for (int i = 0; i < now.n_arrays; i++)
        if (now.arrays[i].key == key) return now.arrays[i].p;
    if (now.n_arrays == 32) fail(name, 0, "more than 32 shared arrays");
    void *p = fresh(bytes);
    now.arrays[now.n_arrays++] = {key, p, bytes};
    more_shared(bytes, name);
    return p;
}

void *shared_dynamic() { return now.dynamic; }

void copy_later(void *to, const void *from, int bytes, int zeros) {
    current->copies.push_back({to, from, bytes, zeros, current->group});
}

void copies_commit() { current->group++; }

void copies_wait(int newest_left, const char *file, int line) {
    (void)file, (void)line;
    std::vector<late_copy> &all = current->copies;
    size_t kept = 0;
    for (late_copy &c : all) {
        if (c.group >= current->group - newest_left) {
            all[kept++] = c;
            continue;
        }
        void *from = __builtin_return_address(0);
        race_access(c.from, c.bytes, false, false, from);
        race_access(c.to, c.bytes + c.zeros, true, false, from);
        memcpy(c.to, c.from, (size_t)c.bytes);
        memset((char *)c.to + c.bytes, 0, (size_t)c.zeros);
    }
    all.resize(kept);
}

void atomic_access(const void *p, int bytes) {
    race_access(p, bytes, true, true, __builtin_return_address(0));
}

/* ---- a block, a launch ---- */

static void fiber_entry() {
    if (__sanitizer_finish_switch_fiber) /* the first switch tells where the scheduler's stack is */
        __sanitizer_finish_switch_fiber(nullptr, &main_stack, &main_stack_bytes);
    (*body)();
    leave();
    to_scheduler(true);
    abort();
}

static void stacks_for(int threads) {
    while ((int)stacks.size() < threads) {
        void *p = mmap(nullptr, stack_bytes + 4096, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (p == MAP_FAILED || mprotect(p, 4096, PROT_NONE)) abort(); /* a guard below */
        stacks.push_back((char *)p + 4096);
    }
}

static void block_begin(int threads, dim3 shape, size_t bytes) {
    now.fibers.assign((size_t)threads, fiber());
    now.n_arrays = now.at_barrier = 0;
    now.barriers = 0;
    now.live = threads;
    now.dynamic_bytes = now.shared_bytes = bytes;
    now.dynamic = fresh(bytes);
    count.blocks++;
    count.shared_most = max(count.shared_most, bytes);
    last = threads - 1;
    stacks_for(threads);
    for (warp &w : now.warps) {
        w.n = 0;
        w.live = w.ready = 0;
        memset(w.clock, 0, sizeof w.clock);
        for (int l = 0; l < 32; l++) w.clock[l][l] = 1;
    }
    for (int i = 0; i < threads; i++) {
        fiber *f = &now.fibers[(size_t)i];
        unsigned u = (unsigned)i;
        f->stack = stacks[(size_t)i];
        f->thread = uint3{u % shape.x, u / shape.x % shape.y, u / (shape.x * shape.y)};
        f->warp = i / 32, f->lane = i % 32;
        now.warps[i / 32].live |= 1U << (i % 32);
        now.warps[i / 32].ready = now.warps[i / 32].live;
        f->context = context_make(f->stack, fiber_entry);
    }
}

static void deadlock() {
    int n = snprintf(sentence, sizeof sentence, "deadlock in block (%u,%u,%u): %d threads wait:",
                     blockIdx.x, blockIdx.y, blockIdx.z, now.live), named = 0;
    for (fiber &f : now.fibers)
        if (!f.done && named++ < 3)
            n += snprintf(sentence + n, sizeof sentence - (size_t)n, " (%u,%u,%u) at %.200s:%d;",
                          f.thread.x, f.thread.y, f.thread.z, f.file, f.line);
    failed = true;
}

static void block_run(int threads, dim3 shape, size_t bytes) {
    int warps = (threads + 31) / 32;
    block_begin(threads, shape, bytes);
    for (int i; !failed && (i = pick(warps)) >= 0;) {
        now.warps[i / 32].ready &= ~(1U << (i % 32));
        to_fiber(&now.fibers[(size_t)i]);
    }
    if (now.live && !failed) deadlock();
    if (failed && __asan_unpoison_memory_region) /* stacks that were left in the middle */
        for (char *s : stacks) __asan_unpoison_memory_region(s, stack_bytes);
    for (int i = 0; i < now.n_arrays; i++) free(now.arrays[i].p);
    free(now.dynamic);
}

static const char *refusal(const void *kernel, dim3 g, dim3 b, size_t bytes) {
    unsigned threads = b.x * b.y * b.z;
    if (threads < 1 || threads > 1024) return "not 1 to 1024 threads in a block";
    if (!g.x || !g.y || !g.z || g.x > 2147483647 || g.y > 65535 || g.z > 65535)
        return "a grid of no blocks, or of more than 65535 in y or z";
    if (bytes > option.shared_most) return "more dynamic shared memory than the device has";
    if (bytes > 49152 && (!allowed.count(kernel) || allowed[kernel] < bytes))
        return "over 48 KiB of dynamic shared memory without having asked for it";
    return nullptr;
}

static void blocks_in_order(std::vector<long> *order, long n) {
    order->resize((size_t)n);
    for (long i = 0; i < n; i++) (*order)[(size_t)i] = option.order == 1 ? n - 1 - i : i;
    if (option.order < 4) return;
    for (long i = n - 1; i > 0; i--)
        std::swap((*order)[(size_t)i], (*order)[random_below((unsigned)i + 1)]);
}

cudaError_t run(const void *kernel, const char *name, dim3 g, dim3 b, size_t bytes,
                const std::function<void()> &what) {
    static std::recursive_mutex one_at_a_time;
    std::lock_guard<std::recursive_mutex> lock(one_at_a_time);
    const char *refused = refusal(kernel, g, b, bytes);
    failed = false;
    *sentence = 0;
    count.launches++;
    now.launch++;
    if (refused) {
        snprintf(sentence, sizeof sentence, "%s: grid (%u,%u,%u) block (%u,%u,%u) %zu bytes: %s",
                 name, g.x, g.y, g.z, b.x, b.y, b.z, bytes, refused);
        return cudaErrorInvalidConfiguration;
    }
    body = &what;
    blockDim = b, gridDim = g;
    seed = (uint64_t)option.order * 977 + 1;
    std::vector<long> order;
    blocks_in_order(&order, (long)g.x * g.y * g.z);
    for (size_t k = 0; k < order.size() && !failed; k++) {
        now.number = order[k];
        unsigned long i = (unsigned long)order[k];
        blockIdx = uint3{(unsigned)(i % g.x), (unsigned)(i / g.x % g.y),
                         (unsigned)(i / ((unsigned long)g.x * g.y))};
        block_run((int)(b.x * b.y * b.z), b, bytes);
    }
    return failed ? cudaErrorLaunchFailure : cudaSuccess;
}

#ifndef RACE
void race_access(const void *, int, bool, bool, void *) {}
void race_forget(const void *, size_t) {}
#endif
} // namespace shim

void shim_schedule(int order, int poison) {
    shim::option.order = order;
    shim::option.poison = poison;
}

const char *shim_fault() { return shim::fault(); }

void shim_counts(long *launches, long *blocks, long *switches, size_t *shared_most) {
    *launches = shim::count.launches, *blocks = shim::count.blocks;
    *switches = shim::count.switches, *shared_most = shim::count.shared_most;
}
