/* view.c - what is the same on every screen: the top line, the footer, questions, notices, popups.
 * */
#include "tui/view.h"
#include "tui/keys.h"
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define SCREEN(name) name##_layout, name##_draw, name##_move, name##_click
const struct view views[SCREENS] = {
    [SCREEN_MODELS] = {"Models", 1, KEYS_MODELS, true, SCREEN(models)},
    [SCREEN_PROFILE] = {"Profile", 2, KEYS_PROFILE, true, SCREEN(profile)},
    [SCREEN_DATA] = {"Data", 2, KEYS_DATA, true, SCREEN(data)},
    [SCREEN_RUNS] = {"Runs", 3, KEYS_RUNS, true, SCREEN(runs)},
    [SCREEN_LIVE] = {"Run", 3, KEYS_LIVE, true, SCREEN(live)},
    [SCREEN_CHAT] = {"Chat", 4, KEYS_CHAT, true, SCREEN(chat)},
};

static int count_presets(const struct app *a) { return a->n_presets; }
static int count_past(const struct app *a) { return a->past.n; }
static int count_folders(const struct app *a) { return a->models.n_folders; }
static int count_checkpoints(const struct app *a) { return a->runs.n_checkpoints; }
static int count_marks(const struct app *a) { return a->profile.marks.n; }
static int count_choices(const struct app *a)
{
    struct text choices[32];
    return form_choices(a, choices, COUNT(choices));
}

