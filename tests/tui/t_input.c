/* t_input.c - the decoder: every spelling of a key, splits at every byte, random bytes, pastes. */
#include "tests/test.h"
#include "tui/input.h"

/* All events of some bytes as one line: "Up a [paste: x] | answered". */
static void spell(char *out, size_t most, const char *p, size_t n, size_t split)
{
    struct input in = {0};
    struct input_event e;
    out[0] = 0;
    for (size_t at = 0; at < n;) {
        size_t piece = split && at < split ? split - at : n - at;
        size_t took = input_feed(&in, p + at, piece);
        at += took;
        bool late = at == n;
        while (input_next(&in, &e, late && took == piece)) {
            char key[32];
            size_t len = strlen(out);
            if (e.kind == INPUT_KEY) snprintf(out + len, most - len, "%s ", key_text(key, e.key));
            if (e.kind == INPUT_PASTE)
                snprintf(out + len, most - len, "%.*s", (int)e.paste.n, e.paste.p);
            if (e.kind == INPUT_PASTE_END) snprintf(out + len, most - len, "<end> ");
            if (e.kind == INPUT_MOUSE)
                snprintf(out + len, most - len, "%s %d,%d ",
                         e.mouse == MOUSE_CLICK ? "click"
                         : e.mouse == MOUSE_UP  ? "up"
                                                : "down",
                         e.x, e.y);
            if (e.kind == INPUT_ANSWERED) snprintf(out + len, most - len, "answered ");
        }
    }
}

static const struct {
    const char *bytes, *keys;
} spellings[] = {
    {"a", "a "},
    {"\r", "Enter "},
    {"\t", "Tab "},
    {"\177", "Backspace "},
    {"\10", "Backspace "},
    {"\33", "Esc "},
    {"\33\33", "Esc Esc "},
    {"\33[A", "Up "},
    {"\33OA", "Up "},
    {"\33[H", "Home "},
    {"\33[1~", "Home "},
    {"\33[5~", "PgUp "},
    {"\33[Z", "Shift-Tab "},
    {"\33[1;5C", "Ctrl-Right "},
    {"\33\r", "Alt-Enter "},
    {"\33b", "Alt-b "},
    {"\33\177", "Alt-Backspace "},
    {"\3", "Ctrl-C "},
    {"\14", "Ctrl-L "},
    {"\33OP", "F1 "},
    {"\33[11~", "F1 "},
    {"\33[24~", "F12 "},
    {"\33[0n", "answered "},
    {"\33[0nq", "answered q "},
    {"\xE4\xBD\xA0", "\xE4\xBD\xA0 "},
    {"\33[27;2;13~x", "x "},
    {"\33[13;2u", "Shift-Enter "},
    {"\33[?1;2cx", "x "},
    {"\33]52;c;aGk=\7x", "x "},
    {"\33P1$r0m\33\\x", "x "},
    {"\33[200~ab\ncd\33[A\33[201~x", "ab\ncd\33[A<end> x "},
    {"\xFFx", "x "},
    {"\xE4x", "x "},
    {"\302\233x", "x "},
    {"\33[<0;10;3Mx", "click 9,2 x "},
    {"\33[<0;10;3mx", "x "},
    {"\33[<64;300;40M", "up 299,39 "},
    {"\33[<69;1;1M", "down 0,0 "},
    {"\33[<2;5;5M", ""},
    {"\33[<32;5;5M", ""},
    {"\33[<0;0;0M", ""},
    {"\33[<0;99999999999;1M", "click 99998,0 "},
    {"\33[\1x", "Ctrl-A x "},
};

static void every_spelling_of_a_key_is_known(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(spellings); i++) {
        char out[256];
        spell(out, sizeof out, spellings[i].bytes, strlen(spellings[i].bytes), 0);
        if (strcmp(out, spellings[i].keys) != 0) print_error("spelling %zu\n", i);
        assert_string_equal(out, spellings[i].keys);
    }
}

static void a_split_at_any_byte_changes_nothing(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(spellings); i++)
        for (size_t split = 1; split < strlen(spellings[i].bytes); split++) {
            char out[256];
            spell(out, sizeof out, spellings[i].bytes, strlen(spellings[i].bytes), split);
            if (strcmp(out, spellings[i].keys) != 0)
                print_error("spelling %zu split at %zu\n", i, split);
            assert_string_equal(out, spellings[i].keys);
        }
}

static void a_lone_escape_waits_until_it_is_late(void **state)
{
    struct input in = {0};
    struct input_event e;
    (void)state;
    input_feed(&in, "\33", 1);
    assert_false(input_next(&in, &e, false));
    assert_true(input_waiting(&in));
    assert_true(input_next(&in, &e, true));
    assert_int_equal(e.key, K_ESC);
    assert_false(input_waiting(&in));
}

