/* t_golden.c - against torch, transformers and PEFT (tests/golden/model.py): logits, every
 * gradient, ten steps of AdamW with clipping and a schedule, adapters, bf16. On ref and on cpu, and
 * built again for cuda (kernels/cuda/cuda.mk). */
#include "tests/model/tiny.h"
#include "engine/model/state.h"

#ifndef BACKENDS
#define BACKENDS "ref", "cpu"
#endif
static const char *const backends[] = {BACKENDS};
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

/* Sums over one gradient or all of them: of both, and of their product. */
struct compared { double got, want, dot; };

static void compare_add(struct compared *c, const float *got, const float *want, double norm, int n)
{
    double scale = norm / norm_of(want, n); /* recorded in bf16: for its direction */
    for (int i = 0; i < n; i++) {
        double w = (double)want[i] * scale;
        c->dot += (double)got[i] * w;
        c->got += (double)got[i] * (double)got[i];
        c->want += w * w;
    }
}

static void compare_end(const struct compared *c, const char *what, const char *name, double least,
                        double most)
{
    double cosine = c->dot / sqrt(c->got * c->want), ratio = sqrt(c->got / c->want);
    if (!(cosine >= least) || !(fabs(ratio - 1) <= most))
        fail_msg("%s %s: cosine %.6f, norm %g times what it is", what, name, cosine, ratio);
}

/* Of bf16 the bars hold for the whole gradient; a tensor alone may be three times as far, which is
 * what torch's own are. */
static void compare_gradient(struct tiny *t, const char *what, int piece, struct compared *all)
{
    const struct piece *p = &t->m->b.parts.pieces[piece];
    bool half = t->training.compute == BF16;
    int n;
    struct compared one = {0};
    float *want = recorded(t, arena_printf(&t->a, "grad.%s", p->name), &n);
    double norm = (double)*recorded(t, arena_printf(&t->a, "norm.%s", p->name), NULL);
    float *got = gradient_of(t, piece);
    compare_add(&one, got, want, norm, n);
    compare_add(all, got, want, norm, n);
    compare_end(&one, what, p->name, half ? 0.985 : 0.9999, half ? 0.075 : 1e-3);
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
    bool half = t->training.compute == BF16;
    struct batch b[2] = {recorded_batch(t, 0), recorded_batch(t, 1)};
    struct update u = update_of(1, 0, b[0].trained + b[1].trained);
    struct step_result r;
    int compared = 0;
    struct compared all = {0};
    assert_int_not_equal(b[0].trained, b[1].trained);
    model_begin(t->m, &u);
    for (int i = 0; i < 2; i++) model_step(t->m, &b[i], (struct draw){.micro = (uint32_t)i});
    for (int i = 0; i < t->m->b.parts.n_pieces; i++) {
        if (!t->m->b.parts.pieces[i].trained) continue;
        compare_gradient(t, what, i, &all);
        compared++;
    }
    assert_true(compared > 0);
    compare_end(&all, what, "all", half ? 0.995 : 0.9999, half ? 0.0225 : 1e-3);
    assert_true(model_update(t->m, &r, &t->err));
    double want = (double)*recorded(t, "loss", NULL);
    if (!(fabs(r.loss - want) <= (half ? 0.015 : 1e-4)))
        fail_msg("%s: loss %g instead of %g", what, r.loss, want);
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

/* Calls f with each case (of HONE_CASES, where it names some) opened on each backend; a backend
 * that is not built is skipped by name. */
static void each_case(void (*f)(struct tiny *, const char *), enum dtype compute)
{
    struct tiny t;
    const char *some = getenv("HONE_CASES");
    for (size_t b = 0; b < COUNT(backends); b++)
        for (size_t i = 0; i < COUNT(cases) + COUNT(adapters); i++) {
            bool adapter = i >= COUNT(cases);
            const char *own = adapter ? adapters[i - COUNT(cases)].name : cases[i];
            if (some && *some && !strstr(some, own)) continue;
            if (!tiny_begin(&t, adapter ? adapters[i - COUNT(cases)].base : cases[i], backends[b],
                            2))
                break;
            if (adapter) tiny_adapter(&t, own);
            t.training.compute = compute;
            tiny_open(&t);
            f(&t, arena_printf(&t.a, "%s on %s", own, backends[b]));
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

static void every_gradient_in_bf16_is_near_torch(void **state)
{
    (void)state;
    each_case(compare_gradients, BF16);
}

/* At most twice as far from fp32 as torch's own bf16 goes in these ten steps. */
static void compare_bf16_steps(struct tiny *t, const char *what)
{
    struct batch b[2] = {recorded_batch(t, 0), recorded_batch(t, 1)};
    int n;
    float *lr = recorded(t, "lr", &n), *losses = recorded(t, "losses", NULL);
    double spread = (double)*recorded(t, "bf16.spread", NULL), most = 0;
    for (int i = 0; i < n; i++) {
        struct step_result r = tiny_step(t, i + 1, lr[i], b, 2);
        double far = fabs(r.loss - (double)losses[i]);
        most = far > most || isnan(far) ? far : most;
    }
    if (!(most > 0) || !(most <= 2 * spread))
        fail_msg("%s: ten steps go %g from fp32, torch's bf16 %g", what, most, spread);
}

static void ten_steps_in_bf16_are_as_near_to_fp32_as_torchs(void **state)
{
    (void)state;
    each_case(compare_bf16_steps, BF16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logits_equal_transformers),
        cmocka_unit_test(every_gradient_equals_torch),
        cmocka_unit_test(ten_steps_of_adamw_equal_torch),
        cmocka_unit_test(bf16_is_as_near_to_fp32_as_torch),
        cmocka_unit_test(every_gradient_in_bf16_is_near_torch),
        cmocka_unit_test(ten_steps_in_bf16_are_as_near_to_fp32_as_torchs),
    };
    return cmocka_run_group_tests_name("golden", tests, NULL, NULL);
}
