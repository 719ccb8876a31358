/* app.c - what happens between the screens: going from one to another, popups, questions, news. */
#include "tui/app.h"
#include "tui/keys.h"
#include "tui/view.h"
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

const struct sampling chat_usual = {
    .temperature = 0.7f, .top_p = 0.9f, .top_k = 40, .repetition_penalty = 1};

void app_start(struct app *a, const struct places *p, int w, int h, double now, enum glyphs glyphs)
{
    memset(a, 0, sizeof *a);
    a->places = p;
    a->w = w;
    a->h = h;
    a->now = now;
    a->glyphs = glyphs;
    a->dirty = true;
    a->prompt.arena = arena_make(0);
    a->profile.texts = arena_make(0);
    a->chat.arena = arena_make(0);
    a->chat.edit = edit_make(&a->chat.arena, true);
    a->chat.sampling = chat_usual;
    a->chat.max_new_tokens = CHAT_USUAL_TOKENS;
    a->chat.typing = true;
    a->chat.step = -1;
    a->chat.found = -1;
    a->live.found = -1;
    a->live.celsius = a->live.watts = NAN;
    a->live.smooth = 0;
}

void app_drop(struct app *a)
{
    struct arena *all[] = {&a->models.arena,
                           &a->models.folders_arena,
                           &a->profile.texts,
                           &a->profile.parse,
                           &a->profile.trouble,
                           &a->profile.form,
                           &a->profile.plan_arena,
                           &a->data.arena,
                           &a->runs.arena,
                           &a->runs.checkpoints_arena,
                           &a->chat.arena,
                           &a->past.arena,
                           &a->prompt.arena,
                           &a->presets_arena,
                           &a->live.fold.arena};
    for (size_t i = 0; i < COUNT(all); i++) arena_drop(all[i]);
}

void wish(struct app *a, enum wish_kind kind, const char *text, int number)
{
    if (a->n_wishes == WISHES_MOST) return;
    struct wish *w = &a->wishes[a->n_wishes++];
    *w = (struct wish){.kind = kind, .number = number};
    snprintf(w->text, sizeof w->text, "%s", text);
}

void app_notice(struct app *a, enum style s, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(a->notice, sizeof a->notice, fmt, ap);
    va_end(ap);
    a->notice_style = s;
    a->notice_at = a->now;
    a->dirty = true;
}

void list_move(struct list *l, int by, int n)
{
    l->at += by;
    if (l->at >= n) l->at = n - 1;
    if (l->at < 0) l->at = 0;
}

void list_show(struct list *l, int n, int rows)
{
    if (rows < 1) rows = 1;
    if (l->at < l->top) l->top = l->at;
    if (l->at >= l->top + rows) l->top = l->at - rows + 1;
    if (l->top > n - rows) l->top = n - rows;
    if (l->top < 0) l->top = 0;
}

bool text_contains(const char *text, const char *word)
{
    return !word[0] || (text && strcasestr(text, word));
}

bool text_holds(struct text t, const char *word)
{
    size_t n = strlen(word);
    for (size_t i = 0; i + n <= t.n; i++)
        if (strncasecmp(t.p + i, word, n) == 0) return true;
    return n == 0;
}

/* ---- screens and popups ---- */

void app_go(struct app *a, enum screen s)
{
    a->screen = s;
    a->dirty = true;
    if (s == SCREEN_RUNS) wish(a, WISH_RUNS, "", 0);
    if (s == SCREEN_PROFILE && !a->profile.path[0] && app_top(a) == POPUP_NONE) act_presets(a);
}

enum popup app_top(const struct app *a)
{
    return a->n_popups ? a->popups[a->n_popups - 1] : POPUP_NONE;
}

void app_popup(struct app *a, enum popup p)
{
    if (a->n_popups == (int)COUNT(a->popups)) return;
    a->popups[a->n_popups++] = p;
    a->pick = (struct list){0};
    a->filter[0] = 0;
}

void app_close_popup(struct app *a)
{
    if (a->n_popups) a->n_popups--;
    a->filter[0] = 0;
}

void act_models(struct app *a) { app_go(a, SCREEN_MODELS); }
void act_profile(struct app *a) { app_go(a, SCREEN_PROFILE); }
/* With nobody to talk to yet, the run that is open is the one meant. */
void act_chat(struct app *a)
{
    if (!a->chat.spec[0] && a->live.open) act_live_chat(a);
    else app_go(a, SCREEN_CHAT);
    if (!a->chat.spec[0]) a->chat.typing = false; /* nobody to type to */
}

void act_runs(struct app *a)
{
    app_go(a, a->live.open && a->screen != SCREEN_LIVE ? SCREEN_LIVE : SCREEN_RUNS);
}

static void step_screen(struct app *a, int by)
{
    void (*const go[4])(struct app *) = {act_models, act_profile, act_runs, act_chat};
    go[(views[a->screen].place - 1 + by + 4) % 4](a);
}

void act_next_screen(struct app *a) { step_screen(a, 1); }
void act_last_screen(struct app *a) { step_screen(a, -1); }

