/* t_layout.c - the table of buffers: what it promises is what is asked of the device, to the byte,
 * and nothing more is asked later; what is trained is what was chosen, and its gradients do not
 * depend on what else is trained. */
#include "tests/model/tiny.h"
#include "engine/model/state.h"

/* A table of kernels that counts what is asked of the device. */
static struct { int64_t bytes; int calls; } asked;
static const struct kernels *real;

static void *counting_alloc(struct device *d, size_t bytes)
{
    asked.bytes += (int64_t)bytes;
    asked.calls++;
    return real->alloc(d, bytes);
}

static void count_on(struct tiny *t)
{
    struct kernels *counted = NEW(&t->a, struct kernels);
    real = t->k;
    *counted = *t->k;
    counted->alloc = counting_alloc;
    t->k = counted;
    asked.bytes = asked.calls = 0;
}

/* Gradients may lie over activations of layers above theirs, which the backward pass left; the
 * scratch of head and backward pass over each other; the chat's over the backward pass's and over
 * what it needs not of the head's: a gradient, and logits but for their first row. */
static bool may_meet(const struct layout_row *x, const struct layout_row *y, int vocab)
{
    if (x->when > y->when) return may_meet(y, x, vocab);
    if (x->when == WHEN_KEPT && y->when == WHEN_AFTER) return x->layer > y->layer;
    if (x->when == WHEN_HEAD && y->when == WHEN_BACKWARD) return true;
    if (x->when == WHEN_BACKWARD && y->when == WHEN_CHAT) return true;
    if (x->when != WHEN_HEAD || y->when != WHEN_CHAT) return false;
    return !strcmp(x->name, "head input gradient") ||
           (!strcmp(x->name, "logits") && y->at >= x->at + vocab * 4);
}

static void check_rows(const struct layout *l, int vocab)
{
    int64_t sum = 0, rows = 0;
    for (int i = 0; i < l->n; i++) {
        const struct layout_row *x = &l->rows[i];
        assert_true(x->bytes >= 0 && x->at % 256 == 0 && x->at + x->bytes <= l->bytes && x->name);
        rows += (x->bytes + 255) / 256 * 256;
        for (int k = 0; k < i; k++) {
            const struct layout_row *y = &l->rows[k];
            if (x->at < y->at + y->bytes && y->at < x->at + x->bytes && x->bytes && y->bytes &&
                !may_meet(x, y, vocab))
                fail_msg("rows %s and %s overlap", x->name, y->name);
        }
    }
    for (int o = 0; o < OWNERS; o++) sum += l->owned[o];
    assert_true(sum == l->bytes && rows == l->bytes + l->over);
}

/* One stage: opened, trained, asked and saved, with everything counted. */
static void live(struct tiny *t)
{
    struct batch b[2] = {recorded_batch(t, 0), recorded_batch(t, 1)};
    struct sampling s = {.temperature = 1, .top_p = 1, .repetition_penalty = 1};
    float losses[64];
    int32_t next = 3;
    count_on(t);
    tiny_open(t);
    check_rows(&t->layout, t->config.vocab);
    assert_int_equal(asked.calls, 1);
    assert_true(asked.bytes == t->layout.bytes);
    size_t used = t->a.used;
    for (int step = 1; step <= 2; step++) {
        struct step_result r;
        struct update u = update_of(step, 1e-3f, b[0].trained + b[1].trained);
        if (t->training.n_parts) model_begin(t->m, &u);
        for (int i = 0; i < (t->shape.alone ? 1 : 2) && t->training.n_parts; i++)
            model_step(t->m, &b[i], (struct draw){.micro = (uint32_t)i});
        if (t->training.n_parts) assert_true(model_update(t->m, &r, &t->err));
        assert_true(model_losses(t->m, &b[0], losses, &t->err));
        if (t->shape.cache_tokens)
            assert_true(model_next(t->m, &next, 1, &s, NULL, 0, (struct draw){0}, &next, &t->err));
    }
    assert_int_equal(asked.calls, 1);
    assert_true(t->a.used == used);
}

