/* view_live.c - a run: its curve through the stages, its numbers, its memory by owner, its log,
 * its orders. */
#include "tui/chart.h"
#include "tui/keys.h"
#include "tui/view.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PANE_TITLE,
    PANE_CHART,
    PANE_SPARK,
    PANE_NUMBERS,
    PANE_PROGRESS,
    PANE_MEMORY,
    PANE_DEVICE,
    PANE_QUIZ,
    PANE_LOG,
    PANE_STATE,
    PANE_FORMULA
};
static const int weights[] = {0, 90, 98};
static const char *const smooth_names[] = {"off", "weak", "strong"};
static const struct {
    const char *name;
    size_t series;
} metrics[METRICS] = {{"loss", offsetof(struct fold, loss)},
                      {"learning rate", offsetof(struct fold, lr)},
                      {"gradient norm", offsetof(struct fold, grad_norm)},
                      {"tokens a second", offsetof(struct fold, tokens_per_second)}};

static const struct series *charted(const struct app *a)
{
    return (const struct series *)((const char *)&a->live.fold + metrics[a->live.metric].series);
}

/* ---- layout ---- */

static bool runs_well(const struct fold *f)
{
    return fold_lives(f) && f->state != RUN_PAUSED && f->held == 0;
}

/* How a run that is not at work stands, and what to press; its rows, also where g is NULL. */
static int state_draw(const struct app *a, struct grid *g, struct rect r)
{
    const struct fold *f = &a->live.fold;
    char text[1600], from[128] = "from its beginning", held[64] = "";
    const char *why = f->why;
    size_t n = strlen(why);
    const char *stop = n && strchr(".!?", why[n - 1]) ? "" : ".";
    if (f->saved_step >= 0) snprintf(from, sizeof from, "from its newest checkpoint, %s", f->saved);
    if (f->held) snprintf(held, sizeof held, "Log not on disk: %lld events. ", (long long)f->held);
    switch (f->state) {
    case RUN_PAUSED:
        snprintf(text, sizeof text,
                 "%sPaused after step %lld%s%s%s p goes on, S saves and ends it.", held,
                 (long long)f->step, n ? ": " : "", why, stop);
        break;
    case RUN_STOPPED:
        snprintf(text, sizeof text,
                 "Stopped after step %lld of %lld. r goes on %s; c chats with it.",
                 (long long)f->step, (long long)f->steps, from);
        break;
    case RUN_DONE:
        snprintf(text, sizeof text,
                 "Done. c chats with it; `hone export %s FOLDER` makes a model "
                 "folder of it.",
                 f->name);
        break;
    case RUN_FAILED:
        snprintf(text, sizeof text, "Failed: %s%s r tries again %s.", n ? why : "nobody said why",
                 stop, from);
        break;
    case RUN_LOST:
        snprintf(text, sizeof text,
                 "Its engine is gone without a word: killed, or the machine was "
                 "off. r goes on %s.",
                 from);
        break;
    default:
        snprintf(text, sizeof text, "%s%s%s%s", held, run_state_name(f->state), n ? ": " : "", why);
    }
    return grid_wrap(g, rect_clip(r, (struct rect){1, 0, r.w - 2, r.h}), 0, state_style(f->state),
                     text_of(text));
}

static void state(const struct app *a, struct grid *g, struct rect r) { state_draw(a, g, r); }

/* The numbers keep two rows on a narrow screen, memory and device one each; log and chart share
 * the rest. */
