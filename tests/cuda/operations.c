/* operations.c - every operation of the CUDA backend on the CPU (shim.h): the table of
 * tests/kernels/cases.h against the reference, and the same bits in every schedule of threads and
 * with every filling of fresh shared memory. Each case runs with odd and with wide gaps between
 * rows, so that both paths of an operation are taken.
 *
 * Arguments: how many of the schedules (all without), and "exact" for buffers that end where a
 * matrix ends, for a build that sees a read behind it. */
#include "tests/kernels/cases.h"
#include "tests/cuda/schedule.h"
#include "tests/cuda/stand.h"

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

static struct side ref, gpu;
static float kept[SIDE_OUTPUTS];
static int schedules = 6;

/* The heavy operations at sizes that a fiber for each thread can do: those of the table that are
 * small, and what blocks and tiles of the kernels make of them. */
static const struct shape_row products_small[] = {
    {0, 8, 8, F32, F32, 1, 0}, {1, 7, 5, F32, F32, 1, 0}, {2, 64, 48, F32, BF16, 2, 0.5F},
    {9, 33, 65, F32, F32, 1, 1}, {65, 40, 70, F32, BF16, 0.25F, 0},
    {0, 8, 8, BF16, F32, 1, 0}, {1, 7, 5, BF16, F32, 1, 0}, {3, 200, 65, BF16, BF16, 1, 1},
    {8, 72, 40, BF16, BF16, 2, 0.5F}, {9, 64, 48, BF16, F32, 1, 0}, {33, 65, 97, BF16, F32, 1, 1},
    {130, 104, 136, BF16, BF16, 1, 0}, {17, 1, 1, BF16, F32, 1, 0},
    /* 64 tiles of 128 x 128 and more: forward, backward */
    {260, 40, 2696, BF16, BF16, 1, 0}, {260, 2696, 40, BF16, BF16, 1, 0},
};
static const struct shape_row grads_small[] = {
    {0, 8, 8, F32, F32, 1, 0}, {1, 7, 5, F32, F32, 1, 0}, {37, 65, 97, F32, F32, 2, 0},
    {1, 7, 5, BF16, BF16, 1, 0}, {37, 65, 97, BF16, BF16, 2, 1}, {37, 65, 30, F32, BF16, 1, 0},
    {70, 136, 144, BF16, BF16, 1, 0}, {70, 16, 30, BF16, F32, 1, 0}, {40, 2696, 264, BF16, BF16, 1, 1},
};
static const struct shape_row rows_small[] = {
    {0, 5, 0, F32, F32, 0, 0}, {1, 1, 0, F32, F32, 0, 0}, {3, 17, 0, F32, BF16, 0, 0},
    {40, 64, 0, BF16, F32, 0, 0}, {40, 64, 0, BF16, BF16, 0, 0}, {41, 24, 0, F32, F32, 0, 0},
    {3, 2312, 0, BF16, BF16, 0, 0}, {2, 2311, 0, F32, BF16, 0, 0}, {17, 264, 0, F32, BF16, 0, 0},
};
static const struct shape_row ropes_more[] = {
    {0, 4, 1, F32, F32, 0, 0}, {1, 2, 1, F32, F32, 0, 0}, {9, 6, 3, F32, F32, 0, 0},
    {20, 64, 5, BF16, F32, 0, 0}, {3, 80, 3, BF16, F32, 0, 0}, {5, 128, 40, BF16, F32, 0, 0},
};
/* c: heads * 100 + kv_heads; f: keys before the first query. */
static const struct shape_row attentions_small[] = {
    {0, 4, 101, F32, F32, 0, 0}, {0, 64, 201, F32, F32, 0, 0}, {2, 8, 101, F32, F32, 0, 0},
    {3, 6, 402, F32, F32, 0, 0}, {0, 16, 202, F32, F32, 9, 0}, {3, 64, 402, F32, BF16, 600, 0},
    {3, 256, 201, F32, F32, 0, 0},
    {0, 64, 201, BF16, BF16, 0, 0}, {0, 80, 101, BF16, BF16, 0, 0}, {5, 96, 202, BF16, BF16, 0, 0},
    {4, 64, 101, BF16, BF16, 0, 0}, {0, 128, 201, BF16, BF16, 0, 0},
    {0, 256, 101, BF16, BF16, 0, 0}, {5, 18, 201, BF16, BF16, 0, 0}, {0, 4, 101, BF16, BF16, 0, 0},
    {2, 8, 101, BF16, BF16, 0, 0}, {0, 64, 101, BF16, BF16, 70, 0}, {3, 64, 603, BF16, BF16, 600, 0},
    {1, 32, 301, BF16, BF16, -3, 0},
};
static const struct shape_row losses_small[] = {
    {0, 5, 0, F32, F32, 0, 0}, {1, 1, 0, F32, F32, 0, 0}, {7, 100, 0, F32, F32, 0, 0},
    {7, 99, 0, BF16, F32, 0, 0}, {3, 5003, 0, BF16, F32, 0, 0}, {2, 8200, 0, BF16, F32, 0, 0},
    {2, 4104, 0, F32, F32, 0, 0},
};
static const struct shape_row updates_small[] = {
    {0, 0, 0, F32, F32, 1, 0}, {1, 0, 0, F32, F32, 0, 0}, {6, 0, 0, F32, F32, 1, 0},
    {2, 0, 0, F32, F32, 1e6F, 0}, {2, 0, 0, F32, F32, 1, 5},
};