void act_back(struct app *a)
{
    if (a->screen == SCREEN_DATA) app_go(a, a->data.model[0] ? SCREEN_MODELS : SCREEN_PROFILE);
    else if (a->screen == SCREEN_MODELS && a->models.filter[0]) {
        a->models.filter[0] = 0;
        wish(a, WISH_MODELS, "", 0);
    } else if (a->screen == SCREEN_RUNS && a->runs.filter[0]) {
        a->runs.filter[0] = 0;
        wish(a, WISH_RUNS, "", 0);
    }
}

void act_help(struct app *a) { app_popup(a, POPUP_HELP); }
void act_close(struct app *a) { app_close_popup(a); }
void act_repaint(struct app *a) { wish(a, WISH_REPAINT, "", 0); }
void act_suspend(struct app *a) { wish(a, WISH_SUSPEND, "", 0); }

void act_leave(struct app *a)
{
    if (a->profile.edited) {
        a->confirm = CONFIRM_DROP_EDITS;
        snprintf(a->confirm_text, sizeof a->confirm_text,
                 "%s has changes that are not written (w writes them). Leave without them?",
                 path_base(a->profile.path));
        app_popup(a, POPUP_CONFIRM);
    } else if (a->live.open && fold_lives(&a->live.fold)) app_popup(a, POPUP_LEAVE);
    else wish(a, WISH_QUIT, "", 0);
}

void act_detach(struct app *a) { wish(a, WISH_QUIT, "", 0); }

void act_stop_and_leave(struct app *a)
{
    wish(a, WISH_ORDER, "", ORDER_STOP);
    wish(a, WISH_QUIT, "", 0);
}

void act_yes(struct app *a)
{
    app_close_popup(a);
    if (a->confirm == CONFIRM_REMOVE && a->runs.n_order > 0)
        wish(a, WISH_REMOVE, a->runs.all[a->runs.order[a->runs.list.at]].path, 0);
    if (a->confirm == CONFIRM_LAUNCH) launch_now(a);
    if (a->confirm == CONFIRM_OVERWRITE) wish(a, WISH_WRITE_PROFILE, a->confirm_path, 1);
    if (a->confirm == CONFIRM_DROP_EDITS) {
        a->profile.edited = false;
        act_leave(a);
    }
}

/* ---- moving ---- */

void app_move(struct app *a, int by)
{
    enum popup p = app_top(a);
    if (p != POPUP_NONE) {
        if (popup_views[p].move) popup_views[p].move(a, by);
        return;
    }
    if (views[a->screen].move) views[a->screen].move(a, by);
}

void act_up(struct app *a) { app_move(a, -1); }
void act_down(struct app *a) { app_move(a, 1); }
void act_page_up(struct app *a) { app_move(a, -MOVE_PAGE); }
void act_page_down(struct app *a) { app_move(a, MOVE_PAGE); }
void act_top(struct app *a) { app_move(a, -MOVE_END); }
void act_bottom(struct app *a) { app_move(a, MOVE_END); }

void pick_move(struct app *a, int by)
{
    int n = popup_views[app_top(a)].count(a);
    if (by == MOVE_PAGE || by == -MOVE_PAGE) by = by > 0 ? 8 : -8;
    list_move(&a->pick, by, n);
}

/* ---- questions ---- */

void app_ask(struct app *a, enum prompt_kind kind, const char *label, struct text start)
{
    struct prompt *p = &a->prompt;
    arena_drop(&p->arena);
    p->arena = arena_make(0);
    p->edit = edit_make(&p->arena, false);
    p->open = true;
    p->kind = kind;
    p->problem[0] = 0;
    snprintf(p->label, sizeof p->label, "%s", label);
    edit_set(&p->edit, start);
}

void act_command(struct app *a) { app_ask(a, PROMPT_COMMAND, ":", TEXT("")); }

static char *filter_of(struct app *a)
{
    if (app_top(a) != POPUP_NONE) return app_top(a) == POPUP_HELP ? a->filter : NULL;
    return a->screen == SCREEN_MODELS ? a->models.filter
           : a->screen == SCREEN_RUNS ? a->runs.filter
                                      : NULL;
}

void act_filter(struct app *a)
{
    char *f = filter_of(a);
    if (f) app_ask(a, PROMPT_FILTER, "/", text_of(f));
    else if (!search_begin(a)) app_notice(a, STYLE_PLAIN, "there is nothing to search here");
}

bool app_types(const struct app *a)
{
    return a->prompt.open ||
           (a->screen == SCREEN_CHAT && a->chat.typing && app_top(a) == POPUP_NONE);
}

struct edit *app_edit(struct app *a)
{
    return !app_types(a) ? NULL : a->prompt.open ? &a->prompt.edit : &a->chat.edit;
}

void act_prompt_cancel(struct app *a)
{
    a->prompt.open = false;
    if (a->prompt.kind == PROMPT_SEARCH) search_leave(a);
    char *f = a->prompt.kind == PROMPT_FILTER ? filter_of(a) : NULL;
    if (f) f[0] = 0;
    if (f) app_typed(a);
}