int live_layout(const struct app *a, struct rect r, struct pane out[PANES_MOST])
{
    int n = pane_rows(out, 0, PANE_TITLE, &r, 1);
    if (a->live.formula && r.h >= 6) {
        struct rect bottom = {r.x, r.y + r.h - 5, r.w, 5};
        n = pane_rows(out, n, PANE_FORMULA, &bottom, 5);
        r.h -= 5;
    }
    if (!runs_well(&a->live.fold) && r.h >= 5) {
        int rows = state_draw(a, NULL, (struct rect){0, 0, r.w, 10}), most = r.h > 14 ? 3 : 1;
        n = pane_rows(out, n, PANE_STATE, &r, rows < most ? rows : most);
    }
    bool fits = r.h >= CHART_LEAST_ROWS && r.w >= CHART_LEAST_COLUMNS;
    if (a->live.zoom && fits) return pane_rows(out, n, PANE_CHART, &r, r.h);
    int rows = r.w < 76 ? 2 : 1, quiz = a->live.fold.n_quizzes > 0 || a->live.fold.best_step >= 0,
        log = 2;
    int fixed = rows + 3 + quiz;
    if (r.h > 24) log = (r.h - fixed) / 3;
    int chart = r.h - fixed - log;
    if (chart >= CHART_LEAST_ROWS && r.w >= CHART_LEAST_COLUMNS)
        n = pane_rows(out, n, PANE_CHART, &r, chart);
    else n = pane_rows(out, n, PANE_SPARK, &r, 1);
    n = pane_rows(out, n, PANE_NUMBERS, &r, r.h < 5 ? 1 : rows);
    n = pane_rows(out, n, PANE_PROGRESS, &r, 1);
    n = pane_rows(out, n, PANE_MEMORY, &r, 1);
    n = pane_rows(out, n, PANE_DEVICE, &r, r.h > 3 ? 1 : 0);
    n = pane_rows(out, n, PANE_QUIZ, &r, quiz && r.h > 1 ? 1 : 0);
    return pane_rows(out, n, PANE_LOG, &r, r.h);
}

/* ---- the chart ---- */

/* "1.62e-3", "-" where there is no reading, "NaN" where it is no number. */
static char *value_text(char out[48], bool there, double v, const char *fmt)
{
    if (!there) snprintf(out, 48, "-");
    else if (!isfinite(v)) snprintf(out, 48, "%s", isnan(v) ? "NaN" : "inf");
    else snprintf(out, 48, fmt, v);
    char *e = strstr(out, "e-0");
    if (e) memmove(e + 2, e + 3, strlen(e + 3) + 1);
    return out;
}

static double last_of(const struct series *s)
{
    for (int i = s->n; i-- > 0;)
        if (s->buckets[i].count || s->buckets[i].none)
            return s->buckets[i].count ? s->buckets[i].sum / s->buckets[i].count : NAN;
    return NAN;
}

static void title(const struct app *a, struct grid *g, struct rect r)
{
    const struct fold *f = &a->live.fold;
    char train[48], val[48], text[128];
    int x = 1 + grid_text(g, r, 1, 0, STYLE_BRIGHT, text_of(metrics[a->live.metric].name));
    if (a->live.log) x += grid_text(g, r, x + 1, 0, STYLE_DIM, TEXT("(log)")) + 1;
    if (weights[a->live.smooth])
        x +=
            grid_printf(g, r, x + 1, 0, STYLE_DIM, "(smoothed: %s)", smooth_names[a->live.smooth]) +
            1;
    const char *fmt = a->live.metric == METRIC_LR      ? "%.2e"
                      : a->live.metric == METRIC_SPEED ? "%.0f"
                                                       : "%.3f";
    value_text(train, charted(a)->n > 0,
               weights[a->live.smooth] ? chart_smoothed(charted(a), weights[a->live.smooth])
                                       : last_of(charted(a)),
               fmt);
    if (a->live.metric == METRIC_LOSS) {
        value_text(val, f->validation.n > 0, last_of(&f->validation), "%.3f");
        snprintf(text, sizeof text, "o val %s", val);
        int end = r.w - 1;
        grid_right(g, r, end, 0, STYLE_SERIES_2, text_of(text));
        end -= text_columns(text_of(text)) + 2;
        snprintf(text, sizeof text, "train %s", train);
        if (end - text_columns(text_of(text)) > x)
            grid_right(g, r, end, 0, STYLE_SERIES_1, text_of(text));
    } else grid_right(g, r, r.w - 1, 0, STYLE_SERIES_1, text_of(train));
}

