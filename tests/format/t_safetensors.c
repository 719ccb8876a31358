/* t_safetensors.c - the acceptance matrix of the header, folders and shards, conversions, writing. */
#include "tests/test.h"
#include "engine/format/safetensors.h"
#include "tests/format/safetensors_matrix.h"
#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

static struct arena arena;
static struct err error;
static char dir[64];

static char *at(const char *name) { return path_join(&arena, dir, name); }

static void put_file(const char *path, const void *p, size_t n)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(p, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

/* A safetensors file of a header text (its own length n in front, or `length` where not -1) and zeros. */
static void put_safetensors(const char *path, const char *header, size_t n, int64_t length, size_t data)
{
    char *p = arena_take(&arena, 1, 8 + n + data);
    uint64_t v = length == -1 ? n : (uint64_t)length;
    memcpy(p, &v, 8);
    memcpy(p + 8, header, n);
    put_file(path, p, 8 + n + data);
}

static bool opens(const char *path)
{
    struct tensors t;
    size_t used = arena.used;
    error.text[0] = 0;
    bool ok = tensors_open(&t, path, &arena, &error);
    if (ok) tensors_close(&t);
    else assert_int_equal(arena.used, used);
    return ok;
}

static void the_header_is_accepted_or_refused_as_the_matrix_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(matrix); i++) {
        const struct row *r = &matrix[i];
        put_safetensors(at("m.safetensors"), r->header, strlen(r->header), -1, r->data);
        bool ok = opens(at("m.safetensors"));
        bool as_said = ok == !r->says && (ok || strstr(error.text, r->says));
        if (!as_said) print_message("%s: %s: %s\n", r->what, ok ? "accepted" : "refused", error.text);
        assert_true(as_said);
        if (!ok) assert_non_null(strstr(error.text, "m.safetensors"));
    }
}

static void the_length_is_checked_against_file_and_limit(void **state)
{
    (void)state;
    static const struct { int64_t length; const char *says; } rows[] = {
        {0, "the header ends"}, {1, "the header ends"}, {3, "but 2 bytes follow"}, {100 * 1000 * 1000, "but 2 bytes follow"},
        {100 * 1000 * 1000 + 1, "at most 100000000"}, {INT64_MAX, "at most"}, {INT64_MIN, "at most"}, {-2, "at most"}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        put_safetensors(at("n.safetensors"), "{}", 2, rows[i].length, 0);
        assert_false(opens(at("n.safetensors")));
        assert_non_null(strstr(error.text, rows[i].says));
    }
    for (size_t n = 0; n < 8; n++) {
        put_file(at("n.safetensors"), "\2\0\0\0\0\0\0\0", n);
        assert_false(opens(at("n.safetensors")));
        assert_non_null(strstr(error.text, "at least 8"));
    }
    put_safetensors(at("n.safetensors"), "{}\0\0\0\0\0\0", 8, -1, 0);
    assert_false(opens(at("n.safetensors")));
    assert_non_null(strstr(error.text, "found byte 0x00"));
    put_file(at("n.safetensors"), "version https://git-lfs.github.com/spec/v1\n", 43);
    assert_false(opens(at("n.safetensors")));
    assert_non_null(strstr(error.text, "git lfs pull"));
}

static void every_cut_of_a_header_is_refused(void **state)
{
    (void)state;
    const char *header = "{\"__metadata__\":{\"k\":\"\\u00e9\"}," A4 "," T("b", "BF16", "[2,3]", 4, 16) "}";
    for (size_t n = 0; n < strlen(header); n++) {
        put_safetensors(at("c.safetensors"), header, n, -1, 16);
        assert_false(opens(at("c.safetensors")));
    }
    put_safetensors(at("c.safetensors"), header, strlen(header), -1, 16);
    assert_true(opens(at("c.safetensors")));
}

static void flipped_bytes_never_crash(void **state)
{
    (void)state;
    const char *header = "{\"__metadata__\":{\"k\":\"\\u00e9\"}," A4 "," T("b", "BF16", "[2,3]", 4, 16) "}";
    char copy[256];
    for (uint64_t i = 0; i < 3000; i++) {
        size_t n = strlen(header);
        memcpy(copy, header, n);
        for (int k = 0; k < 2; k++) copy[rand_at(1, 4 * i + (uint64_t)k) % n] = (char)rand_at(1, 4 * i + 2 + (uint64_t)k);
        put_safetensors(at("f.safetensors"), copy, n, -1, 16);
        if (!opens(at("f.safetensors"))) assert_true(error.text[0] != 0);
    }
}

