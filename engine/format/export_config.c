/* export_config.c - the sizes of a LLaMA folder, from its config.json. */
#include "engine/format/export.h"
#include "engine/format/json.h"
#include "engine/format/tokenizer_parts.h"

static bool read_sizes(struct llama *m, const struct json *c, const char *path, struct err *err)
{
    const struct { const char *key; int64_t *v; } rows[] = {
        {"hidden_size", &m->hidden}, {"intermediate_size", &m->inner}, {"num_hidden_layers", &m->layers},
        {"num_attention_heads", &m->heads}, {"vocab_size", &m->vocab}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        if (!json_get_int(rows[i].v, c, rows[i].key, 1, 1 << 24, path, err)) return false;
        if (*rows[i].v == 0) return fail(err, "%s has no \"%s\"", path, rows[i].key);
    }
    m->kv_heads = m->heads;
    m->head_dim = m->hidden / m->heads;
    return json_get_int(&m->kv_heads, c, "num_key_value_heads", 1, 1 << 24, path, err) &&
           json_get_int(&m->head_dim, c, "head_dim", 1, 1 << 24, path, err) &&
           json_get_int(&m->context, c, "max_position_embeddings", 1, 1 << 24, path, err) &&
           json_get_num(&m->eps, c, "rms_norm_eps", 1e-12, 1e-2, path, err) &&
           json_get_num(&m->theta, c, "rope_theta", 1, 1e9, path, err);
}

static bool read_scaling(struct llama *m, const struct json *s, const char *path, struct arena *a, struct err *err)
{
    struct text type = TEXT("default");
    m->factor = m->low = 1;
    m->high = 4;
    m->original = 8192;
    if (!s || s->kind == JSON_NULL) return true;
    if (!json_get_text(&type, s, "type", path, err) || !json_get_text(&type, s, "rope_type", path, err) ||
        !json_get_num(&m->theta, s, "rope_theta", 1, 1e9, path, err) ||
        !json_get_num(&m->factor, s, "factor", 1, 1e4, path, err) ||
        !json_get_num(&m->low, s, "low_freq_factor", 1e-6, 1e6, path, err) ||
        !json_get_num(&m->high, s, "high_freq_factor", 1e-6, 1e6, path, err) ||
        !json_get_num(&m->original, s, "original_max_position_embeddings", 1, 1 << 24, path, err)) return false;
    if (text_is(type, "default")) return true;
    if (text_is(type, "linear")) m->rope = ROPE_LINEAR;
    else if (text_is(type, "llama3")) m->rope = ROPE_LLAMA3;
    else return fail(err, "%s: RoPE is scaled by %s; hone writes linear and llama3 as GGUF", path, shown(a, type));
    return true;
}

bool export_config(struct llama *m, const char *dir, struct arena *a, struct err *err)
{
    const char *path = path_join(a, dir, "config.json");
    const struct json *c;
    struct text family = TEXT("llama");
    bool tied = false;
    if (!json_read(&c, path, (struct json_limits){1 << 20, 32, 10000}, a, err)) return false;
    *m = (struct llama){.context = 2048, .eps = 1e-6, .theta = 10000};
    if (!json_get_text(&family, c, "model_type", path, err)) return false;
    if (!text_is(family, "llama"))
        return fail(err, "%s: model_type is %s; hone writes llama as GGUF", path, shown(a, family));
    const struct json *scaling = json_get(c, "rope_scaling"), *newer = json_get(c, "rope_parameters");
    if (!read_sizes(m, c, path, err) || !read_scaling(m, newer ? newer : scaling, path, a, err) ||
        !json_get_bool(&tied, c, "tie_word_embeddings", path, err) ||
        !json_get_bool(&m->attention_bias, c, "attention_bias", path, err) ||
        !json_get_bool(&m->mlp_bias, c, "mlp_bias", path, err)) return false;
    m->untied = !tied;
    return llama_check(m, path, err);
}