static void the_plan_is_what_is_asked_for(void **state)
{
    (void)state;
    static const char *const cases[] = {"mha", "tied", "bias", "odd"};
    struct tiny t;
    for (int i = 0; i < 192; i++) {
        const char *backend = i & 1 ? "cpu" : "ref";
        bool lora = i & 2;
        if (!tiny_begin(&t, lora ? "gqa" : cases[i % 4], backend, 2)) continue;
        if (lora) tiny_adapter(&t, "lora-all");
        t.training.compute = i & 4 ? BF16 : F32;
        t.training.frozen = i & 8 ? BF16 : F32;
        t.training.recompute = (enum recompute)(i / 16 % 5);
        t.training.moments = (const enum dtype[]){F32, U8, BF16}[i % 3];
        t.training.gradients = i % 7 > 3 ? BF16 : F32;
        t.training.lora.dropout = lora && i & 64 ? 0.1f : 0;
        if (i & 32) t.shape.cache_tokens = 17;
        t.shape.alone = i / 3 % 2;
        if (i / 64 == 2) t.training.n_parts = 0;
        live(&t);
        tiny_close(&t);
    }
}

/* A step of one micro-batch has the same bits wherever its gradients lie, and takes less; a step
 * without a label too. */
static void gradients_lie_where_activations_were(void **state)
{
    (void)state;
    static const char *const cases[] = {"mha", "tied", "bias", "odd"};
    for (int i = 0; i < 48; i++) {
        char *hash[2];
        int64_t bytes[2];
        struct tiny t[2];
        for (int alone = 0; alone < 2; alone++) {
            assert_true(tiny_begin(&t[alone], i % 5 ? cases[i % 4] : "gqa", "ref", 1));
            struct training *how = &t[alone].training;
            if (i % 5 == 0) tiny_adapter(&t[alone], "lora-all");
            how->recompute = (enum recompute)(i % 5);
            how->recompute_layers = i / 5 % 2;
            how->compute = i & 8 ? BF16 : F32;
            how->gradients = i % 7 > 3 ? BF16 : F32;
            static const char *const last[] = {"last:1", "norms"};
            if (i & 16 && i % 5) how->parts = last, how->n_parts = 2;
            t[alone].shape.alone = alone;
            tiny_open(&t[alone]);
            struct batch b[3] = {recorded_batch(&t[alone], 0), recorded_batch(&t[alone], 1),
                                 recorded_batch(&t[alone], 0)};
            for (int k = 0; k < b[1].rows; k++) b[1].targets[k] = -1;
            b[1].trained = 0;
            for (int step = 0; step < 3; step++) tiny_step(&t[alone], step + 1, 1e-2f, &b[step], 1);
            hash[alone] = tiny_hash(&t[alone]);
            bytes[alone] = t[alone].layout.bytes;
        }
        assert_string_equal(hash[0], hash[1]);
        assert_true(bytes[0] > bytes[1]);
        for (int alone = 0; alone < 2; alone++) tiny_close(&t[alone]);
    }
}

static void frozen_weights_lie_in_memory_once(void **state)
{
    (void)state;
    struct tiny t;
    int64_t bytes[2];
    for (int i = 0; i < 2; i++) {
        assert_true(tiny_begin(&t, "gqa", "ref", 1));
        t.training.n_parts = 0;
        t.training.compute =
            BF16; /* ref packs BF16, so the file's values are needed while loading only */
        t.training.frozen = i ? BF16 : F32;
        if (!layout_make(&t.layout, &t.config, &t.training, &t.shape, &t.info, &t.a, &t.err))
            fail_msg("%s", t.err.text);
        bytes[i] = t.layout.owned[OWN_WEIGHTS];
        tiny_close(&t);
    }
    int64_t embeddings = 96 * 32;
    assert_true(bytes[0] - bytes[1] == embeddings * 2);
}

/* ---- what is trained ---- */

static bool same_name(const char *name, const char *const *list, int n)
{
    for (int i = 0; i < n; i++)
        if (!strcmp(name, list[i])) return true;
    return false;
}

