/* view.c - what is the same on every screen: the top line, the footer, questions, notices, popups.
 * */
#include "tui/view.h"
#include "tui/keys.h"
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

const struct view views[SCREENS] = {
    [SCREEN_MODELS] = {"Models", 1, KEYS_MODELS, true, models_layout, models_draw, models_move},
    [SCREEN_PROFILE] = {"Profile", 2, KEYS_PROFILE, true, profile_layout, profile_draw,
                        profile_move},
    [SCREEN_DATA] = {"Data", 2, KEYS_DATA, true, data_layout, data_draw, data_move},
    [SCREEN_RUNS] = {"Runs", 3, KEYS_RUNS, true, runs_layout, runs_draw, runs_move},
    [SCREEN_LIVE] = {"Run", 3, KEYS_LIVE, true, live_layout, live_draw, live_move},
    [SCREEN_CHAT] = {"Chat", 4, KEYS_CHAT, true, chat_layout, chat_draw, chat_move},
};
const struct popup_view popup_views[POPUPS] = {
    [POPUP_NONE] = {"", KEYS_ALL, false, leave_size, leave_popup, NULL},
    [POPUP_HELP] = {"Keys", KEYS_HELP, true, help_size, help_popup, help_move},
    [POPUP_LEAVE] = {"Leave", KEYS_LEAVE, false, leave_size, leave_popup, NULL},
    [POPUP_CONFIRM] = {"Sure?", KEYS_CONFIRM, false, confirm_size, confirm_popup, NULL},
    [POPUP_PRESETS] = {"Start from", KEYS_PICK, true, presets_size, presets_popup, pick_move},
    [POPUP_CHOICES] = {"Choose", KEYS_PICK, true, choices_size, choices_popup, pick_move},
    [POPUP_SETTINGS] = {"Settings: type /name value", KEYS_HELP, true, settings_size,
                        settings_popup, settings_move},
    [POPUP_PAST] = {"Conversations", KEYS_PICK, true, past_size, past_popup, pick_move},
    [POPUP_FOLDERS] = {"Where models are looked for", KEYS_FOLDERS, true, folders_size,
                       folders_popup, pick_move},
    [POPUP_MARKS] = {"Mark", KEYS_MARKS, true, marks_size, marks_popup, pick_move},
};

/* ---- small things ---- */

int pane_rows(struct pane *out, int n, int id, struct rect *r, int rows)
{
    if (rows > r->h) rows = r->h;
    if (rows <= 0 || r->w <= 0) return n;
    out[n] = (struct pane){id, {r->x, r->y, r->w, rows}};
    r->y += rows;
    r->h -= rows;
    return n + 1;
}

int pane_columns(struct pane *out, int n, int id, struct rect *r, int columns)
{
    if (columns > r->w) columns = r->w;
    if (columns <= 0 || r->h <= 0) return n;
    out[n] = (struct pane){id, {r->x, r->y, columns, r->h}};
    r->x += columns;
    r->w -= columns;
    return n + 1;
}

char *time_text(const struct app *a, char out[16], double t)
{
    time_t whole = (time_t)t;
    struct tm tm = {0};
    if (a->utc) gmtime_r(&whole, &tm);
    else localtime_r(&whole, &tm);
    snprintf(out, 16, "%02d:%02d:%02d", (unsigned)tm.tm_hour % 100, (unsigned)tm.tm_min % 100,
             (unsigned)tm.tm_sec % 100);
    return out;
}

char *date_text(const struct app *a, char out[24], double t)
{
    time_t whole = (time_t)t;
    struct tm tm = {0};
    if (a->utc) gmtime_r(&whole, &tm);
    else localtime_r(&whole, &tm);
    strftime(out, 24, "%Y-%m-%d %H:%M", &tm);
    return out;
}

char *number_text(char out[32], double v, const char *fmt)
{
    if (!isfinite(v)) snprintf(out, 32, "%s", isnan(v) ? "-" : "inf");
    else snprintf(out, 32, fmt, v);
    return out;
}

