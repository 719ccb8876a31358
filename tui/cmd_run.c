/* cmd_run.c - runs from the command line: train, resume, follow, order, list, remove. */
#include "engine/format/json.h"
#include "tui/cli.h"
#include <errno.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

/* ---- following ---- */

struct watch {
    bool json, alone; /* alone: one line that is rewritten, on a terminal */
    bool open;        /* such a line is on the screen */
    enum run_state state;
    bool ended;
    int64_t steps, stage_steps, last_printed;
    double last_time, heard;
    int64_t held;     /* events that were last said to wait */
    char why[1024];
};

static void line_end(struct watch *w)
{
    if (w->open) printf("\n");
    w->open = false;
}

static void show_step(struct watch *w, const struct event *e)
{
    double now = now_monotonic();
    bool due = e->step.step == 1 || e->step.step == w->steps ||
               now - w->last_time >= (w->alone ? 0.1 : 10);
    if (!due) return;
    w->last_time = now;
    printf("%s%s  step %lld of %lld  loss %.4f  lr %.3g  grad %.3g  %.0f tok/s  %.2f s%s",
           w->alone ? "\r" : "", "", (long long)e->step.step, (long long)w->steps, e->step.loss,
           e->step.lr, e->step.grad_norm, (double)e->step.tokens / e->step.seconds, e->step.seconds,
           w->alone ? "   " : "\n");
    w->open = w->alone;
    fflush(stdout);
}

static void show_text(const char *label, struct text t)
{
    printf("  %s ", label);
    print_safe(t);
    printf("\n");
}

static void show(struct watch *w, const struct event *e)
{
    char bytes[16];
    if (e->kind == EV_STEP) {
        show_step(w, e);
        return;
    }
    if (e->kind == EV_PROGRESS) return;
    line_end(w);
    switch (e->kind) {
    case EV_START:
        w->steps = e->start.steps;
        printf("%.*s, %.*s kernels, %lld threads, %.*s, %lld steps, %s of memory\n",
               (int)e->start.device.n, e->start.device.p, (int)e->start.isa.n, e->start.isa.p,
               (long long)e->start.threads, (int)e->start.dtype.n, e->start.dtype.p,
               (long long)e->start.steps, text_bytes(bytes, e->start.bytes_planned));
        break;
    case EV_RESUMED:
        printf("resumed after step %lld, %.*s: ", (long long)e->resumed.step,
               (int)e->resumed.exact.n, e->resumed.exact.p);
        print_safe(e->resumed.why);
        printf("\n");
        break;
    case EV_STAGE: show_text("stage", e->stage.name); break;
    case EV_VALIDATION:
        printf("  validation loss %.4f at step %lld%s\n", e->validation.loss,
               (long long)e->validation.step, e->validation.best ? " (best)" : "");
        break;
    case EV_QUIZ:
        printf("  quiz %.*s: %lld of %lld, %.1f %%\n", (int)e->quiz.file.n, e->quiz.file.p,
               (long long)e->quiz.right, (long long)e->quiz.of, 100 * e->quiz.score);
        break;
    case EV_SAMPLE:
        show_text("sample", e->sample.prompt);
        show_text("    ->", e->sample.answer);
        break;
    case EV_SAVED:
        printf("  saved %.*s (%s, %.1f s)\n", (int)e->saved.path.n, e->saved.path.p,
               text_bytes(bytes, e->saved.bytes), e->saved.seconds);
        break;
    case EV_ORDER: show_text("order", e->order.order); break;
    case EV_NOTE: show_text(e->note.level.n == 4 ? "note" : "warning", e->note.text); break;
    case EV_STATE:
        printf("%.*s: ", (int)e->state.state.n, e->state.state.p);
        print_safe(e->state.why);
        printf("\n");
        break;
    default: break;
    }
    fflush(stdout);
}

static void each(void *arg, const struct event *e, struct text line)
{
    struct watch *w = arg;
    if (w->json) {
        print_text(line);
        print_text(TEXT("\n"));
    } else show(w, e);
    w->ended = false;
    if (e->kind != EV_STATE) return;
    for (int s = 0; s < RUN_STATES; s++)
        if (text_is(e->state.state, run_state_name((enum run_state)s)))
            w->state = (enum run_state)s;
    w->ended = w->state == RUN_DONE || w->state == RUN_FAILED || w->state == RUN_STOPPED;
    snprintf(w->why, sizeof w->why, "%.*s", (int)e->state.why.n, e->state.why.p);
}

