/* t_save.c - what leaves a model comes back: folders, adapters as PEFT writes them, checkpoints
 * that continue bit by bit; and what rounding does to an adapter. */
#include "tests/model/tiny.h"
#include "engine/model/state.h"
#include <unistd.h>

static char root[] = "/tmp/hone-save-XXXXXX";

static int begin(void **state)
{
    (void)state;
    return mkdtemp(root) ? 0 : -1;
}

static int end(void **state)
{
    struct err err;
    (void)state;
    return dir_remove(root, &err) ? 0 : -1;
}

/* A new folder of its own. */
static char *folder(struct tiny *t)
{
    static int n;
    char *path = arena_printf(&t->a, "%s/%d", root, n++);
    if (!dir_make(path, &t->err)) fail_msg("%s", t->err.text);
    return path;
}

static void check_files(struct tiny *t, const char *dir, const struct saved *s)
{
    assert_true(s->n > 0);
    for (int i = 0; i < s->n; i++) {
        struct text file;
        struct hash h;
        char hash[33];
        if (!file_read(&file, path_join(&t->a, dir, s->files[i].name), 1 << 24, &t->a, &t->err))
            fail_msg("%s", t->err.text);
        hash_start(&h, &t->a);
        hash_add(&h, file.p, file.n);
        assert_string_equal(hash_text(&h, hash), s->files[i].hash);
        assert_true((int64_t)file.n == s->files[i].bytes);
    }
}

static void train(struct tiny *t, int first, int last)
{
    struct batch b[2] = {recorded_batch(t, 0), recorded_batch(t, 1)};
    for (int step = first; step <= last; step++)
        assert_false(tiny_step(t, step, 1e-2f, b, 2).skipped);
}

static void a_trained_model_comes_back_bit_by_bit(void **state)
{
    (void)state;
    static const char *const cases[] = {"tied", "bias", "odd", "llama3"};
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct tiny t;
        struct saved saved = {.n = 0};
        assert_true(tiny_begin(&t, cases[i], "ref", 1));
        tiny_open(&t);
        train(&t, 1, 2);
        char *dir = folder(&t);
        if (!model_save(t.m, dir, T_F32, false, &saved, &t.err)) fail_msg("%s", t.err.text);
        check_files(&t, dir, &saved);
        struct batch b = recorded_batch(&t, 0);
        float *before = tiny_logits(&t, &b);
        tiny_shut(&t);
        t.files.base = dir;
        struct model_config was = t.config;
        if (!model_config_read(&t.config, dir, &t.a, &t.err)) fail_msg("%s", t.err.text);
        assert_true(t.config.type == T_F32 && t.config.tied == was.tied &&
                    t.config.scaling == was.scaling);
        assert_true(t.config.parameters == was.parameters && t.config.n_eos == was.n_eos);
        t.training.n_parts = 0;
        tiny_open(&t);
        assert_memory_equal(before, tiny_logits(&t, &b),
                            (size_t)b.rows * (size_t)t.config.vocab * 4);
        tiny_close(&t);
    }
}

static const char *const part_norms[] = {"norms"};

static void what_is_frozen_is_saved_as_the_file_has_it(void **state)
{
    (void)state;
    struct tiny t;
    struct saved saved = {.n = 0};
    struct tensors base, out;
    assert_true(
        tiny_begin(&t, "mha", "ref", 1)); /* its file is F32, which BF16 in memory would round */
    t.training.parts = part_norms;
    t.training.compute = t.training.frozen = BF16;
    tiny_open(&t);
    train(&t, 1, 1);
    char *dir = folder(&t);
    assert_true(model_save(t.m, dir, T_F32, true, &saved, &t.err));
    assert_true(tensors_open(&base, t.files.base, &t.a, &t.err) &&
                tensors_open(&out, dir, &t.a, &t.err));
    assert_int_equal(base.n, out.n);
    for (int i = 0; i < base.n; i++) {
        int n;
        float *x = tensor_values(&t, &base, base.list[i].name, &n),
              *y = tensor_values(&t, &out, base.list[i].name, NULL);
        bool equal = !memcmp(x, y, (size_t)n * 4), norm = strstr(base.list[i].name, "norm") != NULL;
        if (equal == norm) fail_msg("%s %s", base.list[i].name, equal ? "stayed" : "changed");
    }
    tensors_close(&base);
    tensors_close(&out);
    tiny_close(&t);
}

