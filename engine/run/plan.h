/* plan.h - what a profile will cost and teach, before anything is started.
 *
 * plan_make is pure: profile, model, data reports and machine in, numbers out. The engine allocates
 * exactly plan.stages[i].layout. The resolved profile pins what `auto` chose. */
#ifndef HONE_PLAN_H
#define HONE_PLAN_H
#include "engine/base/base.h"
#include "engine/run/models.h"
#include "engine/run/profile.h"

struct plan_stage {
    int64_t windows, steps, tokens, trained;
    int windows_per_step, micro_batch, accumulation;   /* windows of a micro-batch; micro-batches a step */
    int64_t warmup;
    struct training training;
    struct model_shape shape;
    struct layout layout;
    struct stream stream;
    double flops, hardware_flops;                       /* of the whole stage */
    double seconds;
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
    double seconds; char seconds_source[96];            /* "measured here, demo-0006", "from the processor's peak" */
    struct problems warnings;
};

/* Everything that must be opened first: the model's folder, tokenizer, template and data (from the cache
 * where it is there). `tokenizer` and `template` live in arena a as the plan does. */
struct plan_inputs {
    const struct profile *profile;
    const struct places *places;
    const struct machine *machine;
    struct data_settings data;                          /* tokenizer, template, cache filled in by plan_open */
    struct tokenizer *tokenizer; struct template *template;
    struct plan plan;
};
bool plan_open(struct plan_inputs *in, struct arena *a, struct err *err);   /* model, tokenizer, template, sources */
/* Sizes of every stage; chooses micro-batch and recompute where they are open. Refused where it cannot
 * fit: by how much, and the one change that would make it fit. Writes the choices back into *profile. */
bool plan_make(struct plan_inputs *in, struct profile *pinned, struct arena *a, struct err *err);
void plan_close(struct plan_inputs *in);
void plan_write_json(const struct plan *p, const struct profile *profile, struct buf *out);
void plan_write_text(const struct plan *p, const struct profile *profile, struct buf *out);  /* for `hone check` */
/* Learning rate of step s (0-based) of a stage, as profile.md's formulas. */
double schedule_at(const struct settings *s, int64_t step, int64_t warmup, int64_t steps);
#endif