static void long_names_and_many_tensors_have_limits(void **state)
{
    (void)state;
    char name[600];
    struct buf b = buf_make(&arena);
    memset(name, 'n', sizeof name);
    for (int n = 512; n <= 513; n++) {
        b.n = 0;
        buf_printf(&b, "{\"%.*s\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}", n, name);
        put_safetensors(at("l.safetensors"), b.p, b.n, -1, 0);
        assert_int_equal(opens(at("l.safetensors")), n == 512);
    }
    assert_non_null(strstr(error.text, "513 bytes; 1 to 512"));
    b.n = 0;
    for (int i = 0; i < 262145; i++)
        buf_printf(&b, "%c\"%d\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}", i ? ',' : '{', i);
    buf_put(&b, "}", 1);
    put_safetensors(at("l.safetensors"), b.p, b.n, -1, 0);
    assert_false(opens(at("l.safetensors")));
    assert_non_null(strstr(error.text, "more than 262144 tensors"));
}

static void maps_without_end_are_refused(void **state)
{
    (void)state;
    struct buf b = buf_make(&arena);
    buf_printf(&b, "{\"__metadata__\":{");
    for (int i = 0; i < 65537; i++) buf_printf(&b, "%s\"%d\":\"\"", i ? "," : "", i);
    buf_printf(&b, "}}");
    put_safetensors(at("l.safetensors"), b.p, b.n, -1, 0);
    assert_false(opens(at("l.safetensors")));
    assert_non_null(strstr(error.text, "over 65536 entries"));
    assert_int_equal(mkdir(at("endless"), 0700), 0);
    for (int shards = 0; shards < 2; shards++) {
        b.n = 0;
        buf_printf(&b, "{\"weight_map\":{");
        for (int i = 0; i < (shards ? 4097 : 1000001); i++)
            buf_printf(&b, "%s\"%d\":\"%d.safetensors\"", i ? "," : "", i, shards ? i : 0);
        buf_printf(&b, "}}");
        put_file(at("endless/model.safetensors.index.json"), b.p, b.n);
        assert_false(opens(at("endless")));
        assert_non_null(strstr(error.text, shards ? "over 4096 files" : "names 1000001 tensors; at most 1000000"));
    }
}

static void only_regular_files_and_safetensors_are_opened(void **state)
{
    (void)state;
    assert_int_equal(mkfifo(at("fifo.safetensors"), 0600), 0);
    assert_false(opens(at("fifo.safetensors")));
    assert_non_null(strstr(error.text, "FIFO"));
    put_file(at("pytorch_model.bin"), "\x80\x02", 2);
    assert_false(opens(at("pytorch_model.bin")));
    assert_non_null(strstr(error.text, "pickle"));
    assert_false(opens(at("missing.safetensors")));
    assert_int_equal(mkdir(at("pickles"), 0700), 0);
    assert_false(opens(at("pickles")));
    assert_non_null(strstr(error.text, "holds no model.safetensors"));
    put_file(at("pickles/training_args.bin"), "x", 1);
    assert_false(opens(at("pickles")));
    assert_non_null(strstr(error.text, "holds no model.safetensors"));
    put_file(at("pickles/pytorch_model-00001-of-00002.bin"), "x", 1);
    assert_false(opens(at("pickles")));
    assert_non_null(strstr(error.text, "pytorch_model-00001-of-00002.bin"));
    put_file(at("pickles/m.gguf"), "GGUF", 4);
    assert_false(opens(at("pickles")));
    assert_non_null(strstr(error.text, "hone import"));
}

static void folder_with(const char *name, const char *index)
{
    assert_int_equal(mkdir(at(name), 0700), 0);
    put_file(at(arena_printf(&arena, "%s/model.safetensors.index.json", name)), index, strlen(index));
}

