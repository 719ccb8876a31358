/* train.h - private to engine/run: the state of a training run, shared by train.c (stages), step.c (steps)
 * and measure.c (validation, quiz, samples). */
#ifndef HONE_TRAIN_H
#define HONE_TRAIN_H
#include "engine/run/checkpoint.h"
#include "engine/run/run.h"

/* An order of an earlier life of the run that counts again when its step comes. */
struct replayed { int64_t step, stage; double learning_rate; };

struct train {
    const char *dir;
    const struct run_options *options;
    const struct run_hooks *hooks;
    const struct places *places;
    struct arena *a;                     /* the run */
    struct arena stage_arena;            /* a stage */
    double beaten;                       /* when state.json was written, monotonic */
    struct journal journal;

    struct profile profile;
    struct plan_inputs in;               /* in.plan is the plan */
    struct machine machine;
    const struct kernels *k;
    struct device *device;
    struct pool *pool;
    double peak;                         /* FLOP/s of the compute type */

    struct model *model;                 /* of the current stage, or NULL */
    struct stream *held_out;             /* validation windows of the current stage, or NULL */
    struct batch batch;
    struct quiz_row **quiz; int *quiz_n; /* one list a quiz file */

    struct maker maker;
    struct progress at;
    struct checkpoint last;              /* newest good one; name NULL: none */
    struct arena last_arena;             /* its texts, once the run has saved */
    struct replayed *replay; int n_replay;
    bool paused, stop;
    const char *failed;                  /* a guard's sentence, or NULL */
    int64_t rows_timed; double seconds_timed;  /* of this stage's steps after its first two: for later plans */
};

static inline const struct stage *stage_of(const struct train *t) { return &t->profile.stages[t->at.stage]; }
static inline struct plan_stage *plan_of(struct train *t) { return &t->in.plan.stages[t->at.stage]; }

/* ---- step.c ---- */
bool step_run(struct train *t, struct err *err);          /* one optimizer step: at.step and at.stage_step go up */
bool orders_take(struct train *t, struct err *err);       /* all that wait; blocks while paused */
bool train_save(struct train *t, const char *why, struct err *err);   /* a disk that is full pauses the run */

/* ---- measure.c ---- */
bool quiz_open(struct train *t, struct err *err);
bool quiz_run(struct train *t, struct err *err);
bool validate(struct train *t, struct err *err);          /* hold-out loss, then sample prompts */
#endif
