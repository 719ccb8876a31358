/* t_cache.c - the token cache: what its key depends on, and files that are damaged. */
#include "tests/data/kit.h"
#include <fcntl.h>
#include <sys/stat.h>

static struct tokenizer *plain_bytes, *with_bos;

static int start(void **state)
{
    if (kit_start(state)) return 1;
    plain_bytes = bytes_tokenizer("bytes", false);
    with_bos = bytes_tokenizer("bos", true);
    return 0;
}

static char *rows_file(const char *name, int n)
{
    struct buf b = buf_make(&a);
    for (int i = 0; i < n; i++)
        buf_printf(
            &b,
            "{\"prompt\": \"question %d\", \"completion\": \"answer %d\", \"category\": \"c%d\"}\n",
            i, i * 7, i % 3);
    return write_file(name, b.p);
}

static const char *key_of(const struct source_spec *spec, const struct data_settings *s)
{
    char key[33];
    error.text[0] = 0;
    if (!source_key(key, spec, s, &a, &error)) stop_with("%s", error.text);
    return arena_string(&a, key, 32);
}

static void the_key_changes_with_every_input(void **state)
{
    (void)state;
    struct data_settings s = settings(plain_bytes, "qa", 64, PACKING_BFD), t;
    struct source_spec spec = spec_of(rows_file("key.jsonl", 20)), other;
    const char *keys[12];
    int n = 0;
    keys[n++] = key_of(&spec, &s);
    assert_string_equal(keys[0], key_of(&spec, &s));
    t = s;
    t.tokenizer = with_bos;
    keys[n++] = key_of(&spec, &t);
    t = s;
    t.template = named_template("chatml");
    keys[n++] = key_of(&spec, &t);
    other = spec;
    other.train_on = TRAIN_ON_ALL;
    keys[n++] = key_of(&other, &s);
    other = spec;
    other.train_on = TRAIN_ON_LAST_ANSWER;
    keys[n++] = key_of(&other, &s);
    other = spec;
    other.format = "prompt_completion";
    keys[n++] = key_of(&other, &s);
    other = spec;
    other.max_rows = 10;
    keys[n++] = key_of(&other, &s);
    struct template *own;
    struct text source;
    assert_true(file_read(&source, "assets/templates/qa.jinja", 1 << 16, &a, &error));
    assert_true(template_open(&own, "auto", NULL, source, &a, &error));
    t = s;
    t.template = own;
    keys[n++] = key_of(&spec, &t);
    rows_file("key.jsonl", 21);
    keys[n++] = key_of(&spec, &s);
    for (int i = 0; i < n; i++)
        for (int k = 0; k < i; k++)
            if (strcmp(keys[i], keys[k]) == 0) stop_with("keys %d and %d are the same", k, i);
}

static void what_does_not_decide_tokens_is_not_in_the_key(void **state)
{
    (void)state;
    struct data_settings s = settings(plain_bytes, "qa", 64, PACKING_BFD), t;
    struct source_spec spec = spec_of(rows_file("same.jsonl", 20)), other = spec;
    const char *key = key_of(&spec, &s);
    t = s;
    t.packing = PACKING_SPLICE;
    t.holdout = 0.5;
    t.max_length = 65;
    assert_string_equal(key, key_of(&spec, &t));
    other.path = rows_file("copy.jsonl", 20);
    other.name = "x";
    other.category = "y";
    assert_string_equal(key, key_of(&other, &s));
}

/* The same size and time, other bytes: only a file that lay still is trusted by its time. */
static void a_file_changed_within_its_clocks_tick_is_seen(void **state)
{
    (void)state;
    struct data_settings s = settings(plain_bytes, "qa", 64, PACKING_BFD);
    struct source_spec spec = spec_of(write_file("tick.jsonl", "{\"text\": \"aaaa\"}"));
    const char *before = key_of(&spec, &s);
    int fd = open(spec.path, O_WRONLY);
    assert_int_equal(pwrite(fd, "b", 1, 11), 1);
    close(fd);
    assert_string_not_equal(before, key_of(&spec, &s));
}

