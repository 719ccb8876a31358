/* view_chat.c - a conversation with a model, a checkpoint, or the weights in training, as its
 * tokens come. */
#include "tui/keys.h"
#include "tui/view.h"
#include <stdio.h>
#include <string.h>

enum { PANE_HEAD, PANE_LINES, PANE_RULE, PANE_INPUT };
#define LABEL 8

int chat_layout(const struct app *a, struct rect r, struct pane out[PANES_MOST])
{
    int n = pane_rows(out, 0, PANE_HEAD, &r, 1), most = r.h / 3 < 1 ? 1 : r.h / 3;
    int rows = edit_rows(&a->chat.edit, r.w - 6);
    if (rows > most) rows = most;
    if (r.h < 3) rows = r.h > 1 ? 1 : 0;
    n = pane_rows(out, n, PANE_LINES, &r, r.h - rows - (r.h > 3));
    n = pane_rows(out, n, PANE_RULE, &r, r.h - rows);
    return pane_rows(out, n, PANE_INPUT, &r, r.h);
}

/* ---- drawing ---- */

static void head(const struct app *a, struct grid *g, struct rect r)
{
    const struct chat_show *c = &a->chat;
    const char *dot = a->glyphs == GLYPHS_ASCII ? "-" : "\xC2\xB7";
    char step[48] = "", text[500];
    if (!c->spec[0]) {
        grid_text(g, r, 1, 0, STYLE_BRIGHT, TEXT("Chat"));
        return;
    }
    if (c->training && c->step >= 0) snprintf(step, sizeof step, " step %lld", (long long)c->step);
    snprintf(text, sizeof text, "%s%s %s adapter %s %s temperature %.2g", c->name, step, dot,
             !c->has_adapter  ? "-"
             : c->adapter_off ? "off"
                              : "on",
             dot, (double)c->sampling.temperature);
    grid_fit(g, r, 1, 0, r.w - 12, STYLE_BRIGHT, text_of(text));
    grid_right(g, r, r.w - 1, 0, c->open ? STYLE_GOOD : STYLE_DIM,
               c->opening                    ? TEXT("opening ...")
               : c->stopping && c->answering ? TEXT("stopping")
               : c->answering                ? TEXT("answering")
               : c->open                     ? TEXT("ready")
                                             : TEXT("closed"));
}

static void stats_text(const struct app *a, const struct chat_line *l, char out[160])
{
    const char *dot = a->glyphs == GLYPHS_ASCII ? "-" : "\xC2\xB7";
    const struct answer_stats *s = &l->stats;
    char ended[32] = "";
    if (strcmp(l->ended, "end") != 0 && l->ended[0])
        snprintf(ended, sizeof ended, " %s %s", dot, l->ended);
    snprintf(out, 160, "%d tok %s %.0f tok/s %s %d/%d%s", s->tokens, dot,
             s->seconds > 0 ? s->tokens / s->seconds : 0.0, dot, s->context_used, s->context,
             ended);
}

/* Draws a message from row y on (or nothing where g is NULL) and returns its rows. */
static int message(const struct app *a, struct grid *g, struct rect r, int y,
                   const struct chat_line *l)
{
    bool you = strcmp(l->role, "user") == 0;
    struct rect body = {r.x + LABEL, r.y, r.w - LABEL - 1, r.h};
    int x = 0, from = y;
    bool found = a->chat.found >= 0 && l == &a->chat.lines[a->chat.found];
    if (g)
        grid_text(g, r, 1, y,
                  found ? STYLE_SELECTED
                  : you ? STYLE_ACCENT
                        : STYLE_DIM,
                  you                              ? TEXT("you")
                  : strcmp(l->role, "system") == 0 ? TEXT("system")
                                                   : TEXT("model"));
    y = grid_flow(g, body, &x, y, STYLE_PLAIN, buf_text(&l->text));
    if (!you && !l->done && g) grid_caret(g, body, x < body.w ? x : body.w - 1, y, 0);
    if (!you && l->done && l->stats.tokens > 0) {
        char text[160];
        stats_text(a, l, text);
        int n = text_columns(text_of(text));
        if (x + n + 2 > body.w) y++;
        if (g) grid_right(g, body, body.w, y, STYLE_DIM, text_of(text));
    }
    return y - from + 1;
}

