/* t_tokenizer_hostile.c - tokenizer files that lie: each is refused in a sentence that names the file and
 * what is wrong with it, or read without harm. Run it under `make asan` too. */
#include "tests/test.h"
#include "engine/format/tokenizer.h"
#include <sys/stat.h>
#include <unistd.h>

static struct arena arena, scratch;
static struct err error;
static char folder[] = "/tmp/hone-hostile-XXXXXX";

static const char *file_of(const char *name) { return arena_printf(&arena, "%s/%s", folder, name); }

static bool opens(const char *path)
{
    struct tokenizer *t = NULL;
    struct arena_mark mark = arena_mark(&arena);
    size_t used = arena.used;
    error.text[0] = 0;
    bool ok = tokenizer_open(&t, path, &arena, &error);
    if (!ok) assert_true(arena.used == used && strlen(error.text) > 20);
    if (ok) { /* what was accepted must also work */
        struct ids ids = {.a = &arena};
        struct buf out = buf_make(&arena);
        struct text s = text_of("Hello  world 12\n\xE4\xBB\x8A\xE5\xA4\xA9 <s>\xFF\x04");
        if (tokenizer_encode(t, &ids, s, ENCODE_SPECIAL, NULL, &scratch, &error)) tokenizer_decode(t, &out, ids.p, ids.n, false);
        for (int64_t i = 0; i < ids.n; i++) assert_true(ids.p[i] >= 0 && ids.p[i] < tokenizer_size(t));
    }
    arena_back(&arena, mark);
    return ok;
}

