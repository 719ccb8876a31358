/* world.c - one function a wish, found by the wish. */
#include "tui/world.h"
#include "engine/format/json.h"
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROFILE_MOST (256 << 10)
#define SAY(w, err) app_notice((w)->app, STYLE_BAD, "%s", (err).text)

void world_start(struct world *w, struct app *a, struct term *t, const struct places *p)
{
    *w = (struct world){
        .app = a, .term = t, .places = p, .arena = arena_make(0), .client_arena = arena_make(0)};
    for (int i = 0; i < JOBS; i++) w->jobs[i] = JOB_IDLE;
}

static void close_client(struct world *w)
{
    if (w->client) client_close(w->client);
    w->client = NULL;
    arena_drop(&w->client_arena);
    w->client_arena = arena_make(0);
}

void world_end(struct world *w)
{
    for (int i = 0; i < JOBS; i++) job_end(&w->jobs[i]);
    if (w->following) follow_close(&w->follower);
    close_client(w);
    arena_drop(&w->client_arena);
    arena_drop(&w->arena);
}

/* ---- models and profiles ---- */

static void do_models(struct world *w, const struct wish *x)
{
    struct err err;
    (void)x;
    w->app->models.loading = true;
    if (!job_start(&w->jobs[JOB_MODELS],
                   (const char *const[]){w->places->program, "models", "--json", NULL}, &err))
        app_models(w->app, TEXT(""), err.text);
}

static void do_add_folder(struct world *w, const struct wish *x)
{
    struct err err;
    const char *folder = path_join(&w->arena, NULL, x->text);
    if (!path_is_dir(folder)) app_notice(w->app, STYLE_BAD, "%s is no folder", folder);
    else if (!models_add_folder(folder, w->places, &w->arena, &err)) SAY(w, err);
    else do_models(w, x);
}

/* The head comment's first line says what a preset teaches. */
static const char *about(struct world *w, const char *path)
{
    struct text t;
    struct err err;
    if (!file_read(&t, path, PROFILE_MOST, &w->arena, &err))
        return err.text[0] ? arena_string(&w->arena, err.text, strlen(err.text)) : "";
    if (t.n < 2 || t.p[0] != '#') return "";
    size_t n = strcspn(t.p + 1, "\n");
    return arena_string(&w->arena, t.p + 1 + (t.p[1] == ' '), n - (n > 0 && t.p[1] == ' '));
}

static void presets_of(struct world *w, const char *folder, const char *prefix,
                       struct preset **list, int *n, int *cap)
{
    struct err err;
    char **names;
    int count;
    if (!path_is_dir(folder) || !dir_list(&names, &count, folder, &w->arena, &err)) return;
    for (int i = 0; i < count; i++) {
        size_t len = strlen(names[i]);
        if (len < 6 || strcmp(names[i] + len - 5, ".yaml") != 0) continue;
        ROOM(&w->arena, *list, *n, *cap);
        const char *path = path_join(&w->arena, folder, names[i]);
        struct preset p = {path, arena_printf(&w->arena, "%s%.*s", prefix, (int)len - 5, names[i]),
                           about(w, path)};
        bool first = strcmp(p.name, "demo") == 0;
        if (first && *n) memmove(*list + 1, *list, sizeof **list * (size_t)*n);
        (*list)[first ? 0 : *n] = p;
        ++*n;
    }
}

static void do_presets(struct world *w, const struct wish *x)
{
    struct preset *list = NULL;
    int n = 0, cap = 0;
    char here[4096];
    (void)x;
    presets_of(w, w->places->profiles, "", &list, &n, &cap);
    presets_of(w, path_join(&w->arena, w->places->home, "profiles"), "~/", &list, &n, &cap);
    if (getcwd(here, sizeof here)) {
        presets_of(w, here, "./", &list, &n, &cap);
        const char *under = path_join(&w->arena, here, "profiles");
        if (strcmp(under, w->places->profiles) != 0)
            presets_of(w, under, "./profiles/", &list, &n, &cap);
    }
    app_presets(w->app, list, n);
}

static void do_open_profile(struct world *w, const struct wish *x)
{
    struct text t;
    struct err err;
    if (!file_read(&t, x->text, PROFILE_MOST, &w->arena, &err)) SAY(w, err);
    else app_profile(w->app, x->text, t);
}

