/* engine.c - the process of a run: one loop that owns the outside world (socket, signals), one
 * worker that owns the device. */
#include "engine/serve/launch.h"
#include "engine/serve/worker.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define CLIENTS_MOST 64
#define HELLO_SECONDS 10 /* who says nothing for so long gives its place back */

struct visitor {
    struct wire wire;
    struct arena arena;
    char name[64];
    double came;
    bool there, greeted;
};
struct engine {
    const char *run_dir;
    struct worker *worker;
    int listener, signals, wake;
    struct visitor visitors[CLIENTS_MOST];
    int chatting;   /* index of the visitor whose chat is answered, -1: none */
    int stopped_by; /* the signal, 0: none */
};

static void visitor_leave(struct engine *e, int i)
{
    struct visitor *v = &e->visitors[i];
    if (!v->there) return;
    close(v->wire.in);
    arena_drop(&v->arena);
    v->there = false;
    if (e->chatting == i) {
        e->chatting = -1;
        worker_stop_answer(e->worker);
    }
}

static void visitor_come(struct engine *e)
{
    int fd = wire_accept(e->listener);
    if (fd < 0) return;
    for (int i = 0; i < CLIENTS_MOST; i++) {
        struct visitor *v = &e->visitors[i];
        if (v->there) continue;
        *v = (struct visitor){.arena = arena_make(0), .came = now_monotonic(), .there = true};
        v->wire = wire_make(fd, fd, &v->arena);
        return;
    }
    wire_refuse(fd, "64 screens and commands are attached to this run already; close one");
}

static void visitors_quiet_leave(struct engine *e)
{
    double now = now_monotonic();
    for (int i = 0; i < CLIENTS_MOST; i++) {
        struct visitor *v = &e->visitors[i];
        if (v->there && !v->greeted && now - v->came > HELLO_SECONDS) visitor_leave(e, i);
    }
}

static void tell(struct engine *e, int i, struct buf *b)
{
    if (!wire_send(&e->visitors[i].wire, buf_text(b)))
        visitor_leave(e, i); /* gone, or it does not read */
}

static void refuse(struct engine *e, int i, struct arena *a, const char *sentence)
{
    struct buf b = buf_make(a);
    put_refused(&b, text_of(sentence));
    tell(e, i, &b);
}

static void take_hello(struct engine *e, int i, const struct json *hello, struct arena *a)
{
    struct buf b = buf_make(a);
    if (hello->kind != JSON_TEXT || !text_is(hello->text, HONE_VERSION)) {
        refuse(e, i, a,
               "this run's engine is hone " HONE_VERSION
               " and yours is another version: watching works, orders and chat do not");
        return;
    }
    e->visitors[i].greeted = true;
    put_ready(&b, path_base(e->run_dir), false, 0, -1);
    tell(e, i, &b);
}

static bool order_named(struct order *out, const struct json *o, const char **why)
{
    const struct json *name = json_get(o, "order"), *value = json_get(o, "value"),
                      *by = json_get(o, "by");
    *why = "the order is not one of pause, continue, save, stop, learning_rate";
    for (int k = 0; k < ORDERS; k++) {
        if (name->kind != JSON_TEXT || !text_is(name->text, order_names[k])) continue;
        *out = (struct order){.kind = (enum order_kind)k, .value = value ? value->number : 0};
        snprintf(out->by, sizeof out->by, "%.60s",
                 by && by->kind == JSON_TEXT ? by->text.p : "somebody");
        *why = "a learning rate is a number over 0 and at most 1";
        return k != ORDER_LEARNING_RATE || (out->value > 0 && out->value <= 1);
    }
    return false;
}

static void take_order(struct engine *e, int i, const struct json *o, struct arena *a)
{
    struct order order;
    const char *why;
    struct buf b = buf_make(a);
    if (!order_named(&order, o, &why)) {
        refuse(e, i, a, why);
        return;
    }
    if (!worker_order(e->worker, &order)) {
        refuse(e, i, a, "64 orders wait already");
        return;
    }
    if (order.kind == ORDER_STOP) worker_stop_answer(e->worker);
    buf_printf(&b, "{\"ok\":true}\n");
    tell(e, i, &b);
}

static void take_ask(struct engine *e, int i, struct text line, struct arena *a)
{
    if (e->chatting >= 0 || !worker_ask(e->worker, line))
        refuse(e, i, a, "another chat is being answered; wait for its end");
    else e->chatting = i;
}