static void write_file(const char *name, struct text s) /* not file_replace, which waits for the disk */
{
    FILE *f = fopen(file_of(name), "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(s.p, 1, s.n, f), s.n);
    fclose(f);
}

/* The file is refused, and the sentence names it and says `says`. */
static void refused(const char *name, struct text s, const char *says)
{
    write_file(name, s);
    if (opens(file_of(name))) fail_msg("accepted: %.200s", s.p);
    if (!strstr(error.text, says) || !strstr(error.text, name)) fail_msg("says: %s\nnot: %s", error.text, says);
}

/* ---- tokenizer.json ---- */

#define BPE(vocab, merges, more) "{\"model\": {\"type\": \"BPE\", \"vocab\": " vocab ", \"merges\": " merges more "}}"
#define WITH(part) "{" part ", \"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0, \"b\": 1, \"<s>\": 2}, \"merges\": []}}"
static const struct { const char *file, *says; } json_rows[] = {
    {"", "bad JSON"},
    {"[]", "no object \"model\""},
    {"{}", "no object \"model\""},
    {"{\"model\": 3}", "no object \"model\""},
    {"{\"model\": {\"type\": 3}}", "type"},
    {"{\"model\": {\"type\": \"WordPiece\", \"vocab\": {}}}", "the model \"WordPiece\" is not known"},
    {"{\"model\": {\"type\": \"\\u001b[31m\"}}", "is not known"},
    {BPE("[]", "[]", ""), "model.vocab is no object"},
    {BPE("{}", "[]", ""), "model.vocab is no object"},
    {BPE("{\"a\": \"0\"}", "[]", ""), "the id of piece \"a\""},
    {BPE("{\"a\": -1}", "[]", ""), "the id of piece \"a\""},
    {BPE("{\"a\": 1.5}", "[]", ""), "the id of piece \"a\""},
    {BPE("{\"a\": 4194304}", "[]", ""), "0 to 4194303"},
    {BPE("{\"a\": 4194303}", "[]", ""), "an id is 4194303, but there are only 1 pieces; ids up to 65539"},
    {WITH("\"added_tokens\": [{\"id\": 65552, \"content\": \"x\"}]"), "an id is 65552, but there are only 4 pieces"},
    {BPE("{\"a\": 99999999999999999999}", "[]", ""), "the id of piece \"a\""},
    {BPE("{\"a\": 0, \"b\": 0}", "[]", ""), "id 0 is given to \"a\" and to \"b\""},
    {BPE("{\"a\": 0, \"a\": 1}", "[]", ""), "duplicate"},
    {BPE("{\"a\": 0}", "{}", ""), "model.merges is no list"},
    {BPE("{\"a\": 0}", "null", ""), "model.merges is no list"},
    {BPE("{\"a\": 0}", "[3]", ""), "merge 1 of model.merges"},
    {BPE("{\"a\": 0}", "[\"a\"]", ""), "not two pieces"},
    {BPE("{\"a\": 0}", "[\"a a a\"]", ""), "not two pieces"},
    {BPE("{\"a\": 0}", "[[\"a\"]]", ""), "merge 1"},
    {BPE("{\"a\": 0}", "[[\"a\", 3]]", ""), "merge 1"},
    {BPE("{\"a\": 0}", "[\"a z\"]", ""), "\"z\", has a part that is not in the vocabulary"},
    {BPE("{\"a\": 0}", "[\"a a\"]", ""), "makes a piece that is not in the vocabulary"},
    {BPE("{\"a\": 0}", "[]", ", \"unk_token\": \"u\""), "unk_token \"u\" is not in the vocabulary"},
    {BPE("{\"a\": 0}", "[]", ", \"unk_token\": 5"), "unk_token"},
    {BPE("{\"a\": 0}", "[]", ", \"dropout\": 0.1"), "dropout"},
    {BPE("{\"a\": 0}", "[]", ", \"byte_fallback\": 1"), "byte_fallback"},
    {BPE("{\"a\": 0}", "[]", ", \"end_of_word_suffix\": \"</w>\""), "end_of_word_suffix"},
    {BPE("{\"a\": 0}", "[]", ", \"continuing_subword_prefix\": \"##\""), "continuing_subword_prefix"},
    {WITH("\"added_tokens\": {}"), "added_tokens is no list"},
    {WITH("\"added_tokens\": [{\"content\": \"x\"}]"), "has no id"},
    {WITH("\"added_tokens\": [{\"id\": 7, \"content\": \"\"}]"), "is empty"},
    {WITH("\"added_tokens\": [{\"id\": 1, \"content\": \"x\"}]"), "id 1 is given to \"b\" and to \"x\""},
    {WITH("\"added_tokens\": [{\"id\": 7, \"content\": \"a\"}]"), "has id 7, but the vocabulary gives it id 0"},
    {WITH("\"added_tokens\": [{\"id\": 4194304, \"content\": \"x\"}]"), "id"},
    {WITH("\"added_tokens\": [{\"id\": 7, \"content\": \"x\", \"special\": \"yes\"}]"), "special"},
    {WITH("\"normalizer\": {\"type\": \"Nmt\"}"), "the normalizer \"Nmt\" is not known"},
    {WITH("\"normalizer\": 3"), "the normalizer without a type"},
    {WITH("\"normalizer\": {\"type\": \"Replace\"}"), "has no pattern"},
    {WITH("\"pre_tokenizer\": {\"type\": \"UnicodeScripts\"}"), "the pre-tokenizer \"UnicodeScripts\" is not known"},
    {WITH("\"pre_tokenizer\": {\"type\": \"Split\", \"pattern\": {\"Regex\": \"(\"}, \"behavior\": \"Isolated\"}"), "is not understood"},
    {WITH("\"pre_tokenizer\": {\"type\": \"Split\", \"pattern\": {\"Regex\": \"[a&&b]\"}, \"behavior\": \"Isolated\"}"), "&&"},
    {WITH("\"pre_tokenizer\": {\"type\": \"Split\", \"pattern\": {\"Regex\": \"[a[b]]\"}, \"behavior\": \"Isolated\"}"), "a class within a class"},
    {WITH("\"pre_tokenizer\": {\"type\": \"Split\", \"pattern\": {\"Regex\": \"a{1,2}+\"}, \"behavior\": \"Isolated\"}"), "repeated interval"},
    {WITH("\"pre_tokenizer\": {\"type\": \"Split\", \"pattern\": {\"Regex\": \"(?m)a\"}, \"behavior\": \"Isolated\"}"), "(?m)"},
    {WITH("\"pre_tokenizer\": {\"type\": \"Split\", \"pattern\": {\"Regex\": \"\\\\C\"}, \"behavior\": \"Isolated\"}"), "is not understood"},
    {WITH("\"pre_tokenizer\": {\"type\": \"Split\", \"pattern\": {\"Regex\": \"a\"}, \"behavior\": \"Sometimes\"}"), "the behavior \"Sometimes\""},
    {WITH("\"pre_tokenizer\": {\"type\": \"Metaspace\", \"prepend_scheme\": \"maybe\"}"), "prepend_scheme \"maybe\""},
    {WITH("\"pre_tokenizer\": {\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"ByteLevel\"}, {\"type\": \"ByteLevel\"}]}"), "two ByteLevel"},
    {WITH("\"decoder\": {\"type\": \"CTC\"}"), "the decoder \"CTC\" is not known"},
    {WITH("\"decoder\": {\"type\": \"Strip\", \"content\": \" \", \"start\": 0, \"stop\": 1}"), "strips the end"},
    {WITH("\"decoder\": {\"type\": \"Replace\", \"pattern\": {\"Regex\": \"a+\"}, \"content\": \"b\"}"), "regular expression"},
    {WITH("\"decoder\": {\"type\": \"Sequence\", \"decoders\": [{\"type\": \"Fuse\"}, {\"type\": \"ByteFallback\"}]}"), "order"},
    {"{\"model\": {\"type\": \"Unigram\", \"vocab\": []}}", "model.vocab is no list"},
    {"{\"model\": {\"type\": \"Unigram\", \"vocab\": [[\"a\"]]}}", "entry 0"},
    {"{\"model\": {\"type\": \"Unigram\", \"vocab\": [[\"a\", -1], [\"a\", -2]]}}", "stands twice"},
    {"{\"model\": {\"type\": \"Unigram\", \"vocab\": [[\"a\", -1]], \"unk_id\": 1}}", "unk_id"},
    {"{\"pre_tokenizer\": {\"type\": \"ByteLevel\"}, \"model\": {\"type\": \"Unigram\", \"vocab\": [[\"a\", -1]]}}", "ByteLevel"},
    {"{\"model\": {\"type\": \"BPE\", \"vocab\": {\"\xFF\": 0}, \"merges\": []}}", "unable to decode"}};

static void a_tokenizer_json_that_lies_is_refused_by_name(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(json_rows); i++) refused("tokenizer.json", text_of(json_rows[i].file), json_rows[i].says);
}

