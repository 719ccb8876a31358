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

static struct fit fit_read(const struct json *o)
{
    return (struct fit){yes_at(o, "fits"), int_at(o, "bytes")};
}

static struct model_entry entry_read(const struct json *o, struct arena *a)
{
    struct model_entry e = {.unusable = text_at(o, "unusable", a),
                            .parameters = int_at(o, "parameters"),
                            .bytes = int_at(o, "bytes"),
                            .shipped = yes_at(o, "shipped"),
                            .tied = yes_at(o, "tied"),
                            .full = fit_read(json_get(o, "full")),
                            .lora = fit_read(json_get(o, "lora"))};
    const struct {
        const char *key, **text;
    } texts[] = {
        {"name", &e.name},           {"path", &e.path},       {"family", &e.family},
        {"dtype", &e.dtype},         {"licence", &e.licence}, {"about", &e.about},
        {"tokenizer", &e.tokenizer}, {"quiz", &e.quiz},       {"template", &e.chat_template}};
    const struct {
        const char *key;
        int *number;
    } numbers[] = {{"context", &e.context}, {"layers", &e.layers},     {"dim", &e.dim},
                   {"heads", &e.heads},     {"kv_heads", &e.kv_heads}, {"vocabulary", &e.vocab}};
    for (size_t i = 0; i < COUNT(texts); i++) *texts[i].text = text_at(o, texts[i].key, a);
    for (size_t i = 0; i < COUNT(numbers); i++) *numbers[i].number = (int)int_at(o, numbers[i].key);
    return e;
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

static const struct model_entry *chosen(const struct app *a)
{
    const struct models_show *m = &a->models;
    return m->list.at < m->n_order ? &m->all[m->order[m->list.at]] : NULL;
}

/* "byte-level BPE, 4,096 pieces" */
static const char *tokenizer_text(const struct model_entry *m, char out[96])
{
    char n[32];
    bool known = m->tokenizer && m->tokenizer[0] && strcmp(m->tokenizer, "-") != 0;
    if (!known) snprintf(out, 96, "no tokenizer");
    else if (m->vocab > 0)
        snprintf(out, 96, "%.50s, %s pieces", m->tokenizer, text_count(n, m->vocab));
    else snprintf(out, 96, "%.80s", m->tokenizer);
    return out;
}

/* One line: licence, tokenizer, shape. */
static void summary(const struct app *a, const struct model_entry *m, char out[1024])
{
    const char *dot = a->glyphs == GLYPHS_ASCII ? "-" : "\xC2\xB7";
    char tokenizer[96], shape[96] = "";
    if (m->layers > 0)
        snprintf(shape, sizeof shape, " %s %d layers %s %d %s %s head", dot, m->layers,
                 a->glyphs == GLYPHS_ASCII ? "x" : "\xC3\x97", m->dim, dot,
                 m->tied ? "tied" : "separate");
    snprintf(out, 1024, "%.200s %s %.200s %s %s%s", m->name, dot,
             m->licence && m->licence[0] ? m->licence : "licence unknown", dot,
             tokenizer_text(m, tokenizer), shape);
}

struct facts {
    struct grid *g;
    struct rect r;
    int y;
};

static void fact(struct facts *f, const char *label, const char *fmt, ...) PRINTF_LIKE(3, 4);
static void fact(struct facts *f, const char *label, const char *fmt, ...)
{
    char text[4600];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (f->g) grid_fit(f->g, f->r, 0, f->y, 11, STYLE_DIM, text_of(label));
    struct rect right = rect_clip(f->r, (struct rect){12, 0, f->r.w - 12, f->r.h});
    f->y += grid_wrap(f->g, right, f->y, STYLE_PLAIN, text_of(text));
}

static void details(const struct app *a, struct facts *f, const struct model_entry *m)
{
    char n[32], full[16], lora[16], bytes[16], tokenizer[96];
    fact(f, "folder", "%s", m->path);
    fact(f, "licence", "%s", m->licence && m->licence[0] ? m->licence : "not said in its folder");
    fact(f, "tokenizer", "%s", tokenizer_text(m, tokenizer));
    fact(f, "template", "%s",
         m->chat_template && strcmp(m->chat_template, "its own") == 0
             ? "its own chat template"
             : "none of its own: a chat is written as plain text");
    if (m->unusable) return;
    fact(f, "shape", "%d layers, width %d, %d heads (%d for keys and values), %s head", m->layers,
         m->dim, m->heads, m->kv_heads, m->tied ? "tied" : "separate");
    fact(f, "size", "%s parameters, %s in %s", text_count(n, m->parameters),
         m->bytes >= 0 ? text_bytes(bytes, m->bytes) : "-", m->dtype ? m->dtype : "-");
    fact(f, "fits here?", "full %s %s, LoRA %s %s (windows of 512 tokens, one at a time)",
         m->full.fits ? "yes," : "no,", text_bytes(full, m->full.bytes),
         m->lora.fits ? "yes," : "no,", text_bytes(lora, m->lora.bytes));
    if (m->quiz && m->quiz[0])
        fact(f, "quiz", "%s", m->quiz + (strncmp(m->quiz, "Quiz ", 5) == 0 ? 5 : 0));
    if (a->models.problem[0]) fact(f, "problem", "%s", a->models.problem);
}

/* What is known of the model at the cursor; returns its rows, also where g is NULL. */
static int about_draw(const struct app *a, struct grid *g, struct rect r)
{
    const struct model_entry *m = chosen(a);
    char line[1024];
    if (!m) return 0;
    struct facts f = {g, rect_clip(r, (struct rect){1, 0, r.w - 2, r.h}), 0};
    if (a->models.details) snprintf(line, sizeof line, "%s", m->name);
    else summary(a, m, line);
    f.y += grid_wrap(g, f.r, f.y, a->models.details ? STYLE_BRIGHT : STYLE_PLAIN, text_of(line));
    if (m->about && m->about[0])
        f.y +=
            grid_wrap(g, f.r, f.y, a->models.details ? STYLE_PLAIN : STYLE_DIM, text_of(m->about));
    if (a->models.details) details(a, &f, m);
    else if (m->quiz && m->quiz[0]) f.y += grid_wrap(g, f.r, f.y, STYLE_DIM, text_of(m->quiz));
    if (m->unusable) f.y += grid_wrap(g, f.r, f.y, STYLE_BAD, text_of(m->unusable));
    return f.y;
}

static void about(const struct app *a, struct grid *g, struct rect r)
{
    about_draw(a, g, r.h > 2 ? rect_clip(r, (struct rect){0, 1, r.w, r.h - 1}) : r);
}

int models_layout(const struct app *a, struct rect r, struct pane out[PANES_MOST])
{
    int n = pane_rows(out, 0, PANE_HEAD, &r, r.h > 3 ? 2 : r.h > 1 ? 1 : 0);
    int rows = about_draw(a, NULL, (struct rect){0, 0, r.w, 100}) + 1;
    int most = a->models.details && r.h > 10 ? r.h - 5 : r.h / 2;
    if (rows > most) rows = most;
    n = pane_rows(out, n, PANE_LIST, &r, r.h - rows);
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
    snprintf(text, sizeof text, m->loading ? "looking ..." : "%d model%s, %d usable", m->n,
             m->n == 1 ? "" : "s", usable);
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
    if (form_has_model(a, m->path))
        app_notice(a, STYLE_PLAIN, "%s is its base model already", m->name);
    else if (!profile_text_set(&out, a->profile.source, "base_model", m->path, &a->profile.texts,
                               &err))
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
void act_reload_models(struct app *a)
{
    a->models.loading = true;
    wish(a, WISH_MODELS, "", 0);
}

void act_model_data(struct app *a)
{
    const struct model_entry *m = usable(a);
    if (!m) return;
    if (!a->profile.path[0])
        app_notice(a, STYLE_PLAIN,
                   "there are no data to show yet: a profile says which. x lists those to start "
                   "from, Enter starts one with %s",
                   m->name);
    else data_open(a, m->path, m->name);
}

/* ---- folders ---- */

static const char *const from_words[] = {[FOLDER_SHIPPED] = "shipped",
                                         [FOLDER_SETTINGS] = "settings",
                                         [FOLDER_VARIABLE] = "HONE_MODELS",
                                         [FOLDER_HUB] = "hub cache"};

void act_folders(struct app *a)
{
    app_popup(a, POPUP_FOLDERS);
    wish(a, WISH_FOLDERS, "", 0);
}

void app_folders(struct app *a, const struct model_folder *list, int n)
{
    struct models_show *m = &a->models;
    arena_drop(&m->folders_arena);
    m->folders_arena = arena_make(0);
    m->folders = NEW_N(&m->folders_arena, struct model_folder, n + 1);
    m->n_folders = n;
    for (int i = 0; i < n; i++) {
        m->folders[i] = list[i];
        m->folders[i].path = arena_string(&m->folders_arena, list[i].path, strlen(list[i].path));
        m->folders[i].said = arena_string(&m->folders_arena, list[i].said, strlen(list[i].said));
    }
    a->dirty = true;
}

void folders_size(const struct app *a, int *w, int *h)
{
    *w = 76;
    *h = a->models.n_folders ? a->models.n_folders : 1;
}

void folders_popup(const struct app *a, struct grid *g, struct rect r)
{
    const struct models_show *m = &a->models;
    struct list l = a->pick;
    list_show(&l, m->n_folders, r.h);
    for (int i = l.top; i < m->n_folders && i - l.top < r.h; i++) {
        const struct model_folder *f = &m->folders[i];
        int y = i - l.top;
        grid_fit(g, r, 2, y, 12, STYLE_DIM, text_of(from_words[f->from]));
        grid_fit(g, r, 15, y, r.w - 15, f->there ? STYLE_PLAIN : STYLE_DIM, text_of(f->path));
        if (!f->there) grid_right(g, r, r.w, y, STYLE_WARN, TEXT(" not there"));
        if (i != l.at) continue;
        grid_paint(g, rect_clip(r, (struct rect){0, y, r.w, 1}), STYLE_SELECTED);
        grid_sign(g, r, 0, y, STYLE_SELECTED, SIGN_CURSOR);
    }
}

void act_add_folder(struct app *a) { app_ask(a, PROMPT_FOLDER, "folder of models:", TEXT("~/")); }

void act_drop_folder(struct app *a)
{
    const struct models_show *m = &a->models;
    const struct model_folder *f = a->pick.at < m->n_folders ? &m->folders[a->pick.at] : NULL;
    if (!f) return;
    if (f->from == FOLDER_SETTINGS) wish(a, WISH_DROP_FOLDER, f->said, 0);
    else
        app_notice(a, STYLE_PLAIN, "%s",
                   f->from == FOLDER_SHIPPED ? "this one came with hone"
                   : f->from == FOLDER_HUB
                       ? "this is the Hugging Face cache; HF_HOME or HF_HUB_CACHE moves it"
                       : "the variable HONE_MODELS names it");
}

void models_click(struct app *a, const struct pane *p, int row)
{
    if (p->id == PANE_LIST) list_click(a, &a->models.list, a->models.n_order, p->r.h, row);
    if (p->id == PANE_ABOUT) act_model_details(a);
}
