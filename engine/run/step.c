/* step.c - one optimizer step, and what happens at its edge: orders, saves, guards. */
#include "engine/run/train.h"
#include "engine/format/json.h"
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

const char *const order_names[ORDERS] = {"pause", "continue", "save", "stop", "learning_rate"};

/* ---- saving ---- */

#define SAVE_TRIES 3 /* where there is room: a bad sector is another one next time */

/* t->last is what was saved just now; its texts have an arena of their own, so that saving for days
 * takes no more. */
static bool newest_is_last(struct train *t, struct err *err)
{
    struct checkpoint *list;
    int n;
    arena_drop(&t->last_arena);
    t->last = (struct checkpoint){.name = NULL};
    if (!checkpoint_list(&list, &n, t->dir, false, &t->last_arena, err)) return false;
    if (n == 0 || list[0].step != t->at.step)
        return fail(err, "the checkpoint of step %lld is not there after it was saved",
                    (long long)t->at.step);
    t->last = list[0];
    return true;
}

static bool save_once(struct train *t, const char *why, struct err *err)
{
    double t0 = now_monotonic();
    struct plan_stage *plan = plan_of(t);
    bool adapter = plan->training.lora.rank > 0;
    bool last_of_stage = t->at.stage_step == plan->steps;
    bool more = t->at.stage + 1 < t->profile.n_stages;
    bool next_full = more && t->in.plan.stages[t->at.stage + 1].training.lora.rank == 0;
    struct checkpoint_job job = {.run_dir = t->dir,
                                 .stage_name = stage_of(t)->name,
                                 .model_dir = t->in.plan.model_dir,
                                 .base = adapter ? (t->last.name && t->last.base[0] ? t->last.base
                                                    : t->last.name && !t->last.adapter
                                                        ? t->last.path
                                                        : t->in.plan.model_dir)
                                                 : "",
                                 .adapter = adapter,
                                 .merge = adapter && last_of_stage && next_full,
                                 .type = t->in.plan.model.type,
                                 .progress = t->at,
                                 .seed = t->profile.seed,
                                 .maker = t->maker,
                                 .is_best = t->at.validation == t->at.best};
    struct arena_mark mark = arena_mark(&t->stage_arena);
    int64_t bytes;
    bool ok =
        checkpoint_save(&job, t->model, &bytes, &t->stage_arena, err) && newest_is_last(t, err);
    if (ok) {
        char path[64];
        snprintf(path, sizeof path, "ckpt/%06lld", (long long)t->at.step);
        struct event e = {
            .kind = EV_SAVED,
            .saved = {t->at.step, text_of(path), bytes, now_monotonic() - t0, text_of(why)}};
        journal_write(&t->journal, &e);
        journal_sync(&t->journal);
        if (!checkpoint_rotate(t->dir, t->at.step, t->profile.save.total_limit,
                               t->profile.save.keep_best, adapter ? t->last.base : NULL,
                               &t->stage_arena, err))
            journal_note(&t->journal, "warning", t->at.step,
                         "the checkpoint is saved, but an older one could not be dropped: %s",
                         err->text);
    }
    arena_back(&t->stage_arena, mark);
    return ok;
}

bool train_save(struct train *t, const char *why, struct err *err)
{
    if (t->last.name && t->last.step == t->at.step && t->last.stage == t->at.stage)
        return true; /* it is there */
    char text[24];
    t->journal.now.state = RUN_SAVING;
    journal_beat(&t->journal);
    for (int tries = 1; !save_once(t, why, err); tries++) {
        if (tries < SAVE_TRIES && disk_free(t->dir) > t->in.plan.checkpoint_bytes) {
            journal_note(&t->journal, "warning", t->at.step,
                         "a checkpoint could not be saved and was thrown away: %.300s. Writing a "
                         "new one",
                         err->text);
            continue;
        }
        /* The training state is in memory and stays there: a person makes room, or stops. */
        journal_state(&t->journal, RUN_PAUSED, t->at.step,
                      "a checkpoint could not be saved: %.300s (%s free). The last good one is %s. "
                      "Make room and continue, or stop",
                      err->text, text_bytes(text, disk_free(t->dir)),
                      t->last.name ? t->last.name : "none");
        t->paused = true;
        tries = 0;
        if (!orders_take(t, err)) return false;
        if (t->stop)
            return fail(err,
                        "stopped without a checkpoint of step %lld, which could not be saved; the "
                        "last good one is %s",
                        (long long)t->at.step, t->last.name ? t->last.name : "none");
    }
    t->journal.now.state = RUN_TRAINING;
    journal_beat(&t->journal);
    return true;
}

/* ---- orders ---- */

