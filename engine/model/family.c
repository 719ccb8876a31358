/* family.c - families of models as rows, and the linears of a block. A new family that differs in
 * names and biases only is a row here. */
#include "engine/model/parts.h"

const struct family families[] = {
    {.name = "llama",
     .architecture = "LlamaForCausalLM",
     .embed = "model.embed_tokens.weight",
     .norm = "model.norm.weight",
     .head = "lm_head.weight",
     .block_norm = {"model.layers.%d.input_layernorm.weight",
                    "model.layers.%d.post_attention_layernorm.weight"},
     .linear = {[LINEAR_Q] = {"model.layers.%d.self_attn.q_proj", "q_proj", BIAS_ATTENTION},
                [LINEAR_K] = {"model.layers.%d.self_attn.k_proj", "k_proj", BIAS_ATTENTION},
                [LINEAR_V] = {"model.layers.%d.self_attn.v_proj", "v_proj", BIAS_ATTENTION},
                [LINEAR_O] = {"model.layers.%d.self_attn.o_proj", "o_proj", BIAS_ATTENTION},
                [LINEAR_GATE] = {"model.layers.%d.mlp.gate_proj", "gate_proj", BIAS_MLP},
                [LINEAR_UP] = {"model.layers.%d.mlp.up_proj", "up_proj", BIAS_MLP},
                [LINEAR_DOWN] = {"model.layers.%d.mlp.down_proj", "down_proj", BIAS_MLP}}},
};
const int families_n = (int)COUNT(families);

const struct product_row products[PRODUCTS] = {
    [PRODUCT_QKV] = {"qkv", LINEAR_Q, 3},
    [PRODUCT_O] = {"attention output", LINEAR_O, 1},
    [PRODUCT_GATE_UP] = {"gate and up", LINEAR_GATE, 2},
    [PRODUCT_DOWN] = {"down", LINEAR_DOWN, 1},
};

const char *family_name(const struct family *f) { return f->name; }

const struct family *family_find(struct text name)
{
    for (int i = 0; i < families_n; i++)
        if (text_is(name, families[i].name)) return &families[i];
    return NULL;
}

enum product product_of(enum linear l)
{
    int p = 0;
    while ((int)l >= (int)products[p].first + products[p].n) p++;
    return (enum product)p;
}

int linear_out(const struct model_config *c, enum linear l)
{
    if (l == LINEAR_Q) return c->heads * c->head_dim;
    if (l == LINEAR_K || l == LINEAR_V) return c->kv_heads * c->head_dim;
    return l == LINEAR_GATE || l == LINEAR_UP ? c->ffn : c->dim;
}

int linear_in(const struct model_config *c, enum linear l)
{
    if (l == LINEAR_O) return c->heads * c->head_dim;
    return l == LINEAR_DOWN ? c->ffn : c->dim;
}

int product_out(const struct model_config *c, enum product p)
{
    int sum = 0;
    for (int i = 0; i < products[p].n; i++) sum += linear_out(c, products[p].first + (unsigned)i);
    return sum;
}

int linear_first(const struct model_config *c, enum linear l)
{
    int sum = 0;
    for (enum linear i = products[product_of(l)].first; i < l; i++) sum += linear_out(c, i);
    return sum;
}

/* The names are the same in every family that has a row, so the first one answers. */
bool lora_targets(unsigned *bits, const char *const *names, int n, struct err *err)
{
    const char *known[LINEARS + 1];
    for (int l = 0; l < LINEARS; l++) known[l] = families[0].linear[l].target;
    known[LINEARS] = "all-linear";
    *bits = 0;
    for (int i = 0; i < n; i++) {
        int l = 0;
        while (l <= LINEARS && !text_is(text_of(names[i]), known[l])) l++;
        if (l > LINEARS) {
            const char *near = text_nearest(names[i], known, LINEARS + 1);
            return fail(err,
                        "target_modules: \"%s\" is no linear of a block%s%s%s; allowed are "
                        "all-linear, q_proj, "
                        "k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj",
                        names[i], near ? " (did you mean \"" : "", near ? near : "",
                        near ? "\"?)" : "");
        }
        *bits |= l == LINEARS ? (1u << LINEARS) - 1 : 1u << l;
    }
    return *bits ? true
                 : fail(err, "target_modules is empty; use all-linear or names such as q_proj");
}
