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
    {70, 136, 144, BF16, BF16, 1, 0}, {70, 16, 30, BF16, F32, 1, 0},
    {40, 2696, 264, BF16, BF16, 1, 1},
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
    {2, 8, 101, BF16, BF16, 0, 0}, {0, 64, 101, BF16, BF16, 70, 0},
    {3, 64, 603, BF16, BF16, 600, 0},
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
    struct row row = *(const struct row *)*state;
    for (size_t i = 0; i < COUNT_OF(smaller); i++)
        if (smaller[i].run == row.run) row.shapes = smaller[i].shapes, row.n = smaller[i].n;
    for (int i = 0; i < row.n; i++) {
        side_reset(&ref);
        row.run(&ref, &row.shapes[i]);
        run_case(&row, &row.shapes[i], i, 1);
        run_case(&row, &row.shapes[i], i, 8);
    }
}

/* Changes all that one document holds and demands the same bits for the other one. */
static void documents_do_not_touch(void **state) {
    static const int32_t start[] = {0, 70, 100};
    struct attention a = {.heads = 2, .kv_heads = 1, .head_dim = 32, .scale = 0.2F};
    struct seqs q = {start, 2, 70};
    (void)state;
    shim_schedule(0, 0xFF);
    for (int t = F32; t <= BF16; t++)
        for (int pass = 0; pass < 2; pass++) {
            struct mat m[8];
            side_reset(&gpu);
            for (unsigned i = 0; i < 8; i++)
                m[i] = side_mat(&gpu, i + 200, 100, i == 1 || i == 2 || i >= 6 ? 32 : 64,
                                (enum dtype)t, 0, 1);
            for (int i = 0; i < 4; i++) /* q, k, v, d_o of document 1 */
                for (int row = 0; row < 70; row++)
                    for (int col = 0; col < m[i].cols; col++)
                        side_set(&m[i], row, col, pass ? NAN : side_float(&m[i], row, col));
            float *lse = side_take(&gpu, 100 * 2 * sizeof *lse);
            gpu.k->attn(gpu.d, m[4], lse, m[0], m[1], m[2], q, q, &a);
            gpu.k->attn_back(gpu.d, m[5], m[6], m[7], m[3], m[4], lse, m[0], m[1], m[2], q, &a);
            side_sync(&gpu);
            for (int i = 4; i < 8; i++) side_read(&gpu, mat_rows(m[i], 70, 30));
            if (pass == 0) memcpy(kept, gpu.out, gpu.outs * sizeof(float));
            else assert_memory_equal(kept, gpu.out, gpu.outs * sizeof(float));
        }
}

/* Two steps; the moments as they are stored. F32 sums and sums in double may fall on two sides of a
 * border now and then, other draws would in every third element. */
static void stored_moments(struct side *s, enum dtype t, struct slot *slot, int n) {
    struct block *block = side_take(s, sizeof *block);
    *block = (struct block){.lr = 0.01F, .beta1 = 0.9F, .beta2 = 0.95F, .eps = 1e-8F, .clip = 0.5F,
                            .correction1 = 0.19F, .correction2 = 0.0975F, .key = 77};
    struct mat w = side_mat(s, 1, 1, n, F32, 0, 1), g = side_mat(s, 2, 1, n, F32, 0, 1);
    *slot = (struct slot){.w = w.p, .g = g.p, .n = n, .moment = t, .lr_scale = 1};
    slot->m = side_take(s, (size_t)n * 2);
    slot->v = side_take(s, (size_t)n * 2);
    slot->m_scale = side_take(s, (size_t)n);
    slot->v_scale = side_take(s, (size_t)n);
    s->k->adamw(s->d, slot, 1, block);
    s->k->adamw(s->d, slot, 1, block);
    side_sync(s);
}

static void narrow_moments_draw_as_the_reference_does(void **state) {
    enum { N = 3000 };
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct slot a, b;
        size_t bytes = i ? N : N * 2, other_m = 0, other_v = 0;
        side_reset(&ref);
        side_reset(&gpu);
        stored_moments(&ref, i ? U8 : BF16, &a, N);
        stored_moments(&gpu, i ? U8 : BF16, &b, N);
        for (size_t j = 0; j < bytes; j++) {
            other_m += ((uint8_t *)a.m)[j] != ((uint8_t *)b.m)[j];
            other_v += ((uint8_t *)a.v)[j] != ((uint8_t *)b.v)[j];
        }
        assert_in_range(other_m, 0, N / 100);
        assert_in_range(other_v, 0, N / 100);
    }
}

static void not_a_number_is_passed_on(void **state) {
    static const int32_t start[] = {0, 20}, target[2] = {3, 3};
    struct attention a = {.heads = 1, .kv_heads = 1, .head_dim = 8, .scale = 1};
    struct seqs whole = {start, 1, 20};
    (void)state;
    side_reset(&gpu);
    struct block *block = side_take(&gpu, sizeof *block);
    *block = (struct block){.inv_trained = 1, .max_norm = 1};
    struct mat x = side_mat(&gpu, 1, 2, 70, F32, 0, 1), none = {0};
    side_set(&x, 1, 69, NAN);
    float *loss = side_take(&gpu, 64);
    gpu.k->xent(gpu.d, loss, none, x, side_ints(&gpu, target, 2), block);
    gpu.k->total(gpu.d, block, loss, 2);
    gpu.k->clip(gpu.d, block);
    side_sync(&gpu);
    assert_true(isfinite(loss[0]) && isnan(loss[1]));
    assert_int_equal(block->skipped, 1);
    for (int t = F32; t <= BF16; t++) {
        struct mat q = side_mat(&gpu, 2, 20, 8, (enum dtype)t, 0, 1),
                   o = side_mat(&gpu, 3, 20, 8, (enum dtype)t, 0, 1);
        side_set(&q, 10, 4, NAN);
        gpu.k->attn(gpu.d, o, NULL, q, q, q, whole, whole, &a);
        side_sync(&gpu);
        assert_true(isfinite(side_float(&o, 9, 0)) && isnan(side_float(&o, 10, 0)) &&
                    isnan(side_float(&o, 19, 0)));
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
    struct CMUnitTest tests[COUNT_OF(table) + 3];
    char names[COUNT_OF(table)][96];
    for (size_t n = 0; n < COUNT_OF(table); n++) {
        snprintf(names[n], sizeof names[n], "%s_agrees_with_ref_in_every_schedule", table[n].name);
        tests[n] = (struct CMUnitTest){
            .name = names[n], .test_func = agrees, .initial_state = (void *)(uintptr_t)&table[n]};
    }
    tests[COUNT_OF(table)] = (struct CMUnitTest)cmocka_unit_test(documents_do_not_touch);
    tests[COUNT_OF(table) + 1] = (struct CMUnitTest)cmocka_unit_test(not_a_number_is_passed_on);
    tests[COUNT_OF(table) + 2] =
        (struct CMUnitTest)cmocka_unit_test(narrow_moments_draw_as_the_reference_does);
    int failed = _cmocka_run_group_tests("cuda", tests, COUNT_OF(tests), NULL, NULL);
    side_close(&ref);
    side_close(&gpu);
    return failed != 0;
}
