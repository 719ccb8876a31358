/* run.h - a run's folder, the loop that trains, and what comes out of it.
 *
 *   RUN/profile.yaml   the resolved profile          RUN/plan.json     what was promised
 *   RUN/state.json     for lists: replaced by rename RUN/events.jsonl  what happened (event.h)
 *   RUN/metrics.bin    the numbers of step events as fixed records; rebuilt when missing or stale
 *   RUN/orders.jsonl   what was asked of the run     RUN/chat/         transcripts
 *   RUN/ckpt/000200/   checkpoints (checkpoint.c)    RUN/final         link to the last one of a done run
 *   RUN/lock           held by the engine and its parent while they live
 *   RUN/word           what it cannot write anywhere else while the disk is full (folder.h)
 *
 * The loop runs in one thread (the worker that owns the device). It knows no sockets and no other
 * threads: orders and chats reach it through hooks that it calls between steps and micro-steps. */
#ifndef HONE_RUN_H
#define HONE_RUN_H
#include "engine/base/base.h"
#include "engine/model/model.h"
#include "engine/run/event.h"
#include "engine/run/models.h"
#include "engine/run/plan.h"
#include "engine/run/profile.h"

/* ---- the folder ---- */

enum run_state { RUN_QUEUED, RUN_PREPARING, RUN_TRAINING, RUN_PAUSED, RUN_SAVING, RUN_STOPPED, RUN_DONE,
                 RUN_FAILED, RUN_LOST, RUN_STATES };
const char *run_state_name(enum run_state s);

struct run_summary {
    const char *name, *path, *profile, *stage;
    enum run_state state;                /* RUN_LOST: the lock is free but state.json says it runs */
    char why[512];
    int64_t step, steps, pid;
    double loss, started, changed;       /* loss NaN: none yet; Unix seconds */
    int64_t held, lost;                  /* events that wait in memory for room on the disk; that found none there */
};
/* Makes the folder (0700) with its profile.yaml; `dir` NULL: runs/MMDD-HHMM-NAME. A folder that
 * holds a run already is refused and `hone resume` named. */
bool run_create(const char **dir_out, const char *dir, const struct profile *p, const struct places *places,
                struct arena *a, struct err *err);
bool run_summary_read(struct run_summary *out, const char *dir, struct arena *a, struct err *err);
bool run_list(struct run_summary **out, int *n, const struct places *places, struct arena *a, struct err *err); /* newest first */
bool run_find(const char **dir, const char *spec, const struct places *places, struct arena *a, struct err *err); /* a path, a name, or "last" */
bool run_is_held(const char *dir);       /* somebody holds RUN/lock */

/* Columns of metrics.bin, one record a step: a million steps open at once. */
struct metric { double step, loss, lr, grad_norm, seconds, tokens, trained, mfu, hfu, memory, t; };
/* All steps as they count now (dropped ones removed); rebuilt from events.jsonl where needed. */
bool run_metrics(struct metric **out, int64_t *n, const char *dir, struct arena *a, struct err *err);

/* ---- checkpoints ---- */

struct checkpoint {
    const char *name, *path;             /* "000200", absolute */
    int64_t step, stage, stage_step;     /* steps in all; stage that it belongs to and steps of it done */
    double validation;                   /* NaN: none */
    bool adapter;                        /* a PEFT folder beside training.safetensors, not a whole model */
    const char *base;                    /* what the adapter belongs to */
    double learning_rate;                /* an order's learning rate that counts on, 0: the schedule's */
};
/* Newest first; only whole ones whose manifest and files verify (sizes; hashes too where `verify`). */
bool checkpoint_list(struct checkpoint **out, int *n, const char *run_dir, bool verify, struct arena *a, struct err *err);

/* ---- the loop ---- */

enum order_kind { ORDER_PAUSE, ORDER_CONTINUE, ORDER_SAVE, ORDER_STOP, ORDER_LEARNING_RATE, ORDERS };
struct order { enum order_kind kind; double value; char by[64]; };
extern const char *const order_names[ORDERS];

