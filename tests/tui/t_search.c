/* t_search.c - `/`, n and N where rows are many, and the mouse where it is turned on. */
#include "tests/test.h"
#include "tui/keys.h"
#include "tui/view.h"
#include <stdio.h>

static const struct places places = {.program = "hone", .profiles = "profiles", .home = "/nowhere"};
static struct arena arena;
static struct app *app;

static int begin(void **s)
{
    (void)s;
    arena = arena_make(0);
    app = NEW(&arena, struct app);
    app_start(app, &places, 80, 24, 0, GLYPHS_BRAILLE);
    app_profile(
        app, "/p/a.yaml",
        TEXT("base_model: m\ndatasets: {a: {path: a}, b: {path: b}}\n"
             "stages:\n  - {name: one, datasets: {a: 1}}\n  - {name: two, datasets: {b: 1}}\n"));
    app->n_wishes = 0;
    return 0;
}

static int end(void **s)
{
    (void)s;
    app_drop(app);
    arena_drop(&arena);
    return 0;
}

static void type(const char *keys)
{
    for (; *keys; keys++) app_key(app, *keys == '\n' ? K_ENTER : (unsigned char)*keys);
}

static void click(int x, int y)
{
    struct input_event e = {.kind = INPUT_MOUSE, .mouse = MOUSE_CLICK, .x = x, .y = y};
    app_input(app, &e);
}

static void wheel(enum mouse what)
{
    struct input_event e = {.kind = INPUT_MOUSE, .mouse = what, .x = 5, .y = 5};
    app_input(app, &e);
}

static const char *row(void) { return form_here(app)->path; }

static void logged(const char *text)
{
    struct event e = {
        .kind = EV_NOTE, .has = EVENT_ALL, .note = {.level = TEXT("info"), .text = text_of(text)}};
    fold_event(&app->live.fold, &e);
}

static void a_word_is_found_as_it_is_typed_and_again(void **s)
{
    (void)s;
    type("/Stage");
    assert_string_equal(row(), "stages");
    app_key(app, K_BACKSPACE);
    app_key(app, K_ESC); /* back where it began */
    assert_string_equal(row(), "name");
    type("/two\n");
    assert_string_equal(row(), "stages.1");
    type("/ o");
    assert_int_equal(app->prompt.problem[0] != 0, 0);
    type("ne\n");
    assert_string_equal(row(), "stages.0");
    type("/lora\n");
    assert_string_equal(row(), "lora");
    type("/no such thing");
    assert_non_null(strstr(app->prompt.problem, "nothing here holds"));
    assert_string_equal(row(), "lora");
    type("\nn");
    assert_non_null(strstr(app->notice, "nothing here holds"));
    type("/by default\nnnn");
    const char *after = row();
    type("nN");
    assert_string_equal(row(), after);
}

static void a_log_is_searched_from_its_end(void **s)
{
    (void)s;
    fold_start(&app->live.fold, "/runs/x");
    app->live.open = true;
    app->screen = SCREEN_LIVE;
    for (int i = 0; i < 600; i++)
        logged(arena_printf(&arena, i % 100 == 0 ? "number %d" : "line %d", i));
    type("/NUMBER\n");
    assert_int_equal(app->live.found, 500);
    assert_int_equal(app->live.scroll, 99);
    type("n");
    assert_int_equal(app->live.found, 400);
    type("N");
    assert_int_equal(app->live.found, 500);
    type("nnnn"); /* 200 is the oldest that is kept: round the end */
    assert_int_equal(app->live.found, 500);
    type("/nothing");
    app_key(app, K_ESC);
    assert_int_equal(app->live.found, 500);
}

static void a_conversation_is_searched_from_its_end(void **s)
{
    (void)s;
    chat_start(app, "/m", "m", false);
    for (int i = 0; i < 50; i++)
        chat_line_add(app, i % 2 ? "assistant" : "user",
                      text_of(arena_printf(&arena, "%s %d", i % 10 == 3 ? "red house" : "x", i)));
    app_key(app, K_ESC);
    type("/Red\n");
    assert_int_equal(app->chat.found, 43);
    type("n");
    assert_int_equal(app->chat.found, 33);
    struct grid g = {0};
    struct buf b = buf_make(&arena);
    view_draw(app, &g);
    grid_print(&g, false, &b);
    assert_non_null(strstr(b.p, "red house 33"));
    type("/ \n"); /* any blank: the one above */
    assert_int_equal(app->chat.found, 32);
    chat_line_add(app, "user", TEXT("new"));
    assert_int_equal(app->chat.found, -1);
    grid_drop(&g);
}

static void where_there_is_nothing_to_search_it_says_so(void **s)
{
    (void)s;
    app->screen = SCREEN_DATA;
    type("/");
    assert_true(!app->prompt.open && strstr(app->notice, "nothing to search"));
    type("n");
    assert_non_null(strstr(app->notice, "nothing to search"));
    app->screen = SCREEN_PROFILE;
    type("n");
    assert_non_null(strstr(app->notice, "/ asks for a word"));
}

