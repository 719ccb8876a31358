/* plan.c - opens what a profile names, and computes what every stage of it will be. */
#include "engine/run/plan_parts.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

/* As measured, with a million documents of a source: the program, its libraries and stacks; a
 * document's place in the index; one that a stage takes, while its windows are packed. */
enum { PROGRAM_BYTES = 48 << 20, INDEX_BYTES = 60, PACKING_BYTES = 75 };

/* ---- opening ---- */

static bool device_is_here(const struct machine *m, struct err *err)
{
    return !m->problem[0] || fail(err, "the processor's backend cannot be used: %s", m->problem);
}

static bool file_is_there(const char *what, const char *name, const char *path, bool folder,
                          struct err *err)
{
    if (folder && path_exists(path) && !path_is_dir(path))
        return fail(err, "%s%s: %s is no folder", what, name, path);
    if (path_exists(path)) return true;
    return fail(err, "%s%s: there is no file %s; paths in a profile are relative to its folder",
                what, name, path);
}

static bool files_are_there(const struct profile *p, struct err *err)
{
    for (int i = 0; i < p->n_datasets; i++)
        if (!file_is_there("dataset ", p->datasets[i].name, p->datasets[i].path, false, err))
            return false;
    for (int i = 0; i < p->eval.n_quiz; i++)
        if (!file_is_there("eval.quiz", "", p->eval.quiz[i], false, err)) return false;
    for (int i = 0; i < p->n_stages; i++)
        if (p->stages[i].set.lora.init_from[0] &&
            !file_is_there("lora.init_from", "", p->stages[i].set.lora.init_from, true, err))
            return false;
    return true;
}

static bool tokenizer_fits(const struct plan_inputs *in, struct err *err)
{
    int pieces = tokenizer_size(in->tokenizer), rows = in->plan.model.vocab;
    return pieces <= rows || fail(err,
                                  "the tokenizer of %s has %d pieces and its model %d rows of "
                                  "embeddings: they do not belong together",
                                  in->plan.model_dir, pieces, rows);
}

static bool sources_open(struct plan_inputs *in, struct arena *a, struct err *err)
{
    const struct profile *p = in->profile;
    in->plan.sources = NEW_N(a, struct source, p->n_datasets);
    for (; in->plan.n_sources < p->n_datasets; in->plan.n_sources++) {
        const struct source_spec *spec = &p->datasets[in->plan.n_sources];
        if (!source_prepare(&in->plan.sources[in->plan.n_sources], spec, &in->data, a, err))
            return fail_in(err, "dataset %s", spec->name);
    }
    return true;
}

bool plan_open(struct plan_inputs *in, struct arena *a, struct err *err)
{
    const struct profile *p = in->profile;
    struct plan *plan = &in->plan;
    *plan = (struct plan){0};
    if (!device_is_here(in->machine, err) ||
        !models_find(&plan->model_dir, p->base_model, p->dir, in->places, a, err))
        return false;
    if (!model_config_read(&plan->model, plan->model_dir, a, err)) return false;
    if (!tokenizer_open(&in->tokenizer, plan->model_dir, a, err) || !tokenizer_fits(in, err))
        return false;
    if (!template_open(&in->template, p->template, path_join(a, in->places->assets, "templates"),
                       tokenizer_chat_template(in->tokenizer), a, err))
        return fail_in(err, "template");
    if (!files_are_there(p, err)) return false;
    in->data.tokenizer = in->tokenizer;
    in->data.template = in->template;
    in->data.max_length = p->max_length;
    in->data.packing = p->stages[0].set.packing;
    in->data.holdout = p->eval.holdout;
    in->data.cache_dir = in->places->cache;
    in->speeds = plan_speeds(in->places, a);
    if (sources_open(in, a, err)) return true;
    plan_close(in);
    return false;
}

void plan_close(struct plan_inputs *in)
{
    while (in->plan.n_sources > 0) source_close(&in->plan.sources[--in->plan.n_sources]);
}

/* ---- a stage ---- */

static enum dtype compute_of(const struct profile *p, const struct machine *m)
{
    if (strcmp(p->dtype, "auto") == 0) return m->device.fast[BF16] ? BF16 : F32;
    return strcmp(p->dtype, "bf16") == 0 ? BF16 : F32;
}

