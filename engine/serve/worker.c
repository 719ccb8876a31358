/* worker.c - the worker thread: the queue for the device, then the loop that trains, with chats in
 * between. */
#include "engine/serve/worker.h"
#include "engine/run/folder.h"
#include "engine/serve/queue.h"
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define ORDERS_MOST 64
#define REPLIES_MOST (1 << 20)

struct worker {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t something;
    const char *run_dir;
    const struct run_options *options;
    const struct places *places;
    int wake;

    struct order orders[ORDERS_MOST];
    int n_orders;
    char *ask;
    size_t ask_n;            /* a chat that waits or is being answered; 0: none */
    bool asked, stop_answer; /* asked: it waits */
    char *replies;
    size_t replies_n;
    bool ended, ok;
    struct arena chat; /* of one answer */
};

static void wake_loop(struct worker *w)
{
    uint64_t one = 1;
    if (write(w->wake, &one, sizeof one) != sizeof one) say(LOG_DEBUG, "the loop is awake already");
}

/* ---- the loop's side ---- */

bool worker_order(struct worker *w, const struct order *o)
{
    pthread_mutex_lock(&w->lock);
    bool room = w->n_orders < ORDERS_MOST;
    if (room) w->orders[w->n_orders++] = *o;
    pthread_cond_signal(&w->something);
    pthread_mutex_unlock(&w->lock);
    return room;
}

bool worker_ask(struct worker *w, struct text line)
{
    pthread_mutex_lock(&w->lock);
    bool room = w->ask_n == 0 && line.n <= WIRE_LINE_MOST;
    if (room) {
        memcpy(w->ask, line.p, line.n);
        w->ask_n = line.n;
        w->asked = true;
        w->stop_answer = false;
        w->replies_n = 0; /* what a chat that left did not hear is for nobody */
        pthread_cond_signal(&w->something);
    }
    pthread_mutex_unlock(&w->lock);
    return room;
}

void worker_stop_answer(struct worker *w)
{
    pthread_mutex_lock(&w->lock);
    w->stop_answer = true;
    pthread_mutex_unlock(&w->lock);
}

bool worker_reply(struct worker *w, struct buf *out)
{
    pthread_mutex_lock(&w->lock);
    bool any = w->replies_n > 0;
    if (any) buf_put(out, w->replies, w->replies_n);
    w->replies_n = 0;
    pthread_mutex_unlock(&w->lock);
    return any;
}

bool worker_ended(struct worker *w, bool *ok)
{
    pthread_mutex_lock(&w->lock);
    bool ended = w->ended;
    *ok = w->ok;
    pthread_mutex_unlock(&w->lock);
    return ended;
}

void worker_join(struct worker *w) { pthread_join(w->thread, NULL); }

/* ---- the worker's side ---- */

static bool take_order(void *arg, struct order *out, bool wait)
{
    struct worker *w = arg;
    pthread_mutex_lock(&w->lock);
    while (wait && w->n_orders == 0 && !w->asked) pthread_cond_wait(&w->something, &w->lock);
    bool any = w->n_orders > 0;
    if (any) {
        *out = w->orders[0];
        memmove(w->orders, w->orders + 1, sizeof *w->orders * (size_t)--w->n_orders);
    }
    pthread_mutex_unlock(&w->lock);
    return any;
}

static bool reply(struct worker *w, struct text line)
{
    pthread_mutex_lock(&w->lock);
    bool room = w->replies_n + line.n <= REPLIES_MOST;
    if (room) memcpy(w->replies + w->replies_n, line.p, line.n);
    if (room) w->replies_n += line.n;
    bool stop = w->stop_answer;
    pthread_mutex_unlock(&w->lock);
    wake_loop(w);
    return room && !stop;
}

static bool piece(void *arg, struct text t)
{
    struct worker *w = arg;
    struct buf b = buf_make(&w->chat);
    put_token(&b, t);
    return reply(w, buf_text(&b));
}