/* ---- checkpoints ---- */

static void prepare(struct tiny *t, bool lora, enum dtype compute, const char *backend)
{
    if (!tiny_begin(t, "gqa", backend, 2)) skip();
    if (lora) tiny_adapter(t, "lora-all");
    if (lora) t->training.lora.dropout = 0.1f;
    t->training.compute = compute;
    t->training.neftune_alpha = 3;
}

static void two_and_two_steps_are_four(void **state)
{
    (void)state;
    static const enum dtype moments[] = {F32, BF16, U8};
    for (int kind = 0; kind < 24; kind++) {
        const char *backend = kind & 4 ? "cpu" : "ref";
        struct tiny t;
        char hashes[3][33];
        prepare(&t, kind & 1, kind & 2 ? BF16 : F32, backend);
        t.training.moments = moments[kind / 8];
        tiny_open(&t);
        train(&t, 1, 2);
        struct saved saved = {.n = 0};
        char *dir = folder(&t), *half = tiny_hash(&t);
        if (!model_save_training(t.m, dir, &saved, &t.err)) fail_msg("%s", t.err.text);
        check_files(&t, dir, &saved);
        train(&t, 3, 4);
        memcpy(hashes[0], tiny_hash(&t), 33);
        for (int with = 0; with < 2; with++) {
            tiny_shut(&t);
            t.files.training = path_join(&t.a, dir, "training.safetensors");
            t.files.moments = with;
            tiny_open(&t);
            if (with) assert_string_equal(tiny_hash(&t), half);
            train(&t, 3, 4);
            memcpy(hashes[1 + with], tiny_hash(&t), 33);
        }
        assert_string_equal(hashes[2], hashes[0]);
        assert_string_not_equal(hashes[1],
                                hashes[0]); /* without the optimizer's state it is another run */
        tiny_close(&t);
    }
}

static void a_checkpoint_without_moments_is_no_resume(void **state)
{
    (void)state;
    struct tiny t;
    assert_true(tiny_begin(&t, "gqa", "ref", 1));
    t.files.training = GOLDEN "gqa/model.safetensors";
    t.files.moments = true;
    assert_true(layout_make(&t.layout, &t.config, &t.training, &t.shape, &t.info, &t.a, &t.err));
    assert_false(model_open(&t.m, &t.config, &t.training, &t.shape, &t.layout, &t.files, 1, t.k,
                            t.d, &t.a, &t.err));
    assert_non_null(strstr(t.err.text, "model.embed_tokens.weight.m"));
    tiny_close(&t);
}

/* The state of one type is no state of another, and says which it is. */
static void moments_of_another_type_are_no_resume(void **state)
{
    (void)state;
    struct tiny t;
    struct saved saved = {.n = 0};
    assert_true(tiny_begin(&t, "gqa", "ref", 1));
    t.training.moments = U8;
    tiny_open(&t);
    train(&t, 1, 1);
    char *dir = folder(&t);
    assert_true(model_save_training(t.m, dir, &saved, &t.err));
    tiny_shut(&t);
    t.training.moments = BF16;
    t.files.training = path_join(&t.a, dir, "training.safetensors");
    t.files.moments = true;
    assert_true(layout_make(&t.layout, &t.config, &t.training, &t.shape, &t.info, &t.a, &t.err));
    assert_false(model_open(&t.m, &t.config, &t.training, &t.shape, &t.layout, &t.files, 1, t.k,
                            t.d, &t.a, &t.err));
    assert_non_null(strstr(t.err.text, "as 3072 elements of U8; this stage keeps 3072 of BF16"));
    assert_non_null(strstr(t.err.text, "optimizer.state_dtype"));
    tiny_close(&t);
}

