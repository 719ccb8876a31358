/* adapter.c - adapter_config.json of a PEFT folder (peft.LoraConfig) as a struct lora. */
#include "engine/format/json.h"
#include "engine/model/model.h"
#include <string.h>

/* Things of PEFT that change the arithmetic and are not done here: each must be absent or off. */
static bool nothing_else(const struct json *o, const char *path, struct err *err)
{
    static const char *const off[] = {
        "use_dora",          "fan_in_fan_out",          "lora_bias",
        "use_qalora",        "trainable_token_indices", "rank_pattern",
        "alpha_pattern",     "alora_invocation_tokens", "use_bdlora",
        "monteclora_config", "velora_config",           "target_parameters",
        "modules_to_save",   "layer_replication",       "layers_to_transform",
        "exclude_modules"};
    for (size_t i = 0; i < COUNT(off); i++) {
        const struct json *v = json_get(o, off[i]);
        bool empty = !v || v->kind == JSON_NULL || (v->kind == JSON_BOOL && !v->yes) ||
                     ((v->kind == JSON_ARRAY || v->kind == JSON_OBJECT) && v->n == 0);
        if (!empty)
            return fail(
                err,
                "%s: %s is set, and this version cannot do that; merge the adapter with PEFT first",
                path, off[i]);
    }
    struct text bias = TEXT("none");
    if (!json_get_text(&bias, o, "bias", path, err)) return false;
    return text_is(bias, "none") ||
           fail(err, "%s: bias is '%.*s'; only 'none' is built", path, (int)bias.n, bias.p);
}

static bool targets_read(unsigned *bits, const struct json *v, const char *path, struct arena *a,
                         struct err *err)
{
    const char *one[1];
    if (v && v->kind == JSON_TEXT) {
        one[0] = v->text.p;
        return lora_targets(bits, one, 1, err) || fail_in(err, "%s: target_modules", path);
    }
    if (!v || v->kind != JSON_ARRAY || v->n == 0)
        return fail(err, "%s: target_modules must list the linears that the adapter changes", path);
    const char **names = NEW_N(a, const char *, v->n);
    for (int i = 0; i < v->n; i++) {
        if (v->items[i].kind != JSON_TEXT)
            return fail(err, "%s: target_modules[%d] is no text", path, i);
        names[i] = v->items[i].text.p;
    }
    return lora_targets(bits, names, v->n, err) || fail_in(err, "%s: target_modules", path);
}

bool adapter_read(struct lora *out, const char **base, const char *dir, struct arena *a,
                  struct err *err)
{
    const char *path = path_join(a, dir, "adapter_config.json");
    const struct json *o;
    struct text type = {0}, of = {0};
    int64_t rank = 8;
    double alpha = 8, dropout = 0;
    *out = (struct lora){.rank = 0};
    if (!json_read(&o, path, (struct json_limits){.bytes = 1 << 20, .depth = 16}, a, err))
        return false;
    if (!json_get_text(&type, o, "peft_type", path, err) ||
        !json_get_text(&of, o, "base_model_name_or_path", path, err) ||
        !json_get_int(&rank, o, "r", 1, 4096, path, err) ||
        !json_get_num(&alpha, o, "lora_alpha", 1e-6, 1e6, path, err) ||
        !json_get_num(&dropout, o, "lora_dropout", 0, 0.99, path, err) ||
        !json_get_bool(&out->rank_stabilised, o, "use_rslora", path, err) ||
        !nothing_else(o, path, err))
        return false;
    if (!text_is(type, "LORA"))
        return fail(err, "%s: peft_type is '%.*s'; only LORA is built", path, (int)type.n,
                    type.p ? type.p : "");
    out->rank = (int)rank;
    out->alpha = (float)alpha;
    out->dropout = (float)dropout;
    *base = arena_string(a, of.p ? of.p : "", of.n);
    return targets_read(&out->targets, json_get(o, "target_modules"), path, a, err);
}
