/* fold.c - events into numbers, rows and log lines; one function a kind, found by the kind. */
#include "tui/fold.h"
#include "engine/format/json.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

bool run_state_lives(enum run_state s)
{
    return s == RUN_QUEUED || s == RUN_PREPARING || s == RUN_TRAINING || s == RUN_PAUSED ||
           s == RUN_SAVING;
}

void fold_start(struct fold *f, const char *dir)
{
    arena_drop(&f->arena);
    memset(f, 0, sizeof *f);
    f->arena = arena_make(0);
    struct series *all[] = {&f->loss, &f->validation, &f->lr, &f->grad_norm, &f->tokens_per_second};
    for (size_t i = 0; i < COUNT(all); i++) *all[i] = series_make(&f->arena);
    snprintf(f->dir, sizeof f->dir, "%s", dir);
    snprintf(f->name, sizeof f->name, "%s", path_base(dir));
    f->stage = -1;
    f->best_step = f->saved_step = -1;
    f->state = RUN_QUEUED;
    f->cpu = NAN;
    f->last.step.loss = f->last.step.lr = f->last.step.grad_norm = f->last.step.mfu =
        f->last.step.hfu = NAN;
}

void fold_drop(struct fold *f)
{
    arena_drop(&f->arena);
    f->dir[0] = 0;
}

bool fold_lives(const struct fold *f) { return f->dir[0] && run_state_lives(f->state); }

static void copy(char *out, size_t n, struct text t)
{
    snprintf(out, n, "%.*s", (int)(t.n < n ? t.n : n - 1), t.p ? t.p : "");
}

static void line(struct fold *f, double t, enum style s, const char *fmt, ...) PRINTF_LIKE(4, 5);
static void line(struct fold *f, double t, enum style s, const char *fmt, ...)
{
    struct fold_line *l = &f->lines[f->n_lines++ % FOLD_LOG];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(l->text, sizeof l->text, fmt, ap);
    va_end(ap);
    size_t n = strlen(l->text);
    l->text[n - utf8_unfinished((struct text){l->text, n})] = 0;
    l->t = t;
    l->style = s;
}

#define SHOWN(t) (int)((t).n > 300 ? 300 : (t).n), (t).p

/* ---- one function a kind ---- */

static void on_start(struct fold *f, const struct event *e)
{
    copy(f->backend, sizeof f->backend, e->start.backend);
    copy(f->device, sizeof f->device, e->start.device);
    copy(f->isa, sizeof f->isa, e->start.isa);
    copy(f->library, sizeof f->library, e->start.library);
    copy(f->dtype, sizeof f->dtype, e->start.dtype);
    f->threads = e->start.threads;
    f->parameters = e->start.parameters;
    f->steps = e->start.steps;
    f->bytes_planned = e->start.bytes_planned;
    line(f, e->t, STYLE_PLAIN, "started on %s, %lld threads, kernels %s %s, %s", f->device,
         (long long)f->threads, f->backend, f->isa, f->dtype);
}

static void on_resumed(struct fold *f, const struct event *e)
{
    int64_t step = e->resumed.step;
    struct series *all[] = {&f->loss, &f->validation, &f->lr, &f->grad_norm, &f->tokens_per_second};
    for (size_t i = 0; i < COUNT(all); i++) series_cut(all[i], step);
    if (f->best_step > step) f->best_step = -1;
    f->step = step;
    f->seconds = 0;
    bool close = text_is(e->resumed.exact, "close");
    line(f, e->t, close ? STYLE_WARN : STYLE_PLAIN, "resumed after step %lld from %.*s, %.*s: %.*s",
         (long long)step, SHOWN(e->resumed.from), SHOWN(e->resumed.exact), SHOWN(e->resumed.why));
}

static void on_stage(struct fold *f, const struct event *e)
{
    int64_t i = e->stage.index;
    if (i < 0 || i >= FOLD_STAGES) return;
    struct fold_stage *s = &f->stages[i];
    copy(s->name, sizeof s->name, e->stage.name);
    s->from = e->stage.step;
    s->steps = e->stage.steps;
    s->buckets = e->stage.buckets;
    s->trained = e->stage.trained_parameters;
    s->begun = true;
    f->stage = (int)i;
    if (f->n_stages <= i) f->n_stages = (int)i + 1;
    const int64_t owned[OWNERS] = {e->stage.bytes_weights,     e->stage.bytes_masters,
                                   e->stage.bytes_moments,     e->stage.bytes_gradients,
                                   e->stage.bytes_activations, e->stage.bytes_cache,
                                   e->stage.bytes_workspace};
    memcpy(f->owned, owned, sizeof owned);
    char n[32];
    line(f, e->t, STYLE_BRIGHT, "stage %lld %s: %lld steps, %s parameters train", (long long)i + 1,
         s->name, (long long)s->steps, text_count(n, s->trained));
}

