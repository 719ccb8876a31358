/* message: bytes of a client as they come to an engine's socket, the first byte says in what
 * pieces. The engine's own code reads them; the worker behind it is written here. Each whole line
 * is answered by whole lines that a client understands, the same in whatever pieces it came;
 * nothing is done for a client that did not say hello. */
#include "engine/serve/engine.c"
#include "tests/fuzz/fuzz.h"
#include <math.h>
#include <sys/socket.h>

/* A wire has 1 MiB for each direction, there are two of them at each end; JSON as ever. */
const struct fuzz_limits fuzz_limits = {12 << 20, 256, 0};

/* ---- the worker that the loop talks to ---- */

struct worker {
    int orders, asks, stops;
    struct arena *a;
};

bool worker_order(struct worker *w, const struct order *o)
{
    HOLDS(o->kind < ORDERS && memchr(o->by, 0, sizeof o->by));
    if (o->kind == ORDER_LEARNING_RATE) HOLDS(o->value > 0 && o->value <= 1);
    return w->orders++ < 64;
}

/* What was asked is what would be asked again. */
static void check_asked(const struct asked *x, struct arena *a)
{
    struct chat_message *messages = NEW_N(a, struct chat_message, x->n);
    for (int i = 0; i < x->n; i++)
        messages[i] = (struct chat_message){
            arena_string(a, x->messages[i].role.p, x->messages[i].role.n), x->messages[i].content};
    struct chat_request r = {messages,
                             x->n,
                             x->raw,
                             x->options.sampling,
                             x->options.max_new_tokens,
                             x->options.seed,
                             x->options.stops,
                             x->options.n_stops,
                             x->adapter_off};
    struct buf b = buf_make(a);
    struct asked again;
    struct err err;
    const struct json *o;
    put_ask(&b, &r);
    HOLDS(b.p[b.n - 1] == '\n' && memchr(b.p, '\n', b.n) == b.p + b.n - 1);
    HOLDS(json_parse(&o, buf_text(&b), "again", (struct json_limits){0}, a, &err) &&
          asked_read(&again, json_get(o, "ask"), a, &err));
    HOLDS(again.n == x->n && again.raw == x->raw && again.adapter_off == x->adapter_off &&
          again.options.seed == x->options.seed);
    HOLDS(again.options.max_new_tokens == x->options.max_new_tokens &&
          again.options.n_stops == x->options.n_stops);
    HOLDS(again.options.sampling.top_k == x->options.sampling.top_k &&
          again.options.sampling.temperature == x->options.sampling.temperature);
    for (int i = 0; i < x->n; i++)
        HOLDS(text_equal(again.messages[i].content, x->messages[i].content));
}

bool worker_ask(struct worker *w, struct text line)
{
    struct asked x;
    struct err err = {{0}};
    const struct json *o;
    HOLDS(json_parse(&o, line, "ask", (struct json_limits){.depth = 16}, w->a, &err));
    if (!asked_read(&x, json_get(o, "ask"), w->a, &err)) fuzz_sentence(err.text);
    else {
        HOLDS(x.n >= 1 && x.n <= 10000 && x.options.n_stops <= 16 && x.options.max_new_tokens >= 1);
        HOLDS(x.options.sampling.temperature >= 0 && x.options.sampling.top_p <= 1 &&
              isfinite(x.options.sampling.repetition_penalty));
        check_asked(&x, w->a);
    }
    return w->asks++ == 0;
}

void worker_stop_answer(struct worker *w) { w->stops++; }
bool worker_reply(struct worker *w, struct buf *out)
{
    (void)w, (void)out;
    return false;
}
bool worker_ended(struct worker *w, bool *ok)
{
    (void)w;
    return *ok = true;
}
void worker_join(struct worker *w) { (void)w; }
struct worker *worker_start(const char *run_dir, const struct run_options *o,
                            const struct places *p, int wake, struct arena *a, struct err *err)
{
    (void)run_dir, (void)o, (void)p, (void)wake, (void)a, (void)err;
    return NULL;
}

/* ---- a visit ---- */

struct visit {
    struct buf replies;
    struct worker worker;
    bool there;
};

static void take_replies(struct visit *v, int fd)
{
    char piece[65536];
    for (ssize_t n; (n = recv(fd, piece, sizeof piece, MSG_DONTWAIT)) > 0;)
        buf_put(&v->replies, piece, (size_t)n);
}