static void limits_are_held(void **state)
{
    (void)state;
    struct buf b = buf_make(&arena);
    buf_printf(&b, "{\"model\": {\"type\": \"BPE\", \"vocab\": {\"");
    for (int i = 0; i < 65537; i++) buf_put(&b, "a", 1);
    buf_printf(&b, "\": 0}, \"merges\": []}}");
    refused("tokenizer.json", buf_text(&b), "65537 bytes; at most 65536");
    b.n = 0;
    for (int i = 0; i < 70; i++) buf_printf(&b, "{\"normalizer\": ");
    refused("tokenizer.json", buf_text(&b), "tokenizer.json");
    b.n = 0;
    buf_printf(&b, "{\"normalizer\": {\"type\": \"Sequence\", \"normalizers\": [");
    for (int i = 0; i < 33; i++) buf_printf(&b, "%s{\"type\": \"NFC\"}", i ? "," : "");
    buf_printf(&b, "]}, \"model\": {\"type\": \"bytes\"}}");
    refused("tokenizer.json", buf_text(&b), "more than 32 normalizers");
    b.n = 0;
    buf_printf(&b, "{\"pre_tokenizer\": {\"type\": \"Split\", \"behavior\": \"Isolated\", \"pattern\": {\"Regex\": \"");
    for (int i = 0; i < 16385; i++) buf_put(&b, "a", 1);
    buf_printf(&b, "\"}}, \"model\": {\"type\": \"bytes\"}}");
    refused("tokenizer.json", buf_text(&b), "16385 bytes");
}

