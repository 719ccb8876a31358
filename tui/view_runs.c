/* view_runs.c - all runs, newest first, from their state.json alone. */
#include "tui/keys.h"
#include "tui/view.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { PANE_HEAD, PANE_LIST, PANE_ABOUT };

void runs_filter(struct app *a)
{
    struct runs_show *r = &a->runs;
    r->n_order = 0;
    for (int i = 0; i < r->n; i++)
        if (text_contains(r->all[i].name, r->filter) ||
            text_contains(run_state_name(r->all[i].state), r->filter))
            r->order[r->n_order++] = i;
    list_move(&r->list, 0, r->n_order);
}

void app_runs(struct app *a, const struct run_summary *list, int n, const char *error)
{
    struct runs_show *r = &a->runs;
    char at[256] = "";
    if (r->list.at < r->n_order) snprintf(at, sizeof at, "%s", r->all[r->order[r->list.at]].name);
    arena_drop(&r->arena);
    r->arena = arena_make(0);
    snprintf(r->error, sizeof r->error, "%s", error ? error : "");
    r->loaded = true;
    r->n = n;
    r->all = NEW_N(&r->arena, struct run_summary, n + 1);
    r->order = NEW_N(&r->arena, int, n + 1);
    for (int i = 0; i < n; i++) {
        r->all[i] = list[i];
        const char **texts[] = {&r->all[i].name, &r->all[i].path, &r->all[i].profile,
                                &r->all[i].stage};
        for (size_t k = 0; k < COUNT(texts); k++)
            *texts[k] = *texts[k] ? arena_string(&r->arena, *texts[k], strlen(*texts[k])) : "";
    }
    runs_filter(a);
    /* the cursor stays on its run when a new one comes on top */
    for (int i = 0; i < r->n_order; i++)
        if (strcmp(r->all[r->order[i]].name, at) == 0) r->list.at = i;
    a->dirty = true;
}

int runs_layout(const struct app *a, struct rect r, struct pane out[PANES_MOST])
{
    (void)a;
    int n = pane_rows(out, 0, PANE_HEAD, &r, r.h > 3 ? 2 : 1), about = r.h >= 6 ? 2 : 0;
    n = pane_rows(out, n, PANE_LIST, &r, r.h - about);
    return pane_rows(out, n, PANE_ABOUT, &r, r.h);
}

static const struct run_summary *chosen(const struct app *a)
{
    const struct runs_show *r = &a->runs;
    return r->list.at < r->n_order ? &r->all[r->order[r->list.at]] : NULL;
}

/* "12 s", "5 min", "3 h", "2 days": how long ago. */
static char *ago(char out[32], double seconds)
{
    if (!(seconds >= 0)) seconds = 0;
    if (seconds < 60) snprintf(out, 32, "%.0f s ago", seconds);
    else if (seconds < 3600) snprintf(out, 32, "%.0f min ago", seconds / 60);
    else if (seconds < 172800) snprintf(out, 32, "%.0f h ago", seconds / 3600);
    else snprintf(out, 32, "%.0f days ago", seconds / 86400);
    return out;
}

static void row(const struct app *a, struct grid *g, struct rect r, int y,
                const struct run_summary *s)
{
    char text[64], number[32];
    int name = r.w < 70 ? r.w - 22 : 34;
    grid_fit(g, r, 3, y, name - 1, STYLE_BRIGHT, text_of(s->name));
    grid_fit(g, r, 3 + name, y, 9, state_style(s->state), text_of(run_state_name(s->state)));
    if (s->steps > 0)
        snprintf(text, sizeof text, "%lld/%lld", (long long)s->step, (long long)s->steps);
    else snprintf(text, sizeof text, "-");
    if (r.w < 70) {
        grid_right(g, r, r.w - 1, y, STYLE_PLAIN, text_of(text));
        return;
    }
    grid_right(g, r, 3 + name + 22, y, STYLE_PLAIN, text_of(text));
    grid_right(g, r, 3 + name + 30, y, STYLE_PLAIN, text_of(number_text(number, s->loss, "%.3f")));
    grid_right(g, r, r.w - 1 < 3 + name + 44 ? r.w - 1 : 3 + name + 44, y, STYLE_DIM,
               text_of(ago(number, a->now - s->changed)));
    if (r.w >= 110) grid_fit(g, r, 3 + name + 47, y, 16, STYLE_DIM, text_of(s->stage));
}

