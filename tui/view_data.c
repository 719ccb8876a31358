/* view_data.c - packed windows exactly as the model will get them, decoded, the trained tokens
 * lit. */
#include "engine/format/json.h"
#include "tui/chart.h"
#include "tui/keys.h"
#include "tui/view.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { PANE_HEAD, PANE_TEXT, PANE_SOURCE, PANE_SHARES };

/* ---- reading ---- */

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

static const struct json *item(const struct json *o, const char *key, int i)
{
    const struct json *list = json_get(o, key);
    return list && list->kind == JSON_ARRAY && i >= 0 && i < list->n ? &list->items[i] : NULL;
}

static int count(const struct json *o, const char *key)
{
    const struct json *list = json_get(o, key);
    return list && list->kind == JSON_ARRAY ? list->n : 0;
}

static char *whole(char out[32], double v)
{
    if (isnan(v)) snprintf(out, 32, "-");
    else text_count(out, (int64_t)v);
    return out;
}

void app_preview(struct app *a, struct text source, const char *error)
{
    struct data_show *d = &a->data;
    struct err err;
    d->loading = false;
    a->dirty = true;
    snprintf(d->error, sizeof d->error, "%s", error ? error : "");
    if (error) return;
    arena_drop(&d->arena);
    d->arena = arena_make(0);
    d->preview = NULL;
    d->scroll = 0;
    if (!json_parse(&d->preview, source, "the preview", (struct json_limits){0}, &d->arena, &err)) {
        snprintf(d->error, sizeof d->error, "%s", err.text);
        return;
    }
    const struct json *w = item(d->preview, "windows", 0);
    double of = num(w, "of"), stages = num(d->preview, "stages");
    d->of = isnan(of) ? 0 : (int64_t)of;
    d->of_stages = isnan(stages) ? a->profile.profile.n_stages : (int)stages;
}

static const struct json *shown_source(const struct app *a)
{
    int n = count(a->data.preview, "sources");
    return item(a->data.preview, "sources", n ? a->data.source % n : 0);
}

/* ---- layout ---- */

int data_layout(const struct app *a, struct rect r, struct pane out[PANES_MOST])
{
    const struct json *s = shown_source(a);
    bool bad = num(s, "bad") > 0;
    int n = pane_rows(out, 0, PANE_HEAD, &r, r.h >= 9 ? 2 : 1);
    int source = r.h >= 12 && bad ? 3 : r.h >= 8 ? 2 : r.h >= 4 ? 1 : 0, shares = r.h >= 4 ? 1 : 0;
    n = pane_rows(out, n, PANE_TEXT, &r, r.h - source - shares);
    n = pane_rows(out, n, PANE_SOURCE, &r, source);
    return pane_rows(out, n, PANE_SHARES, &r, r.h);
}

/* ---- drawing ---- */

/* Where in the run the window lies; below, what is in it. */
static void head(const struct app *a, struct grid *g, struct rect r)
{
    const struct data_show *d = &a->data;
    const struct json *w = item(d->preview, "windows", 0);
    const char *dot = a->glyphs == GLYPHS_ASCII ? "-" : "\xC2\xB7";
    char n[4][32], text[256], bin[64] = "";
    if (!w) {
        grid_text(g, r, 1, 0, STYLE_BRIGHT, TEXT("Data"));
        return;
    }
    struct text stage = str(w, "stage");
    int documents = count(w, "documents");
    if (num(w, "buckets") > 1)
        snprintf(bin, sizeof bin, " %s bin %.0f of %.0f", dot, num(w, "bucket") + 1,
                 num(w, "buckets"));
    snprintf(text, sizeof text, "stage %.*s %s window %s of %s%s",
             (int)(stage.n > 64 ? 64 : stage.n), stage.p, dot, whole(n[0], num(w, "index") + 1),
             whole(n[1], num(w, "of")), bin);
    int x = 1 + grid_fit(g, r, 1, 0, r.w - 2, STYLE_BRIGHT, text_of(text));
    if (d->model[0]) grid_printf(g, r, x + 2, 0, STYLE_ACCENT, "as %s sees it", d->model_name);
    if (r.h < 2) return;
    snprintf(text, sizeof text, "%s tokens in %d document%s; %s are trained and shown ",
             whole(n[2], num(w, "tokens")), documents, documents == 1 ? "" : "s",
             whole(n[3], num(w, "trained")));
    x = 1 + grid_fit(g, r, 1, 1, r.w - 8, STYLE_DIM, text_of(text));
    grid_text(g, r, x, 1, STYLE_LIT, a->glyphs == GLYPHS_ASCII ? TEXT("[so]") : TEXT("so"));
}