enum style state_style(enum run_state s)
{
    return s == RUN_FAILED || s == RUN_LOST       ? STYLE_BAD
           : s == RUN_DONE                        ? STYLE_GOOD
           : s == RUN_PAUSED || s == RUN_STOPPED  ? STYLE_WARN
           : s == RUN_TRAINING || s == RUN_SAVING ? STYLE_ACCENT
                                                  : STYLE_PLAIN;
}

void view_empty(struct grid *g, struct rect r, const char *sentence)
{
    struct rect inner = rect_clip(r, (struct rect){2, r.h > 3 ? 1 : 0, r.w - 4, r.h});
    grid_wrap(g, inner, 0, STYLE_PLAIN, text_of(sentence));
}

void view_cursor(struct grid *g, struct rect r, int y, bool here)
{
    if (!here) return;
    grid_sign(g, r, 1, y, STYLE_PLAIN, SIGN_CURSOR);
    grid_paint(g, rect_clip(r, (struct rect){0, y, r.w, 1}), STYLE_SELECTED);
}

/* ---- the top line ---- */

/* What runs, for the right end of the top line, the longest form that fits. */
static void top_right(const struct app *a, struct grid *g, struct rect r, int room)
{
    const struct fold *f = &a->live.fold;
    char text[300];
    if (!a->live.open) {
        snprintf(text, sizeof text, "no run %s %s", a->glyphs == GLYPHS_ASCII ? "-" : "\xC2\xB7",
                 a->device);
        if (text_columns(text_of(text)) <= room)
            grid_right(g, r, r.w - 1, 0, STYLE_DIM, text_of(text));
        return;
    }
    const char *stage = f->stage >= 0 ? f->stages[f->stage].name : "",
               *word = run_state_name(f->state);
    const char *sign = a->glyphs == GLYPHS_ASCII ? "*" : "\xE2\x97\x8F";
    if (f->state == RUN_TRAINING && f->stage >= 0) {
        const struct fold_stage *s = &f->stages[f->stage];
        snprintf(text, sizeof text, "%.60s %s %.40s %lld/%lld", f->name, sign, stage,
                 (long long)(f->step - s->from), (long long)s->steps);
    } else
        snprintf(text, sizeof text, "%.60s %s %s", f->name,
                 fold_lives(f)               ? sign
                 : a->glyphs == GLYPHS_ASCII ? "o"
                                             : "\xE2\x97\x8B",
                 word);
    if (text_columns(text_of(text)) > room) snprintf(text, sizeof text, "%s %s", sign, word);
    if (text_columns(text_of(text)) <= room)
        grid_right(g, r, r.w - 1, 0, state_style(f->state), text_of(text));
}

static void top_line(const struct app *a, struct grid *g, struct rect r)
{
    static const enum screen places[4] = {SCREEN_MODELS, SCREEN_PROFILE, SCREEN_RUNS, SCREEN_CHAT};
    int x = 1 + grid_text(g, r, 1, 0, STYLE_ACCENT, TEXT("hone"));
    bool wide = r.w >= 60;
    x += wide ? 3 : 1;
    for (int i = 0; i < 4; i++) {
        bool here = views[a->screen].place == i + 1;
        char text[32];
        snprintf(text, sizeof text, here ? "%s%d %s%s" : "%s%d %s%s", here ? "[" : " ", i + 1,
                 wide || here ? views[places[i]].name : "",
                 here   ? "]"
                 : wide ? " "
                        : "");
        x += grid_text(g, r, x, 0, here ? STYLE_BRIGHT : STYLE_DIM, text_of(text));
    }
    top_right(a, g, r, r.w - x - 2);
}

/* ---- the footer ---- */

static void footer(const struct app *a, struct grid *g, struct rect r)
{
    enum keys_of now[4];
    int n = keys_now(a, now), x = 1;
    for (int s = 0; s < n; s++)
        for (int i = 0; i < n_bindings; i++) {
            const struct binding *b = &bindings[i];
            if (b->of != now[s] || !b->brief[0] || (b->fits && !b->fits(a))) continue;
            char key[32];
            /* another row may have the key here, or it is text; then the other one may still do */
            bool first = keys_find(a, b->key) == b;
            if (!first && (!b->other || keys_find(a, b->other) != b)) continue;
            key_text(key, first ? b->key : b->other);
            int columns = text_columns(text_of(key)) + 1 + text_columns(text_of(b->brief));
            if (x + columns > r.w - 2) return;
            x += grid_text(g, r, x, 0, STYLE_BRIGHT, text_of(key)) + 1;
            x += grid_text(g, r, x, 0, STYLE_DIM, text_of(b->brief)) + 2;
        }
}

