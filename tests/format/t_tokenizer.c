/* t_tokenizer.c - token ids equal Hugging Face's, SentencePiece's and tiktoken's; text comes back.
 *
 * tests/golden/tokenizer.py recorded what they make of 850 texts, as hashes of blocks of texts: for small
 * tokenizers that stand beside it, and, where the folder HONE_MATERIAL (default material) holds them, for
 * real ones (tests/material.sh fetches them), with a megabyte of English and Chinese. */
#include "tests/test.h"
#include "engine/format/json.h"
#include "engine/format/tokenizer.h"
#include "engine/format/split.h"
#include "engine/format/tokenizer_parts.h"
#include "kernels/pool.h"
#include <unistd.h>

enum { BLOCK = 16 };
static struct arena arena, scratch;
static struct err error;
static const struct json *texts;
static struct text joined; /* one more: all of them with two line ends between */
static int n_texts;
static char folder[] = "/tmp/hone-tokenizer-XXXXXX";

static const struct json *golden(const char *name)
{
    const struct json *v = NULL;
    const char *path = arena_printf(&arena, "tests/golden/%s", name);
    if (!json_read(&v, path, (struct json_limits){0}, &arena, &error)) fail_msg("%s", error.text);
    return v;
}

static struct tokenizer *opened(const char *path)
{
    struct tokenizer *t = NULL;
    if (!tokenizer_open(&t, path, &arena, &error)) fail_msg("%s", error.text);
    return t;
}

static struct ids encoded(const struct tokenizer *t, struct text s, unsigned flags, int64_t *lost)
{
    struct ids ids = {.a = &arena};
    if (!tokenizer_encode(t, &ids, s, flags, lost, &scratch, &error)) fail_msg("%s", error.text);
    return ids;
}

static void is_ids(struct ids got, const int32_t *want, int n)
{
    bool same = got.n == n && (n == 0 || !memcmp(got.p, want, (size_t)n * sizeof *want));
    for (int64_t i = 0; !same && i < got.n; i++) print_message("%d ", got.p[i]);
    assert_true(same);
}
#define IDS(...) ((const int32_t[]){__VA_ARGS__}), (int)(sizeof((const int32_t[]){__VA_ARGS__}) / sizeof(int32_t))

static struct text decoded(const struct tokenizer *t, struct ids ids, bool skip_special)
{
    struct buf whole = buf_make(&arena), streamed = buf_make(&arena);
    struct decoding d = {.skip_special = skip_special};
    tokenizer_decode(t, &whole, ids.p, ids.n, skip_special);
    for (int64_t i = 0; i < ids.n; i++) tokenizer_decode_next(t, &d, ids.p[i], &streamed);
    tokenizer_decode_end(t, &d, &streamed);
    assert_true(text_equal(buf_text(&whole), buf_text(&streamed)));
    return buf_text(&whole);
}

/* ---- recorded hashes ---- */

static uint32_t fnv(uint32_t h, const void *p, size_t n)
{
    for (const unsigned char *b = p, *end = b + n; b < end; b++) h = (h ^ *b) * 0x01000193u;
    return h;
}

static uint32_t fnv_ids(uint32_t h, struct ids ids)
{
    int32_t n = (int32_t)ids.n;
    return fnv(fnv(h, &n, sizeof n), ids.p, (size_t)ids.n * sizeof *ids.p);
}

/* Compares block `i` with its eight digits in `hashes` and names the first that differs. */
static bool same_block(const char *row, const char *what, const struct json *hashes, int i, uint32_t h)
{
    char digits[9];
    snprintf(digits, sizeof digits, "%08x", h);
    if (!memcmp(hashes->text.p + 8 * i, digits, 8)) return true;
    print_message("%s: %s of texts %d to %d differ\n", row, what, i * BLOCK, i * BLOCK + BLOCK - 1);
    return false;
}

