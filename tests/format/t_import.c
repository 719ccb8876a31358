/* t_import.c - GGUF and llama2.c files become folders, and folders GGUF.
 *
 * tests/golden/quants.py recorded tiny.gguf and tiny.txt with the gguf package. With HONE_MATERIAL (a
 * folder with the files of material "model" and "vocab") the real ones are read too. */
#include "tests/format/import_test.h"
#include "engine/format/gguf.h"
#include "engine/format/json.h"
#include "engine/format/tokenizer.h"

/* ---- tiny.gguf ---- */

static void check_hashes(const char *folder, const char *list)
{
    struct tensors t;
    struct text lines = whole(list);
    int n = 0;
    works(tensors_open(&t, folder, &arena, &error));
    for (const char *p = lines.p; p < lines.p + lines.n; p = strchr(p, '\n') + 1, n++) {
        char name[128], want[64], got[33];
        assert_int_equal(sscanf(p, "%127s %63s", name, want), 2);
        const struct tensor *x = tensors_find(&t, name);
        assert_non_null(x);
        float *out = NEW_N(&arena, float, x->elements);
        works(tensors_read_f32(&t, x, 0, x->elements, out, &error));
        struct hash h;
        hash_start(&h, &arena);
        hash_add(&h, out, (size_t)x->elements * 4);
        if (strcmp(hash_text(&h, got), want) != 0) print_message("%s\n", name);
        assert_string_equal(got, want);
    }
    assert_int_equal(n, t.n);
    tensors_close(&t);
}

