/* view_models.c - the base models of this machine: what they are, and what they would need here. */
#include "engine/format/json.h"
#include "tui/keys.h"
#include "tui/view.h"
#include <stdio.h>
#include <string.h>

enum { PANE_HEAD, PANE_LIST, PANE_ABOUT };

/* ---- reading ---- */

static const char *text_at(const struct json *o, const char *key, struct arena *a)
{
    const struct json *v = json_get(o, key);
    return v && v->kind == JSON_TEXT ? arena_string(a, v->text.p, v->text.n) : NULL;
}

static int64_t int_at(const struct json *o, const char *key)
{
    const struct json *v = json_get(o, key);
    return v && v->kind == JSON_INT ? v->integer : -1;
}

static bool yes_at(const struct json *o, const char *key)
{
    const struct json *v = json_get(o, key);
    return v && v->kind == JSON_BOOL && v->yes;
}

static struct model_entry entry_read(const struct json *o, struct arena *a)
{
    const struct json *full = json_get(o, "full"), *lora = json_get(o, "lora");
    return (struct model_entry){.name = text_at(o, "name", a),
                                .path = text_at(o, "path", a),
                                .family = text_at(o, "family", a),
                                .dtype = text_at(o, "dtype", a),
                                .tokenizer = text_at(o, "tokenizer", a),
                                .licence = text_at(o, "licence", a),
                                .unusable = text_at(o, "unusable", a),
                                .about = text_at(o, "about", a),
                                .parameters = int_at(o, "parameters"),
                                .bytes = int_at(o, "bytes"),
                                .context = (int)int_at(o, "context"),
                                .shipped = yes_at(o, "shipped"),
                                .full = {yes_at(full, "fits"), int_at(full, "bytes")},
                                .lora = {yes_at(lora, "fits"), int_at(lora, "bytes")}};
}

void models_filter(struct app *a)
{
    struct models_show *m = &a->models;
    m->n_order = 0;
    for (int i = 0; i < m->n; i++)
        if (text_contains(m->all[i].name, m->filter) || text_contains(m->all[i].family, m->filter))
            m->order[m->n_order++] = i;
    list_move(&m->list, 0, m->n_order);
}

void app_models(struct app *a, struct text source, const char *error)
{
    struct models_show *m = &a->models;
    struct err err;
    const struct json *all, *list, *device;
    m->loading = false;
    a->dirty = true;
    snprintf(m->error, sizeof m->error, "%s", error ? error : "");
    if (error) return;
    arena_drop(&m->arena);
    m->arena = arena_make(0);
    m->n = m->n_order = 0;
    if (!json_parse(&all, source, "the list of models", (struct json_limits){0}, &m->arena, &err)) {
        snprintf(m->error, sizeof m->error, "%s", err.text);
        return;
    }
    list = json_get(all, "models");
    int n = list && list->kind == JSON_ARRAY ? list->n : 0;
    m->all = NEW_N(&m->arena, struct model_entry, n + 1);
    m->order = NEW_N(&m->arena, int, n + 1);
    for (int i = 0; i < n; i++) {
        m->all[m->n] = entry_read(&list->items[i], &m->arena);
        if (m->all[m->n].name && m->all[m->n].path) m->n++;
    }
    if ((device = json_get(all, "device"))) {
        const char *name = text_at(device, "name", &m->arena);
        snprintf(m->device, sizeof m->device, "%s", name ? name : "");
    }
    const char *problem = text_at(all, "problem", &m->arena);
    snprintf(m->problem, sizeof m->problem, "%s", problem ? problem : "");
    models_filter(a);
}

/* ---- drawing ---- */

int models_layout(const struct app *a, struct rect r, struct pane out[PANES_MOST])
{
    int n = pane_rows(out, 0, PANE_HEAD, &r,
                      r.h > 3   ? 2
                      : r.h > 1 ? 1
                                : 0),
        about = a->models.details ? 9 : 3;
    if (r.h < 6) about = r.h > 3 ? 1 : 0;
    if (about > r.h / 2) about = r.h / 2;
    n = pane_rows(out, n, PANE_LIST, &r, r.h - about);
    return pane_rows(out, n, PANE_ABOUT, &r, r.h);
}