static int compare(const struct tokenizer *t, const struct json *row, const char *name)
{
    const struct json *ids = json_get(row, "ids"), *whole = json_get(row, "decoded"), *shown = json_get(row, "shown");
    const struct json *plain = json_get(row, "plain");
    unsigned flags = plain && plain->yes ? 0 : ENCODE_SPECIAL;
    int bad = 0;
    assert_int_equal(ids->text.n, (n_texts + BLOCK - 1) / BLOCK * 8);
    for (int i = 0; i < n_texts; i += BLOCK) {
        uint32_t h[3] = {0x811C9DC5u, 0x811C9DC5u, 0x811C9DC5u};
        struct arena_mark mark = arena_mark(&arena);
        for (int k = i; k < n_texts && k < i + BLOCK; k++) {
            struct ids got = encoded(t, k < texts->n ? texts->items[k].text : joined, flags, NULL);
            h[0] = fnv_ids(h[0], got);
            struct text s = decoded(t, got, false), without = decoded(t, got, true);
            h[1] = fnv(fnv(h[1], s.p, s.n), "", 1);
            h[2] = fnv(fnv(h[2], without.p, without.n), "", 1);
        }
        bad += !same_block(name, "the ids", ids, i / BLOCK, h[0]);
        bad += whole && !same_block(name, "the decoded texts", whole, i / BLOCK, h[1]);
        bad += shown && !same_block(name, "the decoded texts without special tokens", shown, i / BLOCK, h[2]);
        arena_back(&arena, mark);
    }
    return bad;
}

/* ---- small tokenizers ---- */

/* A value as it stands in the file: the fixtures' rows are written back, for they are small. */
static void put_json(struct buf *b, const struct json *v)
{
    if (!v || v->kind == JSON_NULL) buf_printf(b, "null");
    else if (v->kind == JSON_BOOL) buf_printf(b, v->yes ? "true" : "false");
    else if (v->kind == JSON_INT) json_put_int(b, v->integer);
    else if (v->kind == JSON_NUM) json_put_num(b, v->number);
    else if (v->kind == JSON_TEXT) json_put_text(b, v->text);
    else {
        buf_put(b, v->kind == JSON_ARRAY ? "[" : "{", 1);
        for (int i = 0; i < v->n; i++) {
            if (i) buf_put(b, ",", 1);
            if (v->kind == JSON_OBJECT) json_put_text(b, v->keys[i]), buf_put(b, ":", 1);
            put_json(b, &v->items[i]);
        }
        buf_put(b, v->kind == JSON_ARRAY ? "]" : "}", 1);
    }
}

static const struct { const char *mark, *key; } places[] = {
    {"\"@NORM@\"", "norm"}, {"\"@PRE@\"", "pre"}, {"\"@DEC@\"", "dec"}, {"\"@ADDED@\"", "added"}, {"\"@OPTIONS@\"", "options"}};

/* The base file with the row's parts in their places, written as tokenizer.json into the test's folder. */
static const char *placed(const struct json *row)
{
    struct text base;
    const char *path = arena_printf(&arena, "tests/golden/%s", json_get(row, "base")->text.p);
    if (!strstr(path, ".json")) return path;
    if (!file_read(&base, path, 1 << 20, &arena, &error)) fail_msg("%s", error.text);
    for (size_t i = 0; i < COUNT(places); i++) {
        const char *at = strstr(base.p, places[i].mark);
        struct buf b = buf_make(&arena), part = buf_make(&arena);
        assert_non_null(at);
        put_json(&part, json_get(row, places[i].key));
        bool is_options = i == 4; /* members, not an object */
        buf_put(&b, base.p, (size_t)(at - base.p));
        buf_put(&b, part.p + is_options, part.n - 2 * is_options);
        at += strlen(places[i].mark);
        buf_put(&b, at, base.n - (size_t)(at - base.p));
        base = buf_text(&b);
    }
    path = arena_printf(&arena, "%s/tokenizer.json", folder);
    if (!file_replace(path, base, &error)) fail_msg("%s", error.text);
    return path;
}

static const struct json *small_row(const char *name)
{
    const struct json *rows = json_get(golden("tokenizer_small.json"), "rows");
    for (int i = 0; i < rows->n; i++)
        if (text_is(json_get(&rows->items[i], "name")->text, name)) return &rows->items[i];
    fail_msg("no row %s", name);
    return NULL;
}

static struct tokenizer *small(const char *name) { return opened(placed(small_row(name))); }

static void ids_and_texts_equal_the_references_for_every_kind_of_step(void **state)
{
    (void)state;
    const struct json *rows = json_get(golden("tokenizer_small.json"), "rows");
    int bad = 0;
    assert_true(rows->n >= 40);
    for (int i = 0; i < rows->n; i++) {
        struct arena_mark mark = arena_mark(&arena);
        const struct json *row = &rows->items[i];
        bad += compare(opened(placed(row)), row, json_get(row, "name")->text.p);
        arena_back(&arena, mark);
    }
    assert_int_equal(bad, 0);
}

/* ---- real ones ---- */

