/* t_screens.c - every screen against its recorded text, at every size, in every state that keys
 * can reach.
 *
 * The texts lie in tests/golden/screens, made from tests/golden/screens/state
 * (tests/screens/state.py). HONE_RECORD=1 writes them anew; read the difference before you keep
 * it. */
#include "tests/test.h"
#include "tui/keys.h"
#include "tui/view.h"
#include <math.h>
#include <unistd.h>

#define STATE "tests/golden/screens/state"
static const struct places places = {.program = "hone",
                                     .plugins = ".",
                                     .assets = "assets",
                                     .profiles = "profiles",
                                     .home = "/nowhere",
                                     .runs = STATE "/runs",
                                     .cache = "/nowhere/cache",
                                     .config = "/nowhere/config.yaml"};

static int setup(void **state)
{
    char link[4096];
    ssize_t n = readlink("/proc/self/exe", link, sizeof link - 1);
    (void)state;
    if (n < 0 || !grid_locale()) return -1;
    return access(STATE, R_OK); /* tests run in the repository's root */
}

/* ---- recorded screens ---- */

static const struct {
    const char *name, *keys;
    bool empty;
} screens[] = {{"models", "1", false},
               {"models-details", "1ji", false},
               {"models-shipped", "1i", false},
               {"models-folders", "1o", false},
               {"models-data", "2<Esc>1v", false},
               {"models-empty", "1", true},
               {"profile", "2", false},
               {"profile-edit", "2jjjj<Enter>", false},
               {"profile-wrong", "2jjjj<Enter><C-u>2e9", false},
               {"profile-choices", "2jjjjj<Enter>", false},
               {"profile-open", "2jjjjjjjjj<Enter>", false},
               {"profile-stage", "2jjjjjjjjjjjjj<Enter>jj", false},
               {"profile-marks", "2jjj ", false},
               {"profile-add", "2jjjjjjjjjjja", false},
               {"profile-none", "2", true},
               {"data", "2v", false},
               {"runs", "33", false},
               {"runs-empty", "3", true},
               {"live", "3", false},
               {"live-log", "3ye", false},
               {"live-zoom", "3z", false},
               {"live-formula", "3f", false},
               {"live-done", "33j<Enter>", false},
               {"live-failed", "33jj<Enter>", false},
               {"live-rate", "3l", false},
               {"chat", "4", false},
               {"chat-typing", "4Hello <A-Enter>\xE4\xBD\xA0\xE5\xA5\xBD", false},
               {"chat-help", "4/help<Enter>", false},
               {"chat-offers", "4/t", false},
               {"chat-history", "4<Esc>h", false},
               {"chat-empty", "4", true},
               {"help", "3?", false},
               {"help-filter", "3?/save<Enter>", false},
               {"command", "3:sa", false},
               {"leave", "3q", false},
               {"remove", "33jD", false},
               {"unknown", "1X", false}};
static const struct {
    int w, h;
    enum glyphs glyphs;
    const char *name;
} shapes[] = {{80, 24, GLYPHS_BRAILLE, "80x24.utf8"},   {80, 24, GLYPHS_ASCII, "80x24.ascii"},
              {120, 40, GLYPHS_BRAILLE, "120x40.utf8"}, {120, 40, GLYPHS_ASCII, "120x40.ascii"},
              {40, 10, GLYPHS_BRAILLE, "40x10.utf8"},   {40, 10, GLYPHS_ASCII, "40x10.ascii"}};

static void compare(const char *name, const char *shape, struct text shown, struct arena *a,
                    int *bad)
{
    struct err err;
    struct text golden = {"", 0};
    const char *path = arena_printf(a, "tests/golden/screens/%s.%s.txt", name, shape);
    if (getenv("HONE_RECORD")) {
        FILE *f = fopen(path, "w");
        assert_non_null(f);
        fwrite(shown.p, 1, shown.n, f);
        fclose(f);
        return;
    }
    if (!file_read(&golden, path, 1 << 20, a, &err)) print_error("%s\n", err.text);
    if (text_equal(golden, shown)) return;
    print_error("%s is not what is shown now:\n%.*s\n", path, (int)shown.n, shown.p);
    ++*bad;
}

