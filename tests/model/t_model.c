/* t_model.c - what must not change a bit, or hardly: neighbours in a window, the cut into
 * micro-batches, recomputation, threads, a chat in between; and what a cache and a sampler must
 * give. */
#include "tests/model/tiny.h"

#ifndef BACKENDS /* built again for cuda (kernels/cuda/cuda.mk) */
#define BACKENDS "ref", "cpu"
#endif
static const char *const backends[] = {BACKENDS};

/* Documents of given lengths, ids from a seed, all but the last token of each trained. */
static struct batch made_batch(struct tiny *t, const int *lengths, int n, uint64_t seed)
{
    int rows = 0;
    for (int i = 0; i < n; i++) rows += lengths[i];
    struct batch b = batch_make(&t->a, rows);
    b.n_seqs = n;
    for (int s = 0; s < n; s++) {
        for (int i = 0; i < lengths[s]; i++) {
            b.ids[b.rows] = (int32_t)(rand_at(seed, (uint64_t)b.rows) % (uint64_t)t->config.vocab);
            b.pos[b.rows++] = i;
        }
        b.start[s + 1] = b.rows;
        b.longest = lengths[s] > b.longest ? lengths[s] : b.longest;
    }
    for (int s = 0; s < n; s++)
        for (int i = b.start[s]; i < b.start[s + 1]; i++) {
            b.targets[i] = i + 1 < b.start[s + 1] ? b.ids[i + 1] : -1;
            b.trained += b.targets[i] >= 0;
        }
    return b;
}

/* Some documents of a batch as a batch of their own. */
static struct batch part_of(struct tiny *t, const struct batch *b, int first, int n)
{
    int at = b->start[first], rows = b->start[first + n] - at;
    struct batch p = batch_make(&t->a, rows);
    p.rows = rows;
    p.n_seqs = n;
    p.longest = b->longest;
    for (int i = 0; i <= n; i++) p.start[i] = b->start[first + i] - at;
    for (int i = 0; i < rows; i++) {
        p.ids[i] = b->ids[at + i];
        p.pos[i] = b->pos[at + i];
        p.targets[i] = b->targets[at + i];
        p.trained += p.targets[i] >= 0;
    }
    return p;
}

static void document_one_does_not_touch_document_two(void **state)
{
    (void)state;
    struct tiny t;
    for (size_t i = 0; i < COUNT(backends); i++) {
        if (!tiny_begin(&t, "gqa", backends[i], 2)) continue;
        tiny_open(&t);
        struct batch b = made_batch(&t, (const int[]){11, 13}, 2, 1);
        float *before = tiny_logits(&t, &b);
        for (int r = 0; r < 11; r++) b.ids[r] = (b.ids[r] + 1) % t.config.vocab;
        float *after = tiny_logits(&t, &b);
        int64_t at = (int64_t)11 * t.config.vocab, n = (int64_t)13 * t.config.vocab;
        assert_memory_equal(before + at, after + at, (size_t)n * sizeof *before);
        assert_memory_not_equal(before, after, (size_t)at * sizeof *before);
        tiny_close(&t);
    }
}

static void micro_batches_of_any_size_give_one_step(void **state)
{
    (void)state;
    static const int each[] = {8, 4, 1};
    for (size_t i = 0; i < COUNT(backends); i++) {
        struct step_result r[3];
        float *logits[3], *last = NULL;
        int64_t n = 0;
        struct tiny t[3];
        for (int c = 0; c < 3; c++) {
            if (!tiny_begin(&t[c], "gqa", backends[i], 2)) goto next;
            tiny_open(&t[c]);
            struct batch all = made_batch(&t[c], (const int[]){7, 3, 9, 2, 11, 5, 8, 6}, 8, 2),
                         micro[8];
            for (int k = 0; k < 8; k += each[c])
                micro[k / each[c]] = part_of(&t[c], &all, k, each[c]);
            r[c] = tiny_step(&t[c], 1, 1e-3f, micro, 8 / each[c]);
            logits[c] = tiny_logits(&t[c], &all);
            n = (int64_t)all.rows * t[c].config.vocab;
            assert_true(fabs(r[c].loss - r[0].loss) <= 1e-6);
            assert_true(fabs(r[c].grad_norm / r[0].grad_norm - 1) <= 1e-6);
            assert_true(farthest(logits[c], logits[0], n) <=
                        2e-5); /* AdamW's first step has the sign of the gradient */
            last = logits[c];
        }
        assert_non_null(last);
        for (int c = 0; c < 3; c++) tiny_close(&t[c]);
    next:;
    }
}

