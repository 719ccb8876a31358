/* t_gguf.c - the block types of GGUF, and hostile files: each refused in a sentence, nothing left behind.
 *
 * tests/golden/quants.py recorded quants.bin and tiny.gguf with the gguf package. */
#include "tests/format/import_test.h"
#include "engine/format/gguf.h"
#include <math.h>

/* ---- blocks ---- */

static void blocks_equal_the_gguf_package_to_the_last_bit(void **state)
{
    (void)state;
    struct text t = whole("tests/golden/quants.bin");
    int types = 0;
    for (size_t i = 0; i < t.n; types++) {
        uint32_t head[3];
        memcpy(head, t.p + i, sizeof head);
        const struct block *b = ggml_block(head[0]);
        assert_non_null(b);
        assert_int_equal(head[1] / (uint32_t)b->elements * (uint32_t)b->bytes, head[2]);
        float *out = NEW_N(&arena, float, head[1]);
        ggml_widen(out, t.p + i + 12, head[1], head[0]);
        if (memcmp(out, t.p + i + 12 + head[2], head[1] * 4) != 0) print_message("%s differs\n", b->name);
        assert_memory_equal(out, t.p + i + 12 + head[2], head[1] * 4);
        i += 12 + head[2] + head[1] * 4;
    }
    assert_int_equal(types, 9);
}

static void q8_0_rounds_as_ggml(void **state)
{
    (void)state;
    float in[64] = {0}, out[64];
    uint8_t blocks[68];
    for (int i = 0; i < 32; i++) in[i] = (float)(i - 16) * 0.125f + (i == 3 ? 0.01f : 0);
    in[31] = -12.7f;
    q8_0_narrow(blocks, in, 64);
    assert_int_equal((int8_t)blocks[2 + 31], -127);
    assert_int_equal((int8_t)blocks[2], -20);
    ggml_widen(out, blocks, 64, GGML_Q8_0);
    for (int i = 0; i < 64; i++) assert_true(fabsf(out[i] - in[i]) <= 0.06f);
    for (int i = 32; i < 64; i++) assert_true(out[i] == 0);
}

/* ---- hostile files ---- */

static void every_cut_of_a_gguf_is_refused(void **state)
{
    (void)state;
    struct text t = whole("tests/golden/tiny.gguf");
    for (size_t n = 0; n < t.n; n += n < 400 ? 1 : n < 12000 ? 97 : 7919) {
        put_file(at("cut.gguf"), t.p, n);
        assert_false(imports(at("cut.gguf"), at("never")));
    }
}

static void flipped_bytes_are_refused_or_harmless(void **state)
{
    (void)state;
    struct text t = whole("tests/golden/tiny.gguf");
    char *copy = arena_take(&arena, 1, t.n);
    for (uint64_t i = 0; i < 1200; i++) {
        memcpy(copy, t.p, t.n);
        for (uint64_t k = 0; k < 1 + i % 3; k++) copy[rand_at(9, 8 * i + k) % 10000] = (char)rand_at(9, 8 * i + 4 + k);
        put_file(at("flip.gguf"), copy, t.n);
        char *to = fresh();
        if (imports(at("flip.gguf"), to)) assert_true(dir_remove(to, &error));
    }
}

static void u64(struct buf *b, uint64_t v) { buf_put(b, (char *)&v, 8); }
static void txt(struct buf *b, const char *s) { u64(b, strlen(s)); buf_put(b, s, strlen(s)); }
static void key(struct buf *b, const char *k, uint32_t kind) { txt(b, k); u32(b, kind); }

static struct buf gguf_head(uint32_t version, uint64_t tensors, uint64_t entries)
{
    struct buf b = buf_make(&arena);
    buf_put(&b, "GGUF", 4);
    u32(&b, version);
    u64(&b, tensors);
    u64(&b, entries);
    return b;
}

static void refused_bytes(struct buf b, const char *says)
{
    while (b.n < 400) buf_put(&b, "\0", 1);
    put_file(at("h.gguf"), b.p, b.n);
    refused(at("h.gguf"), says);
}