static void prompt_line(const struct app *a, struct grid *g, struct rect r)
{
    const struct prompt *p = &a->prompt;
    int x = 1 + grid_fit(g, r, 1, 0, r.w / 2, STYLE_ACCENT, text_of(p->label));
    if (p->kind != PROMPT_COMMAND && p->kind != PROMPT_FILTER) x++;
    edit_draw(&p->edit, g, rect_clip(r, (struct rect){x, 0, r.w - x - 2, 1}), true);
}

/* What `:` offers, above the question. */
static void offers(const struct app *a, struct grid *g, struct rect r)
{
    const struct binding *found[COUNT(views) * 64];
    if (!a->prompt.open || a->prompt.kind != PROMPT_COMMAND || r.h < 2) return;
    int n = keys_named(a, a->prompt.edit.text.p, found, COUNT(found));
    int rows = n < 6 ? n : 6;
    if (rows > r.h) rows = r.h;
    struct rect box = rect_clip(r, (struct rect){0, r.h - rows, r.w, rows});
    grid_clear(g, box);
    for (int i = 0; i < rows; i++) {
        grid_text(g, box, 2, i, STYLE_BRIGHT, text_of(found[i]->name));
        grid_fit(g, box, 20, i, box.w - 21, STYLE_DIM, text_of(found[i]->help));
    }
}

static void notice(const struct app *a, struct grid *g, struct rect body, const char *text,
                   enum style style)
{
    struct rect inner = {body.x + 1, body.y, body.w - 2, body.h};
    int rows = grid_wrap(NULL, inner, 0, style, text_of(text)),
        most = body.h / 2 < 1 ? 1 : body.h / 2;
    (void)a;
    if (rows > most) rows = most;
    struct rect box = rect_clip(body, (struct rect){0, body.h - rows, body.w, rows});
    grid_clear(g, box);
    grid_wrap(g, rect_clip(box, (struct rect){1, 0, box.w - 2, box.h}), 0, style, text_of(text));
}

static void popup(const struct app *a, struct grid *g, struct rect body)
{
    const struct popup_view *v = &popup_views[app_top(a)];
    int w = 0, h = 0;
    v->size(a, &w, &h);
    w += 4;
    h += 2;
    if (w > body.w) w = body.w;
    if (h > body.h) h = body.h;
    struct rect box = {body.x + (body.w - w) / 2, body.y + (body.h - h) / 2, w, h};
    v->draw(a, g, grid_frame(g, box, v->title));
}

struct rect view_body(const struct app *a) { return (struct rect){0, 1, a->w, a->h - 2}; }

void view_draw(const struct app *a, struct grid *g)
{
    grid_size(g, a->w, a->h);
    g->glyphs = a->glyphs;
    struct rect all = grid_all(g), body = view_body(a);
    if (a->w < LEAST_WIDTH || a->h < LEAST_HEIGHT) {
        char text[96];
        snprintf(text, sizeof text, "hone needs 40x10; this is %dx%d", a->w, a->h);
        grid_wrap(g, all, 0, STYLE_PLAIN, text_of(text));
        return;
    }
    struct pane panes[PANES_MOST];
    int n = views[a->screen].layout(a, body, panes);
    for (int i = 0; i < n; i++) views[a->screen].draw(a, g, &panes[i]);
    if (app_top(a) != POPUP_NONE) popup(a, g, body);
    top_line(a, g, (struct rect){0, 0, a->w, 1});
    struct rect bottom = {0, a->h - 1, a->w, 1};
    if (a->prompt.open) {
        offers(a, g, body);
        if (a->prompt.problem[0]) notice(a, g, body, a->prompt.problem, STYLE_WARN);
        prompt_line(a, g, bottom);
    } else {
        if (a->notice[0]) notice(a, g, body, a->notice, a->notice_style);
        footer(a, g, bottom);
    }
}
