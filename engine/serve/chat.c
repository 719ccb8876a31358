/* chat.c - the process that answers for a model that is not training: the engine's messages over
 * its standard input and output. It ends when its input closes. */
#include "engine/serve/wire.h"
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

struct chat {
    struct wire wire;
    struct arena *a;
    bool stop, gone;
};

static void send_buf(struct chat *c, struct buf *b)
{
    if (!wire_send(&c->wire, buf_text(b))) c->gone = true;
    while (!c->gone && c->wire.n_put) { /* nobody else is waited for: until the screen takes it */
        poll(&(struct pollfd){c->wire.out, POLLOUT, 0}, 1, -1);
        if (!wire_flush(&c->wire)) c->gone = true;
    }
}

/* While an answer is written the only message that counts is the one that stops it. */
static bool piece(void *arg, struct text t)
{
    struct chat *c = arg;
    struct buf b = buf_make(c->a);
    struct text line;
    bool gone;
    put_token(&b, t);
    send_buf(c, &b);
    while (wire_line(&c->wire, &line, &gone)) c->stop = true;
    return !(c->stop || gone || c->gone);
}

static void take_ask(struct chat *c, struct answerer *x, struct text line)
{
    struct arena a = arena_make(0);
    struct err err;
    struct asked asked;
    struct answer_stats stats;
    const struct json *o;
    struct buf b = buf_make(&a);
    c->a = &a;
    c->stop = false;
    bool ok = json_parse(&o, line, "the chat request",
                         (struct json_limits){.bytes = WIRE_LINE_MOST, .depth = 16}, &a, &err);
    if (ok && !json_get(o, "ask")) { /* a stop that came too late */
        arena_drop(&a);
        return;
    }
    ok = ok && asked_read(&asked, json_get(o, "ask"), &a, &err);
    if (ok) {
        asked.options.token = piece;
        asked.options.arg = c;
        ok =
            asked_answer(&asked, x->model, &x->config, x->tokenizer, x->template, &stats, &a, &err);
    }
    if (ok) put_answered(&b, &stats);
    else put_refused(&b, text_of(err.text));
    send_buf(c, &b);
    arena_drop(&a);
}

int serve_chat(const char *spec, const struct answerer_options *o, const struct places *p)
{
    struct arena a = arena_make(0);
    struct err err;
    struct answerer x;
    struct chat c = {.wire = wire_make(0, 1, &a)};
    struct buf b = buf_make(&a);
    signal(SIGPIPE, SIG_IGN);
    bool ok = answerer_open(&x, spec, o, p, &a, &err);
    if (ok) put_ready(&b, spec, x.adapter != NULL, x.context, -1);
    else put_refused(&b, text_of(err.text));
    send_buf(&c, &b);
    for (bool gone = false; ok && !gone && !c.gone;) {
        struct text line;
        if (wire_line(&c.wire, &line, &gone)) take_ask(&c, &x, line);
        else if (!gone) poll(&(struct pollfd){c.wire.in, POLLIN, 0}, 1, -1);
    }
    answerer_close(&x);
    arena_drop(&a);
    return ok ? 0 : 3;
}
