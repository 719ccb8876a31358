/* screens: a byte for the size, then keys as a terminal sends them, typed into the workbench over
 * the recorded state. Whatever is pressed, every screen draws, each cell holds one harmless
 * character, and what stands on it as text holds nothing that acts on a terminal. */
#include "tests/fuzz/fuzz.h"
#include "tui/keys.h"
#include "tui/view.h"

/* Each answer, undo step and popup has its own memory, and the grid is as large as the screen. */
const struct fuzz_limits fuzz_limits = {64 << 20, 4096, 1 << 20};

#define STATE "tests/golden/screens/state"
static const struct places places = {.program = "hone",
                                     .plugins = ".",
                                     .assets = "assets",
                                     .profiles = "profiles",
                                     .home = "/nowhere",
                                     .runs = STATE "/runs",
                                     .cache = "/nowhere/cache",
                                     .config = "/nowhere/config.yaml"};
static struct text models, profile, plan, preview;
static struct run_summary *runs;
static int n_runs;

void fuzz_start(void)
{
    static struct arena forever;
    struct err err;
    if (!grid_locale() || !file_read(&models, STATE "/models.json", 1 << 24, &forever, &err) ||
        !file_read(&profile, STATE "/profile.yaml", 1 << 24, &forever, &err) ||
        !file_read(&plan, STATE "/check.json", 1 << 24, &forever, &err) ||
        !file_read(&preview, STATE "/preview.json", 1 << 24, &forever, &err) ||
        !run_list(&runs, &n_runs, &places, &forever, &err))
        fuzz_broken(__FILE__, __LINE__, "the recorded state is read");
}

void fuzz_seeds(void)
{
    static const char *const keys[] = {"1ji",
                                       "2jjjj\r\0252e9\33",
                                       "2v\t\t",
                                       "33jD\33",
                                       "3?/save\r",
                                       "3:sa\t",
                                       "3q",
                                       "4Hello\33\r\xE4\xBD\xA0\r",
                                       "4/help\r",
                                       "3l1e-4\r",
                                       "2E\33[A\33[B\33[5~",
                                       "2\33[200~a\n\33[31m\33[201~",
                                       "2uuuu",
                                       "2x\33[Bjj\r",
                                       "1/zz\r\33",
                                       "3fzlys",
                                       "2jjjjjjjjj\r\177\177\33[D\33[Cq\r",
                                       "2:write-as\rx/y\r",
                                       "X\14\24"};
    for (size_t i = 0; i < COUNT(keys); i++) {
        char p[128];
        size_t n = strlen(keys[i]);
        p[0] = (char)(i * 29);
        memcpy(p + 1, keys[i], n);
        seed(p, n + 1);
    }
}

static void check_screen(const struct app *app, struct grid *g, struct arena *a)
{
    struct buf out = buf_make(a);
    HOLDS(app->n_popups >= 0 && app->n_popups <= 4 && app->screen < SCREENS &&
          app->n_wishes <= WISHES_MOST);
    view_draw(app, g);
    HOLDS(g->w == app->w && g->h == app->h);
    for (int i = 0; i < g->w * g->h; i++) {
        const struct cell *c = &g->cells[i];
        HOLDS(c->code >= 32 && text_shown(c->code) == c->code && c->style < STYLES &&
              c->width <= 2);
    }
    grid_print(g, false, &out);
    HOLDS(fuzz_harmless(buf_text(&out), true) && utf8_bad(buf_text(&out)) == out.n);
}

static void start(struct app *app, unsigned size)
{
    static const int shapes[][2] = {{80, 24}, {40, 10}, {120, 40}, {1, 1},
                                    {200, 9}, {20, 60}, {79, 23},  {41, 11}};
    app_start(app, &places, shapes[size % 8][0], shapes[size % 8][1], 1763812920,
              (enum glyphs)(1 + size / 8 % 3));
    app->utc = true;
    if (size / 24 % 4 == 0) return;
    app_models(app, models, NULL);
    app_profile(app, "profile.yaml", profile);
    app_plan(app, plan, NULL);
    app_preview(app, preview, NULL);
    app_runs(app, runs, n_runs, NULL);
}

void fuzz(struct text in, struct arena *a)
{
    static struct grid g;
    struct app *app = NEW(a, struct app);
    struct input *keys = NEW(a, struct input);
    struct input_event e;
    int turns = 0;
    start(app, (unsigned)fuzz_number(&in, 1));
    app->n_wishes = 0;
    input_feed(keys, in.p, in.n);
    while (input_next(keys, &e, true) && turns++ < 200) {
        app_input(app, &e);
        if (turns % 4 == 0) app_tick(app, app->now + 0.4);
        if (turns % 8 == 0) check_screen(app, &g, a);
        app->n_wishes = 0;
    }
    check_screen(app, &g, a);
    app_drop(app);
}
