/* chat_set.c - lines that begin with '/': what can be set in a chat, one row each. The list above
 * the field, its completion and /help are made from the rows. */
#include "tui/keys.h"
#include "tui/view.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SET_FLOAT, SET_WHOLE, SET_SEED, SET_TEXT, SET_ADAPTER, SET_DO };
struct setting {
    const char *name;
    int kind;
    size_t at;
    double least, most;
    void (*act)(struct app *a);
    const char *help;
};

#define CHAT(m) offsetof(struct chat_show, m)
static void show_settings(struct app *a) { app_popup(a, POPUP_SETTINGS); }
static const struct setting settings[] = {
    {"temperature", SET_FLOAT, CHAT(sampling.temperature), 0, 100, NULL,
     "how freely a token is drawn; 0: always the likeliest"},
    {"top-p", SET_FLOAT, CHAT(sampling.top_p), 0.001, 1, NULL,
     "draws among the likeliest tokens of this share; 1: all"},
    {"top-k", SET_WHOLE, CHAT(sampling.top_k), 0, 1000000, NULL,
     "draws among so many likeliest tokens; 0: all"},
    {"penalty", SET_FLOAT, CHAT(sampling.repetition_penalty), 0.1, 10, NULL,
     "makes what was said less likely; 1: no"},
    {"max", SET_WHOLE, CHAT(max_new_tokens), 1, 1048576, NULL, "the most tokens of an answer"},
    {"seed", SET_SEED, 0, 0, 9e15, NULL, "the same seed and text give the same answer"},
    {"system", SET_TEXT, 0, 0, 0, NULL, "what the model is told first; nothing takes it away"},
    {"adapter", SET_ADAPTER, 0, 0, 0, NULL, "on or off; off: the base alone answers"},
    {"again", SET_DO, 0, 0, 0, act_again, "answers the last message once more"},
    {"clear", SET_DO, 0, 0, 0, act_forget, "begins a new conversation; this one is kept"},
    {"history", SET_DO, 0, 0, 0, act_past, "lists conversations and reopens one"},
    {"save", SET_DO, 0, 0, 0, act_keep_chat, "writes the conversation to a file of your choice"},
    {"help", SET_DO, 0, 0, 0, show_settings, "this list"}};

/* ---- the rows on the screen ---- */

static void value_text(const struct app *a, const struct setting *s, char out[64])
{
    const struct chat_show *c = &a->chat;
    const char *at = (const char *)c + s->at;
    out[0] = 0;
    if (s->kind == SET_FLOAT) snprintf(out, 64, "%.3g", (double)*(const float *)(const void *)at);
    if (s->kind == SET_WHOLE) snprintf(out, 64, "%d", *(const int *)(const void *)at);
    if (s->kind == SET_SEED) snprintf(out, 64, "%llu", (unsigned long long)c->seed);
    if (s->kind == SET_TEXT)
        snprintf(out, 64, "%.*s", (int)text_first(text_of(c->system), 20).n, c->system);
    if (s->kind == SET_ADAPTER)
        snprintf(out, 64, "%s", !c->has_adapter ? "-" : c->adapter_off ? "off" : "on");
}

static void setting_row(const struct app *a, struct grid *g, struct rect r, int y,
                        const struct setting *s)
{
    char value[64];
    value_text(a, s, value);
    grid_printf(g, r, 1, y, STYLE_BRIGHT, "/%s", s->name);
    if (r.w >= 60) grid_fit(g, r, 15, y, 8, STYLE_ACCENT, text_of(value));
    int x = r.w >= 60 ? 24 : 15;
    grid_fit(g, r, x, y, r.w - x - 1, STYLE_DIM, text_of(s->help));
}

static bool begins(const struct setting *s, const char *typed)
{
    size_t n = strcspn(typed, " ");
    return strncmp(s->name, typed, n) == 0 && (!typed[n] || !s->name[n]);
}