static void head(const struct app *a, struct grid *g, struct rect r)
{
    const struct runs_show *s = &a->runs;
    char text[64];
    int live = 0, name = r.w < 70 ? r.w - 22 : 34;
    for (int i = 0; i < s->n; i++) live += run_state_lives(s->all[i].state);
    int x = 1 + grid_text(g, r, 1, 0, STYLE_BRIGHT, TEXT("Runs"));
    if (s->filter[0]) grid_printf(g, r, x + 2, 0, STYLE_ACCENT, "filter: %s", s->filter);
    snprintf(text, sizeof text, "%d run%s, %d at work", s->n, s->n == 1 ? "" : "s", live);
    grid_right(g, r, r.w - 1, 0, STYLE_DIM, text_of(text));
    grid_text(g, r, 3, 1, STYLE_DIM, TEXT("name"));
    grid_text(g, r, 3 + name, 1, STYLE_DIM, TEXT("state"));
    if (r.w < 70) {
        grid_right(g, r, r.w - 1, 1, STYLE_DIM, TEXT("step"));
        return;
    }
    grid_right(g, r, 3 + name + 22, 1, STYLE_DIM, TEXT("step"));
    grid_right(g, r, 3 + name + 30, 1, STYLE_DIM, TEXT("loss"));
    grid_right(g, r, r.w - 1 < 3 + name + 44 ? r.w - 1 : 3 + name + 44, 1, STYLE_DIM,
               TEXT("changed"));
    if (r.w >= 110) grid_text(g, r, 3 + name + 47, 1, STYLE_DIM, TEXT("stage"));
}

static void list(const struct app *a, struct grid *g, struct rect r)
{
    const struct runs_show *s = &a->runs;
    struct list l = s->list;
    if (s->error[0]) {
        grid_wrap(g, rect_clip(r, (struct rect){2, 0, r.w - 4, r.h}), 0, STYLE_BAD,
                  text_of(s->error));
        return;
    }
    if (s->n == 0) {
        view_empty(g, r, "No runs yet. Press 2, choose a profile, and r starts one.");
        return;
    }
    if (s->n_order == 0) {
        view_empty(g, r, "No run holds that word. Press / and Esc to see all.");
        return;
    }
    list_show(&l, s->n_order, r.h);
    for (int i = l.top; i < s->n_order && i - l.top < r.h; i++) {
        row(a, g, r, i - l.top, &s->all[s->order[i]]);
        view_cursor(g, r, i - l.top, i == l.at);
    }
}

void runs_draw(const struct app *a, struct grid *g, const struct pane *p)
{
    if (p->id == PANE_HEAD) head(a, g, p->r);
    if (p->id == PANE_LIST) list(a, g, p->r);
    const struct run_summary *s = p->id == PANE_ABOUT ? chosen(a) : NULL;
    if (!s) return;
    struct rect r = rect_clip(p->r, (struct rect){1, 0, p->r.w - 2, p->r.h});
    const char *remedy = s->state == RUN_LOST
                             ? "its engine is gone; r resumes it from its newest checkpoint"
                         : s->state == RUN_FAILED || s->state == RUN_STOPPED
                             ? "r resumes it from its newest checkpoint"
                             : "";
    if (s->why[0]) grid_fit(g, r, 0, 0, r.w, state_style(s->state), text_of(s->why));
    grid_fit(g, r, 0, s->why[0] ? 1 : 0, r.w, STYLE_DIM, text_of(remedy[0] ? remedy : s->path));
}

/* ---- actions ---- */

void runs_move(struct app *a, int by)
{
    if (by == MOVE_PAGE || by == -MOVE_PAGE) by = by > 0 ? a->h - 7 : 7 - a->h;
    list_move(&a->runs.list, by, a->runs.n_order);
}

static const struct run_summary *some(struct app *a)
{
    const struct run_summary *s = chosen(a);
    if (!s) app_notice(a, STYLE_PLAIN, "there is no run at the cursor");
    return s;
}

void act_open_run(struct app *a)
{
    const struct run_summary *s = some(a);
    if (s) wish(a, WISH_OPEN_RUN, s->path, 0);
}

void act_run_chat(struct app *a)
{
    const struct run_summary *s = some(a);
    if (s)
        chat_start(a, s->path, s->name,
                   s->state == RUN_TRAINING || s->state == RUN_PAUSED || s->state == RUN_SAVING);
}