/* What a few steps of everything leave behind, as text: dropout, noise, accumulation, adapters or
 * all weights. */
struct policy { enum recompute kind; int layers; };
static char *trained_hash(struct tiny *t, const char *backend, int threads, struct policy policy,
                          bool lora, enum dtype compute, bool chat)
{
    if (!tiny_begin(t, lora ? "gqa" : "odd", backend, threads)) return NULL; /* two layers, three */
    if (lora) {
        tiny_adapter(t, "lora-all");
        t->training.lora.dropout = 0.1f;
    }
    t->training.recompute = policy.kind;
    t->training.recompute_layers = policy.layers;
    t->training.compute = compute;
    t->training.neftune_alpha = 5;
    if (chat) t->shape.cache_tokens = 40;
    tiny_open(t);
    struct sampling s = {.temperature = 1, .top_p = 0.9f, .repetition_penalty = 1.1f, .top_k = 20};
    for (int step = 1; step <= 3; step++) {
        struct batch all = made_batch(t, (const int[]){9, 12, 4, 20}, 4, (uint64_t)step);
        struct step_result r;
        struct update u = update_of(step, 1e-2f, all.trained);
        model_begin(t->m, &u);
        for (int i = 0; i < 2; i++) {
            struct batch b = part_of(t, &all, i * 2, 2);
            int32_t next = 1;
            model_step(t->m, &b,
                       (struct draw){.seed = 9, .step = (uint32_t)step, .micro = (uint32_t)i});
            assert_int_equal(model_cached(t->m), 0); /* the step used its place */
            float losses[64];
            if (chat) assert_true(model_losses(t->m, &b, losses, &t->err));
            for (int k = 0; chat && k < 8; k++)
                assert_true(model_next(t->m, &next, 1, &s, &next, 1,
                                       (struct draw){.seed = 4, .step = (uint32_t)k}, &next,
                                       &t->err));
        }
        assert_true(model_update(t->m, &r, &t->err));
        assert_false(r.skipped);
    }
    return tiny_hash(t);
}

static void expect_equal_hashes(const char *what, char (*h)[33], int n)
{
    for (int i = 1; i < n; i++)
        if (strcmp(h[i], h[0]) != 0)
            fail_msg("%s: run %d ends with %s, run 0 with %s", what, i, h[i], h[0]);
}

static void keep_hash(char out[33], struct tiny *t, char *hash)
{
    memcpy(out, hash, 33);
    tiny_close(t);
}

static void every_recompute_policy_gives_the_same_bits(void **state)
{
    (void)state;
    static const struct policy policies[] = {
        {RECOMPUTE_NONE, 0},      {RECOMPUTE_NORMS, 0},     {RECOMPUTE_SELECTIVE, 0},
        {RECOMPUTE_ATTENTION, 0}, {RECOMPUTE_FULL, 0},      {RECOMPUTE_NORMS, 1},
        {RECOMPUTE_SELECTIVE, 1}, {RECOMPUTE_ATTENTION, 1}, {RECOMPUTE_FULL, 1},
        {RECOMPUTE_ATTENTION, 2}, {RECOMPUTE_FULL, 2}};
    struct tiny t;
    for (size_t b = 0; b < COUNT(backends); b++)
        for (int kind = 0; kind < 4; kind++) {
            char h[COUNT(policies)][33], *got;
            int n = 0;
            for (size_t p = 0; p < COUNT(policies); p++)
                if ((got = trained_hash(&t, backends[b], 2, policies[p], kind & 1,
                                        kind & 2 ? BF16 : F32, false)))
                    keep_hash(h[n++], &t, got);
            expect_equal_hashes("recompute", h, n);
        }
}