static void every_screen_is_as_recorded(void **state)
{
    int bad = 0;
    (void)state;
    for (size_t s = 0; s < COUNT(screens); s++)
        for (size_t k = 0; k < COUNT(shapes); k++) {
            struct arena a = arena_make(0);
            struct buf out = buf_make(&a), again = buf_make(&a);
            struct err err;
            struct dump_options o = {shapes[k].w,
                                     shapes[k].h,
                                     screens[s].empty ? NULL : STATE,
                                     screens[s].keys,
                                     shapes[k].glyphs,
                                     false,
                                     k == 0,
                                     false};
            if (!tui_dump(&out, &places, &o, &err) || !tui_dump(&again, &places, &o, &err))
                fail_msg("%s: %s", screens[s].name, err.text);
            assert_true(text_equal(buf_text(&out), buf_text(&again)));
            compare(screens[s].name, shapes[k].name, buf_text(&out), &a, &bad);
            arena_drop(&a);
        }
    assert_int_equal(bad, 0);
}

static void ascii_screens_hold_no_sign_of_ours_that_is_not_ascii(void **state)
{
    (void)state;
    for (size_t s = 0; s < COUNT(screens); s++) {
        if (screens[s].empty || strncmp(screens[s].name, "live", 4) != 0) continue;
        struct arena a = arena_make(0);
        struct buf out = buf_make(&a);
        struct err err;
        struct dump_options o = {100,          30,    STATE, screens[s].keys,
                                 GLYPHS_ASCII, false, false, false};
        assert_true(tui_dump(&out, &places, &o, &err));
        /* what is left is the runs' own text: Chinese, and the sign for what was taken out */
        for (size_t i = 0; i < out.n;) {
            int32_t c;
            i += (size_t)utf8_decode(out.p + i, out.n - i, &c);
            assert_true(c < 127 || c == 0xFFFD || (c >= 0x3000 && c < 0xFFE0));
        }
        arena_drop(&a);
    }
}

static void a_picture_holds_the_screen(void **state)
{
    struct arena a = arena_make(0);
    struct buf out = buf_make(&a);
    struct err err;
    struct dump_options o = {80, 24, STATE, "3", GLYPHS_BRAILLE, true, false, false};
    (void)state;
    assert_true(tui_dump(&out, &places, &o, &err));
    assert_int_equal(strncmp(out.p, "<svg ", 5), 0);
    assert_non_null(strstr(out.p, ">MFU<"));
    assert_non_null(strstr(out.p, "<path fill=\"#56c2cf\" d=\"M")); /* the curve, dot by dot */
    assert_non_null(strstr(out.p, "</svg>\n"));
    assert_null(strchr(out.p, '\33'));
    arena_drop(&a);
}

static void a_dump_refuses_what_it_cannot_do(void **state)
{
    struct arena a = arena_make(0);
    struct buf out = buf_make(&a);
    struct err err;
    struct dump_options o = {80, 24, "/no/such/folder", "", GLYPHS_BRAILLE, false, false, false};
    (void)state;
    assert_false(tui_dump(&out, &places, &o, &err));
    assert_non_null(strstr(err.text, "/no/such/folder is no folder"));
    o.state = STATE;
    o.keys = "3<Hyper>";
    assert_false(tui_dump(&out, &places, &o, &err));
    assert_non_null(strstr(err.text, "<Hyper>"));
    arena_drop(&a);
}

/* ---- an app that shows something everywhere ---- */

static struct text read_state(const char *name, struct arena *a)
{
    struct text t;
    struct err err;
    if (!file_read(&t, path_join(a, STATE, name), 16 << 20, a, &err)) fail_msg("%s", err.text);
    return t;
}