void act_resume_run(struct app *a)
{
    bool live = a->screen == SCREEN_LIVE;
    const struct run_summary *s = live ? NULL : some(a);
    if (!live && !s) return;
    enum run_state state = live ? a->live.fold.state : s->state;
    if (state == RUN_DONE) app_notice(a, STYLE_PLAIN, "it is done; there is nothing to resume");
    else if (run_state_lives(state)) app_notice(a, STYLE_PLAIN, "it is at work already");
    else wish(a, WISH_RESUME, live ? a->live.fold.dir : s->path, 0);
}

void act_remove_run(struct app *a)
{
    const struct run_summary *s = some(a);
    if (!s) return;
    if (run_state_lives(s->state)) {
        app_notice(a, STYLE_PLAIN, "%s is at work: stop it first (Enter, S)", s->name);
        return;
    }
    a->confirm = CONFIRM_REMOVE;
    snprintf(a->confirm_text, sizeof a->confirm_text,
             "Remove %s with its checkpoints and its log? This cannot be undone.", s->name);
    app_popup(a, POPUP_CONFIRM);
}

void runs_click(struct app *a, const struct pane *p, int row)
{
    if (p->id == PANE_LIST) list_click(a, &a->runs.list, a->runs.n_order, p->r.h, row);
}

/* ---- checkpoints of one run ---- */

void act_checkpoints(struct app *a)
{
    bool live = a->screen == SCREEN_LIVE;
    const struct run_summary *s = live ? NULL : some(a);
    if (!live && !s) return;
    snprintf(a->runs.of_name, sizeof a->runs.of_name, "%s", live ? a->live.fold.name : s->name);
    a->runs.n_checkpoints = 0;
    wish(a, WISH_CHECKPOINTS, live ? a->live.fold.dir : s->path, 0);
}

void app_checkpoints(struct app *a, const struct checkpoint *list, int n, const char *error)
{
    struct runs_show *r = &a->runs;
    if (error || n == 0) {
        app_notice(a, error ? STYLE_BAD : STYLE_PLAIN, "%s%s", error ? error : r->of_name,
                   error ? "" : " has no checkpoint yet");
        return;
    }
    arena_drop(&r->checkpoints_arena);
    r->checkpoints_arena = arena_make(0);
    r->checkpoints = NEW_N(&r->checkpoints_arena, struct checkpoint, n);
    r->n_checkpoints = n;
    for (int i = 0; i < n; i++) {
        struct arena *m = &r->checkpoints_arena;
        r->checkpoints[i] = list[i];
        r->checkpoints[i].name = arena_string(m, list[i].name, strlen(list[i].name));
        r->checkpoints[i].path = arena_string(m, list[i].path, strlen(list[i].path));
    }
    app_popup(a, POPUP_CHECKPOINTS);
}

void checkpoints_size(const struct app *a, int *w, int *h)
{
    *w = 62;
    *h = a->runs.n_checkpoints ? a->runs.n_checkpoints : 1;
}

void checkpoints_popup(const struct app *a, struct grid *g, struct rect r)
{
    const struct runs_show *s = &a->runs;
    struct list l = a->pick;
    int best = -1;
    for (int i = 0; i < s->n_checkpoints; i++)
        if (isfinite(s->checkpoints[i].validation) &&
            (best < 0 || s->checkpoints[i].validation < s->checkpoints[best].validation))
            best = i;
    list_show(&l, s->n_checkpoints, r.h);
    for (int i = l.top; i < s->n_checkpoints && i - l.top < r.h; i++) {
        const struct checkpoint *c = &s->checkpoints[i];
        char val[32];
        int y = i - l.top;
        grid_printf(g, r, 2, y, STYLE_BRIGHT, "%s", c->name);
        grid_printf(g, r, 11, y, STYLE_PLAIN, "stage %lld  validation %s", (long long)c->stage + 1,
                    number_text(val, c->validation, "%.3f"));
        grid_text(g, r, 38, y, STYLE_DIM, c->adapter ? TEXT("adapter") : TEXT("whole"));
        grid_text(g, r, 47, y, STYLE_GOOD,
                  i == best && i == 0 ? TEXT("newest, best")
                  : i == best         ? TEXT("best")
                  : i == 0            ? TEXT("newest")
                                      : TEXT(""));
        if (i != l.at) continue;
        grid_paint(g, rect_clip(r, (struct rect){0, y, r.w, 1}), STYLE_SELECTED);
        grid_sign(g, r, 0, y, STYLE_SELECTED, SIGN_CURSOR);
    }
}