/* What a checkpoint promises to take is what it takes, in every type. */
static void a_checkpoint_takes_what_was_said(void **state)
{
    (void)state;
    static const enum dtype moments[] = {F32, BF16, U8};
    int64_t took[3];
    for (int i = 0; i < 3; i++) {
        struct tiny t;
        struct saved saved = {.n = 0};
        assert_true(tiny_begin(&t, "odd", "ref", 1)); /* rows that are no whole blocks */
        t.training.moments = moments[i];
        tiny_open(&t);
        train(&t, 1, 1);
        char *dir = folder(&t);
        assert_true(model_save_training(t.m, dir, &saved, &t.err));
        took[i] = saved.files[0].bytes;
        assert_true(model_save(t.m, dir, T_BF16, false, &saved, &t.err));
        int64_t all = 0, said = model_save_bytes(&t.config, &t.training, T_BF16);
        for (int k = 0; k < saved.n; k++) all += saved.files[k].bytes;
        assert_true(all <= said && said - all < 8192);
        tiny_close(&t);
    }
    assert_true(took[0] > took[1] && took[1] > took[2]);
}

static void masters_win_over_the_base_by_name(void **state)
{
    (void)state;
    struct tiny t;
    struct saved saved = {.n = 0};
    assert_true(tiny_begin(&t, "gqa", "ref", 1));
    tiny_open(&t);
    train(&t, 1, 2);
    char *dir = folder(&t), *hash = tiny_hash(&t);
    assert_true(model_save_training(t.m, dir, &saved, &t.err));
    struct batch b = recorded_batch(&t, 0);
    float *logits = tiny_logits(&t, &b);
    tiny_shut(&t);
    t.files.training = path_join(&t.a, dir, "training.safetensors");
    tiny_open(&t);
    assert_memory_equal(logits, tiny_logits(&t, &b), (size_t)b.rows * (size_t)t.config.vocab * 4);
    assert_string_not_equal(hash, tiny_hash(&t)); /* a new stage begins with moments of zero */
    tiny_close(&t);
}

/* Bit-exact resume needs it: the stage that was cut off read its frozen weights from the base's
 * file too. */
static void what_is_frozen_comes_from_the_base(void **state)
{
    (void)state;
    struct tiny t;
    struct saved saved = {.n = 0};
    float base[32], norm[32], got[32];
    assert_true(tiny_begin(&t, "gqa", "ref", 1));
    tiny_open(&t);
    assert_true(piece_read(t.m, 0, 0, 1, base, &t.a, &t.err));
    train(&t, 1, 2);
    char *dir = folder(&t);
    assert_true(model_save_training(t.m, dir, &saved, &t.err));
    int last = t.m->b.parts.params[t.m->b.parts.norm].piece;
    assert_true(piece_read(t.m, last, 0, 1, norm, &t.a, &t.err));
    tiny_shut(&t);
    t.training.parts = part_norms;
    t.files.training = path_join(&t.a, dir, "training.safetensors");
    tiny_open(&t);
    assert_true(piece_read(t.m, 0, 0, 1, got, &t.a, &t.err));
    assert_memory_equal(got, base, sizeof got);
    assert_true(piece_read(t.m, last, 0, 1, got, &t.a, &t.err));
    assert_memory_equal(got, norm, sizeof got);
    tiny_close(&t);
}

