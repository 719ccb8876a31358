/* t_json.c - JSON: what is read, what is refused and where, what is written reads back equal. */
#include "tests/test.h"
#include "engine/format/json.h"
#include <math.h>
#include <unistd.h>

static struct arena arena;
static struct err error;

static const struct json *parse(const char *s)
{
    const struct json *v = NULL;
    error.text[0] = 0;
    if (!json_parse(&v, text_of(s), "t.json", (struct json_limits){0}, &arena, &error)) return NULL;
    return v;
}

static void refused(const char *s, const char *says)
{
    size_t used = arena.used;
    assert_null(parse(s));
    if (!strstr(error.text, says)) print_message("got: %s\n", error.text);
    assert_non_null(strstr(error.text, says));
    assert_int_equal(arena.used, used);
}

static void values_keep_kind_order_and_exact_integers(void **state)
{
    (void)state;
    const struct json *v = parse("{\"b\": [1, -2.5, true, null], \"a\": \"x\\u00e9\\ud83d\\ude00\\u0000y\", "
                                 "\"big\": 9223372036854775807, \"least\": -9223372036854775808}");
    assert_non_null(v);
    assert_int_equal(v->n, 4);
    assert_true(text_is(v->keys[0], "b") && text_is(v->keys[1], "a"));
    assert_int_equal(v->items[0].n, 4);
    assert_int_equal(v->items[0].items[0].kind, JSON_INT);
    assert_true(v->items[0].items[1].number == -2.5);
    assert_true(v->items[0].items[2].yes);
    assert_int_equal(v->items[0].items[3].kind, JSON_NULL);
    struct text t = v->items[1].text;
    assert_int_equal(t.n, 9);
    assert_memory_equal(t.p, "x\xC3\xA9\xF0\x9F\x98\x80\0y", 10);
    assert_true(json_get(v, "big")->integer == INT64_MAX);
    assert_true(json_get(v, "least")->integer == INT64_MIN);
    assert_null(json_get(v, "c"));
    assert_null(json_get(NULL, "c"));
    assert_null(json_get(&v->items[0], "c"));
}

static void integers_beyond_64_bits_are_numbers(void **state)
{
    (void)state;
    const struct json *v = parse("{\"model_max_length\": 1000000000000000019884624838656, "
                                 "\"n\": [9223372036854775808, -9223372036854775809, 1234567890123456789012e2]}");
    assert_non_null(v);
    assert_int_equal(json_get(v, "model_max_length")->kind, JSON_NUM);
    assert_true(json_get(v, "model_max_length")->number == 1e30);
    assert_true(json_get(v, "n")->items[0].number == 0x1p63);
    assert_true(json_get(v, "n")->items[1].number == -0x1p63);
}

static void many_keys_are_found(void **state)
{
    (void)state;
    struct buf b = buf_make(&arena);
    buf_put(&b, "{", 1);
    for (int i = 0; i < 5000; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%d", i);
        json_put_key(&b, key);
        json_put_int(&b, i * 3);
    }
    buf_put(&b, "}", 1);
    const struct json *v = parse(b.p);
    assert_non_null(v);
    assert_int_equal(v->n, 5000);
    for (int i = 0; i < 5000; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%d", i);
        assert_int_equal(json_get(v, key)->integer, i * 3);
    }
    assert_null(json_get(v, "k5000"));
}

static void bad_sources_are_refused_with_line_and_column(void **state)
{
    (void)state;
    static const struct { const char *source, *says; } rows[] = {
        {"", "t.json:"}, {"{\n  \"a\": tru\n}", "t.json:2:10"}, {"[1,]", "t.json:1:4"},
        {"{\"a\":1,\"a\":2}", "duplicate"}, {"[NaN]", "t.json:1"}, {"[Infinity]", "t.json:1"},
        {"\"\\ud800\"", "t.json:1"}, {"\"\\udc00x\"", "t.json:1"}, {"\"\xC0\xAF\"", "t.json:1"},
        {"\"\xED\xA0\x80\"", "t.json:1"}, {"\"\xFF\"", "t.json:1"}, {"[1] x", "t.json:1"},
        {"\"a\nb\"", "t.json:"}, {"[01]", "t.json:1"}, {"[1e999]", "t.json:1"}, {"{'a':1}", "t.json:1"},
        {"\xEF\xBB\xBF{}", "t.json:1"}, {"[1] // c", "t.json:1"}, {"\"open", "t.json:1"}, {"\"\\", "t.json:1"},
        {"{\"a\\u0000b\": 1}", "t.json:1"},
        {"[1000000000000000019884624838656,\nx]", "t.json:2:1"},
        {"[1000000000000000019884624838656, x]", "t.json:1:35"},
        {"[1000000000000000019884624838656,1000000000000000019884624838656,x\n]", "t.json:1:66"}};
    for (size_t i = 0; i < COUNT(rows); i++) refused(rows[i].source, rows[i].says);
    const struct json *v;
    assert_false(json_parse(&v, TEXT("{\"a\" 1}"), "rows.jsonl:17", (struct json_limits){0}, &arena, &error));
    assert_non_null(strstr(error.text, "rows.jsonl:17:6: "));
}

