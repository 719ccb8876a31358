/* checkpoint.h - private to engine/run: saving, listing and dropping checkpoints. */
#ifndef HONE_CHECKPOINT_H
#define HONE_CHECKPOINT_H
#include "engine/run/folder.h"

/* What a resumed loop must know besides weights and moments; all of it is in train.json. */
struct progress {
    int64_t step, stage, stage_step;     /* steps in all, current stage, steps of it done */
    double best;                         /* lowest validation loss so far, NaN: none */
    double validation;                   /* the last one, NaN: none */
    double learning_rate;                /* an order's, 0: the profile's */
    double spike_mean, spike_var; int64_t spike_n;  /* running loss of the guard */
    int64_t skipped_in_row;
};

struct checkpoint_job {
    const char *run_dir, *stage_name;
    const char *model_dir;               /* where tokenizer files come from */
    const char *base;                    /* adapter: what it belongs to */
    bool adapter, merge;                 /* merge: a whole F32 model beside the adapter, for the next stage */
    enum tensor_type type;               /* of the model's file */
    struct progress progress;
    int64_t seed;
    struct device_info device;
    const char *dtype;
    bool is_best;
};
/* Written beside, synced, renamed, the manifest last; a checkpoint that has a name is whole. On failure
 * nothing is left but a sentence. bytes: its size. */
bool checkpoint_save(const struct checkpoint_job *job, struct model *m, int64_t *bytes, struct arena *a, struct err *err);
/* Keeps the `limit` newest (0: all), the best where keep_best, and the one named `needed` (may be NULL). */
bool checkpoint_rotate(const char *run_dir, int limit, bool keep_best, const char *needed, struct arena *a, struct err *err);
/* The manifest's progress of a checkpoint. */
bool checkpoint_progress(struct progress *out, const struct checkpoint *c, struct arena *a, struct err *err);
#endif