/* Frozen weights that are packed pass through memory that is the moments' later. */
static void moments_begin_at_zero(void **state)
{
    (void)state;
    struct tiny t;
    assert_true(tiny_begin(&t, "gqa", "ref", 1));
    t.training.parts = part_lora;
    t.training.lora = (struct lora){.rank = 1, .alpha = 1, .targets = 1 << LINEAR_Q};
    t.training.compute = BF16;
    tiny_open(&t);
    for (int i = 0; i < t.m->b.parts.n_pieces; i++) {
        const struct piece *p = &t.m->b.parts.pieces[i];
        struct span spans[MOMENT_TENSORS];
        int n = p->trained ? moment_spans(spans, t.m, i) : 0;
        for (int k = 0; k < n; k++) {
            assert_true(span_read(t.m, spans[k].at, spans[k].bytes, &t.err));
            for (int64_t b = 0; b < spans[k].bytes; b++)
                assert_int_equal(((char *)t.m->host.piece)[b], 0);
        }
    }
    tiny_close(&t);
}

/* ---- adapters ---- */

static void an_adapter_is_saved_as_peft_saves_it(void **state)
{
    (void)state;
    static const struct {
        const char *name, *base;
    } cases[] = {{"lora-all", "gqa"}, {"lora-qv", "tied"}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct tiny t;
        struct saved saved = {.n = 0};
        struct tensors peft, ours;
        struct lora l;
        const char *base;
        assert_true(tiny_begin(&t, cases[i].base, "ref", 1));
        tiny_adapter(&t, cases[i].name);
        tiny_open(&t);
        char *dir = folder(&t);
        if (!model_save_adapter(t.m, dir, "some/base", &saved, &t.err)) fail_msg("%s", t.err.text);
        check_files(&t, dir, &saved);
        assert_true(tensors_open(&peft, t.files.adapter, &t.a, &t.err) &&
                    tensors_open(&ours, dir, &t.a, &t.err));
        assert_int_equal(peft.n, ours.n);
        for (int k = 0; k < peft.n; k++) {
            int n;
            float *x = tensor_values(&t, &peft, peft.list[k].name, &n),
                  *y = tensor_values(&t, &ours, peft.list[k].name, NULL);
            assert_memory_equal(peft.list[k].dims, tensors_find(&ours, peft.list[k].name)->dims,
                                sizeof peft.list[k].dims);
            assert_memory_equal(x, y, (size_t)n * 4);
        }
        assert_true(adapter_read(&l, &base, dir, &t.a, &t.err));
        assert_true(l.rank == t.training.lora.rank && l.alpha == t.training.lora.alpha &&
                    l.dropout == t.training.lora.dropout);
        assert_true(l.targets == t.training.lora.targets &&
                    l.rank_stabilised == t.training.lora.rank_stabilised);
        assert_string_equal(base, "some/base");
        tensors_close(&peft);
        tensors_close(&ours);
        tiny_close(&t);
    }
}

static void a_merged_adapter_answers_as_the_adapter_does(void **state)
{
    (void)state;
    static const struct {
        const char *name, *base;
    } cases[] = {{"lora-all", "gqa"}, {"lora-qv", "tied"}};
    for (int i = 0; i < 4; i++) {
        struct tiny t;
        struct saved saved = {.n = 0};
        int n;
        bool merge = i < 2;
        assert_true(tiny_begin(&t, cases[i % 2].base, "ref", 1));
        float *plain = recorded(&t, "logits", NULL);
        tiny_adapter(&t, cases[i % 2].name);
        tiny_open(&t);
        float *want = recorded(&t, "logits", &n);
        struct batch b = recorded_batch(&t, 0);
        char *dir = folder(&t);
        if (!model_save(t.m, dir, T_F32, merge, &saved, &t.err)) fail_msg("%s", t.err.text);
        tiny_shut(&t);
        t.files = (struct model_files){.base = dir};
        t.training = (struct training){.compute = F32, .frozen = F32};
        assert_true(model_config_read(&t.config, dir, &t.a, &t.err));
        tiny_open(&t);
        assert_true(farthest(tiny_logits(&t, &b), merge ? want : plain, n) <= 1e-4);
        tiny_close(&t);
    }
}