static void do_write_profile(struct world *w, const struct wish *x)
{
    struct profile_show *p = &w->app->profile;
    struct err err;
    const char *path = path_join(&w->arena, NULL, x->text);
    if (!file_replace(path, p->source, &err)) {
        app_notice(w->app, STYLE_BAD, "%s; W writes to another file", err.text);
        return;
    }
    snprintf(p->path, sizeof p->path, "%s", path);
    p->saved = p->source;
    p->edited = false;
    app_notice(w->app, STYLE_GOOD, "written to %s", path);
}

/* A text for another process: in the cache folder, named by us. */
static const char *scratch_file(struct world *w, const char *name, struct text t, struct err *err)
{
    const char *path =
        arena_printf(&w->arena, "%s/%s.%d.yaml", w->places->cache, name, (int)getpid());
    return dir_make(w->places->cache, err) && file_replace(path, t, err) ? path : NULL;
}

static bool run_editor(struct world *w, const char *path, struct err *err)
{
    const char *editor = getenv("VISUAL");
    int status = 0;
    if (!editor || !editor[0]) editor = getenv("EDITOR");
    if (!editor || !editor[0]) editor = "vi";
    const char *command = arena_printf(&w->arena, "%s \"$1\"", editor);
    term_pause(w->term);
    int pid = fork();
    if (pid == 0) {
        int tty = open("/dev/tty", O_RDWR);
        for (int i = 0; i < 3; i++) dup2(tty, i);
        static const int signals[] = {SIGWINCH, SIGTERM, SIGHUP,  SIGINT, SIGQUIT,
                                      SIGTSTP,  SIGCONT, SIGCHLD, SIGPIPE};
        for (size_t i = 0; i < COUNT(signals); i++) signal(signals[i], SIG_DFL);
        execl("/bin/sh", "sh", "-c", command, "sh", path, (char *)NULL);
        _exit(127);
    }
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR) {}
    term_resume(w->term);
    if (pid < 0) return fail_errno(err, "the system refuses another process");
    return status == 0 ||
           fail(err,
                "the editor \"%.80s\" ended with an error; set EDITOR to one that is installed",
                editor);
}

static void do_editor(struct world *w, const struct wish *x)
{
    struct err err;
    struct text t;
    struct profile_show *p = &w->app->profile;
    (void)x;
    if (!w->term) return;
    const char *path = scratch_file(w, "edit", p->source, &err);
    if (!path || !run_editor(w, path, &err) || !file_read(&t, path, PROFILE_MOST, &w->arena, &err))
        SAY(w, err);
    else form_change(w->app, (struct text){arena_string(&p->texts, t.p, t.n), t.n});
    if (path) unlink(path);
}

/* The form as a file that another process reads: itself where nothing was edited, else with every
 * path absolute. */
static const char *profile_file(struct world *w, struct err *err)
{
    struct profile_show *p = &w->app->profile;
    struct buf b = buf_make(&w->arena);
    if (!p->edited) return p->path;
    profile_write(&p->profile, &b);
    return scratch_file(w, "form", buf_text(&b), err);
}

static void do_plan(struct world *w, const struct wish *x)
{
    struct err err;
    (void)x;
    const char *path = profile_file(w, &err);
    if (!path ||
        !job_start(&w->jobs[JOB_PLAN],
                   (const char *const[]){w->places->program, "check", path, "--json", NULL}, &err))
        app_plan(w->app, TEXT(""), err.text);
}

static void do_preview(struct world *w, const struct wish *x)
{
    struct err err;
    char stage[24], window[24];
    (void)x;
    snprintf(stage, sizeof stage, "%d", w->app->data.stage);
    snprintf(window, sizeof window, "%lld", (long long)w->app->data.window);
    const char *path = profile_file(w, &err);
    const char *const argv[] = {w->places->program, "preview", path,       "--json",
                                "--stage",          stage,     "--window", window,
                                "--count",          "1",       NULL};
    if (!path || !job_start(&w->jobs[JOB_PREVIEW], argv, &err))
        app_preview(w->app, TEXT(""), err.text);
}

/* ---- runs ---- */

struct launch {
    const struct places *places;
    const struct profile *profile;
    const char *dir;
};

