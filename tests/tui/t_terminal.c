/* t_terminal.c - what curses really sends, read back by a terminal (libvterm), cell by cell.
 *
 * The child owns the pty as its terminal and draws grids made from a seed; the parent is the
 * terminal, makes the same grids and compares when a frame asks whether it has been drawn. */
#include "tests/test.h"
#include "tui/input.h"
#include "tui/term.h"
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>
#include <vterm.h>

#define ROWS 24
#define COLUMNS 80
#define FRAMES 120

static void random_grid(struct grid *g, uint64_t frame, bool marks)
{
    static const char *const pieces[] = {"a",         "word",         "\xE4\xBD\xA0\xE5\xA5\xBD",
                                         "e\xCC\x81", "\xE2\x94\x82", "\xE2\xA3\xBF",
                                         "  ",        "\xE3\x81\x82", "\xF0\x9F\x98\x80",
                                         "x",         "\xC2\xB7"};
    grid_size(g, COLUMNS, ROWS);
    for (uint64_t i = 0; i < 60; i++) {
        /* most of a frame is as the one before */
        uint64_t r = rand_at(1000 + frame / 3, i * 7 + (i % 5 == 0 ? frame : 0));
        for (uint64_t k = 0; k < 6; k++) {
            const char *p = pieces[(r >> (k * 4)) % COUNT(pieces)];
            if (!marks && strcmp(p, "e\xCC\x81") == 0) p = "e";
            grid_text(g, grid_all(g), (int)(r >> 20) % COLUMNS + (int)k * 3, (int)(r >> 40) % ROWS,
                      (enum style)((r >> 50) % STYLES), text_of(p));
        }
    }
}

/* ---- the child ---- */

static void wait_answer(struct term *t)
{
    struct input in = {0};
    struct input_event e;
    char byte;
    while (t->unanswered) {
        struct pollfd p = {t->fd, (short)(POLLIN | (t->waits ? POLLOUT : 0)), 0};
        if (poll(&p, 1, 20000) <= 0 || p.revents & POLLHUP) _exit(9);
        if (p.revents & POLLOUT) term_flush(t);
        if (!(p.revents & POLLIN) || read(t->fd, &byte, 1) != 1) continue;
        input_feed(&in, &byte, 1);
        while (input_next(&in, &e, false))
            if (e.kind == INPUT_ANSWERED) term_answered(t);
    }
}

static void draw_frames(bool marks)
{
    struct arena a = arena_make(0);
    struct term t;
    struct err err;
    struct grid g = {0};
    if (!term_open(&t, GLYPHS_BRAILLE, &a, &err)) _exit(2);
    if (t.w != COLUMNS || t.h != ROWS) _exit(3);
    for (uint64_t frame = 0; frame < FRAMES; frame++) {
        random_grid(&g, frame, marks);
        if (frame % 40 == 39) term_repaint(&t);
        term_show(&t, &g, 0);
        wait_answer(&t);
    }
    term_close(&t);
    grid_drop(&g);
    arena_drop(&a);
    _exit(0);
}

/* ---- the parent ---- */

struct screen {
    VTerm *vt;
    VTermScreen *screen;
    int fd, pid;
};

static struct screen terminal_open(const char *term, void (*child)(void *), void *arg)
{
    struct screen s = {0};
    struct winsize size = {ROWS, COLUMNS, 0, 0};
    s.pid = forkpty(&s.fd, NULL, NULL, &size);
    assert_true(s.pid >= 0);
    if (s.pid == 0) {
        setenv("TERM", term, 1);
        setenv("LC_ALL", "C.UTF-8", 1);
        setenv("LINES", "5", 1); /* what is there by ioctl counts */
        setenv("COLUMNS", "11", 1);
        unsetenv("NO_COLOR");
        child(arg);
        _exit(0);
    }
    s.vt = vterm_new(ROWS, COLUMNS);
    vterm_set_utf8(s.vt, 1);
    s.screen = vterm_obtain_screen(s.vt);
    vterm_screen_enable_altscreen(s.screen, 1);
    vterm_screen_reset(s.screen, 1);
    return s;
}

