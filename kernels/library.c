/* library.c - finds the libraries of a GPU in the places where systems, toolkits and Python wheels
 * put them, opens them by absolute path (their own run paths then find their siblings), and asks
 * for versions. */
#include "kernels/library.h"
#include <dlfcn.h>
#include <glob.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAMES = 2, PATH_BYTES = 1024 };
static const struct row {
    const char *name, *sonames[NAMES];
    bool of_driver; /* installed by the driver, where the system finds it */
} rows[LIBRARIES] = {
    [LIBRARY_DRIVER] = {"driver", {"libcuda.so.1"}, true},
    [LIBRARY_NVML] = {"NVML", {"libnvidia-ml.so.1"}, true},
    [LIBRARY_CUBLASLT] = {"cuBLASLt", {"libcublasLt.so.13", "libcublasLt.so.12"}, false},
    [LIBRARY_CUDNN] = {"cuDNN", {"libcudnn.so.9"}, false},
    [LIBRARY_NCCL] = {"NCCL", {"libnccl.so.2"}, false},
};

/* Patterns of folders; the variable, where there is one, stands before the rest. */
static const struct {
    const char *variable, *rest;
} places[] = {
    {"CUDA_HOME", "/lib64"},
    {"CUDA_HOME", "/lib"},
    {NULL, "/usr/local/cuda/lib64"},
    {NULL, "/usr/local/cuda/lib"},
    {"CONDA_PREFIX", "/lib"},
    {"VIRTUAL_ENV", "/lib/python3*/site-packages/nvidia/*/lib"},
    {"HOME", "/.local/lib/python3*/site-packages/nvidia/*/lib"},
    {NULL, "/usr/local/lib/python3*/dist-packages/nvidia/*/lib"},
    {NULL, "/usr/local/lib/python3*/site-packages/nvidia/*/lib"},
    {NULL, "/usr/lib/python3/dist-packages/nvidia/*/lib"},
};

const char *library_name(enum library l) { return rows[l].name; }

static bool opened(struct library_found *out, const char *path)
{
    out->handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    struct link_map *map = NULL;
    if (!out->handle) return false;
    snprintf(out->path, sizeof out->path, "%s",
             dlinfo(out->handle, RTLD_DI_LINKMAP, &map) == 0 && map->l_name[0] ? map->l_name
                                                                               : path);
    out->why[0] = 0;
    return true;
}

/* The first file that a pattern matches and that can be opened; why keeps what an existing one
 * lacks. */
static bool opened_in(struct library_found *out, const char *folder, const char *soname)
{
    char pattern[PATH_BYTES];
    glob_t files;
    int n = snprintf(pattern, sizeof pattern, "%s/%s", folder, soname);
    if (n < 0 || (size_t)n >= sizeof pattern || glob(pattern, 0, NULL, &files) != 0) return false;
    bool found = false;
    for (size_t i = 0; i < files.gl_pathc && !found; i++) {
        found = opened(out, files.gl_pathv[i]);
        const char *said = found ? NULL : dlerror();
        if (said) snprintf(out->why, sizeof out->why, "%s", said);
    }
    globfree(&files);
    return found;
}

static bool opened_somewhere(struct library_found *out, const char *soname, bool of_driver)
{
    if (opened(out, soname)) return true;
    for (size_t i = 0; !of_driver && i < sizeof places / sizeof *places; i++) {
        char folder[PATH_BYTES];
        const char *root = places[i].variable ? getenv(places[i].variable) : "";
        if (!root || (places[i].variable && root[0] != '/')) continue;
        int n = snprintf(folder, sizeof folder, "%s%s", root, places[i].rest);
        if (n > 0 && (size_t)n < sizeof folder && opened_in(out, folder, soname)) return true;
    }
    return false;
}

bool library_open(struct library_found *out, enum library l)
{
    const struct row *row = &rows[l];
    const char *only = getenv("HONE_CUDA");
    *out = (struct library_found){0};
    for (int i = 0; i < NAMES && row->sonames[i]; i++)
        if (only && *only ? opened_in(out, only, row->sonames[i])
                          : opened_somewhere(out, row->sonames[i], row->of_driver))
            return true;
    if (out->why[0]) return false;
    if (only && *only)
        snprintf(out->why, sizeof out->why, "%s is not in %.180s, which HONE_CUDA names",
                 row->sonames[0], only);
    else if (row->of_driver)
        snprintf(out->why, sizeof out->why, "%s is not found: NVIDIA's driver is not installed",
                 row->sonames[0]);
    else
        snprintf(out->why, sizeof out->why,
                 "%s is not found in the system, a toolkit or Python's wheels; HONE_CUDA may name "
                 "its folder",
                 row->sonames[0]);
    return false;
}

void *library_symbol(const struct library_found *found, const char *name)
{
    return found->handle ? dlsym(found->handle, name) : NULL;
}

/* ---- versions: each library has its own way to say it ---- */

typedef int fills(int *);
typedef size_t returns(void);

static long asked(const struct library_found *found, const char *name, bool by_pointer)
{
    void *symbol = library_symbol(found, name);
    if (!symbol) return 0;
    int v = 0;
    fills *fill;
    returns *give;
    memcpy(&fill, &symbol, sizeof fill); /* C has no cast from an object to a function */
    memcpy(&give, &symbol, sizeof give);
    if (!by_pointer) return (long)give();
    return fill(&v) == 0 ? v : 0;
}

static void nvml_version(char out[32], const struct library_found *found)
{
    void *symbols[3] = {library_symbol(found, "nvmlInit_v2"),
                        library_symbol(found, "nvmlSystemGetDriverVersion"),
                        library_symbol(found, "nvmlShutdown")};
    int (*start)(void), (*version)(char *, unsigned), (*stop)(void);
    if (!symbols[0] || !symbols[1] || !symbols[2]) return;
    memcpy(&start, &symbols[0], sizeof start);
    memcpy(&version, &symbols[1], sizeof version);
    memcpy(&stop, &symbols[2], sizeof stop);
    if (start() != 0) return;
    if (version(out, 32) != 0) out[0] = 0;
    stop();
}

void library_version(char out[32], enum library l, const struct library_found *found)
{
    long v = 0;
    out[0] = 0;
    switch (l) {
    case LIBRARY_DRIVER: /* 13000: CUDA 13.0 */
        v = asked(found, "cuDriverGetVersion", true);
        if (v) snprintf(out, 32, "%ld.%ld", v / 1000, v % 1000 / 10);
        return;
    case LIBRARY_NVML: nvml_version(out, found); return;
    case LIBRARY_CUBLASLT: v = asked(found, "cublasLtGetVersion", false); break; /* 130100 */
    case LIBRARY_CUDNN: v = asked(found, "cudnnGetVersion", false); break;
    case LIBRARY_NCCL: v = asked(found, "ncclGetVersion", true); break;
    case LIBRARIES: break;
    }
    if (v) snprintf(out, 32, "%ld.%ld.%ld", v / 10000, v % 10000 / 100, v % 100);
}
