/* maker.c - what a checkpoint was made with, and whether a resume can repeat its bits.
 *
 * Training is a function of the folder's profile, the data, the base model, and the program with
 * its kernels on an instruction set. The number of threads is no part of it: the kernels'
 * partitions do not depend on it. */
#include "engine/run/checkpoint.h"
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

const struct maker_fact maker_facts[MAKER_FACTS] = {
    [MADE_VERSION] = {"hone", "hone's version"},
    [MADE_PROGRAM] = {"program", "the build of hone"},
    [MADE_BACKEND] = {"backend", "the backend"},
    [MADE_LIBRARY] = {"library", "the library of the products"},
    [MADE_ISA] = {"isa", "the instruction set"},
    [MADE_PROCESSOR] = {"processor", "the processor"},
    [MADE_DTYPE] = {"dtype", "the compute type"},
    [MADE_PROFILE] = {"profile", "the run's profile.yaml"},
    [MADE_DATA] = {"data", "the data, its tokenizer or its template"},
    [MADE_BASE] = {"base_files", "the base model's files"},
};

static uint64_t file_hash(const char *path, uint64_t seed)
{
    struct arena scratch = arena_make(0);
    struct text t;
    struct err none; /* ref has no plug-in of its own */
    if (file_read(&t, path, (int64_t)1 << 30, &scratch, &none)) seed = hash64(t.p, t.n, seed);
    arena_drop(&scratch);
    return seed;
}

static const char *digits(uint64_t h, struct arena *a)
{
    return arena_printf(a, "%016llx", (unsigned long long)h);
}

/* The bytes of the program and of its kernels: another build may order a sum in another way. */
static const char *program_hash(const struct places *places, const char *backend, struct arena *a)
{
    const char *plugin = arena_printf(a, "%s/hone-%s.so", places->plugins, backend);
    return digits(file_hash(plugin, file_hash("/proc/self/exe", 0)), a);
}

/* Names, sizes and times of the weights' files; their contents would take as long as loading. */
static const char *base_hash(const char *dir, struct arena *a)
{
    char **names;
    int n = 0;
    struct err none;
    uint64_t h = 0;
    if (!dir_list(&names, &n, dir, a, &none)) n = 0;
    for (int i = 0; i < n; i++) {
        struct stat st;
        size_t len = strlen(names[i]);
        bool weights = len > 12 && strcmp(names[i] + len - 12, ".safetensors") == 0;
        if (!weights || stat(path_join(a, dir, names[i]), &st) != 0) continue;
        const int64_t facts[] = {(int64_t)st.st_size, (int64_t)st.st_mtim.tv_sec,
                                 (int64_t)st.st_mtim.tv_nsec};
        h = hash64(facts, sizeof facts, hash64(names[i], len, h));
    }
    return digits(h, a);
}

static const char *data_hash(const struct plan *plan, struct arena *a)
{
    uint64_t h = 0;
    for (int i = 0; i < plan->n_sources; i++)
        h = hash64(plan->sources[i].key, strlen(plan->sources[i].key), h);
    for (int i = 0; i < plan->n_stages; i++)
        h = hash64(&plan->stages[i].windows, sizeof plan->stages[i].windows, h);
    return digits(h, a);
}

struct maker maker_of(const char *run_dir, const struct plan *plan, const struct device_info *d,
                      const struct places *places, struct arena *a)
{
    const char *profile = run_path(a, run_dir, "profile.yaml");
    return (struct maker){.fact = {[MADE_VERSION] = HONE_VERSION,
                                   [MADE_PROGRAM] = program_hash(places, d->backend, a),
                                   [MADE_BACKEND] = d->backend,
                                   [MADE_LIBRARY] = d->library,
                                   [MADE_ISA] = d->isa,
                                   [MADE_PROCESSOR] = d->name,
                                   [MADE_DTYPE] = plan->compute == BF16 ? "bf16" : "fp32",
                                   [MADE_PROFILE] = digits(file_hash(profile, 0), a),
                                   [MADE_DATA] = data_hash(plan, a),
                                   [MADE_BASE] = base_hash(plan->model_dir, a)},
                          .threads = d->threads};
}

/* Facts that are hashes say only that they differ. */
static bool is_hash(int fact)
{
    return fact == MADE_PROGRAM || fact == MADE_PROFILE || fact == MADE_DATA || fact == MADE_BASE;
}

bool maker_same(const struct maker *then, const struct maker *now, bool base_counts,
                struct buf *why)
{
    int differ = 0;
    for (int i = 0; i < MAKER_FACTS; i++) {
        if (strcmp(then->fact[i], now->fact[i]) == 0 || (i == MADE_BASE && !base_counts)) continue;
        if (i == MADE_PROGRAM && strcmp(then->fact[MADE_VERSION], now->fact[MADE_VERSION]) != 0)
            continue; /* said already */
        buf_printf(why, "%s%s", differ++ ? "; " : "", maker_facts[i].says);
        if (is_hash(i)) buf_printf(why, " changed");
        else buf_printf(why, " was %s and is %s", then->fact[i], now->fact[i]);
    }
    if (differ) return false;
    if (then->threads == now->threads) buf_printf(why, "the same program on the same machine");
    else
        buf_printf(why, "%d threads instead of %d, which change no bit", now->threads,
                   then->threads);
    return true;
}