static int name_columns(struct rect r) { return r.w < 70 ? r.w - 24 : r.w < 100 ? 22 : 36; }

static void head(const struct app *a, struct grid *g, struct rect r)
{
    const struct models_show *m = &a->models;
    int usable = 0, name = name_columns(r);
    char text[120];
    for (int i = 0; i < m->n; i++) usable += !m->all[i].unusable;
    int x = 1 + grid_text(g, r, 1, 0, STYLE_BRIGHT, TEXT("Base models"));
    if (m->filter[0]) grid_printf(g, r, x + 2, 0, STYLE_ACCENT, "filter: %s", m->filter);
    snprintf(text, sizeof text, m->loading ? "looking ..." : "%d folders, %d usable", m->n, usable);
    grid_right(g, r, r.w - 1, 0, STYLE_DIM, text_of(text));
    grid_text(g, r, 3, 1, STYLE_DIM, TEXT("name"));
    grid_text(g, r, name + 3, 1, STYLE_DIM, TEXT("family  params"));
    if (r.w >= 70)
        grid_text(g, r, name + 19, 1, STYLE_DIM, TEXT("dtype  context  full here?  LoRA here?"));
}

static char *parameters_text(char out[16], int64_t n)
{
    double v = (double)n;
    snprintf(out, 16,
             v >= 1e9   ? "%.1fB"
             : v >= 1e6 ? "%.1fM"
                        : "%.0fk",
             v >= 1e9   ? v / 1e9
             : v >= 1e6 ? v / 1e6
                        : v / 1e3);
    return out;
}

static void fit_draw(struct grid *g, struct rect r, int x, int y, struct fit f)
{
    char bytes[16];
    if (f.bytes < 0) {
        grid_text(g, r, x, y, STYLE_DIM, TEXT("-"));
        return;
    }
    grid_printf(g, r, x, y, f.fits ? STYLE_GOOD : STYLE_WARN, "%s %s", f.fits ? "yes" : "no,",
                text_bytes(bytes, f.bytes));
}

static void row(struct grid *g, struct rect r, int y, const struct model_entry *m)
{
    char text[64], number[32];
    int name = name_columns(r);
    int n = grid_fit(g, r, 3, y, name - 1, STYLE_BRIGHT, text_of(m->name));
    if (m->shipped && n + 10 < name) grid_text(g, r, 4 + n, y, STYLE_DIM, TEXT("(shipped)"));
    grid_fit(g, r, name + 3, y, 7, STYLE_PLAIN, text_of(m->family ? m->family : "-"));
    if (m->unusable) {
        char why[512];
        snprintf(why, sizeof why, "unusable: %s", m->unusable);
        grid_fit(g, r, name + 11, y, r.w - name - 12, STYLE_BAD, text_of(why));
        return;
    }
    grid_right(g, r, name + 17, y, STYLE_PLAIN, text_of(parameters_text(text, m->parameters)));
    if (r.w < 70) return;
    grid_fit(g, r, name + 19, y, 5, STYLE_PLAIN, text_of(m->dtype ? m->dtype : "-"));
    grid_right(g, r, name + 33, y, STYLE_PLAIN,
               text_of(m->context >= 0 ? text_count(number, m->context) : "-"));
    fit_draw(g, r, name + 35, y, m->full);
    fit_draw(g, r, name + 47, y, m->lora);
}

static void list(const struct app *a, struct grid *g, struct rect r)
{
    const struct models_show *m = &a->models;
    struct list l = m->list;
    if (m->error[0]) {
        grid_wrap(g, rect_clip(r, (struct rect){2, 0, r.w - 4, r.h}), 0, STYLE_BAD,
                  text_of(m->error));
        return;
    }
    if (m->n == 0 && m->loading) {
        view_empty(g, r, "Looking for Hugging Face folders ...");
        return;
    }
    if (m->n == 0) {
        view_empty(g, r,
                   "No models here yet. The shipped one is in assets/. Press o to add a "
                   "folder that holds Hugging Face models.");
        return;
    }
    if (m->n_order == 0) {
        view_empty(g, r, "No model's name holds that. Press / and Esc to see all.");
        return;
    }
    list_show(&l, m->n_order, r.h);
    for (int i = l.top; i < m->n_order && i - l.top < r.h; i++) {
        row(g, r, i - l.top, &m->all[m->order[i]]);
        view_cursor(g, r, i - l.top, i == l.at);
    }
}