struct run_hooks {
    void *arg;
    /* The next order, if there is one. `wait` (a paused run): sleep until there is an order, or a chat for
     * between(); false: there is no order. */
    bool (*order)(void *arg, struct order *out, bool wait);
    /* Between micro-steps: a chat may use the model's cache now. */
    void (*between)(void *arg, struct model *m, const struct model_config *c, const struct tokenizer *tok,
                    const struct template *tpl, int64_t step);
    /* An event was written to events.jsonl. */
    void (*event)(void *arg, const struct event *e);
};
struct run_options { const char *backend; int threads; /* NULL: the profile's device; 0: all cores */ };
/* The queue in which a run waits for its device, by its profile and these options: "cpu", "cuda-0". */
const char *run_queue(const char *dir, const struct run_options *o, struct arena *a);
/* Trains run folder `dir` from its newest good checkpoint (or the start) to its end, an order to stop, or an
 * error; what happened is in the events, the last one a `state`. The caller holds the lock. */
bool run_train(const char *dir, const struct run_options *o, const struct run_hooks *hooks,
               const struct places *places, struct arena *a, struct err *err);

/* ---- evaluation, generation and export, also without a run ---- */

/* A model ready to answer or to be measured: a model folder, a run (its newest checkpoint) or a checkpoint,
 * with an adapter where there is one. */
struct answerer {
    const struct kernels *k; struct device *device; struct pool *pool;
    struct model_config config; struct layout layout; struct model *model;
    struct tokenizer *tokenizer; struct template *template;
    const char *name, *dir, *adapter;    /* as it was named; the base's folder; the adapter's, or NULL */
    int context;                         /* tokens that a conversation may have */
};
struct answerer_options {
    const char *backend, *adapter, *template;      /* NULL: cpu; none; the run's or the model's own */
    const char *dtype;                             /* "auto", "fp32", "bf16" */
    int threads, context, rows;                    /* 0: all cores; up to 4096; tokens read at once, 512 */
};
/* On failure close it too. Thread: the one that will use it. */
bool answerer_open(struct answerer *out, const char *spec, const struct answerer_options *o, const struct places *places,
                   struct arena *a, struct err *err);
void answerer_close(struct answerer *x);

struct answer_options {
    struct sampling sampling; int max_new_tokens; uint64_t seed;
    const char *const *stops; int n_stops;
    bool trim;                                     /* leave out blanks before the first word (an answer, not raw text) */
    bool (*token)(void *arg, struct text piece);   /* as they come; false: stop */
    void *arg;
};
struct answer_stats {
    int prompt_tokens, tokens, context_used, context;
    double prompt_seconds, seconds;      /* reading the prompt; all of it */
    const char *ended;                   /* "end", "length", "stop", "context", "stopped" */
};
/* Continues `prompt` ids on the model: reuses what the cache already holds of it. The text goes to `out` and token(). */
bool answer(struct model *m, const struct tokenizer *tok, const struct model_config *c, const int32_t *prompt, int n,
            const struct answer_options *o, struct buf *out, struct answer_stats *stats, struct arena *a, struct err *err);

/* The greedy answer to one question, appended to out. */
bool ask_greedily(struct model *m, const struct tokenizer *tok, const struct template *tpl, const struct model_config *c,
                  struct text question, int max_new_tokens, struct buf *out, struct arena *a, struct err *err);
/* Greedy answers of a quiz, normalised and matched exactly. */
bool quiz_score(struct model *m, const struct tokenizer *tok, const struct template *tpl, const struct model_config *c,
                const struct quiz_row *rows, int n, int max_new_tokens, int *right, struct arena *a, struct err *err);
void answer_normalise(struct buf *out, struct text answer);   /* trimmed, one blank, no final stop, lower case */

struct export_options {
    const char *dtype;                   /* "auto": the base's own; "fp32", "bf16", "fp16" */
    const char *gguf;                    /* write this GGUF file too: F32, BF16 or, with gguf_q8, Q8_0; or NULL */
    bool gguf_q8;
    bool adapter_only;                   /* the adapter as PEFT reads it, nothing merged */
    const char *backend;
};
/* Merges in fp32, writes `dir` beside and renames it, loads what it wrote and compares logits. `report`: sentences
 * for the user; how much of the adapter survives rounding, per layer, is among them (a warning under 95 %). */
bool run_export(const char *spec, const char *dir, const struct export_options *o, const struct places *places,
                struct buf *report, struct arena *a, struct err *err);
#endif