static void take_line(struct engine *e, int i, struct text line)
{
    struct arena a = arena_make(0);
    struct err err;
    const struct json *o, *hello;
    if (!json_parse(&o, line, "your message",
                    (struct json_limits){.bytes = WIRE_LINE_MOST, .depth = 16}, &a, &err)) {
        refuse(e, i, &a, err.text);
        visitor_leave(e, i); /* whoever says that is no client of ours */
    } else if ((hello = json_get(o, "hello"))) take_hello(e, i, hello, &a);
    else if (!e->visitors[i].greeted) refuse(e, i, &a, "say hello first");
    else if (json_get(o, "order")) take_order(e, i, o, &a);
    else if (json_get(o, "ask")) take_ask(e, i, line, &a);
    else if (json_get(o, "stop_answer")) {
        if (e->chatting == i) worker_stop_answer(e->worker);
    } else refuse(e, i, &a, "the message is not one of hello, order, ask, stop_answer");
    arena_drop(&a);
}

static void visitor_read(struct engine *e, int i)
{
    struct text line;
    bool gone = false;
    while (e->visitors[i].there && wire_line(&e->visitors[i].wire, &line, &gone))
        take_line(e, i, line);
    if (gone) visitor_leave(e, i);
}

/* Replies of the worker belong to the one visitor who chats; the last of them frees the place. */
static void worker_said(struct engine *e)
{
    uint64_t n;
    struct arena a = arena_make(0);
    struct buf b = buf_make(&a);
    if (read(e->wake, &n, sizeof n) < 0 && errno != EAGAIN)
        say(LOG_WARN, "eventfd: %s", strerror(errno));
    if (worker_reply(e->worker, &b) && e->chatting >= 0) {
        int i = e->chatting;
        bool last = memmem(b.p, b.n, "{\"answered\":", 12) || memmem(b.p, b.n, "{\"refused\":", 11);
        tell(e, i, &b);
        if (last) e->chatting = -1;
    }
    arena_drop(&a);
}

static void signal_came(struct engine *e)
{
    struct signalfd_siginfo info;
    struct order stop = {.kind = ORDER_STOP};
    if (read(e->signals, &info, sizeof info) != sizeof info) return;
    e->stopped_by = (int)info.ssi_signo;
    snprintf(stop.by, sizeof stop.by, "signal %d (%s)", e->stopped_by, strsignal(e->stopped_by));
    worker_order(e->worker, &stop);
    worker_stop_answer(e->worker);
}

static void loop(struct engine *e)
{
    bool ok;
    while (!worker_ended(e->worker, &ok)) {
        struct pollfd fds[3 + CLIENTS_MOST] = {
            {e->listener, POLLIN, 0}, {e->signals, POLLIN, 0}, {e->wake, POLLIN, 0}};
        for (int i = 0; i < CLIENTS_MOST; i++) {
            struct visitor *v = &e->visitors[i];
            fds[3 + i] =
                (struct pollfd){v->there ? v->wire.in : -1,
                                (short)(POLLIN | (v->there && v->wire.n_put ? POLLOUT : 0)), 0};
        }
        if (poll(fds, COUNT(fds), 1000) < 0) continue;
        visitors_quiet_leave(e);
        for (int i = 0; i < CLIENTS_MOST; i++) {
            if (fds[3 + i].revents & POLLOUT && !wire_flush(&e->visitors[i].wire))
                visitor_leave(e, i);
            if (fds[3 + i].revents & (POLLIN | POLLHUP | POLLERR)) visitor_read(e, i);
        }
        if (fds[2].revents) worker_said(e);
        if (fds[1].revents) signal_came(e);
        if (fds[0].revents) visitor_come(e);
    }
}

/* The signals that stop a run are read in the loop; the threads made later inherit the mask. */
static bool outside_open(struct engine *e, const struct places *p, struct arena *a, struct err *err)
{
    char path[108];
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGHUP, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    e->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    e->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (e->signals < 0 || e->wake < 0) return fail_errno(err, "cannot make the loop's descriptors");
    if (!wire_path(path, e->run_dir, p->home, err) || !wire_listen(&e->listener, path, err))
        return false;
    return file_replace(path_join(a, e->run_dir, "socket"), text_of(path), err);
}

int serve_engine(const char *run_dir, int lock, const struct run_options *o, const struct places *p)
{
    static struct engine e = {.chatting = -1};
    struct arena a = arena_make(0);
    struct err err;
    bool ok = false;
    e.run_dir = run_dir;
    log_to(2, LOG_INFO);
    if (lock < 0 && !lock_take(&lock, run_dir, &err)) {
        say(LOG_ERROR, "%s", err.text);
        return 1;
    }
    fcntl(lock, F_SETFD, FD_CLOEXEC);
    if (!outside_open(&e, p, &a, &err) ||
        !(e.worker = worker_start(run_dir, o, p, e.wake, &a, &err))) {
        say(LOG_ERROR, "%s", err.text);
        return 1;
    }
    loop(&e);
    worker_ended(e.worker, &ok);
    worker_join(e.worker);
    for (int i = 0; i < CLIENTS_MOST; i++) visitor_leave(&e, i);
    char path[108];
    if (wire_path(path, run_dir, p->home, &err)) unlink(path);
    return !ok ? 1 : e.stopped_by == SIGTERM ? 143 : e.stopped_by == SIGINT ? 130 : 0;
}