static void a_nul_is_refused_wherever_it_stands(void **state)
{
    (void)state;
    static const char source[] = "[1, \"\xE4\xBD\xA0\",\n \xE4 2]";
    char copy[sizeof source + 1];
    const struct json *v;
    for (size_t i = 0; i < sizeof source; i++) {
        memcpy(copy, source, i), copy[i] = 0, memcpy(copy + i + 1, source + i, sizeof source - 1 - i);
        assert_false(json_parse(&v, (struct text){copy, sizeof source}, "t.json", (struct json_limits){0}, &arena, &error));
        assert_non_null(strstr(error.text, "a NUL byte"));
    }
    assert_false(json_parse(&v, (struct text){"[\n\xE4\xBD\xA0 1\0]", 9}, "t.json", (struct json_limits){0}, &arena, &error));
    assert_string_equal(error.text, "t.json:2:4: bad JSON: a NUL byte");
}

static void escape_sequences_do_not_reach_the_message(void **state)
{
    (void)state;
    refused("[\x1b[31mred]", "t.json:1");
    assert_null(strchr(error.text, 0x1b));
}

static void limits_hold_before_anything_is_built(void **state)
{
    (void)state;
    size_t n = 1000 * 1000;
    char *deep = arena_take(&arena, 1, n + 1);
    memset(deep, '[', n);
    refused(deep, "1000000 deep; at most 64");
    for (size_t i = 0; i + 6 < n; i += 6) memcpy(deep + i, "{\"a\":[", 6);
    refused(deep, "deep; at most 64");
    memset(deep, '[', 64), memset(deep + 64, ']', 64), deep[128] = 0;
    assert_non_null(parse(deep));
    const struct json *v;
    assert_false(json_parse(&v, TEXT("[1,2,3,4]"), "t", (struct json_limits){.nodes = 4}, &arena, &error));
    assert_non_null(strstr(error.text, "about 5 JSON values; at most 4"));
    assert_true(json_parse(&v, TEXT("[1,2,3,4]"), "t", (struct json_limits){.nodes = 5}, &arena, &error));
    assert_false(json_parse(&v, TEXT("[1,2,3,4]"), "t", (struct json_limits){.bytes = 8}, &arena, &error));
    assert_non_null(strstr(error.text, "9 bytes of JSON; at most 8"));
    assert_true(json_parse(&v, TEXT("\"]]]][[[[\\\"[[\""), "t", (struct json_limits){.depth = 1}, &arena, &error));
}

static void a_field_of_another_type_names_key_found_and_allowed(void **state)
{
    (void)state;
    const struct json *v = parse("{\"n\": 3, \"s\": \"x\", \"f\": 0.5, \"b\": true, \"z\": null}");
    int64_t n = 7;
    double f = 7;
    bool b = false;
    struct text s = TEXT("d");
    assert_true(json_get_int(&n, v, "absent", 0, 9, "c.json", &error) && n == 7);
    assert_true(json_get_int(&n, v, "z", 0, 9, "c.json", &error) && n == 7);
    assert_true(json_get_int(&n, v, "n", 0, 9, "c.json", &error) && n == 3);
    assert_true(json_get_num(&f, v, "n", 0, 9, "c.json", &error) && f == 3);
    assert_true(json_get_num(&f, v, "f", 0, 9, "c.json", &error) && f == 0.5);
    assert_true(json_get_bool(&b, v, "b", "c.json", &error) && b);
    assert_true(json_get_text(&s, v, "s", "c.json", &error) && text_is(s, "x"));
    assert_false(json_get_int(&n, v, "n", 4, 9, "c.json", &error));
    assert_string_equal(error.text, "c.json: \"n\" is 3; it must be 4 to 9");
    assert_false(json_get_int(&n, v, "f", 0, 9, "c.json", &error));
    assert_string_equal(error.text, "c.json: \"f\" is a number; it must be an integer");
    assert_false(json_get_num(&f, v, "s", 0, 9, "c.json", &error));
    assert_string_equal(error.text, "c.json: \"s\" is a text; it must be a number");
    assert_false(json_get_num(&f, v, "f", 1, 9, "c.json", &error));
    assert_string_equal(error.text, "c.json: \"f\" is 0.5; it must be 1 to 9");
    assert_false(json_get_bool(&b, v, "n", "c.json", &error));
    assert_false(json_get_text(&s, v, "b", "c.json", &error));
}