static const struct { operation *run; const struct shape_row *shapes; int n; } smaller[] = {
    {linear, SHAPES(products_small)}, {linear_back, SHAPES(products_small)},
    {linear_grad, SHAPES(grads_small)}, {bias, SHAPES(rows_small)}, {embed, SHAPES(rows_small)},
    {gather_scatter, SHAPES(rows_small)}, {add_convert_fill, SHAPES(rows_small)},
    {dropout, SHAPES(rows_small)}, {norm, SHAPES(rows_small)}, {swiglu, SHAPES(rows_small)},
    {rope, SHAPES(ropes_more)}, {attention, SHAPES(attentions_small)},
    {xent, SHAPES(losses_small)}, {update, SHAPES(updates_small)},
};

static void run_case(const struct row *row, const struct shape_row *r, int i, int gap_times) {
    static const int orders[] = {0, 1, 2, 3, 6, 7}, poisons[] = {0xFF, 0x5A, 0, 0xFF, 0x5A, 0xFF};
    size_t outs = 0;
    gpu.gap_times = gap_times;
    for (int s = 0; s < schedules; s++) {
        shim_schedule(orders[s], poisons[s]);
        side_reset(&gpu);
        row->run(&gpu, r);
        if (s == 0) {
            compare(row, r, &ref, &gpu);
            memcpy(kept, gpu.out, gpu.outs * sizeof(float));
            outs = gpu.outs;
        } else if (gpu.outs != outs || memcmp(kept, gpu.out, outs * sizeof(float)) != 0) {
            fail_msg("%s, case %d, gaps times %d: other bits in schedule %d with poison %02x",
                     row->name, i, gap_times, orders[s], (unsigned)poisons[s]);
        }
    }
}

static void agrees(void **state) {
    const struct row *row = *state;
    const struct shape_row *shapes = row->shapes;
    int n = row->n;
    for (size_t i = 0; i < COUNT_OF(smaller); i++)
        if (smaller[i].run == row->run) shapes = smaller[i].shapes, n = smaller[i].n;
    for (int i = 0; i < n; i++) {
        side_reset(&ref);
        row->run(&ref, &shapes[i]);
        run_case(row, &shapes[i], i, 1);
        run_case(row, &shapes[i], i, 8);
    }
}

int main(int argc, char **argv) {
    char why[1024] = "";
    if (argc > 1) schedules = (int)strtol(argv[1], NULL, 10);
    if (!side_open(&ref, "ref", 1, why, sizeof why) ||
        !side_begin(&gpu, &stand, 1, why, sizeof why))
        return printf("not ok %s\n", why), 1;
    gpu.exact = argc > 2 && strcmp(argv[2], "exact") == 0;
    if (argc > 3) cmocka_set_test_filter(argv[3]);
    struct CMUnitTest tests[COUNT_OF(table)];
    char names[COUNT_OF(table)][96];
    for (size_t n = 0; n < COUNT_OF(table); n++) {
        snprintf(names[n], sizeof names[n], "%s_agrees_with_ref_in_every_schedule", table[n].name);
        tests[n] = (struct CMUnitTest){
            .name = names[n], .test_func = agrees, .initial_state = (void *)(uintptr_t)&table[n]};
    }
    int failed = _cmocka_run_group_tests("cuda", tests, COUNT_OF(table), NULL, NULL);
    side_close(&ref);
    side_close(&gpu);
    return failed != 0;
}