static void a_stage_without_adapter_begins_with_the_given_one_merged(void **state)
{
    (void)state;
    struct tiny t;
    int n;
    assert_true(tiny_begin(&t, "gqa", "ref", 1));
    tiny_adapter(&t, "lora-all");
    t.training.lora.rank = 0;
    t.training.parts = part_full;
    tiny_open(&t);
    struct batch b = recorded_batch(&t, 0);
    float *want = recorded(&t, "logits", &n);
    assert_true(farthest(tiny_logits(&t, &b), want, n) <= 1e-4);
    tiny_close(&t);
}

static void an_adapter_of_another_rank_is_a_sentence(void **state)
{
    (void)state;
    struct tiny t;
    assert_true(tiny_begin(&t, "gqa", "ref", 1));
    tiny_adapter(&t, "lora-all");
    t.training.lora.rank = 8;
    assert_true(layout_make(&t.layout, &t.config, &t.training, &t.shape, &t.info, &t.a, &t.err));
    assert_false(model_open(&t.m, &t.config, &t.training, &t.shape, &t.layout, &t.files, 1, t.k,
                            t.d, &t.a, &t.err));
    assert_non_null(strstr(t.err.text, "rank 4"));
    tiny_close(&t);
}

static void new_adapters_change_nothing_yet(void **state)
{
    (void)state;
    struct tiny t;
    int n;
    assert_true(tiny_begin(&t, "gqa", "ref", 1));
    t.training.lora = (struct lora){.rank = 4, .alpha = 8, .targets = 127};
    t.training.parts = part_lora;
    tiny_open(&t);
    struct batch b = recorded_batch(&t, 0);
    float *want = recorded(&t, "logits", &n);
    assert_true(farthest(tiny_logits(&t, &b), want, n) <= 1e-4);
    for (int i = 0; i < t.m->b.parts.n_pieces; i++) {
        const struct piece *p = &t.m->b.parts.pieces[i];
        float values[512], most = 0;
        double sum = 0;
        if (!p->trained) continue;
        assert_true(piece_read(t.m, i, 0, p->rows, values, &t.a, &t.err));
        for (int k = 0; k < p->rows * p->cols; k++) {
            most = fmaxf(most, fabsf(values[k]));
            sum += (double)values[k];
        }
        double bound = 1 / sqrt((double)p->cols);
        if (strstr(p->name, "lora_B")) assert_true(most == 0);
        else
            assert_true((double)most <= bound && (double)most > 0.9 * bound &&
                        fabs(sum / (p->rows * p->cols)) < 0.2 * bound);
    }
    tiny_close(&t);
}

/* ---- rounding ---- */

static void small_adapters_do_not_survive_rounding(void **state)
{
    (void)state;
    static const float alphas[] = {8, 0.08f, 0.008f};
    double mean[3][2];
    for (int i = 0; i < 3; i++) {
        struct tiny t;
        struct survival s[2 * LINEARS];
        assert_true(tiny_begin(&t, "gqa", "ref", 1));
        tiny_adapter(&t, "lora-all");
        t.training.lora.alpha = alphas[i];
        tiny_open(&t);
        for (int type = 0; type < 2; type++) {
            int n;
            if (!model_survival(t.m, type ? T_BF16 : T_F32, s, &n, &t.a, &t.err))
                fail_msg("%s", t.err.text);
            assert_int_equal(n, 2 * LINEARS);
            mean[i][type] = 0;
            for (int k = 0; k < n; k++) {
                assert_int_equal(s[k].layer, k / LINEARS);
                assert_int_equal(s[k].linear, k % LINEARS);
                mean[i][type] += s[k].share / n;
            }
        }
        tiny_close(&t);
        assert_true(mean[i][0] > 0.999);
    }
    assert_true(mean[0][1] > 0.95 && mean[1][1] < 0.9 && mean[2][1] < 0.5);
    assert_true(mean[2][1] > -0.2);
}

/* ---- files ---- */

