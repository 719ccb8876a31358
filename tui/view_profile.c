/* view_profile.c - the form at the left, what it will cost and teach at the right. */
#include "engine/format/json.h"
#include "tui/keys.h"
#include "tui/view.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { PANE_HEAD, PANE_FORM, PANE_SAYS, PANE_LINE, PANE_PLAN };

int profile_layout(const struct app *a, struct rect r, struct pane out[PANES_MOST])
{
    (void)a;
    int n = 0;
    if (r.w >= 76) {
        struct rect left = r;
        int plan = r.w >= 140 ? 56 : r.w >= 110 ? 46 : r.w >= 90 ? 36 : 31;
        n = pane_columns(out, n, PANE_FORM, &left, r.w - plan - 2);
        n = pane_columns(out, n, PANE_LINE, &left, 1);
        n = pane_columns(out, n, PANE_PLAN, &left, left.w);
        r = out[0].r;
        n--;
        memmove(out, out + 1, sizeof *out * 2);
    } else {
        int plan = r.h >= 12 ? r.h / 3 : r.h >= 8 ? 2 : 0;
        struct rect bottom = {r.x, r.y + r.h - plan, r.w, plan};
        n = pane_rows(out, n, PANE_PLAN, &bottom, plan);
        r.h -= plan;
    }
    n = pane_rows(out, n, PANE_HEAD, &r, 1);
    int says = r.h >= 6 ? 2 : r.h >= 4 ? 1 : 0;
    n = pane_rows(out, n, PANE_FORM, &r, r.h - says);
    return pane_rows(out, n, PANE_SAYS, &r, r.h);
}

/* ---- the form ---- */

static void head(const struct app *a, struct grid *g, struct rect r)
{
    const struct profile_show *p = &a->profile;
    if (!p->path[0]) {
        grid_text(g, r, 1, 0, STYLE_BRIGHT, TEXT("no profile is open"));
        return;
    }
    const char *path = p->path;
    size_t home = a->places ? strlen(a->places->profiles) : 0;
    if (home && strncmp(path, a->places->profiles, home) == 0 && path[home] == '/')
        path += home + 1;
    int x = 1 + grid_fit_end(g, r, 1, 0, r.w - 14, STYLE_BRIGHT, text_of(path));
    if (p->edited) grid_text(g, r, x + 2, 0, STYLE_WARN, TEXT("* edited"));
}

static void form_line(struct grid *g, struct rect r, int y, const struct form_row *row)
{
    int x = 1 + row->depth * 2, value = r.w < 60 ? 24 : 30;
    enum style style = row->said ? STYLE_BRIGHT : STYLE_DIM;
    if (row->key) {
        grid_sign(g, r, x, y, STYLE_DIM, row->open ? SIGN_OPEN : SIGN_SHUT);
        x += 2 + grid_fit(g, r, x + 2, y, 18, STYLE_BRIGHT, text_of(row->label)) + 2;
        if (x < 20) x = 20;
        if (row->kind == ROW_DATASET) {
            int n = grid_fit_end(g, r, x, y, r.w - x - 1, STYLE_DIM, row->value);
            if (x + n + 2 + text_columns(row->note) < r.w)
                grid_text(g, r, x + n + 2, y, STYLE_DIM, row->note);
        } else grid_fit(g, r, x, y, r.w - x - 1, STYLE_DIM, row->value);
    } else {
        x += 2 +
             grid_fit(g, r, x + 2, y, r.w - x - 8, row->said ? STYLE_PLAIN : STYLE_DIM,
                      text_of(row->label)) +
             2;
        if (value < x) value = x;
        int n =
            grid_fit(g, r, value, y, r.w - value - 1, style, row->value.n ? row->value : TEXT("-"));
        grid_fit(g, r, value + n + 1, y, r.w - value - n - 2, STYLE_DIM, row->note);
    }
    if (row->bad) grid_text(g, r, 0, y, STYLE_BAD, TEXT("!"));
}