/* A document after the other, a sign between them; in ASCII the lit pieces stand in brackets too.
 * */
static void window_text(const struct app *a, struct grid *g, struct rect r)
{
    const struct data_show *d = &a->data;
    const struct json *w = item(d->preview, "windows", 0);
    r = rect_clip(r, (struct rect){1, 0, r.w - 2, r.h});
    if (d->error[0]) {
        grid_wrap(g, r, 0, STYLE_BAD, text_of(d->error));
        return;
    }
    if (!w) {
        grid_text(g, r, 1, 0, STYLE_DIM,
                  d->loading ? TEXT("reading the data ...") : TEXT("This stage has no windows."));
        return;
    }
    int x = 0, y = -d->scroll;
    bool brackets = a->glyphs == GLYPHS_ASCII;
    for (int i = 0; i < count(w, "documents"); i++) {
        const struct json *document = item(w, "documents", i);
        if (i > 0) {
            y = grid_flow(g, r, &x, y, STYLE_PLAIN, TEXT(" "));
            y = grid_flow(g, r, &x, y, STYLE_ACCENT, brackets ? TEXT("|") : TEXT("\xE2\x94\x82"));
            y = grid_flow(g, r, &x, y, STYLE_PLAIN, TEXT(" "));
        }
        for (int k = 0; document->kind == JSON_ARRAY && k < document->n; k++) {
            const struct json *lit = json_get(&document->items[k], "trained");
            bool on = lit && lit->kind == JSON_BOOL && lit->yes;
            if (on && brackets) y = grid_flow(g, r, &x, y, STYLE_LIT, TEXT("["));
            y = grid_flow(g, r, &x, y, on ? STYLE_LIT : STYLE_PLAIN,
                          str(&document->items[k], "text"));
            if (on && brackets) y = grid_flow(g, r, &x, y, STYLE_LIT, TEXT("]"));
            if (y >= r.h) return;
        }
    }
}

/* "alpaca rows of 8 to 71 tokens", and how many there are of each length. */
static void lengths(struct grid *g, struct rect r, const struct json *s)
{
    const struct json *list = json_get(s, "lengths");
    struct text format = str(s, "format");
    double values[64];
    char v[2][32];
    int k = 0, first = -1, last = 0;
    for (int i = 0; list && list->kind == JSON_ARRAY && i < list->n && i < 64; i++) {
        if (list->items[i].number > 0 && first < 0) first = i;
        if (list->items[i].number > 0) last = i;
    }
    for (int i = first; first >= 0 && i <= last; i++) values[k++] = list->items[i].number;
    int x = 1 + grid_fit(g, r, 1, 1, 24, STYLE_PLAIN, format);
    x += 2 + grid_printf(g, r, x, 1, STYLE_DIM, " rows of %s to %s tokens",
                         whole(v[0], num(s, "shortest")), whole(v[1], num(s, "longest")));
    chart_spark(g, r, x, 1, k, STYLE_SERIES_1, values, k);
}

/* What became of a dataset's rows; how long they are; the first one that could not be read. */
static void source(const struct app *a, struct grid *g, struct rect r)
{
    const struct json *s = shown_source(a);
    char v[8][32], text[400];
    if (!s) return;
    struct text name = str(s, "name");
    double tokens = num(s, "tokens"), many = num(s, "bad");
    int x = 1 + grid_fit(g, r, 1, 0, 20, STYLE_BRIGHT, name) + 2;
    snprintf(text, sizeof text,
             "rows %s  tokens %s  trained %.0f %%  dropped %s  truncated %s  lost %s",
             whole(v[0], num(s, "rows")), whole(v[1], tokens),
             tokens > 0 ? 100 * num(s, "trained") / tokens : 0, whole(v[2], num(s, "dropped")),
             whole(v[3], num(s, "truncated")), whole(v[4], num(s, "lost")));
    grid_fit(g, r, x, 0, r.w - x - 1, STYLE_PLAIN, text_of(text));
    const struct json *bad = item(s, "bad_rows", 0);
    bool unread = bad && bad->kind == JSON_TEXT && many > 0;
    if (unread && r.h > 1) {
        snprintf(text, sizeof text, "%s row%s could not be read: %.*s", whole(v[5], many),
                 many == 1 ? "" : "s", (int)(bad->text.n > 250 ? 250 : bad->text.n), bad->text.p);
        grid_fit(g, r, 1, r.h - 1, r.w - 2, STYLE_WARN, text_of(text));
    }
    if (r.h > 2 || (r.h > 1 && !unread)) lengths(g, r, s);
}