static void chart(const struct app *a, struct grid *g, struct rect r)
{
    const struct fold *f = &a->live.fold;
    struct chart_stage stages[FOLD_STAGES];
    for (int i = 0; i < f->n_stages; i++)
        stages[i] = (struct chart_stage){f->stages[i].from, f->stages[i].name};
    const struct chart_line lines[] = {
        {charted(a), STYLE_SERIES_1, weights[a->live.smooth], true, 0},
        {&f->validation, STYLE_SERIES_2, 0, false, 'o'}};
    struct chart c = {.lines = lines,
                      .n = a->live.metric == METRIC_LOSS ? 2 : 1,
                      .stages = stages,
                      .n_stages = f->n_stages,
                      .steps = f->steps,
                      .done = f->step,
                      .log = a->live.log};
    chart_draw(g, r, &c);
    if (f->step > 0) return;
    char text[256];
    if (f->state == RUN_QUEUED)
        snprintf(text, sizeof text, "Queued: it %.180s. It starts by itself then.",
                 strncmp(f->why, "waits", 5) == 0 ? f->why : "waits for the device");
    else if (f->preparing[0] && f->prepare_all > 0)
        snprintf(text, sizeof text, "Preparing %s: %.0f %%", f->preparing,
                 100.0 * (double)f->prepared / (double)f->prepare_all);
    else
        snprintf(text, sizeof text, "%s",
                 fold_lives(f) ? "Preparing: the first step is on its way." : "No step was made.");
    grid_wrap(g, rect_clip(r, (struct rect){9, r.h / 2 - 1, r.w - 11, 3}), 0, STYLE_PLAIN,
              text_of(text));
}

static void spark(const struct app *a, struct grid *g, struct rect r)
{
    double values[GRID_MOST];
    const struct series *s = charted(a);
    int n = s->n < GRID_MOST ? s->n : GRID_MOST;
    for (int i = 0; i < n; i++) {
        const struct bucket *b = &s->buckets[(int64_t)i * s->n / n];
        values[i] = b->count ? b->sum / b->count : NAN;
    }
    chart_spark(g, r, 1, 0, r.w - 2, STYLE_SERIES_1, values, n);
}

/* ---- numbers ---- */

static bool step_has(const struct event *e, const char *name)
{
    const struct event_info *info = &event_infos[EV_STEP];
    for (int i = 0; i < info->n; i++)
        if (strcmp(info->fields[i].name, name) == 0) return e->has >> i & 1;
    return false;
}

/* A label and its number; the number keeps its columns while it changes. */
static int reading(struct grid *g, struct rect r, int x, int y, const char *label,
                   const char *value, int columns)
{
    x += grid_text(g, r, x, y, STYLE_DIM, text_of(label)) + 1;
    grid_text(g, r, x, y, STYLE_BRIGHT, text_of(value));
    int n = text_columns(text_of(value));
    return x + (n > columns ? n : columns) + 2;
}

static void numbers(const struct app *a, struct grid *g, struct rect r)
{
    static const struct {
        const char *label;
        int columns;
    } labels[6] = {{"lr", 7}, {"grad", 5}, {"tok/s", 7}, {"step", 6}, {"MFU", 6}, {"HFU", 6}};
    const struct fold *f = &a->live.fold;
    const struct event *e = &f->last;
    char text[6][48], number[32];
    bool any = f->step > 0 && e->kind == EV_STEP;
    value_text(text[0], any && step_has(e, "lr"), e->step.lr, "%.2e");
    value_text(text[1], any && step_has(e, "grad_norm"), e->step.grad_norm, "%.3f");
    snprintf(text[2], sizeof text[2], "%s",
             f->speed > 0 ? text_count(number, (int64_t)(f->speed + 0.5)) : "-");
    value_text(text[3], f->seconds > 0, f->seconds, "%.2f s");
    value_text(text[4], any && step_has(e, "mfu"), 100 * e->step.mfu, "%.1f %%");
    value_text(text[5], any && step_has(e, "hfu"), 100 * e->step.hfu, "%.1f %%");
    int x = 1, y = 0;
    for (int i = 0; i < 6; i++) {
        if (i == 3 && r.h > 1 && r.w < 76) {
            x = 1;
            y = 1;
        }
        x = reading(g, r, x, y, labels[i].label, text[i], labels[i].columns);
    }
    if (x + 9 < r.w) grid_text(g, r, x, y, STYLE_DIM, TEXT("f formula"));
}

