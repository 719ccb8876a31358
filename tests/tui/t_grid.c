/* t_grid.c - what reaches a cell, and what never does. */
#include "tests/test.h"
#include "tui/chart.h"
#include "tui/edit.h"
#include "tui/grid.h"
#include <math.h>

static int setup(void **state)
{
    (void)state;
    return grid_locale() ? 0 : -1;
}

static const char *print(const struct grid *g, struct arena *a)
{
    struct buf b = buf_make(a);
    grid_print(g, false, &b);
    return b.p;
}

/* Every cell is a whole character of known width, and nothing that a terminal would obey. */
static void check_cells(const struct grid *g)
{
    for (int y = 0; y < g->h; y++)
        for (int x = 0; x < g->w; x++) {
            const struct cell *c = &g->cells[y * g->w + x];
            assert_true(c->width <= 2 && c->style < STYLES);
            assert_true(c->code >= 32 && c->code != 127 && !(c->code >= 0x80 && c->code < 0xA0));
            assert_int_equal(text_shown(c->code), c->code);
            if (c->width == 2) assert_true(x + 1 < g->w && g->cells[y * g->w + x + 1].width == 0);
            if (c->width == 0) assert_true(x > 0 && g->cells[y * g->w + x - 1].width == 2);
            if (c->mark) assert_true(x + c->width < g->w && code_columns(c->mark) == 0);
        }
    for (int x = g->w > 2 ? g->w - 2 : 0; x < g->w; x++)
        assert_int_equal(g->cells[(g->h - 1) * g->w + x].code, ' ');
}

static void hostile_text_never_reaches_a_cell(void **state)
{
    static const char hostile[] = "\33[2J\33]0;owned\7 \x9b 31m \xC2\x9B"
        "31m \xE2\x80\xAE rtl \xE2\x80\x8B\xEF\xBB\xBF \r\n\t\b \177 \xF0\x9F\x8F\xBD \xFF\xFE "
        "\xE4\xBD";
    struct grid g = {0};
    struct arena a = arena_make(0);
    (void)state;
    grid_size(&g, 60, 3);
    grid_text(&g, grid_all(&g), 0, 0, STYLE_PLAIN, TEXT(hostile));
    check_cells(&g);
    for (const char *p = print(&g, &a); *p; p++) assert_true(*p == '\n' || (unsigned char)*p >= 32);
    grid_drop(&g);
    arena_drop(&a);
}

static void random_texts_keep_every_rule_at_every_edge(void **state)
{
    static const char *const pieces[] = {"a", "\xE4\xBD\xA0", "e\xCC\x81", "\xF0\x9F\x98\x80", " ",
        "\n", "\33", "\xE0\xA4\x95\xE0\xA5\x8D", "\xC2\xAD", "\xED\xA0\x80", "word",
        "\xF4\x8F\xBF\xBF"};
    struct grid g = {0};
    (void)state;
    for (uint64_t round = 0; round < 3000; round++) {
        int w = 1 + (int)(rand_at(1, round) % 30), h = 1 + (int)(rand_at(2, round) % 6);
        grid_size(&g, w, h);
        for (int k = 0; k < 6; k++) {
            char text[400] = "";
            size_t n = 0;
            for (uint64_t i = 0; i < 12; i++)
                n += (size_t)snprintf(text + n, sizeof text - n, "%s",
                    pieces[rand_at(round * 8 + (uint64_t)k, i) % COUNT(pieces)]);
            struct rect r = {(int)(rand_at(3, round) % 8) - 2, (int)(rand_at(4, round) % 4) - 1,
                (int)(rand_at(5, round) % 20), (int)(rand_at(6, round) % 5)};
            int x = (int)(rand_at(7, round + (uint64_t)k) % 12) - 4;
            if (k % 3 == 0) grid_wrap(&g, r, 0, STYLE_WARN, (struct text){text, n});
            else if (k % 3 == 1) grid_fit(&g, r, x, 0, 9, STYLE_PLAIN, (struct text){text, n});
            else grid_text(&g, r, x, 1, STYLE_DIM, (struct text){text, n});
            check_cells(&g);
        }
    }
    grid_drop(&g);
}

static void text_stays_inside_its_rectangle(void **state)
{
    struct grid g = {0};
    (void)state;
    grid_size(&g, 20, 5);
    struct rect r = {5, 1, 8, 2};
    grid_text(&g, r, 6, 0, STYLE_PLAIN, TEXT("abcdef"));
    /* half of it has room: none is drawn */
    grid_text(&g, r, 7, 1, STYLE_PLAIN, TEXT("\xE4\xBD\xA0"));
    assert_int_equal(g.cells[20 + 12].code, 'b');
    assert_int_equal(g.cells[20 + 13].code, ' ');
    assert_int_equal(g.cells[40 + 12].code, ' ');
    grid_drop(&g);
}