/* An order that is not in the journal is not repeated by a resume from before it. */
static void order_record(struct train *t, const struct order *o)
{
    char room[1024], path[4096];
    struct buf b = {.p = room, .cap = sizeof room};
    buf_put(&b, "{", 1);
    json_put_key(&b, "t");
    json_put_num(&b, now_unix());
    json_put_key(&b, "order");
    json_put_text(&b, text_of(order_names[o->kind]));
    json_put_key(&b, "value");
    json_put_num(&b, o->value);
    json_put_key(&b, "by");
    json_put_text(&b, text_of(o->by));
    json_put_key(&b, "step");
    json_put_int(&b, t->at.step);
    json_put_key(&b, "stage");
    json_put_int(&b, t->at.stage);
    buf_put(&b, "}\n", 2);
    snprintf(path, sizeof path, "%s/orders.jsonl", t->dir);
    struct err err;
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) fail_errno(&err, "cannot open %s", path);
    if (fd < 0 || !file_write_all(fd, b.p, b.n, path, &err))
        journal_note(&t->journal, "warning", t->at.step,
                     "the order could not be journalled: %.300s. A resume from before step %lld "
                     "will not repeat it",
                     err.text, (long long)t->at.step);
    if (fd >= 0) close(fd);
}

static void order_event(struct train *t, enum order_kind kind, double value, const char *by)
{
    struct event e = {.kind = EV_ORDER,
                      .order = {text_of(order_names[kind]), value, text_of(by), t->at.step}};
    e.has = kind == ORDER_LEARNING_RATE ? EVENT_ALL : EVENT_ALL & ~2u;
    journal_write(&t->journal, &e);
}

static bool order_apply(struct train *t, const struct order *o, struct err *err)
{
    order_record(t, o);
    order_event(t, o->kind, o->value, o->by);
    switch (o->kind) {
    case ORDER_PAUSE:
        if (t->paused) return true;
        t->paused = true;
        journal_state(&t->journal, RUN_PAUSED, t->at.step, "paused by %s", o->by);
        return true;
    case ORDER_CONTINUE: t->paused = false; return true;
    case ORDER_SAVE: return !t->model || t->paused || train_save(t, "order", err);
    case ORDER_STOP:
        t->stop = true;
        t->paused = false;
        return true;
    case ORDER_LEARNING_RATE: t->at.learning_rate = o->value; return true;
    case ORDERS: break;
    }
    return true;
}

/* A pause counts once a model is there: until then there is nothing to hold still, and no chat to
 * serve. */
bool orders_take(struct train *t, struct err *err)
{
    struct order o;
    bool was_paused = t->paused;
    for (;;) {
        bool wait = t->paused && t->model;
        if (t->hooks->order(t->hooks->arg, &o, wait)) {
            if (!order_apply(t, &o, err)) return false;
        } else if (!wait) break;
        if (t->paused) was_paused = true;
        if (t->paused && t->model)
            t->hooks->between(t->hooks->arg, t->model, &t->in.plan.model, t->in.tokenizer,
                              t->in.template, t->at.step);
    }
    if (was_paused && !t->paused && !t->stop)
        journal_state(&t->journal, RUN_TRAINING, t->at.step, "continued");
    return true;
}

/* ---- guards ---- */

#define SPIKE_LEAST 20 /* steps before the running loss means anything */
#define SPIKE_DECAY 0.98
#define SKIPPED_MOST 3

/* Above this mean loss the step is a spike; 0 where the guard is off or too young. */
static double spike_limit(const struct train *t)
{
    const struct progress *p = &t->at;
    if (t->profile.guards.spike_z <= 0 || p->spike_n < SPIKE_LEAST) return 0;
    return p->spike_mean + t->profile.guards.spike_z * sqrt(p->spike_var) + 1e-3;
}

static void spike_learn(struct progress *p, double loss)
{
    double d = loss - p->spike_mean, w = p->spike_n == 0 ? 1 : 1 - SPIKE_DECAY;
    p->spike_mean += w * d;
    p->spike_var = p->spike_n == 0 ? 0 : SPIKE_DECAY * (p->spike_var + w * d * d);
    p->spike_n++;
}

static void guard(struct train *t, const struct step_result *r, double limit)
{
    bool finite = isfinite(r->loss) && isfinite(r->grad_norm);
    bool spike = finite && limit > 0 && r->loss > limit;
    bool stop = (!finite && strcmp(t->profile.guards.non_finite, "stop") == 0) ||
                (spike && strcmp(t->profile.guards.spike_action, "stop") == 0);
    t->at.skipped_in_row = r->skipped ? t->at.skipped_in_row + 1 : 0;
    if (finite && !spike) spike_learn(&t->at, r->loss);
    if (finite && !spike) return;
    const char *what = finite ? "a loss spike" : "a loss or gradient that is not finite";
    journal_note(&t->journal, "warning", t->at.step,
                 "%s at step %lld (loss %.4g, gradient norm %.4g)%s", what, (long long)t->at.step,
                 r->loss, r->grad_norm, r->skipped ? "; the update was left out" : "");
    if (stop || t->at.skipped_in_row > SKIPPED_MOST)
        t->failed = arena_printf(t->a,
                                 "%s at step %lld%s; the last good checkpoint is %s. Lower "
                                 "learning_rate or look at the data of that step",
                                 what, (long long)t->at.step,
                                 stop ? "" : ", the fourth update in a row that was left out",
                                 t->last.name ? t->last.name : "none");
}

