/* world_chat.c - wishes about conversations. */
#include "tui/world_does.h"
#include "engine/format/json.h"
#include <stdio.h>
#include <string.h>

void close_client(struct world *w)
{
    if (w->client) client_close(w->client);
    w->client = NULL;
    arena_drop(&w->client_arena);
    w->client_arena = arena_make(0);
}

void do_chat_open(struct world *w, const struct wish *x)
{
    struct err err;
    close_client(w);
    struct answerer_options o = {.backend = "cpu", .dtype = "auto", .template = "auto"};
    bool ok = x->number
                  ? client_open(&w->client, x->text, &w->client_arena, &err)
                  : client_chat_process(&w->client, x->text, &o, w->places, &w->client_arena, &err);
    if (!ok) {
        w->client = NULL;
        struct reply gone = {.kind = REPLY_GONE, .text = text_of(err.text), .step = -1};
        app_reply(w->app, &gone);
    } else if (x->number) {
        struct reply greeting = client_greeting(w->client);
        app_reply(w->app, &greeting);
    }
}

void do_ask(struct world *w, const struct wish *x)
{
    struct chat_show *c = &w->app->chat;
    struct err err;
    (void)x;
    struct chat_message *messages = NEW_N(&w->arena, struct chat_message, c->n_lines + 1);
    int n = 0;
    if (c->system[0]) messages[n++] = (struct chat_message){"system", text_of(c->system)};
    for (int i = 0; i < c->n_lines - 1; i++)
        messages[n++] = (struct chat_message){c->lines[i].role, buf_text(&c->lines[i].text)};
    struct chat_request r = {.messages = messages,
                             .n = n,
                             .sampling = c->sampling,
                             .max_new_tokens = c->max_new_tokens,
                             .seed = c->seed,
                             .adapter_off = c->adapter_off};
    if (w->client && client_ask(w->client, &r, &err)) return;
    struct reply refused = {.kind = REPLY_REFUSED,
                            .text = w->client ? text_of(err.text) : TEXT("nobody listens"),
                            .step = -1};
    app_reply(w->app, &refused);
}

void do_stop_answer(struct world *w, const struct wish *x)
{
    struct err err;
    (void)x;
    if (w->client && !client_stop_answer(w->client, &err)) SAY(w, err);
}

void do_keep_chat(struct world *w, const struct wish *x)
{
    struct chat_show *c = &w->app->chat;
    struct err err;
    struct buf b = buf_make(&w->arena);
    const char *path = path_join(&w->arena, NULL, x->text);
    for (int i = 0; i < c->n_lines; i++) {
        buf_printf(&b, "{\"role\":\"%s\",\"content\":", c->lines[i].role);
        json_put_text(&b, buf_text(&c->lines[i].text));
        buf_printf(&b, "}\n");
    }
    if (path_exists(path))
        app_notice(w->app, STYLE_BAD, "%s is there already: choose another name", path);
    else if (!file_replace(path, buf_text(&b), &err)) SAY(w, err);
    else app_notice(w->app, STYLE_GOOD, "written to %s", path);
}

/* OSC 52: the terminal at the user's end takes it, also over SSH. */
void do_copy(struct world *w, const struct wish *x)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    struct chat_show *c = &w->app->chat;
    if (!w->term || x->number >= c->n_lines) return;
    struct text t = buf_text(&c->lines[x->number].text);
    struct buf b = buf_make(&w->arena);
    if (t.n > 100000) t.n = 100000;
    buf_printf(&b, "\33]52;c;");
    for (size_t i = 0; i < t.n; i += 3) {
        unsigned char p[3] = {(unsigned char)t.p[i], i + 1 < t.n ? (unsigned char)t.p[i + 1] : 0,
                              i + 2 < t.n ? (unsigned char)t.p[i + 2] : 0};
        char four[4] = {digits[p[0] >> 2], digits[(p[0] & 3) << 4 | p[1] >> 4],
                        i + 1 < t.n ? digits[(p[1] & 15) << 2 | p[2] >> 6] : '=',
                        i + 2 < t.n ? digits[p[2] & 63] : '='};
        buf_put(&b, four, 4);
    }
    buf_printf(&b, "\a");
    term_send(w->term, b.p, b.n);
}
