/* fold.h - what a run's screen shows: a fold over its events, and nothing else.
 *
 * Attaching late, again, or to a run of last month is the same: the events from the first on. Step
 * events may come from metrics.bin in bulk (history.c) so that a million steps open at once. After
 * `resumed` what was lived beyond its step is forgotten. Texts are copied: an event dies with its
 * call. */
#ifndef HONE_FOLD_H
#define HONE_FOLD_H
#include "engine/run/run.h"
#include "tui/grid.h"
#include "tui/series.h"

#define FOLD_LOG 400
#define FOLD_STAGES 64
#define FOLD_QUIZZES 16

struct fold_stage {
    char name[65];
    int64_t from, steps, buckets, trained;   /* steps before it; its steps; parameters that train */
    bool begun;
};
struct fold_quiz { char file[64]; double first, last; int64_t right, of; int times; };
struct fold_line { double t; enum style style; char text[400]; };

struct fold {
    char dir[4096], name[256], profile[4096];
    struct arena arena;
    int64_t seq, pid;
    enum run_state state; char why[512];
    /* by the events alone, also where nobody holds the folder any more */
    enum run_state told;
    int64_t held;                            /* events that wait for room on a full disk */
    double started, changed;                 /* Unix seconds of the first and the last event */

    char backend[32], device[128], isa[32], library[64], dtype[16];
    int64_t threads, parameters, steps, bytes_planned;

    /* stage: index of the one that runs, -1 before */
    struct fold_stage stages[FOLD_STAGES]; int n_stages, stage;
    int64_t owned[OWNERS];                   /* planned bytes of the stage that runs, by owner */

    /* the newest step event, its text in no use; .has says what it read */
    struct event last;
    int64_t step;                            /* steps so far */
    double seconds;                          /* mean of the last steps, 0: none yet */
    double spent;                            /* seconds of all steps so far */
    /* trained and other tokens a second, of the last steps */
    double speed;
    struct series loss, validation, lr, grad_norm, tokens_per_second;
    double best_loss; int64_t best_step;     /* of the validation; step -1: none */
    bool best_saved;                         /* a checkpoint holds it */
    char saved[64]; int64_t saved_step;      /* the newest checkpoint; step -1: none */

    struct fold_quiz quizzes[FOLD_QUIZZES]; int n_quizzes;
    char preparing[128]; int64_t prepared, prepare_all;
    struct fold_line lines[FOLD_LOG]; int64_t n_lines; /* line i lies at i % FOLD_LOG */
    int skipped;                             /* steps that a guard left out */

    /* of the engine's process, in cores; NaN: no reading */
    double cpu;
};
void fold_start(struct fold *f, const char *dir);
void fold_drop(struct fold *f);
void fold_event(struct fold *f, const struct event *e);
/* A record of metrics.bin: what a step event adds to the series. */
void fold_metric(struct fold *f, const struct metric *m);
/* plan.json of the run: names and lengths of the stages that have not begun. */
void fold_plan(struct fold *f, struct text json);
/* Seconds left, NaN where unknown. */
double fold_left(const struct fold *f);
/* Is it at work, so that leaving it deserves a word? */
bool fold_lives(const struct fold *f);
bool run_state_lives(enum run_state s);

/* history.c: everything that lies in the run's folder now; *at is the byte where following goes
 * on. */
bool history_read(struct fold *f, const char *dir, int64_t *at, struct err *err);
#endif