static void a_text_beyond_64_mib_is_refused(void **state)
{
    (void)state;
    struct tokenizer *t;
    struct arena large = arena_make(0);
    struct ids ids = {.a = &arena};
    write_file("tokenizer.json", text_of("{\"model\": {\"type\": \"bytes\"}}"));
    assert_true(tokenizer_open(&t, folder, &arena, &error));
    size_t n = ((size_t)64 << 20) + 1;
    struct text s = {arena_take(&large, n, 1), n};
    assert_false(tokenizer_encode(t, &ids, s, 0, NULL, &scratch, &error));
    assert_non_null(strstr(error.text, "67108865 bytes"));
    assert_int_equal(ids.n, 0);
    arena_drop(&large);
}

static void a_regular_expression_that_never_ends_gives_up(void **state)
{
    (void)state;
    struct tokenizer *t;
    struct ids ids = {.a = &arena};
    write_file("tokenizer.json", text_of("{\"pre_tokenizer\": {\"type\": \"Split\", \"behavior\": \"Isolated\", \"pattern\": "
        "{\"Regex\": \"((a+)+)+[bd]\"}}, \"model\": {\"type\": \"bytes\"}}"));
    assert_true(tokenizer_open(&t, folder, &arena, &error));
    const char *s = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaac";
    assert_false(tokenizer_encode(t, &ids, text_of(s), 0, NULL, &scratch, &error));
    assert_non_null(strstr(error.text, "gave up"));
    assert_int_equal(ids.n, 0);
    assert_true(tokenizer_encode(t, &ids, text_of("aab"), 0, NULL, &scratch, &error));
}

static void more_patterns_than_are_kept_still_split(void **state)
{
    (void)state;
    for (int i = 0; i < 40; i++) {
        struct tokenizer *t;
        struct ids ids = {.a = &arena};
        const char *file = arena_printf(&arena, "{\"pre_tokenizer\": {\"type\": \"Split\", \"behavior\": \"Removed\", \"pattern\": "
            "{\"Regex\": \"x{%d}\"}}, \"model\": {\"type\": \"bytes\"}}", i + 1);
        write_file("tokenizer.json", text_of(file));
        assert_true(tokenizer_open(&t, folder, &arena, &error));
        struct buf s = buf_make(&arena);
        for (int k = 0; k <= i; k++) buf_put(&s, "x", 1);
        buf_put(&s, "y", 1);
        assert_true(tokenizer_encode(t, &ids, buf_text(&s), 0, NULL, &scratch, &error));
        assert_true(ids.n == 1 && ids.p[0] == 'y');
    }
}

