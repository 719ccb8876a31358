/* operations.c - every operation of the CUDA backend on a device against the reference: the table of
 * tests/kernels/cases.h, each case twice with the same bits. The cases read and write what they
 * take as host memory, so here it is managed memory; HONE_TWIN=1: it is host memory already (fakes).
 *
 *     operations [NAME]     rows whose name has it; HONE_BUILD is the folder of hone-cuda.so */
#include "tests/kernels/cases.h"
#include <cuda_runtime_api.h>

static struct side ref, gpu;
static struct kernels managed;
static float first[SIDE_OUTPUTS];

/* Aligned to 512 by cudart. Zeroed by the host: nothing is queued on it yet. */
static void *managed_alloc(struct device *d, size_t bytes)
{
    void *p = NULL;
    (void)d;
    if (cudaMallocManaged(&p, bytes ? bytes : 1, cudaMemAttachGlobal) != cudaSuccess) return NULL;
    return memset(p, 0, bytes);
}

static void managed_free(struct device *d, void *p, size_t bytes)
{
    char why[256];
    (void)bytes;
    managed.sync(d, why, sizeof why); /* the next case says it */
    cudaFree(p);
}

static void one(const struct row *row, const struct shape_row *r)
{
    row->run(&ref, r);
    row->run(&gpu, r);
    compare(row, r, &ref, &gpu);
    size_t n = gpu.outs;
    memcpy(first, gpu.out, n * sizeof *first);
    side_reset(&gpu);
    row->run(&gpu, r);
    for (size_t i = 0; i < n; i++)
        if (memcmp(&first[i], &gpu.out[i], sizeof *first) != 0)
            fail_msg("%s, case %d: output %zu is %.9g, and the second time %.9g", row->name,
                     (int)(r - row->shapes), i, (double)first[i], (double)gpu.out[i]);
    side_reset(&gpu);
    side_reset(&ref);
}

static void every_case(void **state)
{
    const struct row *row = *state;
    for (int i = 0; i < row->n; i++) one(row, &row->shapes[i]);
}

static void open_both(void)
{
    char why[512] = "";
    const char *twin = getenv("HONE_TWIN");
    if (!side_open(&ref, "ref", 1, why, sizeof why) || !side_open(&gpu, "cuda", 1, why, sizeof why)) {
        print_error("%s\n", why);
        _Exit(2);
    }
    if (twin && *twin == '1') return;
    gpu.k->free(gpu.d, gpu.workspace, gpu.workspace_bytes);
    managed = *gpu.k;
    managed.alloc = managed_alloc;
    managed.free = managed_free;
    gpu.k = &managed;
    gpu.workspace = managed_alloc(gpu.d, gpu.workspace_bytes);
    gpu.k->workspace(gpu.d, gpu.workspace, gpu.workspace_bytes);
}

int main(int argc, char **argv)
{
    enum { ROWS = sizeof table / sizeof *table };
    struct CMUnitTest tests[ROWS];
    size_t n = 0;
    for (size_t i = 0; i < ROWS; i++)
        if (argc < 2 || strstr(table[i].name, argv[1]))
            tests[n++] = (struct CMUnitTest){.name = table[i].name,
                                             .test_func = every_case,
                                             .initial_state = (void *)(uintptr_t)&table[i]};
    open_both();
    int bad = _cmocka_run_group_tests("operations", tests, n, NULL, NULL);
    side_close(&ref);
    side_close(&gpu);
    return bad;
}