#define POPUP_OF(name) name##_size, name##_popup
const struct popup_view popup_views[POPUPS] = {
    [POPUP_NONE] = {"", KEYS_ALL, false, POPUP_OF(leave), NULL, NULL, 0},
    [POPUP_HELP] = {"Keys", KEYS_HELP, true, POPUP_OF(help), help_move, NULL, 0},
    [POPUP_LEAVE] = {"Leave", KEYS_LEAVE, false, POPUP_OF(leave), NULL, NULL, 0},
    [POPUP_CONFIRM] = {"Sure?", KEYS_CONFIRM, false, POPUP_OF(confirm), NULL, NULL, 0},
    [POPUP_PRESETS] = {"Start from", KEYS_PICK, true, POPUP_OF(presets), pick_move, count_presets,
                       0},
    [POPUP_CHOICES] = {"Choose", KEYS_PICK, true, POPUP_OF(choices), pick_move, count_choices, 2},
    [POPUP_MARKS] = {"Mark", KEYS_MARKS, true, POPUP_OF(marks), pick_move, count_marks, 2},
    [POPUP_SETTINGS] = {"Settings: type /name value", KEYS_HELP, true, POPUP_OF(settings),
                        settings_move, NULL, 0},
    [POPUP_PAST] = {"Conversations", KEYS_PICK, true, POPUP_OF(past), pick_move, count_past, 0},
    [POPUP_CHECKPOINTS] = {"Checkpoints: Enter chats with one", KEYS_PICK, true,
                           POPUP_OF(checkpoints), pick_move, count_checkpoints, 0},
    [POPUP_FOLDERS] = {"Where models are looked for", KEYS_FOLDERS, true, POPUP_OF(folders),
                       pick_move, count_folders, 0},
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

static const enum screen places[4] = {SCREEN_MODELS, SCREEN_PROFILE, SCREEN_RUNS, SCREEN_CHAT};

/* Place i (from 0) as the top line has it; returns its columns. */
static int place_text(const struct app *a, int i, char out[32])
{
    bool here = views[a->screen].place == i + 1, wide = a->w >= 60;
    snprintf(out, 32, here ? "%s%d %s%s" : "%s%d %s%s", here ? "[" : " ", i + 1,
             wide || here ? views[places[i]].name : "",
             here   ? "]"
             : wide ? " "
                    : "");
    return text_columns(text_of(out));
}

static int places_begin(const struct app *a) { return a->w >= 60 ? 8 : 6; }

int view_place_at(const struct app *a, int x)
{
    char text[32];
    int at = places_begin(a);
    for (int i = 0; i < 4; i++) {
        int n = place_text(a, i, text);
        if (x >= at && x < at + n) return i + 1;
        at += n;
    }
    return 0;
}

static void top_line(const struct app *a, struct grid *g, struct rect r)
{
    char text[32];
    int x = places_begin(a);
    grid_text(g, r, 1, 0, STYLE_ACCENT, TEXT("hone"));
    for (int i = 0; i < 4; i++) {
        bool here = views[a->screen].place == i + 1;
        int n = place_text(a, i, text);
        grid_text(g, r, x, 0, here ? STYLE_BRIGHT : STYLE_DIM, text_of(text));
        x += n;
    }
    top_right(a, g, r, r.w - x - 2);
}

/* ---- the footer ---- */

struct foot {
    const struct binding *binding;
    int32_t key;
    int x, key_columns, columns;
};

/* A row of the table as the footer would name it; false: it has nothing to say there now. */
static bool foot_item(const struct app *a, const struct binding *b, struct foot *out)
{
    char key[32];
    if (!b->brief[0] || (b->fits && !b->fits(a))) return false;
    /* another row may have the key here, or it is text; then the other one may still do */
    bool first = keys_find(a, b->key) == b;
    if (!first && (!b->other || keys_find(a, b->other) != b)) return false;
    *out = (struct foot){.binding = b, .key = first ? b->key : b->other};
    out->key_columns = text_columns(text_of(key_text(key, out->key)));
    out->columns = out->key_columns + 1 + text_columns(text_of(b->brief));
    return true;
}

/* What the footer names, each whole, the narrowest scope first, and room kept for help; returns how
 * many. */
static int foot_items(const struct app *a, struct foot *out, int most)
{
    enum keys_of now[4];
    struct foot f, help = {0};
    int n = keys_now(a, now), x = 1, k = 0;
    for (int i = 0; i < n_bindings; i++)
        if (bindings[i].act == act_help && !foot_item(a, &bindings[i], &help)) help.binding = NULL;
    int room = a->w - 2 - (help.binding ? help.columns + 2 : 0);
    bool full = false;
    for (int s = 0; s < n; s++)
        for (int i = 0; i < n_bindings && k < most - 1 && !full; i++) {
            if (bindings[i].of != now[s] || bindings[i].act == act_help ||
                !foot_item(a, &bindings[i], &f))
                continue;
            full = x + f.columns > room;
            if (full) break;
            f.x = x;
            x += f.columns + 2;
            out[k++] = f;
        }
    help.x = x;
    if (help.binding && x + help.columns <= a->w - 2) out[k++] = help;
    return k;
}

static void footer(const struct app *a, struct grid *g, struct rect r)
{
    struct foot items[40];
    int n = foot_items(a, items, COUNT(items));
    for (int i = 0; i < n; i++) {
        char key[32];
        const struct foot *f = &items[i];
        grid_text(g, r, f->x, 0, STYLE_BRIGHT, text_of(key_text(key, f->key)));
        grid_text(g, r, f->x + f->key_columns + 1, 0, STYLE_DIM, text_of(f->binding->brief));
    }
}

const struct binding *view_footer_at(const struct app *a, int x)
{
    struct foot items[40];
    int n = foot_items(a, items, COUNT(items));
    for (int i = 0; i < n; i++)
        if (x >= items[i].x && x < items[i].x + items[i].columns) return items[i].binding;
    return NULL;
}

static void prompt_line(const struct app *a, struct grid *g, struct rect r)
{
    const struct prompt *p = &a->prompt;
    int x = 1 + grid_fit(g, r, 1, 0, r.w / 2, STYLE_ACCENT, text_of(p->label));
    if (p->kind != PROMPT_COMMAND && p->kind != PROMPT_FILTER && p->kind != PROMPT_SEARCH) x++;
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

static struct rect popup_box(const struct app *a)
{
    const struct popup_view *v = &popup_views[app_top(a)];
    struct rect body = view_body(a);
    int w = 0, h = 0;
    v->size(a, &w, &h);
    w += 4;
    h += 2;
    if (w > body.w) w = body.w;
    if (h > body.h) h = body.h;
    return (struct rect){body.x + (body.w - w) / 2, body.y + (body.h - h) / 2, w, h};
}

struct rect view_popup_inside(const struct app *a) { return grid_inside(popup_box(a)); }

static void popup(const struct app *a, struct grid *g)
{
    const struct popup_view *v = &popup_views[app_top(a)];
    v->draw(a, g, grid_frame(g, popup_box(a), v->title));
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
    if (app_top(a) != POPUP_NONE) popup(a, g);
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