static void shards_and_index_must_agree_both_ways(void **state)
{
    (void)state;
    static const struct { const char *map, *says; } rows[] = {
        {"{\"weight_map\":{\"a\":\"x.safetensors\",\"b\":\"y.safetensors\"}}", NULL},
        {"{\"metadata\":{\"total_size\":8},\"weight_map\":{\"b\":\"y.safetensors\",\"a\":\"x.safetensors\"}}", NULL},
        {"{\"weight_map\":{\"a\":\"y.safetensors\",\"b\":\"x.safetensors\"}}", "says that tensor a is in y.safetensors, but it is in x.safetensors"},
        {"{\"weight_map\":{\"a\":\"x.safetensors\",\"c\":\"y.safetensors\"}}", "does not name tensor b"},
        {"{\"weight_map\":{\"a\":\"x.safetensors\",\"b\":\"y.safetensors\",\"c\":\"y.safetensors\"}}", "names tensor c in y.safetensors, but it is not there"},
        {"{\"weight_map\":{\"a\":\"x.safetensors\"}}", NULL},
        {"{\"weight_map\":{\"a\":\"z.safetensors\"}}", "holds tensors that the index does not name"},
        {"{\"weight_map\":{\"a\":\"none.safetensors\"}}", "none.safetensors"},
        {"{\"weight_map\":{\"a\":\"../m.safetensors\"}}", "a plain file name"},
        {"{\"weight_map\":{\"a\":\"/etc/x.safetensors\"}}", "a plain file name"},
        {"{\"weight_map\":{\"a\":\"d\\\\x.safetensors\"}}", "a plain file name"},
        {"{\"weight_map\":{\"a\":\".x.safetensors\"}}", "a plain file name"},
        {"{\"weight_map\":{\"a\":\"x\\u0000.safetensors\"}}", "a plain file name"},
        {"{\"weight_map\":{\"a\":\"x\\u001b[2J.safetensors\"}}", "a plain file name"},
        {"{\"weight_map\":{\"a\":\"x.bin\"}}", "a plain file name"},
        {"{\"weight_map\":{\"a\":\"\"}}", "a plain file name"},
        {"{\"weight_map\":{\"a\":1}}", "not a text"},
        {"{\"weight_map\":{}}", "weight_map"}, {"{\"weight_map\":[]}", "weight_map"}, {"[]", "weight_map"},
        {"{\"weight_map\":", "bad JSON"},
        {"{\"weight_map\":{\"a\":\"x.safetensors\",\"a\":\"x.safetensors\"}}", "duplicate"}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        char *name = arena_printf(&arena, "shards%zu", i);
        folder_with(name, rows[i].map);
        const char *x = "{" A4 "}", *y = "{" T("b", "F32", "[1]", 0, 4) "}";
        const char *z = "{" A4 "," T("b", "F32", "[1]", 4, 8) "}";
        put_safetensors(at(arena_printf(&arena, "%s/x.safetensors", name)), x, strlen(x), -1, 4);
        put_safetensors(at(arena_printf(&arena, "%s/y.safetensors", name)), y, strlen(y), -1, 4);
        put_safetensors(at(arena_printf(&arena, "%s/z.safetensors", name)), z, strlen(z), -1, 8);
        bool ok = opens(at(name)), as_said = ok == !rows[i].says && (ok || strstr(error.text, rows[i].says));
        if (!as_said) print_message("%s: %s\n", rows[i].map, error.text);
        assert_true(as_said);
        if (!ok) assert_null(strchr(error.text, 0x1b));
    }
}

static void a_tensor_in_two_shards_is_refused(void **state)
{
    (void)state;
    folder_with("twice", "{\"weight_map\":{\"a\":\"x.safetensors\",\"b\":\"y.safetensors\"}}");
    put_safetensors(at("twice/x.safetensors"), "{" A4 "}", strlen("{" A4 "}"), -1, 4);
    put_safetensors(at("twice/y.safetensors"), "{" A4 "}", strlen("{" A4 "}"), -1, 4);
    assert_false(opens(at("twice")));
    assert_non_null(strstr(error.text, "two files"));
}

static void symbolic_links_are_followed_for_reading(void **state)
{
    (void)state;
    assert_int_equal(mkdir(at("links"), 0700), 0);
    put_safetensors(at("blob"), "{" A4 "}", strlen("{" A4 "}"), -1, 4);
    assert_int_equal(symlink("../blob", at("links/model.safetensors")), 0);
    assert_true(opens(at("links")));
    assert_int_equal(mkdir(at("adapter"), 0700), 0);
    assert_int_equal(symlink("../blob", at("adapter/adapter_model.safetensors")), 0);
    assert_true(opens(at("adapter")));
}