/* Pieces that merge in a ring, into themselves, or to what is not a longer piece. */
static void merges_that_make_no_sense_end(void **state)
{
    (void)state;
    static const char *const files[] = {
        BPE("{\"a\": 0, \"aa\": 1, \"aaa\": 2, \"aaaa\": 3}", "[\"aa aa\", \"a aa\", \"aa a\", \"a a\", \"aaa a\", \"a a\"]", ""),
        BPE("{\"a\": 0, \"\": 1}", "[[\"a\", \"\"], [\"\", \"a\"], [\"\", \"\"]]", ""),
        BPE("{\"<0x61>\": 0, \"<0x62>\": 1, \"<0x61><0x62>\": 2}", "[\"<0x61> <0x62>\"]", ", \"byte_fallback\": true"),
        BPE("{\"u\": 0, \"uu\": 1}", "[\"u u\"]", ", \"unk_token\": \"u\", \"byte_fallback\": true")};
    for (size_t i = 0; i < COUNT(files); i++) {
        write_file("tokenizer.json", text_of(files[i]));
        struct tokenizer *t;
        struct ids ids = {.a = &arena};
        struct buf s = buf_make(&arena);
        for (int k = 0; k < 5000; k++) buf_put(&s, &"ab"[k % 6 == 3], 1);
        if (!opens(folder)) fail_msg("%s", error.text);
        assert_true(tokenizer_open(&t, folder, &arena, &error));
        assert_true(tokenizer_encode(t, &ids, buf_text(&s), 0, NULL, &scratch, &error));
    }
}

/* ---- damaged files ---- */

static struct text golden(const char *name)
{
    struct text s;
    if (!file_read(&s, arena_printf(&arena, "tests/golden/%s", name), 1 << 20, &arena, &error)) fail_msg("%s", error.text);
    return s;
}

static void a_model_cut_off_anywhere_is_refused_or_read(void **state)
{
    (void)state;
    struct text s = golden("tokenizer_nmt.model");
    int read = 0;
    for (size_t n = 0; n < s.n; n += n < 400 || n + 400 > s.n ? 1 : 7) {
        write_file("tokenizer.model", (struct text){s.p, n});
        read += opens(file_of("tokenizer.model"));
    }
    assert_true(read < 400); /* whole pieces may be missing without a trace */
}

static void a_model_with_changed_bytes_does_no_harm(void **state)
{
    (void)state;
    static const char *const names[] = {"tokenizer_nmt.model", "tokenizer_merges.model", "tokenizer_suffix.model"};
    for (int i = 0; i < 1500; i++) {
        struct arena_mark mark = arena_mark(&arena);
        struct text s = golden(names[i % 3]);
        char *p = arena_string(&arena, s.p, s.n);
        for (int k = 0; k < 1 + i % 4; k++) {
            uint64_t at = rand_at(11, (uint64_t)(i * 8 + k)), to = rand_at(12, (uint64_t)(i * 8 + k));
            p[i % 2 ? at % s.n : at % 200 + (s.n - 200) * (at >> 20 & 1)] = (char)to;
        }
        write_file("tokenizer.model", (struct text){p, s.n});
        opens(file_of("tokenizer.model"));
        arena_back(&arena, mark);
    }
}

static void a_tokenizer_json_with_changed_bytes_does_no_harm(void **state)
{
    (void)state;
    struct text s = golden("tokenizer_fallback.json");
    static const struct { const char *mark, *with; } parts[] = {{"\"@NORM@\"", "null"}, {"\"@PRE@\"", "{\"type\":\"Metaspace\"}"},
        {"\"@DEC@\"", "{\"type\":\"ByteFallback\"}"}, {"\"@ADDED@\"", "[]"}, {"\"@OPTIONS@\"", "\"byte_fallback\":true"}};
    for (size_t i = 0; i < COUNT(parts); i++) {
        struct buf b = buf_make(&arena);
        const char *at = strstr(s.p, parts[i].mark);
        buf_printf(&b, "%.*s%s%s", (int)(at - s.p), s.p, parts[i].with, at + strlen(parts[i].mark));
        s = buf_text(&b);
    }
    write_file("tokenizer.json", s);
    assert_true(opens(folder));
    for (int i = 0; i < 600; i++) {
        struct arena_mark mark = arena_mark(&arena);
        char *p = arena_string(&arena, s.p, s.n);
        static const char signs[] = "0123456789\"{}[]:, aB\\-";
        for (int k = 0; k < 1 + i % 3; k++)
            p[rand_at(21, (uint64_t)(i * 4 + k)) % s.n] = signs[rand_at(22, (uint64_t)(i * 4 + k)) % (sizeof signs - 1)];
        write_file("tokenizer.json", (struct text){p, i % 5 ? s.n : rand_at(23, (uint64_t)i) % s.n});
        opens(folder);
        arena_back(&arena, mark);
    }
}

