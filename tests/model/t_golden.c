/* t_golden.c - against torch, transformers and PEFT (tests/golden/model.py): logits, every
 * gradient, ten steps of AdamW with clipping and a schedule, adapters, bf16. On ref and on cpu. */
#include "tests/model/tiny.h"
#include "engine/model/state.h"

static const char *const backends[] = {"ref", "cpu"};
static const char *const cases[] = {"mha",     "gqa",    "tied",   "bias",
                                    "headdim", "llama3", "linear", "odd"};
static const struct {
    const char *name, *base;
} adapters[] = {{"lora-all", "gqa"}, {"lora-qv", "tied"}};

/* The gradient of a piece as it lies on the device. */
static float *gradient_of(struct tiny *t, int piece)
{
    struct model *m = t->m;
    const struct piece *p = &m->b.parts.pieces[piece];
    const struct param *q = &m->b.parts.params[p->param];
    int64_t n = (int64_t)p->rows * p->cols,
            at = q->kind == KIND_BIAS ? p->first : (int64_t)p->first * p->cols;
    float *out = NEW_N(&t->a, float, n);
    m->k->download(m->d, out, (float *)buffer_at(m, m->b.storage[p->param].grad) + at,
                   (size_t)n * 4);
    assert_true(model_wait(m, &t->err));
    return out;
}

static double norm_of(const float *x, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (double)x[i] * (double)x[i];
    return sqrt(sum);
}

static void compare_gradient(struct tiny *t, const char *what, int piece)
{
    const struct piece *p = &t->m->b.parts.pieces[piece];
    int n;
    float *want = recorded(t, arena_printf(&t->a, "grad.%s", p->name), &n);
    double norm = (double)*recorded(t, arena_printf(&t->a, "norm.%s", p->name), NULL);
    float *got = gradient_of(t, piece);
    double dot = 0, length = norm_of(got, n);
    for (int i = 0; i < n; i++) dot += (double)got[i] * (double)want[i];
    double cosine = dot / (length * norm_of(want, n));
    if (!(cosine >= 0.9999) || !(fabs(length / norm - 1) <= 1e-3))
        fail_msg("%s %s: cosine %.6f, norm %g instead of %g", what, p->name, cosine, length, norm);
}

static void compare_logits(struct tiny *t, const char *what)
{
    struct batch b = recorded_batch(t, 0);
    int n;
    float *want = recorded(t, "logits", &n);
    double far = farthest(tiny_logits(t, &b), want, n);
    assert_int_equal(n, b.rows * t->config.vocab);
    if (!(far <= 1e-4)) fail_msg("%s: logits differ by %g", what, far);
}

/* Both micro-batches, which have unequal numbers of labels, as one step without an update. */
static void compare_gradients(struct tiny *t, const char *what)
{
    struct batch b[2] = {recorded_batch(t, 0), recorded_batch(t, 1)};
    struct update u = update_of(1, 0, b[0].trained + b[1].trained);
    struct step_result r;
    int compared = 0;
    assert_int_not_equal(b[0].trained, b[1].trained);
    model_begin(t->m, &u);
    for (int i = 0; i < 2; i++) model_step(t->m, &b[i], (struct draw){.micro = (uint32_t)i});
    for (int i = 0; i < t->m->b.parts.n_pieces; i++) {
        if (!t->m->b.parts.pieces[i].trained) continue;
        compare_gradient(t, what, i);
        compared++;
    }
    assert_true(compared > 0);
    assert_true(model_update(t->m, &r, &t->err));
    double want = (double)*recorded(t, "loss", NULL);
    if (!(fabs(r.loss - want) <= 1e-4)) fail_msg("%s: loss %g instead of %g", what, r.loss, want);
}

static void compare_steps(struct tiny *t, const char *what)
{
    struct batch b[2] = {recorded_batch(t, 0), recorded_batch(t, 1)};
    int n;
    float *lr = recorded(t, "lr", &n), *losses = recorded(t, "losses", NULL),
          *norms = recorded(t, "norms", NULL);
    assert_int_equal(n, 10);
    for (int i = 0; i < n; i++) {
        struct step_result r = tiny_step(t, i + 1, lr[i], b, 2);
        if (!(fabs(r.loss - (double)losses[i]) <= 1e-4) ||
            !(fabs(r.grad_norm / (double)norms[i] - 1) <= 1e-3) || r.skipped)
            fail_msg("%s, step %d: loss %.6f instead of %.6f, norm %g instead of %g", what, i + 1,
                     r.loss, (double)losses[i], r.grad_norm, (double)norms[i]);
    }
}

/* Calls f with each case opened on each backend; a backend that is not built is skipped by name. */
static void each_case(void (*f)(struct tiny *, const char *), enum dtype compute)
{
    struct tiny t;
    for (size_t b = 0; b < COUNT(backends); b++)
        for (size_t i = 0; i < COUNT(cases) + COUNT(adapters); i++) {
            bool adapter = i >= COUNT(cases);
            if (!tiny_begin(&t, adapter ? adapters[i - COUNT(cases)].base : cases[i], backends[b],
                            2))
                break;
            const char *name = adapter ? adapters[i - COUNT(cases)].name : cases[i];
            if (adapter) tiny_adapter(&t, name);
            t.training.compute = compute;
            tiny_open(&t);
            f(&t, arena_printf(&t.a, "%s on %s", name, backends[b]));
            tiny_close(&t);
        }
}

static void logits_equal_transformers(void **state)
{
    (void)state;
    each_case(compare_logits, F32);
}

static void every_gradient_equals_torch(void **state)
{
    (void)state;
    each_case(compare_gradients, F32);
}

static void ten_steps_of_adamw_equal_torch(void **state)
{
    (void)state;
    each_case(compare_steps, F32);
}

static void compare_bf16(struct tiny *t, const char *what)
{
    if (!tensors_find(&t->expected, "bf16.logits")) return;
    struct batch b[2] = {recorded_batch(t, 0), recorded_batch(t, 1)};
    int n;
    float *want = recorded(t, "logits", &n), *got = tiny_logits(t, &b[0]);
    double sum = 0, most = (double)*recorded(t, "bf16.logits", NULL);
    for (int i = 0; i < n; i++)
        sum += ((double)got[i] - (double)want[i]) * ((double)got[i] - (double)want[i]);
    double rms = sqrt(sum / n);
    if (!(rms > 0) || !(rms <= most))
        fail_msg("%s: logits are %g from fp32, torch's bf16 %g", what, rms, most);
}

static void bf16_is_as_near_to_fp32_as_torch(void **state)
{
    (void)state;
    each_case(compare_bf16, BF16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logits_equal_transformers),
        cmocka_unit_test(every_gradient_equals_torch),
        cmocka_unit_test(ten_steps_of_adamw_equal_torch),
        cmocka_unit_test(bf16_is_as_near_to_fp32_as_torch),
    };
    return cmocka_run_group_tests_name("golden", tests, NULL, NULL);
}