static void lying_counts_are_refused_before_they_are_believed(void **state)
{
    (void)state;
    refused_bytes(gguf_head(1, 0, 0), "version 1; versions 2 and 3");
    refused_bytes(gguf_head(4, 0, 0), "version 4");
    refused_bytes(gguf_head(0x03000000, 0, 0), "big-endian");
    refused_bytes(gguf_head(3, 1ull << 60, 0), "at most 65536");
    refused_bytes(gguf_head(3, 0, UINT64_MAX), "at most 65536");
    refused_bytes(gguf_head(3, 65536, 65536), "cut short");
    struct buf b = gguf_head(3, 0, 1);
    u64(&b, UINT64_MAX - 8);
    refused_bytes(b, "cut short");
    b = gguf_head(3, 0, 1), key(&b, "", 4);
    refused_bytes(b, "a key has 0 bytes");
    b = gguf_head(3, 0, 1), key(&b, "k", 99);
    refused_bytes(b, "unknown kind 99");
    b = gguf_head(3, 0, 1), key(&b, "k", GGUF_ARRAY), u32(&b, GGUF_ARRAY), u64(&b, 1);
    refused_bytes(b, "array of kind 9");
    b = gguf_head(3, 0, 1), key(&b, "k", GGUF_ARRAY), u32(&b, GGUF_U64), u64(&b, 1ull << 61);
    refused_bytes(b, "at most 16777216");
    b = gguf_head(3, 0, 1), key(&b, "k", GGUF_ARRAY), u32(&b, GGUF_TEXT), u64(&b, 1 << 24);
    refused_bytes(b, "cut short");
    b = gguf_head(3, 0, 1), key(&b, "k", GGUF_ARRAY), u32(&b, GGUF_U32), u64(&b, 1 << 20);
    refused_bytes(b, "cut short");
    b = gguf_head(3, 0, 1), key(&b, "k", GGUF_U64);
    put_file(at("h.gguf"), b.p, b.n);
    refused(at("h.gguf"), "cut short");
    b = gguf_head(3, 0, 2), key(&b, "k\x1b[2J", GGUF_U8), buf_put(&b, "\1", 1), key(&b, "k\x1b[2J", GGUF_U8), buf_put(&b, "\1", 1);
    refused_bytes(b, "twice");
    assert_null(strchr(error.text, 0x1b));
    b = gguf_head(3, 0, 1), key(&b, "general.alignment", GGUF_U32), u32(&b, 24);
    refused_bytes(b, "no power of two");
    b = gguf_head(3, 0, 1), key(&b, "general.alignment", GGUF_TEXT), txt(&b, "x");
    refused_bytes(b, "general.alignment is a text; it must be a whole number");
    refused_bytes(gguf_head(3, 0, 0), "no vocabulary");
    b = gguf_head(3, 0, 1), key(&b, "split.count", GGUF_U16), buf_put(&b, "\3\0", 2);
    refused_bytes(b, "one of 3 parts");
}

static void only_gguf_is_opened_as_gguf(void **state)
{
    (void)state;
    struct gguf g;
    assert_false(gguf_open(&g, "tests/golden/quants.bin", &arena, &error));
    assert_non_null(strstr(error.text, "does not begin with GGUF"));
}

static struct buf with_tensor(uint32_t rank, const uint64_t *dims, uint32_t type, uint64_t offset)
{
    struct buf b = gguf_head(3, 1, 1);
    key(&b, "general.architecture", GGUF_TEXT), txt(&b, "llama");
    txt(&b, "t");
    u32(&b, rank);
    for (uint32_t i = 0; i < rank && i < 8; i++) u64(&b, dims[i]);
    u32(&b, type);
    u64(&b, offset);
    return b;
}