static void form(const struct app *a, struct grid *g, struct rect r)
{
    const struct profile_show *p = &a->profile;
    struct list l = p->list;
    if (!p->path[0]) {
        view_empty(g, r,
                   "A profile says what to teach, to which model, in which stages. Press x "
                   "to choose one to start from.");
        return;
    }
    list_show(&l, p->n_rows, r.h);
    for (int i = l.top; i < p->n_rows && i - l.top < r.h; i++) {
        form_line(g, r, i - l.top, &p->rows[i]);
        if (i != l.at) continue;
        grid_paint(g, rect_clip(r, (struct rect){1, i - l.top, r.w - 1, 1}), STYLE_SELECTED);
        if (!p->rows[i].bad) grid_sign(g, r, 0, i - l.top, STYLE_ACCENT, SIGN_CURSOR);
    }
}

/* What is wrong, or unusual, or what the row at the cursor means: the first that there is. */
static void says(const struct app *a, struct grid *g, struct rect r)
{
    const struct profile_show *p = &a->profile;
    const struct form_row *row = p->list.at < p->n_rows ? &p->rows[p->list.at] : NULL;
    char text[600] = "";
    enum style style = STYLE_DIM;
    const struct problem *x = p->problems.n ? &p->problems.list[0] : NULL;
    for (int i = 0; row && i < p->problems.n; i++)
        if (row->bad && strncmp(p->problems.list[i].text, row->path, strlen(row->path)) == 0)
            x = &p->problems.list[i];
    if (x) {
        snprintf(text, sizeof text, x->line ? "! line %d: %s" : "! %.0d%s", x->line, x->text);
        style = STYLE_BAD;
    } else if (p->warnings.n && !(row && row->field && row->said && p->list.at > 0)) {
        snprintf(text, sizeof text, "! %s", p->warnings.list[0].text);
        style = STYLE_WARN;
    } else if (row && row->part == PART_DATASETS && (row->key || row->kind == ROW_NAME)) {
        snprintf(text, sizeof text, "%s",
                 row->kind == ROW_GROUP ? "Files of rows to learn from. a adds one."
                                        : "a adds another, d removes it, < and > move it. Stages "
                                          "say how much of it they take.");
    } else if (row && row->part == PART_STAGES && row->key) {
        snprintf(text, sizeof text, "%s",
                 row->kind == ROW_GROUP
                     ? "What is trained, in this order. a adds a stage."
                     : "a adds a stage after it, d removes it, < and > move it.");
    } else if (row && row->kind == ROW_SHARE)
        snprintf(
            text, sizeof text,
            "How much of the stage's tokens it gives: Space takes it in or out, + - change it.");
    else if (row && row->field)
        snprintf(text, sizeof text, "%s%s%s%s", row->field->says, row->field->choices ? " [" : "",
                 row->field->choices ? row->field->choices : "", row->field->choices ? "]" : "");
    grid_wrap(g, rect_clip(r, (struct rect){1, 0, r.w - 2, r.h}), 0, style, text_of(text));
}

/* ---- the plan ---- */

/* lines from the top; y may lie above the pane */
struct paper {
    struct grid *g;
    struct rect r;
    int y;
};

static double num(const struct json *o, const char *key)
{
    const struct json *v = json_get(o, key);
    return v && (v->kind == JSON_NUM || v->kind == JSON_INT) ? v->number : NAN;
}

static struct text str(const struct json *o, const char *key)
{
    const struct json *v = json_get(o, key);
    return v && v->kind == JSON_TEXT ? v->text : TEXT("-");
}

static char *bytes_or_dash(char out[16], double v)
{
    if (isnan(v)) snprintf(out, 16, "-");
    else text_bytes(out, (int64_t)v);
    return out;
}

static char *millions(char out[16], double tokens)
{
    if (isnan(tokens)) snprintf(out, 16, "-");
    else if (tokens >= 1e9) snprintf(out, 16, "%.2fG", tokens / 1e9);
    else if (tokens >= 1e5) snprintf(out, 16, "%.1fM", tokens / 1e6);
    else if (tokens >= 1e4) snprintf(out, 16, "%.0fk", tokens / 1e3);
    else snprintf(out, 16, "%.0f", tokens);
    return out;
}

