/* plan.h - what a profile will cost and teach, before anything is started.
 *
 * plan_make is pure: profile, model, data reports and machine in, numbers out. The engine allocates
 * exactly plan.stages[i].layout. The resolved profile pins what `auto` chose.
 *
 * A step takes batch_tokens / max_length windows (at least one) in micro-batches; the last
 * micro-batch of a step and the last step of a stage may be smaller: nothing is dropped. Of the
 * micro-batches up to about 2,048 tokens, where a processor's products are at their best, and the
 * kinds of recompute, each in as few layers as it takes, the fastest that fits is chosen.
 *
 * Time is tokens over a speed measured here for the same model, training and type
 * (plan_remember_speed), else FLOPs over half of the measured peak; seconds_source says which. */
#ifndef HONE_PLAN_H
#define HONE_PLAN_H
#include "engine/base/base.h"
#include "engine/run/models.h"
#include "engine/run/profile.h"

struct json;
struct plan_stage {
    const char *name;
    int64_t windows, steps, tokens, trained;
    int windows_per_step;
    int micro_batch, accumulation; /* windows of a micro-batch; micro-batches a step */
    int64_t warmup;
    struct training training;
    struct model_shape shape;
    struct layout layout;
    struct stream stream;
    double flops, hardware_flops; /* of the whole stage, from the lengths of its documents: about */
    double seconds;
    const char *speed_key; /* model, training, type and machine: what a speed is measured for */
};
struct plan {
    struct model_config model;
    const char *model_dir;
    enum dtype compute;
    struct source *sources; int n_sources;
    struct plan_stage *stages; int n_stages;
    int64_t steps, tokens, trained;
    int64_t bytes_peak, bytes_free;                     /* device memory: needed, there */
    int64_t host_bytes;                                 /* data index, staging: about */
    int64_t checkpoint_bytes, disk_needed, disk_there;
    double seconds;
    char seconds_source[96]; /* "measured here, demo-0006", "from the processor's peak" */
    struct problems warnings;
};

/* Everything that must be opened first: the model's folder, tokenizer, template and data (from the
 * cache where it is there). `tokenizer` and `template` live in arena a as the plan does. */
struct plan_inputs {
    const struct profile *profile;
    const struct places *places;
    const struct machine *machine;
    struct data_settings data; /* tokenizer, template, cache filled in by plan_open */
    struct tokenizer *tokenizer; struct template *template;
    struct plan plan;
    const struct json *speeds; /* of earlier runs, from home/speeds.json, or NULL */
};
/* Opens model, tokenizer, template and sources; where it fails, nothing is left open. */
bool plan_open(struct plan_inputs *in, struct arena *a, struct err *err);
/* Sizes of every stage; chooses micro-batch and recompute where they are open. Refused where it
 * cannot fit: by how much, and the one change that would make it fit. Writes the choices back into
 * *pinned. */
bool plan_make(struct plan_inputs *in, struct profile *pinned, struct arena *a, struct err *err);
void plan_close(struct plan_inputs *in);
/* What wants an explicit yes before a start, a sentence each, appended to *out (NULL: counted only):
 * a dataset of which more than 1 % of the rows hold no trained token. Returns how many. */
int plan_questions(const struct plan *p, struct problems *out, struct arena *a);
void plan_write_json(const struct plan *p, const struct profile *profile, struct buf *out);
/* For `hone check`: the resolved profile, then the plan in words. */
void plan_write_text(const struct plan *p, const struct profile *profile, struct buf *out);
/* Keeps what a stage really did, for the time estimates of later plans: tokens (rows) a second of
 * its training steps alone, over some tens of steps. `run` is the run's name, which the estimate
 * then quotes. */
bool plan_remember_speed(const struct places *places, const char *speed_key, const char *run,
                         double tokens_per_second, struct arena *a, struct err *err);
/* Learning rate of step s (0-based) of a stage, as profile.md's formulas. */
double schedule_at(const struct settings *s, int64_t step, int64_t warmup, int64_t steps);
#endif