/* ---- tokenizer.model, field by field ---- */

static void put_piece(struct buf *b, const char *piece, unsigned char type)
{
    unsigned char n = (unsigned char)strlen(piece);
    unsigned char head[] = {0x0A, (unsigned char)(n + 2 + 5 + 2), 0x0A, n}, tail[] = {0x15, 0, 0, 0x80, 0xBF, 0x18, type};
    buf_put(b, (char *)head, sizeof head);
    buf_put(b, piece, n);
    buf_put(b, (char *)tail, sizeof tail);
}

static const struct { const char *pieces[4]; unsigned char types[4]; const char *more; size_t more_n; const char *says; } model_rows[] = {
    {{NULL}, {0}, "", 0, "has no pieces"},
    {{"a"}, {1}, "", 0, "no piece is the unknown piece"},
    {{"<unk>", "<unk2>"}, {2, 2}, "", 0, "are both the unknown piece"},
    {{"<unk>", "a", "a"}, {2, 1, 1}, "", 0, "\"a\" stands twice"},
    {{"<unk>", "a"}, {2, 7}, "", 0, "type 7"},
    {{"<unk>", ""}, {2, 1}, "", 0, "a piece is empty"},
    {{"<unk>", "\xFF"}, {2, 1}, "", 0, "no UTF-8"},
    {{"<unk>", "a"}, {2, 1}, "\x12\x02\x18\x03", 4, "type 3 (word)"},
    {{"<unk>", "a"}, {2, 1}, "\x12\x03\x98\x02\x01", 5, "no byte piece <0x00>"},
    {{"<unk>", "a"}, {2, 5}, "\x12\x02\x18\x02", 4, "unused pieces"},
    {{"<unk>", "a"}, {2, 1}, "\x1A\x04\x12\x02""ab", 6, "cut off"},
    {{"<unk>", "a"}, {2, 1}, "\x1A\x08\x12\x06\xFF\x00\x00\x00""ab", 10, "sizes do not fit"},
    {{"<unk>", "a"}, {2, 1}, "\x2A\x04\x12\x02""ab", 6, "denormalizer_spec"},
    {{"<unk>", "a"}, {2, 1}, "\x12\xFF\xFF\xFF\x7F", 5, "longer than what is left"},
    {{"<unk>", "a"}, {2, 1}, "\x12\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 12, "more than 10 bytes"},
    {{"<unk>", "a"}, {2, 1}, "\x13", 1, "wire type"},
    {{"<unk>", "a"}, {2, 1}, "\x08\x01", 2, "wrong type"},
    {{"<unk>", "a"}, {2, 1}, "\x80", 1, "a number is cut off"}};

static void a_tokenizer_model_that_lies_is_refused_by_name(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(model_rows); i++) {
        struct buf b = buf_make(&arena);
        for (int k = 0; k < 4 && model_rows[i].pieces[k]; k++) put_piece(&b, model_rows[i].pieces[k], model_rows[i].types[k]);
        buf_put(&b, model_rows[i].more, model_rows[i].more_n);
        refused("tokenizer.model", buf_text(&b), model_rows[i].says);
    }
    refused("tokenizer.model", text_of("IQ== 0\nIg== 1\n"), "a rank file of tiktoken");
}