static void visit(struct visit *v, struct text in, size_t step, struct arena *a)
{
    static struct engine e;
    int ends[2];
    HOLDS(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    *v = (struct visit){.replies = buf_make(a), .worker = {.a = a}};
    e = (struct engine){.run_dir = "/runs/fuzz", .worker = &v->worker, .chatting = -1};
    e.visitors[0] = (struct visitor){.arena = arena_make(0), .there = true};
    e.visitors[0].wire = wire_make(ends[0], ends[0], &e.visitors[0].arena);
    for (size_t at = 0; at < in.n && e.visitors[0].there;) {
        size_t n = in.n - at < step ? in.n - at : step;
        ssize_t sent = send(ends[1], in.p + at, n, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent > 0) at += (size_t)sent;
        visitor_read(&e, 0);
        if (e.visitors[0].there && e.visitors[0].wire.n_put) wire_flush(&e.visitors[0].wire);
        take_replies(v, ends[1]);
    }
    v->there = e.visitors[0].there;
    visitor_leave(&e, 0);
    close(ends[1]);
}

static void check_replies(struct text replies, struct text in, struct arena *a)
{
    int lines = 0, answers = 0;
    for (size_t i = 0; i < in.n; i++) lines += in.p[i] == '\n';
    HOLDS(replies.n == 0 || replies.p[replies.n - 1] == '\n');
    while (replies.n) {
        struct reply r;
        struct text line = fuzz_until(&replies, '\n');
        HOLDS(reply_read(&r, line, a) && r.kind != REPLY_GONE && r.kind != REPLY_NONE);
        if (r.kind == REPLY_REFUSED) HOLDS(r.text.n > 0 && fuzz_harmless(r.text, false));
        answers++;
    }
    HOLDS(answers <= lines);
}

/* Also the other way: an engine may be as hostile to a client. */
static void check_client(struct text in, struct arena *a)
{
    while (in.n) {
        struct reply r;
        struct text line = fuzz_until(&in, '\n');
        bool any = reply_read(&r, line, a);
        HOLDS(any == (r.kind != REPLY_NONE));
        if (r.kind == REPLY_GONE) HOLDS(fuzz_harmless(r.text, true));
    }
}

void fuzz_seeds(void)
{
    seed_many("\377", "\n", "");
    seed_many("\377", "[", "\n");
    seed_many("\377{\"hello\":\"" HONE_VERSION "\"}\n{\"ask\":{\"messages\":[", "{},", "{}]}}\n");
#define HELLO "{\"hello\":\"" HONE_VERSION "\"}\n"
    static const char *const texts[] = {
        HELLO "{\"order\":\"pause\",\"by\":\"anna\"}\n{\"order\":\"learning_rate\",\"value\":1e-4}"
              "\n{\"order\":\"learning_rate\",\"value\":2}\n",
        HELLO "{\"ask\":{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"stop\":[\"x\"],"
              "\"raw\":true,\"seed\":3}}\n{\"stop_answer\":true}\n",
        HELLO "{\"ask\":{\"messages\":[]}}\n{\"ask\":5}\n{\"ask\":{\"messages\":[{}],"
              "\"temperature\":1e9}}\n",
        "{\"order\":\"stop\"}\n",
        "{\"hello\":\"9.9\"}\n",
        "{\"hello\":1}\n",
        "\n\n",
        "[]\n",
        "{\"a\":\n",
        HELLO "{\"order\":5}\n{\"order\":\"x\33\"}\n{\"nothing\":1}\n",
        "{\"token\":\"\\u001b\"}\n{\"answered\":{\"tokens\":1e99}}\n{\"ready\":{\"name\":5}}\n{"
        "\"ok\":1}\n",
        HELLO "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\n",
        HELLO "{\"order\":\"save\",\"by\":"
              "\"\xE4\xBD\xA0\xE4\xBD\xA0\xE4\xBD\xA0\xE4\xBD\xA0\xE4\xBD\xA0\xE4\xBD\xA0\xE4\xBD"
              "\xA0\xE4\xBD\xA0\xE4\xBD\xA0\xE4\xBD\xA0\xE4\xBD\xA0\xE4\xBD\xA0\xE4\xBD\xA0\xE4\xBD"
              "\xA0\xE4\xBD\xA0\xE4\xBD\xA0\xE4\xBD\xA0\xE4\xBD\xA0\xE4\xBD\xA0\xE4\xBD\xA0\xE4\xBD"
              "\xA0\xE4\xBD\xA0\"}\n"};
    for (size_t i = 0; i < COUNT(texts); i++) {
        struct arena a = arena_make(0);
        char *p = arena_printf(&a, "%c%s", (int)(i * 37 % 250), texts[i]);
        seed(p, strlen(texts[i]) + 1);
        arena_drop(&a);
    }
}

void fuzz(struct text in, struct arena *a)
{
    size_t step = 1 + (size_t)fuzz_number(&in, 1);
    struct visit whole, pieces;
    visit(&whole, in, in.n + 1, a);
    if (in.n > 100000) return; /* once is enough for time and memory */
    visit(&pieces, in, step, a);
    fuzz_oracle();
    HOLDS(text_equal(buf_text(&whole.replies), buf_text(&pieces.replies)) &&
          whole.there == pieces.there);
    HOLDS(whole.worker.orders == pieces.worker.orders && whole.worker.asks == pieces.worker.asks);
    if (!memmem(in.p, in.n, HONE_VERSION, strlen(HONE_VERSION)))
        HOLDS(whole.worker.orders == 0 && whole.worker.asks == 0);
    check_replies(buf_text(&whole.replies), in, a);
    check_client(in, a);
}