static void lines(const struct app *a, struct grid *g, struct rect r)
{
    const struct chat_show *c = &a->chat;
    if (c->problem[0]) {
        grid_wrap(g, rect_clip(r, (struct rect){1, 0, r.w - 2, r.h}), 0, STYLE_BAD,
                  text_of(c->problem));
        return;
    }
    if (!c->spec[0]) {
        view_empty(g, r,
                   "Nobody to talk to yet. 1 and then c starts a base model, 3 and then c a run or "
                   "its newest checkpoint. h lists earlier conversations.");
        return;
    }
    if (c->n_lines == 0) {
        view_empty(g, r,
                   c->opening ? "The model is being read ..."
                              : "Type a message and press Enter. / lists what can be set; /history "
                                "reopens an earlier conversation.");
        return;
    }
    int rows = 0, first = c->n_lines;
    while (first > 0 && rows < r.h + c->scroll) rows += message(a, NULL, r, 0, &c->lines[--first]);
    int y = rows < r.h ? 0 : r.h - rows + c->scroll;
    if (first == 0 && y > 0) y = 0;
    for (int i = first; i < c->n_lines && y < r.h; i++) y += message(a, g, r, y, &c->lines[i]);
}

void chat_draw(const struct app *a, struct grid *g, const struct pane *p)
{
    struct rect r = p->r;
    if (p->id == PANE_HEAD) head(a, g, r);
    if (p->id == PANE_LINES) lines(a, g, r);
    if (p->id == PANE_LINES) chat_offers(a, g, r);
    if (p->id == PANE_RULE)
        for (int x = 1; x < r.w - 1; x++) grid_sign(g, r, x, 0, STYLE_DIM, SIGN_LINE_ACROSS);
    if (p->id != PANE_INPUT) return;
    grid_text(g, r, 1, 0, a->chat.typing ? STYLE_ACCENT : STYLE_DIM, TEXT(">"));
    if (!a->chat.typing && a->chat.edit.text.n == 0)
        grid_fit(g, r, 3, 0, r.w - 4, STYLE_DIM,
                 a->chat.spec[0] ? TEXT("i goes back to typing") : TEXT(""));
    else
        edit_draw(&a->chat.edit, g, rect_clip(r, (struct rect){3, 0, r.w - 6, r.h}),
                  a->chat.typing && app_types(a));
}

/* ---- news ---- */

static struct chat_line *line_add(struct app *a, const char *role, struct text t)
{
    struct chat_show *c = &a->chat;
    ROOM(&c->arena, c->lines, c->n_lines, c->cap_lines);
    struct chat_line *l = &c->lines[c->n_lines++];
    *l = (struct chat_line){.role = role, .text = buf_make(&c->arena), .done = true, .step = -1};
    buf_put(&l->text, t.p, t.n);
    c->scroll = 0;
    c->found = -1;
    return l;
}

void chat_line_add(struct app *a, const char *role, struct text t)
{
    line_add(a,
             strcmp(role, "user") == 0     ? "user"
             : strcmp(role, "system") == 0 ? "system"
                                           : "assistant",
             t);
}

void chat_start(struct app *a, const char *spec, const char *name, bool training)
{
    struct chat_show *c = &a->chat;
    if (strcmp(c->spec, spec) != 0) {
        c->n_lines = 0;
        c->found = -1;
        c->file[0] = 0;
        c->fresh = true;
    }
    if (spec != c->spec) snprintf(c->spec, sizeof c->spec, "%s", spec);
    if (name != c->name) snprintf(c->name, sizeof c->name, "%s", name);
    c->problem[0] = 0;
    c->opening = true;
    c->open = c->answering = c->has_adapter = c->adapter_off = c->send_when_ready = false;
    c->training = training;
    c->typing = true;
    c->step = -1;
    c->half_n = 0;
    wish(a, WISH_CHAT_OPEN, c->spec, training);
    app_go(a, SCREEN_CHAT);
}