void chat_offers(const struct app *a, struct grid *g, struct rect r)
{
    const struct edit *e = &a->chat.edit;
    int rows = 0, y = 0;
    if (!a->chat.typing || a->prompt.open || e->text.n == 0 || e->text.p[0] != '/') return;
    for (size_t i = 0; i < COUNT(settings); i++) rows += begins(&settings[i], e->text.p + 1);
    if (rows > r.h) rows = r.h;
    struct rect box = rect_clip(r, (struct rect){0, r.h - rows, r.w, rows});
    grid_clear(g, box);
    for (size_t i = 0; i < COUNT(settings) && y < rows; i++)
        if (begins(&settings[i], e->text.p + 1)) setting_row(a, g, box, y++, &settings[i]);
}

void settings_size(const struct app *a, int *w, int *h)
{
    (void)a;
    *w = 80;
    *h = (int)COUNT(settings);
}

void settings_popup(const struct app *a, struct grid *g, struct rect r)
{
    int top = a->pick.at, most = (int)COUNT(settings) - r.h;
    if (top > most) top = most;
    if (top < 0) top = 0;
    for (int y = 0; y < r.h && top + y < (int)COUNT(settings); y++)
        setting_row(a, g, r, y, &settings[top + y]);
}

void settings_move(struct app *a, int by)
{
    list_move(&a->pick, by == MOVE_PAGE ? 4 : by == -MOVE_PAGE ? -4 : by, (int)COUNT(settings));
}

/* Tab: the name as far as it is clear. A field without '/' has nothing to complete. */
void act_complete_setting(struct app *a)
{
    struct edit *e = &a->chat.edit;
    const char *first = NULL;
    size_t same = 0;
    if (e->text.n == 0) act_next_screen(a);
    if (e->text.n == 0 || e->text.p[0] != '/' || strchr(e->text.p, ' ')) return;
    for (size_t i = 0; i < COUNT(settings); i++) {
        if (!begins(&settings[i], e->text.p + 1)) continue;
        size_t k = 0;
        if (!first) same = strlen(first = settings[i].name);
        while (k < same && first[k] == settings[i].name[k]) k++;
        same = k;
    }
    if (!first) return;
    char whole[64];
    snprintf(whole, sizeof whole, "/%.*s%s", (int)same, first, first[same] ? "" : " ");
    edit_set(e, text_of(whole));
}

/* ---- doing ---- */

static void set_number(struct app *a, const struct setting *s, const char *word)
{
    char *end, *at = (char *)&a->chat + s->at;
    double v = strtod(word, &end);
    if (!word[0] || *end || !(v >= s->least && v <= s->most)) {
        app_notice(a, STYLE_BAD, "/%s wants a number from %g to %g: %s", s->name, s->least, s->most,
                   s->help);
        return;
    }
    if (s->kind == SET_FLOAT) *(float *)(void *)at = (float)v;
    if (s->kind == SET_WHOLE) *(int *)(void *)at = (int)v;
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

void act_adapter(struct app *a) { set_adapter(a, !a->chat.adapter_off); }

static void set(struct app *a, const struct setting *s, const char *word)
{
    switch (s->kind) {
    case SET_TEXT:
        snprintf(a->chat.system, sizeof a->chat.system, "%s", word);
        app_notice(a, STYLE_PLAIN, "%s",
                   word[0] ? "the model will be told so" : "no system message");
        break;
    case SET_ADAPTER:
        if (!word[0]) act_adapter(a);
        else set_adapter(a, strcmp(word, "on") != 0);
        break;
    case SET_DO:
        if (s->act == act_keep_chat && word[0]) wish(a, WISH_KEEP_CHAT, word, 0);
        else s->act(a);
        break;
    default: set_number(a, s, word);
    }
}

void chat_command(struct app *a, const char *line)
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
    app_notice(a, STYLE_BAD, "there is no /%s; /help lists what there is", name);
}