static const char *material(const char *name)
{
    const char *root = getenv("HONE_MATERIAL");
    const char *path = path_join(&arena, strncmp(name, "tests/", 6) ? root ? root : "material" : NULL, name);
    if (path_exists(path)) return path;
    print_message("skipped: %s is not there (sh tests/material.sh fetches it)\n", path);
    return NULL;
}

/* Twenty lines of English, twenty of Chinese, in turn, until a megabyte is there. */
static struct text mixed(const char *en, const char *zh)
{
    enum { LINES = 20, ENOUGH = 1000000 };
    struct text part[2];
    struct buf out = buf_make(&arena);
    if (!file_read(&part[0], en, 1 << 20, &arena, &error) || !file_read(&part[1], zh, 1 << 20, &arena, &error))
        fail_msg("%s", error.text);
    while (part[0].n || part[1].n)
        for (int k = 0; k < 2; k++)
            for (int i = 0; i < LINES && part[k].n; i++) {
                const char *end = memchr(part[k].p, '\n', part[k].n);
                size_t n = end ? (size_t)(end - part[k].p) + 1 : part[k].n;
                buf_put(&out, part[k].p, n);
                if (!end) buf_put(&out, "\n", 1);
                part[k] = (struct text){part[k].p + n, part[k].n - n};
                if (out.n >= ENOUGH) return buf_text(&out);
            }
    return buf_text(&out);
}

static int compare_mixed(const struct tokenizer *t, const struct json *row, struct text s)
{
    const struct json *plain = json_get(row, "plain");
    struct ids ids = encoded(t, s, plain && plain->yes ? 0 : ENCODE_SPECIAL, NULL);
    char digits[9];
    snprintf(digits, sizeof digits, "%08x", fnv_ids(0x811C9DC5u, ids));
    if (ids.n == json_get(row, "mixed_ids")->integer && text_is(json_get(row, "mixed")->text, digits)) return 0;
    print_message("%s: the megabyte gives %lld ids, %lld were recorded\n", json_get(row, "file")->text.p, (long long)ids.n,
                  (long long)json_get(row, "mixed_ids")->integer);
    return 1;
}

static void real_tokenizers_equal_the_references(void **state)
{
    (void)state;
    const struct json *rows = json_get(golden("tokenizer_material.json"), "rows");
    const char *en = material("prose-en.txt"), *zh = material("prose-zh.txt");
    struct text prose = en && zh ? mixed(en, zh) : text_of("");
    int bad = 0, done = 0;
    for (int i = 0; i < rows->n; i++) {
        struct arena_mark mark = arena_mark(&arena);
        const char *name = json_get(&rows->items[i], "file")->text.p;
        const char *path = prose.n || strncmp(name, "tests/", 6) ? material(name) : NULL;
        if (path) {
            const struct tokenizer *t = opened(path);
            bad += compare(t, &rows->items[i], path);
            if (prose.n) bad += compare_mixed(t, &rows->items[i], prose);
            done++;
        }
        arena_back(&arena, mark);
    }
    assert_int_equal(bad, 0);
    if (!done) skip();
}

/* ---- behaviours ---- */

static void special_tokens_are_text_unless_asked_for(void **state)
{
    (void)state;
    const struct tokenizer *t = small("GPT-2's pattern");
    struct text s = text_of("<|im_start|>a<|im_end|>");
    int32_t start = tokenizer_find(t, text_of("<|im_start|>")), end = tokenizer_find(t, text_of("<|im_end|>"));
    int32_t a = tokenizer_find(t, text_of("a"));
    is_ids(encoded(t, s, ENCODE_SPECIAL, NULL), IDS(start, a, end));
    struct ids plain = encoded(t, s, 0, NULL);
    assert_true(plain.n > 10);
    assert_true(text_is(decoded(t, plain, true), "<|im_start|>a<|im_end|>"));
    assert_true(text_is(decoded(t, encoded(t, s, ENCODE_SPECIAL, NULL), true), "a"));
    assert_true(text_is(decoded(t, encoded(t, s, ENCODE_SPECIAL, NULL), false), "<|im_start|>a<|im_end|>"));
    assert_true(tokenizer_special(t, start) && !tokenizer_special(t, a));
    assert_false(tokenizer_special(t, -1) || tokenizer_special(t, 1 << 30));
    assert_true(text_is(tokenizer_piece(t, start), "<|im_start|>"));
    assert_int_equal(tokenizer_piece(t, 1 << 30).n, 0);
}