struct choice_case { const char *model; const char *parts[3]; int n; int64_t trained; };
static const struct choice_case choices[] = {
    {"gqa", {"embeddings"}, 1, 96 * 32},
    {"gqa", {"lm_head"}, 1, 96 * 32},
    {"gqa", {"embeddings", "lm_head"}, 2, 2 * 96 * 32},
    {"gqa", {"norms"}, 1, 5 * 32},
    {"gqa", {"last:1"}, 1, 32 * 32 * 2 + 2 * 16 * 32 + 3 * 40 * 32 + 64},
    {"gqa", {"/\\.0\\.self_attn\\.(q|v)_proj/"}, 1, 32 * 32 + 16 * 32},
    {"gqa", {"/layers\\.1\\.mlp\\.up_proj/", "norms"}, 2, 40 * 32 + 5 * 32},
    {"gqa", {"/layers.1.mlp.down_proj/"}, 1, 40 * 32},
    {"gqa", {"/layers.0.mlp.down_proj/"}, 1, 40 * 32},
    {"gqa", {"/layers.0.self_attn.o_proj/"}, 1, 32 * 32},
    {"gqa", {"/layers.0.post_attention/"}, 1, 32},
    {"tied", {"lm_head"}, 1, 96 * 32},
    {"bias",
     {"/k_proj.bias$/", "/layers.1.self_attn.q_proj.bias/", "/gate_proj/"},
     3,
     3 * 32 + 2 * (40 * 32 + 40)},
    {"odd", {"last:2"}, 1, 2 * (4 * 30 * 30 + 3 * 37 * 30 + 60)},
};

/* Gradients of one step by name. */
struct gradients { const char *names[128]; float *values[128]; int64_t n[128]; int count; };

static void take_gradients(struct tiny *t, struct gradients *out)
{
    struct batch b[2] = {recorded_batch(t, 0), recorded_batch(t, 1)};
    struct update u = update_of(1, 1e-3f, b[0].trained + b[1].trained);
    struct step_result r;
    model_begin(t->m, &u);
    for (int i = 0; i < 2; i++) model_step(t->m, &b[i], (struct draw){.micro = (uint32_t)i});
    out->count = 0;
    for (int i = 0; i < t->m->b.parts.n_pieces; i++) {
        const struct piece *p = &t->m->b.parts.pieces[i];
        const struct param *q = &t->m->b.parts.params[p->param];
        if (!p->trained) continue;
        int64_t before = 0;
        for (int k = q->piece; k < i; k++) {
            const struct piece *sibling = &t->m->b.parts.pieces[k];
            if (sibling->trained) before += (int64_t)sibling->rows * sibling->cols;
        }
        int c = out->count++;
        out->names[c] = p->name;
        out->n[c] = (int64_t)p->rows * p->cols;
        out->values[c] = NEW_N(&t->a, float, out->n[c]);
        struct storage s = t->m->b.storage[p->param];
        struct mat kept = mat_make((char *)buffer_at(t->m, s.grad) +
                                       before * (int64_t)dtype_bytes(s.gradient),
                                   1, (int)out->n[c], s.gradient);
        t->k->convert(t->d, mat_make(out->values[c], 1, (int)out->n[c], F32), kept);
    }
    assert_true(model_update(t->m, &r, &t->err));
    assert_false(r.skipped);
}

