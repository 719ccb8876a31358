/* view_chat.c - a conversation with a model, a checkpoint, or the weights in training, as its
 * tokens come. */
#include "tui/keys.h"
#include "tui/view.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
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
    snprintf(text, sizeof text, "%s%s %s adapter %s %s T %.2g", c->name, step, dot,
             !c->has_adapter  ? "-"
             : c->adapter_off ? "off"
                              : "on",
             dot, (double)c->sampling.temperature);
    grid_fit(g, r, 1, 0, r.w - 12, STYLE_BRIGHT, text_of(text));
    grid_right(g, r, r.w - 1, 0, c->open ? STYLE_GOOD : STYLE_DIM,
               c->opening     ? TEXT("opening ...")
               : c->answering ? TEXT("answering")
               : c->open      ? TEXT("ready")
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
    if (g)
        grid_text(g, r, 1, y, you ? STYLE_ACCENT : STYLE_DIM,
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
                   "Nobody to talk to yet. Esc leaves the text field; then 1 and c starts "
                   "a base model, 3 and c a run or its checkpoint.");
        return;
    }
    if (c->n_lines == 0) {
        view_empty(g, r,
                   c->opening ? "The model is being read ..."
                              : "Type a message and press Enter. /help lists what can be set.");
        return;
    }
    int rows = 0, first = c->n_lines;
    while (first > 0 && rows < r.h + c->scroll) rows += message(a, NULL, r, 0, &c->lines[--first]);
    int y = rows < r.h ? 0 : r.h - rows + c->scroll;
    for (int i = first; i < c->n_lines && y < r.h; i++) y += message(a, g, r, y, &c->lines[i]);
}