static void full(struct app *app, struct arena *a)
{
    struct err err;
    struct run_summary *runs;
    int n;
    int64_t at;
    app_start(app, &places, 80, 24, 1763812920, GLYPHS_BRAILLE);
    app->utc = true;
    app_models(app, read_state("models.json", a), NULL);
    app_profile(app, "profile.yaml", read_state("profile.yaml", a));
    app_plan(app, read_state("check.json", a), NULL);
    app_preview(app, read_state("preview.json", a), NULL);
    assert_true(run_list(&runs, &n, &places, a, &err));
    app_runs(app, runs, n, NULL);
    app->live.open = history_read(&app->live.fold, STATE "/runs/demo-0007", &at, &err);
    assert_true(app->live.open);
    app->live.fold.state = app->live.fold.told;
    app->n_wishes = 0;
}

static void check_cells(const struct grid *g)
{
    for (int i = 0; i < g->w * g->h; i++) {
        const struct cell *c = &g->cells[i];
        assert_true(c->code >= 32 && text_shown(c->code) == c->code && c->style < STYLES &&
                    c->width <= 2);
    }
}

static bool overlap(struct rect a, struct rect b)
{
    return a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h;
}

static void panes_lie_inside_apart_and_never_empty_at_every_size(void **state)
{
    struct arena a = arena_make(0);
    struct app *app = NEW(&a, struct app);
    (void)state;
    full(app, &a);
    for (int screen = 0; screen < SCREENS; screen++)
        for (int variant = 0; variant < 8; variant++) {
            app->live.zoom = variant & 1;
            app->live.formula = app->models.details = variant >> 1 & 1;
            app->live.fold.state = variant >> 2 & 1 ? RUN_PAUSED : RUN_TRAINING;
            for (int w = 1; w <= 200; w++)
                for (int h = 1; h <= 80; h++) {
                    struct pane panes[PANES_MOST];
                    struct rect room = {3, 5, w, h};
                    int n = views[screen].layout(app, room, panes);
                    assert_true(n >= 1 && n <= PANES_MOST);
                    for (int i = 0; i < n; i++) {
                        struct rect r = panes[i].r;
                        bool good = r.w >= 1 && r.h >= 1 && r.x >= 3 && r.y >= 5 &&
                                    r.x + r.w <= 3 + w && r.y + r.h <= 5 + h;
                        for (int k = 0; k < i; k++)
                            good = good && !overlap(r, panes[k].r) && panes[k].id != panes[i].id;
                        if (!good)
                            fail_msg("%s at %dx%d, variant %d: pane %d is %d,%d %dx%d",
                                     views[screen].name, w, h, variant, panes[i].id, r.x, r.y, r.w,
                                     r.h);
                    }
                }
        }
    app_drop(app);
    arena_drop(&a);
}

static void every_screen_and_popup_draws_at_every_size(void **state)
{
    struct arena a = arena_make(0);
    struct app *app = NEW(&a, struct app);
    struct grid g = {0};
    (void)state;
    full(app, &a);
    for (int screen = 0; screen < SCREENS; screen++)
        for (int popup = 0; popup < POPUPS; popup++)
            for (int w = 1; w <= 200; w += popup ? 13 : 5)
                for (int h = 1; h <= 80; h += popup ? 7 : 3) {
                    app->screen = (enum screen)screen;
                    app->w = w;
                    app->h = h;
                    app->glyphs = (enum glyphs)(1 + (w + h) % 3);
                    app->n_popups = 0;
                    if (popup) app_popup(app, (enum popup)popup);
                    snprintf(app->notice, sizeof app->notice, "%s",
                             popup == POPUP_HELP ? "a notice of some length that must be wrapped"
                                                 : "");
                    view_draw(app, &g);
                    check_cells(&g);
                }
    grid_drop(&g);
    app_drop(app);
    arena_drop(&a);
}

/* ---- keys ---- */

