/* t_wire.c - lines over a descriptor that does not block: whole, in order, however they come; what
 * is too long or too slow is said. */
#include "tests/test.h"
#include "engine/serve/wire.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
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

/* ---- the socket ---- */

static char home[] = "/tmp/hone-wire-XXXXXX";

static int lowest_descriptor(void)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    close(fd);
    return fd;
}

static int home_make(void **state)
{
    snprintf(home, sizeof home, "/tmp/hone-wire-XXXXXX");
    return mkdtemp(home) ? setup(state) : -1;
}

static int home_drop(void **state)
{
    struct err err;
    return dir_remove(home, &err) ? teardown(state) : -1;
}

static void a_dead_engines_socket_is_in_nobodys_way(void **state)
{
    char path[108];
    struct err err;
    int first, second, client;
    (void)state;
    assert_true(wire_path(path, "/runs/a", home, &err));
    assert_true(wire_listen(&first, path, &err));
    close(first); /* its file stays, as after a kill */
    assert_true(wire_listen(&second, path, &err));
    assert_true(wire_connect(&client, path, &err));
    int server = wire_accept(second);
    assert_true(server >= 0);
    assert_true(fcntl(server, F_GETFL) & O_NONBLOCK && fcntl(client, F_GETFL) & O_NONBLOCK);
    struct stat st;
    assert_true(stat(path, &st) == 0 && (st.st_mode & 077) == 0);
    assert_int_equal(wire_accept(second), -1); /* nobody else is there, and it does not wait */
    close(server), close(client), close(second);
}

static void what_cannot_be_opened_leaves_no_descriptor(void **state)
{
    struct err err;
    int fd, before = lowest_descriptor();
    const char *nowhere = arena_printf(&a, "%s/not/there", home);
    (void)state;
    assert_false(wire_listen(&fd, nowhere, &err));
    assert_non_null(strstr(err.text, "cannot listen at"));
    assert_int_equal(fd, -1);
    assert_false(wire_connect(&fd, nowhere, &err));
    assert_non_null(strstr(err.text, "does not answer"));
    assert_int_equal(fd, -1);
    assert_int_equal(lowest_descriptor(), before);
}

static void who_is_refused_reads_why_and_then_the_end(void **state)
{
    char path[108], said[200];
    struct err err;
    int listener, client;
    (void)state;
    assert_true(wire_path(path, "/runs/a", home, &err) && wire_listen(&listener, path, &err));
    assert_true(wire_connect(&client, path, &err));
    int before = lowest_descriptor();
    wire_refuse(wire_accept(listener), "there is no room");
    assert_int_equal(lowest_descriptor(), before);
    ssize_t n = read(client, said, sizeof said - 1);
    assert_true(n > 0);
    said[n] = 0;
    assert_non_null(strstr(said, "there is no room"));
    assert_int_equal(read(client, said, sizeof said), 0);
    close(client), close(listener);
}

static void another_user_is_let_in_nowhere(void **state)
{
    char path[108];
    struct err err;
    int listener, status = 1;
    (void)state;
    if (geteuid() != 0) {
        print_message("only root can be another user\n");
        skip();
    }
    assert_true(wire_path(path, "/runs/a", home, &err) && wire_listen(&listener, path, &err));
    /* even where the folders and the socket were opened to all by mistake */
    assert_int_equal(chmod(home, 0777) | chmod(path_dir(&a, path), 0777) | chmod(path, 0777), 0);
    pid_t child = fork();
    if (child == 0) {
        int fd;
        bool in = setresuid(65534, 65534, 65534) == 0 && wire_connect(&fd, path, &err);
        _exit(in || !strstr(err.text, "belongs to another user"));
    }
    assert_true(child > 0 && waitpid(child, &status, 0) == child);
    assert_int_equal(status, 0);
    int before = lowest_descriptor();
    assert_int_equal(wire_accept(listener), -1);
    assert_int_equal(lowest_descriptor(), before);
    close(listener);
}

static void who_is_gone_is_noticed_as_something_is_sent(void **state)
{
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    assert_true(wire_send(&w, TEXT("one\n")));
    close(far[0]);
    far[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_false(wire_send(&w, TEXT("two\n")));
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
        cmocka_unit_test_setup_teardown(a_dead_engines_socket_is_in_nobodys_way, home_make,
                                        home_drop),
        cmocka_unit_test_setup_teardown(what_cannot_be_opened_leaves_no_descriptor, home_make,
                                        home_drop),
        cmocka_unit_test_setup_teardown(who_is_refused_reads_why_and_then_the_end, home_make,
                                        home_drop),
        cmocka_unit_test_setup_teardown(another_user_is_let_in_nowhere, home_make, home_drop),
        cmocka_unit_test_setup_teardown(who_is_gone_is_noticed_as_something_is_sent, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_socket_lies_in_a_folder_of_its_owner_alone, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_path_too_long_for_a_socket_is_put_elsewhere, setup,
                                        teardown)};
    return cmocka_run_group_tests_name("wire", tests, NULL, NULL);
}