static int terminal_close(struct screen *s)
{
    int status = -1;
    waitpid(s->pid, &status, 0);
    vterm_free(s->vt);
    close(s->fd);
    return status;
}

/* Reads until the terminal is asked a question (its answer's length), or the child is gone (0). */
static size_t next_question(struct screen *s, char answer[64])
{
    char bytes[8192];
    for (;;) {
        ssize_t n = read(s->fd, bytes, sizeof bytes);
        if (n <= 0) return 0;
        vterm_input_write(s->vt, bytes, (size_t)n);
        size_t said = vterm_output_read(s->vt, answer, 64);
        if (said) return said;
    }
}

static int differences(const struct screen *s, const struct grid *g)
{
    int bad = 0;
    for (int y = 0; y < ROWS; y++)
        for (int x = 0; x < COLUMNS; x++) {
            const struct cell *want = &g->cells[y * COLUMNS + x];
            VTermScreenCell got;
            if (want->width == 0) continue;
            vterm_screen_get_cell(s->screen, (VTermPos){y, x}, &got);
            int32_t code = got.chars[0] ? (int32_t)got.chars[0] : ' ',
                    mark = got.chars[0] ? (int32_t)got.chars[1] : 0;
            bool same = code == want->code && mark == want->mark &&
                        (code == ' ' || got.width == want->width);
            same = same && (got.attrs.reverse != 0) == looks[want->style].reverse;
            if (code != ' ') same = same && (got.attrs.bold != 0) == looks[want->style].bold;
            if (!same && bad++ < 5)
                print_error("row %d column %d: wanted U+%04X U+%04X style %d, got U+%04X U+%04X "
                            "width %d\n",
                            y, x, (unsigned)want->code, (unsigned)want->mark, want->style,
                            (unsigned)code, (unsigned)mark, got.width);
        }
    return bad;
}

static void child_draws(void *marks) { draw_frames(*(bool *)marks); }

static void round_trip(const char *term, bool marks)
{
    struct screen s = terminal_open(term, child_draws, &marks);
    struct grid g = {0};
    char answer[64];
    uint64_t frame = 0;
    int bad = 0;
    for (size_t n; (n = next_question(&s, answer)) > 0 && frame < FRAMES; frame++) {
        random_grid(&g, frame, marks);
        bad += differences(&s, &g);
        if (bad) {
            print_error("%s, frame %d\n", term, (int)frame);
            break;
        }
        assert_int_equal(write(s.fd, answer, n), n);
    }
    if (bad) kill(s.pid, SIGKILL);
    else
        while (next_question(&s, answer) > 0) {}
    int status = terminal_close(&s);
    grid_drop(&g);
    assert_int_equal(bad, 0);
    assert_int_equal(frame, FRAMES);
    assert_int_equal(status, 0);
}

static void every_cell_arrives_on_every_terminal(void **state)
{
    static const char *const terms[] = {"xterm-256color", "tmux-256color", "screen-256color",
                                        "xterm",          "linux",         "vt100"};
    (void)state;
    for (size_t i = 0; i < COUNT(terms); i++) round_trip(terms[i], true);
}

static void an_unknown_terminal_is_taken_for_an_xterm(void **state)
{
    (void)state;
    round_trip("xterm-of-the-year-2100", true);
}

static void child_without_colours(void *arg)
{
    setenv("NO_COLOR", "1", 1);
    child_draws(arg);
}

static void no_color_is_honoured(void **state)
{
    static const char *const colours[] = {"\33[31m", "\33[32m", "\33[33m",
                                          "\33[34m", "\33[35m", "\33[36m"};
    bool marks = false;
    (void)state;
    for (int without = 0; without < 2; without++) {
        struct screen s =
            terminal_open("xterm-256color", without ? child_without_colours : child_draws, &marks);
        int coloured = 0;
        char bytes[8192], answer[64];
        for (ssize_t n; (n = read(s.fd, bytes, sizeof bytes)) > 0;) {
            for (size_t i = 0; i < COUNT(colours); i++)
                coloured += memmem(bytes, (size_t)n, colours[i], 5) != NULL;
            vterm_input_write(s.vt, bytes, (size_t)n);
            size_t said = vterm_output_read(s.vt, answer, sizeof answer);
            if (said) assert_int_equal(write(s.fd, answer, said), said);
        }
        assert_int_equal(terminal_close(&s), 0);
        assert_true(without ? coloured == 0 : coloured > 0);
    }
}