/* Frozen weights lie in memory as BF16 where that loses nothing that the products would see: a BF16
 * file always, an F16 one where products round to BF16 anyway. */
static enum dtype frozen_of(const struct plan *plan)
{
    return plan->model.type == T_BF16 || (plan->model.type == T_F16 && plan->compute == BF16) ? BF16
                                                                                              : F32;
}

static bool training_of(struct training *out, const struct plan *plan, const struct settings *s,
                        struct err *err)
{
    static const enum dtype moments[] = {
        [STATE_FP32] = F32, [STATE_BF16] = BF16, [STATE_8BIT] = U8};
    *out = (struct training){.parts = s->train,
                             .n_parts = s->n_train,
                             .compute = plan->compute,
                             .frozen = frozen_of(plan),
                             .moments = moments[s->moments],
                             .gradients = moments[s->gradients],
                             .neftune_alpha = (float)s->neftune_alpha,
                             .decay_all = s->decay_all,
                             .weight_decay = (float)s->weight_decay};
    if (strcmp(s->train[0], "lora") != 0) return true;
    out->lora = (struct lora){.rank = s->lora.rank,
                              .alpha = (float)s->lora.alpha,
                              .dropout = (float)s->lora.dropout,
                              .rank_stabilised = s->lora.rank_stabilised};
    return lora_targets(&out->lora.targets, s->lora.targets, s->lora.n_targets, err);
}

static bool batch_of(struct plan_stage *out, const struct settings *s, int max_length,
                     struct err *err)
{
    int64_t windows = s->batch_tokens > 0
                          ? s->batch_tokens / max_length
                          : (int64_t)s->micro_batch_size * s->gradient_accumulation_steps;
    if (windows < 1) windows = 1;
    if (windows * max_length > 1 << 30)
        return fail(
            err, "stage %s: a step of %lld windows of %d tokens is %lld tokens; %d are allowed",
            out->name, (long long)windows, max_length, (long long)(windows * max_length), 1 << 30);
    out->windows_per_step = (int)windows;
    return true;
}

static bool stream_of(struct plan_stage *out, const struct plan_inputs *in, const struct stage *s,
                      struct arena *a, struct err *err)
{
    struct data_settings data = in->data;
    struct mix *mix = NEW_N(a, struct mix, s->n_mix);
    for (int i = 0; i < s->n_mix; i++)
        mix[i] = (struct mix){&in->plan.sources[s->mix[i].dataset], s->mix[i].share};
    struct stream_spec spec = {.mix = mix,
                               .n_mix = s->n_mix,
                               .bins = s->bins,
                               .epochs = s->epochs,
                               .max_tokens = s->max_tokens,
                               .max_windows = s->max_steps * out->windows_per_step,
                               .seed = (uint64_t)in->profile->seed +
                                       (uint64_t)(s - in->profile->stages),
                               .shuffle = s->set.shuffle};
    data.packing = s->set.packing;
    if (!stream_make(&out->stream, &spec, &data, a, err)) return false;
    if (out->stream.trained > 0) return true;
    return fail(err, "nothing would be learnt: none of its %lld tokens is trained",
                (long long)out->stream.tokens);
}

static int64_t warmup_of(const struct settings *s, int64_t steps)
{
    int64_t n = s->warmup_steps >= 0 ? s->warmup_steps
                                     : (int64_t)ceil(s->warmup_ratio * (double)steps - 1e-9);
    return n < steps ? n : steps;
}

/* Query-key pairs of a stage, from the lengths of its documents: a token of a document of n tokens
 * sees (n + 1) / 2 on average. */
static double pairs_of(const struct plan_inputs *in, const struct stage *s, int64_t tokens)
{
    double sum = 0, squares = 0;
    for (int i = 0; i < s->n_mix; i++)
        for (int b = 0; b < (int)COUNT(in->plan.sources[0].report.lengths); b++) {
            double n = 1.5 * (double)((int64_t)1 << b),
                   documents = (double)in->plan.sources[s->mix[i].dataset].report.lengths[b];
            if (n > in->profile->max_length) n = in->profile->max_length;
            sum += n * documents * s->mix[i].share;
            squares += n * (n + 1) / 2 * documents * s->mix[i].share;
        }
    return sum > 0 ? (double)tokens * squares / sum : (double)tokens;
}