static void the_planned_bytes_are_enough(void **state)
{
    (void)state;
    for (int lora = 0; lora < 2; lora++) {
        struct tiny t;
        struct saved saved = {.n = 0};
        int64_t bytes = 0;
        prepare(&t, lora, F32, "ref");
        tiny_open(&t);
        char *dir = folder(&t);
        bool ok = lora ? model_save_adapter(t.m, dir, "x", &saved, &t.err)
                       : model_save(t.m, dir, T_BF16, false, &saved, &t.err);
        assert_true(ok && model_save_training(t.m, dir, &saved, &t.err));
        for (int i = 0; i < saved.n; i++) bytes += saved.files[i].bytes;
        int64_t planned = model_save_bytes(&t.config, &t.training, T_BF16);
        assert_true(planned >= bytes && planned - bytes <= 8192);
        tiny_close(&t);
    }
}

static void nothing_is_written_over(void **state)
{
    (void)state;
    struct tiny t;
    struct saved saved = {.n = 0};
    assert_true(tiny_begin(&t, "gqa", "ref", 1));
    tiny_open(&t);
    assert_false(model_save(t.m, t.files.base, T_F32, false, &saved, &t.err));
    assert_non_null(strstr(t.err.text, "config.json"));
    assert_false(model_save(t.m, folder(&t), T_I8, false, &saved, &t.err));
    assert_non_null(strstr(t.err.text, "I8"));
    assert_false(model_save_adapter(t.m, folder(&t), "x", &saved, &t.err));
    assert_int_equal(saved.n, 0);
    tiny_close(&t);
}

static void small_files_are_copied_where_they_are_missing(void **state)
{
    (void)state;
    struct tiny t;
    struct saved saved = {.n = 0};
    assert_true(tiny_begin(&t, "gqa", "ref", 1));
    char *from = folder(&t), *to = folder(&t);
    assert_true(file_replace(path_join(&t.a, from, "tokenizer.json"), TEXT("{}"), &t.err));
    assert_true(
        file_replace(path_join(&t.a, from, "generation_config.json"), TEXT("{\"a\": 1}"), &t.err));
    assert_true(file_replace(path_join(&t.a, from, "pytorch_model.bin"), TEXT("x"), &t.err));
    assert_true(file_replace(path_join(&t.a, to, "generation_config.json"), TEXT("{}"), &t.err));
    assert_true(model_copy_files(from, to, &saved, &t.a, &t.err));
    assert_int_equal(saved.n, 1);
    assert_string_equal(saved.files[0].name, "tokenizer.json");
    assert_false(path_exists(path_join(&t.a, to, "pytorch_model.bin")));
    check_files(&t, to, &saved);
    tiny_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_trained_model_comes_back_bit_by_bit),
        cmocka_unit_test(what_is_frozen_is_saved_as_the_file_has_it),
        cmocka_unit_test(two_and_two_steps_are_four),
        cmocka_unit_test(a_checkpoint_without_moments_is_no_resume),
        cmocka_unit_test(moments_of_another_type_are_no_resume),
        cmocka_unit_test(a_checkpoint_takes_what_was_said),
        cmocka_unit_test(masters_win_over_the_base_by_name),
        cmocka_unit_test(what_is_frozen_comes_from_the_base),
        cmocka_unit_test(moments_begin_at_zero),
        cmocka_unit_test(an_adapter_is_saved_as_peft_saves_it),
        cmocka_unit_test(a_merged_adapter_answers_as_the_adapter_does),
        cmocka_unit_test(a_stage_without_adapter_begins_with_the_given_one_merged),
        cmocka_unit_test(an_adapter_of_another_rank_is_a_sentence),
        cmocka_unit_test(new_adapters_change_nothing_yet),
        cmocka_unit_test(small_adapters_do_not_survive_rounding),
        cmocka_unit_test(the_planned_bytes_are_enough),
        cmocka_unit_test(nothing_is_written_over),
        cmocka_unit_test(small_files_are_copied_where_they_are_missing),
    };
    return cmocka_run_group_tests_name("save", tests, begin, end);
}