static void shares(const struct app *a, struct grid *g, struct rect r)
{
    const struct json *w = item(a->data.preview, "windows", 0);
    char text[256], n[32];
    double lost = num(a->data.preview, "tokens_lost");
    int x = 1, end = r.w - 1;
    if (!w) return;
    snprintf(text, sizeof text, "tokens lost %s", whole(n, lost));
    if (lost > 0 || r.w >= 90) {
        grid_right(g, r, end, 0, lost > 0 ? STYLE_WARN : STYLE_DIM, text_of(text));
        end -= text_columns(text_of(text)) + 2;
    }
    x += grid_text(g, r, x, 0, STYLE_DIM, r.w < 60 ? TEXT("shares ") : TEXT("shares of tokens ")) +
         1;
    for (int i = 0; i < count(w, "shares"); i++) {
        const struct json *s = item(w, "shares", i);
        struct text name = str(s, "dataset");
        snprintf(text, sizeof text, "%.*s wanted %.2f here %.2f", (int)(name.n > 40 ? 40 : name.n),
                 name.p, num(s, "wanted"), num(s, "here"));
        if (x + text_columns(text_of(text)) >= end) break;
        x += grid_text(g, r, x, 0, STYLE_PLAIN, text_of(text)) + 3;
    }
}

void data_draw(const struct app *a, struct grid *g, const struct pane *p)
{
    static void (*const draws[])(const struct app *, struct grid *,
                                 struct rect) = {[PANE_HEAD] = head,
                                                 [PANE_TEXT] = window_text,
                                                 [PANE_SOURCE] = source,
                                                 [PANE_SHARES] = shares};
    draws[p->id](a, g, p->r);
}

/* ---- actions ---- */

void data_move(struct app *a, int by)
{
    if (by == MOVE_PAGE || by == -MOVE_PAGE) by = by > 0 ? a->h - 8 : 8 - a->h;
    struct list l = {a->data.scroll, 0};
    list_move(&l, by, 2000);
    a->data.scroll = by <= -MOVE_END ? 0 : by >= MOVE_END ? a->data.scroll : l.at;
}

static void go(struct app *a, int stage, int64_t window)
{
    struct data_show *d = &a->data;
    if (d->loading) {
        app_notice(a, STYLE_DIM, "the data is being read");
        return;
    }
    if (window < 1) {
        app_notice(a, STYLE_PLAIN, "this is the first window");
        return;
    }
    if (stage == d->stage && d->of > 0 && window > d->of) {
        app_notice(a, STYLE_PLAIN, "this is the last window");
        return;
    }
    d->stage = stage;
    d->window = window;
    d->loading = true;
    wish(a, WISH_PREVIEW, "", 0);
}

void act_next_window(struct app *a) { go(a, a->data.stage, a->data.window + 1); }
void act_last_window(struct app *a) { go(a, a->data.stage, a->data.window - 1); }
void act_window_far(struct app *a)
{
    go(a, a->data.stage,
       a->data.of > 0 && a->data.window + 100 > a->data.of ? a->data.of : a->data.window + 100);
}
void act_window_back(struct app *a)
{
    go(a, a->data.stage, a->data.window > 100 ? a->data.window - 100 : 1);
}
void act_next_stage(struct app *a)
{
    go(a, a->data.of_stages > 0 ? a->data.stage % a->data.of_stages + 1 : 1, 1);
}
void act_next_source(struct app *a) { a->data.source++; }

void data_click(struct app *a, const struct pane *p, int row)
{
    (void)row;
    if (p->id == PANE_SOURCE) act_next_source(a);
    if (p->id == PANE_TEXT) act_next_window(a);
}
