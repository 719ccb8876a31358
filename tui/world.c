/* world.c - one function a wish, found by the wish. */
#include "tui/world_does.h"
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void world_start(struct world *w, struct app *a, struct term *t, const struct places *p)
{
    *w = (struct world){
        .app = a, .term = t, .places = p, .arena = arena_make(0), .client_arena = arena_make(0)};
    for (int i = 0; i < JOBS; i++) w->jobs[i] = JOB_IDLE;
    sensors_find(&w->sensors, "/sys");
}

void world_end(struct world *w)
{
    for (int i = 0; i < JOBS; i++) job_end(&w->jobs[i]);
    if (w->following) follow_close(&w->follower);
    close_client(w);
    arena_drop(&w->client_arena);
    arena_drop(&w->arena);
}

/* ---- runs ---- */

void do_runs(struct world *w, const struct wish *x)
{
    struct run_summary *list = NULL;
    int n = 0;
    struct err err;
    (void)x;
    if (path_is_dir(w->places->runs) && !run_list(&list, &n, w->places, &w->arena, &err))
        app_runs(w->app, NULL, 0, err.text);
    else app_runs(w->app, list, n, NULL);
}

void world_open_run(struct world *w, const char *dir)
{
    struct err err;
    struct app *a = w->app;
    int64_t at = 0;
    if (w->following) follow_close(&w->follower);
    w->following = false;
    a->live.open = history_read(&a->live.fold, dir, &at, &err);
    a->live.scroll = 0;
    a->live.found = -1;
    a->dirty = true;
    w->cpu_at = 0;
    if (!a->live.open) {
        fold_drop(&a->live.fold);
        SAY(w, err);
        return;
    }
    w->following = follow_open(&w->follower, dir, &w->arena, &err);
    w->follower.at = at;
    app_go(a, SCREEN_LIVE);
}

void world_find_run(struct world *w)
{
    struct run_summary *list = NULL;
    int n = 0;
    struct err err;
    if (!path_is_dir(w->places->runs) || !run_list(&list, &n, w->places, &w->arena, &err)) return;
    for (int i = 0; i < n; i++)
        if (run_state_lives(list[i].state)) {
            world_open_run(w, list[i].path);
            break;
        }
}

void do_open_run(struct world *w, const struct wish *x) { world_open_run(w, x->text); }

void do_remove(struct world *w, const struct wish *x)
{
    struct err err;
    struct app *a = w->app;
    if (run_is_held(x->text)) {
        app_notice(a, STYLE_BAD, "%s is at work: stop it first", path_base(x->text));
        return;
    }
    if (a->live.open && strcmp(a->live.fold.dir, x->text) == 0) {
        if (w->following) follow_close(&w->follower);
        w->following = a->live.open = false;
        fold_drop(&a->live.fold);
    }
    if (!dir_remove(x->text, &err)) SAY(w, err);
    else app_notice(a, STYLE_PLAIN, "%s is removed", path_base(x->text));
    do_runs(w, x);
}

void do_checkpoints(struct world *w, const struct wish *x)
{
    struct checkpoint *list;
    int n;
    struct err err;
    if (checkpoint_list(&list, &n, x->text, false, &w->arena, &err))
        app_checkpoints(w->app, list, n, NULL);
    else app_checkpoints(w->app, NULL, 0, err.text);
}

void do_order(struct world *w, const struct wish *x)
{
    static const char *const taken[ORDERS] = {
        [ORDER_PAUSE] = "it pauses after this step",
        [ORDER_CONTINUE] = "it goes on",
        [ORDER_SAVE] = "it saves a checkpoint after this step",
        [ORDER_STOP] = "it saves a checkpoint and stops after this step",
        [ORDER_LEARNING_RATE] = "the learning rate counts from the next step on"};
    struct client *c;
    struct err err;
    struct arena a = arena_make(0);
    bool ok = client_open(&c, w->app->live.fold.dir, &a, &err);
    if (ok) {
        ok = client_order(c, (enum order_kind)x->number, x->value, &err);
        client_close(c);
    }
    w->refused = !ok;
    w->stopping = ok && x->number == ORDER_STOP;
    if (!ok) SAY(w, err);
    else app_notice(w->app, STYLE_PLAIN, "%s", taken[x->number]);
    arena_drop(&a);
}

/* ---- the terminal ---- */

void do_suspend(struct world *w, const struct wish *x)
{
    (void)x;
    if (!w->term) return;
    term_pause(w->term);
    kill(0, SIGSTOP);
    term_resume(w->term);
    w->app->dirty = true;
}

void do_mouse(struct world *w, const struct wish *x)
{
    if (w->term) term_mouse(w->term, x->number != 0);
}

void do_repaint(struct world *w, const struct wish *x)
{
    (void)x;
    if (w->term) term_repaint(w->term);
    w->app->dirty = true;
}

void do_quit(struct world *w, const struct wish *x)
{
    (void)x;
    w->quit = true;
}