void app_chat_defaults(struct app *a, const struct sampling *s, int max_new_tokens,
                       const char *system)
{
    struct chat_show *c = &a->chat;
    c->fresh = false;
    c->sampling = *s;
    c->max_new_tokens = max_new_tokens;
    snprintf(c->system, sizeof c->system, "%s", system);
}

/* A piece of an answer; the bytes of a character that is not whole yet wait for the next one. */
static void piece(struct chat_show *c, struct chat_line *l, struct text t)
{
    char joined[8];
    while (c->half_n && t.n) {
        memcpy(joined, c->half, c->half_n);
        joined[c->half_n] = *t.p;
        t.p++;
        t.n--;
        c->half_n++;
        if (utf8_unfinished((struct text){joined, c->half_n}) && c->half_n < 4) {
            memcpy(c->half, joined, c->half_n);
            continue;
        }
        buf_put(&l->text, joined, c->half_n);
        c->half_n = 0;
    }
    size_t wait = utf8_unfinished(t);
    buf_put(&l->text, t.p, t.n - wait);
    memcpy(c->half, t.p + t.n - wait, wait);
    c->half_n += wait;
}

static void answered(struct chat_show *c, const char *ended, const struct answer_stats *s)
{
    struct chat_line *l = c->n_lines ? &c->lines[c->n_lines - 1] : NULL;
    c->answering = false;
    if (!l || l->done) return;
    l->done = true;
    if (s) l->stats = *s;
    snprintf(l->ended, sizeof l->ended, "%s", ended ? ended : "");
    l->stats.ended = NULL;
    if (c->half_n) buf_put(&l->text, c->half, c->half_n);
    c->half_n = 0;
}

/* The conversation is kept after every answer, whole or not. */
static void keep(struct app *a)
{
    if (a->chat.n_lines > 0) wish(a, WISH_SAVE_CHAT, "", 0);
}

void app_reply(struct app *a, const struct reply *r)
{
    struct chat_show *c = &a->chat;
    a->dirty = true;
    if (r->step >= 0) c->step = r->step;
    if (r->kind == REPLY_READY) {
        c->open = true;
        c->opening = false;
        c->has_adapter = r->adapter;
        c->training = r->step >= 0;
        if (r->context > 0) c->context = r->context;
        if (c->send_when_ready) act_send(a);
        c->send_when_ready = false;
    }
    if (r->kind == REPLY_TOKEN && c->n_lines && !c->lines[c->n_lines - 1].done)
        piece(c, &c->lines[c->n_lines - 1], r->text);
    if (r->kind == REPLY_ANSWERED) {
        answered(c, r->stats.ended, &r->stats);
        keep(a);
    }
    if (r->kind == REPLY_REFUSED) {
        answered(c, "refused", NULL);
        app_notice(a, STYLE_BAD, "%.*s", (int)r->text.n, r->text.p);
    }
    if (r->kind == REPLY_GONE) {
        answered(c, "gone", NULL);
        c->open = c->opening = c->send_when_ready = false;
        if (c->n_lines)
            app_notice(a, STYLE_BAD, "%.*s%s The next message opens it again.", (int)r->text.n,
                       r->text.p, r->text.n && r->text.p[r->text.n - 1] == '.' ? "" : ".");
        else snprintf(c->problem, sizeof c->problem, "%.*s", (int)r->text.n, r->text.p);
        keep(a);
    }
}

/* ---- actions ---- */

static void ask(struct app *a)
{
    line_add(a, "assistant", TEXT(""))->done = false;
    a->chat.answering = true;
    a->chat.stopping = false;
    a->chat.half_n = 0;
    wish(a, WISH_ASK, "", 0);
}

void act_send(struct app *a)
{
    struct chat_show *c = &a->chat;
    if (c->edit.text.n == 0) return;
    if (c->edit.text.p[0] == '/') {
        const char *line = arena_string(&c->arena, c->edit.text.p + 1, c->edit.text.n - 1);
        edit_remember(&c->edit);
        chat_command(a, line);
        return;
    }
    if (c->answering) {
        app_notice(a, STYLE_PLAIN, "the answer is still coming; Esc stops it");
        return;
    }
    if (!c->open && !c->spec[0]) {
        app_notice(a, STYLE_PLAIN,
                   "nobody listens: choose a model (1, then c) or a run (3, then c)");
        return;
    }
    if (!c->open) {
        if (!c->opening) chat_start(a, c->spec, c->name, true);
        c->send_when_ready = true;
        app_notice(a, STYLE_PLAIN, "the model is being read; then it answers");
        return;
    }
    line_add(a, "user", buf_text(&c->edit.text));
    edit_remember(&c->edit);
    ask(a);
}

