/* t_moments.c - AdamW with moments in fewer bits: the mean of what is kept is the true value, small
 * changes are not lost, no divisor vanishes, and it ends where a double ends. Both backends. */
#include "tests/kernels/side.h"

enum { N = 1000, BLOCKS = 4 }; /* elements: three whole blocks and a part of one */
static struct side sides[2];
static const enum dtype narrow[] = {BF16, U8};

struct one { struct slot slot; struct block *block; float *w, *g; };

static struct one one_make(struct side *s, enum dtype t) {
    struct one x;
    side_reset(s);
    x.w = side_take(s, N * sizeof(float));
    x.g = side_take(s, N * sizeof(float));
    x.slot = (struct slot){.w = x.w, .g = x.g, .m = side_take(s, N * 4), .v = side_take(s, N * 4),
                           .m_scale = side_take(s, BLOCKS * 4), .n = N, .moment = t,
                           .v_scale = side_take(s, BLOCKS * 4), .lr_scale = 1};
    x.block = side_take(s, sizeof *x.block);
    *x.block = (struct block){.beta1 = 0.9f, .beta2 = 0.95f, .eps = 1e-8f, .clip = 1,
                              .correction1 = 1, .correction2 = 1};
    return x;
}

static void step(struct side *s, struct one *x, uint64_t key) {
    x->block->key = kernels_key((struct draw){.seed = 3, .step = (uint32_t)key});
    s->k->adamw(s->d, &x->slot, 1, x->block);
}

static void clear(struct one *x) {
    memset(x->slot.m, 0, N * 4);
    memset(x->slot.v, 0, N * 4);
}

#define EACH_SIDE(s, t)                                                                            \
    for (struct side *s = sides; s < sides + 2; s++)                                               \
        for (const enum dtype *t = narrow; t < narrow + 2; t++)

/* 0.3, -1e-3 and the like, over four decades, so that blocks hold large and small ones. */
static float some(int i) {
    return side_number(7, (uint64_t)i) * powf(10, -(float)(i % 5));
}

/* Many first steps from nothing: their mean is (1 - beta) times the gradient or its square, and no
 * single one is farther from it than a step of the type. */
static void what_is_kept_is_right_in_the_mean(void **state) {
    (void)state;
    enum { DRAWS = 2000 };
    static double sums[2][N];
    EACH_SIDE(s, t) {
        struct one x = one_make(s, *t);
        memset(sums, 0, sizeof sums);
        for (int i = 0; i < N; i++) x.g[i] = some(i);
        for (int k = 0; k < DRAWS; k++) {
            clear(&x);
            step(s, &x, (uint64_t)k);
            for (int i = 0; i < N; i++)
                for (int j = 0; j < 2; j++) sums[j][i] += (double)side_moment(&x.slot, j, i);
        }
        for (int i = 0; i < N; i++)
            for (int j = 0; j < 2; j++) {
                double g = (double)x.g[i], want = j ? 0.05 * g * g : 0.1 * g;
                double first = i / 256 * 256, last = first + 256 > N ? N : first + 256, top = 0;
                for (int b = (int)first; b < (int)last; b++)
                    top = fmax(top, j ? 0.05 * pow((double)x.g[b], 2) : 0.1 * fabs((double)x.g[b]));
                /* The widest step is an eighth of the value but at the bottom, where it is 8^-7 or
                 * 8^-8 of the block's largest; five deviations of the mean of the draws. */
                if (j && want < 2 * top * pow(8, -8)) continue; /* stays the least code, not 0 */
                double wide = *t == BF16 ? fabs(want) / 128 : fmax(fabs(want) * 7, top * pow(8, -7));
                if (fabs(sums[j][i] / DRAWS - want) > 5 * wide / 2 / sqrt(DRAWS) + 1e-6 * fabs(want))
                    fail_msg("%s, type %d, moment %d of %g: mean %.9g, not %.9g", s->k->name, *t, j,
                             g, sums[j][i] / DRAWS, want);
            }
    }
}

/* beta2 = 0.999 takes a thousandth a step: far under half of a step of either type. */
static void small_changes_are_not_lost(void **state) {
    (void)state;
    EACH_SIDE(s, t) {
        struct one x = one_make(s, *t);
        double before = 0, after = 0;
        for (int i = 0; i < N; i++) x.g[i] = 0.5f + 0.4f * side_number(9, (uint64_t)i);
        x.block->beta2 = 0;
        step(s, &x, 0); /* v = g^2 */
        for (int i = 0; i < N; i++) before += (double)side_moment(&x.slot, true, i);
        x.block->beta2 = 0.999f;
        memset(x.g, 0, N * sizeof(float));
        for (int k = 1; k <= 1000; k++) step(s, &x, (uint64_t)k);
        for (int i = 0; i < N; i++) after += (double)side_moment(&x.slot, true, i);
        if (fabs(after / before / exp(-1.0005) - 1) > 0.02)
            fail_msg("%s, type %d: %g of v is left after 1,000 steps", s->k->name, *t,
                     after / before);
    }
}

/* A second moment of a billionth of its neighbour's stays more than nothing, and so a step stays
 * about the learning rate at most. */
static void no_divisor_vanishes(void **state) {
    (void)state;
    EACH_SIDE(s, t) {
        struct one x = one_make(s, *t);
        for (int i = 0; i < N; i++) x.g[i] = i % 256 ? 1e-6f * side_number(5, (uint64_t)i) : 1;
        x.block->lr = 1;
        for (int k = 0; k < 100; k++) {
            step(s, &x, (uint64_t)k);
            for (int i = 0; i < N; i++)
                assert_true(x.g[i] == 0 || side_moment(&x.slot, true, i) > 0);
        }
        for (int i = 0; i < N; i++) assert_true(fabsf(x.w[i]) < 300);
    }
}