static void a_long_text_ends_in_a_sign(void **state)
{
    struct grid g = {0};
    (void)state;
    grid_size(&g, 20, 3);
    assert_int_equal(grid_fit(&g, grid_all(&g), 0, 0, 5, STYLE_PLAIN, TEXT("abcdefg")), 5);
    assert_int_equal(g.cells[4].code, 0x2026);
    g.glyphs = GLYPHS_ASCII;
    grid_fit(&g, grid_all(&g), 0, 1, 5, STYLE_PLAIN, TEXT("abcdefg"));
    assert_int_equal(g.cells[24].code, '~');
    assert_int_equal(grid_fit(&g, grid_all(&g), 0, 2, 5, STYLE_PLAIN, TEXT("abcde")), 5);
    assert_int_equal(g.cells[44].code, 'e');
    grid_drop(&g);
}

static void wrapped_text_breaks_at_blanks_and_between_wide_characters(void **state)
{
    struct grid g = {0};
    struct arena a = arena_make(0);
    (void)state;
    grid_size(&g, 12, 6);
    struct rect r = {0, 0, 8, 6};
    assert_int_equal(grid_wrap(&g, r, 0, STYLE_PLAIN, TEXT("one two three\nx abcdefghijk")), 5);
    assert_string_equal(print(&g, &a), "one two\nthree\nx\nabcdefgh\nijk\n\n");
    grid_size(&g, 12, 6);
    assert_int_equal(grid_wrap(&g, (struct rect){0, 0, 5, 6}, 0, STYLE_PLAIN,
        TEXT("\xE4\xBD\xA0\xE4\xBD\xA0\xE4\xBD\xA0\xE4\xBD\xA0\xE4\xBD\xA0")), 3);
    grid_drop(&g);
    arena_drop(&a);
}

static void a_chart_shows_gaps_spikes_and_any_size(void **state)
{
    struct arena a = arena_make(0);
    struct grid g = {0};
    (void)state;
    struct series s = series_make(&a);
    for (int64_t i = 1; i <= 100000; i++)
        series_add(&s, i, i == 77777 ? 50 : i % 1000 == 5 ? NAN : i % 997 == 0 ? INFINITY :
            1.0 / (double)i);
    double low = 0, high = 0;
    assert_true(s.n <= SERIES_MOST && series_range(&s, &low, &high));
    assert_true(high == 50); /* no spike is lost by joining */
    struct chart_line line = {&s, STYLE_SERIES_1, 90, true, 'o'};
    struct chart_stage stages[] = {{0, "first"}, {60000, "second"}};
    for (int log = 0; log < 2; log++)
        for (int glyphs = GLYPHS_BRAILLE; glyphs <= GLYPHS_ASCII; glyphs++)
            for (int w = 1; w < 90; w += 4)
                for (int h = 1; h < 30; h += 3) {
                    grid_size(&g, w, h);
                    g.glyphs = (enum glyphs)glyphs;
                    struct chart c = {&line, 1, stages, 2, 120000, 100000, log};
                    chart_draw(&g, grid_all(&g), &c);
                    check_cells(&g);
                    for (int i = 0; i < w * h && glyphs == GLYPHS_ASCII; i++)
                        assert_true(g.cells[i].code < 127);
                }
    struct chart none = {&(struct chart_line){&(struct series){.per = 1}, STYLE_PLAIN, 0, false, 0}, 1,
        NULL, 0, 0, 0, true};
    chart_draw(&g, grid_all(&g), &none);
    check_cells(&g);
    grid_drop(&g);
    arena_drop(&a);
}

static void a_path_that_is_too_long_keeps_its_end(void **state)
{
    static const struct { const char *path; int columns; const char *shown; } rows[] = {
        {"/a/b.jsonl", 20, "/a/b.jsonl"}, {"/a/long/name.jsonl", 12, "~/name.jsonl"},
        {"/\xE4\xB8\xAD\xE6\x96\x87/x", 5, "~\xE6\x96\x87/x"}, {"/\xE4\xB8\xAD\xE6\x96\x87/x", 4, "~/x"},
        {"abc", 1, "~"}, {"", 5, ""}};
    struct arena a = arena_make(0);
    struct grid g = {0};
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct buf b = buf_make(&a);
        grid_size(&g, 30, 2);
        g.glyphs = GLYPHS_ASCII;
        int n = grid_fit_end(&g, grid_all(&g), 0, 0, rows[i].columns, STYLE_PLAIN, text_of(rows[i].path));
        grid_print(&g, false, &b);
        assert_true(n <= rows[i].columns);
        assert_string_equal(b.p, arena_printf(&a, "%s\n\n", rows[i].shown));
    }
    grid_drop(&g);
    arena_drop(&a);
}