void act_chat_escape(struct app *a)
{
    struct chat_show *c = &a->chat;
    if (!c->answering || c->stopping) {
        c->typing = false;
        return;
    }
    c->stopping = true;
    wish(a, WISH_STOP_ANSWER, "", 0);
}

void act_again(struct app *a)
{
    struct chat_show *c = &a->chat;
    int n = c->n_lines;
    while (n && strcmp(c->lines[n - 1].role, "user") != 0) n--;
    if (c->answering || !c->open || n == 0) {
        app_notice(a, STYLE_PLAIN, "%s",
                   c->answering ? "the answer is still coming; Esc stops it"
                   : n == 0     ? "nothing was asked yet"
                                : "nobody listens now");
        return;
    }
    c->n_lines = n;
    c->seed++;
    ask(a);
}

void act_type(struct app *a) { a->chat.typing = true; }
void act_edit_message(struct app *a) { wish(a, WISH_EDIT_CHAT, "", 0); }
void act_keep_chat(struct app *a)
{
    app_ask(a, PROMPT_KEEP_CHAT, "write the conversation to:", TEXT("chat.jsonl"));
}

void act_forget(struct app *a)
{
    struct chat_show *c = &a->chat;
    if (c->answering) wish(a, WISH_STOP_ANSWER, "", 0); /* its end is still waited for */
    c->n_lines = 0;
    c->found = -1;
    c->file[0] = 0;
    c->half_n = 0;
    c->typing = c->spec[0] != 0;
    app_notice(a, STYLE_PLAIN, "a new conversation; /history has the old one");
}

void act_copy_answer(struct app *a)
{
    struct chat_show *c = &a->chat;
    for (int i = c->n_lines; i-- > 0;)
        if (strcmp(c->lines[i].role, "assistant") == 0) {
            wish(a, WISH_COPY, "", i);
            app_notice(a, STYLE_PLAIN,
                       "sent to the terminal's clipboard, if it takes it; W writes to a file");
            return;
        }
    app_notice(a, STYLE_PLAIN, "there is no answer to copy");
}

/* How far up the conversation can be scrolled. */
static int scroll_most(const struct app *a)
{
    struct pane panes[PANES_MOST];
    int n = chat_layout(a, view_body(a), panes), rows = 0;
    for (int i = 0; i < n; i++) {
        if (panes[i].id != PANE_LINES) continue;
        for (int l = 0; l < a->chat.n_lines; l++)
            rows += message(a, NULL, panes[i].r, 0, &a->chat.lines[l]);
        rows -= panes[i].r.h;
    }
    return rows > 0 ? rows : 0;
}

void chat_move(struct app *a, int by)
{
    if (by == MOVE_PAGE || by == -MOVE_PAGE) by = by > 0 ? a->h / 2 : -a->h / 2;
    struct list l = {a->chat.scroll, 0};
    list_move(&l, -by, scroll_most(a) + 1);
    a->chat.scroll = l.at;
}

/* So that a message begins at the top, where there is room below it. */
void chat_scroll_to(struct app *a, int line)
{
    struct pane panes[PANES_MOST];
    int n = chat_layout(a, view_body(a), panes), rows = 0, most = scroll_most(a);
    for (int i = 0; i < n; i++) {
        if (panes[i].id != PANE_LINES) continue;
        for (int l = line; l < a->chat.n_lines; l++)
            rows += message(a, NULL, panes[i].r, 0, &a->chat.lines[l]);
        rows -= panes[i].r.h;
    }
    a->chat.scroll = rows < 0 ? 0 : rows > most ? most : rows;
}

void chat_click(struct app *a, const struct pane *p, int row)
{
    (void)row;
    if (p->id == PANE_INPUT && a->chat.spec[0]) a->chat.typing = true;
}