static void progress(const struct app *a, struct grid *g, struct rect r)
{
    const struct fold *f = &a->live.fold;
    char left[24], all[24], text[160];
    if (f->stage < 0) {
        grid_text(g, r, 1, 0, STYLE_DIM, TEXT("stage -"));
        return;
    }
    const struct fold_stage *s = &f->stages[f->stage];
    double share = s->steps > 0 ? (double)(f->step - s->from) / (double)s->steps : 0;
    int bar = r.w >= 100  ? 20
              : r.w >= 70 ? 10
                          : 8,
        x = 1 + grid_text(g, r, 1, 0, STYLE_DIM, TEXT("stage "));
    for (int i = 0; i < bar; i++) grid_sign(g, r, x + i, 0, STYLE_DIM, SIGN_EMPTY);
    grid_bar(g, r, x, 0, bar, share, STYLE_ACCENT, SIGN_FULL);
    x += bar + 1;
    x += grid_printf(g, r, x, 0, STYLE_BRIGHT, "%3.0f %%", 100 * share) + 2;
    if (s->buckets > 1 && r.w >= 60) {
        int64_t bucket = step_has(&f->last, "bucket") ? f->last.step.bucket + 1 : 0;
        x += grid_printf(g, r, x, 0, STYLE_PLAIN, "bucket %lld/%lld", (long long)bucket,
                         (long long)s->buckets) +
             2;
    }
    double seconds = fold_left(f);
    if (fold_lives(f) && isfinite(seconds))
        snprintf(text, sizeof text, "%s%s left of %s", r.w >= 70 ? "whole run " : "",
                 text_seconds(left, seconds), text_seconds(all, f->spent + seconds));
    else
        snprintf(text, sizeof text, "step %lld of %lld, %s", (long long)f->step,
                 (long long)f->steps, text_seconds(left, f->spent));
    if (x + text_columns(text_of(text)) >= r.w && fold_lives(f) && isfinite(seconds))
        snprintf(text, sizeof text, "%s left", text_seconds(left, seconds));
    if (x + text_columns(text_of(text)) < r.w) grid_text(g, r, x, 0, STYLE_PLAIN, text_of(text));
}

/* Memory by owner: what the plan promised for the stage, and the peak that was measured. */
static void memory(const struct app *a, struct grid *g, struct rect r)
{
    static const struct {
        const char *name, *brief;
        enum style style;
        enum owner owners[2];
    } rows[] = {{"weights", "weights", STYLE_SERIES_1, {OWN_WEIGHTS, OWN_WEIGHTS}},
                {"master+moments", "optim", STYLE_SERIES_2, {OWN_MASTERS, OWN_MOMENTS}},
                {"gradients", "grads", STYLE_SERIES_3, {OWN_GRADIENTS, OWN_GRADIENTS}},
                {"activations", "activ", STYLE_SERIES_4, {OWN_ACTIVATIONS, OWN_ACTIVATIONS}},
                {"other", "other", STYLE_SERIES_5, {OWN_CACHE, OWN_WORKSPACE}}};
    const struct fold *f = &a->live.fold;
    char bytes[16];
    double all = 0;
    int wide = 0, brief = 0;
    for (int o = 0; o < OWNERS; o++) all += (double)f->owned[o];
    bool peak = step_has(&f->last, "memory");
    int x = 1 + grid_text(g, r, 1, 0, STYLE_DIM, TEXT("memory "));
    x += grid_text(g, r, x, 0, STYLE_BRIGHT,
                   text_of(peak ? text_bytes(bytes, f->last.step.memory) : "-")) +
         2;
    for (size_t i = 0; i < COUNT(rows); i++) {
        wide += (int)strlen(rows[i].name) + 2;
        brief += (int)strlen(rows[i].brief) + 2;
    }
    bool whole = r.w - x - wide - 8 >= 20, named = r.w - x - brief - 8 >= 8;
    int room = r.w - x - (whole ? wide : named ? brief : 5) - 8;
    for (size_t i = 0; i < COUNT(rows) && all > 0 && room > 0; i++) {
        double part =
            (double)f->owned[rows[i].owners[0]] +
            (rows[i].owners[0] != rows[i].owners[1] ? (double)f->owned[rows[i].owners[1]] : 0);
        int columns = (int)(part / all * room + 0.5);
        if (part <= 0) continue;
        if (columns < 1) columns = 1;
        if (whole || named)
            x +=
                grid_text(g, r, x, 0, STYLE_DIM, text_of(whole ? rows[i].name : rows[i].brief)) + 1;
        grid_bar(g, r, x, 0, columns, 1, rows[i].style, SIGN_BAR);
        x += columns + 1;
    }
    if (peak && all > 0)
        grid_text(g, r, x, 0, STYLE_DIM,
                  text_of(f->last.step.memory == (int64_t)all  ? "= plan"
                          : f->last.step.memory < (int64_t)all ? "< plan"
                                                               : "> plan"));
}

