/* tiny_model.h - a model folder small enough that a run takes a moment: two layers, or so many up
 * to six, of width 32, plain bytes as its vocabulary and one end token; weights are a function of
 * their place. */
#ifndef HONE_TEST_TINY_MODEL_H
#define HONE_TEST_TINY_MODEL_H
#include "engine/base/base.h"
#include "engine/format/safetensors.h"
#include <string.h>

enum { DIM = 32, FFN = 64, LAYERS_MOST = 6, KV = 16, VOCAB = 257 };

#define CONFIG                                                                                     \
    "{\"architectures\": [\"LlamaForCausalLM\"], \"model_type\": \"llama\", \"hidden_size\": 32, " \
    "\"intermediate_size\": 64,\n"                                                                 \
    " \"num_hidden_layers\": %d, \"num_attention_heads\": 4, \"num_key_value_heads\": 2, "         \
    "\"vocab_size\": 257,\n"                                                                       \
    " \"max_position_embeddings\": 256, \"rms_norm_eps\": 1e-5, \"rope_theta\": 10000.0, "         \
    "\"hidden_act\": \"silu\",\n"                                                                  \
    " \"tie_word_embeddings\": true, \"eos_token_id\": 256, \"torch_dtype\": \"bfloat16\"}\n"
static const char tiny_tokenizer[] =
    "{\"model\": {\"type\": \"bytes\"}, \"added_tokens\": [{\"id\": "
    "256, \"content\": \"<|end|>\", \"special\": true}]}\n";
static const char tiny_tokenizer_config[] = "{\"eos_token\": \"<|end|>\"}\n";

static inline int tiny_add(struct tensor_row *rows, int n, const char *name, int64_t out,
                           int64_t in)
{
    rows[n] =
        (struct tensor_row){.name = name, .type = T_BF16, .rank = in ? 2 : 1, .dims = {out, in}};
    return n + 1;
}

static inline int tiny_list(struct tensor_row *rows, int layers, struct arena *a)
{
    static const struct {
        const char *name;
        int out, in;
    } block[] = {{"input_layernorm", DIM, 0},          {"mlp.down_proj", DIM, FFN},
                 {"mlp.gate_proj", FFN, DIM},          {"mlp.up_proj", FFN, DIM},
                 {"post_attention_layernorm", DIM, 0}, {"self_attn.k_proj", KV, DIM},
                 {"self_attn.o_proj", DIM, DIM},       {"self_attn.q_proj", DIM, DIM},
                 {"self_attn.v_proj", KV, DIM}};
    int n = tiny_add(rows, 0, "model.embed_tokens.weight", VOCAB, DIM);
    for (int l = 0; l < layers; l++)
        for (size_t i = 0; i < COUNT(block); i++)
            n = tiny_add(rows, n, arena_printf(a, "model.layers.%d.%s.weight", l, block[i].name),
                         block[i].out, block[i].in);
    return tiny_add(rows, n, "model.norm.weight", DIM, 0);
}

static inline bool tiny_write_weights(const char *path, int layers, struct arena *a,
                                      struct err *err)
{
    struct tensor_row rows[64];
    struct tensors_writer *w;
    int64_t bytes;
    char hash[33];
    float values[VOCAB * DIM];
    int n = tiny_list(rows, layers, a);
    if (!tensors_create(&w, path, rows, n, NULL, 0, a, err)) return false;
    for (int i = 0; i < n; i++) {
        int64_t count = rows[i].dims[0] * (rows[i].rank == 2 ? rows[i].dims[1] : 1);
        for (int64_t k = 0; k < count; k++)
            values[k] =
                rows[i].rank == 1 ? 1 : (float)(0.16 * (rand_unit((uint64_t)i, (uint64_t)k) - 0.5));
        if (!tensors_write_f32(w, values, count, err)) return false;
    }
    return tensors_finish(w, &bytes, hash, err);
}

static inline bool tiny_write(const char *dir, int layers, struct arena *a, struct err *err)
{
    return dir_make(dir, err) &&
           tiny_write_weights(path_join(a, dir, "model.safetensors"), layers, a, err) &&
           file_replace(path_join(a, dir, "config.json"), text_of(arena_printf(a, CONFIG, layers)),
                        err) &&
           file_replace(path_join(a, dir, "tokenizer.json"), text_of(tiny_tokenizer), err) &&
           file_replace(path_join(a, dir, "tokenizer_config.json"), text_of(tiny_tokenizer_config),
                        err);
}
#endif