static void half_floats_convert_exactly(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) {
        int e = (int)(h >> 10 & 31), m = (int)(h & 1023);
        double want = e == 0 ? ldexp(m, -24) : e == 31 ? (m ? NAN : INFINITY) : ldexp(1024 + m, e - 25);
        float got = f16_to_f32((uint16_t)h);
        if (h & 0x8000) want = -want;
        if (isnan(want)) {
            assert_true(isnan(got) && isnan(f16_to_f32(f32_to_f16(got))));
            continue;
        }
        assert_true(got == (float)want && !signbit(got) == !signbit(want));
        assert_int_equal(f32_to_f16(got), h);
        float wide = bf16_to_f32((uint16_t)h);
        if (!isnan(wide)) assert_int_equal(f32_to_bf16(wide), h);
        else assert_true(isnan(bf16_to_f32(f32_to_bf16(wide))));
    }
}

/* The nearest of two neighbours in double, ties to the even one, for values on both sides of every step. */
static void rounding_is_to_nearest_even(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 0x7C00; h++) {
        double low = f16_to_f32((uint16_t)h), high = h == 0x7BFF ? 65536 : f16_to_f32((uint16_t)(h + 1));
        float half = (float)((low + high) / 2);
        assert_int_equal(f32_to_f16(half), (h & 1) ? h + 1 : h);
        assert_int_equal(f32_to_f16(nextafterf(half, 0)), h);
        assert_int_equal(f32_to_f16(nextafterf(half, INFINITY)), h + 1);
        assert_int_equal(f32_to_f16(-half), 0x8000 | ((h & 1) ? h + 1 : h));
    }
    for (uint32_t h = 0; h < 0x7F7F; h++) {
        float half = (float)(((double)bf16_to_f32((uint16_t)h) + bf16_to_f32((uint16_t)(h + 1))) / 2);
        assert_int_equal(f32_to_bf16(half), (h & 1) ? h + 1 : h);
        assert_int_equal(f32_to_bf16(nextafterf(half, 0)), h);
        assert_int_equal(f32_to_bf16(nextafterf(half, INFINITY)), h + 1);
    }
    assert_int_equal(f32_to_f16(1e30f), 0x7C00);
    assert_int_equal(f32_to_bf16(3.4e38f), 0x7F80);
    assert_true(isnan(bf16_to_f32(f32_to_bf16(-NAN))));
}

static const char *const metadata[] = {"format", "pt", "quote\"d", "line\nend"};

static void what_is_written_reads_back(void **state)
{
    (void)state;
    static const struct tensor_row rows[] = {{"z.f32", T_F32, 2, {3, 50}}, {"none", T_BF16, 2, {0, 4}},
        {"b.bf16", T_BF16, 1, {201}}, {"a.f16", T_F16, 1, {75000}}, {"scalar", T_F64, 0, {0}}, {"last", T_F32, 1, {0}}};
    enum { ALL = 150 + 201 + 75000 + 1 };
    static float in[ALL], out[ALL];
    struct tensors_writer *w;
    struct tensors t;
    int64_t bytes;
    char hash[33], again[33];
    for (int i = 0; i < ALL; i++) in[i] = (float)(rand_at(5, (uint64_t)i) % 256) / 2 - 50;
    assert_true(tensors_create(&w, at("w.safetensors"), rows, COUNT(rows), metadata, 2, &arena, &error));
    assert_true(tensors_write_f32(w, in, 77, &error));
    assert_true(tensors_write_f32(w, in + 77, ALL - 77, &error));
    assert_true(tensors_finish(w, &bytes, hash, &error));
    assert_int_equal(bytes, tensors_file_bytes(rows, COUNT(rows), metadata, 2));
    struct stat st;
    assert_int_equal(stat(at("w.safetensors"), &st), 0);
    assert_int_equal(st.st_size, bytes);
    assert_int_equal(st.st_mode & 0777, 0600);
    struct text whole;
    struct hash h;
    assert_true(file_read(&whole, at("w.safetensors"), 1 << 30, &arena, &error));
    hash_start(&h, &arena);
    hash_add(&h, whole.p, whole.n);
    assert_string_equal(hash_text(&h, again), hash);

    assert_true(tensors_open(&t, at("w.safetensors"), &arena, &error));
    assert_int_equal(t.n, COUNT(rows));
    assert_int_equal(t.n_metadata, 2);
    assert_string_equal(t.metadata[2], "quote\"d");
    assert_string_equal(t.metadata[3], "line\nend");
    float *p = in;
    for (size_t i = 0; i < COUNT(rows); i++) {
        const struct tensor *x = tensors_find(&t, rows[i].name);
        assert_non_null(x);
        assert_int_equal(x->type, rows[i].type);
        assert_int_equal(x->rank, rows[i].rank);
        assert_memory_equal(x->dims, rows[i].dims, (size_t)x->rank * 8);
        assert_true(tensors_read_f32(&t, x, 0, x->elements, out, &error));
        assert_memory_equal(out, p, (size_t)x->elements * 4);
        if (x->elements > 100) {
            assert_true(tensors_read_f32(&t, x, 99, 2, out, &error));
            assert_memory_equal(out, p + 99, 8);
        }
        p += x->elements;
    }
    assert_null(tensors_find(&t, "absent"));
    tensors_close(&t);
}

