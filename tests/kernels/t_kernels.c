/* t_kernels.c - every operation of the CPU backend against the reference, for every instruction set
 * that this processor has: one table of operations, one of shapes for each family. Each case runs
 * with 1, 2, 3 and 4 threads and twice, and must give the same bits every time. */
#include "tests/kernels/cases.h"
#include <sys/wait.h>
#include <unistd.h>

enum { SIDES = 6 };
static struct side ref, cpu[SIDES]; /* 1, 2, 3, 4 threads, and 2 again */
static const int threads[SIDES] = {1, 2, 3, 4, 2, 1};

static void agrees(void **state) {
    const struct row *row = *state;
    for (int i = 0; i < row->n; i++) {
        const struct shape_row *r = &row->shapes[i];
        side_reset(&ref);
        row->run(&ref, r);
        for (int t = 0; t < SIDES; t++) {
            side_reset(&cpu[t]);
            row->run(&cpu[t], r);
            if (t == 0) compare(row, r, &ref, &cpu[0]);
            assert_int_equal(cpu[0].outs, cpu[t].outs);
            if (memcmp(cpu[0].out, cpu[t].out, cpu[0].outs * sizeof(float)) != 0)
                fail_msg("%s, case %d: %d threads give other bits than 1", row->name, i,
                         threads[t]);
        }
    }
}

/* Changes all that one document holds and demands the same bits for the other one. */
static void documents_do_not_touch(void **state) {
    (void)state;
    struct attention a = {.heads = 4, .kv_heads = 2, .head_dim = 32, .scale = 0.2F};
    for (int t = F32; t <= BF16; t++) {
        static float kept[1 << 18];
        for (unsigned pass = 0; pass < 2; pass++) {
            struct side *s = &cpu[1];
            side_reset(s);
            static const int32_t start[] = {0, 70, 170};
            struct seqs q = {start, 2, 100};
            struct mat m[9];
            for (unsigned i = 0; i < 9; i++)
                m[i] = side_mat(s, i + 200, 170, i == 1 || i == 2 || i == 6 || i == 7 ? 64 : 128,
                                (enum dtype)t, 0, 1);
            for (int i = 0; i < 4; i++) /* q, k, v, d_o of document 1 */
                for (int row = 0; row < 70; row++)
                    for (int col = 0; col < m[i].cols; col++)
                        side_set(&m[i], row, col, side_float(&m[i], row, col) + (pass ? 3 : 0));
            float *lse = side_take(s, 170 * 4 * sizeof *lse);
            s->k->attn(s->d, m[4], lse, m[0], m[1], m[2], q, q, &a);
            s->k->attn_back(s->d, m[5], m[6], m[7], m[3], m[4], lse, m[0], m[1], m[2], q, &a);
            for (int i = 4; i < 8; i++)
                for (int row = 70; row < 170; row++)
                    for (int col = 0; col < m[i].cols; col++)
                        side_push(s, side_float(&m[i], row, col));
            assert_true(s->outs <= sizeof kept / sizeof *kept);
            if (pass == 0) memcpy(kept, s->out, s->outs * sizeof(float));
            else assert_memory_equal(kept, s->out, s->outs * sizeof(float));
        }
    }
}

static void not_a_number_is_passed_on(void **state) {
    (void)state;
    struct side *s = &cpu[1];
    side_reset(s);
    struct block *block = side_take(s, sizeof *block);
    *block = (struct block){.inv_trained = 1, .max_norm = 1};
    struct mat x = side_mat(s, 1, 2, 70, F32, 0, 1), none = {0};
    side_set(&x, 1, 69, NAN);
    float *loss = side_take(s, 64);
    const int32_t target[2] = {3, 3};
    s->k->xent(s->d, loss, none, x, side_ints(s, target, 2), block);
    assert_true(isfinite(loss[0]) && isnan(loss[1]));
    s->k->total(s->d, block, loss, 2);
    s->k->clip(s->d, block);
    assert_int_equal(block->skipped, 1);
    struct mat q = side_mat(s, 2, 20, 8, F32, 0, 1), o = side_mat(s, 3, 20, 8, F32, 0, 1);
    side_set(&q, 10, 4, NAN);
    static const int32_t start[] = {0, 20};
    struct seqs whole = {start, 1, 20};
    struct attention a = {.heads = 1, .kv_heads = 1, .head_dim = 8, .scale = 1};
    s->k->attn(s->d, o, NULL, q, q, q, whole, whole, &a);
    assert_true(isfinite(side_float(&o, 9, 0)) && isnan(side_float(&o, 10, 0)) &&
                isnan(side_float(&o, 19, 0)));
}

static void the_peak_is_measured(void **state) {
    (void)state;
    double one = cpu[0].k->peak(cpu[0].d, F32), pairs = cpu[0].k->peak(cpu[0].d, BF16);
    assert_true(one > 1e8 && pairs > 1e8);
    assert_true(cpu[0].info.threads == 1 && cpu[3].info.threads == 4);
    assert_string_equal(cpu[0].info.isa, getenv("HONE_ISA"));
}

/* One instruction set: its own process, since a plug-in chooses when it is loaded. */
static int one_isa(const char *isa) {
    char why[512] = "";
    setenv("HONE_ISA", isa, 1);
    printf("# instruction set %s\n", isa);
    if (!side_open(&ref, "ref", 1, why, sizeof why))
        return printf("not ok the reference: %s\n", why), 1;
    for (int t = 0; t < SIDES; t++)
        if (!side_open(&cpu[t], "cpu", threads[t], why, sizeof why)) {
            bool lacking = strstr(why, "this processor offers") != NULL;
            if (lacking) printf("1..1\nok 1 - %s # SKIP this processor does not have it\n", isa);
            else printf("1..1\nnot ok 1 - %s: %s\n", isa, why);
            return !lacking;
        }
    struct CMUnitTest tests[64];
    char names[64][96];
    size_t n = 0;
    for (; n < sizeof table / sizeof table[0]; n++) {
        snprintf(names[n], sizeof names[n], "%s_agrees_with_ref_and_threads (%s)", table[n].name,
                 isa);
        tests[n] = (struct CMUnitTest){.name = names[n],
                                       .test_func = agrees,
                                       .initial_state = (void *)&table[n]};
    }
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(documents_do_not_touch);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(not_a_number_is_passed_on);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(the_peak_is_measured);
    int failed = _cmocka_run_group_tests(isa, tests, n, NULL, NULL);
    side_close(&ref);
    for (int t = 0; t < SIDES; t++) side_close(&cpu[t]);
    return failed != 0;
}

int main(void) {
    static const char *const isas[] = {"avx2", "avx512", "avx512bf16"};
    int failed = 0;
    for (int i = 0; i < 3; i++) {
        int status = 1;
        fflush(stdout);
        pid_t child = fork();
        if (child == 0) {
            int rc = one_isa(isas[i]);
            fflush(stdout);
            _exit(rc);
        }
        if (child < 0 || waitpid(child, &status, 0) < 0 || status != 0) failed = 1;
    }
    return failed;
}