static void device(const struct app *a, struct grid *g, struct rect r)
{
    const struct fold *f = &a->live.fold;
    char text[4][48];
    bool lives = fold_lives(f);
    value_text(text[0], f->threads > 0, (double)f->threads, "%.0f");
    value_text(text[1], lives && isfinite(f->cpu), 100 * f->cpu, "%.0f %%");
    value_text(text[2], lives && isfinite(a->live.celsius), a->live.celsius,
               a->glyphs == GLYPHS_ASCII ? "%.0f C"
                                         : "%.0f \xC2\xB0"
                                           "C");
    value_text(text[3], lives && isfinite(a->live.watts), a->live.watts, "%.0f W");
    int x =
        1 + grid_fit(g, r, 1, 0, r.w / 3, STYLE_PLAIN, text_of(f->device[0] ? f->device : "-")) + 2;
    x = reading(g, r, x, 0, "threads", text[0], 1);
    x = reading(g, r, x, 0, "busy", text[1], 5);
    x = reading(g, r, x, 0, "temp", text[2], 5);
    x = reading(g, r, x, 0, "power", text[3], 4);
    char kernels[80];
    snprintf(kernels, sizeof kernels, "%s %s", f->isa, f->dtype);
    if (f->isa[0] && x + text_columns(text_of(kernels)) < r.w)
        grid_text(g, r, x, 0, STYLE_DIM, text_of(kernels));
}

static void quiz(const struct app *a, struct grid *g, struct rect r)
{
    const struct fold *f = &a->live.fold;
    int x = 1;
    if (f->n_quizzes) x += grid_text(g, r, x, 0, STYLE_DIM, TEXT("quiz  "));
    for (int i = 0; i < f->n_quizzes; i++) {
        const struct fold_quiz *q = &f->quizzes[i];
        struct text name = text_of(q->file);
        if (name.n > 5 && strncmp(q->file, "quiz.", 5) == 0) {
            name.p += 5;
            name.n -= 5;
        }
        if (name.n > 6 && memcmp(name.p + name.n - 6, ".jsonl", 6) == 0) name.n -= 6;
        x += grid_text(g, r, x, 0, STYLE_PLAIN, name) + 1;
        if (q->times > 1) {
            x += grid_printf(g, r, x, 0, STYLE_BRIGHT, "%.0f", 100 * q->first) + 1;
            x += grid_sign(g, r, x, 0, STYLE_DIM, SIGN_ARROW) + 1;
        }
        x += grid_printf(g, r, x, 0, q->last >= q->first - 0.03 ? STYLE_GOOD : STYLE_WARN,
                         "%.0f %%", 100 * q->last) +
             4;
    }
    if (f->best_step < 0) return;
    char text[96];
    snprintf(text, sizeof text, "best val %.3f at step %lld%s", f->best_loss,
             (long long)f->best_step, f->best_saved ? ", saved" : "");
    if (x + text_columns(text_of(text)) < r.w)
        grid_right(g, r, r.w - 1, 0, STYLE_PLAIN, text_of(text));
}

static void log_lines(const struct app *a, struct grid *g, struct rect r)
{
    const struct fold *f = &a->live.fold;
    int64_t last = f->n_lines - a->live.scroll,
            oldest = f->n_lines > FOLD_LOG ? f->n_lines - FOLD_LOG : 0;
    if (last < oldest + r.h) last = oldest + r.h;
    if (last > f->n_lines) last = f->n_lines;
    for (int y = 0; y < r.h; y++) {
        int64_t i = last - r.h + y;
        char time[16];
        if (last < r.h) i = y;
        if (i < oldest || i >= last) continue;
        const struct fold_line *l = &f->lines[i % FOLD_LOG];
        grid_text(g, r, 1, y, STYLE_DIM, text_of(time_text(a, time, l->t)));
        grid_fit(g, r, 10, y, r.w - 11, l->style, text_of(l->text));
        if (i == a->live.found)
            grid_paint(g, rect_clip(r, (struct rect){0, y, r.w, 1}), STYLE_SELECTED);
    }
}