static void a_file_cut_while_open_is_a_sentence(void **state)
{
    (void)state;
    struct tensors t;
    float v;
    put_safetensors(at("cut.safetensors"), "{" A4 "}", strlen("{" A4 "}"), -1, 4);
    assert_true(tensors_open(&t, at("cut.safetensors"), &arena, &error));
    assert_int_equal(truncate(at("cut.safetensors"), 20), 0);
    assert_false(tensors_read_f32(&t, &t.list[0], 0, 1, &v, &error));
    assert_non_null(strstr(error.text, "cut.safetensors ends"));
    tensors_close(&t);
}

static void integers_are_not_read_as_weights(void **state)
{
    (void)state;
    struct tensors t;
    float v;
    const char *header = "{" T("ids", "I32", "[1]", 0, 4) "}";
    put_safetensors(at("i.safetensors"), header, strlen(header), -1, 4);
    assert_true(tensors_open(&t, at("i.safetensors"), &arena, &error));
    assert_false(tensors_read_f32(&t, &t.list[0], 0, 1, &v, &error));
    assert_non_null(strstr(error.text, "tensor ids is I32"));
    tensors_close(&t);
}

static void nothing_is_overwritten_and_nothing_half_stays(void **state)
{
    (void)state;
    static const struct tensor_row rows[] = {{"a", T_F32, 1, {4}}, {"b", T_F32, 1, {1}}};
    static const float four[4];
    struct tensors_writer *w;
    assert_true(tensors_create(&w, at("half.safetensors"), rows, 2, NULL, 0, &arena, &error));
    assert_false(tensors_create(&w, at("half.safetensors"), rows, 2, NULL, 0, &arena, &error));
    assert_non_null(strstr(error.text, "half.safetensors"));
    assert_int_equal(unlink(at("half.safetensors")), 0);
    assert_int_equal(symlink("elsewhere", at("link.safetensors")), 0);
    assert_false(tensors_create(&w, at("link.safetensors"), rows, 2, NULL, 0, &arena, &error));
    assert_false(path_exists(at("elsewhere")));
    assert_true(tensors_create(&w, at("half.safetensors"), rows, 2, NULL, 0, &arena, &error));
    assert_true(tensors_write_f32(w, four, 4, &error));
    assert_false(tensors_finish(w, NULL, NULL, &error));
    assert_non_null(strstr(error.text, "4 bytes of tensor b are missing"));
    assert_false(path_exists(at("half.safetensors")));
    assert_true(tensors_create(&w, at("half.safetensors"), rows, 2, NULL, 0, &arena, &error));
    tensors_abandon(w);
    assert_false(path_exists(at("half.safetensors")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_header_is_accepted_or_refused_as_the_matrix_says),
        cmocka_unit_test(the_length_is_checked_against_file_and_limit),
        cmocka_unit_test(every_cut_of_a_header_is_refused),
        cmocka_unit_test(flipped_bytes_never_crash),
        cmocka_unit_test(long_names_and_many_tensors_have_limits),
        cmocka_unit_test(maps_without_end_are_refused),
        cmocka_unit_test(only_regular_files_and_safetensors_are_opened),
        cmocka_unit_test(shards_and_index_must_agree_both_ways),
        cmocka_unit_test(a_tensor_in_two_shards_is_refused),
        cmocka_unit_test(symbolic_links_are_followed_for_reading),
        cmocka_unit_test(half_floats_convert_exactly),
        cmocka_unit_test(rounding_is_to_nearest_even),
        cmocka_unit_test(what_is_written_reads_back),
        cmocka_unit_test(a_file_cut_while_open_is_a_sentence),
        cmocka_unit_test(integers_are_not_read_as_weights),
        cmocka_unit_test(nothing_is_overwritten_and_nothing_half_stays)};
    arena = arena_make(0);
    snprintf(dir, sizeof dir, "/tmp/hone-safetensors-XXXXXX");
    if (!mkdtemp(dir)) return 1;
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    if (!dir_remove(dir, &error)) print_message("%s\n", error.text);
    arena_drop(&arena);
    return rc;
}