static void bytes_without_a_piece_are_counted(void **state)
{
    (void)state;
    const struct tokenizer *t = small("GPT-2's pattern");
    int64_t lost = 0;
    struct ids ids = encoded(t, text_of("a\x04\x06""b"), 0, &lost);
    assert_int_equal(lost, 2);
    assert_true(text_is(decoded(t, ids, true), "ab"));
    encoded(t, text_of("\xFF"), 0, &lost); /* counts are added */
    assert_int_equal(lost, 3);
    lost = 0;
    t = small("nothing for the unknown");
    encoded(t, text_of("a\xE2\x98\x83""b"), 0, &lost);
    assert_int_equal(lost, 3);
}

static void plain_bytes_come_back_as_they_were(void **state)
{
    (void)state;
    const char *path = arena_printf(&arena, "%s/tokenizer.json", folder);
    assert_true(file_replace(path, text_of("{\"model\": {\"type\": \"bytes\"}, \"added_tokens\": [{\"id\": 256, "
                                           "\"content\": \"<end>\", \"special\": true}]}"), &error));
    const struct tokenizer *t = opened(folder);
    assert_string_equal(tokenizer_about(t), "plain bytes, 257 ids");
    assert_int_equal(tokenizer_size(t), 257);
    is_ids(encoded(t, text_of("h\xC3\xA9<end>"), ENCODE_SPECIAL, NULL), IDS('h', 0xC3, 0xA9, 256));
    assert_true(text_is(decoded(t, encoded(t, text_of("h\xC3\xA9<end>"), ENCODE_SPECIAL, NULL), false), "h\xC3\xA9<end>"));
    assert_int_equal(tokenizer_find(t, text_of("<0x41>")), 'A');
    for (int i = 0; i < texts->n; i++) {
        struct text s = texts->items[i].text;
        assert_true(text_equal(decoded(t, encoded(t, s, 0, NULL), true), s));
    }
}

static void characters_spread_over_ids_appear_when_they_are_whole(void **state)
{
    (void)state;
    const struct tokenizer *t = small("LLaMA-2's normalisers");
    struct decoding d = {.skip_special = true};
    struct buf out = buf_make(&arena);
    static const unsigned char bytes[] = {0xE2, 0x98, 0x83};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(out.n, 0);
        tokenizer_decode_next(t, &d, tokenizer_find(t, text_of(arena_printf(&arena, "<0x%02X>", bytes[i]))), &out);
    }
    assert_true(text_is(buf_text(&out), "\xE2\x98\x83"));
    tokenizer_decode_next(t, &d, tokenizer_find(t, text_of("<0xE2>")), &out);
    assert_int_equal(out.n, 3);
    tokenizer_decode_end(t, &d, &out);
    assert_true(text_is(buf_text(&out), "\xE2\x98\x83\xEF\xBF\xBD"));
}

static void bytes_that_are_no_character_are_shown_as_the_references_do(void **state)
{
    (void)state;
    const struct tokenizer *t = small("LLaMA-2's normalisers");
    struct ids ids = {.a = &arena};
    ids_put(&ids, tokenizer_find(t, text_of("<0xE2>")));
    ids_put(&ids, tokenizer_find(t, text_of("<0x98>")));
    ids_put(&ids, tokenizer_find(t, text_of("a")));
    assert_true(text_is(decoded(t, ids, true), "\xEF\xBF\xBD\xEF\xBF\xBD""a")); /* one for each byte */
    ids.n = 2;
    ids_put(&ids, tokenizer_find(t, text_of("<0x41>")));
    assert_true(text_is(decoded(t, ids, true), "\xEF\xBF\xBD\xEF\xBF\xBD""A"));
    t = small("GPT-2's pattern");
    ids = encoded(t, text_of("\xE2\x98""a\xF0\x9F\x98"), 0, NULL);
    assert_true(text_is(decoded(t, ids, true), "\xEF\xBF\xBD""a\xEF\xBF\xBD")); /* one for each beginning */
}

static void a_text_that_goes_on_gets_no_space_before(void **state)
{
    (void)state;
    static const char *const names[] = {"LLaMA-2's normalisers", "Metaspace before the first", "Metaspace always, split",
                                        "SentencePiece merges", "SentencePiece nmt", "GPT-2's pattern with a space before"};
    for (size_t i = 0; i < COUNT(names); i++) {
        const struct tokenizer *t = small(names[i]);
        struct ids first = encoded(t, text_of("a"), 0, NULL), later = encoded(t, text_of("a"), ENCODE_CONTINUES, NULL);
        is_ids(later, IDS(tokenizer_find(t, text_of("a"))));
        assert_false(first.n == 1 && first.p[0] == later.p[0]);
        struct ids space = encoded(t, text_of(" a"), ENCODE_CONTINUES, NULL);
        assert_true(space.n == first.n && !memcmp(space.p, first.p, (size_t)first.n * sizeof *first.p));
    }
}

