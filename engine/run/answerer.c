/* answerer.c - a model opened to answer or to be measured, whatever it was named by. */
#include "engine/run/checkpoint.h"
#include <stdlib.h>
#include <string.h>

/* What a name stands for. */
struct named {
    const char *base, *adapter, *run;
};

/* A checkpoint, or a PEFT folder: the base it belongs to, and itself as the adapter. */
static bool adapter_of(struct named *out, const char *dir, const struct places *places,
                       struct arena *a, struct err *err)
{
    struct lora lora;
    const char *base;
    *out = (struct named){.base = dir};
    if (!path_exists(path_join(a, dir, "adapter_config.json"))) return true;
    if (path_exists(path_join(a, dir, "config.json"))) return true; /* merged: whole by itself */
    if (!adapter_read(&lora, &base, dir, a, err)) return false;
    if (!base[0])
        return fail(err, "%s is an adapter that names no base; name the base and give --adapter %s",
                    dir, dir);
    out->adapter = dir;
    return models_find(&out->base, base, dir, places, a, err) ||
           fail_in(err, "the base of adapter %s", dir);
}

static bool run_of(struct named *out, const char *run, const struct places *places, struct arena *a,
                   struct err *err)
{
    struct checkpoint c;
    struct err damage;
    bool found = checkpoint_newest(&c, run, VERIFY_MODEL, a, &damage);
    if (damage.text[0])
        return fail(err, "%s%s%s", damage.text, found ? "; the one before it can be named: " : "",
                    found ? c.path : "");
    if (!found) return fail(err, "run %s has no checkpoint yet", path_base(run));
    if (!adapter_of(out, c.path, places, a, err)) return false;
    if (c.adapter && out->adapter) out->base = c.base;
    out->run = run;
    return true;
}

static bool resolve(struct named *out, const char *spec, const struct places *places,
                    struct arena *a, struct err *err)
{
    struct err no_run;
    const char *dir;
    if (run_find(&dir, spec, places, a, &no_run)) return run_of(out, dir, places, a, err);
    if (path_exists(path_join(a, spec, "adapter_config.json")))
        return adapter_of(out, spec, places, a, err);
    return models_find(&dir, spec, NULL, places, a, err) && adapter_of(out, dir, places, a, err);
}

/* A folder that says what it must be is checked against that. */
static bool is_whole(const char *dir, struct arena *a, struct err *err)
{
    return !dir || !path_exists(path_join(a, dir, MANIFEST)) ||
           checkpoint_verify(dir, VERIFY_MODEL, a, err);
}

static bool device_for(struct answerer *x, const struct answerer_options *o, const struct places *p,
                       struct device_info *info, struct err *err)
{
    char why[400];
    const char *name = o->backend ? o->backend : "cpu";
    x->k = kernels_load(name, p->plugins, why, sizeof why);
    if (!x->k) return fail(err, "backend %s: %s", name, why);
    x->pool = pool_make(o->threads);
    if (!x->pool) return fail(err, "the system refuses threads; see `ulimit -u`");
    if (!x->k->open(&x->device, 0, x->pool, why, sizeof why))
        return fail(err, "backend %s: %s", name, why);
    x->k->info(x->device, info);
    return true;
}

static bool compute_type(struct training *t, const char *dtype, const struct model_config *c,
                         const struct device_info *d, struct err *err)
{
    bool is_auto = !dtype || strcmp(dtype, "auto") == 0;
    bool bf16 = dtype && strcmp(dtype, "bf16") == 0;
    if (!is_auto && !bf16 && strcmp(dtype, "fp32") != 0)
        return fail(err, "dtype '%s' is not one of auto, fp32, bf16", dtype);
    t->compute = bf16 || (is_auto && d->fast[BF16] && c->type == T_BF16) ? BF16 : F32;
    t->frozen = t->compute == BF16 || (c->type == T_BF16 && is_auto) ? BF16 : F32;
    return true;
}

static bool memory_is_there(const struct layout *l, const struct device_info *d, const char *name,
                            struct err *err)
{
    char need[24], have[24];
    return l->bytes <= d->memory_free ||
           fail(err, "%s needs %s to answer and %s are free", name, text_bytes(need, l->bytes),
                text_bytes(have, d->memory_free));
}

static bool tokens_open(struct answerer *x, const char *dir, const char *tpl,
                        const struct places *p, struct arena *a, struct err *err)
{
    return tokenizer_open(&x->tokenizer, dir, a, err) &&
           template_open(&x->template, tpl && tpl[0] ? tpl : "auto",
                         path_join(a, p->assets, "templates"),
                         tokenizer_chat_template(x->tokenizer), a, err);
}

/* A run's own template, which may not be the model's. */
static const char *run_template(const char *run, struct arena *a)
{
    struct profile profile;
    struct problems problems = {0};
    struct err ignored;
    bool ok = run && profile_read(&profile, path_join(a, run, "profile.yaml"), NULL, 0, &problems,
                                  a, &ignored);
    return ok ? profile.template : NULL;
}

bool answerer_open(struct answerer *x, const char *spec, const struct answerer_options *o,
                   const struct places *places, struct arena *a, struct err *err)
{
    struct named named;
    struct device_info info;
    struct training training = {.compute = F32};
    *x = (struct answerer){.name = spec};
    if (!resolve(&named, spec, places, a, err)) return false;
    if (o->adapter) named.adapter = o->adapter;
    bool known = named.run && !o->adapter; /* it was checked when it was found */
    if (!known && (!is_whole(named.base, a, err) || !is_whole(named.adapter, a, err))) return false;
    const char *base_said;
    if (!model_config_read(&x->config, named.base, a, err)) return false;
    if (named.adapter && !adapter_read(&training.lora, &base_said, named.adapter, a, err))
        return false;
    const char *tpl = o->template ? o->template : run_template(named.run, a);
    x->dir = named.base;
    x->adapter = named.adapter;
    x->context = o->context                      ? o->context
                 : x->config.max_position < 4096 ? x->config.max_position
                                                 : 4096;
    int rows = o->rows ? o->rows : x->context < 512 ? x->context : 512;
    struct model_shape shape = {.rows = rows,
                                .longest = rows,
                                .loss_rows = rows < 128 ? rows : 128,
                                .cache_tokens = x->context};
    struct model_files files = {.base = named.base, .adapter = named.adapter};
    return tokens_open(x, named.base, tpl, places, a, err) &&
           device_for(x, o, places, &info, err) &&
           compute_type(&training, o->dtype, &x->config, &info, err) &&
           layout_make(&x->layout, &x->config, &training, &shape, &info, a, err) &&
           memory_is_there(&x->layout, &info, spec, err) &&
           model_open(&x->model, &x->config, &training, &shape, &x->layout, &files, 0, x->k,
                      x->device, a, err);
}

void answerer_close(struct answerer *x)
{
    if (x->model) model_close(x->model);
    if (x->device) x->k->close(x->device);
    if (x->pool) pool_drop(x->pool);
    *x = (struct answerer){.name = NULL};
}