static void formula(struct grid *g, struct rect r)
{
    static const char text[] =
        "MFU = model FLOPs of a step / (seconds of the step x peak FLOP/s of the device). A "
        "parameter of a product costs 6 FLOPs a token where it is "
        "trained, 4 where it is frozen, 2 under the lowest trained layer; the head counts on "
        "trained tokens, the embedding not, attention counts the "
        "causal pairs of each document. HFU counts what is computed again too. The CPU's peak is "
        "measured (`hone doctor`). f closes this.";
    grid_clear(g, r);
    grid_wrap(g, rect_clip(r, (struct rect){1, 0, r.w - 2, r.h}), 0, STYLE_PLAIN, TEXT(text));
}

void live_draw(const struct app *a, struct grid *g, const struct pane *p)
{
    static void (*const draws[])(const struct app *, struct grid *, struct rect) = {
        [PANE_TITLE] = title,     [PANE_CHART] = chart,       [PANE_SPARK] = spark,
        [PANE_NUMBERS] = numbers, [PANE_PROGRESS] = progress, [PANE_MEMORY] = memory,
        [PANE_DEVICE] = device,   [PANE_QUIZ] = quiz,         [PANE_LOG] = log_lines,
        [PANE_STATE] = state};
    if (p->id == PANE_FORMULA) formula(g, p->r);
    else draws[p->id](a, g, p->r);
}

/* ---- actions ---- */

void live_move(struct app *a, int by)
{
    int64_t most = a->live.fold.n_lines < FOLD_LOG ? a->live.fold.n_lines : FOLD_LOG;
    if (by == MOVE_PAGE || by == -MOVE_PAGE) by = by > 0 ? 8 : -8;
    struct list l = {a->live.scroll, 0};
    list_move(&l, -by, (int)most);
    a->live.scroll = l.at;
}

static void order(struct app *a, enum order_kind kind)
{
    if (!fold_lives(&a->live.fold))
        app_notice(a, STYLE_PLAIN, "%s is %s: there is nobody to take the order", a->live.fold.name,
                   run_state_name(a->live.fold.state));
    else wish(a, WISH_ORDER, "", kind);
}

void act_pause(struct app *a)
{
    order(a, a->live.fold.state == RUN_PAUSED ? ORDER_CONTINUE : ORDER_PAUSE);
}
void act_save(struct app *a) { order(a, ORDER_SAVE); }
void act_stop(struct app *a) { order(a, ORDER_STOP); }

void act_learning_rate(struct app *a)
{
    char now[32];
    if (!fold_lives(&a->live.fold)) {
        order(a, ORDER_LEARNING_RATE);
        return;
    }
    number_text(now, a->live.fold.last.step.lr, "%.3g");
    app_ask(a, PROMPT_LEARNING_RATE, "learning rate from the next step on:", text_of(now));
}

bool live_accept(struct app *a, struct text typed)
{
    char *end;
    double v = strtod(typed.p, &end);
    if (typed.n == 0 || *end || !(v >= 0) || v > 10) {
        snprintf(a->prompt.problem, sizeof a->prompt.problem,
                 "a number from 0 to 10, such as 1e-4");
        return false;
    }
    wish(a, WISH_ORDER, "", ORDER_LEARNING_RATE);
    if (a->n_wishes) a->wishes[a->n_wishes - 1].value = v;
    return true;
}

void act_live_chat(struct app *a)
{
    const struct fold *f = &a->live.fold;
    chat_start(a, f->dir, f->name,
               fold_lives(f) && f->state != RUN_QUEUED && f->state != RUN_PREPARING);
}

void act_zoom(struct app *a) { a->live.zoom = !a->live.zoom; }
void act_log_axis(struct app *a) { a->live.log = !a->live.log; }
void act_smooth(struct app *a) { a->live.smooth = (a->live.smooth + 1) % (int)COUNT(weights); }
void act_metric(struct app *a) { a->live.metric = (a->live.metric + 1) % METRICS; }
void act_formula(struct app *a) { a->live.formula = !a->live.formula; }
void act_all_runs(struct app *a) { app_go(a, SCREEN_RUNS); }

void live_click(struct app *a, const struct pane *p, int row)
{
    (void)row;
    if (p->id == PANE_CHART) act_zoom(a);
    if (p->id == PANE_TITLE) act_metric(a);
}