static void child_refused(void *arg)
{
    struct arena a = arena_make(0);
    struct term t;
    struct err err = {""};
    (void)arg;
    if (term_open(&t, GLYPHS_AUTO, &a, &err)) _exit(1);
    _exit(strstr(err.text, "hone train") ? 0 : 2);
}

static void a_terminal_that_cannot_move_its_cursor_is_refused_with_what_to_type(void **state)
{
    char answer[64];
    (void)state;
    struct screen s = terminal_open("dumb", child_refused, NULL);
    while (next_question(&s, answer)) {}
    assert_int_equal(terminal_close(&s), 0);
}

/* Draws one frame, then dies of a signal that nobody expects. */
static void child_crashes(void *arg)
{
    struct arena a = arena_make(0);
    struct term t;
    struct err err;
    struct grid g = {0};
    (void)arg;
    if (!term_open(&t, GLYPHS_BRAILLE, &a, &err)) _exit(2);
    random_grid(&g, 1, false);
    term_show(&t, &g, 0);
    wait_answer(&t);
    raise(SIGSEGV);
    _exit(0);
}

static void a_crash_puts_the_terminal_back(void **state)
{
    char answer[64], all[65536];
    size_t n = 0;
    ssize_t got;
    struct termios before, after;
    (void)state;
    struct screen s = terminal_open("xterm-256color", child_crashes, NULL);
    size_t said = next_question(&s, answer);
    assert_true(said > 0);
    assert_int_equal(tcgetattr(s.fd, &before), 0);
    assert_true(!(before.c_lflag & ICANON)); /* while it draws the line is raw */
    assert_int_equal(write(s.fd, answer, said), said);
    while (n < sizeof all && (got = read(s.fd, all + n, sizeof all - n)) > 0) {
        n += (size_t)got;
        if (memmem(all, n, "\33[?1049l", 8)) break;
    }
    assert_non_null(memmem(all, n, "\33[?1049l", 8));
    assert_non_null(memmem(all, n, "\33[?25h", 6));
    int status;
    waitpid(s.pid, &status, 0);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    if (tcgetattr(s.fd, &after) == 0) assert_true(after.c_lflag & ICANON);
    vterm_free(s.vt);
    close(s.fd);
}

/* The mouse on, or not, then a pause as for an editor, then the end. */
static void child_with_mouse(void *arg)
{
    struct arena a = arena_make(0);
    struct term t;
    struct err err;
    struct grid g = {0};
    if (!term_open(&t, GLYPHS_BRAILLE, &a, &err)) _exit(2);
    random_grid(&g, 1, false);
    if (*(bool *)arg) term_mouse(&t, true);
    term_show(&t, &g, 0);
    wait_answer(&t);
    term_pause(&t);
    term_resume(&t);
    term_show(&t, &g, 0);
    wait_answer(&t);
    term_close(&t);
    _exit(0);
}

static int count_of(const char *p, size_t n, const char *what)
{
    int found = 0;
    for (const char *at = p; (at = memmem(at, n - (size_t)(at - p), what, strlen(what))); at++)
        found++;
    return found;
}

static void the_mouse_is_asked_for_only_when_turned_on_and_given_back(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        bool on = i == 1;
        char all[65536], answer[64];
        size_t n = 0;
        struct screen s = terminal_open("xterm-256color", child_with_mouse, &on);
        for (ssize_t got; n < sizeof all && (got = read(s.fd, all + n, sizeof all - n)) > 0;) {
            vterm_input_write(s.vt, all + n, (size_t)got);
            n += (size_t)got;
            size_t said = vterm_output_read(s.vt, answer, sizeof answer);
            if (said) assert_int_equal(write(s.fd, answer, said), said);
        }
        assert_int_equal(terminal_close(&s), 0);
        assert_int_equal(count_of(all, n, "\33[?1000h"), on ? 2 : 0);
        assert_int_equal(count_of(all, n, "\33[?1006h"), on ? 2 : 0);
        assert_true(!on || count_of(all, n, "\33[?1000l") >= 2); /* before the editor, at the end */
    }
}

