/* loop.c - the one loop of the workbench: keys, signals, news, and a frame where something changed.
 *
 * Drawn at once after a key or a resize, else at most ten times a second (twenty in a chat), and
 * never while the frame before is unanswered (term.h). */
#include "tui/keys.h"
#include "tui/view.h"
#include "tui/world.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define ESCAPE_SECONDS 0.025

struct loop {
    struct app app;
    struct term term;
    struct world world;
    struct input input;
    struct grid grid;
    double last_byte, last_frame;
    bool urgent;
};

static void take_events(struct loop *l, bool late)
{
    struct input_event e;
    while (input_next(&l->input, &e, late)) {
        if (e.kind == INPUT_ANSWERED) {
            term_answered(&l->term);
            continue;
        }
        app_input(&l->app, &e);
        world_wishes(&l->world); /* before the next key: it may belong to another screen */
        l->urgent = true;
    }
}

/* false: the terminal is gone. */
static bool read_keys(struct loop *l, double now)
{
    char bytes[4096];
    ssize_t n = read(l->term.fd, bytes, sizeof bytes);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) return false;
    for (ssize_t at = 0; at < n;) {
        at += (ssize_t)input_feed(&l->input, bytes + at, (size_t)(n - at));
        take_events(l, false);
    }
    if (n > 0) l->last_byte = now;
    return true;
}

static void read_signals(struct loop *l)
{
    for (int s; (s = term_signal(&l->term)) != 0;) {
        if (s == SIGTERM || s == SIGHUP || s == SIGQUIT) l->world.quit = true;
        if (s == SIGINT) act_leave(&l->app);
        if (s == SIGTSTP) act_suspend(&l->app);
        if (s == SIGCONT) act_repaint(&l->app);
        if (s == SIGWINCH) {
            term_measure(&l->term);
            l->app.w = l->term.w;
            l->app.h = l->term.h;
            l->app.dirty = l->urgent = true;
        }
    }
}

/* What libraries print would have broken the screen: its first line becomes a notice. */
static void read_stray(struct loop *l)
{
    char text[4096];
    long n = term_stray(&l->term, text, sizeof text - 1);
    if (n <= 0) return;
    text[n] = 0;
    text[strcspn(text, "\n")] = 0;
    if (text[0]) app_notice(&l->app, STYLE_DIM, "%s", text);
}

static double frame_seconds(const struct app *a)
{
    return a->screen == SCREEN_CHAT && a->chat.answering ? 0.05 : 0.1;
}

static void draw(struct loop *l, double now)
{
    if (!l->app.dirty || (!l->urgent && now - l->last_frame < frame_seconds(&l->app)) ||
        !term_ready(&l->term, now))
        return;
    view_draw(&l->app, &l->grid);
    term_show(&l->term, &l->grid, now);
    l->last_frame = now;
    l->app.dirty = l->urgent = false;
}

static int patience(const struct loop *l, double now)
{
    double wait = 1.0;
    const struct app *a = &l->app;
    if (input_waiting(&l->input)) wait = ESCAPE_SECONDS - (now - l->last_byte);
    else if (a->dirty && !l->term.unanswered && !l->term.waits)
        wait = frame_seconds(a) - (now - l->last_frame);
    else if ((a->live.open && fold_lives(&a->live.fold)) || a->profile.plan_state == PLAN_WAITING ||
             a->chat.answering)
        wait = 0.1;
    for (int i = 0; i < JOBS; i++)
        if (l->world.jobs[i].pid > 0 && wait > 0.2) wait = 0.2;
    if (wait < 0) wait = 0;
    return (int)(wait * 1000) + 1;
}

static void wait_for_something(struct loop *l, double now)
{
    struct world *w = &l->world;
    struct pollfd p[4 + 2 * JOBS] = {
        {l->term.fd, (short)(POLLIN | (l->term.waits ? POLLOUT : 0)), 0},
        {l->term.wake, POLLIN, 0},
        {l->term.stray, POLLIN, 0}};
    nfds_t n = 3;
    if (w->client) p[n++] = (struct pollfd){client_fd(w->client), POLLIN, 0};
    if (poll(p, n, patience(l, now)) < 0) return;
    now = now_monotonic();
    if (p[1].revents) read_signals(l);
    if (p[2].revents) read_stray(l);
    if (p[0].revents & POLLOUT) term_flush(&l->term);
    if (p[0].revents & (POLLIN | POLLHUP | POLLERR) && !read_keys(l, now)) w->quit = true;
}

static void begin(struct loop *l, const struct places *p, const struct tui_options *o)
{
    struct app *a = &l->app;
    app_start(a, p, l->term.w, l->term.h, now_unix(), l->term.glyphs);
    snprintf(a->device, sizeof a->device, "CPU %ld cores", sysconf(_SC_NPROCESSORS_ONLN));
    a->models.loading = true;
    world_start(&l->world, a, &l->term, p);
    view_draw(a, &l->grid);
    term_show(&l->term, &l->grid, now_monotonic());
    wish(a, WISH_MODELS, "", 0);
    if (o->profile) wish(a, WISH_OPEN_PROFILE, o->profile, 0);
    if (o->run) world_open_run(&l->world, o->run);
    else if (!o->profile) world_find_run(&l->world);
    world_wishes(&l->world);
}

int tui_run(const struct places *p, const struct tui_options *o)
{
    struct arena arena = arena_make(0);
    struct loop *l = NEW(&arena, struct loop);
    struct err err;
    if (!term_open(&l->term, o->glyphs, &arena, &err)) {
        dprintf(2, "hone: %s\n", err.text);
        arena_drop(&arena);
        return 1;
    }
    begin(l, p, o);
    while (!l->world.quit) {
        wait_for_something(l, now_monotonic());
        double now = now_monotonic();
        if (input_waiting(&l->input) && now - l->last_byte >= ESCAPE_SECONDS) take_events(l, true);
        world_news(&l->world, now);
        app_tick(&l->app, now_unix());
        world_wishes(&l->world);
        draw(l, now);
    }
    bool lives = l->app.live.open && fold_lives(&l->app.live.fold);
    char *name = arena_string(&arena, l->app.live.fold.name, strlen(l->app.live.fold.name));
    term_close(&l->term);
    if (lives)
        dprintf(1,
                l->world.stopping ? "%s saves a checkpoint and stops.\n"
                                  : "%s goes on. Come back with: hone\n",
                name);
    world_end(&l->world);
    app_drop(&l->app);
    grid_drop(&l->grid);
    arena_drop(&arena);
    return 0;
}