static void answer_chat(struct worker *w, struct model *m, const struct model_config *c,
                        const struct tokenizer *tok, const struct template *tpl, int64_t step)
{
    struct err err;
    struct asked x;
    struct answer_stats stats;
    const struct json *o;
    struct buf b = buf_make(&w->chat);
    bool ok = json_parse(&o, (struct text){w->ask, w->ask_n}, "the chat request",
                         (struct json_limits){.depth = 16}, &w->chat, &err) &&
              asked_read(&x, json_get(o, "ask"), &w->chat, &err);
    if (ok) {
        x.options.token = piece;
        x.options.arg = w;
        put_ready(&b, path_base(w->run_dir), false, model_context(m), step);
        reply(w, buf_text(&b));
        ok = asked_answer(&x, m, c, tok, tpl, &stats, &w->chat, &err);
    }
    b = buf_make(&w->chat);
    if (ok) put_answered(&b, &stats);
    else put_refused(&b, text_of(err.text));
    reply(w, buf_text(&b));
}

/* Training waits while an answer is written: an update would change the weights under its cache. */
static void chat_between(void *arg, struct model *m, const struct model_config *c,
                         const struct tokenizer *tok, const struct template *tpl, int64_t step)
{
    struct worker *w = arg;
    pthread_mutex_lock(&w->lock);
    bool asked = w->asked;
    w->asked = false;
    pthread_mutex_unlock(&w->lock);
    if (!asked) return;
    answer_chat(w, m, c, tok, tpl, step);
    arena_drop(&w->chat);
    pthread_mutex_lock(&w->lock);
    w->ask_n = 0;
    pthread_mutex_unlock(&w->lock);
}

static void nothing_to_tell(void *arg, const struct event *e)
{
    (void)arg;
    (void)e;
}

static void nap(void) { nanosleep(&(struct timespec){.tv_nsec = 200 * 1000 * 1000}, NULL); }

/* false: an order to stop came while waiting, or the queue cannot be used. */
static bool wait_turn(struct worker *w, struct ticket *t, bool *stopped, struct arena *a,
                      struct err *err)
{
    char ahead[64] = "";
    struct journal j = JOURNAL_CLOSED;
    *stopped = false;
    const char *queue = run_queue(w->run_dir, w->options, a);
    if (!ticket_take(t, w->places->home, queue, path_base(w->run_dir), err)) return false;
    if (ticket_is_first(t, ahead)) return true;
    if (!journal_open(&j, w->run_dir, a, err)) return false;
    journal_state(&j, RUN_QUEUED, j.now.step, "waits for %s to leave the device", ahead);
    while (!*stopped && !ticket_is_first(t, ahead)) {
        struct order o;
        nap();
        while (take_order(w, &o, false)) *stopped = *stopped || o.kind == ORDER_STOP;
    }
    if (*stopped)
        journal_state(&j, RUN_STOPPED, j.now.step, "stopped while it waited for the device");
    journal_close(&j);
    return !*stopped;
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    struct arena a = arena_make(0);
    struct err err = {.text = ""};
    struct ticket t = {.fd = -1, .device = -1};
    struct run_hooks hooks = {w, take_order, chat_between, nothing_to_tell};
    bool stopped, ok = wait_turn(w, &t, &stopped, &a, &err);
    if (ok) ok = run_train(w->run_dir, w->options, &hooks, w->places, &a, &err);
    if (!ok && !stopped) say(LOG_ERROR, "%s", err.text);
    ticket_drop(&t);
    arena_drop(&a);
    pthread_mutex_lock(&w->lock);
    w->ended = true;
    w->ok = ok || stopped;
    pthread_mutex_unlock(&w->lock);
    wake_loop(w);
    return NULL;
}

struct worker *worker_start(const char *run_dir, const struct run_options *o,
                            const struct places *p, int wake, struct arena *a, struct err *err)
{
    struct worker *w = NEW(a, struct worker);
    *w = (struct worker){.run_dir = run_dir,
                         .options = o,
                         .places = p,
                         .wake = wake,
                         .ask = arena_take(a, 1, WIRE_LINE_MOST),
                         .replies = arena_take(a, 1, REPLIES_MOST),
                         .chat = arena_make(0)};
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->something, NULL);
    errno = pthread_create(&w->thread, NULL, worker_main, w);
    if (errno == 0) return w;
    fail_errno(err, "the system refuses the worker thread");
    return NULL;
}