static void a_file_that_lay_still_is_not_read_again(void **state)
{
    (void)state;
    struct data_settings s = settings(plain_bytes, "qa", 64, PACKING_BFD);
    struct source_spec spec = spec_of(rows_file("still.jsonl", 20));
    char **names;
    int before, after;
    s.cache_dir = in_folder("still-cache");
    assert_true(dir_make(s.cache_dir, &error));
    key_of(&spec, &s);
    assert_true(dir_list(&names, &before, s.cache_dir, &a, &error));
    assert_int_equal(before, 0);
    struct timespec old[2] = {{.tv_sec = 1000000000}, {.tv_sec = 1000000000}};
    assert_int_equal(utimensat(AT_FDCWD, spec.path, old, 0), 0);
    struct stat st;
    assert_int_equal(stat(spec.path, &st), 0);
    while (now_unix() < (double)st.st_ctim.tv_sec + 3.1) usleep(50000);
    const char *key = key_of(&spec, &s);
    assert_true(dir_list(&names, &after, s.cache_dir, &a, &error));
    assert_int_equal(after, 1);
    assert_string_equal(key, key_of(&spec, &s));
    write_file("still-cache/x", "");
    char *seen = arena_printf(&a, "%s/%s", s.cache_dir, names[0]);
    assert_true(file_replace(seen, TEXT("0123456789abcdef0123456789abcdef"), &error));
    assert_string_not_equal(key, key_of(&spec, &s)); /* so the memory is what was read */
}

static struct source filled(const struct source_spec *spec, const struct data_settings *s,
                            uint64_t *hash)
{
    struct source source = prepared(spec, s);
    const struct token_cache *c = source.cache;
    *hash = hash64(c->documents, (size_t)c->n_documents * sizeof *c->documents, 0);
    for (int64_t i = 0; i < c->n_documents; i++) {
        uint32_t tokens[64];
        assert_true(cache_read(c, i, 0, c->documents[i].tokens, tokens, &error));
        *hash = hash64(tokens, (size_t)c->documents[i].tokens * 4, *hash);
    }
    return source;
}

