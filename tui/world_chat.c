/* world_chat.c - wishes about conversations. */
#include "tui/world_does.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

void close_client(struct world *w)
{
    if (w->client) client_close(w->client);
    w->client = NULL;
    arena_drop(&w->client_arena);
    w->client_arena = arena_make(0);
}

/* The run that a spec belongs to, its folder or one of its checkpoints; NULL: it is a base model.
 */
static const char *run_of(struct world *w, const char *spec)
{
    const char *up = path_dir(&w->arena, path_dir(&w->arena, spec));
    if (path_exists(path_join(&w->arena, spec, "events.jsonl"))) return spec;
    return path_exists(path_join(&w->arena, up, "events.jsonl")) ? up : NULL;
}

/* A run's profile says how its chats are sampled; anything else starts from the usual. */
static void read_defaults(struct world *w, const char *spec)
{
    const char *run = run_of(w, spec);
    struct profile p;
    struct err err;
    if (run &&
        profile_read(&p, path_join(&w->arena, run, "profile.yaml"), NULL, 0, NULL, &w->arena, &err))
        app_chat_defaults(w->app, &p.chat.sampling, p.chat.max_new_tokens, p.chat.system);
    else app_chat_defaults(w->app, &chat_usual, CHAT_USUAL_TOKENS, "");
}

void do_chat_open(struct world *w, const struct wish *x)
{
    struct err err;
    close_client(w);
    if (w->app->chat.fresh) read_defaults(w, x->text);
    struct answerer_options o = {.backend = "cpu", .dtype = "auto"}; /* and its own template */
    bool live = x->number && run_is_held(x->text);
    bool ok = live
                  ? client_open(&w->client, x->text, &w->client_arena, &err)
                  : client_chat_process(&w->client, x->text, &o, w->places, &w->client_arena, &err);
    if (!ok) {
        w->client = NULL;
        struct reply gone = {.kind = REPLY_GONE, .text = text_of(err.text), .step = -1};
        app_reply(w->app, &gone);
    } else if (live) {
        struct reply greeting = client_greeting(w->client);
        app_reply(w->app, &greeting);
    }
}

void do_ask(struct world *w, const struct wish *x)
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

void do_stop_answer(struct world *w, const struct wish *x)
{
    struct err err;
    (void)x;
    if (w->client && !client_stop_answer(w->client, &err)) SAY(w, err);
}

/* ---- conversations that are kept ---- */

void do_keep_chat(struct world *w, const struct wish *x)
{
    struct err err;
    struct buf b = buf_make(&w->arena);
    char here[4096];
    const char *path = path_join(&w->arena, getcwd(here, sizeof here), x->text);
    if (!chat_transcript(w->app, &b)) app_notice(w->app, STYLE_PLAIN, "nothing was said yet");
    else if (path_exists(path))
        app_notice(w->app, STYLE_BAD, "%s is there already: choose another name", path);
    else if (!file_replace(path, buf_text(&b), &err)) SAY(w, err);
    else app_notice(w->app, STYLE_GOOD, "written to %s", path);
}

/* "20251122-120412" and, beside base models of all names, which one it was. */
static const char *fresh_file(struct world *w, const char *folder, bool named)
{
    char when[32], name[64] = "";
    time_t now = (time_t)w->app->now;
    struct tm tm = {0};
    gmtime_r(&now, &tm);
    strftime(when, sizeof when, "%Y%m%d-%H%M%S", &tm);
    const char *of = path_base(w->app->chat.name);
    if (named) snprintf(name, sizeof name, "-%.*s", (int)text_first(text_of(of), 40).n, of);
    for (char *c = name; *c; c++)
        if ((unsigned char)*c < 33 || *c == 127) *c = '-';
    for (int i = 1;; i++) {
        const char *more = i > 1 ? arena_printf(&w->arena, "-%d", i) : "";
        const char *path =
            path_join(&w->arena, folder, arena_printf(&w->arena, "%s%s%s.jsonl", when, name, more));
        if (!path_exists(path)) return path;
    }
}