static void the_caller_may_pass_one_arena_for_everything(void **state)
{
    (void)state;
    const struct tokenizer *t = small("LLaMA-3's pattern");
    struct ids apart = encoded(t, text_of("The cat reads a book."), 0, NULL), same = {.a = &arena};
    assert_true(tokenizer_encode(t, &same, text_of("The cat reads a book."), 0, NULL, &arena, &error));
    is_ids(same, apart.p, (int)apart.n);
}

static void scratch_memory_is_given_back(void **state)
{
    (void)state;
    static const char *const names[] = {"DeepSeek's patterns", "the alphabet before other steps", "NFKC, lower case, stripped",
                                        "SentencePiece nmt", "Metaspace always, split"};
    for (size_t i = 0; i < COUNT(names); i++) {
        const struct tokenizer *t = small(names[i]);
        size_t used = scratch.used;
        for (int k = 0; k < 100; k++) encoded(t, texts->items[k].text, 0, NULL);
        assert_int_equal(scratch.used, used);
    }
}

/* What is quadratic takes minutes here and runs into the suite's timeout. */
static void a_megabyte_of_one_character_is_no_burden(void **state)
{
    (void)state;
    static const char *const characters[] = {"a", " ", "\xF0\x9F\x99\x82", "\n", "\xE4\xB8\xAD", "\xCC\x81", "\xFF", "'"};
    static const char *const names[] = {"GPT-2's pattern", "LLaMA-3's pattern", "DeepSeek's patterns", "Qwen's pattern and NFC",
                                        "LLaMA-2's normalisers", "unigram over whole texts", "SentencePiece merges", "SentencePiece nmt"};
    for (size_t i = 0; i < COUNT(names); i++) {
        const struct tokenizer *t = small(names[i]);
        for (size_t k = 0; k < COUNT(characters); k++) {
            struct arena_mark mark = arena_mark(&arena);
            struct buf s = buf_make(&arena);
            while (s.n < 1 << 20) buf_put(&s, characters[k], strlen(characters[k]));
            int64_t lost = 0;
            struct ids ids = encoded(t, buf_text(&s), 0, &lost);
            assert_true(ids.n + lost > 0 || *characters[k] == ' ' || *characters[k] == '\n');
            arena_back(&arena, mark);
        }
    }
}

/* ---- pieces ---- */

/* Stretches of the recorded texts, at any byte, one behind the other. */
static struct text shuffled(uint64_t seed)
{
    enum { STRETCHES = 12, LONGEST = 24 };
    struct buf b = buf_make(&arena);
    for (uint64_t i = 0; i < STRETCHES; i++) {
        size_t at = (size_t)(rand_unit(seed, 2 * i) * (double)(joined.n - LONGEST));
        buf_put(&b, joined.p + at, 1 + (size_t)(rand_unit(seed, 2 * i + 1) * LONGEST));
    }
    return buf_text(&b);
}

static bool same_ids(struct ids a, struct ids b)
{
    return a.n == b.n && (a.n == 0 || !memcmp(a.p, b.p, (size_t)a.n * sizeof *a.p));
}

static void words_seen_before_and_words_in_parts_give_the_ids_of_whole_ones(void **state)
{
    (void)state;
    enum { TEXTS = 150 };
    const struct json *rows = json_get(golden("tokenizer_small.json"), "rows");
    int in_parts = 0;
    for (int i = 0; i < rows->n; i++) {
        struct arena_mark mark = arena_mark(&arena);
        struct tokenizer *t = opened(placed(&rows->items[i]));
        in_parts += t->bpe.joins != NULL;
        for (uint64_t k = 0; t->model == MODEL_BPE && k < TEXTS; k++) {
            struct text s = shuffled(k);
            struct ids first = encoded(t, s, ENCODE_SPECIAL, NULL), again = encoded(t, s, ENCODE_SPECIAL, NULL);
            struct bpe bpe = t->bpe;
            t->bpe.seats = 0;
            struct ids uncached = encoded(t, s, ENCODE_SPECIAL, NULL);
            t->bpe.joins = NULL;
            struct ids whole = encoded(t, s, ENCODE_SPECIAL, NULL);
            t->bpe = bpe;
            assert_true(same_ids(first, whole) && same_ids(again, whole) && same_ids(uncached, whole));
        }
        arena_back(&arena, mark);
    }
    assert_true(in_parts > 5);
}