static void child_asks(void *arg)
{
    struct arena a = arena_make(0);
    struct term t;
    struct err err;
    struct grid g = {0};
    (void)arg;
    if (!term_open(&t, GLYPHS_BRAILLE, &a, &err)) _exit(2);
    random_grid(&g, 1, false);
    term_show(&t, &g, 10.0);
    while (t.waits) term_flush(&t);
    if (term_ready(&t, 10.1) || term_ready(&t, 11.9)) _exit(3); /* a frame is out */
    /* it never answers: it is asked no more */
    if (!term_ready(&t, 12.1)) _exit(4);
    random_grid(&g, 2, false);
    term_show(&t, &g, 13.0);
    while (t.waits) term_flush(&t);
    if (!term_ready(&t, 13.0)) _exit(5);
    dprintf(1, "printed by a library\n");
    char text[64] = "";
    if (term_stray(&t, text, sizeof text) <= 0 || !strstr(text, "library")) _exit(6);
    term_close(&t);
    _exit(0);
}

static void one_frame_is_in_flight_and_a_silent_terminal_is_asked_no_more(void **state)
{
    char bytes[8192];
    (void)state;
    struct screen s = terminal_open("xterm-256color", child_asks, NULL);
    char all[65536];
    size_t n = 0;
    for (ssize_t got; n < sizeof all && (got = read(s.fd, bytes, sizeof bytes)) > 0;
         n += (size_t)got)
        memcpy(all + n, bytes, n + (size_t)got <= sizeof all ? (size_t)got : 0);
    int asked = 0;
    for (const char *p = all; (p = memmem(p, n - (size_t)(p - all), "\33[5n", 4)); p += 4) asked++;
    assert_int_equal(asked, 1);
    assert_int_equal(terminal_close(&s), 0);
    assert_non_null(memmem(all, n, "printed by a library", 20)); /* shown once the screen is gone */
}

static void child_leaves_early(void *arg)
{
    struct arena a = arena_make(0);
    struct term t;
    struct err err;
    struct grid g = {0};
    struct pollfd p = {0, POLLIN, 0};
    (void)arg;
    if (!term_open(&t, GLYPHS_BRAILLE, &a, &err)) _exit(2);
    random_grid(&g, 1, false);
    term_show(&t, &g, 0);
    term_close(&t); /* with a frame that is not answered yet */
    struct termios raw;
    tcgetattr(0, &raw);
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    tcsetattr(0, TCSANOW, &raw);
    _exit(poll(&p, 1, 100) == 0 ? 0 : 3); /* what the shell would read now */
}

static void an_answer_that_comes_late_never_reaches_the_shell(void **state)
{
    char answer[64];
    (void)state;
    struct screen s = terminal_open("xterm-256color", child_leaves_early, NULL);
    size_t n = next_question(&s, answer);
    usleep(50000);
    assert_int_equal(write(s.fd, answer, n), n);
    while (next_question(&s, answer) > 0) {}
    assert_int_equal(terminal_close(&s), 0);
}

int main(void)
{
    if (!grid_locale()) return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_cell_arrives_on_every_terminal),
        cmocka_unit_test(an_unknown_terminal_is_taken_for_an_xterm),
        cmocka_unit_test(a_terminal_that_cannot_move_its_cursor_is_refused_with_what_to_type),
        cmocka_unit_test(a_crash_puts_the_terminal_back),
        cmocka_unit_test(the_mouse_is_asked_for_only_when_turned_on_and_given_back),
        cmocka_unit_test(one_frame_is_in_flight_and_a_silent_terminal_is_asked_no_more),
        cmocka_unit_test(no_color_is_honoured),
        cmocka_unit_test(an_answer_that_comes_late_never_reaches_the_shell)};
    return cmocka_run_group_tests_name("terminal", tests, NULL, NULL);
}
