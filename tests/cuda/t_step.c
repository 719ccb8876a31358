/* t_step.c - a model's steps on the CUDA backend with fakes: what is allocated is what was planned,
 * a step allocates nothing and waits once, the order of streams changes no bit, and whatever call
 * fails in a step, its update says so. HONE_TWIN=fibers: the kernels themselves; HONE_TESTS: some. */
#include "tests/cuda/twin.h"
#include "tests/model/tiny.h"

static const char *const orders[] = {"eager", "lazy", "odd", "even"};

static void begin(struct tiny *t, bool lora, enum dtype compute)
{
    const char *name = getenv("HONE_TWIN");
    twin_load(name && *name ? name : "ref");
    setenv("HONE_BUILD", twin.folder, 1);
    assert_true(tiny_begin(t, "gqa", "cuda", 1));
    if (lora) {
        tiny_adapter(t, "lora-all");
        t->training.lora.dropout = 0.1f;
    }
    t->training.compute = compute;
    t->training.neftune_alpha = 5;
}

static void step(struct tiny *t, int64_t n)
{
    struct batch b[2] = {recorded_batch(t, 0), recorded_batch(t, 1)};
    tiny_step(t, n, 1e-2f, b, 2);
}

static void what_is_planned_is_what_is_allocated(void **state)
{
    (void)state;
    NEEDS_TWIN();
    struct tiny t;
    for (int kind = 0; kind < 4; kind++) {
        begin(&t, kind & 1, kind & 2 ? BF16 : F32);
        struct fake_counts before = twin_counts();
        tiny_open(&t);
        struct fake_counts after = twin_counts();
        assert_int_equal(after.bytes - before.bytes, t.layout.bytes);
        assert_int_equal(after.allocations - before.allocations, 1);
        for (int i = 1; i < 3; i++) step(&t, i);
        assert_int_equal(twin_counts().bytes, after.bytes);
        tiny_close(&t);
        assert_int_equal(twin_counts().bytes, 0);
        assert_null(twin.damage());
    }
}

/* After the first step, in which products search their algorithms. */
static void a_step_allocates_nothing_and_waits_once(void **state)
{
    (void)state;
    NEEDS_TWIN();
    struct tiny t;
    for (int kind = 0; kind < 4; kind++) {
        begin(&t, kind & 1, kind & 2 ? BF16 : F32);
        tiny_open(&t);
        step(&t, 1);
        struct batch b[2] = {recorded_batch(&t, 0), recorded_batch(&t, 1)};
        struct fake_counts before = twin_counts();
        tiny_step(&t, 2, 1e-2f, b, 2);
        struct fake_counts after = twin_counts();
        assert_int_equal(after.allocations, before.allocations);
        assert_int_equal(after.host_allocations, before.host_allocations);
        assert_int_equal(after.waits, before.waits + 1);
        assert_true(after.products > before.products && after.launches > before.launches);
        tiny_close(&t);
    }
}

static void the_order_of_streams_changes_no_bit(void **state)
{
    (void)state;
    NEEDS_TWIN();
    struct tiny t;
    for (int kind = 0; kind < 4; kind++) {
        char *first = NULL, hash[33];
        for (size_t o = 0; o < COUNT(orders); o++) {
            begin(&t, kind & 1, kind & 2 ? BF16 : F32);
            twin.order(orders[o]);
            tiny_open(&t);
            for (int i = 1; i < 4; i++) step(&t, i);
            char *now = tiny_hash(&t);
            if (first && strcmp(first, now) != 0) fail_msg("%s: %s", orders[o], now);
            if (!first) first = memcpy(hash, now, 33);
            tiny_close(&t);
        }
    }
    twin.order("lazy");
}

/* Without the library, and with other algorithms, the bits are others; with what was kept, the same. */
static void kept_algorithms_give_the_same_bits(void **state)
{
    (void)state;
    NEEDS_TWIN();
    struct tiny t;
    char hash[3][33];
    for (int i = 0; i < 3; i++) {
        begin(&t, false, BF16);
        if (i == 2) { /* opened again without the library */
            t.k->close(t.d);
            setenv("HONE_CUDA", "/nowhere", 1);
            assert_true(t.k->open(&t.d, 0, NULL, hash[2], sizeof hash[2]));
            setenv("HONE_CUDA", twin.libraries, 1);
        }
        tiny_open(&t);
        for (int s = 1; s < 3; s++) step(&t, s);
        memcpy(hash[i], tiny_hash(&t), 33);
        tiny_close(&t);
    }
    assert_string_equal(hash[0], hash[1]);
    assert_string_not_equal(hash[0], hash[2]);
}

/* ---- failures ---- */

static bool try_step(struct tiny *t, struct batch *b, struct step_result *r)
{
    struct update u = update_of(2, 1e-2f, b[0].trained + b[1].trained);
    model_begin(t->m, &u);
    for (int i = 0; i < 2; i++) model_step(t->m, &b[i], (struct draw){.micro = (uint32_t)i});
    return model_update(t->m, r, &t->err);
}

static void whatever_fails_in_a_step_is_said_by_its_update(void **state)
{
    (void)state;
    NEEDS_TWIN();
    struct tiny t;
    char names[4096];
    int64_t most[32];
    int n = 0, failed = 0;
    begin(&t, false, BF16);
    tiny_open(&t);
    struct batch b[2] = {recorded_batch(&t, 0), recorded_batch(&t, 1)};
    struct step_result r;
    step(&t, 1);
    twin.fail("", 0);
    assert_true(try_step(&t, b, &r));
    twin.names(names, sizeof names);
    for (char *c = names, *e; (e = strchr(c, '\n')); c = e + 1) {
        *e = 0;
        most[n++] = twin.calls(c);
    }
    int i = 0;
    for (char *c = names; i < n; c += strlen(c) + 1, i++)
        for (int64_t nth = 1; nth <= most[i]; nth += 1 + most[i] / 5) {
            twin.fail(c, nth);
            t.err.text[0] = 0;
            if (try_step(&t, b, &r)) fail_msg("call %d of %s failed unsaid", (int)nth, c);
            if (!strstr(t.err.text, "the cuda device failed: ")) fail_msg("%s", t.err.text);
            failed++;
        }
    twin.fail("queued", 40); /* last: the device is lost with it */
    assert_false(try_step(&t, b, &r));
    assert_non_null(strstr(t.err.text, "illegal memory access"));
    assert_true(failed > 20);
    tiny_close(&t);
    twin.reset();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_planned_is_what_is_allocated),
        cmocka_unit_test(a_step_allocates_nothing_and_waits_once),
        cmocka_unit_test(the_order_of_streams_changes_no_bit),
        cmocka_unit_test(kept_algorithms_give_the_same_bits),
        cmocka_unit_test(whatever_fails_in_a_step_is_said_by_its_update),
    };
    cmocka_set_test_filter(getenv("HONE_TESTS"));
    return cmocka_run_group_tests_name("cuda step", tests, NULL, twin_drop);
}