static void numbers(struct fold *f, int64_t step, double loss, double lr, double grad,
                    double seconds, double tokens)
{
    series_add(&f->loss, step, loss);
    series_add(&f->lr, step, lr);
    series_add(&f->grad_norm, step, grad);
    if (seconds > 0) {
        series_add(&f->tokens_per_second, step, tokens / seconds);
        f->seconds = f->seconds > 0 ? 0.9 * f->seconds + 0.1 * seconds : seconds;
        f->speed = f->speed > 0 ? 0.8 * f->speed + 0.2 * tokens / seconds : tokens / seconds;
        f->spent += seconds;
    }
    f->step = step;
}

static void on_step(struct fold *f, const struct event *e)
{
    double nan_or[3] = {e->step.loss, e->step.lr, e->step.grad_norm};
    numbers(f, e->step.step, nan_or[0], nan_or[1], nan_or[2], e->step.seconds,
            (double)e->step.tokens);
    f->last = *e;
    f->last.step.stage = (struct text){0};
    if (e->step.skipped) {
        f->skipped++;
        line(f, e->t, STYLE_WARN, "step %lld left out by a guard (loss %.4g, gradient %.4g)",
             (long long)e->step.step, e->step.loss, e->step.grad_norm);
    }
    if (f->state == RUN_QUEUED || f->state == RUN_PREPARING) f->state = f->told = RUN_TRAINING;
}

static void on_validation(struct fold *f, const struct event *e)
{
    series_add(&f->validation, e->validation.step, e->validation.loss);
    if (e->validation.best || f->best_step < 0 || e->validation.loss < f->best_loss) {
        f->best_loss = e->validation.loss;
        f->best_step = e->validation.step;
        f->best_saved = f->saved_step == f->best_step;
    }
    line(f, e->t, STYLE_PLAIN, "validation %.4f at step %lld%s", e->validation.loss,
         (long long)e->validation.step, e->validation.best ? ", best so far" : "");
}

static void on_quiz(struct fold *f, const struct event *e)
{
    char file[64];
    struct text base = e->quiz.file;
    for (size_t i = 0; i < base.n;)
        if (base.p[i++] == '/') {
            base.p += i;
            base.n -= i;
            i = 0;
        }
    copy(file, sizeof file, base);
    struct fold_quiz *q = NULL;
    for (int i = 0; i < f->n_quizzes; i++)
        if (strcmp(f->quizzes[i].file, file) == 0) q = &f->quizzes[i];
    if (!q) {
        if (f->n_quizzes == FOLD_QUIZZES) return;
        q = &f->quizzes[f->n_quizzes++];
        *q = (struct fold_quiz){.first = e->quiz.score};
        snprintf(q->file, sizeof q->file, "%s", file);
    }
    q->last = e->quiz.score;
    q->times++;
    q->right = e->quiz.right;
    q->of = e->quiz.of;
    line(f, e->t, STYLE_PLAIN, "quiz %s: %lld of %lld right (%.1f %%)", file, (long long)q->right,
         (long long)q->of, 100 * q->last);
}

static void on_sample(struct fold *f, const struct event *e)
{
    line(f, e->t, STYLE_PLAIN, "sample  %.*s > %.*s",
         (int)(e->sample.prompt.n > 120 ? 120 : e->sample.prompt.n), e->sample.prompt.p,
         SHOWN(e->sample.answer));
}

static void on_saved(struct fold *f, const struct event *e)
{
    char bytes[16], seconds[24];
    copy(f->saved, sizeof f->saved, e->saved.path);
    f->saved_step = e->saved.step;
    f->best_saved = f->best_saved || f->saved_step == f->best_step;
    line(f, e->t, STYLE_GOOD, "saved %.*s (%s, %s)", SHOWN(e->saved.path),
         text_bytes(bytes, e->saved.bytes), text_seconds(seconds, e->saved.seconds));
}