static int64_t host_bytes(const struct plan_inputs *in)
{
    int64_t bytes = PROGRAM_BYTES;
    for (int i = 0; i < in->plan.n_sources; i++)
        bytes += in->plan.sources[i].documents * INDEX_BYTES;
    return bytes;
}

static int64_t packing_bytes(const struct plan_inputs *in, const struct stage *s,
                             const struct stream *stream)
{
    double taken = 0;
    for (int i = 0; i < s->n_mix; i++)
        taken += stream->source_epochs[i] * (double)in->plan.sources[s->mix[i].dataset].documents;
    return (int64_t)taken * PACKING_BYTES;
}

static bool stage_make(struct plan_inputs *in, int index, struct arena *a, struct err *err)
{
    const struct stage *s = &in->profile->stages[index];
    struct plan_stage *p = &in->plan.stages[index];
    p->name = s->name;
    if (!training_of(&p->training, &in->plan, &s->set, err) ||
        !batch_of(p, &s->set, in->profile->max_length, err))
        return false;
    if (!stream_of(p, in, s, a, err)) return fail_in(err, "stage %s", s->name);
    int64_t beside = host_bytes(in) + packing_bytes(in, s, &p->stream);
    if (beside > in->plan.host_bytes) in->plan.host_bytes = beside;
    p->windows = p->stream.windows;
    p->tokens = p->stream.tokens;
    p->trained = p->stream.trained;
    p->steps = (p->windows + p->windows_per_step - 1) / p->windows_per_step;
    p->warmup = warmup_of(&s->set, p->steps);
    if (!plan_fit(in, p, &s->set, a, err)) return false;
    p->flops = model_flops(&in->plan.model, &p->training, p->tokens, pairs_of(in, s, p->tokens),
                           p->trained, &p->hardware_flops);
    p->speed_key = plan_speed_key(in, p, a);
    return true;
}

/* ---- the whole ---- */

static void plan_sum(struct plan_inputs *in)
{
    struct plan *plan = &in->plan;
    for (int i = 0; i < plan->n_stages; i++) {
        const struct plan_stage *p = &plan->stages[i];
        bool next_full = i + 1 < plan->n_stages && plan->stages[i + 1].training.lora.rank == 0;
        int64_t bytes = model_save_bytes(&plan->model, &p->training, plan->model.type);
        if (p->training.lora.rank > 0 && next_full)
            bytes += plan->model.parameters * 4; /* merged for the next stage */
        plan->steps += p->steps;
        plan->tokens += p->tokens;
        plan->trained += p->trained;
        if (p->layout.bytes > plan->bytes_peak) plan->bytes_peak = p->layout.bytes;
        if (bytes > plan->checkpoint_bytes) plan->checkpoint_bytes = bytes;
    }
    int64_t every = in->profile->save.every_steps,
            all = plan->n_stages + (every > 0 ? plan->steps / every : 0);
    int64_t kept = in->profile->save.total_limit > 0
                       ? in->profile->save.total_limit + 1 + in->profile->save.keep_best
                       : all;
    plan->disk_needed = plan->checkpoint_bytes * (kept < all ? kept : all);
    const char *place = in->places->runs;
    if (!path_exists(place)) place = path_exists(in->places->home) ? in->places->home : "/";
    plan->disk_there = disk_free(place);
    plan->bytes_free = in->machine->device.memory_free;
}

static bool disk_is_enough(const struct plan *plan, struct err *err)
{
    char need[16], have[16];
    if (plan->disk_there < 0 || plan->disk_there >= plan->checkpoint_bytes) return true;
    return fail(err,
                "a checkpoint takes %s and %s are free on the disk of the runs; make room, or set "
                "HONE_HOME to another disk",
                text_bytes(need, plan->checkpoint_bytes), text_bytes(have, plan->disk_there));
}

static void warn_sources(struct plan_inputs *in, struct arena *a)
{
    struct problems *w = &in->plan.warnings;
    for (int i = 0; i < in->plan.n_sources; i++) {
        const struct source *s = &in->plan.sources[i];
        const struct source_report *r = &s->report;
        char text[32], all[32];
        if (r->rows_bad > 0)
            problem_add(w, a, 0, 0,
                        "dataset %s: %s of %s rows are bad and left out; the first is %s",
                        s->spec.name, text_count(text, r->rows_bad), text_count(all, r->rows),
                        r->n_bad ? r->bad[0] : "not kept");
        if (r->bytes_lost > 0)
            problem_add(w, a, 0, 0,
                        "dataset %s: the vocabulary has no token for %s bytes; they are left out",
                        s->spec.name, text_count(text, r->bytes_lost));
        if (r->rows_truncated > 0)
            problem_add(w, a, 0, 0,
                        "dataset %s: %s documents are longer than max_length %d and are cut; the "
                        "longest has %s tokens",
                        s->spec.name, text_count(text, r->rows_truncated), in->profile->max_length,
                        text_count(all, r->longest));
    }
}