static const struct model_entry *chosen(const struct app *a)
{
    const struct models_show *m = &a->models;
    return m->list.at < m->n_order ? &m->all[m->order[m->list.at]] : NULL;
}

static void about(const struct app *a, struct grid *g, struct rect r)
{
    const struct model_entry *m = chosen(a);
    char bytes[16];
    if (!m) return;
    r = rect_clip(r, (struct rect){1, 0, r.w - 2, r.h});
    const char *dot = a->glyphs == GLYPHS_ASCII ? "-" : "\xC2\xB7";
    int y = r.h > 2 ? 1 : 0;
    char line[1024];
    snprintf(line, sizeof line, "%s %s %s %s %s %s %s", m->name, dot,
             m->licence && m->licence[0] ? m->licence : "licence -", dot,
             m->tokenizer && m->tokenizer[0] ? m->tokenizer : "tokenizer -", dot,
             m->bytes >= 0 ? text_bytes(bytes, m->bytes) : "-");
    grid_fit(g, r, 0, y++, r.w, STYLE_PLAIN, text_of(line));
    if (m->unusable) {
        grid_wrap(g, r, y, STYLE_BAD, text_of(m->unusable));
        return;
    }
    if (m->about) y += grid_wrap(g, r, y, STYLE_DIM, text_of(m->about));
    if (!a->models.details) return;
    grid_fit(g, r, 0, y++, r.w, STYLE_DIM, text_of(m->path));
    if (a->models.device[0])
        grid_printf(g, r, 0, y++, STYLE_DIM,
                    "fits here? on %s, windows of 512 tokens, micro-batch 1", a->models.device);
    if (a->models.problem[0]) grid_wrap(g, r, y, STYLE_WARN, text_of(a->models.problem));
}

void models_draw(const struct app *a, struct grid *g, const struct pane *p)
{
    if (p->id == PANE_HEAD) head(a, g, p->r);
    if (p->id == PANE_LIST) list(a, g, p->r);
    if (p->id == PANE_ABOUT) about(a, g, p->r);
}

/* ---- actions ---- */

void models_move(struct app *a, int by)
{
    if (by == MOVE_PAGE || by == -MOVE_PAGE) by = by > 0 ? a->h - 8 : 8 - a->h;
    list_move(&a->models.list, by, a->models.n_order);
}

static const struct model_entry *usable(struct app *a)
{
    const struct model_entry *m = chosen(a);
    if (!m) app_notice(a, STYLE_PLAIN, "there is no model at the cursor");
    else if (m->unusable) app_notice(a, STYLE_BAD, "%s cannot be used: %s", m->name, m->unusable);
    return m && !m->unusable ? m : NULL;
}

void act_use_model(struct app *a)
{
    const struct model_entry *m = usable(a);
    struct text out;
    struct err err;
    if (!m) return;
    if (!a->profile.path[0]) {
        app_notice(a, STYLE_PLAIN, "%s: choose a profile to start from", m->name);
        snprintf(a->profile.wanted_model, sizeof a->profile.wanted_model, "%s", m->path);
        app_go(a, SCREEN_PROFILE);
        return;
    }
    if (!profile_text_set(&out, a->profile.source, "base_model", m->path, &a->profile.texts, &err))
        app_notice(a, STYLE_BAD, "%s", err.text);
    else form_change(a, out);
    app_go(a, SCREEN_PROFILE);
}

void act_model_chat(struct app *a)
{
    const struct model_entry *m = usable(a);
    if (!m) return;
    chat_start(a, m->path, m->name, false);
}

void act_model_details(struct app *a) { a->models.details = !a->models.details; }
void act_add_folder(struct app *a) { app_ask(a, PROMPT_FOLDER, "folder of models:", TEXT("~/")); }
void act_reload_models(struct app *a)
{
    a->models.loading = true;
    wish(a, WISH_MODELS, "", 0);
}