static void a_cache_gives_back_what_was_made(void **state)
{
    (void)state;
    struct data_settings s = settings(plain_bytes, "qa", 64, PACKING_BFD);
    struct source_spec spec = spec_of(rows_file("back.jsonl", 500));
    uint64_t first, second;
    struct source x = filled(&spec, &s, &first), y = filled(&spec, &s, &second);
    assert_true(first == second);
    assert_memory_equal(&x.report, &y.report, sizeof x.report);
    assert_int_equal(x.cache->n_categories, 4);
    assert_string_equal(x.cache->categories[1], "c0");
    struct stat st;
    assert_int_equal(stat(x.cache->path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    source_close(&x);
    source_close(&y);
}

/* Every byte of a small cache file changed, and the file cut anywhere: made again, never believed.
 */
static void a_damaged_cache_is_made_again(void **state)
{
    (void)state;
    struct data_settings s = settings(plain_bytes, "qa", 64, PACKING_BFD);
    struct source_spec spec = spec_of(rows_file("damage.jsonl", 3));
    uint64_t want, got;
    struct source x = filled(&spec, &s, &want);
    const char *path = x.cache->path, *name = arena_printf(&a, "cache/%s", path_base(path));
    struct text good;
    source_close(&x);
    assert_true(file_read(&good, path, 1 << 20, &a, &error));
    for (size_t i = 0; i < good.n * 2; i++) {
        char *bytes = arena_string(&a, good.p, good.n);
        if (i < good.n) bytes[i] = (char)(bytes[i] ^ 0x41);
        write_bytes(name, bytes, i < good.n ? good.n : i - good.n);
        struct token_cache *c;
        if (cache_open(&c, s.cache_dir, key_of(&spec, &s), VOCABULARY, &a, &error))
            stop_with("byte %zu of %zu was believed", i, good.n);
        says(error.text, "damaged");
        if (i % 97 != 0) continue;
        x = filled(&spec, &s, &got);
        assert_true(want == got);
        source_close(&x);
    }
}

static void a_damaged_document_is_found_as_it_is_read(void **state)
{
    (void)state;
    struct data_settings s = settings(plain_bytes, "qa", 64, PACKING_BFD);
    struct source_spec spec = spec_of(rows_file("rot.jsonl", 10));
    struct source x = prepared(&spec, &s);
    uint32_t tokens[64];
    int fd = open(x.cache->path, O_WRONLY);
    int64_t at = 96 + x.cache->documents[4].at * 4;
    assert_int_equal(pwrite(fd, "\x01", 1, at), 1);
    close(fd);
    assert_true(cache_read(x.cache, 3, 0, x.cache->documents[3].tokens, tokens, &error));
    assert_false(cache_read(x.cache, 4, 0, x.cache->documents[4].tokens, tokens, &error));
    says(error.text, "damaged");
    source_close(&x);
}

static void what_a_killed_process_left_is_swept(void **state)
{
    (void)state;
    struct data_settings s = settings(plain_bytes, "qa", 64, PACKING_BFD);
    struct source_spec spec = spec_of(rows_file("sweep.jsonl", 10));
    s.cache_dir = in_folder("swept");
    assert_true(dir_make(s.cache_dir, &error));
    char *dead = write_file("swept/00000000000000000000000000000000.tokens.tmp-99999999", "half");
    char *living = write_file(
        arena_printf(&a, "swept/00000000000000000000000000000000.tokens.tmp-%d", (int)getppid()),
        "half");
    struct source x = prepared(&spec, &s);
    assert_false(path_exists(dead));
    assert_true(path_exists(living));
    source_close(&x);
}

static void a_refused_source_leaves_no_file(void **state)
{
    (void)state;
    struct data_settings s = settings(plain_bytes, "qa", 64, PACKING_BFD);
    char **names;
    int n;
    s.cache_dir = in_folder("none");
    struct source_spec spec =
        spec_of(write_file("bad.jsonl", "{\"text\": \"a\"}\n{\"text\": 1}\n"));
    unprepared(&spec, &s);
    assert_true(dir_list(&names, &n, s.cache_dir, &a, &error));
    assert_int_equal(n, 0);
    s.cache_dir = write_file("file", "");
    spec = spec_of(rows_file("fine.jsonl", 10));
    says(unprepared(&spec, &s), "is no folder");
}

static bool give_up(void *arg, const char *source, int64_t rows, int64_t done, int64_t all)
{
    int64_t *calls = arg;
    assert_string_equal(source, "told.jsonl");
    assert_in_range(done, 1, all);
    assert_true(rows > 0);
    return --*calls > 0;
}

static void progress_is_told_and_can_stop_it(void **state)
{
    (void)state;
    struct data_settings s = settings(plain_bytes, "qa", 64, PACKING_BFD);
    struct source_spec spec = spec_of(rows_file("told.jsonl", 10));
    int64_t calls = 1;
    s.progress = give_up;
    s.arg = &calls;
    says(unprepared(&spec, &s), "was stopped");
    calls = 100;
    struct source x = prepared(&spec, &s);
    assert_true(calls < 100);
    source_close(&x);
}

/* The same file, byte for byte, from one thread and from several. */
static void any_number_of_threads_makes_the_same_tokens(void **state)
{
    (void)state;
    struct data_settings s = settings(plain_bytes, "qa", 64, PACKING_BFD);
    struct source_spec spec = spec_of(rows_file("threads.jsonl", 5000));
    struct text first, text;
    for (int threads = 1; threads <= 4; threads++) {
        s.cache_dir = arena_printf(&a, "%s/threads-%d", folder, threads);
        s.pool = pool_make(threads);
        struct source x = prepared(&spec, &s);
        assert_true(file_read(&text, x.cache->path, 1 << 24, &a, &error));
        if (threads == 1) first = text;
        assert_int_equal(text.n, first.n);
        assert_memory_equal(text.p, first.p, text.n);
        source_close(&x);
        pool_drop(s.pool);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_key_changes_with_every_input),
        cmocka_unit_test(what_does_not_decide_tokens_is_not_in_the_key),
        cmocka_unit_test(a_file_changed_within_its_clocks_tick_is_seen),
        cmocka_unit_test(a_file_that_lay_still_is_not_read_again),
        cmocka_unit_test(a_cache_gives_back_what_was_made),
        cmocka_unit_test(a_damaged_cache_is_made_again),
        cmocka_unit_test(a_damaged_document_is_found_as_it_is_read),
        cmocka_unit_test(what_a_killed_process_left_is_swept),
        cmocka_unit_test(a_refused_source_leaves_no_file),
        cmocka_unit_test(progress_is_told_and_can_stop_it),
        cmocka_unit_test(any_number_of_threads_makes_the_same_tokens),
    };
    return cmocka_run_group_tests(tests, start, kit_stop);
}