void world_wishes(struct world *w)
{
    static void (*const does[])(struct world *, const struct wish *) = {
        [WISH_MODELS] = do_models,
        [WISH_FOLDERS] = do_folders,
        [WISH_ADD_FOLDER] = do_add_folder,
        [WISH_DROP_FOLDER] = do_drop_folder,
        [WISH_PRESETS] = do_presets,
        [WISH_OPEN_PROFILE] = do_open_profile,
        [WISH_WRITE_PROFILE] = do_write_profile,
        [WISH_COMPLETE] = do_complete,
        [WISH_EDITOR] = do_editor,
        [WISH_PLAN] = do_plan,
        [WISH_PREVIEW] = do_preview,
        [WISH_LAUNCH] = do_launch,
        [WISH_RUNS] = do_runs,
        [WISH_OPEN_RUN] = do_open_run,
        [WISH_RESUME] = do_resume,
        [WISH_REMOVE] = do_remove,
        [WISH_CHECKPOINTS] = do_checkpoints,
        [WISH_ORDER] = do_order,
        [WISH_CHAT_OPEN] = do_chat_open,
        [WISH_ASK] = do_ask,
        [WISH_STOP_ANSWER] = do_stop_answer,
        [WISH_KEEP_CHAT] = do_keep_chat,
        [WISH_SAVE_CHAT] = do_save_chat,
        [WISH_PAST] = do_past,
        [WISH_PAST_OPEN] = do_past_open,
        [WISH_EDIT_CHAT] = do_edit_chat,
        [WISH_COPY] = do_copy,
        [WISH_MOUSE] = do_mouse,
        [WISH_SUSPEND] = do_suspend,
        [WISH_REPAINT] = do_repaint,
        [WISH_QUIT] = do_quit,
    };
    w->refused = false;
    for (int i = 0; i < w->app->n_wishes && !w->refused; i++) { /* a wish may make more of them */
        struct wish x = w->app->wishes[i];
        does[x.kind](w, &x);
        arena_drop(&w->arena);
        w->arena = arena_make(0);
    }
    w->app->n_wishes = 0;
}

/* ---- news ---- */

static void launched(struct world *w, struct job *j, int code)
{
    w->app->profile.launching = false;
    if (code) {
        app_notice(w->app, STYLE_BAD, "not started: %s", job_error(j, code));
        return;
    }
    w->app->notice[0] = 0;
    world_open_run(w, arena_string(&w->arena, buf_text(&j->said).p, j->said.n));
}

static void job_done(struct world *w, enum job_kind kind, int code)
{
    struct job *j = &w->jobs[kind];
    struct text said = buf_text(&j->said);
    const char *error = code ? job_error(j, code) : NULL;
    if (kind == JOB_MODELS) app_models(w->app, said, error);
    if (kind == JOB_PLAN) app_plan(w->app, said, error);
    if (kind == JOB_PREVIEW) app_preview(w->app, said, error);
    if (kind == JOB_LAUNCH) launched(w, j, code);
    job_end(j);
}

static void each_event(void *arg, const struct event *e, struct text line)
{
    struct world *w = arg;
    (void)line;
    fold_event(&w->app->live.fold, e);
    w->app->dirty = true;
}

/* Processor time of the run's engine since the last reading, in cores. */
static double cpu_cores(struct world *w, double now)
{
    char path[64], text[512], *p;
    long long user = 0, system = 0;
    snprintf(path, sizeof path, "/proc/%lld/stat", (long long)w->app->live.fold.pid);
    int fd = w->app->live.fold.pid > 0 ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0) return NAN;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    text[n > 0 ? n : 0] = 0;
    p = strrchr(text, ')');
    if (!p || sscanf(p + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lld %lld", &user,
                     &system) != 2)
        return NAN;
    double seconds = now - w->cpu_at,
           ticks = (double)(user + system - w->cpu_ticks) / (double)sysconf(_SC_CLK_TCK);
    bool first = w->cpu_at == 0;
    w->cpu_at = now;
    w->cpu_ticks = user + system;
    return first || seconds <= 0 ? NAN : ticks / seconds;
}

/* What changes without an event: a list of runs, an engine that died, the load. Once a second. */
static void slow_news(struct world *w, double now)
{
    struct app *a = w->app;
    struct err err;
    if (now - w->slow < 1) return;
    w->slow = now;
    if (a->screen == SCREEN_RUNS) wish(a, WISH_RUNS, "", 0);
    if (!a->live.open || !fold_lives(&a->live.fold)) return;
    struct run_summary s;
    if (run_summary_read(&s, a->live.fold.dir, &w->arena, &err)) {
        a->live.fold.pid = s.pid;
        a->live.fold.held = s.held;
        if (s.held) { /* its events do not reach the file that is followed */
            a->live.fold.state = s.state;
            snprintf(a->live.fold.why, sizeof a->live.fold.why, "%s", s.why);
        }
        if (s.state == RUN_LOST) {
            a->live.fold.state = RUN_LOST;
            app_notice(a, STYLE_BAD,
                       "the engine of %s is gone; r resumes it from its newest "
                       "checkpoint",
                       a->live.fold.name);
        }
    }
    a->live.fold.cpu = cpu_cores(w, now);
    struct sensor_readings sensed = sensors_read(&w->sensors, now);
    a->live.celsius = sensed.celsius;
    a->live.watts = sensed.watts;
    a->dirty = true;
}

void world_news(struct world *w, double now)
{
    struct err err;
    struct reply r;
    int code, n;
    for (int i = 0; i < JOBS; i++)
        if (job_poll(&w->jobs[i], &code)) job_done(w, (enum job_kind)i, code);
    if (w->following && !follow_read(&w->follower, &n, each_event, w, &err)) {
        follow_close(&w->follower);
        w->following = false;
        SAY(w, err);
    }
    if (w->following && w->follower.damaged) {
        fail(&err, "%lld lines of %s are damaged; what they said is not shown",
             (long long)w->follower.damaged, w->follower.path);
        w->follower.damaged = 0;
        SAY(w, err);
    }
    for (int i = 0; w->client && i < 1000; i++) {
        if (!client_next(w->client, &r, &err))
            r = (struct reply){.kind = REPLY_GONE, .text = text_of(err.text), .step = -1};
        if (r.kind == REPLY_NONE) break;
        app_reply(w->app, &r);
        if (r.kind == REPLY_GONE) close_client(w);
    }
    slow_news(w, now);
    arena_drop(&w->arena);
    w->arena = arena_make(0);
}