static void a_step_that_is_left_out_changes_nothing(void **state) {
    (void)state;
    EACH_SIDE(s, t) {
        struct one x = one_make(s, *t);
        static uint8_t kept[2][N * 4];
        for (int i = 0; i < N; i++) x.g[i] = some(i);
        step(s, &x, 1);
        memcpy(kept[0], x.slot.m, N * 4);
        memcpy(kept[1], x.slot.v, N * 4);
        float scale = x.slot.v_scale[1], w = x.w[5];
        x.block->skipped = 1;
        step(s, &x, 2);
        assert_memory_equal(kept[0], x.slot.m, N * 4);
        assert_memory_equal(kept[1], x.slot.v, N * 4);
        assert_true(scale == x.slot.v_scale[1] && w == x.w[5]);
    }
}

/* Both backends draw the same numbers: but for a few on the edge, the same codes. */
static void the_backends_keep_the_same(void **state) {
    (void)state;
    for (const enum dtype *t = narrow; t < narrow + 2; t++) {
        struct one x[2] = {one_make(&sides[0], *t), one_make(&sides[1], *t)};
        for (int j = 0; j < 2; j++) {
            for (int i = 0; i < N; i++) x[j].g[i] = some(i);
            step(&sides[j], &x[j], 11);
        }
        size_t bytes = *t == U8 ? N : 2 * N;
        int others = 0;
        for (size_t i = 0; i < bytes; i++)
            others += ((uint8_t *)x[0].slot.m)[i] != ((uint8_t *)x[1].slot.m)[i] ||
                      ((uint8_t *)x[0].slot.v)[i] != ((uint8_t *)x[1].slot.v)[i];
        if (others > 2) fail_msg("type %d: %d of %zu bytes differ", *t, others, bytes);
    }
}

/* AdamW in double with whole moments. */
struct whole { double w[N], m[N], v[N]; };
static void whole_step(struct whole *x, const float *g, int t, double lr) {
    double correct1 = 1 - pow(0.9, t), correct2 = 1 - pow(0.95, t);
    for (int i = 0; i < N; i++) {
        x->m[i] = 0.9 * x->m[i] + 0.1 * (double)g[i];
        x->v[i] = 0.95 * x->v[i] + 0.05 * (double)g[i] * (double)g[i];
        x->w[i] -= lr * x->m[i] / correct1 / (sqrt(x->v[i] / correct2) + 1e-8);
    }
}

/* Noisy gradients of |w - goal|^2 / 2 in four sizes of which each block holds all, which is hard on
 * codes: the least has an eighth of the digits. 300 steps of a falling rate, the loss against the
 * double's. */
static void it_ends_where_a_double_ends(void **state) {
    (void)state;
    static struct whole whole;
    EACH_SIDE(s, t) {
        struct one x = one_make(s, *t);
        static float g[N];
        double loss[2] = {0}, first = 0;
        memset(&whole, 0, sizeof whole);
        for (int k = 1; k <= 300; k++) {
            double lr = 0.05 * (1 - k / 301.0);
            x.block->lr = (float)lr;
            x.block->correction1 = (float)(1 - pow(0.9, k));
            x.block->correction2 = (float)(1 - pow(0.95, k));
            for (int i = 0; i < N; i++) {
                double size = pow(10, -(double)(i % 4)), goal = (double)side_number(3, (uint64_t)i);
                double noise = 0.3 * (double)side_number(1000 + (unsigned)k, (uint64_t)i);
                x.g[i] = (float)(size * ((double)x.w[i] - goal + noise));
                g[i] = (float)(size * (whole.w[i] - goal + noise));
            }
            whole_step(&whole, g, k, lr);
            step(s, &x, (uint64_t)k);
        }
        for (int i = 0; i < N; i++) {
            double goal = (double)side_number(3, (uint64_t)i);
            first += goal * goal;
            loss[0] += (whole.w[i] - goal) * (whole.w[i] - goal);
            loss[1] += ((double)x.w[i] - goal) * ((double)x.w[i] - goal);
        }
        print_message("# %s, type %d: %.6f of the first loss is left, of a double %.6f\n",
                      s->k->name, *t, loss[1] / first, loss[0] / first);
        double most = *t == BF16 ? 0.01 : 0.15;
        assert_true(loss[1] < loss[0] * (1 + most) && loss[1] > loss[0] * (1 - most));
    }
}

int main(void) {
    static const char *const names[] = {"ref", "cpu"};
    char why[512] = "";
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_kept_is_right_in_the_mean),
        cmocka_unit_test(small_changes_are_not_lost),
        cmocka_unit_test(no_divisor_vanishes),
        cmocka_unit_test(a_step_that_is_left_out_changes_nothing),
        cmocka_unit_test(the_backends_keep_the_same),
        cmocka_unit_test(it_ends_where_a_double_ends),
    };
    for (int i = 0; i < 2; i++)
        if (!side_open(&sides[i], names[i], 2, why, sizeof why))
            return printf("1..1\nnot ok 1 - %s: %s\n", names[i], why), 1;
    int failed = cmocka_run_group_tests_name("moments", tests, NULL, NULL);
    for (int i = 0; i < 2; i++) side_close(&sides[i]);
    return failed;
}