/* A full disk keeps events from the file that is followed: what the run says all the same. */
static void hear_word(struct watch *w, const char *dir)
{
    struct arena a = arena_make(0);
    struct run_summary s;
    struct err err;
    double now = now_monotonic();
    if (now - w->heard >= 1) {
        w->heard = now;
        if (run_summary_read(&s, dir, &a, &err) && s.held != w->held) {
            line_end(w);
            if (s.held)
                fail(&err, "log not on disk: %lld events wait for room; %s%s%s", (long long)s.held,
                     run_state_name(s.state), s.why[0] ? ": " : "", s.why);
            else fail(&err, "the log is on disk again");
            refuse(EXIT_FAILED, &err);
            w->held = s.held;
        }
    }
    arena_drop(&a);
}

static bool ask_stop(const char *dir, struct arena *a, struct err *err)
{
    struct client *client;
    if (!client_open(&client, dir, a, err)) return false;
    bool ok = client_order(client, ORDER_STOP, 0, err);
    client_close(client);
    return ok;
}

static int signals_open(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* Follows a run to its end. Ctrl-C and SIGTERM ask it to save and stop (owned), or end the
 * watching; a second one leaves at once, and the engine goes on saving. */
static int follow_to_end(struct cli *c, const char *dir, bool owned, int64_t from)
{
    struct follower f;
    struct watch w = {.json = c->o.json, .alone = !c->o.json && isatty(1), .state = RUN_QUEUED};
    struct signalfd_siginfo info;
    int n, stopped = 0, sig = signals_open(), idle = 0;
    if (!follow_open(&f, dir, c->a, &c->err)) return refuse(EXIT_FAILED, &c->err);
    f.at = from;
    for (;;) {
        if (!follow_read(&f, &n, each, &w, &c->err)) return refuse(EXIT_FAILED, &c->err);
        if (f.damaged) {
            line_end(&w);
            fail(&c->err, "%lld lines of %s are damaged; what they said is not shown",
                 (long long)f.damaged, f.path);
            refuse(EXIT_FAILED, &c->err);
            f.damaged = 0;
        }
        bool held = run_is_held(dir);
        idle = n == 0 && !held ? idle + 1 : 0;
        if (n == 0 && w.ended && (!held || !owned)) break;
        if (idle > 20) break; /* nobody writes any more */
        if (held && (n == 0 || w.held)) hear_word(&w, dir);
        fflush(stdout);
        poll(&(struct pollfd){sig, POLLIN, 0}, 1, 100);
        if (read(sig, &info, sizeof info) != sizeof info) continue;
        if (!owned || stopped) {
            stopped = (int)info.ssi_signo;
            break;
        }
        stopped = (int)info.ssi_signo;
        line_end(&w);
        fprintf(stderr, "stopping after a checkpoint; once more leaves at once and the engine goes "
                        "on saving\n");
        if (!ask_stop(dir, c->a, &c->err)) refuse(EXIT_FAILED, &c->err);
    }
    line_end(&w);
    follow_close(&f);
    close(sig);
    if (!owned) return EXIT_DONE;
    if (stopped) return stopped == SIGTERM ? EXIT_TERM : EXIT_CTRL_C;
    if (w.ended && w.state != RUN_FAILED) return EXIT_DONE;
    if (!w.ended)
        fail(&c->err,
             "the engine of %s is gone without a word; `hone resume %s` goes on from the last "
             "checkpoint",
             dir, path_base(dir));
    else fail(&c->err, "%s", w.why);
    return refuse(EXIT_FAILED, &c->err);
}

/* ---- train and resume ---- */

static int64_t events_end(const char *dir, struct arena *a)
{
    int fd;
    int64_t size = 0;
    struct err none;
    if (file_open(&fd, &size, path_join(a, dir, "events.jsonl"), &none)) close(fd);
    return size;
}

static struct run_options options_of(struct cli *c)
{
    return (struct run_options){.backend = c->o.backend,
                                .threads = c->o.threads > 0 ? (int)c->o.threads : 0};
}

/* What the plan found doubtful starts only after a yes. */
static bool agreed_to_start(struct cli *c, const struct plan *plan)
{
    struct problems asked = {0};
    struct buf question = buf_make(c->a);
    if (plan_questions(plan, &asked, c->a) == 0) return true;
    for (int i = 0; i < asked.n; i++) buf_printf(&question, "%s ", asked.list[i].text);
    buf_printf(&question, "Start all the same?");
    return cli_agreed(c, question.p);
}

int cmd_train(struct cli *c)
{
    struct profile profile, pinned;
    struct plan_inputs in;
    const char *dir;
    struct run_options o = options_of(c);
    if (!cli_profile(c, &profile)) return EXIT_USAGE;
    if (c->o.run_dir && path_exists(path_join(c->a, c->o.run_dir, "profile.yaml")))
        return fail(&c->err, "%s holds a run already; to go on with it type: hone resume %s",
                    c->o.run_dir, c->o.run_dir),
               refuse(EXIT_USAGE, &c->err);
    int code = cli_plan(c, &profile, &in, &pinned);
    if (code) return code;
    bool agreed = agreed_to_start(c, &in.plan);
    plan_close(&in);
    if (!agreed) return refuse(EXIT_USAGE, &c->err);
    if (!run_create(&dir, c->o.run_dir, &pinned, &c->places, c->a, &c->err))
        return refuse(EXIT_USAGE, &c->err);
    if (!c->o.json) printf("run %s\n", dir);
    fflush(stdout);
    if (!serve_launch(dir, &o, &c->places, &c->err)) return refuse(EXIT_FAILED, &c->err);
    return follow_to_end(c, dir, true, 0);
}

int cmd_resume(struct cli *c)
{
    const char *dir;
    struct run_summary s;
    struct run_options o = options_of(c);
    if (!run_find(&dir, c->words[0], &c->places, c->a, &c->err))
        return refuse(EXIT_REFUSED, &c->err);
    if (!run_summary_read(&s, dir, c->a, &c->err)) return refuse(EXIT_REFUSED, &c->err);
    if (s.state == RUN_DONE)
        return fail(&c->err, "run %s is done: all %lld steps", s.name, (long long)s.steps),
               refuse(EXIT_USAGE, &c->err);
    int64_t from = events_end(dir, c->a);
    if (!serve_launch(dir, &o, &c->places, &c->err)) return refuse(EXIT_FAILED, &c->err);
    return follow_to_end(c, dir, true, from);
}

int cmd_tail(struct cli *c)
{
    const char *dir;
    if (!run_find(&dir, c->words[0], &c->places, c->a, &c->err))
        return refuse(EXIT_REFUSED, &c->err);
    return follow_to_end(c, dir, false, 0);
}

/* ---- orders ---- */

static int order(struct cli *c, enum order_kind kind)
{
    const char *dir;
    struct client *client;
    if (!run_find(&dir, c->words[0], &c->places, c->a, &c->err))
        return refuse(EXIT_REFUSED, &c->err);
    if (!client_open(&client, dir, c->a, &c->err)) return refuse(EXIT_FAILED, &c->err);
    bool ok = client_order(client, kind, 0, &c->err);
    client_close(client);
    return ok ? EXIT_DONE : refuse(EXIT_FAILED, &c->err);
}

int cmd_pause(struct cli *c) { return order(c, ORDER_PAUSE); }
int cmd_continue(struct cli *c) { return order(c, ORDER_CONTINUE); }
int cmd_save(struct cli *c) { return order(c, ORDER_SAVE); }
int cmd_stop(struct cli *c) { return order(c, ORDER_STOP); }

/* ---- lists ---- */

int cmd_rm(struct cli *c)
{
    const char *dir;
    char question[600];
    if (!run_find(&dir, c->words[0], &c->places, c->a, &c->err))
        return refuse(EXIT_REFUSED, &c->err);
    if (run_is_held(dir))
        return fail(&c->err, "run %s is running; stop it first: hone stop %s", path_base(dir),
                    path_base(dir)),
               refuse(EXIT_FAILED, &c->err);
    snprintf(question, sizeof question, "Remove %.400s with all its checkpoints?", dir);
    if (!cli_agreed(c, question)) return refuse(EXIT_USAGE, &c->err);
    return dir_remove(dir, &c->err) ? EXIT_DONE : refuse(EXIT_FAILED, &c->err);
}

static void run_json(struct buf *b, const struct run_summary *s)
{
    const char *const texts[][2] = {{"name", s->name},
                                    {"path", s->path},
                                    {"profile", s->profile},
                                    {"stage", s->stage},
                                    {"state", run_state_name(s->state)},
                                    {"why", s->why}};
    buf_put(b, "{", 1);
    for (size_t i = 0; i < COUNT(texts); i++) {
        json_put_key(b, texts[i][0]);
        json_put_text(b, text_of(texts[i][1] ? texts[i][1] : ""));
    }
    json_put_key(b, "step");
    json_put_int(b, s->step);
    json_put_key(b, "steps");
    json_put_int(b, s->steps);
    json_put_key(b, "held");
    json_put_int(b, s->held);
    json_put_key(b, "loss");
    json_put_num(b, s->loss);
    json_put_key(b, "started");
    json_put_num(b, s->started);
    json_put_key(b, "changed");
    json_put_num(b, s->changed);
    buf_put(b, "}", 1);
}

int cmd_runs(struct cli *c)
{
    struct run_summary *list;
    int n;
    struct buf b = buf_make(c->a);
    if (!run_list(&list, &n, &c->places, c->a, &c->err)) return refuse(EXIT_FAILED, &c->err);
    if (c->o.json) buf_printf(&b, "{\"runs\":[");
    else if (n == 0) buf_printf(&b, "no runs yet; `hone train profiles/demo.yaml` starts one\n");
    for (int i = 0; i < n; i++) {
        const struct run_summary *s = &list[i];
        char loss[24] = "-";
        if (isfinite(s->loss)) snprintf(loss, sizeof loss, "%.4f", s->loss);
        if (c->o.json && i) buf_put(&b, ",", 1);
        if (c->o.json) run_json(&b, s);
        else
            buf_printf(&b, "%-32s %-10s %-12s %6lld of %-6lld loss %-8s %s\n", s->name,
                       run_state_name(s->state), s->stage ? s->stage : "", (long long)s->step,
                       (long long)s->steps, loss,
                       s->state == RUN_FAILED || s->state == RUN_LOST ? s->why : "");
    }
    if (c->o.json) buf_printf(&b, "]}\n");
    (c->o.json ? print_text : print_safe)(buf_text(&b));
    return EXIT_DONE;
}

/* The columns of metrics.bin; a number that is not finite is empty in CSV and null in JSON. */
static const struct {
    const char *name;
    size_t at;
} columns[] = {
#define COLUMN(x)                      \
    {                                  \
#x, offsetof(struct metric, x) \
    }
    COLUMN(step),    COLUMN(loss), COLUMN(lr),  COLUMN(grad_norm), COLUMN(seconds), COLUMN(tokens),
    COLUMN(trained), COLUMN(mfu),  COLUMN(hfu), COLUMN(memory),    COLUMN(t)
#undef COLUMN
};

static void metric_line(struct buf *b, const struct metric *m, bool json)
{
    b->n = 0;
    if (json) buf_put(b, "{", 1);
    for (size_t i = 0; i < COUNT(columns); i++) {
        double v = *(const double *)(const void *)((const char *)m + columns[i].at);
        if (json) json_put_key(b, columns[i].name);
        else if (i) buf_put(b, ",", 1);
        if (json || isfinite(v)) json_put_num(b, v);
    }
    buf_printf(b, json ? "}\n" : "\n");
}

int cmd_metrics(struct cli *c)
{
    const char *dir;
    struct metric *list;
    int64_t n;
    struct buf b = buf_make(c->a);
    if (!run_find(&dir, c->words[0], &c->places, c->a, &c->err) ||
        !run_metrics(&list, &n, dir, c->a, &c->err))
        return refuse(EXIT_REFUSED, &c->err);
    for (size_t i = 0; !c->o.json && i < COUNT(columns); i++)
        printf("%s%s", i ? "," : "", columns[i].name);
    if (!c->o.json) printf("\n");
    for (int64_t i = 0; i < n; i++) {
        metric_line(&b, &list[i], c->o.json);
        print_text(buf_text(&b));
    }
    return EXIT_DONE;
}
