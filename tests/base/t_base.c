/* t_base.c - engine/base/base.h: errors, arenas, text, files, random numbers. */
#include "tests/test.h"
#include "engine/base/base.h"
#include <sys/stat.h>
#include <unistd.h>

static void an_error_keeps_its_sentence_and_gets_a_place(void **state)
{
    (void)state;
    struct err err = {.text = ""};
    assert_false(fail(&err, "rank %d is over %d", 9, 8));
    assert_false(fail_in(&err, "%s:%d", "a.yaml", 3));
    assert_string_equal(err.text, "a.yaml:3: rank 9 is over 8");
    assert_false(fail(&err, "again: %s", err.text));
    assert_string_equal(err.text, "again: a.yaml:3: rank 9 is over 8");
}

static void a_sentence_holds_nothing_that_acts_on_a_terminal(void **state)
{
    (void)state;
    struct err err = {.text = ""};
    fail(&err, "no file %s: %s", "a\33[31m\r\x7F\xC2\x9B\xE2\x80\xAE.txt", "\xFF\tok\nnext");
    assert_string_equal(err.text, "no file a\uFFFD[31m\uFFFD\uFFFD\uFFFD.txt: \uFFFD ok\nnext");
    fail_in(&err, "\33%s", "x");
    assert_true(strncmp(err.text, "\uFFFDx: no file a\uFFFD[31m", 22) == 0);
    char many[2000], wide[1500];
    memset(many, '\33', sizeof many - 1), many[sizeof many - 1] = 0; /* each becomes three bytes */
    for (int i = 0; i < 499; i++) memcpy(wide + 3 * i, "\xE4\xBD\xA0", 4);
    for (int shift = 0; shift < 3; shift++) {
        fail(&err, "%.*s%s", shift, "ab", many);
        assert_true(strlen(err.text) > 1000 && utf8_bad(text_of(err.text)) == strlen(err.text));
        fail(&err, "%.*s%s", shift, "ab", wide); /* a character that is cut is left out */
        assert_true(strlen(err.text) > 1000 && !strstr(err.text, "\uFFFD"));
        fail_in(&err, "%.*s", shift, "ab");
        assert_true(strlen(err.text) > 1000 && !strstr(err.text, "\uFFFD"));
    }
}

static void an_arena_gives_zeroed_aligned_memory_and_takes_it_back(void **state)
{
    (void)state;
    struct arena a = arena_make(0);
    char *p = arena_take(&a, 1, 100);
    memset(p, 7, 100);
    struct arena_mark m = arena_mark(&a);
    for (int i = 1; i < 200; i++) {
        unsigned char *q = arena_take(&a, 1, (size_t)i * 1000);
        assert_int_equal((uintptr_t)q % 64, 0);
        for (int k = 0; k < i * 1000; k += 777) assert_int_equal(q[k], 0);
        memset(q, 255, (size_t)i * 1000);
    }
    arena_back(&a, m);
    unsigned char *again = arena_take(&a, 1, 64);
    assert_int_equal(again[0], 0);
    assert_int_equal(p[99], 7);
    arena_drop(&a);
    assert_int_equal(a.used, 0);
}

static void an_arena_grows_the_last_block_in_place(void **state)
{
    (void)state;
    struct arena a = arena_make(0);
    int *list = NULL, n = 0, cap = 0;
    for (int i = 0; i < 100000; i++) {
        ROOM(&a, list, n, cap);
        list[n++] = i;
    }
    for (int i = 0; i < n; i++) assert_int_equal(list[i], i);
    char *p = arena_take(&a, 1, 10);
    char *q = arena_grow(&a, p, 10, 5000);
    assert_int_equal(q[4999], 0);
    arena_drop(&a);
}

static void utf8_is_decoded_strictly(void **state)
{
    (void)state;
    int32_t c;
    assert_int_equal(utf8_decode("\xE7\xBA\xA2", 3, &c), 3);
    assert_int_equal(c, 0x7EA2);
    static const char *const bad[] = {"\xC0\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xE7\xBA", "\x80", "\xFF"};
    for (size_t i = 0; i < COUNT(bad); i++) assert_int_equal(utf8_bad(text_of(bad[i])), 0);
    assert_int_equal(utf8_bad(TEXT("a红\xFFz")), 4);
    assert_int_equal(utf8_bad(TEXT("a红z")), 5);
    assert_int_equal(utf8_unfinished(TEXT("a\xE7\xBA")), 2);
    assert_int_equal(utf8_unfinished(TEXT("红")), 0);
    assert_int_equal(utf8_unfinished(TEXT("x\xF0\x9F\x99")), 3);
    for (int32_t i = 1; i < 0x110000; i += 97) {
        char out[4];
        if (i >= 0xD800 && i < 0xE000) continue;
        int n = utf8_encode(i, out);
        assert_int_equal(utf8_decode(out, (size_t)n, &c), n);
        assert_int_equal(c, i);
    }
}

static void outside_text_cannot_act_on_a_terminal(void **state)
{
    (void)state;
    struct arena a = arena_make(0);
    struct buf b = buf_make(&a);
    text_safe(&b, TEXT("a\x1b[2Jb\rc\nd\xC2\x9Bm e\xE2\x80\xAE\xEF\xBB\xBF\xFF"), false);
    assert_string_equal(b.p, "a\xEF\xBF\xBD[2Jb\xEF\xBF\xBD" "c d\xEF\xBF\xBDm e\xEF\xBF\xBD");
    arena_drop(&a);
}