static void complete_command(struct app *a)
{
    const struct binding *found[64];
    int n = keys_named(a, a->prompt.edit.text.p, found, COUNT(found));
    if (n == 0) return;
    size_t same = strlen(found[0]->name);
    for (int i = 1; i < n; i++) {
        size_t k = 0;
        while (k < same && found[i]->name[k] == found[0]->name[k]) k++;
        same = k;
    }
    edit_set(&a->prompt.edit, (struct text){found[0]->name, same});
}

bool prompt_wants_path(const struct app *a)
{
    const struct profile_show *p = &a->profile;
    const struct form_row *r = p->list.at < p->n_rows ? &p->rows[p->list.at] : NULL;
    switch (a->prompt.kind) {
    case PROMPT_FOLDER:
    case PROMPT_SAVE_AS:
    case PROMPT_KEEP_CHAT:
    case PROMPT_DATASET: return true;
    case PROMPT_VALUE: return r && r->field && r->field->type == FIELD_PATH;
    default: return false;
    }
}

void act_prompt_complete(struct app *a)
{
    if (a->prompt.kind == PROMPT_COMMAND) complete_command(a);
    else if (prompt_wants_path(a)) wish(a, WISH_COMPLETE, a->prompt.edit.text.p, 0);
}

void app_completed(struct app *a, struct text text, const char *others)
{
    if (!a->prompt.open) return;
    edit_set(&a->prompt.edit, text);
    app_typed(a);
    if (others[0]) snprintf(a->prompt.problem, sizeof a->prompt.problem, "%.390s", others);
    a->dirty = true;
}

/* After every key of a question: what can be told before it is accepted. */
void app_typed(struct app *a)
{
    char *f = a->prompt.kind == PROMPT_FILTER ? filter_of(a) : NULL;
    a->prompt.problem[0] = 0;
    if (f) {
        if (a->prompt.open) snprintf(f, 64, "%s", a->prompt.edit.text.p);
        models_filter(a);
        runs_filter(a);
    } else if (a->prompt.kind == PROMPT_SEARCH) search_typed(a);
    else if (a->prompt.kind == PROMPT_VALUE) form_try(a);
}

void act_prompt_done(struct app *a)
{
    struct text typed = buf_text(&a->prompt.edit.text);
    enum prompt_kind kind = a->prompt.kind;
    if (kind == PROMPT_VALUE && !form_accept(a, typed)) return;
    if (kind == PROMPT_LEARNING_RATE && !live_accept(a, typed)) return;
    if ((kind == PROMPT_DATASET || kind == PROMPT_STAGE) && !form_add(a, typed)) return;
    a->prompt.open = false;
    if (kind == PROMPT_COMMAND && typed.n && !keys_run(a, typed.p))
        app_notice(a, STYLE_BAD, "no action here is called \"%.80s\"; ? lists them", typed.p);
    if (kind == PROMPT_SEARCH) snprintf(a->search, sizeof a->search, "%s", typed.p);
    if (kind == PROMPT_FOLDER && typed.n) wish(a, WISH_ADD_FOLDER, typed.p, 0);
    if (kind == PROMPT_SAVE_AS && typed.n) wish(a, WISH_WRITE_PROFILE, typed.p, 0);
    if (kind == PROMPT_KEEP_CHAT && typed.n) wish(a, WISH_KEEP_CHAT, typed.p, 0);
}

/* ---- keys in ---- */

void app_key(struct app *a, int32_t key)
{
    bool had_notice = a->notice[0] != 0;
    a->dirty = true;
    a->notice[0] = 0;
    struct edit *e = app_edit(a);
    const struct binding *b = keys_find(a, key);
    bool used = keys_press(a, key), accepted = b && b->act == act_prompt_done;
    if (!used && e && key >= 32 && key < K_UP) {
        char bytes[4];
        edit_insert(e, (struct text){bytes, (size_t)utf8_encode(key, bytes)});
        used = true;
    }
    if (a->prompt.open && !accepted) app_typed(a); /* what it was refused for stays */
    if (!used && !had_notice && !e) {
        char name[32];
        app_notice(a, STYLE_DIM, "%s does nothing here; ? lists the keys", key_text(name, key));
    }
}

void app_input(struct app *a, const struct input_event *e)
{
    if (e->kind == INPUT_KEY) app_key(a, e->key);
    if (e->kind == INPUT_MOUSE) app_mouse(a, e->mouse, e->x, e->y);
    if (e->kind != INPUT_PASTE) return;
    struct edit *field = app_edit(a);
    a->dirty = true;
    if (!field) {
        app_notice(a, STYLE_PLAIN, "a paste needs a text field");
        return;
    }
    edit_insert(field, e->paste);
    if (a->prompt.open) app_typed(a);
}

void app_tick(struct app *a, double now)
{
    a->now = now;
    if (a->notice[0] && a->notice_style != STYLE_BAD && a->notice_style != STYLE_WARN &&
        now - a->notice_at > 6) {
        a->notice[0] = 0;
        a->dirty = true;
    }
    if (a->profile.plan_state == PLAN_WAITING && now - a->profile.changed > 0.4) {
        a->profile.plan_state = PLAN_MEASURING;
        a->dirty = true;
        wish(a, WISH_PLAN, "", 0);
    }
}
