/* search.c - `/`, n and N: where rows are many, the next one that holds a word.
 *
 * Lists of models, of runs and of keys are filtered by `/` instead; there n and N are the rows that
 * are left. A log and a conversation are read from their end, so there n goes up. */
#include "tui/keys.h"
#include "tui/view.h"
#include <stdio.h>
#include <string.h>

struct searched {
    int (*count)(const struct app *a);
    int (*at)(const struct app *a);
    struct text (*text)(const struct app *a, int row, char room[512]);
    void (*go)(struct app *a, int row);
    bool up;
};

/* ---- popups ---- */

static int pick_at(const struct app *a) { return a->pick.at; }
static void pick_go(struct app *a, int row) { a->pick.at = row; }

static int presets_count(const struct app *a) { return a->n_presets; }
static struct text presets_text(const struct app *a, int row, char room[512])
{
    snprintf(room, 512, "%s %s", a->presets[row].name, a->presets[row].about);
    return text_of(room);
}

static int past_count(const struct app *a) { return a->past.n; }
static struct text past_text(const struct app *a, int row, char room[512])
{
    snprintf(room, 512, "%s %s", a->past.all[row].name, a->past.all[row].first);
    return text_of(room);
}

/* ---- the form ---- */

static int form_count(const struct app *a) { return a->profile.n_rows; }
static int form_at(const struct app *a) { return a->profile.list.at; }
static void form_go(struct app *a, int row) { a->profile.list.at = row; }
static struct text form_text(const struct app *a, int row, char room[512])
{
    const struct form_row *r = &a->profile.rows[row];
    snprintf(room, 512, "%s %.*s", r->label, (int)(r->value.n > 300 ? 300 : r->value.n),
             r->value.n ? r->value.p : "");
    return text_of(room);
}

/* ---- lists that are filtered ---- */

static int models_count(const struct app *a) { return a->models.n_order; }
static int models_at(const struct app *a) { return a->models.list.at; }
static void models_go(struct app *a, int row) { a->models.list.at = row; }
static struct text models_text(const struct app *a, int row, char room[512])
{
    const struct model_entry *m = &a->models.all[a->models.order[row]];
    snprintf(room, 512, "%s %s", m->name, m->family ? m->family : "");
    return text_of(room);
}

static int runs_count(const struct app *a) { return a->runs.n_order; }
static int runs_at(const struct app *a) { return a->runs.list.at; }
static void runs_go(struct app *a, int row) { a->runs.list.at = row; }
static struct text runs_text(const struct app *a, int row, char room[512])
{
    const struct run_summary *r = &a->runs.all[a->runs.order[row]];
    snprintf(room, 512, "%s %s", r->name, run_state_name(r->state));
    return text_of(room);
}

/* ---- the log, row 0 the oldest line that is kept ---- */

static int log_count(const struct app *a)
{
    return a->live.fold.n_lines < FOLD_LOG ? (int)a->live.fold.n_lines : FOLD_LOG;
}

static int log_at(const struct app *a)
{
    const struct live_show *l = &a->live;
    int64_t oldest = l->fold.n_lines - log_count(a);
    return l->found >= oldest ? (int)(l->found - oldest) : log_count(a) - l->scroll;
}

static void log_go(struct app *a, int row)
{
    struct live_show *l = &a->live;
    int n = log_count(a);
    if (row >= n) { /* where the search began */
        l->found = -1;
        l->scroll = 0;
        return;
    }
    l->found = l->fold.n_lines - n + row;
    l->scroll = n - 1 - row;
}

static struct text log_text(const struct app *a, int row, char room[512])
{
    (void)room;
    return text_of(a->live.fold.lines[(a->live.fold.n_lines - log_count(a) + row) % FOLD_LOG].text);
}

/* ---- a conversation ---- */

static int chat_count(const struct app *a) { return a->chat.n_lines; }
static int chat_at(const struct app *a)
{
    return a->chat.found >= 0 && a->chat.found < a->chat.n_lines ? a->chat.found : a->chat.n_lines;
}

static void chat_go(struct app *a, int row)
{
    a->chat.found = row < a->chat.n_lines ? row : -1;
    chat_scroll_to(a, row);
}

static struct text chat_text(const struct app *a, int row, char room[512])
{
    (void)room;
    return buf_text(&a->chat.lines[row].text);
}

static const struct searched popups[POPUPS] = {
    [POPUP_PRESETS] = {presets_count, pick_at, presets_text, pick_go, false},
    [POPUP_PAST] = {past_count, pick_at, past_text, pick_go, false}};
static const struct searched screens[SCREENS] = {
    [SCREEN_MODELS] = {models_count, models_at, models_text, models_go, false},
    [SCREEN_PROFILE] = {form_count, form_at, form_text, form_go, false},
    [SCREEN_RUNS] = {runs_count, runs_at, runs_text, runs_go, false},
    [SCREEN_LIVE] = {log_count, log_at, log_text, log_go, true},
    [SCREEN_CHAT] = {chat_count, chat_at, chat_text, chat_go, true}};

/* ---- searching ---- */

static const struct searched *here(const struct app *a)
{
    const struct searched *s = app_top(a) != POPUP_NONE ? &popups[app_top(a)] : &screens[a->screen];
    return s->count ? s : NULL;
}

/* The first row from `from` on, `by` a step, round the end; -1: none holds the word. */
static int find(const struct app *a, const struct searched *s, int from, int by, const char *word)
{
    int n = s->count(a);
    char room[512];
    for (int i = 0; i < n; i++) {
        int row = ((from + by * i) % n + n) % n;
        struct text t = s->text(a, row, room);
        if (text_holds(t, word)) return row;
    }
    return -1;
}

bool search_begin(struct app *a)
{
    const struct searched *s = here(a);
    if (!s) return false;
    a->search_from = s->at(a);
    app_ask(a, PROMPT_SEARCH, "/", TEXT(""));
    return true;
}

void search_typed(struct app *a)
{
    const struct searched *s = here(a);
    const char *word = a->prompt.edit.text.p;
    if (!s || s->count(a) == 0) return;
    int row = word[0] ? find(a, s, a->search_from - s->up, s->up ? -1 : 1, word) : -1;
    if (row >= 0) s->go(a, row);
    else s->go(a, a->search_from);
    if (row < 0 && word[0])
        snprintf(a->prompt.problem, sizeof a->prompt.problem, "nothing here holds \"%.80s\"", word);
}

void search_leave(struct app *a)
{
    const struct searched *s = here(a);
    if (s) s->go(a, a->search_from);
}

static void step(struct app *a, int by)
{
    const struct searched *s = here(a);
    if (!s || s->count(a) == 0) {
        app_notice(a, STYLE_PLAIN, "there is nothing to search here");
        return;
    }
    bool filtered =
        app_top(a) == POPUP_NONE && (a->screen == SCREEN_MODELS || a->screen == SCREEN_RUNS);
    if (!filtered && !a->search[0]) {
        app_notice(a, STYLE_PLAIN, "/ asks for a word; n and N go to the next rows that hold it");
        return;
    }
    if (s->up) by = -by;
    int row = find(a, s, s->at(a) + by, by, filtered ? "" : a->search);
    if (row >= 0) s->go(a, row);
    else app_notice(a, STYLE_PLAIN, "nothing here holds \"%s\"", a->search);
}

void act_search_next(struct app *a) { step(a, 1); }
void act_search_before(struct app *a) { step(a, -1); }