static void label(struct paper *p, const char *name, const char *fmt, ...) PRINTF_LIKE(3, 4);
static void label(struct paper *p, const char *name, const char *fmt, ...)
{
    char text[400];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    grid_fit(p->g, p->r, 1, p->y, 8, STYLE_DIM, text_of(name));
    struct rect right = rect_clip(p->r, (struct rect){10, 0, p->r.w - 10, p->r.h});
    p->y += grid_wrap(p->g, right, p->y, STYLE_PLAIN, text_of(text));
}

static void plan_stages(struct paper *p, const struct json *plan)
{
    const struct json *stages = json_get(plan, "stages");
    for (int i = 0; stages && stages->kind == JSON_ARRAY && i < stages->n; i++) {
        const struct json *s = &stages->items[i];
        char tokens[16], line[64];
        grid_fit(p->g, p->r, 1, p->y, 8, STYLE_BRIGHT, str(s, "name"));
        double steps = num(s, "steps");
        snprintf(line, sizeof line, "%5.0f %-5s %6s tok", steps, steps == 1 ? "step" : "steps",
                 millions(tokens, num(s, "tokens")));
        grid_fit(p->g, p->r, 10, p->y, p->r.w - 10, STYLE_PLAIN, text_of(line));
        double at_once = num(s, "micro_batch"), times = num(s, "accumulation");
        if (p->r.w >= 52 && at_once > 0)
            grid_printf(p->g, p->r, 34, p->y, STYLE_DIM,
                        times > 1 ? "micro-batch %.0f x %.0f" : "micro-batch %.0f", at_once, times);
        p->y++;
    }
}

/* Memory of the largest stage, by owner. */
static void plan_memory(struct paper *p, const struct json *plan)
{
    static const char *const owners[] = {"weights",     "masters", "moments",  "gradients",
                                         "activations", "cache",   "workspace"};
    const struct json *stages = json_get(plan, "stages"), *most = NULL;
    double largest = -1, longest = 0;
    for (int i = 0; stages && stages->kind == JSON_ARRAY && i < stages->n; i++) {
        const struct json *memory = json_get(&stages->items[i], "memory");
        double sum = 0;
        for (size_t o = 0; o < COUNT(owners); o++)
            if (!isnan(num(memory, owners[o]))) sum += num(memory, owners[o]);
        if (sum > largest) {
            largest = sum;
            most = memory;
        }
    }
    for (size_t o = 0; most && o < COUNT(owners); o++)
        if (num(most, owners[o]) > longest) longest = num(most, owners[o]);
    char need[16], there[16];
    label(p, "memory", "peak %s of %s", bytes_or_dash(need, num(plan, "memory")),
          bytes_or_dash(there, num(plan, "memory_free")));
    for (size_t o = 0; most && largest > 0 && o < COUNT(owners); o++) {
        double v = num(most, owners[o]);
        if (!(v > 0)) continue;
        grid_fit(p->g, p->r, 2, p->y, 11, STYLE_DIM, text_of(owners[o]));
        grid_right(p->g, p->r, 21, p->y, STYLE_PLAIN, text_of(bytes_or_dash(need, v)));
        grid_bar(p->g, p->r, 22, p->y, p->r.w - 23, v / longest,
                 (enum style)(STYLE_SERIES_1 + o % 6), SIGN_BAR);
        p->y++;
    }
}