void do_save_chat(struct world *w, const struct wish *x)
{
    struct chat_show *c = &w->app->chat;
    struct err err;
    struct buf b = buf_make(&w->arena);
    (void)x;
    if (!chat_transcript(w->app, &b)) return;
    if (!c->file[0]) {
        const char *run = run_of(w, c->spec);
        const char *folder = path_join(&w->arena, run ? run : w->places->home, "chat");
        if (!dir_make(folder, &err)) {
            app_notice(w->app, STYLE_WARN, "the conversation is not kept: %s", err.text);
            return;
        }
        snprintf(c->file, sizeof c->file, "%s", fresh_file(w, folder, !run));
    }
    if (!file_replace(c->file, buf_text(&b), &err))
        app_notice(w->app, STYLE_WARN, "the conversation is not kept: %s", err.text);
}

enum { PAST_RUNS = 100, PAST_MOST = 200, PAST_BYTES = 4 << 20 };
struct past_list {
    struct chat_past *all;
    int n, cap;
};

static void past_of(struct world *w, struct past_list *l, const char *folder)
{
    struct err err;
    char **names;
    int n;
    if (!path_is_dir(folder) || !dir_list(&names, &n, folder, &w->arena, &err)) return;
    for (int i = n; i-- > 0 && l->n < PAST_MOST;) { /* the newest first */
        struct text t;
        struct chat_past one;
        struct stat st;
        const char *path = path_join(&w->arena, folder, names[i]);
        size_t len = strlen(names[i]);
        if (len < 7 || strcmp(names[i] + len - 6, ".jsonl") != 0 || stat(path, &st) != 0) continue;
        if (!file_read(&t, path, PAST_BYTES, &w->arena, &err) ||
            !chat_past_read(&one, t, path, &w->arena))
            continue;
        one.at = (double)st.st_mtime;
        ROOM(&w->arena, l->all, l->n, l->cap);
        l->all[l->n++] = one;
    }
}

static int newer(const void *a, const void *b)
{
    double x = ((const struct chat_past *)a)->at, y = ((const struct chat_past *)b)->at;
    return x < y ? 1 : x > y ? -1 : 0;
}

void do_past(struct world *w, const struct wish *x)
{
    struct past_list l = {0};
    struct run_summary *runs = NULL;
    int n = 0;
    struct err err;
    (void)x;
    past_of(w, &l, path_join(&w->arena, w->places->home, "chat"));
    if (path_is_dir(w->places->runs) && run_list(&runs, &n, w->places, &w->arena, &err))
        for (int i = 0; i < n && i < PAST_RUNS; i++)
            past_of(w, &l, path_join(&w->arena, runs[i].path, "chat"));
    if (l.n) qsort(l.all, (size_t)l.n, sizeof *l.all, newer);
    app_past(w->app, l.all, l.n);
}

void do_past_open(struct world *w, const struct wish *x)
{
    struct text t;
    struct err err;
    struct chat_past past;
    if (!file_read(&t, x->text, PAST_BYTES, &w->arena, &err)) SAY(w, err);
    else if (!chat_past_read(&past, t, x->text, &w->arena))
        app_notice(w->app, STYLE_BAD, "%s holds no conversation that hone can read", x->text);
    else app_transcript(w->app, &past);
}

/* ---- the message in an editor ---- */

void do_edit_chat(struct world *w, const struct wish *x)
{
    struct edit *e = &w->app->chat.edit;
    struct err err;
    struct text t;
    (void)x;
    if (!w->term) return;
    const char *path = scratch_file(w, "message.txt", buf_text(&e->text), &err);
    if (!path || !run_editor(w, path, &err) || !file_read(&t, path, EDIT_MOST, &w->arena, &err))
        SAY(w, err);
    else {
        while (t.n && t.p[t.n - 1] == '\n') t.n--; /* the one that editors add */
        edit_set(e, t);
        w->app->dirty = true;
    }
    if (path) unlink(path);
}

/* ---- the clipboard ---- */

/* OSC 52: the terminal at the user's end takes it, also over SSH. */
void do_copy(struct world *w, const struct wish *x)
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
