/* t_config.c - config.json: what is read from good folders, and a sentence for each way to be
 * wrong. */
#include "tests/model/tiny.h"
#include <unistd.h>

static struct arena a;
static char dir[] = "/tmp/hone-config-XXXXXX";

static int begin(void **state)
{
    (void)state;
    a = arena_make(0);
    return mkdtemp(dir) ? 0 : -1;
}

static int end(void **state)
{
    struct err err;
    (void)state;
    bool ok = dir_remove(dir, &err);
    arena_drop(&a);
    return ok ? 0 : -1;
}

static void put(const char *name, const char *content)
{
    struct err err;
    if (!file_replace(path_join(&a, dir, name), text_of(content), &err)) fail_msg("%s", err.text);
}

/* The folder gets the weights of a recorded model, by a link. */
static void put_weights(const char *model)
{
    char from[4096], *to = path_join(&a, dir, "model.safetensors");
    assert_non_null(getcwd(from, sizeof from - 200));
    snprintf(from + strlen(from), 200, "/" GOLDEN "%s/model.safetensors", model);
    unlink(to);
    assert_int_equal(symlink(from, to), 0);
}

/* The config of a recorded model with one text replaced by another. */
static char *changed(const char *model, const char *from, const char *to)
{
    struct text s;
    struct err err;
    if (!file_read(&s, arena_printf(&a, GOLDEN "%s/config.json", model), 1 << 20, &a, &err))
        fail_msg("%s", err.text);
    const char *at = strstr(s.p, from);
    if (!at) fail_msg("no %s in the config of %s", from, model);
    return arena_printf(&a, "%.*s%s%s", (int)(at - s.p), s.p, to, at + strlen(from));
}

static void configs_of_both_spellings_are_read(void **state)
{
    (void)state;
    struct model_config c;
    struct err err;
    if (!model_config_read(&c, GOLDEN "llama3", &a, &err)) fail_msg("%s", err.text);
    assert_string_equal(family_name(c.family), "llama");
    assert_int_equal(c.layers, 2);
    assert_int_equal(c.kv_heads, 2);
    assert_int_equal(c.head_dim, 8);
    assert_int_equal(c.scaling, ROPE_LLAMA3);
    assert_true(c.rope_theta == 500000 && c.rope_factor == 8 && c.rope_low == 1 &&
                c.rope_high == 4 && c.rope_original == 16);
    assert_int_equal(c.type, T_BF16);
    assert_int_equal(c.n_eos, 2);
    assert_int_equal(c.eos[1], 3);
    assert_int_equal(c.bos, 1);
    assert_int_equal(c.parameters,
                     2 * 96 * 32 + 2 * (32 * 32 * 2 + 2 * 16 * 32 + 3 * 40 * 32 + 64) + 32);
    if (!model_config_read(&c, GOLDEN "linear", &a, &err)) fail_msg("%s", err.text);
    assert_true(c.scaling == ROPE_LINEAR && c.rope_factor == 4 && c.rope_theta == 10000);
    if (!model_config_read(&c, GOLDEN "headdim", &a, &err)) fail_msg("%s", err.text);
    assert_int_equal(c.head_dim, 12);
    if (!model_config_read(&c, GOLDEN "tied", &a, &err)) fail_msg("%s", err.text);
    assert_true(c.tied && strlen(c.source_hash) == 32);
    assert_int_equal(c.parameters,
                     96 * 32 + 2 * (32 * 32 * 2 + 2 * 8 * 32 + 3 * 40 * 32 + 64) + 32);
}

static void generation_config_has_the_last_word_on_end_tokens(void **state)
{
    (void)state;
    struct model_config c;
    struct err err;
    put_weights("gqa");
    put("config.json", changed("gqa", "{", "{"));
    put("generation_config.json", "{\"eos_token_id\": 7, \"bos_token_id\": 5}");
    if (!model_config_read(&c, dir, &a, &err)) fail_msg("%s", err.text);
    assert_int_equal(c.n_eos, 1);
    assert_int_equal(c.eos[0], 7);
    assert_int_equal(c.bos, 5);
    put("generation_config.json", "{\"eos_token_id\": [1, 96]}");
    assert_false(model_config_read(&c, dir, &a, &err));
    assert_non_null(strstr(err.text, "no token of the vocabulary"));
    unlink(path_join(&a, dir, "generation_config.json"));
}

