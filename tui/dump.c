/* dump.c - a screen without a terminal: a saved state, keys, and the grid printed.
 *
 * Wishes that only read are done from the state's files; what would start, order or write anything
 * is not done. So README's picture and the golden tests are what the program shows, byte for byte.
 * */
#include "engine/format/json.h"
#include "tui/keys.h"
#include "tui/view.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

#define STATE_MOST (64 << 20)

struct dump {
    struct app *app;
    struct places places;
    const char *state;
    struct arena *a;
    bool held;
    double busy; /* cores of the engine; NaN: no reading */
};

static bool state_file(struct dump *d, const char *name, struct text *out)
{
    struct err err;
    const char *path = path_join(d->a, d->state, name);
    return d->state && path_exists(path) && file_read(out, path, STATE_MOST, d->a, &err);
}

static void open_run(struct dump *d, const char *dir)
{
    struct err err;
    int64_t at;
    struct live_show *l = &d->app->live;
    l->open = history_read(&l->fold, dir, &at, &err);
    if (!l->open) {
        fold_drop(&l->fold);
        app_notice(d->app, STYLE_BAD, "%s", err.text);
        return;
    }
    if (d->held && l->fold.state == RUN_LOST) l->fold.state = l->fold.told;
    l->fold.cpu = d->busy;
    app_go(d->app, SCREEN_LIVE);
}

static void list_runs(struct dump *d)
{
    struct run_summary *list = NULL;
    int n = 0;
    struct err err;
    if (path_is_dir(d->places.runs) && !run_list(&list, &n, &d->places, d->a, &err)) n = 0;
    for (int i = 0; i < n; i++)
        if (d->held && list[i].state == RUN_LOST) {
            list[i].state = RUN_TRAINING;
            list[i].why[0] = 0;
        }
    app_runs(d->app, list, n, NULL);
}

/* folders.json: [{"path", "from": 0..3 as enum folder_from, "there"}] */
static void list_folders(struct dump *d)
{
    struct text t;
    struct err err;
    const struct json *all;
    struct model_folder list[16];
    int n = 0;
    if (!state_file(d, "folders.json", &t) ||
        !json_parse(&all, t, "folders.json", (struct json_limits){0}, d->a, &err))
        return;
    for (int i = 0; all->kind == JSON_ARRAY && i < all->n && n < (int)COUNT(list); i++) {
        struct text path = {0};
        int64_t from = 0;
        bool there = false;
        if (!json_get_text(&path, &all->items[i], "path", "folders.json", &err) || !path.n ||
            !json_get_int(&from, &all->items[i], "from", 0, FOLDER_HUB, "folders.json", &err) ||
            !json_get_bool(&there, &all->items[i], "there", "folders.json", &err))
            continue;
        list[n++] = (struct model_folder){path.p, path.p, (enum folder_from)from, there};
    }
    app_folders(d->app, list, n);
}

static void list_presets(struct dump *d)
{
    struct text t;
    struct preset one = {"profile.yaml", "profile", ""};
    if (!state_file(d, "profile.yaml", &t)) return;
    if (t.n > 2 && t.p[0] == '#') one.about = arena_string(d->a, t.p + 2, strcspn(t.p + 2, "\n"));
    app_presets(d->app, &one, 1);
}

static void wishes(struct dump *d)
{
    struct app *a = d->app;
    struct text t;
    app_tick(a, a->now + 1); /* long enough for everything that waits */
    a->now -= 1;
    for (int i = 0; i < a->n_wishes; i++) {
        struct wish x = a->wishes[i];
        if (x.kind == WISH_RUNS) list_runs(d);
        if (x.kind == WISH_OPEN_RUN) open_run(d, x.text);
        if (x.kind == WISH_PRESETS) list_presets(d);
        if (x.kind == WISH_MODELS && state_file(d, "models.json", &t)) app_models(a, t, NULL);
        if (x.kind == WISH_FOLDERS) list_folders(d);
        if (x.kind == WISH_PLAN && state_file(d, "check.json", &t)) app_plan(a, t, NULL);
        if (x.kind == WISH_OPEN_PROFILE && state_file(d, "profile.yaml", &t))
            app_profile(a, "profile.yaml", t);
        if (x.kind == WISH_PREVIEW) {
            bool there = state_file(d, "preview.json", &t);
            app_preview(a, there ? t : TEXT(""),
                        there ? NULL : "the saved state holds no preview.json");
        }
    }
    a->n_wishes = 0;
}

