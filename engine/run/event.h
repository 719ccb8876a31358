/* event.h - everything that happens in a run, one line of JSON each.
 *
 * A run is the list of its events. The engine appends each as a line to events.jsonl (one write(2), at
 * most 4 KiB); every screen follows that file and is a fold over its lines. So attaching late, attaching
 * again after a lost connection, and looking at a run of last month are one thing: read from byte n.
 *
 * Every line has v (1), seq, t (Unix seconds) and kind. A number that is not finite is null and its key is
 * listed in non_finite; a reading that does not exist is absent (has bit unset).
 *
 * A row below is the only place where a field is described: the struct, the JSON in both directions, the
 * legend with its unit, and the manual (`hone help events`) come from it. */
#ifndef HONE_EVENT_H
#define HONE_EVENT_H
#include "engine/base/base.h"

/* F(kind, type, name, unit, sentence): INT int64, NUM double, STR text. */
#define START_FIELDS(F, k) \
    F(k, STR, version, "", "hone's version") \
    F(k, STR, backend, "", "kernels used: ref, cpu, cuda") \
    F(k, STR, device, "", "name of the processor or GPU") \
    F(k, STR, isa, "", "instruction set of the kernels") \
    F(k, STR, library, "", "library of the products and its version") \
    F(k, INT, threads, "", "threads of the pool") \
    F(k, STR, dtype, "", "compute type") \
    F(k, INT, steps, "", "steps of the whole run") \
    F(k, INT, parameters, "", "parameters of the model") \
    F(k, INT, bytes_planned, "B", "device memory that the plan promised, largest stage")
#define RESUMED_FIELDS(F, k) \
    F(k, INT, step, "", "the step that the run continues after; what was lived beyond it is dropped") \
    F(k, STR, from, "", "the checkpoint") \
    F(k, STR, exact, "", "exact: the bits go on as if it had never stopped; close: something differs") \
    F(k, STR, why, "", "what differs, or that nothing does")
#define STAGE_FIELDS(F, k) \
    F(k, INT, index, "", "which stage of the profile begins, from 0") \
    F(k, STR, name, "", "its name") \
    F(k, INT, step, "", "steps before it") \
    F(k, INT, steps, "", "steps of this stage") \
    F(k, INT, buckets, "", "buckets of its data") \
    F(k, INT, trained_parameters, "", "parameters that train in it") \
    F(k, INT, bytes_weights, "B", "planned memory: weights") \
    F(k, INT, bytes_masters, "B", "planned memory: fp32 masters") \
    F(k, INT, bytes_moments, "B", "planned memory: optimizer moments") \
    F(k, INT, bytes_gradients, "B", "planned memory: gradients") \
    F(k, INT, bytes_activations, "B", "planned memory: activations") \
    F(k, INT, bytes_cache, "B", "planned memory: key-value cache") \
    F(k, INT, bytes_workspace, "B", "planned memory: workspace")
#define STEP_FIELDS(F, k) \
    F(k, INT, step, "", "optimizer steps so far, over all stages, from 1") \
    F(k, STR, stage, "", "name of the stage") \
    F(k, NUM, loss, "nats", "mean over the trained tokens of the step") \
    F(k, NUM, lr, "", "learning rate used in this step") \
    F(k, NUM, grad_norm, "", "norm of the gradient before clipping") \
    F(k, INT, tokens, "tok", "rows of the step") \
    F(k, INT, trained, "tok", "labels of the step") \
    F(k, NUM, seconds, "s", "wall time of the step") \
    F(k, NUM, mfu, "", "model FLOPs over the peak of the devices, 0..1") \
    F(k, NUM, hfu, "", "the same with recomputed FLOPs counted, 0..1") \
    F(k, INT, memory, "B", "peak device memory, largest device") \
    F(k, INT, bucket, "", "bucket of the stage's data, from 0") \
    F(k, INT, skipped, "", "1: a guard left the update out")
#define VALIDATION_FIELDS(F, k) \
    F(k, INT, step, "", "steps so far") \
    F(k, NUM, loss, "nats", "mean over the trained tokens of the hold-out rows") \
    F(k, INT, trained, "tok", "labels it was measured on") \
    F(k, INT, best, "", "1: the lowest so far")
