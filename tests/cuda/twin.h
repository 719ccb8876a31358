/* twin.h - the CUDA plug-in on fakes (fake.h), as a test holds it: which twin, with or without the
 * library of products, and the fakes' own switches. Without a toolkit there is no twin, and a test
 * is skipped by name. */
#ifndef HONE_TEST_TWIN_H
#define HONE_TEST_TWIN_H
#include "tests/test.h"
#include "kernels/kernels.h"
#include "tests/cuda/fake.h"
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef HONE_TOOLKIT
enum { TWIN_HERE = 1 };
#else
enum { TWIN_HERE = 0 };
#endif
#define NEEDS_TWIN()                                                        \
    if (!TWIN_HERE) {                                                       \
        print_message("no CUDA toolkit: its headers are needed\n");         \
        skip();                                                             \
    }

static struct twin {
    const struct kernels *k;
    char folder[256], libraries[256], home[64];
    void (*counts)(struct fake_counts *);
    void (*fail)(const char *call, int64_t nth);
    int64_t (*calls)(const char *call);
    size_t (*names)(char *out, size_t size);
    void (*reset)(void);
    void (*order)(const char *order);
    const char *(*damage)(void);
} twin;

/* build/cuda/NAME: "ref" or "fibers". HONE_HOME is a new folder. */
static inline void twin_load(const char *name)
{
    char path[512], why[512] = "";
    const char *build = getenv("HONE_BUILD");
    if (twin.k) return;
    snprintf(twin.folder, sizeof twin.folder, "%s/cuda/%s", build ? build : "build", name);
    snprintf(twin.libraries, sizeof twin.libraries, "%s/cuda/lib", build ? build : "build");
    snprintf(twin.home, sizeof twin.home, "/tmp/hone-twin-XXXXXX");
    assert_non_null(mkdtemp(twin.home));
    setenv("HONE_HOME", twin.home, 1);
    setenv("HONE_CUDA", twin.libraries, 1);
    twin.k = kernels_load("cuda", twin.folder, why, sizeof why);
    if (!twin.k) fail_msg("%s", why);
    snprintf(path, sizeof path, "%s/hone-cuda.so", twin.folder);
    void *library = dlopen(path, RTLD_NOW | RTLD_NOLOAD);
    assert_non_null(library);
    const struct { const char *name; void *to; } all[] = {
        {"fake_counts", &twin.counts}, {"fake_fail", &twin.fail}, {"fake_calls", &twin.calls},
        {"fake_names", &twin.names}, {"fake_reset", &twin.reset}, {"fake_order", &twin.order},
        {"fake_damage", &twin.damage}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        void *symbol = dlsym(library, all[i].name);
        assert_non_null(symbol);
        memcpy(all[i].to, &symbol, sizeof symbol);
    }
}

/* Forgets the algorithms that were kept. */
static inline void twin_forget(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -f %s/cublaslt-*", twin.home);
    assert_int_equal(system(command), 0);
}

static inline struct fake_counts twin_counts(void)
{
    struct fake_counts c;
    twin.counts(&c);
    return c;
}

static inline int twin_drop(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", twin.home);
    return twin.home[0] ? system(command) : 0;
}
#endif