/* ---- the mouse ---- */

static void the_mouse_is_off_until_a_key_turns_it_on(void **s)
{
    (void)s;
    assert_false(app->mouse);
    type("m");
    assert_true(app->mouse && app->wishes[0].kind == WISH_MOUSE && app->wishes[0].number == 1);
    assert_non_null(strstr(app->notice, "Shift"));
    app_key(app, K_F1 + 1);
    assert_true(!app->mouse && app->wishes[1].number == 0);
}

static void a_click_is_the_cursor_and_a_second_one_enter(void **s)
{
    (void)s;
    click(10, 4); /* the top line, the head, then rows 0, 1, 2 */
    assert_string_equal(row(), "max_length");
    click(10, 4);
    assert_true(app->prompt.open);
    click(10, 6); /* a question has the keyboard */
    assert_string_equal(row(), "max_length");
    app_key(app, K_ESC);
    click(10, 500);
    click(-3, -3);
    assert_string_equal(row(), "max_length");
    wheel(MOUSE_DOWN);
    assert_string_equal(row(), "lr_scheduler");
    wheel(MOUSE_UP);
    assert_string_equal(row(), "max_length");
}

static void places_and_the_footer_are_clicked(void **s)
{
    (void)s;
    struct grid g = {0};
    struct buf b = buf_make(&arena);
    view_draw(app, &g);
    grid_print(&g, false, &b);
    int chat = (int)(strstr(b.p, "4 Chat") - b.p);
    click(chat + 1, 0);
    assert_int_equal(app->screen, SCREEN_CHAT);
    type("2");
    const char *last = strrchr(arena_string(&arena, b.p, b.n - 1), '\n') + 1;
    int help = (int)(strstr(last, "? help") - last);
    click(help, 23);
    assert_int_equal(app_top(app), POPUP_HELP);
    click(0, 12); /* beside it */
    assert_int_equal(app_top(app), POPUP_NONE);
    click(2, 23); /* Enter edit */
    assert_true(app->prompt.open);
    grid_drop(&g);
}

static void rows_of_popups_are_clicked(void **s)
{
    (void)s;
    const struct preset list[] = {{"/p/x.yaml", "x", "first"}, {"/p/y.yaml", "y", "second"}};
    type("x");
    app_presets(app, list, 2);
    app->n_wishes = 0;
    struct rect in = view_popup_inside(app);
    click(in.x + 3, in.y + 1);
    assert_int_equal(app->pick.at, 1);
    click(in.x + 3, in.y + 1);
    assert_int_equal(app_top(app), POPUP_NONE);
    assert_int_equal(app->wishes[0].kind, WISH_OPEN_PROFILE);
    assert_string_equal(app->wishes[0].text, "/p/y.yaml");
    for (int i = 0; i < app->profile.n_rows; i++)
        if (strcmp(app->profile.rows[i].path, "train") == 0) app->profile.list.at = i;
    type("\n");
    in = view_popup_inside(app);
    click(in.x + 3, in.y + 2 + 4); /* below the path and a blank row: norms */
    assert_true(app->profile.marks.list[4].on);
    type("/sec"); /* marks are no list to search */
    assert_false(app->prompt.open);
}

static void clicks_anywhere_at_any_size_break_nothing(void **s)
{
    (void)s;
    struct grid g = {0};
    for (uint64_t i = 0; i < 4000; i++) {
        app->w = 1 + (int)(rand_at(1, i) % 120);
        app->h = 1 + (int)(rand_at(2, i) % 50);
        if (i % 7 == 0) app->screen = (enum screen)(rand_at(3, i) % SCREENS);
        if (i % 11 == 0) app_popup(app, (enum popup)(1 + rand_at(4, i) % (POPUPS - 1)));
        struct input_event e = {.kind = INPUT_MOUSE,
                                .mouse = (enum mouse)(rand_at(5, i) % 3),
                                .x = (int)(rand_at(6, i) % 130),
                                .y = (int)(rand_at(7, i) % 60)};
        app_input(app, &e);
        if (i % 5 == 0) app_key(app, K_ESC);
        app->n_wishes = 0;
        view_draw(app, &g);
    }
    grid_drop(&g);
}

int main(void)
{
    grid_locale();
#define LOOK(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        LOOK(a_word_is_found_as_it_is_typed_and_again),
        LOOK(a_log_is_searched_from_its_end),
        LOOK(a_conversation_is_searched_from_its_end),
        LOOK(where_there_is_nothing_to_search_it_says_so),
        LOOK(the_mouse_is_off_until_a_key_turns_it_on),
        LOOK(a_click_is_the_cursor_and_a_second_one_enter),
        LOOK(places_and_the_footer_are_clicked),
        LOOK(rows_of_popups_are_clicked),
        LOOK(clicks_anywhere_at_any_size_break_nothing),
    };
    return cmocka_run_group_tests_name("search", tests, NULL, NULL);
}