static void random_bytes_end_and_never_become_control_characters(void **state)
{
    struct input in = {0};
    struct input_event e;
    (void)state;
    for (uint64_t round = 0; round < 20000; round++) {
        char bytes[64];
        size_t n = rand_at(1, round) % sizeof bytes, at = 0;
        for (size_t i = 0; i < n; i++) {
            uint64_t r = rand_at(2 + round, i);
            bytes[i] = r & 1 ? "\33[O;0123456789~ABCMPu<?nR]\\\7"[r / 2 % 29] : (char)(r / 2 % 256);
        }
        while (at < n) {
            size_t took = input_feed(&in, bytes + at, n - at);
            at += took;
            int events = 0;
            while (input_next(&in, &e, took == 0)) {
                assert_true(events++ < 8192);
                if (e.kind != INPUT_KEY || e.key & (K_CTRL | K_ALT)) continue;
                int32_t key = e.key & ~K_SHIFT;
                assert_true(key >= 32 && key != 127);
                assert_true(key <= 0x10FFFF || (key > K_UP - 1 && key < K_LAST));
            }
        }
        while (input_next(&in, &e, true)) {}
        if (in.pasting) in.pasting = false;
    }
}

static void a_character_by_number_is_one_that_can_be_typed(void **state)
{
    static const struct { const char *bytes; int32_t key; } rows[] = {
        {"\33[97u", 'a'}, {"\33[65;5u", K_CTRL | 'a'}, {"\33[65;7u", K_CTRL | K_ALT | 'a'}, {"\33[228u", 228},
        {"\33[20320u", 0x4F60}, {"\33[155u", 0}, {"\33[31u", 0}, {"\33[55296u", 0}, {"\33[8238u", 0}, {"\33[8203u", 0}};
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct input in = {0};
        struct input_event e = {.key = 0};
        input_feed(&in, rows[i].bytes, strlen(rows[i].bytes));
        assert_int_equal(input_next(&in, &e, false), rows[i].key != 0);
        if (rows[i].key) assert_int_equal(e.key, rows[i].key);
    }
}

static void a_long_paste_comes_whole(void **state)
{
    struct input in = {0};
    struct input_event e;
    size_t got = 0;
    int ends = 0;
    (void)state;
    input_feed(&in, "\33[200~", 6);
    assert_false(input_next(&in, &e, false));
    for (int i = 0; i < 1000; i++) {
        char piece[100];
        memset(piece, 'a' + i % 26, sizeof piece);
        for (size_t at = 0; at < sizeof piece;) {
            at += input_feed(&in, piece + at, sizeof piece - at);
            while (input_next(&in, &e, false)) got += e.kind == INPUT_PASTE ? e.paste.n : 0;
        }
    }
    input_feed(&in, "\33[201~", 6);
    while (input_next(&in, &e, false)) {
        if (e.kind == INPUT_PASTE) got += e.paste.n;
        if (e.kind == INPUT_PASTE_END) ends++;
    }
    assert_int_equal(got, 100000);
    assert_int_equal(ends, 1);
}

static void a_key_reads_back_as_it_is_written(void **state)
{
    static const int32_t keys[] = {'x',
                                   'E',
                                   '?',
                                   K_UP,
                                   K_PAGE_DOWN,
                                   K_F1,
                                   K_F12,
                                   K_CTRL | 'r',
                                   K_ALT | K_ENTER,
                                   K_SHIFT | K_TAB,
                                   K_CTRL | K_LEFT,
                                   ' ',
                                   K_CTRL | K_ALT | 'b'};
    (void)state;
    for (size_t i = 0; i < COUNT(keys); i++) {
        char name[32];
        key_text(name, keys[i]);
        assert_int_equal(key_named(text_of(name)), keys[i]);
    }
    assert_int_equal(key_named(TEXT("C-r")), K_CTRL | 'r');
    assert_int_equal(key_named(TEXT("Nonsense")), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_spelling_of_a_key_is_known),
        cmocka_unit_test(a_split_at_any_byte_changes_nothing),
        cmocka_unit_test(a_lone_escape_waits_until_it_is_late),
        cmocka_unit_test(random_bytes_end_and_never_become_control_characters),
        cmocka_unit_test(a_character_by_number_is_one_that_can_be_typed),
        cmocka_unit_test(a_long_paste_comes_whole),
        cmocka_unit_test(a_key_reads_back_as_it_is_written)};
    return cmocka_run_group_tests_name("input", tests, NULL, NULL);
}