static void gradients_do_not_depend_on_what_else_is_trained(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(choices); i++) {
        struct tiny full, some;
        struct gradients want, got;
        const char *parts[3];
        assert_true(tiny_begin(&full, choices[i].model, "ref", 1) &&
                    tiny_begin(&some, choices[i].model, "ref", 1));
        memcpy(parts, choices[i].parts, sizeof parts);
        some.training.parts = parts;
        some.training.n_parts = choices[i].n;
        some.training.recompute = (enum recompute)(i % 5);
        tiny_open(&full);
        tiny_open(&some);
        if (some.layout.parameters_trained != choices[i].trained)
            fail_msg("%s trains %lld", parts[0], (long long)some.layout.parameters_trained);
        take_gradients(&full, &want);
        take_gradients(&some, &got);
        assert_true(got.count > 0);
        for (int g = 0; g < got.count; g++) {
            int w = 0;
            while (strcmp(want.names[w], got.names[g]) != 0) w++;
            assert_true(same_name(got.names[g], want.names, want.count));
            if (memcmp(want.values[w], got.values[g], (size_t)got.n[g] * 4) != 0)
                fail_msg("%s: the gradient of %s is another", parts[0], got.names[g]);
        }
        tiny_close(&full);
        tiny_close(&some);
    }
}

/* Two micro-batches summed up in BF16 are the F32 sums but for their rounding; vectors and
 * embeddings are the same to the bit. */
static void narrow_gradients_are_the_sums_rounded(void **state)
{
    (void)state;
    static const char *const cases[] = {"mha", "tied", "bias", "odd"};
    static const char *const backend[] = {"ref", "cpu"};
    for (int i = 0; i < 8; i++) {
        struct tiny t[2];
        struct gradients want, got;
        int narrow = 0;
        for (int k = 0; k < 2; k++) {
            if (!tiny_begin(&t[k], cases[i % 4], backend[i / 4], 2)) skip();
            t[k].training.gradients = k ? BF16 : F32;
            tiny_open(&t[k]);
            take_gradients(&t[k], k ? &got : &want);
        }
        for (int g = 0; g < got.count; g++) {
            double largest = 0;
            bool same = !memcmp(got.values[g], want.values[g], (size_t)got.n[g] * 4);
            bool matrix = strstr(got.names[g], "proj.weight") || strstr(got.names[g], "lm_head");
            if (same == matrix) fail_msg("%s: %s", cases[i % 4], got.names[g]);
            for (int64_t e = 0; e < got.n[g]; e++)
                largest = fmax(largest, fabs((double)want.values[g][e]));
            for (int64_t e = 0; e < got.n[g]; e++) {
                double x = (double)want.values[g][e], y = (double)got.values[g][e];
                assert_true(fabs(x - y) <= fabs(x) / 256 + largest / 128);
            }
            narrow += !same;
        }
        assert_true(narrow >= 14);
        tiny_close(&t[0]);
        tiny_close(&t[1]);
    }
}

/* Products of a step, counted. */
static struct { int back, grad, attention; } products_done;

static void counting_back(struct device *d, struct mat dx, struct mat dy, const struct weight *w,
                          float alpha, float beta)
{
    products_done.back++;
    real->linear_back(d, dx, dy, w, alpha, beta);
}
static void counting_grad(struct device *d, struct mat dw, struct mat dy, struct mat x, float alpha)
{
    products_done.grad++;
    real->linear_grad(d, dw, dy, x, alpha);
}
static void counting_attention(struct device *d, struct mat dq, struct mat dk, struct mat dv,
                               struct mat d_o, struct mat o, const float *lse, struct mat q,
                               struct mat k, struct mat v, struct seqs s, const struct attention *a)
{
    products_done.attention++;
    real->attn_back(d, dq, dk, dv, d_o, o, lse, q, k, v, s, a);
}

