/* load.c - finds a backend by name: "ref" is in the program, others are plug-ins hone-NAME.so with
 * one symbol, loaded once and kept, since device threads and libraries do not unload well. */
#include "kernels/kernels.h"
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define BACKENDS 4
static struct loaded { char name[16]; const struct kernels *kernels; } loaded[BACKENDS];
static atomic_flag busy = ATOMIC_FLAG_INIT;

static bool name_is_plain(const char *name) {
    size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789");
    return n > 0 && n < sizeof loaded[0].name && !name[n];
}

static const struct kernels *load(const char *name, const char *dir, char *why, size_t why_size) {
    char path[4096];
    int n = snprintf(path, sizeof path, "%s/hone-%s.so", dir, name);
    if (n < 0 || (size_t)n >= sizeof path) {
        snprintf(why, why_size, "the folder of backend %s has too long a name", name);
        return NULL;
    }
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        snprintf(why, why_size, "backend %s cannot be loaded: %s", name, dlerror());
        return NULL;
    }
    void *symbol = dlsym(library, "hone_kernels");
    kernels_entry *entry;
    memcpy(&entry, &symbol, sizeof entry); /* C has no cast from an object to a function */
    const struct kernels *k = symbol ? entry(KERNELS_ABI) : NULL;
    if (k) return k;
    if (!symbol)
        snprintf(why, why_size, "%s is not a backend of hone: it has no symbol hone_kernels", path);
    else
        snprintf(why, why_size,
                 "%s cannot serve: it was built for another version of hone (this one asks for "
                 "table %d), or this processor lacks what it needs (AVX2 and FMA); build again "
                 "with make, or "
                 "use --backend ref",
                 path, KERNELS_ABI);
    dlclose(library);
    return NULL;
}

const struct kernels *kernels_load(const char *name, const char *dir, char *why, size_t why_size) {
    if (strcmp(name, "ref") == 0) return &kernels_ref;
    if (!name_is_plain(name)) {
        snprintf(why, why_size, "there is no backend of that name; known are ref, cpu and cuda");
        return NULL;
    }
    while (atomic_flag_test_and_set(&busy)) {
    } /* held for the milliseconds of a load, once a backend */
    const struct kernels *k = NULL;
    int i = 0;
    while (i < BACKENDS && loaded[i].kernels && strcmp(loaded[i].name, name) != 0) i++;
    if (i == BACKENDS)
        snprintf(why, why_size, "backend %s: no more than %d can be loaded", name, BACKENDS);
    else if (loaded[i].kernels) k = loaded[i].kernels;
    else if ((k = load(name, dir, why, why_size)) != NULL) {
        snprintf(loaded[i].name, sizeof loaded[i].name, "%s", name);
        loaded[i].kernels = k;
    }
    atomic_flag_clear(&busy);
    return k;
}