static void one_to_four_threads_give_the_same_bits(void **state)
{
    (void)state;
    struct tiny t;
    for (int kind = 0; kind < 4; kind++) {
        char h[4][33], *got;
        for (int threads = 1; threads <= 4; threads++) {
            got = trained_hash(&t, "cpu", threads, (struct policy){0}, kind & 1,
                               kind & 2 ? BF16 : F32, false);
            if (!got) skip();
            keep_hash(h[threads - 1], &t, got);
        }
        expect_equal_hashes("threads", h, 4);
    }
}

static void a_chat_between_micro_batches_changes_no_bit(void **state)
{
    (void)state;
    struct tiny t;
    for (size_t b = 0; b < COUNT(backends); b++)
        for (int kind = 0; kind < 10; kind++) {
            char h[2][33], *got;
            int n = 0;
            struct policy policy = {(enum recompute)(kind / 2), 0};
            for (int chat = 0; chat < 2; chat++)
                if ((got = trained_hash(&t, backends[b], 2, policy, kind & 1, F32, chat)))
                    keep_hash(h[n++], &t, got);
            expect_equal_hashes("chat", h, n);
        }
}

static void dropout_and_noise_depend_on_the_key(void **state)
{
    (void)state;
    struct tiny t;
    double losses[3];
    for (int i = 0; i < 3; i++) {
        struct step_result r;
        assert_true(tiny_begin(&t, "gqa", "ref", 1));
        tiny_adapter(&t, "lora-all");
        t.training.lora.dropout = 0.3f;
        tiny_open(&t);
        struct batch b = made_batch(&t, (const int[]){12, 9}, 2, 1);
        struct update u = update_of(1, 1e-3f, b.trained);
        model_begin(t.m, &u);
        model_step(t.m, &b, (struct draw){.seed = 1, .micro = i == 2});
        assert_true(model_update(t.m, &r, &t.err));
        losses[i] = r.loss;
        tiny_close(&t);
    }
    assert_true(losses[0] == losses[1]);
    assert_true(losses[0] != losses[2]);
}

/* ---- generation ---- */

static void the_cache_gives_the_logits_of_the_whole_text(void **state)
{
    (void)state;
    struct tiny t;
    struct sampling greedy = {.temperature = 0, .top_p = 1, .repetition_penalty = 1};
    for (size_t i = 0; i < COUNT(backends); i++) {
        if (!tiny_begin(&t, "llama3", backends[i], 2)) continue;
        t.training.n_parts = 0;
        t.shape =
            (struct model_shape){.rows = 30, .longest = 30, .loss_rows = 1, .cache_tokens = 30};
        tiny_open(&t);
        struct batch b = made_batch(&t, (const int[]){30}, 1, 3);
        int32_t next = 0, last = 0;
        memset(b.targets, -1, 30 * sizeof *b.targets);
        for (int n = 0; n < 30; n += n ? 1 : 5) {
            if (n) b.ids[n] = next;
            assert_true(model_next(t.m, &b.ids[n], n ? 1 : 5, &greedy, NULL, 0, (struct draw){0},
                                   &next, &t.err));
        }
        last = next;
        assert_int_equal(model_cached(t.m), 30);
        assert_memory_equal(model_cached_ids(t.m), b.ids, 30 * sizeof *b.ids);
        assert_false(model_next(t.m, &next, 1, &greedy, NULL, 0, (struct draw){0}, &next, &t.err));
        assert_non_null(strstr(t.err.text, "context of 30 tokens is full"));
        model_rewind(t.m, 5);
        assert_true(
            model_next(t.m, &b.ids[5], 1, &greedy, NULL, 0, (struct draw){0}, &next, &t.err));
        assert_int_equal(next, b.ids[6]);
        float *all = tiny_logits(&t, &b);
        for (int n = 4; n < 30; n++) {
            float *row = all + (int64_t)n * t.config.vocab;
            int best = 0;
            for (int v = 0; v < t.config.vocab; v++) best = row[v] > row[best] ? v : best;
            assert_int_equal(best, n < 29 ? b.ids[n + 1] : last);
        }
        assert_int_equal(model_cached(t.m), 0); /* the batch took its place */
        tiny_close(&t);
    }
}