static void a_wrong_config_is_a_sentence(void **state)
{
    (void)state;
    static const struct { const char *from, *to, *says;
    } wrong[] = {
        {"\"llama\"", "\"mamba\"", "family \"mamba\" is not built yet; llama is"},
        {"\"model_type\"", "\"type_of_model\"", "\"model_type\" is missing"},
        {"\"hidden_size\": 32", "\"hidden_size\": 4", "hidden_size"},
        {"\"hidden_size\": 32", "\"hidden_size\": \"32\"", "hidden_size"},
        {"\"hidden_size\": 32,", "", "\"hidden_size\" is missing"},
        {"\"num_hidden_layers\": 2", "\"num_hidden_layers\": 99999", "num_hidden_layers"},
        {"\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3",
         "9 tensors that config.json promises are missing"},
        {"\"num_hidden_layers\": 2", "\"num_hidden_layers\": 1",
         "9 tensors do not belong to a llama of 1 layers"},
        {"\"num_attention_heads\": 4", "\"num_attention_heads\": 5", "no multiple"},
        {"\"num_key_value_heads\": 2", "\"num_key_value_heads\": 3",
         "no multiple of num_key_value_heads 3"},
        {"\"num_key_value_heads\": 2", "\"num_key_value_heads\": 4",
         "k_proj.weight is [16, 32], by config.json it should be [32, 32]"},
        {"\"vocab_size\": 96", "\"vocab_size\": 97",
         "model.embed_tokens.weight is [96, 32], by config.json it should be [97, 32]"},
        {"\"silu\"", "\"gelu\"", "\"hidden_act\" is not silu"},
        {"1e-05", "1", "rms_norm_eps"},
        {"10000.0", "-1", "rope_theta"},
        {"\"attention_bias\": false", "\"attention_bias\": true",
         "8 tensors that config.json promises are missing"},
        {"\"attention_bias\": false", "\"attention_bias\": 0", "attention_bias"},
        {"\"bos_token_id\": 1", "\"bos_token_id\": 96", "bos_token_id"},
        {"\"vocab_size\"", "\"quantization_config\": {\"bits\": 4}, \"vocab_size\"",
         "the weights are quantized"},
        {"\"vocab_size\"", "\"pretraining_tp\": 2, \"vocab_size\"", "\"pretraining_tp\" is not 1"},
        {"\"vocab_size\"", "\"rope_scaling\": {\"type\": \"yarn\", \"factor\": 2}, \"vocab_size\"",
         "\"yarn\" is not built yet"},
        {"\"vocab_size\"", "\"rope_scaling\": {\"type\": \"linear\"}, \"vocab_size\"",
         "no \"factor\""},
        {"\"vocab_size\"",
         "\"rope_scaling\": {\"type\": \"linear\", \"factor\": 0.1}, \"vocab_size\"", "factor"},
        {"\"vocab_size\"",
         "\"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 2}, \"vocab_size\"",
         "original_max_position"},
        {"\"vocab_size\"", "\"rope_scaling\": 3, \"vocab_size\"", "no object"},
        {"\"vocab_size\"", "\"head_dim\": 9, \"vocab_size\"", "even numbers"},
        {"{", "[", "config.json"},
        {"{", "", "config.json"},
        {"{", "{\"vocab_size\": 96,", "config.json"},
    };
    put_weights("gqa");
    for (size_t i = 0; i < COUNT(wrong); i++) {
        struct model_config c;
        struct err err;
        put("config.json", changed("gqa", wrong[i].from, wrong[i].to));
        if (model_config_read(&c, dir, &a, &err)) fail_msg("%s was accepted", wrong[i].to);
        if (!strstr(err.text, wrong[i].says)) fail_msg("%s gives: %s", wrong[i].to, err.text);
    }
}