static void warn_stages(struct plan_inputs *in, struct arena *a)
{
    struct problems *w = &in->plan.warnings;
    for (int i = 0; i < in->plan.n_stages; i++) {
        const struct stage *s = &in->profile->stages[i];
        const struct plan_stage *p = &in->plan.stages[i];
        for (int j = 0; j < s->n_mix; j++)
            if (p->stream.source_epochs[j] > 10 && s->epochs <= 10)
                problem_add(w, a, s->line, 1, "stage %s: %s is seen %.1f times to give its share",
                            s->name, in->profile->datasets[s->mix[j].dataset].name,
                            p->stream.source_epochs[j]);
        if (p->steps < 10)
            problem_add(w, a, s->line, 1,
                        "stage %s has only %lld step%s; a smaller batch_tokens makes more", s->name,
                        (long long)p->steps, p->steps == 1 ? "" : "s");
    }
}

static void warn_plan(struct plan_inputs *in, struct arena *a)
{
    struct plan *plan = &in->plan;
    char need[16], have[16];
    if (in->profile->max_length > plan->model.max_position && plan->model.max_position > 0)
        problem_add(&plan->warnings, a, 0, 0,
                    "max_length %d is longer than the %d tokens that the model was made for",
                    in->profile->max_length, plan->model.max_position);
    if (plan->compute == BF16 && !in->machine->device.fast[BF16])
        problem_add(
            &plan->warnings, a, 0, 0,
            "dtype bf16: %s has no bf16 products, so it works by widening and is slower than fp32",
            in->machine->device.name);
    if (plan->disk_there >= 0 && plan->disk_there < plan->disk_needed)
        problem_add(&plan->warnings, a, 0, 0,
                    "the kept checkpoints take %s and %s are free: lower save.total_limit, or the "
                    "run will pause when the disk is full",
                    text_bytes(need, plan->disk_needed), text_bytes(have, plan->disk_there));
    warn_sources(in, a);
    warn_stages(in, a);
}

/* What auto became: read again, the profile makes this very plan. */
static void pin(const struct plan_inputs *in, struct profile *pinned, struct arena *a)
{
    struct stage *stages = NEW_N(a, struct stage, in->profile->n_stages);
    memcpy(stages, in->profile->stages, (size_t)in->profile->n_stages * sizeof *stages);
    *pinned = *in->profile;
    pinned->stages = stages;
    pinned->base_model = in->plan.model_dir;
    pinned->device = in->machine->device_name[0] ? in->machine->device_name : "cpu";
    pinned->dtype = in->plan.compute == BF16 ? "bf16" : "fp32";
    for (int i = 0; i < pinned->n_stages; i++) {
        stages[i].set.micro_batch_size = in->plan.stages[i].micro_batch;
        stages[i].set.recompute = (int)in->plan.stages[i].training.recompute;
        stages[i].set.recompute_layers = in->plan.stages[i].training.recompute_layers;
    }
}

bool plan_make(struct plan_inputs *in, struct profile *pinned, struct arena *a, struct err *err)
{
    struct plan *plan = &in->plan;
    plan->compute = compute_of(in->profile, in->machine);
    plan->host_bytes = host_bytes(in);
    plan->n_stages = in->profile->n_stages;
    plan->stages = NEW_N(a, struct plan_stage, plan->n_stages);
    plan->steps = plan->tokens = plan->trained = plan->bytes_peak = plan->checkpoint_bytes = 0;
    plan->warnings = (struct problems){0};
    for (int i = 0; i < plan->n_stages; i++)
        if (!stage_make(in, i, a, err)) return false;
    plan_sum(in);
    if (!disk_is_enough(plan, err)) return false;
    plan_time(in, a);
    profile_warnings(in->profile, &plan->warnings, a);
    warn_plan(in, a);
    pin(in, pinned, a);
    return true;
}