static void plan_numbers(struct paper *p, const struct json *plan)
{
    char seconds[24], need[16], there[16];
    double time = num(plan, "seconds"), tokens = num(plan, "tokens"),
           trained = num(plan, "trained");
    struct text source = str(plan, "seconds_source");
    label(p, "time", "about %s (%.*s)", isnan(time) ? "-" : text_seconds(seconds, time),
          (int)source.n, source.p);
    label(p, "disk", "%s of %s, a checkpoint %s", bytes_or_dash(need, num(plan, "disk")),
          bytes_or_dash(there, num(plan, "disk_free")),
          bytes_or_dash(seconds, num(plan, "checkpoint_bytes")));
    if (tokens > 0) label(p, "learns", "%.0f %% of tokens trained", 100 * trained / tokens);
}

/* What is unusual, and what a start will ask. */
static void plan_sentences(struct paper *p, const struct json *plan, const char *key, char sign)
{
    const struct json *list = json_get(plan, key);
    struct rect right = rect_clip(p->r, (struct rect){3, 0, p->r.w - 3, p->r.h});
    for (int i = 0; list && list->kind == JSON_ARRAY && i < list->n; i++) {
        if (list->items[i].kind != JSON_TEXT) continue;
        grid_text(p->g, p->r, 1, p->y, STYLE_WARN, (struct text){&sign, 1});
        p->y += grid_wrap(p->g, right, p->y, STYLE_WARN, list->items[i].text);
    }
}

/* In the plan's place: everything that keeps it from being made. */
static void plan_problems(struct paper *p, const struct profile_show *s)
{
    for (int i = 0; i < s->problems.n; i++) {
        const struct problem *x = &s->problems.list[i];
        char text[460];
        snprintf(text, sizeof text, x->line ? "line %d: %s" : "%.0d%s", x->line, x->text);
        grid_text(p->g, p->r, 1, p->y, STYLE_BAD, TEXT("!"));
        p->y += grid_wrap(p->g, rect_clip(p->r, (struct rect){3, 0, p->r.w - 3, p->r.h}), p->y,
                          STYLE_PLAIN, text_of(text));
    }
}

static void plan(const struct app *a, struct grid *g, struct rect r)
{
    const struct profile_show *s = &a->profile;
    struct paper p = {g, r, -s->plan_scroll};
    static const char *const words[] = {[PLAN_NONE] = "none while this is wrong",
                                        [PLAN_WAITING] = "...",
                                        [PLAN_MEASURING] = "measuring ...",
                                        [PLAN_READY] = "",
                                        [PLAN_REFUSED] = "cannot run"};
    grid_text(g, r, 1, p.y, STYLE_BRIGHT, TEXT("Plan"));
    if (s->path[0])
        grid_fit(g, r, 7, p.y, r.w - 7, s->plan_state == PLAN_REFUSED ? STYLE_BAD : STYLE_DIM,
                 text_of(words[s->plan_state]));
    p.y++;
    if (s->plan_state == PLAN_REFUSED) {
        grid_wrap(g, rect_clip(r, (struct rect){1, 0, r.w - 1, r.h}), p.y, STYLE_BAD,
                  text_of(s->plan_error));
        return;
    }
    if (s->problems.n) plan_problems(&p, s);
    if (!s->plan || s->problems.n) return;
    plan_stages(&p, s->plan);
    plan_memory(&p, s->plan);
    plan_numbers(&p, s->plan);
    plan_sentences(&p, s->plan, "questions", '?');
    plan_sentences(&p, s->plan, "warnings", '!');
}

void profile_draw(const struct app *a, struct grid *g, const struct pane *p)
{
    static void (*const draws[])(const struct app *, struct grid *, struct rect) = {
        [PANE_HEAD] = head, [PANE_FORM] = form, [PANE_SAYS] = says, [PANE_PLAN] = plan};
    if (p->id != PANE_LINE) {
        draws[p->id](a, g, p->r);
        return;
    }
    for (int y = 0; y < p->r.h; y++) grid_sign(g, p->r, 0, y, STYLE_DIM, SIGN_LINE_DOWN);
}

void choices_size(const struct app *a, int *w, int *h)
{
    struct text choices[32];
    *w = 40;
    *h = form_choices(a, choices, COUNT(choices)) + 2;
}