static void a_folder_without_a_model_is_a_sentence(void **state)
{
    (void)state;
    struct model_config c;
    struct err err;
    assert_false(model_config_read(&c, "/nowhere", &a, &err));
    assert_non_null(strstr(err.text, "no config.json"));
    put("config.json", changed("gqa", "{", "{"));
    unlink(path_join(&a, dir, "model.safetensors"));
    assert_false(model_config_read(&c, dir, &a, &err));
}

static void a_head_is_tied_where_the_file_says_so(void **state)
{
    (void)state;
    struct model_config c;
    struct err err;
    put_weights("tied");
    put("config.json",
        changed("tied", "\"tie_word_embeddings\": true", "\"tie_word_embeddings\": false"));
    assert_false(model_config_read(&c, dir, &a, &err));
    assert_non_null(strstr(err.text, "lm_head.weight (and tie_word_embeddings is false)"));
    put_weights("gqa"); /* has a head of its own, with other values */
    put("config.json",
        changed("gqa", "\"tie_word_embeddings\": false", "\"tie_word_embeddings\": true"));
    if (!model_config_read(&c, dir, &a, &err)) fail_msg("%s", err.text);
    assert_false(c.tied);
}

static void targets_are_known_by_name(void **state)
{
    (void)state;
    struct err err;
    unsigned bits;
    assert_true(lora_targets(&bits, (const char *const[]){"all-linear"}, 1, &err) && bits == 127);
    assert_true(lora_targets(&bits, (const char *const[]){"q_proj", "up_proj"}, 2, &err) &&
                bits == 33);
    assert_false(lora_targets(&bits, (const char *const[]){"qproj"}, 1, &err));
    assert_non_null(strstr(err.text, "did you mean \"q_proj\"?"));
    assert_false(lora_targets(&bits, NULL, 0, &err));
}

static void adapter_configs_are_read_strictly(void **state)
{
    (void)state;
    static const struct { const char *text, *says;
    } wrong[] = {
        {"{\"peft_type\": \"IA3\"}", "only LORA"},
        {"{\"peft_type\": \"LORA\", \"r\": 4, \"use_dora\": true, \"target_modules\": "
         "[\"q_proj\"]}",
         "use_dora"},
        {"{\"peft_type\": \"LORA\", \"r\": 0, \"target_modules\": [\"q_proj\"]}", "\"r\""},
        {"{\"peft_type\": \"LORA\", \"r\": 4, \"bias\": \"all\", \"target_modules\": [\"q_proj\"]}",
         "bias"},
        {"{\"peft_type\": \"LORA\", \"r\": 4, \"target_modules\": [\"c_attn\"]}", "c_attn"},
        {"{\"peft_type\": \"LORA\", \"r\": 4, \"alora_invocation_tokens\": [1], "
         "\"target_modules\": [\"q_proj\"]}",
         "alora"},
        {"{\"peft_type\": \"LORA\", \"r\": 4}", "target_modules"},
    };
    struct lora l;
    struct err err;
    const char *base;
    if (!adapter_read(&l, &base, GOLDEN "lora-qv", &a, &err)) fail_msg("%s", err.text);
    assert_true(l.rank == 3 && l.alpha == 16 && l.rank_stabilised && l.targets == 5);
    assert_string_equal(base, "tied");
    for (size_t i = 0; i < COUNT(wrong); i++) {
        put("adapter_config.json", wrong[i].text);
        if (adapter_read(&l, &base, dir, &a, &err)) fail_msg("%s was accepted", wrong[i].text);
        if (!strstr(err.text, wrong[i].says)) fail_msg("%s gives: %s", wrong[i].text, err.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(configs_of_both_spellings_are_read),
        cmocka_unit_test(generation_config_has_the_last_word_on_end_tokens),
        cmocka_unit_test(a_wrong_config_is_a_sentence),
        cmocka_unit_test(a_folder_without_a_model_is_a_sentence),
        cmocka_unit_test(a_head_is_tied_where_the_file_says_so),
        cmocka_unit_test(targets_are_known_by_name),
        cmocka_unit_test(adapter_configs_are_read_strictly),
    };
    return cmocka_run_group_tests_name("config", tests, begin, end);
}