static void a_long_prompt_is_read_in_pieces(void **state)
{
    (void)state;
    struct tiny t;
    struct sampling s = {.temperature = 0.8f, .top_p = 1, .repetition_penalty = 1};
    int32_t drawn[2];
    for (int i = 0; i < 2; i++) {
        assert_true(tiny_begin(&t, "gqa", "ref", 1));
        t.training.n_parts = 0;
        t.shape = (struct model_shape){
            .rows = i ? 4 : 23, .longest = 4, .loss_rows = 1, .cache_tokens = 32};
        tiny_open(&t);
        struct batch b = made_batch(&t, (const int[]){23}, 1, 3);
        assert_true(
            model_next(t.m, b.ids, 23, &s, NULL, 0, (struct draw){.seed = 8}, &drawn[i], &t.err));
        tiny_close(&t);
    }
    assert_int_equal(drawn[0], drawn[1]);
}

static void the_adapter_can_be_turned_off(void **state)
{
    (void)state;
    struct tiny t;
    assert_true(tiny_begin(&t, "gqa", "ref", 1));
    struct batch b = recorded_batch(&t, 0);
    int n;
    float *base = recorded(&t, "logits", &n);
    tiny_adapter(&t, "lora-all");
    t.training.lora.dropout = 0.5f; /* of training alone */
    t.training.n_parts = 0;
    tiny_open(&t);
    assert_true(farthest(tiny_logits(&t, &b), recorded(&t, "logits", NULL), n) <= 1e-4);
    model_use_adapter(t.m, false);
    assert_true(farthest(tiny_logits(&t, &b), base, n) <= 1e-4);
    tiny_close(&t);
}

/* ---- what only a broken caller or file can do ---- */

static void bad_batches_are_sentences(void **state)
{
    (void)state;
    struct tiny t;
    struct step_result r;
    float losses[64];
    assert_true(tiny_begin(&t, "gqa", "ref", 1));
    tiny_open(&t);
    struct batch b = made_batch(&t, (const int[]){6}, 1, 1);
    b.ids[2] = t.config.vocab;
    assert_false(model_losses(t.m, &b, losses, &t.err));
    assert_non_null(strstr(t.err.text, "token 96 in row 2 is not in the vocabulary of 96"));
    struct update u = update_of(1, 1, 5);
    char *before = tiny_hash(&t);
    model_begin(t.m, &u);
    model_step(t.m, &b, (struct draw){0});
    assert_false(model_update(t.m, &r, &t.err));
    assert_string_equal(before, tiny_hash(&t));
    tiny_close(&t);
}

static void a_step_that_is_not_finite_or_over_a_limit_changes_nothing(void **state)
{
    (void)state;
    struct tiny t;
    struct step_result r;
    assert_true(tiny_begin(&t, "tied", "ref", 1));
    tiny_open(&t);
    struct batch b = recorded_batch(&t, 0);
    char *before = tiny_hash(&t);
    for (int i = 0; i < 2; i++) {
        struct update u = update_of(1, 1e-2f, b.trained);
        if (i) u.loss_limit = 1e-3;
        else u.norm_limit = 1e-3;
        model_begin(t.m, &u);
        model_step(t.m, &b, (struct draw){0});
        assert_true(model_update(t.m, &r, &t.err));
        assert_true(r.skipped);
        assert_string_equal(before, tiny_hash(&t));
    }
    assert_false(tiny_step(&t, 1, 1e-2f, &b, 1).skipped);
    assert_string_not_equal(before, tiny_hash(&t));
    tiny_close(&t);
}

/* The model's folder again, with one weight of tensor `name` that is no number. */
static void spoil(struct tiny *t, const char *dir, const char *name, float value)
{
    struct text weights, config;
    struct tensors in;
    const char *from = path_join(&t->a, t->files.base, "model.safetensors");
    if (!file_read(&weights, from, 1 << 24, &t->a, &t->err) ||
        !file_read(&config, path_join(&t->a, t->files.base, "config.json"), 1 << 20, &t->a,
                   &t->err) ||
        !tensors_open(&in, from, &t->a, &t->err))
        fail_msg("%s", t->err.text);
    const struct tensor *x = tensors_find(&in, name);
    assert_true(x && (x->type == T_F32 || x->type == T_BF16));
    size_t each = x->type == T_F32 ? 4 : 2; /* BF16 is the upper half of F32 */
    char *bytes = arena_string(&t->a, weights.p, weights.n);
    memcpy(bytes + x->at + 7 * each, (const char *)&value + sizeof value - each, each);
    tensors_close(&in);
    if (!file_replace(path_join(&t->a, dir, "model.safetensors"), (struct text){bytes, weights.n},
                      &t->err) ||
        !file_replace(path_join(&t->a, dir, "config.json"), config, &t->err))
        fail_msg("%s", t->err.text);
    t->files.base = dir;
}