void choices_popup(const struct app *a, struct grid *g, struct rect r)
{
    struct text choices[32];
    int n = form_choices(a, choices, COUNT(choices));
    struct list l = a->pick;
    const struct form_row *row = &a->profile.rows[a->profile.list.at];
    grid_fit(g, r, 0, 0, r.w, STYLE_DIM, text_of(row->path));
    list_show(&l, n, r.h - 2);
    for (int i = l.top; i < n && i - l.top < r.h - 2; i++) {
        grid_fit(g, r, 2, 2 + i - l.top, r.w - 2, STYLE_PLAIN, choices[i]);
        if (i != l.at) continue;
        grid_paint(g, rect_clip(r, (struct rect){0, 2 + i - l.top, r.w, 1}), STYLE_SELECTED);
        grid_sign(g, r, 0, 2 + i - l.top, STYLE_SELECTED, SIGN_CURSOR);
    }
}

/* ---- news and actions ---- */

void app_plan(struct app *a, struct text source, const char *error)
{
    struct profile_show *p = &a->profile;
    struct err err;
    a->dirty = true;
    bool launch = p->launch_when_ready;
    p->launch_when_ready = false;
    if (error) {
        p->plan_state = PLAN_REFUSED;
        snprintf(p->plan_error, sizeof p->plan_error, "%s", error);
        if (launch) app_notice(a, STYLE_BAD, "not started: %s", error);
        return;
    }
    arena_drop(&p->plan_arena);
    p->plan_arena = arena_make(0);
    p->plan = NULL;
    p->plan_scroll = 0;
    if (!json_parse(&p->plan, source, "the plan", (struct json_limits){0}, &p->plan_arena, &err)) {
        p->plan_state = PLAN_REFUSED;
        snprintf(p->plan_error, sizeof p->plan_error, "%s", err.text);
        return;
    }
    p->plan_state = PLAN_READY;
    if (launch) act_launch(a);
}

void app_presets(struct app *a, const struct preset *list, int n)
{
    arena_drop(&a->presets_arena);
    a->presets_arena = arena_make(0);
    a->presets = NEW_N(&a->presets_arena, struct preset, n + 1);
    a->n_presets = n;
    for (int i = 0; i < n; i++)
        a->presets[i] =
            (struct preset){arena_string(&a->presets_arena, list[i].path, strlen(list[i].path)),
                            arena_string(&a->presets_arena, list[i].name, strlen(list[i].name)),
                            arena_string(&a->presets_arena, list[i].about, strlen(list[i].about))};
    a->dirty = true;
}

void profile_move(struct app *a, int by)
{
    if (by == MOVE_PAGE || by == -MOVE_PAGE) by = by > 0 ? a->h - 6 : 6 - a->h;
    list_move(&a->profile.list, by, a->profile.n_rows);
}

void act_plan_down(struct app *a) { a->profile.plan_scroll++; }
void act_plan_up(struct app *a)
{
    if (a->profile.plan_scroll) a->profile.plan_scroll--;
}

void act_presets(struct app *a)
{
    wish(a, WISH_PRESETS, "", 0);
    app_popup(a, POPUP_PRESETS);
}

void act_pick(struct app *a)
{
    enum popup p = app_top(a);
    int at = a->pick.at;
    app_close_popup(a);
    if (p == POPUP_CHOICES) form_choose(a, at);
    if (p == POPUP_MARKS) form_take_marks(a);
    if (p == POPUP_CHECKPOINTS && at < a->runs.n_checkpoints) {
        const struct checkpoint *c = &a->runs.checkpoints[at];
        char name[320];
        snprintf(name, sizeof name, "%s %s", a->runs.of_name, c->name);
        chat_start(a, c->path, name, false);
    }
    if (p == POPUP_PAST && at < a->past.n) wish(a, WISH_PAST_OPEN, a->past.all[at].path, 0);
    if (p == POPUP_PRESETS && at < a->n_presets) wish(a, WISH_OPEN_PROFILE, a->presets[at].path, 0);
}