static void a_byte_without_a_piece_neither_parts_a_word_nor_hides_in_the_cache(void **state)
{
    (void)state;
    static const char json[] = /* the full stop of Chinese, alone and doubled; no other byte */
        "{\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false},\"model\":{\"type\":\"BPE\","
        "\"vocab\":{\"\u00e3\":0,\"\u0122\":1,\"\u0124\":2,\"\u00e3\u0122\":3,\"\u00e3\u0122\u0124\":4,"
        "\"\u00e3\u0122\u0124\u00e3\u0122\u0124\":5},"
        "\"merges\":[\"\u00e3 \u0122\",\"\u00e3\u0122 \u0124\",\"\u00e3\u0122\u0124 \u00e3\u0122\u0124\"]}}";
    const char *path = arena_printf(&arena, "%s/tokenizer.json", folder);
    if (!file_replace(path, text_of(json), &error)) fail_msg("%s", error.text);
    const struct tokenizer *t = opened(path);
    int64_t lost = 0;
    is_ids(encoded(t, TEXT("\u3002\x04\u3002" "a" "\u3002\x04\u3002"), 0, &lost), IDS(5, 5));
    assert_int_equal(lost, 3);
}

struct crowd { const struct tokenizer *t; uint32_t hash[64]; };

static void encode_in_crowd(void *arg, int part, int thread)
{
    (void)thread;
    struct crowd *c = arg;
    struct arena own = arena_make(0), mine = arena_make(0);
    struct ids ids = {.a = &own};
    struct err err;
    struct text s = {joined.p + part % 8 * 100, joined.n - 800};
    c->hash[part] = tokenizer_encode(c->t, &ids, s, 0, NULL, &mine, &err) ? fnv_ids(0x811C9DC5u, ids) : 0;
    arena_drop(&own), arena_drop(&mine);
}

static void threads_that_find_no_free_cache_give_the_same_ids(void **state)
{
    (void)state;
    struct tokenizer *t = small("LLaMA-3's pattern");
    struct crowd alone = {.t = t}, crowd = {.t = t};
    struct pool *pool = pool_make(4);
    t->bpe.seats = 1;
    pool_run(NULL, COUNT(alone.hash), encode_in_crowd, &alone);
    pool_run(pool, COUNT(crowd.hash), encode_in_crowd, &crowd);
    pool_drop(pool);
    assert_memory_equal(alone.hash, crowd.hash, sizeof alone.hash);
    assert_int_equal(alone.hash[0], alone.hash[8]);
    assert_int_not_equal(alone.hash[0], alone.hash[1]);
}

static void cut(const struct split *split, struct text s, struct buf *out)
{
    struct matching matching = {NULL, NULL};
    struct pieces w = {.split = split, .t = s, .matching = &matching, .err = &error};
    struct text piece;
    int got;
    while ((got = pieces_next(&w, &piece)) > 0) {
        buf_put(out, piece.p, piece.n);
        buf_put(out, "|", 1);
    }
    matching_end(&matching);
    assert_int_equal(got, 0);
}

/* A group around the whole regular expression hides it from the table of known ones. */
static void scanners_cut_as_their_regular_expressions_do(void **state)
{
    (void)state;
    static const char *const regexes[] = {
        "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
        "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
        "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
        "\\p{N}", "\\s"};
    const struct unicode *u = unicode_make(&arena);
    for (size_t i = 0; i < COUNT(regexes); i++) {
        struct split scanner = {.unicode = u}, regex = {.unicode = u};
        assert_true(split_regex(&scanner, text_of(regexes[i]), "t", &arena, &error));
        assert_true(split_regex(&regex, text_of(arena_printf(&arena, "(?:%s)", regexes[i])), "t", &arena, &error));
        assert_true(scanner.pattern != PATTERN_REGEX && regex.pattern == PATTERN_REGEX);
        for (int k = 0; k < texts->n; k++) {
            struct arena_mark mark = arena_mark(&arena);
            struct buf one = buf_make(&arena), other = buf_make(&arena);
            cut(&scanner, texts->items[k].text, &one);
            cut(&regex, texts->items[k].text, &other);
            if (!text_equal(buf_text(&one), buf_text(&other))) fail_msg("text %d: %s\nbut %s", k, one.p, other.p);
            arena_back(&arena, mark);
        }
    }
}

