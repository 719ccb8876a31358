/* library.h - the libraries of a GPU, which are used where they are found and never linked: so the
 * same program runs on a machine that has none of them, and can say what is missing where.
 *
 * HONE_CUDA names the one folder to look in. Without it: the system's own search, the toolkit's
 * folder ($CUDA_HOME, then the usual place), $CONDA_PREFIX, and the wheels of Python environments
 * ($VIRTUAL_ENV, the user's, the system's). The driver and NVML come with the driver alone. */
#ifndef HONE_LIBRARY_H
#define HONE_LIBRARY_H
#include <stdbool.h>
#include <stddef.h>

enum library {
    LIBRARY_DRIVER, LIBRARY_NVML, LIBRARY_CUBLASLT, LIBRARY_CUDNN, LIBRARY_NCCL, LIBRARIES
};
const char *library_name(enum library l);   /* "driver", "NVML", "cuBLASLt", "cuDNN", "NCCL" */

struct library_found {
    void *handle;            /* of dlopen; NULL: not found */
    char path[512];          /* where it lies */
    char why[256];           /* a sentence, where it is not found */
};
/* Opens it; once open it stays. It takes up to seconds and hundreds of MB (cuBLASLt), so this is
 * for the process that computes, or for one of its own that only asks. */
bool library_open(struct library_found *out, enum library l);
/* Asks it for its version: "13.1.0"; "" where it does not say. */
void library_version(char out[32], enum library l, const struct library_found *found);
/* NULL where the library lacks it. */
void *library_symbol(const struct library_found *found, const char *name);
#endif