static void nothing_is_propagated_below_the_lowest(void **state)
{
    (void)state;
    static const struct { const char *part; int back, grad, attention;
    } wanted[] = {
        {"lm_head", 0, 1, 0},
        {"/^model.norm/", 1, 0, 0},
        {"/layers.1.mlp.down_proj/", 1, 1, 0},
        {"/layers.1.mlp.up_proj/", 2, 1, 0},
        {"/layers.1.post_attention/", 3, 0, 0},
        {"/layers.1.self_attn.o_proj/", 3, 1, 0},
        {"/layers.1.self_attn.v_proj/", 4, 1, 1},
        {"/layers.1.input_layernorm/", 5, 0, 1},
        {"/layers.0.mlp.down_proj/", 5, 1, 1},
        {"embeddings", 9, 0, 2},
        {"full", 9, 9, 2},
    };
    for (size_t i = 0; i < COUNT(wanted); i++) {
        struct tiny t;
        const char *parts[] = {wanted[i].part};
        assert_true(tiny_begin(&t, "gqa", "ref", 1));
        count_on(&t);
        struct kernels counted = *t.k;
        counted.linear_back = counting_back;
        counted.linear_grad = counting_grad;
        counted.attn_back = counting_attention;
        t.k = &counted;
        t.training.parts = parts;
        t.shape.loss_rows = 64; /* one slice of the head */
        tiny_open(&t);
        memset(&products_done, 0, sizeof products_done);
        struct batch b = recorded_batch(&t, 0);
        tiny_step(&t, 1, 1e-3f, &b, 1);
        if (products_done.back != wanted[i].back || products_done.grad != wanted[i].grad ||
            products_done.attention != wanted[i].attention)
            fail_msg("%s: %d back, %d gradients, %d attentions", parts[0], products_done.back,
                     products_done.grad, products_done.attention);
        tiny_close(&t);
    }
}

static void only_what_was_chosen_moves(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(choices); i++) {
        struct tiny t;
        const char *parts[3];
        assert_true(tiny_begin(&t, choices[i].model, "ref", 1));
        memcpy(parts, choices[i].parts, sizeof parts);
        t.training.parts = parts;
        t.training.n_parts = choices[i].n;
        t.training.decay_all = true;
        tiny_open(&t);
        struct batch b = recorded_batch(&t, 0);
        tiny_step(&t, 1, 1e-2f, &b, 1);
        struct tensors base;
        assert_true(tensors_open(&base, t.files.base, &t.a, &t.err));
        for (int k = 0; k < t.m->b.parts.n_pieces; k++) {
            const struct piece *p = &t.m->b.parts.pieces[k];
            float *before = tensor_values(&t, &base, p->name, NULL),
                  *now = NEW_N(&t.a, float, (int64_t)p->rows * p->cols);
            assert_true(piece_read(t.m, k, 0, p->rows, now, &t.a, &t.err));
            bool equal = !memcmp(before, now, (size_t)p->rows * (size_t)p->cols * 4);
            if (equal == p->trained)
                fail_msg("%s: %s %s", parts[0], p->name, equal ? "stayed" : "moved");
        }
        tensors_close(&base);
        tiny_close(&t);
    }
}

static void weight_decay_is_for_matrices_unless_all_is_asked_for(void **state)
{
    (void)state;
    for (int all = 0; all < 2; all++) {
        struct tiny t;
        assert_true(tiny_begin(&t, "bias", "ref", 1));
        t.training.decay_all = all;
        tiny_open(&t);
        for (int i = 0; i < t.m->b.parts.n_runs; i++) {
            const struct param *p = &t.m->b.parts.params[t.m->b.parts.runs[i].param];
            bool vector = p->kind == KIND_NORM || p->kind == KIND_BIAS;
            assert_true(t.m->slots[i].weight_decay == (vector && !all ? 0 : 0.1f));
        }
        tiny_close(&t);
    }
}

static void wrong_choices_are_sentences(void **state)
{
    (void)state;
    static const struct { const char *parts[2]; int n; const char *says;
    } wrong[] = {
        {{"last:3"}, 1, "the model has 2 layers"},
        {{"last:0"}, 1, "last:1 to last:2"},
        {{"last:x"}, 1, "not possible"},
        {{"/nothing_like_it/"}, 1, "matches no tensor"},
        {{"/(/"}, 1, "not valid"},
        {{"//"}, 1, "no pattern"},
        {{"heads"}, 1, "not known"},
        {{"full", "norms"}, 2, "stands alone"},
        {{"lora"}, 1, "rank of at least 1"},
    };
    struct tiny t;
    for (size_t i = 0; i < COUNT(wrong); i++) {
        assert_true(tiny_begin(&t, "gqa", "ref", 1));
        const char *parts[2] = {wrong[i].parts[0], wrong[i].parts[1]};
        t.training.parts = parts;
        t.training.n_parts = wrong[i].n;
        assert_false(
            layout_make(&t.layout, &t.config, &t.training, &t.shape, &t.info, &t.a, &t.err));
        if (!strstr(t.err.text, wrong[i].says)) fail_msg("%s: %s", parts[0], t.err.text);
        tiny_close(&t);
    }
}