static void behaviours_join_and_drop_what_they_say(void **state)
{
    (void)state;
    static const struct { enum behaviour behaviour; bool invert; const char *pieces; } rows[] = {
        {SPLIT_ISOLATED, false, "-|-|a|-|bc|-|-|"}, {SPLIT_REMOVED, false, "a|bc|"}, {SPLIT_REMOVED, true, "-|-|-|-|-|"},
        {SPLIT_CONTIGUOUS, false, "--|a|-|bc|--|"}, {SPLIT_MERGED_WITH_PREVIOUS, false, "-|-|a-|bc-|-|"},
        {SPLIT_MERGED_WITH_NEXT, false, "-|-a|-bc|-|-|"}, {SPLIT_MERGED_WITH_PREVIOUS, true, "-|-a|-bc|-|-|"}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct split s = {.pattern = PATTERN_TEXT, .literal = TEXT("-"), .behaviour = rows[i].behaviour, .invert = rows[i].invert};
        struct buf out = buf_make(&arena);
        cut(&s, text_of("--a-bc--"), &out);
        if (!text_is(buf_text(&out), rows[i].pieces)) fail_msg("%s, not %s", out.p, rows[i].pieces);
    }
}

static void ill_formed_bytes_do_not_reach_the_regular_expression(void **state)
{
    (void)state;
    struct split s = {.unicode = unicode_make(&arena)};
    struct buf out = buf_make(&arena);
    assert_true(split_regex(&s, text_of("[a-c]+"), "t", &arena, &error));
    cut(&s, text_of("xab\xFF\xFE""abc\xE2\x98"), &out);
    assert_true(text_is(buf_text(&out), "x|ab|\xFF\xFE|abc|\xE2\x98|"));
}

/* ---- folders ---- */

static void write_in_folder(const char *name, const char *s)
{
    if (!file_replace(arena_printf(&arena, "%s/%s", folder, name), text_of(s), &error)) fail_msg("%s", error.text);
}

static void remove_in_folder(const char *name) { unlink(arena_printf(&arena, "%s/%s", folder, name)); }

static void the_files_beside_it_name_bos_eos_and_the_template(void **state)
{
    (void)state;
    placed(small_row("GPT-2's pattern"));
    write_in_folder("config.json", "{\"bos_token_id\": 1, \"eos_token_id\": [2, 0]}");
    const struct tokenizer *t = opened(folder);
    assert_true(tokenizer_bos(t) == 1 && tokenizer_eos(t) == 2 && !tokenizer_adds_bos(t));
    write_in_folder("special_tokens_map.json", "{\"eos_token\": {\"content\": \"<|endoftext|>\"}}");
    assert_int_equal(tokenizer_eos(opened(folder)), 0);
    write_in_folder("tokenizer_config.json", "{\"bos_token\": null, \"eos_token\": \"<|im_end|>\", \"add_bos_token\": true, "
                    "\"chat_template\": [{\"name\": \"tool\", \"template\": \"no\"}, {\"name\": \"default\", \"template\": \"yes\"}]}");
    t = opened(folder);
    assert_true(tokenizer_bos(t) == -1 && tokenizer_eos(t) == 2 && !tokenizer_adds_bos(t));
    assert_true(text_is(tokenizer_chat_template(t), "yes"));
    write_in_folder("tokenizer_config.json", "{\"bos_token\": \"<|im_start|>\", \"add_bos_token\": true, \"chat_template\": \"one\"}");
    t = opened(folder);
    assert_true(tokenizer_bos(t) == 1 && tokenizer_adds_bos(t));
    assert_true(text_is(tokenizer_chat_template(t), "one"));
    write_in_folder("chat_template.jinja", "file");
    assert_true(text_is(tokenizer_chat_template(opened(folder)), "file"));
    assert_int_equal(tokenizer_chat_template(opened(arena_printf(&arena, "%s/tokenizer.json", folder))).n, 0);
    remove_in_folder("config.json"), remove_in_folder("special_tokens_map.json");
    remove_in_folder("tokenizer_config.json"), remove_in_folder("chat_template.jinja");
}