static void numbers_are_written_for_people(void **state)
{
    (void)state;
    char t[32];
    assert_string_equal(text_bytes(t, 512), "512 B");
    assert_string_equal(text_bytes(t, 58340000), "58.3 MB");
    assert_string_equal(text_bytes(t, 999999), "1.00 MB");
    assert_string_equal(text_seconds(t, 161), "2 min 41 s");
    assert_string_equal(text_count(t, -1234567), "-1,234,567");
    static const char *const keys[] = {"learning_rate", "rank", "lora"};
    assert_string_equal(text_nearest("learing_rate", keys, 3), "learning_rate");
    assert_null(text_nearest("zzzz", keys, 3));
}

static void a_file_is_replaced_whole_and_only_regular_files_are_read(void **state)
{
    (void)state;
    char dir[] = "/tmp/hone-base-XXXXXX";
    struct arena a = arena_make(0);
    struct err err;
    assert_non_null(mkdtemp(dir));
    char *sub = arena_printf(&a, "%s/x/y", dir), *file = arena_printf(&a, "%s/f", sub);
    assert_true(dir_make(sub, &err));
    assert_true(file_replace(file, TEXT("one"), &err));
    assert_true(file_replace(file, TEXT("second"), &err));
    struct text t;
    assert_true(file_read(&t, file, 100, &a, &err));
    assert_string_equal(t.p, "second");
    assert_false(file_read(&t, file, 3, &a, &err));
    assert_non_null(strstr(err.text, "has 6 bytes; at most 3"));
    char *fifo = arena_printf(&a, "%s/p", sub);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_false(file_read(&t, fifo, 100, &a, &err));
    assert_non_null(strstr(err.text, "not a regular file (a FIFO)"));
    char **names;
    int n;
    assert_true(dir_list(&names, &n, sub, &a, &err));
    assert_int_equal(n, 2);
    assert_string_equal(names[0], "f");
    assert_true(dir_remove(dir, &err));
    assert_false(path_exists(dir));
    assert_string_equal(path_join(&a, "/x", "y"), "/x/y");
    assert_string_equal(path_join(&a, "/x", "/y"), "/y");
    assert_string_equal(path_dir(&a, "/y"), "/");
    assert_string_equal(path_dir(&a, "a/b"), "a");
    arena_drop(&a);
}

static void random_numbers_and_hashes_are_functions_of_their_inputs(void **state)
{
    (void)state;
    assert_int_equal(rand_at(1, 2), rand_at(1, 2));
    assert_int_not_equal(rand_at(1, 2), rand_at(2, 1));
    double sum = 0;
    for (int i = 0; i < 10000; i++) sum += rand_unit(42, (uint64_t)i);
    assert_true(sum > 4900 && sum < 5100);
    struct arena a = arena_make(0);
    struct hash h, g;
    char x[33], y[33];
    hash_start(&h, &a);
    hash_add(&h, "ab", 2);
    hash_add(&h, "c", 1);
    hash_start(&g, &a);
    hash_add(&g, "abc", 3);
    assert_string_equal(hash_text(&h, x), hash_text(&g, y));
    assert_string_equal(x, "06b05ab6733a618578af5f94892f3950"); /* XXH3-128 of "abc" */
    arena_drop(&a);
}

/* A process that was killed may have left a file of that name, and this one may have its number. */
static void a_replacement_clears_away_what_lies_beside(void **state)
{
    char folder[] = "/tmp/hone-base-XXXXXX", **names;
    struct arena a = arena_make(0);
    struct text got;
    struct err err;
    int n;
    (void)state;
    assert_non_null(mkdtemp(folder));
    const char *path = path_join(&a, folder, "file");
    const char *beside = arena_printf(&a, "%s.tmp-%d", path, (int)getpid());
    FILE *f = fopen(beside, "w");
    assert_true(f && fputs("half", f) >= 0 && fclose(f) == 0);
    assert_true(file_replace(path, TEXT("whole"), &err));
    assert_true(file_read(&got, path, 100, &a, &err) && text_is(got, "whole"));
    assert_true(dir_make(path_join(&a, folder, "sub/full"), &err));
    assert_false(file_replace(path_join(&a, folder, "sub"), TEXT("x"), &err)); /* it is a folder */
    assert_non_null(strstr(err.text, "cannot rename"));
    assert_true(dir_list(&names, &n, folder, &a, &err));
    assert_int_equal(n, 2); /* the file and the folder */
    assert_true(dir_remove(folder, &err));
    arena_drop(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_replacement_clears_away_what_lies_beside),
        cmocka_unit_test(an_error_keeps_its_sentence_and_gets_a_place),
        cmocka_unit_test(a_sentence_holds_nothing_that_acts_on_a_terminal),
        cmocka_unit_test(an_arena_gives_zeroed_aligned_memory_and_takes_it_back),
        cmocka_unit_test(an_arena_grows_the_last_block_in_place),
        cmocka_unit_test(utf8_is_decoded_strictly),
        cmocka_unit_test(outside_text_cannot_act_on_a_terminal),
        cmocka_unit_test(numbers_are_written_for_people),
        cmocka_unit_test(a_file_is_replaced_whole_and_only_regular_files_are_read),
        cmocka_unit_test(random_numbers_and_hashes_are_functions_of_their_inputs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