#define QUIZ_FIELDS(F, k) \
    F(k, INT, step, "", "steps so far") \
    F(k, STR, file, "", "the quiz") \
    F(k, INT, right, "", "questions answered exactly") \
    F(k, INT, of, "", "questions asked") \
    F(k, NUM, score, "", "right / of, 0..1")
#define SAMPLE_FIELDS(F, k) \
    F(k, INT, step, "", "steps so far") \
    F(k, STR, prompt, "", "the prompt") \
    F(k, STR, answer, "", "the greedy answer")
#define SAVED_FIELDS(F, k) \
    F(k, INT, step, "", "the step that the checkpoint holds") \
    F(k, STR, path, "", "inside the run folder") \
    F(k, INT, bytes, "B", "its size") \
    F(k, NUM, seconds, "s", "how long the save took") \
    F(k, STR, why, "", "every_steps, stage, order, stop, best, end")
#define ORDER_FIELDS(F, k) \
    F(k, STR, order, "", "pause, continue, save, stop, learning_rate") \
    F(k, NUM, value, "", "the value of learning_rate") \
    F(k, STR, by, "", "who asked") \
    F(k, INT, step, "", "it counts from the step after this one")
#define STATE_FIELDS(F, k) \
    F(k, STR, state, "", "queued, preparing, training, paused, saving, stopped, done, failed") \
    F(k, STR, why, "", "a sentence") \
    F(k, INT, step, "", "steps so far")
#define NOTE_FIELDS(F, k) \
    F(k, STR, level, "", "info, warning, error") \
    F(k, STR, text, "", "a sentence") \
    F(k, INT, step, "", "steps so far")
#define PROGRESS_FIELDS(F, k) \
    F(k, STR, what, "", "what is being prepared: a data set, a model") \
    F(k, INT, done, "", "how much of it") \
    F(k, INT, all, "", "of how much")

#define EVENTS(E) \
    E(START, start, START_FIELDS) \
    E(RESUMED, resumed, RESUMED_FIELDS) \
    E(STAGE, stage, STAGE_FIELDS) \
    E(STEP, step, STEP_FIELDS) \
    E(VALIDATION, validation, VALIDATION_FIELDS) \
    E(QUIZ, quiz, QUIZ_FIELDS) \
    E(SAMPLE, sample, SAMPLE_FIELDS) \
    E(SAVED, saved, SAVED_FIELDS) \
    E(ORDER, order, ORDER_FIELDS) \
    E(STATE, state, STATE_FIELDS) \
    E(NOTE, note, NOTE_FIELDS) \
    E(PROGRESS, progress, PROGRESS_FIELDS)

enum event_kind {
#define AS_KIND(up, low, FIELDS) EV_##up,
    EVENTS(AS_KIND)
#undef AS_KIND
    EV_KINDS
};

typedef int64_t event_INT;
typedef double event_NUM;
typedef struct text event_STR;

struct event {
    enum event_kind kind;
    int64_t seq;
    double t;              /* Unix seconds */
    uint32_t has;          /* bit i: field i of the kind's list is there */
    union {
#define AS_MEMBER(k, type, name, unit, says) event_##type name;
#define AS_STRUCT(up, low, FIELDS) struct { FIELDS(AS_MEMBER, low) } low;
        EVENTS(AS_STRUCT)
#undef AS_STRUCT
#undef AS_MEMBER
    };
};

enum event_type { EVENT_INT, EVENT_NUM, EVENT_STR };
struct event_field { const char *name, *unit, *says; enum event_type type; size_t at; /* offset in struct event */ };
struct event_info { const char *name; const struct event_field *fields; int n; };
extern const struct event_info event_infos[EV_KINDS];
#define EVENT_ALL 0xFFFFFFFFu /* `has` of an event whose fields are all there */

#define EVENT_LINE_MOST 4096
/* Writes the line with its '\n' and its length; long texts are cut at a whole character so that it fits. */
size_t event_write(const struct event *e, char line[EVENT_LINE_MOST]);
/* Texts point into the arena. Unknown kinds give false without an error text; unknown fields are skipped,
 * missing ones are 0 with their bit unset; null numbers listed in non_finite are NaN. */
bool event_read(struct event *e, struct text line, struct arena *a, struct err *err);
#endif