static void tokens_added_to_a_sentencepiece_model_are_read(void **state)
{
    (void)state;
    struct text model;
    assert_true(file_read(&model, "tests/golden/tokenizer_merges.model", 1 << 20, &arena, &error));
    remove_in_folder("tokenizer.json");
    assert_true(file_replace(arena_printf(&arena, "%s/tokenizer.model", folder), model, &error));
    const struct tokenizer *t = opened(folder);
    int size = tokenizer_size(t), bos = tokenizer_bos(t);
    char hash[33];
    memcpy(hash, tokenizer_hash(t), sizeof hash);
    assert_true(bos == 1 && tokenizer_eos(t) == 2 && tokenizer_adds_bos(t));
    is_ids(encoded(t, text_of("<s>a"), ENCODE_SPECIAL, NULL), IDS(1, tokenizer_find(t, text_of("\xE2\x96\x81""a"))));
    write_in_folder("added_tokens.json", arena_printf(&arena, "{\"<mine>\": %d}", size));
    write_in_folder("tokenizer_config.json", arena_printf(&arena, "{\"legacy\": false, \"add_bos_token\": false, \"added_tokens_decoder\": "
                    "{\"1\": {\"content\": \"<s>\", \"special\": true}, \"%d\": {\"content\": \"<next>\", \"special\": false}}}", size + 1));
    t = opened(folder);
    assert_int_equal(tokenizer_size(t), size + 2);
    assert_false(tokenizer_adds_bos(t));
    assert_string_not_equal(tokenizer_hash(t), hash);
    int32_t a = tokenizer_find(t, text_of("a"));
    is_ids(encoded(t, text_of("<mine>a<next>"), ENCODE_SPECIAL, NULL), IDS(size, a, size + 1)); /* not legacy: no space after <mine> */
    remove_in_folder("added_tokens.json"), remove_in_folder("tokenizer_config.json"), remove_in_folder("tokenizer.model");
}

static void classes_are_those_of_unicode_16(void **state)
{
    (void)state;
    int letters = 0, numbers = 0, spaces = 0;
    for (int32_t c = 0; c < 0x110000; c++) {
        int class = unicode_class(c);
        letters += (class & CLASS_LETTER) != 0;
        numbers += (class & CLASS_NUMBER) != 0;
        spaces += (class & CLASS_SPACE) != 0;
    }
    assert_int_equal(letters, 141028);
    assert_int_equal(numbers, 1911);
    assert_int_equal(spaces, 25);
}

static int setup(void **state)
{
    (void)state;
    arena = arena_make(0);
    scratch = arena_make(0);
    if (!mkdtemp(folder)) return 1;
    texts = golden("tokenizer_texts.json");
    n_texts = texts->n + 1;
    struct buf b = buf_make(&arena);
    for (int i = 0; i < texts->n; i++) buf_printf(&b, "%s", i ? "\n\n" : ""), buf_put(&b, texts->items[i].text.p, texts->items[i].text.n);
    joined = buf_text(&b);
    return 0;
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
        cmocka_unit_test(ids_and_texts_equal_the_references_for_every_kind_of_step),
        cmocka_unit_test(real_tokenizers_equal_the_references),
        cmocka_unit_test(special_tokens_are_text_unless_asked_for),
        cmocka_unit_test(bytes_without_a_piece_are_counted),
        cmocka_unit_test(plain_bytes_come_back_as_they_were),
        cmocka_unit_test(characters_spread_over_ids_appear_when_they_are_whole),
        cmocka_unit_test(bytes_that_are_no_character_are_shown_as_the_references_do),
        cmocka_unit_test(a_text_that_goes_on_gets_no_space_before),
        cmocka_unit_test(the_caller_may_pass_one_arena_for_everything),
        cmocka_unit_test(scratch_memory_is_given_back),
        cmocka_unit_test(a_megabyte_of_one_character_is_no_burden),
        cmocka_unit_test(words_seen_before_and_words_in_parts_give_the_ids_of_whole_ones),
        cmocka_unit_test(a_byte_without_a_piece_neither_parts_a_word_nor_hides_in_the_cache),
        cmocka_unit_test(threads_that_find_no_free_cache_give_the_same_ids),
        cmocka_unit_test(scanners_cut_as_their_regular_expressions_do),
        cmocka_unit_test(behaviours_join_and_drop_what_they_say),
        cmocka_unit_test(ill_formed_bytes_do_not_reach_the_regular_expression),
        cmocka_unit_test(the_files_beside_it_name_bos_eos_and_the_template),
        cmocka_unit_test(tokens_added_to_a_sentencepiece_model_are_read),
        cmocka_unit_test(classes_are_those_of_unicode_16)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