/* Two lines that cross are told apart without colour: the points of one carry its sign. */
static void the_points_of_a_line_carry_its_sign(void **state)
{
    struct arena a = arena_make(0);
    struct grid g = {0};
    struct buf b = buf_make(&a);
    struct series many = series_make(&a), few = series_make(&a);
    int signs = 0;
    (void)state;
    for (int64_t i = 1; i <= 100; i++) series_add(&many, i, 100 - (double)i);
    for (int64_t i = 20; i <= 100; i += 20) series_add(&few, i, (double)i);
    struct chart_line lines[] = {{&many, STYLE_SERIES_1, 0, false, 0},
        {&few, STYLE_SERIES_2, 0, false, 'o'}};
    struct chart c = {lines, 2, NULL, 0, 100, 100, false};
    grid_size(&g, 60, 20);
    g.glyphs = GLYPHS_BRAILLE;
    chart_draw(&g, grid_all(&g), &c);
    grid_print(&g, false, &b);
    for (size_t i = 0; i < b.n; i++) signs += b.p[i] == 'o';
    assert_int_equal(signs, 5);
    grid_drop(&g);
    arena_drop(&a);
}

static void a_series_forgets_what_lies_after_a_step(void **state)
{
    struct arena a = arena_make(0);
    (void)state;
    struct series s = series_make(&a);
    for (int64_t i = 1; i <= 100; i++) series_add(&s, i, (double)i);
    series_cut(&s, 40);
    double low = 0, high = 0;
    assert_int_equal(s.n, 40);
    assert_true(series_range(&s, &low, &high) && low == 1 && high == 40);
    series_add(&s, 41, 7);
    assert_int_equal(s.n, 41);
    arena_drop(&a);
}

static void a_field_edits_as_a_shell_does(void **state)
{
    struct arena a = arena_make(0);
    struct edit e = edit_make(&a, true);
    (void)state;
    edit_insert(&e, TEXT("one two \xE4\xBD\xA0\xE5\xA5\xBD"));
    edit_back(&e);
    assert_string_equal(e.text.p, "one two \xE4\xBD\xA0");
    edit_kill_word(&e);
    assert_string_equal(e.text.p, "one two ");
    edit_home(&e);
    edit_yank(&e);
    assert_string_equal(e.text.p, "\xE4\xBD\xA0one two ");
    edit_kill_end(&e);
    edit_insert(&e, TEXT("\nsecond"));
    edit_up(&e);
    assert_int_equal(e.at, 3);
    edit_remember(&e);
    assert_int_equal(e.text.n, 0);
    edit_insert(&e, TEXT("draft"));
    edit_up(&e);
    assert_string_equal(e.text.p, "\xE4\xBD\xA0\nsecond");
    edit_down(&e);
    assert_string_equal(e.text.p, "draft");
    struct edit one = edit_make(&a, false);
    edit_insert(&one, TEXT("a\r\nb"));
    assert_string_equal(one.text.p, "a  b");
    arena_drop(&a);
}

static void random_edits_never_leave_the_text(void **state)
{
    static void (*const moves[])(struct edit *) = {edit_left, edit_right, edit_word_left,
        edit_word_right, edit_home, edit_end, edit_back, edit_delete,
        edit_kill_end, edit_kill_home, edit_kill_word, edit_yank, edit_up, edit_down,
            edit_remember};
    static const char *const texts[] = {"a", "\xE4\xBD\xA0", "\n", " ", "\xFF", "word"};
    struct arena a = arena_make(0);
    struct grid g = {0};
    (void)state;
    grid_size(&g, 10, 4);
    struct edit e = edit_make(&a, true);
    for (uint64_t i = 0; i < 20000; i++) {
        uint64_t r = rand_at(9, i);
        if (r & 1) edit_insert(&e, text_of(texts[r / 2 % COUNT(texts)]));
        else moves[r / 2 % COUNT(moves)](&e);
        assert_true(e.at <= e.text.n && e.text.p[e.text.n] == 0);
        if (e.text.n > 200) edit_set(&e, TEXT(""));
        if (i % 16 == 0) edit_draw(&e, &g, (struct rect){1, 0, 1 + (int)(r % 8), 3}, true);
        if (i % 16 == 0) check_cells(&g);
    }
    grid_drop(&g);
    arena_drop(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hostile_text_never_reaches_a_cell),
            cmocka_unit_test(random_texts_keep_every_rule_at_every_edge),
        cmocka_unit_test(text_stays_inside_its_rectangle),
            cmocka_unit_test(a_long_text_ends_in_a_sign),
        cmocka_unit_test(wrapped_text_breaks_at_blanks_and_between_wide_characters),
            cmocka_unit_test(a_chart_shows_gaps_spikes_and_any_size),
        cmocka_unit_test(a_path_that_is_too_long_keeps_its_end),
            cmocka_unit_test(the_points_of_a_line_carry_its_sign),
            cmocka_unit_test(a_series_forgets_what_lies_after_a_step),
            cmocka_unit_test(a_field_edits_as_a_shell_does),
        cmocka_unit_test(random_edits_never_leave_the_text)};
    return cmocka_run_group_tests_name("grid", tests, setup, NULL);
}