static void no_two_rows_have_one_key_and_every_row_explains_itself(void **state)
{
    (void)state;
    for (int i = 0; i < n_bindings; i++) {
        const struct binding *b = &bindings[i];
        size_t n = strlen(b->help);
        assert_true(n > 5 && n <= 58 && b->help[n - 1] == '.');
        assert_true(b->act && b->key && b->name[0] && !strchr(b->name, ' '));
        for (int k = 0; k < i; k++) {
            const struct binding *c = &bindings[k];
            if (strcmp(b->name, c->name) == 0) fail_msg("two rows are called %s", b->name);
            bool same = b->key == c->key ||
                        (b->other && (b->other == c->key || b->other == c->other)) ||
                        (c->other && c->other == b->key);
            if (same && b->of == c->of) fail_msg("%s and %s have one key", b->name, c->name);
        }
    }
}

static void a_screen_hides_no_key_of_everywhere_but_escape(void **state)
{
    static const enum keys_of of_screens[] = {KEYS_MODELS, KEYS_PROFILE, KEYS_DATA,
                                              KEYS_RUNS,   KEYS_LIVE,    KEYS_CHAT};
    (void)state;
    for (size_t s = 0; s < COUNT(of_screens); s++)
        for (int i = 0; i < n_bindings; i++)
            for (int k = 0; k < n_bindings; k++) {
                const struct binding *b = &bindings[i], *c = &bindings[k];
                if (b->of != of_screens[s] || (c->of != KEYS_ALL && c->of != KEYS_LISTS)) continue;
                bool same = b->key == c->key || b->key == c->other ||
                            (b->other && (b->other == c->key || b->other == c->other));
                if (same && b->other != K_ESC) fail_msg("%s hides %s", b->name, c->name);
            }
}

static void random_keys_never_break_anything(void **state)
{
    struct arena a = arena_make(0);
    struct grid g = {0};
    (void)state;
    for (uint64_t round = 0; round < 12; round++) {
        struct app *app = NEW(&a, struct app);
        if (round % 3) full(app, &a);
        else app_start(app, &places, 80, 24, 0, GLYPHS_BRAILLE);
        for (uint64_t i = 0; i < 400; i++) {
            uint64_t r = rand_at(round, i);
            const struct binding *b = &bindings[r % (uint64_t)n_bindings];
            int32_t key = r >> 40 & 3 ? (r >> 42 & 1 && b->other ? b->other : b->key)
                                      : (int32_t)(32 + (r >> 20) % 95);
            app_key(app, key);
            if (i % 9 == 0) {
                struct input_event paste = {.kind = INPUT_PASTE,
                                            .paste = TEXT("a\nb\33[A\xE4\xBD\xA0")};
                app_input(app, &paste);
            }
            app_tick(app, app->now + 0.1);
            app->n_wishes = 0;
            view_draw(app, &g);
            check_cells(&g);
            assert_true(app->n_popups >= 0 && app->n_popups <= 4);
        }
        app_drop(app);
    }
    grid_drop(&g);
    arena_drop(&a);
}

/* ---- what keys do ---- */

static bool wished(const struct app *a, enum wish_kind kind)
{
    for (int i = 0; i < a->n_wishes; i++)
        if (a->wishes[i].kind == kind) return true;
    return false;
}

static void type(struct app *a, const char *text)
{
    for (; *text; text++) app_key(a, (unsigned char)*text);
}