static int launch_child(void *arg)
{
    struct launch *l = arg;
    struct arena a = arena_make(0);
    struct err err;
    const char *dir = l->dir;
    bool ok = dir || run_create(&dir, NULL, l->profile, l->places, &a, &err);
    ok = ok && serve_launch(dir, &(struct run_options){.backend = "cpu"}, l->places, &err);
    const char *answer = ok ? dir : err.text;
    return file_write_all(ok ? 1 : 2, answer, strlen(answer), "the answer", &err) && ok ? 0 : 1;
}

static void launch(struct world *w, const char *dir)
{
    struct err err;
    struct launch l = {w->places, &w->app->profile.profile, dir};
    if (job_fork(&w->jobs[JOB_LAUNCH], launch_child, &l, &err)) return;
    w->app->profile.launching = false;
    SAY(w, err);
}

static void do_launch(struct world *w, const struct wish *x)
{
    (void)x;
    launch(w, NULL);
}

static void do_resume(struct world *w, const struct wish *x)
{
    app_notice(w->app, STYLE_PLAIN, "starting ...");
    launch(w, x->text);
}

static void do_runs(struct world *w, const struct wish *x)
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

static void do_open_run(struct world *w, const struct wish *x) { world_open_run(w, x->text); }

static void do_remove(struct world *w, const struct wish *x)
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

static void do_order(struct world *w, const struct wish *x)
{
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
    else
        app_notice(w->app, STYLE_PLAIN, "%s: it counts from the next step on",
                   order_names[x->number]);
    arena_drop(&a);
}

/* ---- chat ---- */

static void do_chat_open(struct world *w, const struct wish *x)
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

static void do_ask(struct world *w, const struct wish *x)
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

static void do_stop_answer(struct world *w, const struct wish *x)
{
    struct err err;
    (void)x;
    if (w->client && !client_stop_answer(w->client, &err)) SAY(w, err);
}

static void do_keep_chat(struct world *w, const struct wish *x)
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

/* ---- the terminal ---- */

/* OSC 52: the terminal at the user's end takes it, also over SSH. */
static void do_copy(struct world *w, const struct wish *x)
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

static void do_suspend(struct world *w, const struct wish *x)
{
    (void)x;
    if (!w->term) return;
    term_pause(w->term);
    kill(0, SIGSTOP);
    term_resume(w->term);
    w->app->dirty = true;
}

static void do_repaint(struct world *w, const struct wish *x)
{
    (void)x;
    if (w->term) term_repaint(w->term);
    w->app->dirty = true;
}

static void do_quit(struct world *w, const struct wish *x)
{
    (void)x;
    w->quit = true;
}

void world_wishes(struct world *w)
{
    static void (*const does[])(struct world *,
                                const struct wish *) = {[WISH_MODELS] = do_models,
                                                        [WISH_ADD_FOLDER] = do_add_folder,
                                                        [WISH_PRESETS] = do_presets,
                                                        [WISH_OPEN_PROFILE] = do_open_profile,
                                                        [WISH_WRITE_PROFILE] = do_write_profile,
                                                        [WISH_EDITOR] = do_editor,
                                                        [WISH_PLAN] = do_plan,
                                                        [WISH_PREVIEW] = do_preview,
                                                        [WISH_LAUNCH] = do_launch,
                                                        [WISH_RUNS] = do_runs,
                                                        [WISH_OPEN_RUN] = do_open_run,
                                                        [WISH_RESUME] = do_resume,
                                                        [WISH_REMOVE] = do_remove,
                                                        [WISH_ORDER] = do_order,
                                                        [WISH_CHAT_OPEN] = do_chat_open,
                                                        [WISH_ASK] = do_ask,
                                                        [WISH_STOP_ANSWER] = do_stop_answer,
                                                        [WISH_KEEP_CHAT] = do_keep_chat,
                                                        [WISH_COPY] = do_copy,
                                                        [WISH_SUSPEND] = do_suspend,
                                                        [WISH_REPAINT] = do_repaint,
                                                        [WISH_QUIT] = do_quit};
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
        if (s.state == RUN_LOST) {
            a->live.fold.state = RUN_LOST;
            app_notice(a, STYLE_BAD,
                       "the engine of %s is gone; r resumes it from its newest "
                       "checkpoint",
                       a->live.fold.name);
        }
    }
    a->live.fold.cpu = cpu_cores(w, now);
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