/* Not hostile, but made as the files above are. */
static void equal_scores_merge_from_the_left(void **state)
{
    (void)state;
    static const char *const pieces[] = {"<unk>", "bc", "ab", "a", "b", "c"};
    struct buf b = buf_make(&arena);
    struct tokenizer *t;
    struct ids ids = {.a = &arena};
    for (int i = 0; i < 6; i++) put_piece(&b, pieces[i], i ? 1 : 2);
    buf_put(&b, "\x12\x02\x18\x02\x1A\x02\x18\x00", 8); /* BPE, no dummy prefix */
    write_file("tokenizer.model", buf_text(&b));
    if (!tokenizer_open(&t, file_of("tokenizer.model"), &arena, &error)) fail_msg("%s", error.text);
    assert_true(tokenizer_encode(t, &ids, text_of("abc"), 0, NULL, &scratch, &error));
    assert_true(ids.n == 2 && ids.p[0] == 2 && ids.p[1] == 5);
}

/* ---- what stands beside ---- */

static void files_beside_it_that_lie_are_refused_by_name(void **state)
{
    (void)state;
    static const struct { const char *name, *file, *says; } rows[] = {
        {"tokenizer_config.json", "[]", "no JSON object"},
        {"tokenizer_config.json", "{\"add_bos_token\": \"yes\"}", "add_bos_token"},
        {"tokenizer_config.json", "{", "tokenizer_config.json"},
        {"special_tokens_map.json", "3", "no JSON object"},
        {"config.json", "{\"a\": }", "config.json"},
        {"chat_template.jinja", "\xFF", "UTF-8"}};
    write_file("tokenizer.json", text_of("{\"model\": {\"type\": \"bytes\"}}"));
    for (size_t i = 0; i < COUNT(rows); i++) {
        write_file(rows[i].name, text_of(rows[i].file));
        assert_false(opens(folder));
        if (!strstr(error.text, rows[i].says) || !strstr(error.text, rows[i].name)) fail_msg("says: %s", error.text);
        unlink(file_of(rows[i].name));
    }
    struct buf b = buf_make(&arena);
    for (int i = 0; i <= 256 << 10; i++) buf_put(&b, "x", 1);
    write_file("chat_template.jinja", buf_text(&b));
    assert_false(opens(folder));
    unlink(file_of("chat_template.jinja"));
    write_file("tokenizer_config.json", text_of(arena_printf(&arena, "{\"chat_template\": \"%s\"}", b.p)));
    assert_false(opens(folder));
    assert_non_null(strstr(error.text, "at most 262144"));
    unlink(file_of("tokenizer_config.json"));
    unlink(file_of("tokenizer.json"));
    unlink(file_of("tokenizer.model"));
    assert_false(opens(folder));
    assert_non_null(strstr(error.text, "there is no tokenizer in this folder"));
    assert_false(opens("/nowhere/at/all"));
    assert_int_equal(mkfifo(file_of("tokenizer.json"), 0600), 0);
    assert_false(opens(folder));
    unlink(file_of("tokenizer.json"));
}

static int setup(void **state)
{
    (void)state;
    arena = arena_make(0);
    scratch = arena_make(0);
    return mkdtemp(folder) ? 0 : 1;
}

static int teardown(void **state)
{
    (void)state;
    dir_remove(folder, &error);
    arena_drop(&scratch);
    arena_drop(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tokenizer_json_that_lies_is_refused_by_name),
        cmocka_unit_test(limits_are_held),
        cmocka_unit_test(a_text_beyond_64_mib_is_refused),
        cmocka_unit_test(a_regular_expression_that_never_ends_gives_up),
        cmocka_unit_test(more_patterns_than_are_kept_still_split),
        cmocka_unit_test(merges_that_make_no_sense_end),
        cmocka_unit_test(a_model_cut_off_anywhere_is_refused_or_read),
        cmocka_unit_test(a_model_with_changed_bytes_does_no_harm),
        cmocka_unit_test(a_tokenizer_json_with_changed_bytes_does_no_harm),
        cmocka_unit_test(a_tokenizer_model_that_lies_is_refused_by_name),
        cmocka_unit_test(equal_scores_merge_from_the_left),
        cmocka_unit_test(files_beside_it_that_lie_are_refused_by_name)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