static void an_edit_changes_one_value_and_undo_takes_it_back(void **state)
{
    struct arena a = arena_make(0);
    struct app *app = NEW(&a, struct app);
    (void)state;
    full(app, &a);
    struct profile_show *p = &app->profile;
    const char *before = arena_string(&a, p->source.p, p->source.n);
    app->screen = SCREEN_PROFILE;
    for (int i = 0; i < p->n_rows; i++)
        if (strcmp(p->rows[i].path, "learning_rate") == 0) p->list.at = i;
    app_key(app, K_ENTER);
    assert_true(app->prompt.open);
    app_key(app, K_CTRL | 'u');
    type(app, "1e-");
    assert_true(app->prompt.problem[0] != 0);
    app_key(app, K_ENTER);
    assert_true(app->prompt.open); /* a wrong value is not taken */
    type(app, "4");
    assert_true(app->prompt.problem[0] == 0);
    app_key(app, K_ENTER);
    assert_false(app->prompt.open);
    assert_true(p->edited && p->parsed && p->profile.stages[0].set.learning_rate == 1e-4);
    assert_non_null(memmem(p->source.p, p->source.n,
                           "learning_rate: 1e-4      # high, the model is small", 51));
    app->n_wishes = 0;
    app_tick(app, app->now + 1);
    assert_true(wished(app, WISH_PLAN)); /* the plan beside it is measured anew */
    type(app, "u");
    assert_true(!p->edited && text_is(p->source, before));
    app_drop(app);
    arena_drop(&a);
}

static void a_launch_waits_for_its_plan_and_is_refused_where_it_cannot_run(void **state)
{
    struct arena a = arena_make(0);
    struct app *app = NEW(&a, struct app);
    (void)state;
    full(app, &a);
    app->screen = SCREEN_PROFILE;
    app->profile.plan_state = PLAN_MEASURING;
    type(app, "r");
    assert_false(wished(app, WISH_LAUNCH));
    app_plan(app, read_state("check.json", &a), NULL);
    assert_true(wished(app, WISH_LAUNCH));
    app->n_wishes = 0;
    app->profile.launching = false;
    app_plan(app, TEXT(""), "it needs 21 GB and 3 GB are free");
    type(app, "r");
    assert_false(wished(app, WISH_LAUNCH));
    assert_non_null(strstr(app->notice, "21 GB"));
    app_drop(app);
    arena_drop(&a);
}

static void a_launch_of_rows_that_teach_nothing_asks_first(void **state)
{
    struct arena a = arena_make(0);
    struct app *app = NEW(&a, struct app);
    struct text plan = TEXT("{\"questions\": [\"zh: 312 of 9,100 rows (3.4 %) hold no trained "
                            "token\"]}");
    (void)state;
    full(app, &a);
    app->screen = SCREEN_PROFILE;
    app->profile.plan_state = PLAN_MEASURING;
    app_plan(app, plan, NULL);
    type(app, "r");
    assert_false(wished(app, WISH_LAUNCH));
    assert_int_equal(app_top(app), POPUP_CONFIRM);
    assert_non_null(strstr(app->confirm_text, "312 of 9,100"));
    type(app, "n");
    assert_true(!wished(app, WISH_LAUNCH) && app_top(app) == POPUP_NONE);
    type(app, "ry");
    assert_true(wished(app, WISH_LAUNCH) && app->profile.launching);
    app_drop(app);
    arena_drop(&a);
}

static void leaving_asks_only_while_a_run_lives(void **state)
{
    struct arena a = arena_make(0);
    struct app *app = NEW(&a, struct app);
    (void)state;
    full(app, &a);
    app->screen = SCREEN_LIVE;
    type(app, "q");
    assert_false(wished(app, WISH_QUIT));
    assert_int_equal(app_top(app), POPUP_LEAVE);
    app_key(app, K_ESC);
    assert_int_equal(app_top(app), POPUP_NONE);
    type(app, "qd");
    assert_true(wished(app, WISH_QUIT) && !wished(app, WISH_ORDER));
    app->n_wishes = 0;
    app->live.fold.state = RUN_DONE;
    app_close_popup(app);
    type(app, "q");
    assert_true(wished(app, WISH_QUIT));
    app_drop(app);
    arena_drop(&a);
}

static void the_chat_key_means_the_open_run_where_nobody_was_chosen(void **state)
{
    struct arena a = arena_make(0);
    struct app *app = NEW(&a, struct app);
    (void)state;
    full(app, &a);
    type(app, "4");
    assert_int_equal(app->screen, SCREEN_CHAT);
    assert_true(wished(app, WISH_CHAT_OPEN));
    assert_string_equal(app->chat.name, "demo-0007");
    app_drop(app);
    arena_drop(&a);
}