static void written_numbers_are_short_and_read_back_equal(void **state)
{
    (void)state;
    static const struct { double v; const char *s; } rows[] = {
        {0.1, "0.1"}, {1e-5, "1e-05"}, {5e-324, "5e-324"}, {2, "2"}, {1.0 / 3, "0.3333333333333333"},
        {NAN, "null"}, {INFINITY, "null"}, {-1.5, "-1.5"}, {0x1p53, "9007199254740992"}, {0, "0"}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct buf b = buf_make(&arena);
        json_put_num(&b, rows[i].v);
        assert_string_equal(b.p, rows[i].s);
    }
    for (uint64_t i = 0; i < 2000; i++) {
        union { uint64_t u; double d; } x = {rand_at(3, i)};
        if (!isfinite(x.d)) continue;
        struct buf b = buf_make(&arena);
        json_put_num(&b, x.d);
        assert_true(strtod(b.p, NULL) == x.d);
    }
}

static void written_text_reads_back_equal(void **state)
{
    (void)state;
    struct buf b = buf_make(&arena);
    struct text t = TEXT("a\"\\/\n\t\r\b\f\x01\x7F\0é日😀");
    json_put_text(&b, t);
    const struct json *v = parse(b.p);
    assert_non_null(v);
    assert_true(text_equal(v->text, t));
    struct buf short_forms = buf_make(&arena);
    json_put_text(&short_forms, TEXT("\b\t\n\f\r\x01\x1F"));
    assert_string_equal(short_forms.p, "\"\\b\\t\\n\\f\\r\\u0001\\u001f\"");
    struct buf c = buf_make(&arena);
    json_put_text(&c, TEXT("x\xFFy\xED\xA0\x80"));
    assert_string_equal(c.p, "\"x\xEF\xBF\xBDy\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\"");
    struct buf d = buf_make(&arena);
    buf_put(&d, "{", 1);
    json_put_key(&d, "a"), json_put_int(&d, -5);
    json_put_key(&d, "b"), buf_put(&d, "{", 1), json_put_key(&d, "c"), json_put_num(&d, 1), buf_put(&d, "}}", 2);
    assert_string_equal(d.p, "{\"a\": -5, \"b\": {\"c\": 1}}");
}

static void files_are_read_and_missing_ones_named(void **state)
{
    (void)state;
    char path[] = "/tmp/hone-json-XXXXXX";
    int fd = mkstemp(path);
    assert_int_equal(write(fd, "{\"a\":\n 1 2}", 11), 11);
    close(fd);
    const struct json *v;
    assert_false(json_read(&v, path, (struct json_limits){0}, &arena, &error));
    assert_non_null(strstr(error.text, ":2:4: "));
    assert_non_null(strstr(error.text, path));
    unlink(path);
    assert_false(json_read(&v, path, (struct json_limits){0}, &arena, &error));
    assert_non_null(strstr(error.text, path));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_keep_kind_order_and_exact_integers),
        cmocka_unit_test(integers_beyond_64_bits_are_numbers),
        cmocka_unit_test(many_keys_are_found),
        cmocka_unit_test(bad_sources_are_refused_with_line_and_column),
        cmocka_unit_test(a_nul_is_refused_wherever_it_stands),
        cmocka_unit_test(escape_sequences_do_not_reach_the_message),
        cmocka_unit_test(limits_hold_before_anything_is_built),
        cmocka_unit_test(a_field_of_another_type_names_key_found_and_allowed),
        cmocka_unit_test(written_numbers_are_short_and_read_back_equal),
        cmocka_unit_test(written_text_reads_back_equal),
        cmocka_unit_test(files_are_read_and_missing_ones_named)};
    arena = arena_make(0);
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    arena_drop(&arena);
    return rc;
}