static void on_order(struct fold *f, const struct event *e)
{
    bool value = text_is(e->order.order, "learning_rate");
    char number[32] = "";
    if (value) snprintf(number, sizeof number, " %.3g", e->order.value);
    line(f, e->t, STYLE_ACCENT, "order %.*s%s by %.*s, from step %lld on", SHOWN(e->order.order),
         number, (int)(e->order.by.n > 60 ? 60 : e->order.by.n), e->order.by.p,
         (long long)e->order.step + 1);
}

static void on_state(struct fold *f, const struct event *e)
{
    for (int s = 0; s < RUN_STATES; s++)
        if (text_is(e->state.state, run_state_name((enum run_state)s)))
            f->state = (enum run_state)s;
    f->told = f->state;
    copy(f->why, sizeof f->why, e->state.why);
    enum style style = f->state == RUN_FAILED || f->state == RUN_LOST ? STYLE_BAD
                       : f->state == RUN_DONE                         ? STYLE_GOOD
                                                                      : STYLE_PLAIN;
    line(f, e->t, style, "%.*s%s%.*s", SHOWN(e->state.state), e->state.why.n ? ": " : "",
         SHOWN(e->state.why));
}

static void on_note(struct fold *f, const struct event *e)
{
    enum style style = text_is(e->note.level, "error")     ? STYLE_BAD
                       : text_is(e->note.level, "warning") ? STYLE_WARN
                                                           : STYLE_PLAIN;
    line(f, e->t, style, "%s%.*s",
         style == STYLE_WARN  ? "! "
         : style == STYLE_BAD ? "!! "
                              : "",
         SHOWN(e->note.text));
}

static void on_progress(struct fold *f, const struct event *e)
{
    copy(f->preparing, sizeof f->preparing, e->progress.what);
    f->prepared = e->progress.done;
    f->prepare_all = e->progress.all;
}

static void (*const folds[EV_KINDS])(struct fold *,
                                     const struct event *) = {[EV_START] = on_start,
                                                              [EV_RESUMED] = on_resumed,
                                                              [EV_STAGE] = on_stage,
                                                              [EV_STEP] = on_step,
                                                              [EV_VALIDATION] = on_validation,
                                                              [EV_QUIZ] = on_quiz,
                                                              [EV_SAMPLE] = on_sample,
                                                              [EV_SAVED] = on_saved,
                                                              [EV_ORDER] = on_order,
                                                              [EV_STATE] = on_state,
                                                              [EV_NOTE] = on_note,
                                                              [EV_PROGRESS] = on_progress};

void fold_event(struct fold *f, const struct event *e)
{
    if (f->started == 0) f->started = e->t;
    f->changed = e->t;
    f->seq = e->seq;
    folds[e->kind](f, e);
}

void fold_metric(struct fold *f, const struct metric *m)
{
    numbers(f, (int64_t)m->step, m->loss, m->lr, m->grad_norm, m->seconds, m->tokens);
}

void fold_plan(struct fold *f, struct text source)
{
    const struct json *plan, *stages, *stage;
    struct err err;
    struct arena scratch = arena_make(0);
    if (json_parse(&plan, source, "plan.json", (struct json_limits){0}, &scratch, &err) &&
        (stages = json_get(plan, "stages")) && stages->kind == JSON_ARRAY) {
        int64_t from = 0;
        for (int i = 0; i < stages->n && i < FOLD_STAGES; i++) {
            struct text name = {0};
            int64_t steps = 0;
            stage = &stages->items[i];
            if (!json_get_text(&name, stage, "name", "plan.json", &err) ||
                !json_get_int(&steps, stage, "steps", 0, (int64_t)1 << 48, "plan.json", &err))
                break;
            if (!f->stages[i].begun) {
                copy(f->stages[i].name, sizeof f->stages[i].name, name);
                f->stages[i].from = from;
                f->stages[i].steps = steps;
            }
            if (f->n_stages <= i) f->n_stages = i + 1;
            from += steps;
        }
        if (f->steps < from) f->steps = from;
    }
    arena_drop(&scratch);
}

double fold_left(const struct fold *f)
{
    if (f->state == RUN_DONE) return 0;
    if (f->seconds <= 0 || f->steps <= 0 || f->step > f->steps) return NAN;
    return f->seconds * (double)(f->steps - f->step);
}
