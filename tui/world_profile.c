/* world_profile.c - wishes about models, profiles and their plans; and starting a run. */
#include "tui/world_does.h"
#include "engine/format/json.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- models and profiles ---- */

void do_models(struct world *w, const struct wish *x)
{
    struct err err;
    (void)x;
    w->app->models.loading = true;
    if (!job_start(&w->jobs[JOB_MODELS],
                   (const char *const[]){w->places->program, "models", "--json", NULL}, &err))
        app_models(w->app, TEXT(""), err.text);
}

void do_add_folder(struct world *w, const struct wish *x)
{
    struct err err;
    const char *folder = path_join(&w->arena, NULL, x->text);
    if (!path_is_dir(folder)) app_notice(w->app, STYLE_BAD, "%s is no folder", folder);
    else if (!models_add_folder(folder, w->places, &w->arena, &err)) SAY(w, err);
    else {
        do_folders(w, x);
        do_models(w, x);
    }
}

void do_folders(struct world *w, const struct wish *x)
{
    struct model_folder *list;
    int n;
    struct err err;
    (void)x;
    if (!models_folders(&list, &n, w->places, &w->arena, &err)) SAY(w, err);
    else app_folders(w->app, list, n);
}

void do_drop_folder(struct world *w, const struct wish *x)
{
    struct err err;
    if (!models_remove_folder(x->text, w->places, &w->arena, &err)) SAY(w, err);
    else {
        app_notice(w->app, STYLE_PLAIN, "%s is looked into no more; its files stay", x->text);
        do_folders(w, x);
        do_models(w, x);
    }
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

void do_presets(struct world *w, const struct wish *x)
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

void do_open_profile(struct world *w, const struct wish *x)
{
    struct text t;
    struct err err;
    if (!file_read(&t, x->text, PROFILE_MOST, &w->arena, &err)) SAY(w, err);
    else app_profile(w->app, x->text, t);
}

/* What is there already is written over only where it is what was opened, or after a yes. */
static bool asks_before_writing(struct world *w, const char *path)
{
    struct app *a = w->app;
    struct text there;
    struct err err;
    bool same = strcmp(path, a->profile.path) == 0;
    if (!path_exists(path) || !file_read(&there, path, PROFILE_MOST, &w->arena, &err) ||
        (same && text_equal(there, a->profile.saved)))
        return false;
    a->confirm = CONFIRM_OVERWRITE;
    snprintf(a->confirm_path, sizeof a->confirm_path, "%s", path);
    snprintf(a->confirm_text, sizeof a->confirm_text,
             same ? "%s was changed by somebody else since it was opened here. Write over it?"
                  : "%s is there already. Write over it?",
             path);
    app_popup(a, POPUP_CONFIRM);
    return true;
}

void do_write_profile(struct world *w, const struct wish *x)
{
    struct app *a = w->app;
    struct profile_show *p = &a->profile;
    struct err err, none;
    struct text out;
    char here[4096] = "";
    const char *path = path_join(&w->arena, getcwd(here, sizeof here), x->text);
    const char *own = path_join(&w->arena, w->places->home, "profiles");
    if (!x->number && asks_before_writing(w, path)) return;
    if (strncmp(path, own, strlen(own)) == 0) dir_make(own, &none);
    if (!form_away(a, path, &out, &p->texts, &err) || !file_replace(path, out, &err)) {
        app_notice(a, STYLE_BAD, "%s; W writes to another file", err.text);
        return;
    }
    snprintf(p->path, sizeof p->path, "%s", path);
    form_saved(a, out);
    app_notice(a, STYLE_GOOD, "written to %s", path);
}

/* ---- a file's name, as far as it is typed ---- */

struct names {
    const char *common;
    size_t same;
    int n;
    struct buf all;
};

static void name_fits(struct world *w, struct names *f, const char *dir, const char *name)
{
    const char *slash = path_is_dir(path_join(&w->arena, dir, name)) ? "/" : "";
    const char *whole = arena_printf(&w->arena, "%s%s", name, slash);
    size_t n = strlen(whole);
    if (f->n++ == 0) {
        f->common = whole;
        f->same = n;
    }
    for (size_t i = 0; i < f->same; i++)
        if (i >= n || whole[i] != f->common[i]) f->same = i;
    while (f->same > 0 && ((unsigned char)f->common[f->same] & 0xC0) == 0x80) f->same--;
    buf_printf(&f->all, "%s%s", f->all.n ? "  " : "", whole);
}

void do_complete(struct world *w, const struct wish *x)
{
    struct app *a = w->app;
    struct err err;
    char **names, here[4096];
    int n;
    struct names f = {.all = buf_make(&w->arena)};
    bool of_profile = a->prompt.kind == PROMPT_VALUE || a->prompt.kind == PROMPT_DATASET;
    const char *base = of_profile                  ? path_dir(&w->arena, a->profile.path)
                       : getcwd(here, sizeof here) ? here
                                                   : "/";
    const char *typed = x->text, *last = path_base(typed);
    size_t front = (size_t)(last - typed);
    const char *dir =
        path_join(&w->arena, base, front ? arena_string(&w->arena, typed, front) : ".");
    if (!dir_list(&names, &n, dir, &w->arena, &err)) return;
    for (int i = 0; i < n; i++)
        if (strncmp(names[i], last, strlen(last)) == 0 && (names[i][0] != '.' || last[0] == '.'))
            name_fits(w, &f, dir, names[i]);
    if (f.n == 0) {
        app_completed(a, text_of(typed), "no file's name begins so");
        return;
    }
    const char *whole =
        arena_printf(&w->arena, "%.*s%.*s", (int)front, typed, (int)f.same, f.common);
    app_completed(a, text_of(whole), f.n > 1 ? buf_text(&f.all).p : "");
}

const char *scratch_file(struct world *w, const char *name, struct text t, struct err *err)
{
    const char *path = arena_printf(&w->arena, "%s/%d.%s", w->places->cache, (int)getpid(), name);
    return dir_make(w->places->cache, err) && file_replace(path, t, err) ? path : NULL;
}

bool run_editor(struct world *w, const char *path, struct err *err)
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

void do_editor(struct world *w, const struct wish *x)
{
    struct err err;
    struct text t;
    struct profile_show *p = &w->app->profile;
    (void)x;
    if (!w->term) return;
    const char *path = scratch_file(w, "edit.yaml", p->source, &err);
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
    return scratch_file(w, "form.yaml", buf_text(&b), err);
}

void do_plan(struct world *w, const struct wish *x)
{
    struct err err;
    (void)x;
    const char *path = profile_file(w, &err);
    if (!path ||
        !job_start(&w->jobs[JOB_PLAN],
                   (const char *const[]){w->places->program, "check", path, "--json", NULL}, &err))
        app_plan(w->app, TEXT(""), err.text);
}

void do_preview(struct world *w, const struct wish *x)
{
    const struct data_show *d = &w->app->data;
    struct err err;
    char stage[24], window[24];
    (void)x;
    snprintf(stage, sizeof stage, "%d", d->stage);
    snprintf(window, sizeof window, "%lld", (long long)d->window);
    const char *path = profile_file(w, &err);
    const char *model = arena_printf(&w->arena, "base_model=%s", d->model);
    const char *argv[] = {
        w->places->program, "preview", path, "--json", "--stage", stage, "--window", window,
        "--count",          "1",       NULL, NULL,     NULL};
    if (d->model[0]) {
        argv[10] = "--set";
        argv[11] = model;
    }
    if (!path || !job_start(&w->jobs[JOB_PREVIEW], argv, &err))
        app_preview(w->app, TEXT(""), err.text);
}

/* ---- starting a run ---- */

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
    ok = ok && serve_launch(dir, &(struct run_options){.backend = NULL}, l->places, &err);
    const char *answer = ok ? dir : err.text;
    return file_write_all(ok ? 1 : 2, answer, strlen(answer), "the answer", &err) && ok ? 0 : 1;
}

static void launch(struct world *w, const char *dir, const struct profile *profile)
{
    struct err err;
    struct launch l = {w->places, profile, dir};
    if (job_fork(&w->jobs[JOB_LAUNCH], launch_child, &l, &err)) return;
    w->app->profile.launching = false;
    SAY(w, err);
}

/* The plan's own profile is what runs: all that was open is pinned in it. */
void do_launch(struct world *w, const struct wish *x)
{
    struct profile_show *p = &w->app->profile;
    const struct json *text = json_get(p->plan, "profile");
    struct profile pinned;
    struct err err;
    (void)x;
    if (text && text->kind == JSON_TEXT &&
        profile_parse(&pinned, text->text, p->path, NULL, 0, NULL, &w->arena, &err)) {
        launch(w, NULL, &pinned);
        return;
    }
    p->launching = false;
    app_notice(w->app, STYLE_BAD, "not started: %s",
               text ? err.text : "the plan does not say what it is for");
}

void do_resume(struct world *w, const struct wish *x)
{
    app_notice(w->app, STYLE_PLAIN, "starting ...");
    launch(w, x->text, NULL);
}
