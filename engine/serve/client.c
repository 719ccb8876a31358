/* client.c - the other end: orders and chats, for screens and commands. Nothing blocks for long. */
#include "engine/serve/wire.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct client {
    struct wire wire;
    struct arena arena, reply;
    int pid;
    bool gone;
    struct reply greeting;
};

static struct client *client_make(int in, int out)
{
    struct arena a = arena_make(0);
    struct client *c = NEW(&a, struct client);
    c->wire = wire_make(in, out, &a);
    c->arena = a;
    c->reply = arena_make(0);
    return c;
}

int client_fd(const struct client *c) { return c->wire.in; }

bool client_next(struct client *c, struct reply *out, struct err *err)
{
    struct text line;
    bool gone;
    *out = (struct reply){.kind = REPLY_NONE, .step = -1};
    if (c->gone) return true;
    if (!wire_flush(&c->wire)) c->gone = true;
    arena_drop(&c->reply);
    while (wire_line(&c->wire, &line, &gone))
        if (reply_read(out, line, &c->reply)) {
            if (out->kind == REPLY_GONE) return fail(err, "%.*s", (int)out->text.n, out->text.p);
            return true;
        }
    if (gone || c->gone) {
        c->gone = true;
        *out = (struct reply){.kind = REPLY_GONE, .text = TEXT("the engine is gone"), .step = -1};
    }
    return true;
}

/* Waits for an answer to an order or a greeting; tokens of a chat that come in between are not
 * lost: there are none yet. */
static bool wait_for(struct client *c, struct reply *r, int milliseconds, struct err *err)
{
    for (double until = now_monotonic() + milliseconds * 1e-3;;) {
        if (!client_next(c, r, err)) return false;
        if (r->kind == REPLY_REFUSED || r->kind == REPLY_GONE)
            return fail(err, "%.*s", (int)r->text.n, r->text.p);
        if (r->kind == REPLY_OK || r->kind == REPLY_READY) return true;
        double left = until - now_monotonic();
        if (left <= 0)
            return fail(
                err, "the engine does not answer (2 s); it may be stopped (Ctrl-Z) or very busy");
        poll(&(struct pollfd){c->wire.in, POLLIN, 0}, 1, (int)(left * 1000) + 1);
    }
}

static bool send_line(struct client *c, struct buf *b, struct err *err)
{
    return (!c->gone && wire_send(&c->wire, buf_text(b))) || fail(err, "the engine is gone");
}

bool client_open(struct client **out, const char *run_dir, struct arena *a, struct err *err)
{
    struct text path;
    struct reply r;
    int fd;
    if (!run_is_held(run_dir))
        return fail(err, "run %s is not running; `hone resume %s` starts it again",
                    path_base(run_dir), path_base(run_dir));
    if (!file_read(&path, path_join(a, run_dir, "socket"), 108, a, err) ||
        !wire_connect(&fd, path.p, err))
        return false;
    struct client *c = client_make(fd, fd);
    struct buf b = buf_make(&c->reply);
    buf_printf(&b, "{\"hello\":\"%s\"}\n", HONE_VERSION);
    struct err unheard; /* who is refused at once cannot send, but can read why */
    send_line(c, &b, &unheard);
    if (!wait_for(c, &r, 2000, err)) {
        client_close(c);
        return false;
    }
    c->greeting = r;
    c->greeting.text = (struct text){arena_string(&c->arena, r.text.p, r.text.n), r.text.n};
    *out = c;
    return true;
}

struct reply client_greeting(const struct client *c) { return c->greeting; }

static _Noreturn void chat_exec(const char *spec, const struct answerer_options *o,
                                const struct places *p, int in, int out)
{
    char threads[16], context[16];
    const char *argv[20] = {"hone", "engine", "--chat", spec};
    int n = 4;
    snprintf(threads, sizeof threads, "%d", o->threads);
    snprintf(context, sizeof context, "%d", o->context);
    const char *const more[][2] = {{"--backend", o->backend}, {"--adapter", o->adapter},
                                   {"--dtype", o->dtype},     {"--template", o->template},
                                   {"--threads", threads},    {"--context", context}};
    for (size_t i = 0; i < COUNT(more); i++)
        if (more[i][1]) {
            argv[n++] = more[i][0];
            argv[n++] = more[i][1];
        }
    argv[n] = NULL;
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    dup2(in, 0);
    dup2(out, 1);
    if (null >= 0) dup2(null, 2);
    setsid(); /* Ctrl-C on the terminal is for the screen */
    execv(p->program, (char *const *)(uintptr_t)argv);
    _exit(127);
}

bool client_chat_process(struct client **out, const char *spec, const struct answerer_options *o,
                         const struct places *p, struct arena *a, struct err *err)
{
    int there[2], back[2];
    (void)a;
    if (pipe2(there, O_CLOEXEC) != 0) return fail_errno(err, "cannot make a pipe");
    if (pipe2(back, O_CLOEXEC) != 0) {
        close(there[0]);
        close(there[1]);
        return fail_errno(err, "cannot make a pipe");
    }
    int pid = fork();
    if (pid == 0) chat_exec(spec, o, p, there[0], back[1]);
    close(there[0]);
    close(back[1]);
    if (pid < 0) {
        close(there[1]);
        close(back[0]);
        return fail_errno(err, "the system refuses another process");
    }
    *out = client_make(back[0], there[1]);
    (*out)->pid = pid;
    return true;
}

/* A chat process ends when its input closes; one that hangs is killed. */
void client_close(struct client *c)
{
    close(c->wire.in);
    if (c->wire.out != c->wire.in) close(c->wire.out);
    for (int i = 0; c->pid > 0 && waitpid(c->pid, NULL, WNOHANG) == 0; i++) {
        if (i == 20) kill(c->pid, SIGKILL);
        poll(NULL, 0, 10);
    }
    arena_drop(&c->reply);
    struct arena a = c->arena; /* c itself lies in it */
    arena_drop(&a);
}

static const char *who(char out[64])
{
    struct passwd *u = getpwuid(geteuid());
    snprintf(out, 64, "%.60s", u ? u->pw_name : "somebody");
    return out;
}

bool client_order(struct client *c, enum order_kind kind, double value, struct err *err)
{
    struct arena a = arena_make(0);
    struct buf b = buf_make(&a);
    struct reply r;
    char by[64];
    buf_put(&b, "{", 1);
    json_field_text(&b, "order", text_of(order_names[kind]));
    json_field_num(&b, "value", value);
    json_field_text(&b, "by", text_of(who(by)));
    buf_put(&b, "}\n", 2);
    bool ok = send_line(c, &b, err) && wait_for(c, &r, 2000, err);
    arena_drop(&a);
    return ok;
}

bool client_ask(struct client *c, const struct chat_request *r, struct err *err)
{
    struct arena a = arena_make(0);
    struct buf b = buf_make(&a);
    put_ask(&b, r);
    bool ok = b.n <= WIRE_LINE_MOST || fail(err, "the conversation is over 1 MiB; clear it");
    ok = ok && send_line(c, &b, err);
    arena_drop(&a);
    return ok;
}

bool client_stop_answer(struct client *c, struct err *err)
{
    static char stop[] = "{\"stop_answer\":true}\n";
    return (!c->gone && wire_send(&c->wire, (struct text){stop, sizeof stop - 1})) ||
           fail(err, "the engine is gone");
}