/* NaN and infinity come out as what they are, and no weight, master or moment takes them in. */
static void nan_is_shown_as_nan_and_reaches_no_weight(void **state)
{
    (void)state;
    static const float values[] = {NAN, INFINITY, -INFINITY};
    static const char *const names[] = {"model.embed_tokens.weight", "model.norm.weight",
                                        "model.layers.0.mlp.down_proj.weight"};
    char dir[] = "/tmp/hone-nan-XXXXXX";
    struct tiny t;
    assert_non_null(mkdtemp(dir));
    for (size_t i = 0; i < COUNT(backends) * COUNT(values) * COUNT(names); i++) {
        float value = values[i / COUNT(backends) % COUNT(values)];
        if (!tiny_begin(&t, "tied", backends[i % COUNT(backends)], 2)) continue;
        spoil(&t, dir, names[i / COUNT(backends) / COUNT(values)], value);
        tiny_open(&t);
        struct batch b = recorded_batch(&t, 0);
        b.ids[0] = 0; /* the spoilt row of the embedding is read */
        char *before = tiny_hash(&t);
        struct step_result r = tiny_step(&t, 1, 1e-2f, &b, 1);
        if (!r.skipped || (isfinite(r.loss) && isfinite(r.grad_norm)))
            fail_msg("%g: skipped %d, loss %g, norm %g", (double)value, r.skipped, r.loss,
                     r.grad_norm);
        assert_string_equal(before, tiny_hash(&t));
        tiny_close(&t);
    }
    struct err err;
    assert_true(dir_remove(dir, &err));
}

static void losses_are_those_of_the_labels(void **state)
{
    (void)state;
    struct tiny t;
    for (size_t i = 0; i < COUNT(backends); i++) {
        if (!tiny_begin(&t, "gqa", backends[i], 2)) continue;
        t.training.neftune_alpha = 5; /* of training alone */
        tiny_open(&t);
        struct batch b = recorded_batch(&t, 0);
        float losses[64], *all = recorded(&t, "logits", NULL);
        assert_true(model_losses(t.m, &b, losses, &t.err));
        for (int r = 0; r < b.rows; r++) {
            const float *x = all + (int64_t)r * t.config.vocab;
            double sum = 0;
            for (int v = 0; v < t.config.vocab; v++) sum += exp((double)x[v]);
            double want = b.targets[r] < 0 ? 0 : log(sum) - (double)x[b.targets[r]];
            assert_true(fabs((double)losses[r] - want) <= 1e-4);
        }
        tiny_close(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(document_one_does_not_touch_document_two),
        cmocka_unit_test(micro_batches_of_any_size_give_one_step),
        cmocka_unit_test(every_recompute_policy_gives_the_same_bits),
        cmocka_unit_test(one_to_four_threads_give_the_same_bits),
        cmocka_unit_test(a_chat_between_micro_batches_changes_no_bit),
        cmocka_unit_test(dropout_and_noise_depend_on_the_key),
        cmocka_unit_test(the_cache_gives_the_logits_of_the_whole_text),
        cmocka_unit_test(a_long_prompt_is_read_in_pieces),
        cmocka_unit_test(the_adapter_can_be_turned_off),
        cmocka_unit_test(bad_batches_are_sentences),
        cmocka_unit_test(a_step_that_is_not_finite_or_over_a_limit_changes_nothing),
        cmocka_unit_test(nan_is_shown_as_nan_and_reaches_no_weight),
        cmocka_unit_test(losses_are_those_of_the_labels),
    };
    cmocka_set_test_filter(getenv("HONE_TESTS"));
    return cmocka_run_group_tests_name("model", tests, NULL, NULL);
}