/* ---- the step ---- */

static double learning_rate(struct train *t)
{
    const struct stage *s = stage_of(t);
    struct settings set = s->set;
    for (int i = 0; i < t->n_replay; i++)
        if (t->replay[i].step == t->at.step && t->replay[i].stage == t->at.stage &&
            t->replay[i].learning_rate != t->at.learning_rate) {
            t->at.learning_rate = t->replay[i].learning_rate;
            order_event(t, ORDER_LEARNING_RATE, t->at.learning_rate,
                        "the run's own orders, taken again");
        }
    if (t->at.learning_rate > 0) set.learning_rate = t->at.learning_rate;
    return schedule_at(&set, t->at.stage_step, plan_of(t)->warmup, plan_of(t)->steps);
}

struct counts {
    int64_t rows, labels;
    double pairs;
};

/* All micro-batches of the step; before each a chat may speak. */
static bool micro_steps(struct train *t, int64_t first, int64_t windows, struct counts *c,
                        struct err *err)
{
    struct plan_stage *plan = plan_of(t);
    struct draw key = {.seed = (uint64_t)t->profile.seed, .step = (uint32_t)(t->at.step + 1)};
    for (int64_t w = 0; w < windows; w += plan->micro_batch, key.micro++) {
        int n = windows - w < plan->micro_batch ? (int)(windows - w) : plan->micro_batch;
        t->hooks->between(t->hooks->arg, t->model, &t->in.plan.model, t->in.tokenizer,
                          t->in.template, t->at.step);
        if (!stream_batch(&plan->stream, first + w, n, &t->batch, err)) return false;
        model_step(t->model, &t->batch, key);
        c->rows += t->batch.rows;
        c->labels += t->batch.trained;
        for (int i = 0; i < t->batch.n_seqs; i++) {
            double len = t->batch.start[i + 1] - t->batch.start[i];
            c->pairs += len * (len + 1) / 2;
        }
    }
    return true;
}

static int64_t bucket_at(const struct stream *s, int64_t window)
{
    int64_t b = 0;
    while (b + 1 < s->buckets && s->bucket_start[b + 1] <= window) b++;
    return b;
}

static void step_event(struct train *t, const struct step_result *r, const struct counts *c,
                       double lr, double seconds, int64_t first)
{
    struct plan_stage *plan = plan_of(t);
    double hardware, flops = model_step_flops(t->model, c->rows, c->pairs, c->labels, &hardware);
    struct event e = {.kind = EV_STEP,
                      .step = {.step = t->at.step,
                               .stage = text_of(stage_of(t)->name),
                               .loss = r->loss,
                               .lr = lr,
                               .grad_norm = r->grad_norm,
                               .tokens = c->rows,
                               .trained = c->labels,
                               .seconds = seconds,
                               .mfu = flops / seconds / t->peak,
                               .hfu = hardware / seconds / t->peak,
                               .memory = plan->layout.bytes,
                               .bucket = bucket_at(&plan->stream, first),
                               .skipped = r->skipped}};
    e.has = t->peak > 0 ? EVENT_ALL : EVENT_ALL & ~(1u << 8 | 1u << 9);
    journal_write(&t->journal, &e);
    metrics_add(&t->journal, &e);
    t->journal.now.step = t->at.step;
    t->journal.now.loss = r->loss;
}

bool step_run(struct train *t, struct err *err)
{
    struct plan_stage *plan = plan_of(t);
    const struct settings *set = &stage_of(t)->set;
    double t0 = now_monotonic(), lr = learning_rate(t);
    int64_t first = t->at.stage_step * plan->windows_per_step;
    int64_t windows = plan->windows - first < plan->windows_per_step ? plan->windows - first
                                                                     : plan->windows_per_step;
    int64_t trained = stream_trained(&plan->stream, first, windows);
    double limit = spike_limit(t);
    bool hold = strcmp(t->profile.guards.spike_action, "warn") != 0;
    struct update u = {.step = t->at.stage_step + 1,
                       .lr = (float)lr,
                       .beta1 = (float)set->beta1,
                       .beta2 = (float)set->beta2,
                       .eps = (float)set->eps,
                       .max_norm = (float)set->max_grad_norm,
                       .loss_limit = hold ? limit : 0,
                       .trained = trained};
    struct counts c = {0};
    struct step_result r;
    model_begin(t->model, &u);
    if (!micro_steps(t, first, windows, &c, err) || !model_update(t->model, &r, err)) return false;
    t->at.step++;
    t->at.stage_step++;
    double seconds = now_monotonic() - t0;
    if (t->at.stage_step > 2) {
        t->rows_timed += c.rows;
        t->seconds_timed += seconds;
    }
    step_event(t, &r, &c, lr, seconds, first);
    guard(t, &r, limit);
    return true;
}