static bool is_open(struct app *a)
{
    if (!a->profile.path[0])
        app_notice(a, STYLE_PLAIN, "no profile is open; x lists those to start from");
    return a->profile.path[0] != 0;
}

void launch_now(struct app *a)
{
    a->profile.launching = true;
    app_notice(a, STYLE_PLAIN, "starting ...");
    wish(a, WISH_LAUNCH, "", 0);
}

/* What the plan wants a yes to, in one popup; false where there is nothing. */
static bool launch_asks(struct app *a)
{
    const struct json *asked = json_get(a->profile.plan, "questions");
    char *text = a->confirm_text;
    size_t n = 0, most = sizeof a->confirm_text;
    if (!asked || asked->kind != JSON_ARRAY || asked->n == 0) return false;
    for (int i = 0; i < asked->n && n < most; i++)
        if (asked->items[i].kind == JSON_TEXT)
            n += (size_t)snprintf(text + n, most - n, "%.*s\n", (int)asked->items[i].text.n,
                                  asked->items[i].text.p);
    if (n < most) snprintf(text + n, most - n, "v shows the data. Start the run all the same?");
    a->confirm = CONFIRM_LAUNCH;
    app_popup(a, POPUP_CONFIRM);
    return true;
}

void act_launch(struct app *a)
{
    struct profile_show *p = &a->profile;
    if (!is_open(a)) return;
    if (p->problems.n) {
        app_notice(a, STYLE_BAD, "not started: %s", p->problems.list[0].text);
        return;
    }
    if (p->plan_state == PLAN_REFUSED) {
        app_notice(a, STYLE_BAD, "not started: %s", p->plan_error);
        return;
    }
    if (p->launching) {
        app_notice(a, STYLE_PLAIN, "it is being started");
        return;
    }
    if (p->plan_state != PLAN_READY) {
        p->launch_when_ready = true;
        app_notice(a, STYLE_PLAIN, "it starts as soon as the plan is known");
        return;
    }
    if (!launch_asks(a)) launch_now(a);
}

void data_open(struct app *a, const char *model, const char *name)
{
    struct data_show *d = &a->data;
    if (!is_open(a)) return;
    if (a->profile.problems.n) {
        app_notice(a, STYLE_BAD, "no data to show: %s", a->profile.problems.list[0].text);
        return;
    }
    snprintf(d->model, sizeof d->model, "%s", model ? model : "");
    snprintf(d->model_name, sizeof d->model_name, "%s", name ? name : "");
    d->stage = d->stage < 1 || d->stage > a->profile.profile.n_stages ? 1 : d->stage;
    d->window = 1;
    d->loading = true;
    d->preview = NULL; /* of another model or text: not to be mistaken for these */
    app_go(a, SCREEN_DATA);
    wish(a, WISH_PREVIEW, "", 0);
}

void act_view_data(struct app *a) { data_open(a, NULL, NULL); }

void act_editor(struct app *a)
{
    if (is_open(a)) wish(a, WISH_EDITOR, "", 0);
}
/* A preset that came with hone stays as it is: what is made of it goes to the user's own. */
void act_write(struct app *a)
{
    const char *presets = a->places->profiles, *path = a->profile.path;
    size_t n = strlen(presets);
    char own[4096];
    if (!is_open(a)) return;
    if (n == 0 || strncmp(path, presets, n) != 0 || path[n] != '/') {
        wish(a, WISH_WRITE_PROFILE, path, 0);
        return;
    }
    snprintf(own, sizeof own, "%s/profiles/%s", a->places->home, path_base(path));
    app_ask(a, PROMPT_SAVE_AS, "the preset stays; your own:", text_of(own));
}
void act_write_as(struct app *a)
{
    if (is_open(a)) app_ask(a, PROMPT_SAVE_AS, "write to:", text_of(a->profile.path));
}

void profile_click(struct app *a, const struct pane *p, int row)
{
    if (p->id == PANE_FORM) list_click(a, &a->profile.list, a->profile.n_rows, p->r.h, row);
}