/* ---- work ---- */

static void flops_count_what_the_definition_says(void **state)
{
    (void)state;
    struct tiny t;
    double hardware;
    assert_true(tiny_begin(&t, "gqa", "ref", 1));
    double block = 32 * 32 * 2 + 2 * 16 * 32 + 3 * 40 * 32, head = 96 * 32, q = 32;
    double full = model_flops(&t.config, &t.training, 10, 55, 6, &hardware);
    double want = 6 * 2 * block * 10 - 0 + 6 * head * 6 + 12 * q * 2 * 55;
    assert_true(full == want);
    assert_true(hardware == full + 2 * q * 2 * 55);
    t.training.recompute = RECOMPUTE_FULL;
    assert_true(model_flops(&t.config, &t.training, 10, 55, 6, &hardware) == full);
    assert_true(hardware == full + 2 * (block - 40 * 32) * 10 + 2 * q * 2 * 55 + 4 * q * 55);
    t.training.recompute = RECOMPUTE_ATTENTION;
    assert_true(model_flops(&t.config, &t.training, 10, 55, 6, &hardware) == full);
    assert_true(hardware == full + 2 * 32 * 32 * 10 + 2 * q * 2 * 55 + 4 * q * 55);
    t.training.recompute_layers = 1; /* the last layer does nothing again anyway */
    model_flops(&t.config, &t.training, 10, 55, 6, &hardware);
    assert_true(hardware == full + 2 * 32 * 32 * 10 + 2 * q * 2 * 55 + 4 * q * 55);
    t.training.recompute = RECOMPUTE_SELECTIVE;
    model_flops(&t.config, &t.training, 10, 55, 6, &hardware);
    assert_true(hardware == full + 2 * q * 2 * 55);
    t.training.recompute_layers = 0;
    t.training.n_parts = 0;
    assert_true(model_flops(&t.config, &t.training, 10, 55, 6, &hardware) ==
                2 * 2 * block * 10 + 2 * head * 6 + 4 * q * 2 * 55);
    assert_true(hardware == model_flops(&t.config, &t.training, 10, 55, 6, NULL));
    t.training.recompute = RECOMPUTE_NONE;
    t.training.n_parts = 1;
    tiny_adapter(&t, "lora-all");
    double adapter = 4 * (32.0 + 32 + 32 + 16 + 32 + 16 + 32 + 32 + 3 * (32 + 40));
    want = (2 * 4 * block - 2 * (32 * 32 + 2 * 16 * 32) + 2 * 6 * adapter - 2 * 3 * 4 * 32) * 10 +
           4 * head * 6 + 12 * q * 2 * 55;
    assert_true(model_flops(&t.config, &t.training, 10, 55, 6, NULL) == want);
    tiny_open(&t);
    assert_true(model_step_flops(t.m, 10, 55, 6, NULL) == want);
    tiny_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_plan_is_what_is_asked_for),
        cmocka_unit_test(gradients_lie_where_activations_were),
        cmocka_unit_test(frozen_weights_lie_in_memory_once),
        cmocka_unit_test(gradients_do_not_depend_on_what_else_is_trained),
        cmocka_unit_test(narrow_gradients_are_the_sums_rounded),
        cmocka_unit_test(nothing_is_propagated_below_the_lowest),
        cmocka_unit_test(only_what_was_chosen_moves),
        cmocka_unit_test(weight_decay_is_for_matrices_unless_all_is_asked_for),
        cmocka_unit_test(wrong_choices_are_sentences),
        cmocka_unit_test(flops_count_what_the_definition_says),
    };
    return cmocka_run_group_tests_name("layout", tests, NULL, NULL);
}