static void a_gguf_becomes_a_folder_with_exact_weights(void **state)
{
    (void)state;
    works(imports("tests/golden/tiny.gguf", at("tiny")));
    check_hashes(at("tiny"), "tests/golden/tiny.txt");
    struct stat st;
    assert_int_equal(stat(at("tiny/config.json"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void the_config_says_what_the_entries_said(void **state)
{
    (void)state;
    static const struct { const char *key; int64_t v; } rows[] = {
        {"hidden_size", 256}, {"intermediate_size", 32}, {"num_hidden_layers", 1}, {"num_attention_heads", 4},
        {"num_key_value_heads", 2}, {"head_dim", 32}, {"vocab_size", 268}, {"max_position_embeddings", 4096},
        {"bos_token_id", 262}, {"eos_token_id", 263}, {"pad_token_id", 266}};
    const struct json *c, *g;
    works(json_read(&c, at("tiny/config.json"), (struct json_limits){0}, &arena, &error));
    for (size_t i = 0; i < COUNT(rows); i++) assert_int_equal(json_get(c, rows[i].key)->integer, rows[i].v);
    assert_true(text_is(json_get(c, "model_type")->text, "llama"));
    assert_true(json_get(c, "rms_norm_eps")->number == 1e-6);
    assert_true(json_get(c, "rope_theta")->number == 500000);
    assert_true(json_get(c, "attention_bias")->yes && !json_get(c, "mlp_bias")->yes && !json_get(c, "tie_word_embeddings")->yes);
    const struct json *rope = json_get(c, "rope_scaling");
    assert_true(text_is(json_get(rope, "rope_type")->text, "llama3"));
    assert_true(json_get(rope, "factor")->number == 8 && json_get(rope, "low_freq_factor")->number == 1);
    assert_true(json_get(rope, "high_freq_factor")->number == 4);
    assert_int_equal(json_get(rope, "original_max_position_embeddings")->integer, 8192);
    works(json_read(&g, at("tiny/generation_config.json"), (struct json_limits){0}, &arena, &error));
    assert_int_equal(json_get(g, "eos_token_id")->items[1].integer, 264);
}

static void the_tokenizer_comes_along(void **state)
{
    (void)state;
    struct tokenizer *t;
    struct ids ids = {.a = &arena};
    works(tokenizer_open(&t, at("tiny"), &arena, &error));
    assert_int_equal(tokenizer_bos(t), 262);
    assert_int_equal(tokenizer_eos(t), 263);
    assert_true(tokenizer_adds_bos(t));
    assert_true(tokenizer_special(t, 264));
    assert_false(tokenizer_special(t, 265));
    assert_non_null(strstr(tokenizer_chat_template(t).p, "<turn>"));
    works(tokenizer_encode(t, &ids, TEXT("in the<turn> thing"), ENCODE_SPECIAL, NULL, &arena, &error));
    struct buf b = buf_make(&arena);
    for (int64_t i = 0; i < ids.n; i++) {
        struct text p = tokenizer_piece(t, ids.p[i]);
        buf_printf(&b, "%.*s|", (int)p.n, p.p);
    }
    assert_string_equal(b.p, "in|\xC4\xA0the|<turn>|\xC4\xA0t|h|ing|");
}

static void bf16_is_the_rounded_value(void **state)
{
    (void)state;
    struct import_options half = {.type = T_BF16};
    struct tensors a, b;
    works(import_model("tests/golden/tiny.gguf", at("half"), &half, &arena, &error));
    works(tensors_open(&a, at("tiny"), &arena, &error));
    works(tensors_open(&b, at("half"), &arena, &error));
    for (int i = 0; i < a.n; i++) {
        int64_t n = a.list[i].elements;
        float *x = NEW_N(&arena, float, n), *y = NEW_N(&arena, float, n);
        assert_int_equal(b.list[i].type, T_BF16);
        works(tensors_read_f32(&a, &a.list[i], 0, n, x, &error) && tensors_read_f32(&b, &b.list[i], 0, n, y, &error));
        for (int64_t k = 0; k < n; k++) assert_true(y[k] == bf16_to_f32(f32_to_bf16(x[k])));
    }
    tensors_close(&a);
    tensors_close(&b);
}

static void an_existing_folder_is_never_replaced(void **state)
{
    (void)state;
    assert_false(imports("tests/golden/tiny.gguf", at("tiny")));
    assert_non_null(strstr(error.text, "exists; name a new folder"));
    assert_int_equal(symlink("nowhere", at("dangling")), 0);
    assert_false(imports("tests/golden/tiny.gguf", at("dangling")));
    assert_false(path_exists(at("nowhere")));
    works(imports("tests/golden/tiny.gguf", at("slashed//")));
    assert_true(path_exists(at("slashed/config.json")));
}

static int64_t told_all, told_last;
static void tell(void *arg, int64_t done, int64_t all)
{
    assert_ptr_equal(arg, &arena);
    assert_true(done > told_last && done <= all);
    told_last = done;
    told_all = all;
}

static void progress_reaches_the_end(void **state)
{
    (void)state;
    struct import_options o = {.type = T_F32, .progress = tell, .arg = &arena};
    works(import_model("tests/golden/tiny.gguf", fresh(), &o, &arena, &error));
    assert_true(told_all > 0 && told_last == told_all);
}

/* ---- llama2.c ---- */

enum { DIM = 16, INNER = 24, LAYERS = 2, HEADS = 4, KV = 2, WORDS = 266, CONTEXT = 32, HEAD = DIM / HEADS };

static void put_floats(struct buf *b, uint64_t stream, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        float v = (float)(rand_unit(stream, i) - 0.5);
        buf_put(b, (char *)&v, 4);
    }
}

/* Streams: 100 * row of the file's order + layer. */
static const size_t sizes_0[] = {WORDS * DIM, DIM, DIM * DIM, KV *HEAD *DIM, KV *HEAD *DIM, DIM *DIM, DIM, INNER *DIM, DIM *INNER, INNER *DIM};

static struct buf llama2c_file(int version, bool untied)
{
    static const int order_0[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, order_1[] = {1, 6, 10, 0, 2, 3, 4, 5, 7, 8, 9};
    struct buf b = buf_make(&arena);
    int32_t head[7] = {DIM, INNER, LAYERS, HEADS, KV, untied && !version ? -WORDS : WORDS, CONTEXT};
    if (version) u32(&b, 0x616b3432), u32(&b, 1);
    buf_put(&b, (char *)head, sizeof head);
    if (version) buf_put(&b, untied ? "\0" : "\1", 1);
    while (version && b.n < 256) buf_put(&b, "\0", 1);
    for (size_t k = 0; k < (version ? COUNT(order_1) : COUNT(order_0)); k++) {
        int row = version ? order_1[k] : order_0[k];
        for (int layer = 0; layer < (row == 0 || row == 10 ? 1 : LAYERS); layer++)
            put_floats(&b, (uint64_t)(100 * row + layer), row == 10 ? DIM : sizes_0[row]);
    }
    if (!version) put_floats(&b, 1000, DIM), put_floats(&b, 5, CONTEXT * HEAD);
    if (untied) put_floats(&b, 1100, WORDS * DIM);
    return b;
}

static struct buf llama2c_tokenizer(int words)
{
    struct buf b = buf_make(&arena);
    u32(&b, 7);
    for (int i = 0; i < words; i++) {
        static const char *const first[] = {"<unk>", "\n<s>\n", "\n</s>\n"}, *const last[] = {" ", "h", "i", "hi", " hi", "e", "t"};
        char name[16];
        float score = i < 259 ? 0 : -(float)i;
        if (i < 3) snprintf(name, sizeof name, "%s", first[i]);
        else if (i < 259) snprintf(name, sizeof name, "<0x%02X>", (unsigned)i - 3);
        else snprintf(name, sizeof name, "%s", last[i - 259]);
        buf_put(&b, (char *)&score, 4);
        u32(&b, (uint32_t)strlen(name));
        buf_put(&b, name, strlen(name));
    }
    return b;
}

static void check_stream(struct tensors *t, const char *name, uint64_t stream, int heads)
{
    const struct tensor *x = tensors_find(t, name);
    assert_non_null(x);
    float *out = NEW_N(&arena, float, x->elements);
    works(tensors_read_f32(t, x, 0, x->elements, out, &error));
    int64_t columns = x->rank == 2 ? x->dims[1] : 1;
    for (int64_t i = 0; i < x->elements; i++) {
        int64_t row = i / columns, from = row;
        if (heads) { /* row j * half + i of a head was row 2 * i + j */
            int64_t in_head = row % HEAD;
            from = row - in_head + 2 * (in_head % (HEAD / 2)) + in_head / (HEAD / 2);
        }
        assert_true(out[i] == (float)(rand_unit(stream, (uint64_t)(from * columns + i % columns)) - 0.5));
    }
}

static void check_llama2c(const char *folder, bool untied)
{
    struct tensors t;
    works(tensors_open(&t, folder, &arena, &error));
    assert_int_equal(t.n, 2 + untied + 9 * LAYERS);
    check_stream(&t, "model.embed_tokens.weight", 0, 0);
    check_stream(&t, "model.norm.weight", 1000, 0);
    if (untied) check_stream(&t, "lm_head.weight", 1100, 0);
    static const struct { const char *name; int row, heads; } rows[] = {
        {"input_layernorm.weight", 1, 0}, {"self_attn.q_proj.weight", 2, HEADS}, {"self_attn.k_proj.weight", 3, KV},
        {"self_attn.v_proj.weight", 4, 0}, {"self_attn.o_proj.weight", 5, 0}, {"post_attention_layernorm.weight", 6, 0},
        {"mlp.gate_proj.weight", 7, 0}, {"mlp.down_proj.weight", 8, 0}, {"mlp.up_proj.weight", 9, 0}};
    for (int layer = 0; layer < LAYERS; layer++)
        for (size_t i = 0; i < COUNT(rows); i++)
            check_stream(&t, arena_printf(&arena, "model.layers.%d.%s", layer, rows[i].name),
                         (uint64_t)(100 * rows[i].row + layer), rows[i].heads);
    tensors_close(&t);
}

static void llama2c_files_of_both_versions_become_folders(void **state)
{
    (void)state;
    struct buf vocabulary = llama2c_tokenizer(WORDS);
    put_file(at("tokenizer.bin"), vocabulary.p, vocabulary.n);
    for (int version = 0; version < 2; version++)
        for (int untied = 0; untied < 2; untied++) {
            struct buf b = llama2c_file(version, untied);
            char *to = fresh();
            put_file(at("stories.bin"), b.p, b.n);
            works(imports(at("stories.bin"), to));
            check_llama2c(to, untied);
            struct tokenizer *t;
            struct ids ids = {.a = &arena};
            works(tokenizer_open(&t, to, &arena, &error));
            works(tokenizer_encode(t, &ids, TEXT("hi hi\n"), 0, NULL, &arena, &error));
            static const int32_t want[] = {263, 263, 13};
            assert_int_equal(ids.n, 3);
            assert_memory_equal(ids.p, want, sizeof want);
            assert_int_equal(tokenizer_bos(t), 1);
            assert_int_equal(tokenizer_eos(t), 2);
        }
}

static void bad_llama2c_files_are_refused(void **state)
{
    (void)state;
    struct buf b = llama2c_file(1, false), vocabulary;
    put_file(at("s.bin"), b.p, b.n - 4);
    refused(at("s.bin"), "cut short");
    put_file(at("s.bin"), b.p, 200);
    refused(at("s.bin"), "cut short in its header");
    b.p[4] = 2;
    put_file(at("s.bin"), b.p, b.n);
    refused(at("s.bin"), "version 2 of llama2.c's files");
    b = llama2c_file(1, false);
    memset(b.p + 8 + 8, 0xFF, 4);
    put_file(at("s.bin"), b.p, b.n);
    refused(at("s.bin"), "layers -1; it must be 1 to 1024");
    b = llama2c_file(0, false);
    put_file(at("s.bin"), b.p, b.n);
    assert_int_equal(unlink(at("tokenizer.bin")), 0);
    refused(at("s.bin"), "--tokenizer FILE");
    vocabulary = llama2c_tokenizer(WORDS - 1);
    put_file(at("tokenizer.bin"), vocabulary.p, vocabulary.n);
    refused(at("s.bin"), "ends in piece 265 of 266");
    vocabulary = llama2c_tokenizer(WORDS);
    buf_put(&vocabulary, "xxxxxxxx", 8);
    put_file(at("tokenizer.bin"), vocabulary.p, vocabulary.n);
    refused(at("s.bin"), "more than the 266 pieces");
    memset(vocabulary.p + 8, 0xFF, 4);
    put_file(at("tokenizer.bin"), vocabulary.p, vocabulary.n);
    refused(at("s.bin"), "ends in piece 0");
}

/* ---- the way back ---- */

static void equal_folders(const char *a, const char *b, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct text x = whole(arena_printf(&arena, "%s/%s", a, names[i])), y = whole(arena_printf(&arena, "%s/%s", b, names[i]));
        if (!text_equal(x, y)) print_message("%s differs\n", names[i]);
        assert_true(text_equal(x, y));
    }
}

static const char *const all_files[] = {"config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"};

static void export_then_import_gives_the_same_folder(void **state)
{
    (void)state;
    works(export_gguf(at("tiny"), at("back.gguf"), T_F32, &arena, &error));
    works(imports(at("back.gguf"), at("back")));
    equal_folders(at("tiny"), at("back"), all_files, COUNT(all_files));
    check_hashes(at("back"), "tests/golden/tiny.txt");
    assert_false(export_gguf(at("tiny"), at("back.gguf"), T_F32, &arena, &error));
    assert_non_null(strstr(error.text, "exists; name a new file"));
}

static void exported_types_are_as_asked(void **state)
{
    (void)state;
    static const struct { enum tensor_type type; uint32_t is; } rows[] = {{T_BF16, GGML_BF16}, {T_I8, GGML_Q8_0}, {T_F32, GGML_F32}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct gguf g;
        char *file = at(arena_printf(&arena, "type%zu.gguf", i));
        works(export_gguf(at("tiny"), file, rows[i].type, &arena, &error));
        works(gguf_open(&g, file, &arena, &error));
        assert_int_equal(gguf_find(&g, "blk.0.attn_q.weight")->type, rows[i].is);
        assert_int_equal(gguf_find(&g, "token_embd.weight")->type, rows[i].is);
        assert_int_equal(gguf_find(&g, "blk.0.attn_norm.weight")->type, GGML_F32);
        assert_int_equal(gguf_find(&g, "blk.0.attn_q.bias")->type, GGML_F32);
        assert_int_equal(gguf_find(&g, "rope_freqs.weight")->elements, 16);
        gguf_close(&g);
        works(imports(file, fresh()));
    }
}

static void scores_bring_the_same_merges_back(void **state)
{
    (void)state;
    static const char *const names[] = {"config.json", "tokenizer_config.json", "model.safetensors"};
    struct buf vocabulary = llama2c_tokenizer(WORDS), b = llama2c_file(1, true);
    put_file(at("tokenizer.bin"), vocabulary.p, vocabulary.n);
    put_file(at("m.bin"), b.p, b.n);
    works(imports(at("m.bin"), at("m")));
    works(export_gguf(at("m"), at("m.gguf"), T_F32, &arena, &error));
    works(imports(at("m.gguf"), at("m2")));
    equal_folders(at("m"), at("m2"), names, COUNT(names));
    const struct json *x, *y;
    works(json_read(&x, at("m/tokenizer.json"), (struct json_limits){0}, &arena, &error));
    works(json_read(&y, at("m2/tokenizer.json"), (struct json_limits){0}, &arena, &error));
    const struct json *mx = json_get(json_get(x, "model"), "merges"), *my = json_get(json_get(y, "model"), "merges");
    assert_true(mx->n == my->n && mx->n == 2);
    for (int i = 0; i < mx->n; i++)
        for (int k = 0; k < 2; k++) assert_true(text_equal(mx->items[i].items[k].text, my->items[i].items[k].text));
}

static void edit(const char *path, const char *from, const char *to)
{
    struct text t = whole(path);
    const char *p = strstr(t.p, from);
    assert_non_null(p);
    struct buf b = buf_make(&arena);
    buf_put(&b, t.p, (size_t)(p - t.p));
    buf_put(&b, to, strlen(to));
    buf_put(&b, p + strlen(from), t.n - (size_t)(p - t.p) - strlen(from));
    put_file(path, b.p, b.n);
}

static void linear_scaling_survives_both_ways(void **state)
{
    (void)state;
    works(imports(at("m.gguf"), at("linear")));
    edit(at("linear/config.json"), "\"rope_theta\": 1e+04", "\"rope_theta\": 1e+04, \"rope_scaling\": {\"type\": \"linear\", \"factor\": 2.5}");
    works(export_gguf(at("linear"), at("scaled.gguf"), T_F32, &arena, &error));
    works(imports(at("scaled.gguf"), at("linear2")));
    assert_non_null(strstr(whole(at("linear2/config.json")).p, "\"rope_scaling\": {\"rope_type\": \"linear\", \"factor\": 2.5}"));
    struct text t = whole(at("scaled.gguf"));
    change(t, "\x06\0\0\0\0\0\0\0linear", "\x06\0\0\0\0\0\0\0spiral", 14);
    refused_text(t, "RoPE is scaled by \"spiral\"");
}

static void what_gguf_cannot_say_is_refused(void **state)
{
    (void)state;
    static const struct { const char *file, *from, *to, *says; } rows[] = {
        {"config.json", "\"model_type\": \"llama\"", "\"model_type\": \"gemma\"", "model_type is \"gemma\""},
        {"config.json", "\"llama3\"", "\"yarn\"", "scaled by \"yarn\""},
        {"config.json", "\"hidden_size\": 256", "\"hidden_size\": 128", "tensor model.embed_tokens.weight"},
        {"config.json", "\"mlp_bias\": false", "\"mlp_bias\": true", "no tensor model.layers.0.mlp.gate_proj.bias"},
        {"config.json", "\"vocab_size\": 268", "\"vocab_size\": 100", "268 tokens, but the embedding has 100 rows"},
        {"config.json", "\"hidden_size\": 256, ", "", "has no \"hidden_size\""},
        {"tokenizer.json", "\\\\p{N}{1,3}", "\\\\p{N}{1,2}", "no name in GGUF"},
        {"tokenizer.json", "\"behavior\": \"Isolated\"", "\"behavior\": \"Removed\"", "no name in GGUF"},
        {"tokenizer.json", "\"add_prefix_space\": false", "\"add_prefix_space\": true", "no name in GGUF"},
        {"tokenizer.json", "\"use_regex\": false", "\"use_regex\": true", "no name in GGUF"},
        {"tokenizer.json", "{\"type\": \"Split\"", "{\"type\": \"Digits\", \"individual_digits\": false}, {\"type\": \"Split\"", "no name in GGUF"},
        {"tokenizer.json", "\"normalizer\": null", "\"normalizer\": {\"type\": \"Lowercase\"}", "no name in GGUF"}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        char *folder = fresh();
        works(imports("tests/golden/tiny.gguf", folder));
        edit(arena_printf(&arena, "%s/%s", folder, rows[i].file), rows[i].from, rows[i].to);
        int before = files_in_dir();
        bool ok = export_gguf(folder, at("no.gguf"), T_F32, &arena, &error);
        if (ok || !strstr(error.text, rows[i].says)) print_message("%s: %s\n", rows[i].says, error.text);
        assert_false(ok);
        assert_non_null(strstr(error.text, rows[i].says));
        assert_int_equal(files_in_dir(), before);
    }
}

static void vocabularies_that_llama_cpp_could_not_follow_are_refused(void **state)
{
    (void)state;
    static const char unigram[] = "{\"model\": {\"type\": \"Unigram\", \"unk_id\": 0, \"vocab\": [[\"<unk>\", 0], [\"a\", -1]]}}";
    char *folder = fresh();
    works(imports(at("m.gguf"), folder));
    char *tokenizer = arena_printf(&arena, "%s/tokenizer.json", folder);
    edit(tokenizer, "\"<0x41>\"", "\"<0x4q>\"");
    assert_false(export_gguf(folder, at("no.gguf"), T_F32, &arena, &error));
    assert_non_null(strstr(error.text, "no piece <0x41>"));
    put_file(tokenizer, unigram, strlen(unigram));
    assert_false(export_gguf(folder, at("no.gguf"), T_F32, &arena, &error));
    assert_non_null(strstr(error.text, "unigram"));
}

static void another_row_is_found_without_ignored_merges(void **state)
{
    (void)state;
    struct gguf g;
    struct text pre = {0};
    char *folder = fresh();
    works(imports("tests/golden/tiny.gguf", folder));
    edit(arena_printf(&arena, "%s/tokenizer.json", folder), "\"ignore_merges\": true", "\"ignore_merges\": false");
    works(export_gguf(folder, at("smaug.gguf"), T_BF16, &arena, &error));
    works(gguf_open(&g, at("smaug.gguf"), &arena, &error) && gguf_text(&g, &pre, "tokenizer.ggml.pre", &error));
    assert_true(text_is(pre, "smaug-bpe"));
    gguf_close(&g);
}

/* ---- real files ---- */

static const char *material(const char *name)
{
    const char *folder = getenv("HONE_MATERIAL");
    char *path = folder ? path_join(&arena, folder, name) : NULL;
    if (path && path_exists(path)) return path;
    print_message("skipped: HONE_MATERIAL/%s is not there\n", name);
    return NULL;
}

/* Each text of the .inp file against its line of ids in the .out file. */
static int check_texts(const struct tokenizer *t, struct text in, struct text out)
{
    static const char end[] = "\n__ggml_vocab_test__\n";
    int n = 0;
    const char *line = out.p;
    for (const char *p = in.p, *stop; (stop = strstr(p, end)) != NULL; p = stop + strlen(end), n++) {
        struct ids ids = {.a = &arena};
        char *next = (char *)(uintptr_t)line;
        works(tokenizer_encode(t, &ids, (struct text){p, (size_t)(stop - p)}, 0, NULL, &arena, &error));
        for (int64_t i = 0; i < ids.n; i++) assert_int_equal(strtol(next, &next, 10), ids.p[i]);
        next += strspn(next, " ");
        assert_int_equal(*next, '\n');
        line = next + 1;
    }
    return n;
}

static void six_vocabularies_give_the_ids_expected_of_46_texts(void **state)
{
    (void)state;
    static const char *const names[] = {"gpt-2", "llama-bpe", "llama-spm", "qwen2", "phi-3", "starcoder"};
    for (size_t i = 0; i < COUNT(names); i++) {
        const char *file = material(arena_printf(&arena, "ggml-vocab-%s.gguf", names[i]));
        if (!file) skip();
        char *to = fresh();
        struct tokenizer *t;
        works(imports(file, to));
        works(tokenizer_open(&t, to, &arena, &error));
        assert_false(path_exists(arena_printf(&arena, "%s/config.json", to)));
        int n = check_texts(t, whole(arena_printf(&arena, "%s.inp", file)), whole(arena_printf(&arena, "%s.out", file)));
        assert_int_equal(n, 46);
    }
}

/* The hash is of the file whose every tensor was equal to what the gguf package dequantises. */
static void smollm2_is_dequantised_to_the_last_bit(void **state)
{
    (void)state;
    const char *file = material("SmolLM2-135M-Instruct.Q4_1.gguf");
    if (!file) skip();
    char *to = fresh(), hash[33];
    works(imports(file, to));
    struct arena big = arena_make(0);
    struct tensors t;
    struct hash h;
    works(tensors_open(&t, to, &big, &error));
    hash_start(&h, &big);
    float *piece = NEW_N(&big, float, 1 << 20);
    for (int i = 0; i < t.n; i++)
        for (int64_t k = 0, n; k < t.list[i].elements; k += n) {
            n = t.list[i].elements - k < 1 << 20 ? t.list[i].elements - k : 1 << 20;
            works(tensors_read_f32(&t, &t.list[i], k, n, piece, &error));
            hash_add(&h, piece, (size_t)n * 4);
        }
    assert_string_equal(hash_text(&h, hash), "5601d558f9561a3b25ac73e094feab36");
    tensors_close(&t);
    arena_drop(&big);
    assert_true(dir_remove(to, &error));
}

static int all(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_gguf_becomes_a_folder_with_exact_weights),
        cmocka_unit_test(the_config_says_what_the_entries_said),
        cmocka_unit_test(the_tokenizer_comes_along),
        cmocka_unit_test(bf16_is_the_rounded_value),
        cmocka_unit_test(an_existing_folder_is_never_replaced),
        cmocka_unit_test(progress_reaches_the_end),
        cmocka_unit_test(llama2c_files_of_both_versions_become_folders),
        cmocka_unit_test(bad_llama2c_files_are_refused),
        cmocka_unit_test(export_then_import_gives_the_same_folder),
        cmocka_unit_test(exported_types_are_as_asked),
        cmocka_unit_test(scores_bring_the_same_merges_back),
        cmocka_unit_test(linear_scaling_survives_both_ways),
        cmocka_unit_test(what_gguf_cannot_say_is_refused),
        cmocka_unit_test(vocabularies_that_llama_cpp_could_not_follow_are_refused),
        cmocka_unit_test(another_row_is_found_without_ignored_merges),
        cmocka_unit_test(six_vocabularies_give_the_ids_expected_of_46_texts),
        cmocka_unit_test(smollm2_is_dequantised_to_the_last_bit)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void) { return run_in_folder(all); }
