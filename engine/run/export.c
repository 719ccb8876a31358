/* export.c - a run becomes a Hugging Face folder (or a PEFT folder, or a GGUF) that others load.
 *
 * The adapter is merged in fp32 and rounded once. Rounding to bf16 can lose much of a small
 * adapter, so what survives is measured and said. What was written is loaded again and its logits
 * compared. */
#include "engine/format/import.h"
#include "engine/run/run.h"
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PROBE_ROWS 24

static bool type_for(enum tensor_type *t, const char *dtype, const struct model_config *c,
                     struct err *err)
{
    static const struct {
        const char *name;
        enum tensor_type type;
    } rows[] = {{"fp32", T_F32}, {"bf16", T_BF16}, {"fp16", T_F16}};
    *t = c->type;
    if (!dtype || strcmp(dtype, "auto") == 0) return true;
    for (size_t i = 0; i < COUNT(rows); i++)
        if (strcmp(dtype, rows[i].name) == 0) {
            *t = rows[i].type;
            return true;
        }
    return fail(err, "--dtype '%s' is not one of auto, fp32, bf16, fp16", dtype);
}

/* Logits after a few fixed tokens: the same question to both models. */
static bool probe(struct answerer *x, float *out, struct arena *a, struct err *err)
{
    struct batch b = batch_make(a, PROBE_ROWS);
    int32_t last = PROBE_ROWS - 1;
    b.rows = b.longest = PROBE_ROWS;
    b.n_seqs = 1;
    b.start[1] = PROBE_ROWS;
    for (int i = 0; i < PROBE_ROWS; i++) {
        b.ids[i] = (int32_t)(rand_at(7, (uint64_t)i) % (uint64_t)x->config.vocab);
        b.pos[i] = i;
        b.targets[i] = -1;
    }
    return model_logits(x->model, &b, &last, 1, out, err);
}

static void say_survival(const struct survival *s, int n, struct buf *report)
{
    double least = 1;
    for (int i = 0; i < n;) {
        int layer = s[i].layer;
        double sum = 0, worst = 1;
        int count = 0;
        for (; i < n && s[i].layer == layer; i++, count++) {
            sum += s[i].share;
            worst = fmin(worst, s[i].share);
        }
        buf_printf(report,
                   "layer %2d: %.1f %% of the adapter survives rounding (worst linear %.1f %%)\n",
                   layer, 100 * sum / count, 100 * worst);
        least = fmin(least, worst);
    }
    if (n && least < 0.95)
        buf_printf(
            report,
            "warning: rounding loses up to %.1f %% of the adapter; --dtype fp32 keeps all of it\n",
            100 * (1 - least));
}

static bool check_written(const char *dir, const float *before, const struct answerer_options *how,
                          int vocab, double *most, const struct places *places, struct arena *a,
                          struct err *err)
{
    struct answerer again;
    float *after = NEW_N(a, float, vocab);
    bool ok = answerer_open(&again, dir, how, places, a, err) && probe(&again, after, a, err);
    answerer_close(&again);
    *most = 0;
    for (int i = 0; ok && i < vocab; i++) *most = fmax(*most, fabs((double)after[i] - before[i]));
    if (ok && !isfinite(*most))
        ok = fail(err, "what was written to %s gives logits that are not finite", dir);
    return ok || fail_in(err, "what was written does not load");
}

static bool write_merged(struct answerer *x, const char *dir, enum tensor_type type,
                         struct buf *report, struct arena *a, struct err *err)
{
    struct saved *saved = NEW(a, struct saved);
    if (x->adapter) {
        struct survival *s = NEW_N(a, struct survival, x->config.layers * LINEARS);
        int n = 0;
        if (!model_survival(x->model, type, s, &n, a, err)) return false;
        say_survival(s, n, report);
    }
    return model_save(x->model, dir, type, x->adapter != NULL, saved, err) &&
           model_copy_files(x->dir, dir, saved, a, err);
}

static bool publish(const char *beside, const char *dir, struct err *err)
{
    if (!dir_sync(beside, err)) return false;
    if (rename(beside, dir) != 0) return fail_errno(err, "cannot rename %s to %s", beside, dir);
    char parent[4096];
    snprintf(parent, sizeof parent, "%.*s", (int)(path_base(dir) - dir), dir);
    return dir_sync(parent[0] ? parent : ".", err);
}

static bool merged(struct answerer *x, const char *dir, const char *beside,
                   const struct export_options *o, const struct places *places, struct buf *report,
                   struct arena *a, struct err *err)
{
    enum tensor_type type;
    double most;
    struct answerer_options how = {
        .backend = o->backend, .dtype = "fp32", .context = PROBE_ROWS * 2, .rows = PROBE_ROWS};
    float *before = NEW_N(a, float, x->config.vocab);
    if (!type_for(&type, o->dtype, &x->config, err) || !probe(x, before, a, err) ||
        !write_merged(x, beside, type, report, a, err) ||
        !check_written(beside, before, &how, x->config.vocab, &most, places, a, err))
        return false;
    if (type == T_F32 && most > 1e-3)
        return fail(err, "the written fp32 model differs by %.3g in a logit; nothing was kept",
                    most);
    if (o->gguf && !export_gguf(beside, o->gguf,
                                o->gguf_q8      ? T_I8
                                : type == T_F32 ? T_F32
                                                : T_BF16,
                                a, err))
        return false;
    if (!publish(beside, dir, err)) {
        if (o->gguf) unlink(o->gguf); /* both or none, and the same command works again */
        return false;
    }
    buf_printf(report,
               "wrote %s (%s, %s parameters); loaded again, logits differ by %.2g at most\n", dir,
               tensor_type_name(type), text_count((char[32]){0}, x->config.parameters), most);
    if (o->gguf) buf_printf(report, "wrote %s\n", o->gguf);
    return true;
}

static bool adapter_alone(struct answerer *x, const char *dir, const char *beside,
                          struct buf *report, struct arena *a, struct err *err)
{
    struct saved *saved = NEW(a, struct saved);
    if (!x->adapter) return fail(err, "%s has no adapter; leave --adapter-only out", x->name);
    if (!model_save_adapter(x->model, beside, x->dir, saved, err) || !publish(beside, dir, err))
        return false;
    buf_printf(report, "wrote the adapter to %s; its base is %s\n", dir, x->dir);
    return true;
}

bool run_export(const char *spec, const char *dir, const struct export_options *o,
                const struct places *places, struct buf *report, struct arena *a, struct err *err)
{
    struct answerer x = {.name = spec};
    struct answerer_options how = {
        .backend = o->backend, .dtype = "fp32", .context = PROBE_ROWS * 2, .rows = PROBE_ROWS};
    const char *beside = arena_printf(a, "%s.tmp-%d", dir, (int)getpid());
    if (path_exists(dir)) return fail(err, "%s exists already; name a new folder", dir);
    if (path_exists(beside) && !dir_remove(beside, err)) return false; /* of one that failed */
    bool ok = answerer_open(&x, spec, &how, places, a, err) && dir_make(beside, err) &&
              (o->adapter_only ? adapter_alone(&x, dir, beside, report, a, err)
                               : merged(&x, dir, beside, o, places, report, a, err));
    answerer_close(&x);
    struct err ignored;
    if (!ok && path_exists(beside) && !dir_remove(beside, &ignored))
        say(LOG_WARN, "%s", ignored.text);
    return ok;
}
