/* chat_past.c - conversations as they are kept, one line of JSON a file, and reopened:
 *
 *   {"messages": [{"role": "user", "content": "..."}, ...], "model": SPEC, "name": NAME}
 *
 * which is a row of the data format `messages`: what was said can be trained on as it is. SPEC is
 * what the chat was opened with, a model's folder, a run's or a checkpoint's. */
#include "engine/format/json.h"
#include "tui/keys.h"
#include "tui/view.h"
#include <stdio.h>
#include <string.h>

static void put_message(struct buf *out, bool first, const char *role, struct text content)
{
    buf_printf(out, "%s{\"role\": ", first ? "" : ", ");
    json_put_text(out, text_of(role));
    buf_printf(out, ", \"content\": ");
    json_put_text(out, content);
    buf_printf(out, "}");
}

bool chat_transcript(const struct app *a, struct buf *out)
{
    const struct chat_show *c = &a->chat;
    bool any = false;
    buf_printf(out, "{\"messages\": [");
    if (c->system[0]) put_message(out, true, "system", text_of(c->system));
    for (int i = 0; i < c->n_lines; i++) {
        const struct chat_line *l = &c->lines[i];
        if (!l->done || (l->text.n == 0 && i + 1 == c->n_lines)) continue;
        put_message(out, !any && !c->system[0], l->role, buf_text(&l->text));
        any = true;
    }
    buf_printf(out, "], \"model\": ");
    json_put_text(out, text_of(c->spec));
    buf_printf(out, ", \"name\": ");
    json_put_text(out, text_of(c->name));
    buf_printf(out, "}\n");
    return any;
}

/* ---- reading ---- */

bool chat_past_read(struct chat_past *out, struct text source, const char *path, struct arena *a)
{
    const struct json *o;
    struct err err;
    struct text spec = {0}, name = {0}, first = {0}, role = {0};
    const char *end = source.n ? memchr(source.p, '\n', source.n) : NULL;
    if (end) source.n = (size_t)(end - source.p);
    if (!json_parse(&o, source, path, (struct json_limits){0}, a, &err)) return false;
    const struct json *list = json_get(o, "messages");
    if (!list || list->kind != JSON_ARRAY || !json_get_text(&spec, o, "model", path, &err) ||
        !json_get_text(&name, o, "name", path, &err))
        return false;
    *out = (struct chat_past){.path = path,
                              .spec = spec.n ? spec.p : "",
                              .name = name.n ? name.p : "",
                              .list = list,
                              .first = ""};
    for (int i = 0; i < list->n; i++) {
        if (!json_get_text(&role, &list->items[i], "role", path, &err) ||
            !json_get_text(&first, &list->items[i], "content", path, &err))
            return false;
        out->messages += !text_is(role, "system");
        if (text_is(role, "user") && !out->first[0]) out->first = first.n ? first.p : "";
    }
    return true;
}

void app_past(struct app *a, const struct chat_past *list, int n)
{
    struct past_show *p = &a->past;
    arena_drop(&p->arena);
    p->arena = arena_make(0);
    p->all = NEW_N(&p->arena, struct chat_past, n + 1);
    p->n = n;
    p->loaded = true;
    for (int i = 0; i < n; i++) {
        p->all[i] = list[i];
        const char **texts[] = {&p->all[i].path, &p->all[i].spec, &p->all[i].name,
                                &p->all[i].first};
        for (size_t k = 0; k < COUNT(texts); k++)
            *texts[k] = arena_string(&p->arena, *texts[k], strlen(*texts[k]));
        p->all[i].list = NULL;
    }
    a->dirty = true;
}

void app_transcript(struct app *a, const struct chat_past *past)
{
    struct chat_show *c = &a->chat;
    struct err err;
    if (strcmp(c->spec, past->spec) != 0 || !c->open) chat_start(a, past->spec, past->name, true);
    if (c->answering) wish(a, WISH_STOP_ANSWER, "", 0);
    c->answering = false;
    c->n_lines = 0;
    c->found = -1;
    c->system[0] = 0;
    for (int i = 0; past->list && i < past->list->n; i++) {
        struct text role = {0}, content = {0};
        if (!json_get_text(&role, &past->list->items[i], "role", past->path, &err) ||
            !json_get_text(&content, &past->list->items[i], "content", past->path, &err))
            continue;
        if (text_is(role, "system"))
            snprintf(c->system, sizeof c->system, "%.*s", (int)content.n,
                     content.n ? content.p : "");
        else chat_line_add(a, role.n ? role.p : "user", content);
    }
    snprintf(c->file, sizeof c->file, "%s", past->path);
    a->dirty = true;
}

/* ---- the list ---- */

void act_past(struct app *a)
{
    a->past.loaded = false;
    app_popup(a, POPUP_PAST);
    wish(a, WISH_PAST, "", 0);
}

void past_size(const struct app *a, int *w, int *h)
{
    *w = 96;
    *h = a->past.n > 0 ? a->past.n : 2;
}

void past_popup(const struct app *a, struct grid *g, struct rect r)
{
    const struct past_show *p = &a->past;
    struct list l = a->pick;
    if (p->n == 0) {
        view_empty(g, r,
                   p->loaded ? "No conversation was kept yet: each is, after its first answer."
                             : "Looking ...");
        return;
    }
    list_show(&l, p->n, r.h);
    for (int i = l.top; i < p->n && i - l.top < r.h; i++) {
        const struct chat_past *x = &p->all[i];
        char when[24];
        int y = i - l.top, name = r.w < 60 ? 12 : 22, first = r.w < 60 ? 2 : 20;
        if (r.w >= 60) grid_text(g, r, 2, y, STYLE_DIM, text_of(date_text(a, when, x->at)));
        grid_fit(g, r, first, y, name, STYLE_BRIGHT, text_of(x->name));
        grid_right(g, r, first + name + 4, y, STYLE_DIM,
                   text_of(number_text((char[32]){0}, x->messages, "%.0f")));
        grid_fit(g, r, first + name + 6, y, r.w - first - name - 6, STYLE_PLAIN, text_of(x->first));
        if (i != l.at) continue;
        grid_paint(g, rect_clip(r, (struct rect){0, y, r.w, 1}), STYLE_SELECTED);
        grid_sign(g, r, 0, y, STYLE_SELECTED, SIGN_CURSOR);
    }
}