static void lying_tensors_are_refused(void **state)
{
    (void)state;
    static const uint64_t small[] = {32, 1, 1, 1, 1, 1, 1, 1}, wraps[] = {1ull << 32, 1ull << 32, 1, 1}, huge[] = {1ull << 63, 2};
    static const uint64_t big[] = {1 << 20, 1 << 20}, none[] = {0, 4}, odd[] = {33, 1};
    refused_bytes(with_tensor(0, small, 0, 0), "0 dimensions");
    refused_bytes(with_tensor(5, small, 0, 0), "5 dimensions; 1 to 4");
    refused_bytes(with_tensor(2, wraps, 0, 0), "too large");
    refused_bytes(with_tensor(2, huge, 0, 0), "too large");
    refused_bytes(with_tensor(2, none, 0, 0), "is 0 or too large");
    refused_bytes(with_tensor(2, big, 0, 0), "cut short");
    refused_bytes(with_tensor(2, odd, GGML_Q8_0, 0), "no multiple of the 32");
    refused_bytes(with_tensor(2, small, 6, 0), "is Q5_0; F32, F16, BF16");
    refused_bytes(with_tensor(2, small, 4242, 0), "unknown type");
    refused_bytes(with_tensor(2, small, 0, 7), "no multiple of 32");
    refused_bytes(with_tensor(2, small, 0, UINT64_MAX - 31), "begins at byte");
    refused_bytes(with_tensor(2, small, 0, 320), "cut short");
    struct buf b = with_tensor(1, small, 0, 0);
    char *name = memmem(b.p, b.n, "\1\0\0\0\0\0\0\0t", 9);
    name[8] = 0;
    refused_bytes(b, "a tensor's name has 1 bytes; 1 to 512 without NUL");
    refused_bytes(with_tensor(1, small, 0, 0), "no tensor token_embd.weight");
}

#define BYTES(s) s, sizeof(s) - 1
static void other_files_are_named(void **state)
{
    (void)state;
    static const struct { const char *bytes; size_t n; const char *says; } rows[] = {
        {BYTES("PK\3\4archive...."), "pickle"}, {BYTES("\x80\2}q\0........................."), "pickle"},
        {BYTES("tjgg................................"), "before GGUF"}, {BYTES(""), "0 bytes"}, {BYTES("abc"), "3 bytes"},
        {BYTES("a text that is no model at all, but long enough"), "none of the files that hone imports"}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        put_file(at("other.bin"), rows[i].bytes, rows[i].n);
        refused(at("other.bin"), rows[i].says);
    }
    assert_int_equal(mkfifo(at("fifo.gguf"), 0600), 0);
    refused(at("fifo.gguf"), "FIFO");
    refused(dir, "folder");
    refused(at("missing.gguf"), "missing.gguf");
}

/* Another u32 behind a key's kind (4 bytes) or in a tensor's row: its rank (4 bytes), dimensions (8 each), type. */
static void change_number(struct text t, const char *after, size_t skip_bytes, uint32_t v)
{
    char *p = memmem((void *)(uintptr_t)t.p, t.n, after, strlen(after));
    assert_non_null(p);
    memcpy(p + strlen(after) + skip_bytes, &v, 4);
}

static void refused_change(const char *from, const char *to, size_t n, const char *says)
{
    struct text t = whole("tests/golden/tiny.gguf");
    change(t, from, to, n);
    refused_text(t, says);
}

static void numbers_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    static const struct { const char *after; size_t skip_bytes; uint32_t v; const char *says; } rows[] = {
        {"llama.attention.value_length", 4, 16, "keys have 32 dimensions, values 16"},
        {"llama.attention.value_length", 4, 0, "value_length is 0; it must be 1 to"},
        {"llama.rope.dimension_count", 4, 16, "16 are rotated"}, {"llama.rope.dimension_count", 4, 0, "it must be 1 to"},
        {"llama.attention.head_count", 4, 0, "it must be 1 to"}, {"llama.attention.head_count_kv", 4, 3, "no multiple of 3"},
        {"llama.block_count", 4, 5, "a model of 5 layers has"}, {"llama.block_count", 4, 1 << 20, "it must be 1 to 1024"},
        {"llama.embedding_length", 4, 128, "tensor token_embd.weight has rows of 256"},
        {"tokenizer.ggml.bos_token_id", 4, 268, "but there are 268 tokens"},
        {"blk.0.attn_norm.weight", 12, GGML_Q8_0, "norms and biases are read from F32, F16 and BF16"},
        {"rope_freqs.weight", 12, GGML_F16, "16 numbers of F16 where 16 of F32"}, {"rope_freqs.weight", 4, 15, "has 15 numbers"}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct text t = whole("tests/golden/tiny.gguf");
        change_number(t, rows[i].after, rows[i].skip_bytes, rows[i].v);
        refused_text(t, rows[i].says);
    }
    struct text t = whole("tests/golden/tiny.gguf");
    change(t, "llama.attention.key_length", "llama.attention.kez_length", 26);
    change_number(t, "llama.attention.head_count", 4, 3);
    refused_text(t, "256 is no multiple of 3 heads");
    t = whole("tests/golden/tiny.gguf");
    change_number(t, "token_embd.weight", 12, 200);
    change_number(t, "output.weight", 12, 200);
    refused_text(t, "268 tokens but the embedding has 200 rows");
}

