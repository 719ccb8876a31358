/* popups.c - help, leaving, yes or no, and the lists to choose from. */
#include "tui/keys.h"
#include "tui/view.h"
#include <stdio.h>
#include <string.h>

/* ---- help: the rows that count behind it, by scope ---- */

/* A row of the table, or (key 0) the name of a scope above its rows. */
struct help_row {
    const struct binding *binding;
    const char *scope;
};
struct help_rows {
    struct help_row rows[200];
    int n;
};

static void help_scope(const struct app *a, enum keys_of of, struct help_rows *out)
{
    int first = out->n;
    for (int i = 0; i < n_bindings && out->n < (int)COUNT(out->rows) - 1; i++) {
        const struct binding *b = &bindings[i];
        if (b->of != of ||
            (!text_contains(b->help, a->filter) && !text_contains(b->name, a->filter)))
            continue;
        if (out->n == first) out->rows[out->n++] = (struct help_row){NULL, scope_names[of]};
        out->rows[out->n++] = (struct help_row){b, NULL};
    }
}

static struct help_rows help_rows(const struct app *a)
{
    struct help_rows out = {.n = 0};
    if (a->screen == SCREEN_CHAT) help_scope(a, KEYS_TYPING, &out);
    help_scope(a, views[a->screen].keys, &out);
    if (views[a->screen].lists) help_scope(a, KEYS_LISTS, &out);
    help_scope(a, KEYS_ALL, &out);
    if (a->screen == SCREEN_CHAT) help_scope(a, KEYS_EDIT, &out);
    return out;
}

void help_size(const struct app *a, int *w, int *h)
{
    struct help_rows rows = help_rows(a);
    *w = 92;
    *h = rows.n + 2;
}

static void help_row(struct grid *g, struct rect r, int y, const struct help_row *row)
{
    char key[32], other[32] = "", both[80];
    if (row->scope) {
        grid_fit(g, r, 0, y, r.w, STYLE_ACCENT, text_of(row->scope));
        return;
    }
    key_text(key, row->binding->key);
    if (row->binding->other) key_text(other, row->binding->other);
    snprintf(both, sizeof both, "%s%s%s", key, other[0] ? ", " : "", other);
    int text = r.w < 50 ? 12 : 18;
    grid_fit(g, r, 1, y, text - 2, STYLE_BRIGHT, text_of(r.w < 50 ? key : both));
    grid_fit(g, r, text, y, r.w - text, STYLE_PLAIN, text_of(row->binding->help));
}

void help_popup(const struct app *a, struct grid *g, struct rect r)
{
    struct help_rows rows = help_rows(a);
    int top = a->pick.at;
    if (top > rows.n - (r.h - 1)) top = rows.n - (r.h - 1);
    if (top < 0) top = 0;
    for (int i = top; i < rows.n && i - top < r.h - 1; i++) help_row(g, r, i - top, &rows.rows[i]);
    if (rows.n == 0) grid_text(g, r, 0, 0, STYLE_PLAIN, TEXT("no key here says that"));
    char note[160];
    snprintf(note, sizeof note, "%s%s%s/ filter   j k scroll   : types an action's name",
             a->filter[0] ? "filter: " : "", a->filter, a->filter[0] ? "   " : "");
    grid_fit(g, r, 0, r.h - 1, r.w, STYLE_DIM, text_of(note));
}

void help_move(struct app *a, int by)
{
    if (by == MOVE_PAGE || by == -MOVE_PAGE) by = by > 0 ? a->h - 6 : 6 - a->h;
    int most = help_rows(a).n - (a->h - 6);
    list_move(&a->pick, by, most > 0 ? most + 1 : 1);
}

/* ---- leaving ---- */

void leave_size(const struct app *a, int *w, int *h)
{
    (void)a;
    *w = 62;
    *h = 5;
}

void leave_popup(const struct app *a, struct grid *g, struct rect r)
{
    const struct fold *f = &a->live.fold;
    char text[400];
    double share = f->steps > 0 ? 100.0 * (double)f->step / (double)f->steps : 0;
    snprintf(text, sizeof text, "%s is %s (%s%s%.0f %%).", f->name, run_state_name(f->state),
             f->stage >= 0 ? f->stages[f->stage].name : "", f->stage >= 0 ? ", " : "", share);
    grid_fit(g, r, 0, 0, r.w, STYLE_BRIGHT, text_of(text));
    grid_fit(g, r, 0, 2, r.w, STYLE_PLAIN, TEXT("d    leave it running and come back with  hone"));
    grid_fit(g, r, 0, 3, r.w, STYLE_PLAIN, TEXT("s    stop it after saving a checkpoint"));
    grid_fit(g, r, 0, 4, r.w, STYLE_PLAIN, TEXT("Esc  stay"));
}

void confirm_size(const struct app *a, int *w, int *h)
{
    *w = 60;
    *h =
        grid_wrap(NULL, (struct rect){0, 0, 60, 100}, 0, STYLE_PLAIN, text_of(a->confirm_text)) + 2;
}

void confirm_popup(const struct app *a, struct grid *g, struct rect r)
{
    int rows = grid_wrap(g, r, 0, STYLE_PLAIN, text_of(a->confirm_text));
    grid_fit(g, r, 0, rows + 1 < r.h ? rows + 1 : r.h - 1, r.w, STYLE_BRIGHT, TEXT("y yes   n no"));
}

/* ---- lists ---- */

/* The list, and below it all that the profile at the cursor says of itself. */
enum { PRESET_ROWS = 3 };

void presets_size(const struct app *a, int *w, int *h)
{
    *w = 90;
    *h = a->n_presets > 0 ? a->n_presets + PRESET_ROWS + 1 : 5;
}

static void preset_row(struct grid *g, struct rect r, int y, const struct preset *p, bool here)
{
    int name = r.w < 50 ? r.w - 2 : 24;
    int n = grid_fit(g, r, 2, y, name, STYLE_BRIGHT, text_of(p->name)) + 4;
    if (n < 24) n = 24;
    grid_fit(g, r, n, y, r.w - n, STYLE_DIM, text_of(p->about));
    if (!here) return;
    grid_paint(g, rect_clip(r, (struct rect){0, y, r.w, 1}), STYLE_SELECTED);
    grid_sign(g, r, 0, y, STYLE_SELECTED, SIGN_CURSOR);
}

void presets_popup(const struct app *a, struct grid *g, struct rect r)
{
    if (a->n_presets == 0) {
        view_empty(g, r,
                   "No profiles here. They are looked for where hone is installed, in this folder "
                   "and its profiles/, and in your own.");
        return;
    }
    int below = r.h > PRESET_ROWS + 4 ? PRESET_ROWS + 1 : 0;
    struct list l = a->pick;
    list_show(&l, a->n_presets, r.h - below);
    for (int i = l.top; i < a->n_presets && i - l.top < r.h - below; i++)
        preset_row(g, r, i - l.top, &a->presets[i], i == l.at);
    if (below && l.at < a->n_presets)
        grid_wrap(g, rect_clip(r, (struct rect){0, r.h - PRESET_ROWS, r.w, PRESET_ROWS}), 0,
                  STYLE_PLAIN, text_of(a->presets[l.at].about));
}