static void letters_are_text_while_a_field_has_the_keyboard(void **state)
{
    struct arena a = arena_make(0);
    struct app *app = NEW(&a, struct app);
    (void)state;
    full(app, &a);
    app->screen = SCREEN_CHAT;
    type(app, "q1?:");
    assert_string_equal(app->chat.edit.text.p, "q1?:");
    assert_false(wished(app, WISH_QUIT));
    app_key(app, K_ESC);
    type(app, "1");
    assert_int_equal(app->screen, SCREEN_MODELS);
    app_drop(app);
    arena_drop(&a);
}

static void a_streamed_answer_joins_split_characters(void **state)
{
    struct arena a = arena_make(0);
    struct app *app = NEW(&a, struct app);
    (void)state;
    full(app, &a);
    chat_start(app, "/models/x", "x", false);
    app_reply(app, &(struct reply){.kind = REPLY_READY, .context = 512, .step = -1});
    type(app, "hi");
    app_key(app, K_ENTER);
    assert_true(wished(app, WISH_ASK) && app->chat.answering);
    static const char bytes[] = "\xE4\xBD\xA0!\xF0\x9F\x98\x80";
    for (size_t i = 0; i < sizeof bytes - 1; i++)
        app_reply(app, &(struct reply){.kind = REPLY_TOKEN, .text = {bytes + i, 1}, .step = -1});
    assert_string_equal(app->chat.lines[1].text.p, bytes);
    app_reply(app, &(struct reply){.kind = REPLY_ANSWERED,
                                   .stats = {.tokens = 3, .seconds = 1, .ended = "end"},
                                   .step = -1});
    assert_true(!app->chat.answering && app->chat.lines[1].done);
    app_key(app, K_CTRL | 'r');
    assert_true(app->chat.answering && app->chat.n_lines == 2 && app->chat.lines[1].text.n == 0);
    app_drop(app);
    arena_drop(&a);
}

static const char *shown_now(struct app *app, struct arena *a)
{
    struct grid g = {0};
    struct buf b = buf_make(a);
    view_draw(app, &g);
    grid_print(&g, false, &b);
    grid_drop(&g);
    return b.p;
}

static void a_run_that_is_not_at_work_says_what_to_press(void **state)
{
    static const struct {
        enum run_state state;
        const char *why, *says[3];
    } rows[] = {{RUN_PAUSED,
                 "paused by anna",
                 {"Paused after step 332: paused by anna.", "p goes on", "S saves"}},
                {RUN_STOPPED, "", {"Stopped after step 332 of 680", "r goes on", "ckpt/000300"}},
                {RUN_DONE, "all steps", {"Done.", "c chats", "hone export demo-0007"}},
                {RUN_FAILED,
                 "the disk is full",
                 {"Failed: the disk is full.", "r tries again", "ckpt/000300"}},
                {RUN_LOST, "", {"gone without a word", "r goes on", "ckpt/000300"}}};
    struct arena a = arena_make(0);
    struct app *app = NEW(&a, struct app);
    (void)state;
    full(app, &a);
    app->screen = SCREEN_LIVE;
    app->w = 120;
    for (size_t i = 0; i < COUNT(rows); i++) {
        app->live.fold.state = rows[i].state;
        snprintf(app->live.fold.why, sizeof app->live.fold.why, "%s", rows[i].why);
        const char *shown = shown_now(app, &a);
        for (size_t k = 0; k < COUNT(rows[i].says); k++)
            if (!strstr(shown, rows[i].says[k]))
                fail_msg("%s lacks \"%s\":\n%s", run_state_name(rows[i].state), rows[i].says[k],
                         shown);
    }
    app->live.fold.saved_step = -1;
    assert_non_null(strstr(shown_now(app, &a), "r goes on from its beginning"));
    app_drop(app);
    arena_drop(&a);
}

