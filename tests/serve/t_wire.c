/* t_wire.c - lines over a descriptor that does not block: whole, in order, however they come; what
 * is too long or too slow is said. */
#include "tests/test.h"
#include "engine/serve/wire.h"
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static struct arena a;
static struct wire w;
static int far[2]; /* the other side: far[0] is read from, far[1] written to */

static int setup(void **state)
{
    int in[2], out[2];
    (void)state;
    a = arena_make(0);
    if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0) return -1;
    far[1] = in[1];
    far[0] = out[0]; /* the wire sees to its own side */
    for (int i = 0; i < 2; i++)
        if (fcntl(far[i], F_SETFL, O_NONBLOCK | fcntl(far[i], F_GETFL)) != 0) return -1;
    w = wire_make(in[0], out[1], &a);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    close(w.in), close(w.out), close(far[0]);
    if (far[1] >= 0) close(far[1]);
    arena_drop(&a);
    return 0;
}

static void say_far(const char *p, size_t n) { assert_int_equal(write(far[1], p, n), n); }

static void lines_come_whole_in_whatever_pieces(void **state)
{
    static const char sent[] = "one\n\ntwo and more\nthe third, with its beginning kept";
    static const char *const lines[] = {"one", "", "two and more"};
    (void)state;
    for (size_t step = 1; step <= sizeof sent; step++) {
        struct text line;
        bool gone;
        size_t got = 0;
        for (size_t at = 0; at < sizeof sent - 1; at += step) {
            say_far(sent + at, sizeof sent - 1 - at < step ? sizeof sent - 1 - at : step);
            while (wire_line(&w, &line, &gone)) assert_true(got < 3 && text_is(line, lines[got++]));
            assert_false(gone);
        }
        assert_int_equal(got, 3);
        say_far("\n", 1);
        assert_true(wire_line(&w, &line, &gone) &&
                    text_is(line, "the third, with its beginning kept"));
        assert_false(wire_line(&w, &line, &gone));
    }
}

static void many_short_lines_are_not_moved_about(void **state)
{
    char piece[4096];
    struct text line;
    bool gone;
    int n = 0;
    (void)state;
    memset(piece, '\n', sizeof piece);
    for (int i = 0; i < 16; i++) say_far(piece, sizeof piece);
    assert_true(wire_line(&w, &line, &gone));
    const char *first = line.p;
    for (n = 1; wire_line(&w, &line, &gone); n++) assert_ptr_equal(line.p, first + n);
    assert_false(gone);
    assert_int_equal(n, 16 * 4096);
}

static void a_line_of_a_mebibyte_is_the_longest(void **state)
{
    char piece[65536];
    struct text line;
    bool gone;
    (void)state;
    memset(piece, 'x', sizeof piece);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 16; i++) { /* one byte less with its newline; then one byte more */
            size_t n = i == 15 && round == 0 ? sizeof piece - 1 : sizeof piece;
            say_far(piece, n);
            bool whole = wire_line(&w, &line, &gone);
            assert_false(whole);
            assert_int_equal(gone, round == 1 && i == 15);
        }
        if (round == 1) break;
        say_far("\n", 1);
        assert_true(wire_line(&w, &line, &gone));
        assert_int_equal(line.n, WIRE_LINE_MOST - 1);
    }
}

static void the_end_of_the_other_side_is_seen_after_its_last_line(void **state)
{
    struct text line;
    bool gone;
    (void)state;
    say_far("last\nhalf", 9);
    close(far[1]);
    far[1] = -1;
    assert_true(wire_line(&w, &line, &gone) && text_is(line, "last"));
    assert_false(wire_line(&w, &line, &gone));
    assert_true(gone);
}

static void what_nobody_reads_waits_and_is_not_more_than_a_mebibyte(void **state)
{
    char piece[65536], *all = arena_take(&a, 1, 4 << 20);
    size_t sent = 0, read_n = 0;
    (void)state;
    for (size_t i = 0; i < sizeof piece; i++) piece[i] = (char)('a' + i % 26);
    while (wire_send(&w, (struct text){piece, sizeof piece})) sent += sizeof piece;
    assert_true(sent >= WIRE_OUT_MOST && w.n_put > WIRE_OUT_MOST - sizeof piece &&
                w.n_put <= WIRE_OUT_MOST);
    for (ssize_t n; read_n < sent;) {
        assert_true(wire_flush(&w));
        while ((n = read(far[0], all + read_n, (4u << 20) - read_n)) > 0) read_n += (size_t)n;
    }
    assert_int_equal(read_n, sent);
    assert_int_equal(w.n_put, 0);
    for (size_t i = 0; i < sent; i++) assert_int_equal(all[i], piece[i % sizeof piece]);
}

static void a_path_too_long_for_a_socket_is_put_elsewhere(void **state)
{
    char path[108], folder[] = "/tmp/hone-wire-XXXXXX";
    struct err err;
    (void)state;
    assert_non_null(mkdtemp(folder));
    assert_true(wire_path(path, "/runs/a", folder, &err));
    assert_int_equal(strncmp(path, folder, strlen(folder)), 0);
    char other[108];
    assert_true(wire_path(other, "/runs/b", folder, &err));
    assert_string_not_equal(path, other);
    char *deep = arena_printf(&a, "%s/%090d", folder, 1);
    assert_true(wire_path(path, "/runs/a", deep, &err));
    assert_true(strncmp(path, "/tmp/hone-", 10) == 0 && strlen(path) < 100);
    assert_true(dir_remove(folder, &err));
}

/* What sets XDG_RUNTIME_DIR may be gone at the next login, and the run goes on: its socket lies where
 * the run's home is, in a folder that nobody else may enter. */
static void a_socket_lies_in_a_folder_of_its_owner_alone(void **state)
{
    char path[108], folder[] = "/tmp/hone-wire-XXXXXX";
    struct err err;
    (void)state;
    assert_non_null(mkdtemp(folder));
    setenv("XDG_RUNTIME_DIR", "/tmp", 1);
    assert_true(wire_path(path, "/runs/a", folder, &err));
    assert_int_equal(strncmp(path, folder, strlen(folder)), 0);
    char *sock = arena_printf(&a, "%s/sock", folder);
    assert_int_equal(chmod(sock, 0755), 0);
    assert_false(wire_path(path, "/runs/a", folder, &err));
    assert_non_null(strstr(err.text, "is not a folder of yours with mode 0700"));
    assert_int_equal(rmdir(sock), 0);
    assert_int_equal(symlink("/tmp", sock), 0);
    assert_false(wire_path(path, "/runs/a", folder, &err));
    assert_non_null(strstr(err.text, "is not a folder of yours"));
    assert_true(dir_remove(folder, &err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(lines_come_whole_in_whatever_pieces, setup, teardown),
        cmocka_unit_test_setup_teardown(many_short_lines_are_not_moved_about, setup, teardown),
        cmocka_unit_test_setup_teardown(a_line_of_a_mebibyte_is_the_longest, setup, teardown),
        cmocka_unit_test_setup_teardown(the_end_of_the_other_side_is_seen_after_its_last_line,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(what_nobody_reads_waits_and_is_not_more_than_a_mebibyte,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_socket_lies_in_a_folder_of_its_owner_alone, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_path_too_long_for_a_socket_is_put_elsewhere, setup,
                                        teardown)};
    return cmocka_run_group_tests_name("wire", tests, NULL, NULL);
}
