/* tiny.h - a small model of tests/golden/model, opened on a backend the way a stage opens it, with
 * what torch recorded for it. Everything a test takes goes with tiny_close(). */
#ifndef HONE_TEST_TINY_H
#define HONE_TEST_TINY_H
#include "tests/test.h"
#include "engine/model/model.h"
#include "kernels/pool.h"
#include <math.h>

#define GOLDEN "tests/golden/model/"

struct tiny {
    struct arena a;
    struct err err;
    const struct kernels *k;
    struct pool *pool;
    struct device *d;
    struct device_info info;
    struct model_config config;
    struct training training;
    struct model_shape shape;
    struct model_files files;
    struct layout layout;
    struct model *m;
    struct tensors expected;
};

static const char *const part_full[] = {"full"}, *const part_lora[] = {"lora"};

/* Everything but the model: a test changes training and shape before tiny_open(). false: no such
 * backend. */
static inline bool tiny_begin(struct tiny *t, const char *name, const char *backend, int threads)
{
    char why[512];
    const char *build = getenv("HONE_BUILD");
    *t = (struct tiny){.a = arena_make(0)};
    t->k = kernels_load(backend, build ? build : "build", why, sizeof why);
    if (!t->k) {
        print_message("backend %s: %s\n", backend, why);
        return false;
    }
    t->pool = pool_make(threads);
    assert_true(t->k->open(&t->d, 0, t->pool, why, sizeof why));
    t->k->info(t->d, &t->info);
    t->files.base = arena_printf(&t->a, "%s%s", GOLDEN, name);
    if (!model_config_read(&t->config, t->files.base, &t->a, &t->err)) fail_msg("%s", t->err.text);
    if (!tensors_open(&t->expected, arena_printf(&t->a, "%s/expected.safetensors", t->files.base),
                      &t->a, &t->err))
        fail_msg("%s", t->err.text);
    t->training = (struct training){
        .parts = part_full, .n_parts = 1, .compute = F32, .frozen = F32, .weight_decay = 0.1f};
    t->shape = (struct model_shape){.rows = 64, .longest = 32, .loss_rows = 7, .cache_tokens = 0};
    return true;
}

static inline void tiny_open(struct tiny *t)
{
    if (!layout_make(&t->layout, &t->config, &t->training, &t->shape, &t->info, &t->a, &t->err))
        fail_msg("%s", t->err.text);
    if (!model_open(&t->m, &t->config, &t->training, &t->shape, &t->layout, &t->files, 1, t->k,
                    t->d, &t->a, &t->err))
        fail_msg("%s", t->err.text);
}

static inline void tiny_shut(struct tiny *t)
{
    model_close(t->m);
    t->m = NULL;
}

static inline void tiny_close(struct tiny *t)
{
    tiny_shut(t);
    tensors_close(&t->expected);
    if (t->d) t->k->close(t->d);
    pool_drop(t->pool);
    arena_drop(&t->a);
}

/* Adapter cases: the model of `base` with the PEFT folder `adapter` and what was recorded for both.
 */
static inline void tiny_adapter(struct tiny *t, const char *adapter)
{
    const char *of;
    t->files.adapter = arena_printf(&t->a, "%s%s", GOLDEN, adapter);
    if (!adapter_read(&t->training.lora, &of, t->files.adapter, &t->a, &t->err))
        fail_msg("%s", t->err.text);
    tensors_close(&t->expected);
    if (!tensors_open(&t->expected,
                      arena_printf(&t->a, "%s/expected.safetensors", t->files.adapter), &t->a,
                      &t->err))
        fail_msg("%s", t->err.text);
    t->training.parts = part_lora;
}

static inline float *tensor_values(struct tiny *t, const struct tensors *set, const char *name,
                                   int *n)
{
    const struct tensor *x = tensors_find(set, name);
    if (!x) fail_msg("no tensor %s", name);
    float *v = NEW_N(&t->a, float, x->elements);
    if (!tensors_read_f32(set, x, 0, x->elements, v, &t->err)) fail_msg("%s", t->err.text);
    if (n) *n = (int)x->elements;
    return v;
}

static inline float *recorded(struct tiny *t, const char *name, int *n)
{
    return tensor_values(t, &t->expected, name, n);
}

static inline struct batch recorded_batch(struct tiny *t, int micro)
{
    int rows, starts;
    float *ids = recorded(t, arena_printf(&t->a, "%d.ids", micro), &rows);
    float *targets = recorded(t, arena_printf(&t->a, "%d.targets", micro), NULL);
    float *start = recorded(t, arena_printf(&t->a, "%d.starts", micro), &starts);
    struct batch b = batch_make(&t->a, rows);
    b.rows = rows;
    b.n_seqs = starts - 1;
    for (int s = 0; s < starts; s++) b.start[s] = (int32_t)start[s];
    for (int s = 0; s + 1 < starts; s++) {
        int n = b.start[s + 1] - b.start[s];
        b.longest = n > b.longest ? n : b.longest;
        for (int i = 0; i < n; i++) b.pos[b.start[s] + i] = i;
    }
    for (int i = 0; i < rows; i++) {
        b.ids[i] = (int32_t)ids[i];
        b.targets[i] = (int32_t)targets[i];
        b.trained += targets[i] >= 0;
    }
    return b;
}

static inline struct update update_of(int64_t step, float lr, int64_t trained)
{
    return (struct update){.step = step,
                           .lr = lr,
                           .beta1 = 0.9f,
                           .beta2 = 0.95f,
                           .eps = 1e-8f,
                           .max_norm = 0.5f,
                           .trained = trained};
}

/* One optimizer step over some micro-batches. */
static inline struct step_result tiny_step(struct tiny *t, int64_t step, float lr,
                                           const struct batch *b, int n)
{
    int64_t trained = 0;
    struct step_result r;
    for (int i = 0; i < n; i++) trained += b[i].trained;
    struct update u = update_of(step, lr, trained);
    model_begin(t->m, &u);
    for (int i = 0; i < n; i++)
        model_step(t->m, &b[i],
                   (struct draw){.seed = 5, .step = (uint32_t)step, .micro = (uint32_t)i});
    if (!model_update(t->m, &r, &t->err)) fail_msg("%s", t->err.text);
    return r;
}

static inline char *tiny_hash(struct tiny *t)
{
    char *h = arena_take(&t->a, 1, 33);
    if (!model_hash(t->m, h, &t->err)) fail_msg("%s", t->err.text);
    return h;
}

/* Logits of all rows of a batch. */
static inline float *tiny_logits(struct tiny *t, const struct batch *b)
{
    int32_t *rows = NEW_N(&t->a, int32_t, b->rows);
    float *out = NEW_N(&t->a, float, (int64_t)b->rows * t->config.vocab);
    for (int i = 0; i < b->rows; i++) rows[i] = i;
    if (!model_logits(t->m, b, rows, b->rows, out, &t->err)) fail_msg("%s", t->err.text);
    return out;
}

static inline double farthest(const float *x, const float *y, int64_t n)
{
    double most = 0;
    for (int64_t i = 0; i < n; i++) {
        double d = fabs((double)x[i] - (double)y[i]);
        most = d > most || isnan(d) ? d : most;
    }
    return most;
}
#endif