static void a_reading_that_is_no_number_is_nan_and_one_that_is_not_there_a_dash(void **state)
{
    struct arena a = arena_make(0);
    struct app *app = NEW(&a, struct app);
    struct event e = {.kind = EV_STEP,
                      .t = 1,
                      .has = EVENT_ALL,
                      .step = {.step = 333,
                               .loss = NAN,
                               .lr = 1e-4,
                               .grad_norm = INFINITY,
                               .tokens = 10,
                               .trained = 5,
                               .seconds = 0.5,
                               .memory = 10}};
    (void)state;
    full(app, &a);
    app->screen = SCREEN_LIVE;
    for (int i = 0; i < event_infos[EV_STEP].n; i++)
        if (strcmp(event_infos[EV_STEP].fields[i].name, "mfu") == 0) e.has &= ~(1u << i);
    fold_event(&app->live.fold, &e);
    const char *shown = shown_now(app, &a);
    assert_non_null(strstr(shown, "train NaN"));
    assert_non_null(strstr(shown, "grad inf"));
    assert_non_null(strstr(shown, "MFU -"));
    assert_non_null(strstr(shown, "lr 1.00e-4"));
    assert_non_null(strstr(shown, "temp -"));
    app->live.celsius = 70.2;
    app->live.watts = 45;
    shown = shown_now(app, &a);
    assert_true(strstr(shown, "temp 70 \xC2\xB0"
                              "C") &&
                strstr(shown, "power 45 W"));
    app_drop(app);
    arena_drop(&a);
}

static void checkpoints_are_listed_and_one_is_chatted_with(void **state)
{
    struct arena a = arena_make(0);
    struct app *app = NEW(&a, struct app);
    struct checkpoint list[] = {{.name = "000200", .path = "/r/ckpt/000200", .validation = 1.5},
                                {.name = "000100", .path = "/r/ckpt/000100", .validation = 1.25}};
    (void)state;
    full(app, &a);
    app->screen = SCREEN_LIVE;
    type(app, "C");
    assert_true(wished(app, WISH_CHECKPOINTS));
    app_checkpoints(app, NULL, 0, NULL);
    assert_non_null(strstr(app->notice, "no checkpoint yet"));
    assert_int_equal(app_top(app), POPUP_NONE);
    app_checkpoints(app, list, 2, NULL);
    const char *shown = shown_now(app, &a);
    assert_true(strstr(shown, "1.500") && strstr(shown, "newest") && strstr(shown, "best"));
    type(app, "j");
    app_key(app, K_ENTER);
    assert_string_equal(app->chat.spec, "/r/ckpt/000100");
    assert_string_equal(app->chat.name, "demo-0007 000100");
    app_drop(app);
    arena_drop(&a);
}

static void the_best_checkpoint_is_still_saved_when_a_newer_one_is(void **state)
{
    struct fold *f = calloc(1, sizeof *f);
    struct event best = {
        .kind = EV_VALIDATION, .has = EVENT_ALL, .validation = {.step = 10, .loss = 1, .best = 1}};
    struct event saved = {
        .kind = EV_SAVED, .has = EVENT_ALL, .saved = {.step = 10, .path = TEXT("ckpt/000010")}};
    (void)state;
    fold_start(f, "/runs/x");
    fold_event(f, &best);
    assert_false(f->best_saved);
    fold_event(f, &saved);
    assert_true(f->best_saved);
    saved.saved.step = 20;
    fold_event(f, &saved);
    assert_true(f->best_saved);
    best.validation = (__typeof__(best.validation)){.step = 30, .loss = 0.5, .best = 1};
    fold_event(f, &best);
    assert_false(f->best_saved);
    fold_drop(f);
    free(f);
}

/* ---- the fold ---- */