static void read_chat(struct dump *d)
{
    struct text t;
    struct chat_past past;
    struct chat_show *c = &d->app->chat;
    if (!state_file(d, "chat.jsonl", &t) || !chat_past_read(&past, t, "chat.jsonl", d->a)) return;
    past.at = d->app->now;
    app_past(d->app, &past, 1);
    app_transcript(d->app, &past);
    c->open = true;
    c->opening = c->training = false;
    d->app->screen = SCREEN_MODELS;
}

/* screen.json, and what is there of everything else. */
static bool read_state(struct dump *d, struct err *err)
{
    struct text t, run = {0}, device = {0};
    const struct json *screen = NULL;
    double now = 0;
    bool held = false;
    struct app *a = d->app;
    if (d->state && !path_is_dir(d->state))
        return fail(err,
                    "%s is no folder: --state wants a run's folder or one with saved files, "
                    "such as models.json, profile.yaml, check.json, runs/",
                    d->state);
    if (state_file(d, "screen.json", &t)) {
        const char *where = path_join(d->a, d->state, "screen.json");
        if (!json_parse(&screen, t, where, (struct json_limits){0}, d->a, err) ||
            !json_get_num(&now, screen, "now", 0, 1e12, where, err) ||
            !json_get_text(&run, screen, "run", where, err) ||
            !json_get_text(&device, screen, "device", where, err) ||
            !json_get_bool(&held, screen, "held", where, err) ||
            !json_get_num(&a->live.celsius, screen, "celsius", -100, 1000, where, err) ||
            !json_get_num(&a->live.watts, screen, "watts", 0, 1e6, where, err) ||
            !json_get_num(&d->busy, screen, "busy", 0, 10000, where, err))
            return false;
    }
    d->held = held;
    a->now = now;
    if (device.n)
        snprintf(a->device, sizeof a->device, "%.*s", (int)(device.n > 60 ? 60 : device.n),
                 device.p);
    if (state_file(d, "models.json", &t)) app_models(a, t, NULL);
    read_chat(d);
    if (state_file(d, "profile.yaml", &t)) app_profile(a, "profile.yaml", t);
    list_runs(d);
    wishes(d);
    app_go(a, SCREEN_MODELS);
    if (d->state && path_exists(path_join(d->a, d->state, "events.jsonl"))) open_run(d, d->state);
    else if (run.n) {
        open_run(d, path_join(d->a, d->places.runs, run.p));
        a->screen = SCREEN_MODELS;
    }
    if (!now && a->live.open) a->now = a->live.fold.changed;
    wishes(d);
    return true;
}

/* "3?<Enter>": the next key of the text. */
static bool next_key(struct text *keys, int32_t *key, struct err *err)
{
    const char *end = keys->p[0] == '<' ? memchr(keys->p, '>', keys->n) : NULL;
    size_t n;
    if (end && end > keys->p + 1) {
        struct text name = {keys->p + 1, (size_t)(end - keys->p) - 1};
        *key = key_named(name);
        n = name.n + 2;
        if (*key == 0)
            return fail(err, "--keys: there is no key <%.*s>", (int)(name.n > 40 ? 40 : name.n),
                        name.p);
    } else n = (size_t)utf8_decode(keys->p, keys->n, key);
    keys->p += n;
    keys->n -= n;
    return *key > 0 || fail(err, "--keys is no UTF-8");
}

bool tui_dump(struct buf *out, const struct places *p, const struct dump_options *o,
              struct err *err)
{
    struct arena arena = arena_make(0);
    struct app *a = NEW(&arena, struct app);
    struct dump d = {.app = a, .places = *p, .a = &arena, .busy = NAN};
    struct grid g = {0};
    struct text keys = text_of(o->keys ? o->keys : "");
    grid_locale();
    if (o->state) d.state = path_join(&arena, NULL, o->state);
    d.places.runs = d.state ? path_join(&arena, d.state, "runs") : "";
    app_start(a, &d.places, o->width, o->height, 0,
              o->glyphs == GLYPHS_AUTO ? GLYPHS_BRAILLE : o->glyphs);
    snprintf(a->device, sizeof a->device, "CPU");
    a->utc = true;
    bool ok = read_state(&d, err);
    while (ok && keys.n) {
        int32_t key;
        ok = next_key(&keys, &key, err);
        if (ok) app_key(a, key);
        wishes(&d);
    }
    if (ok) {
        view_draw(a, &g);
        if (o->svg) grid_picture(&g, o->light, out);
        else grid_print(&g, o->styles, out);
    }
    grid_drop(&g);
    app_drop(a);
    arena_drop(&arena);
    return ok;
}