/* A vocabulary of two tokens; types, scores and merges as given. */
static struct buf two_tokens(const char *model, const char *array, uint32_t of, uint32_t n)
{
    struct buf b = gguf_head(3, 0, 3);
    key(&b, "tokenizer.ggml.model", GGUF_TEXT), txt(&b, model);
    key(&b, "tokenizer.ggml.tokens", GGUF_ARRAY), u32(&b, GGUF_TEXT), u64(&b, 2), txt(&b, "a"), txt(&b, "b");
    key(&b, array, GGUF_ARRAY), u32(&b, of), u64(&b, n);
    for (uint32_t i = 0; i < n; i++)
        if (of == GGUF_TEXT) txt(&b, "ab");
        else u32(&b, 1);
    return b;
}

static void vocabularies_that_contradict_themselves_are_refused(void **state)
{
    (void)state;
    refused_bytes(two_tokens("gpt2", "tokenizer.ggml.token_type", GGUF_I32, 1), "2 tokens but 1 token types");
    refused_bytes(two_tokens("gpt2", "tokenizer.ggml.token_type", GGUF_F32, 2), "an array of whole numbers");
    refused_bytes(two_tokens("gpt2", "tokenizer.ggml.merges", GGUF_TEXT, 1), "merge 0 is \"ab\", not two tokens");
    refused_bytes(two_tokens("gpt2", "tokenizer.ggml.merges", GGUF_I32, 1), "an array of texts");
    refused_bytes(two_tokens("llama", "tokenizer.ggml.scores", GGUF_F32, 1), "2 tokens but 1 scores");
    refused_bytes(two_tokens("llama", "tokenizer.ggml.scores", GGUF_I32, 2), "an array of numbers");
    refused_bytes(two_tokens("llama", "x", GGUF_I32, 2), "2 tokens but 0 scores");
}

static void what_the_family_is_not_is_refused_by_name(void **state)
{
    (void)state;
    refused_change("llama-bpe", "klingon-x", 9, "pre-tokenizer \"klingon-x\" is not known; known are gpt-2");
    refused_change("\x05\0\0\0\0\0\0\0llama", "\x05\0\0\0\0\0\0\0qwen2", 13, "family \"qwen2\"");
    refused_change("\x04\0\0\0\0\0\0\0gpt2", "\x04\0\0\0\0\0\0\0bert", 12, "kind \"bert\"");
    refused_change("blk.0.ffn_up.weight", "blk.1.ffn_up.weight", 19, "no tensor blk.0.ffn_up.weight");
    refused_change("blk.0.attn_v.bias", "blk.0.attn_v.biaz", 17, "no tensor blk.0.attn_v.bias");
    refused_change("llama.block_count", "llama.block_kount", 17, "no entry llama.block_count");
    refused_change("rope_freqs.weight", "rope_freks.weight", 17, "is none of the LLaMA family");
    refused_change("\xC4\xA0t he", "\xC4\xA0q he", 6, "are no tokens");
    refused_change("<turn>", "<user>", 6, "twice, as 264 and 265");
    refused_change("<turn>", "\xFFturn>", 6, "token 264 is not UTF-8");
}

static int all(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_equal_the_gguf_package_to_the_last_bit),
        cmocka_unit_test(q8_0_rounds_as_ggml),
        cmocka_unit_test(every_cut_of_a_gguf_is_refused),
        cmocka_unit_test(flipped_bytes_are_refused_or_harmless),
        cmocka_unit_test(lying_counts_are_refused_before_they_are_believed),
        cmocka_unit_test(only_gguf_is_opened_as_gguf),
        cmocka_unit_test(lying_tensors_are_refused),
        cmocka_unit_test(other_files_are_named),
        cmocka_unit_test(what_the_family_is_not_is_refused_by_name),
        cmocka_unit_test(numbers_that_do_not_fit_are_refused),
        cmocka_unit_test(vocabularies_that_contradict_themselves_are_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void) { return run_in_folder(all); }