void chat_draw(const struct app *a, struct grid *g, const struct pane *p)
{
    struct rect r = p->r;
    if (p->id == PANE_HEAD) head(a, g, r);
    if (p->id == PANE_LINES) lines(a, g, r);
    if (p->id == PANE_RULE)
        for (int x = 1; x < r.w - 1; x++) grid_sign(g, r, x, 0, STYLE_DIM, SIGN_LINE_ACROSS);
    if (p->id != PANE_INPUT) return;
    grid_text(g, r, 1, 0, a->chat.typing ? STYLE_ACCENT : STYLE_DIM, TEXT(">"));
    if (!a->chat.typing && a->chat.edit.text.n == 0)
        grid_fit(g, r, 3, 0, r.w - 4, STYLE_DIM, TEXT("i goes back to typing"));
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
    if (strcmp(c->spec, spec) != 0) c->n_lines = 0;
    snprintf(c->spec, sizeof c->spec, "%s", spec);
    snprintf(c->name, sizeof c->name, "%s", name);
    c->problem[0] = 0;
    c->opening = true;
    c->open = c->answering = c->has_adapter = c->adapter_off = false;
    c->training = training;
    c->typing = true;
    c->step = -1;
    c->half_n = 0;
    wish(a, WISH_CHAT_OPEN, spec, training);
    app_go(a, SCREEN_CHAT);
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

void app_reply(struct app *a, const struct reply *r)
{
    struct chat_show *c = &a->chat;
    a->dirty = true;
    if (r->step >= 0) c->step = r->step;
    if (r->kind == REPLY_READY) {
        c->open = true;
        c->opening = false;
        c->has_adapter = r->adapter;
        if (r->context > 0) c->context = r->context;
    }
    if (r->kind == REPLY_TOKEN && c->n_lines && !c->lines[c->n_lines - 1].done)
        piece(c, &c->lines[c->n_lines - 1], r->text);
    if (r->kind == REPLY_ANSWERED) answered(c, r->stats.ended, &r->stats);
    if (r->kind == REPLY_REFUSED) {
        answered(c, "refused", NULL);
        app_notice(a, STYLE_BAD, "%.*s", (int)r->text.n, r->text.p);
    }
    if (r->kind == REPLY_GONE) {
        answered(c, "gone", NULL);
        c->open = c->opening = false;
        snprintf(c->problem, sizeof c->problem, "%.*s%s", (int)r->text.n, r->text.p,
                 c->n_lines ? " (Esc, then F begins anew)" : "");
        if (c->n_lines) {
            app_notice(a, STYLE_BAD, "%s", c->problem);
            c->problem[0] = 0;
        }
    }
}

/* ---- what can be set by a line that begins with '/' ---- */

enum { SET_FLOAT, SET_WHOLE, SET_SEED, SET_TEXT, SET_ADAPTER, SET_CLEAR, SET_KEEP, SET_HELP };
static const struct setting {
    const char *name;
    int kind;
    size_t at;
    double least, most;
    const char *help;
} settings[] = {
    {"temperature", SET_FLOAT, offsetof(struct chat_show, sampling.temperature), 0, 100,
     "0: always the likeliest token"},
    {"top-p", SET_FLOAT, offsetof(struct chat_show, sampling.top_p), 0.001, 1,
     "draws among the likeliest tokens that make up this share"},
    {"top-k", SET_WHOLE, offsetof(struct chat_show, sampling.top_k), 0, 1000000,
     "draws among so many tokens; 0: all"},
    {"penalty", SET_FLOAT, offsetof(struct chat_show, sampling.repetition_penalty), 0.1, 10,
     "makes tokens that came already less likely; 1: no"},
    {"max", SET_WHOLE, offsetof(struct chat_show, max_new_tokens), 1, 1048576,
     "the most tokens of an answer"},
    {"seed", SET_SEED, 0, 0, 9e15, "the same seed and text give the same answer"},
    {"system", SET_TEXT, 0, 0, 0, "what the model is told first; nothing takes it away"},
    {"adapter", SET_ADAPTER, 0, 0, 0, "on, off: the base alone answers"},
    {"clear", SET_CLEAR, 0, 0, 0, "begins the conversation anew"},
    {"save", SET_KEEP, 0, 0, 0, "writes the conversation to a file"},
    {"help", SET_HELP, 0, 0, 0, "this list"}};

static void setting_help(struct app *a)
{
    char text[1600];
    size_t n = 0;
    for (size_t i = 0; i < COUNT(settings) && n < sizeof text - 1; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "/%s: %s\n", settings[i].name,
                              settings[i].help);
    app_notice(a, STYLE_PLAIN, "%s", text);
}

static void set_number(struct app *a, const struct setting *s, const char *word)
{
    char *end, *at = (char *)&a->chat + s->at;
    double v = strtod(word, &end);
    if (!word[0] || *end || !(v >= s->least && v <= s->most)) {
        app_notice(a, STYLE_BAD, "/%s wants a number from %g to %g: %s", s->name, s->least, s->most,
                   s->help);
        return;
    }
    if (s->kind == SET_FLOAT) *(float *)at = (float)v;
    if (s->kind == SET_WHOLE) *(int *)at = (int)v;
    if (s->kind == SET_SEED) a->chat.seed = (uint64_t)v;
    app_notice(a, STYLE_PLAIN, "%s is %g", s->name, v);
}

static void set_adapter(struct app *a, bool off)
{
    struct chat_show *c = &a->chat;
    c->adapter_off = off && !(c->open && !c->has_adapter);
    if (off != c->adapter_off) app_notice(a, STYLE_PLAIN, "this model has no adapter to turn off");
    else
        app_notice(a, STYLE_PLAIN,
                   off ? "the base alone answers from now on" : "the adapter answers from now on");
}

static void set(struct app *a, const struct setting *s, const char *word)
{
    switch (s->kind) {
    case SET_TEXT:
        snprintf(a->chat.system, sizeof a->chat.system, "%s", word);
        app_notice(a, STYLE_PLAIN, "%s",
                   word[0] ? "the model will be told so" : "no system message");
        break;
    case SET_ADAPTER: set_adapter(a, strcmp(word, "on") != 0); break;
    case SET_CLEAR: act_forget(a); break;
    case SET_KEEP:
        if (word[0]) wish(a, WISH_KEEP_CHAT, word, 0);
        else act_keep_chat(a);
        break;
    case SET_HELP: setting_help(a); break;
    default: set_number(a, s, word);
    }
}

static void command(struct app *a, const char *line)
{
    char name[32];
    size_t n = strcspn(line, " ");
    const char *word = line + n + strspn(line + n, " ");
    snprintf(name, sizeof name, "%.*s", (int)(n < 31 ? n : 31), line);
    for (size_t i = 0; i < COUNT(settings); i++)
        if (strcmp(settings[i].name, name) == 0) {
            set(a, &settings[i], word);
            return;
        }
    app_notice(a, STYLE_BAD, "there is no /%s; /help lists what can be set", name);
}

/* ---- actions ---- */

static void ask(struct app *a)
{
    line_add(a, "assistant", TEXT(""))->done = false;
    a->chat.answering = true;
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
        command(a, line);
        return;
    }
    if (c->answering) {
        app_notice(a, STYLE_PLAIN, "the answer is still coming; Esc stops it");
        return;
    }
    if (!c->open) {
        app_notice(a, STYLE_PLAIN,
                   c->opening ? "the model is still being read"
                              : "nobody listens: choose a model (1, then c) or a run (3, then c)");
        return;
    }
    line_add(a, "user", buf_text(&c->edit.text));
    edit_remember(&c->edit);
    ask(a);
}

void act_chat_escape(struct app *a)
{
    if (a->chat.answering) wish(a, WISH_STOP_ANSWER, "", 0);
    else a->chat.typing = false;
}

void act_again(struct app *a)
{
    struct chat_show *c = &a->chat;
    if (c->answering || !c->open) return;
    while (c->n_lines && strcmp(c->lines[c->n_lines - 1].role, "user") != 0) c->n_lines--;
    if (c->n_lines == 0) {
        app_notice(a, STYLE_PLAIN, "nothing was asked yet");
        return;
    }
    c->seed++;
    ask(a);
}

void act_adapter(struct app *a) { set_adapter(a, !a->chat.adapter_off); }
void act_type(struct app *a) { a->chat.typing = true; }
void act_keep_chat(struct app *a)
{
    app_ask(a, PROMPT_KEEP_CHAT, "write the conversation to:", TEXT("chat.jsonl"));
}

void act_forget(struct app *a)
{
    if (a->chat.answering) wish(a, WISH_STOP_ANSWER, "", 0);
    a->chat.n_lines = 0;
    a->chat.answering = false;
    app_notice(a, STYLE_PLAIN, "the conversation begins anew");
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

void chat_move(struct app *a, int by)
{
    if (by == MOVE_PAGE || by == -MOVE_PAGE) by = by > 0 ? a->h / 2 : -a->h / 2;
    struct list l = {a->chat.scroll, 0};
    list_move(&l, -by, 100000);
    a->chat.scroll = l.at;
}