static void what_was_lived_after_the_resumed_step_is_forgotten(void **state)
{
    struct fold *f = calloc(1, sizeof *f);
    (void)state;
    fold_start(f, "/runs/x");
    for (int64_t i = 1; i <= 30; i++) {
        struct event e = {.kind = EV_STEP,
                          .t = 100 + (double)i,
                          .has = EVENT_ALL,
                          .step = {.step = i, .loss = (double)i, .tokens = 10, .seconds = 0.5}};
        fold_event(f, &e);
    }
    struct event e = {.kind = EV_RESUMED,
                      .t = 200,
                      .has = EVENT_ALL,
                      .resumed = {.step = 20, .from = TEXT("ckpt/000020")}};
    fold_event(f, &e);
    assert_int_equal(f->loss.n, 20);
    assert_int_equal(f->step, 20);
    fold_drop(f);
    free(f);
}

static void following_gives_what_reading_at_once_gives(void **state)
{
    struct arena a = arena_make(0);
    struct fold *bulk = NEW(&a, struct fold), *live = NEW(&a, struct fold);
    struct err err;
    int64_t at;
    (void)state;
    assert_true(history_read(bulk, STATE "/runs/demo-0007", &at, &err));
    fold_start(live, STATE "/runs/demo-0007");
    struct text t;
    assert_true(file_read(&t, STATE "/runs/demo-0007/events.jsonl", 16 << 20, &a, &err));
    assert_int_equal(at, t.n);
    while (t.n) {
        struct event e;
        size_t n = (size_t)((char *)memchr(t.p, '\n', t.n) - t.p);
        assert_true(event_read(&e, (struct text){t.p, n}, &a, &err));
        fold_event(live, &e);
        t.p += n + 1;
        t.n -= n + 1;
    }
    assert_int_equal(bulk->step, live->step);
    assert_int_equal(bulk->loss.n, live->loss.n);
    assert_int_equal(bulk->told, live->told);
    assert_true(fabs(bulk->spent - live->spent) < 1e-6 && bulk->best_loss == live->best_loss);
    for (int i = 0; i < bulk->loss.n; i++)
        assert_memory_equal(&bulk->loss.buckets[i], &live->loss.buckets[i], sizeof(struct bucket));
    assert_int_equal(bulk->n_quizzes, 2);
    fold_drop(bulk);
    fold_drop(live);
    arena_drop(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_screen_is_as_recorded),
        cmocka_unit_test(ascii_screens_hold_no_sign_of_ours_that_is_not_ascii),
        cmocka_unit_test(a_picture_holds_the_screen),
        cmocka_unit_test(a_dump_refuses_what_it_cannot_do),
        cmocka_unit_test(panes_lie_inside_apart_and_never_empty_at_every_size),
        cmocka_unit_test(every_screen_and_popup_draws_at_every_size),
        cmocka_unit_test(no_two_rows_have_one_key_and_every_row_explains_itself),
        cmocka_unit_test(a_screen_hides_no_key_of_everywhere_but_escape),
        cmocka_unit_test(random_keys_never_break_anything),
        cmocka_unit_test(an_edit_changes_one_value_and_undo_takes_it_back),
        cmocka_unit_test(a_launch_waits_for_its_plan_and_is_refused_where_it_cannot_run),
        cmocka_unit_test(a_launch_of_rows_that_teach_nothing_asks_first),
        cmocka_unit_test(leaving_asks_only_while_a_run_lives),
        cmocka_unit_test(the_chat_key_means_the_open_run_where_nobody_was_chosen),
        cmocka_unit_test(letters_are_text_while_a_field_has_the_keyboard),
        cmocka_unit_test(a_streamed_answer_joins_split_characters),
        cmocka_unit_test(a_run_that_is_not_at_work_says_what_to_press),
        cmocka_unit_test(a_reading_that_is_no_number_is_nan_and_one_that_is_not_there_a_dash),
        cmocka_unit_test(checkpoints_are_listed_and_one_is_chatted_with),
        cmocka_unit_test(the_best_checkpoint_is_still_saved_when_a_newer_one_is),
        cmocka_unit_test(what_was_lived_after_the_resumed_step_is_forgotten),
        cmocka_unit_test(following_gives_what_reading_at_once_gives)};
    return cmocka_run_group_tests_name("screens", tests, setup, NULL);
}
