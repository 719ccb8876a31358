/*
 * init DIR VOCABULARY: writes an untrained LLaMA-family model in Hugging Face's format, DIR/config.json
 * and DIR/model.safetensors in fp32, for hone to train from the start. The shape of the shipped base
 * stands in `shape` below.
 *
 * Weights are normal with deviation 0.02, those that write into the residual stream smaller by the
 * root of twice the layers, norms are 1. A normal number is the sum of twelve uniform ones less six:
 * additions of exact numbers only, so that the bytes do not depend on a mathematics library.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* Small enough for two cores and three minutes; every size is a multiple of the widest vectors. */
static const struct {
    int dim, ffn_dim, layers, heads, kv_heads, head_dim, context;
} shape = {192, 512, 4, 6, 2, 32, 512};

enum { TENSORS_MAX = 128 };

struct tensor {
    char name[96];
    int rows, cols;            /* cols 0: a vector */
    float deviation;           /* 0: filled with ones */
};

static struct tensor tensors[TENSORS_MAX];
static int tensor_count;

static void add(const char *name, int layer, int rows, int cols, float deviation)
{
    struct tensor *tensor = &tensors[tensor_count++];

    if (layer < 0)
        snprintf(tensor->name, sizeof tensor->name, "model.%s.weight", name);
    else
        snprintf(tensor->name, sizeof tensor->name, "model.layers.%d.%s.weight", layer, name);
    tensor->rows = rows;
    tensor->cols = cols;
    tensor->deviation = deviation;
}

static void add_layer(int layer)
{
    int dim = shape.dim, q = shape.heads * shape.head_dim, kv = shape.kv_heads * shape.head_dim;
    float deep = 0.02f / 2.8284271f;    /* the root of 2 x 4 layers */

    add("input_layernorm", layer, dim, 0, 0);
    add("self_attn.q_proj", layer, q, dim, 0.02f);
    add("self_attn.k_proj", layer, kv, dim, 0.02f);
    add("self_attn.v_proj", layer, kv, dim, 0.02f);
    add("self_attn.o_proj", layer, dim, q, deep);
    add("post_attention_layernorm", layer, dim, 0, 0);
    add("mlp.gate_proj", layer, shape.ffn_dim, dim, 0.02f);
    add("mlp.up_proj", layer, shape.ffn_dim, dim, 0.02f);
    add("mlp.down_proj", layer, dim, shape.ffn_dim, deep);
}

static FILE *create(const char *folder, const char *name)
{
    char path[4096];

    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    if (!file) {
        fprintf(stderr, "init: cannot write %s: is %s a folder?\n", path, folder);
        exit(1);
    }
    return file;
}

static void finish(FILE *file)
{
    if (ferror(file) | fclose(file)) {
        fprintf(stderr, "init: writing failed, is the disk full?\n");
        exit(1);
    }
}

static void write_config(const char *folder, int vocabulary)
{
    FILE *file = create(folder, "config.json");

    fprintf(file, "{\n  \"architectures\": [\"LlamaForCausalLM\"],\n  \"model_type\": \"llama\",\n"
            "  \"vocab_size\": %d,\n  \"hidden_size\": %d,\n  \"intermediate_size\": %d,\n"
            "  \"num_hidden_layers\": %d,\n  \"num_attention_heads\": %d,\n"
            "  \"num_key_value_heads\": %d,\n  \"head_dim\": %d,\n  \"hidden_act\": \"silu\",\n"
            "  \"max_position_embeddings\": %d,\n  \"rms_norm_eps\": 1e-05,\n"
            "  \"rope_theta\": 10000.0,\n  \"attention_bias\": false,\n  \"mlp_bias\": false,\n"
            "  \"tie_word_embeddings\": true,\n  \"initializer_range\": 0.02,\n"
            "  \"bos_token_id\": 0,\n  \"eos_token_id\": 0,\n  \"torch_dtype\": \"float32\"\n}\n",
            vocabulary, shape.dim, shape.ffn_dim, shape.layers, shape.heads, shape.kv_heads,
            shape.head_dim, shape.context);
    finish(file);
}

static uint64_t tensor_bytes(const struct tensor *tensor)
{
    return 4u * (uint64_t)tensor->rows * (uint64_t)(tensor->cols ? tensor->cols : 1);
}

/* The header: eight bytes of its length, then JSON with each tensor's type, shape and place, filled
   up with spaces so that the numbers begin at a multiple of eight. */
static void write_header(FILE *file)
{
    char header[1 << 15];
    int at = snprintf(header, sizeof header, "{\"__metadata__\":{\"format\":\"pt\"}");
    uint64_t from = 0;

    for (int i = 0; i < tensor_count; i++) {
        const struct tensor *tensor = &tensors[i];
        char cols[16] = "";
        if (tensor->cols)
            snprintf(cols, sizeof cols, ",%d", tensor->cols);
        at += snprintf(header + at, sizeof header - (size_t)at,
                       ",\"%s\":{\"dtype\":\"F32\",\"shape\":[%d%s],\"data_offsets\":[%llu,%llu]}",
                       tensor->name, tensor->rows, cols, (unsigned long long)from,
                       (unsigned long long)(from + tensor_bytes(tensor)));
        from += tensor_bytes(tensor);
    }
    header[at++] = '}';
    while (at % 8)
        header[at++] = ' ';
    for (int i = 0; i < 8; i++)
        fputc(i < 4 ? at >> 8 * i & 0xff : 0, file);
    fwrite(header, 1, (size_t)at, file);
}

/* Number `counter` of one stream: the finaliser of splitmix64, in [0, 1) with 24 bits. */
static float uniform(uint64_t counter)
{
    uint64_t x = counter * 0x9e3779b97f4a7c15u;

    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    x ^= x >> 31;
    return (float)(x >> 40) * 0x1p-24f;
}

static void write_tensors(FILE *file)
{
    uint64_t counter = 0;

    for (int i = 0; i < tensor_count; i++)
        for (uint64_t k = 0; k < tensor_bytes(&tensors[i]) / 4; k++) {
            float sum = -6, value = 1;
            for (int u = 0; u < 12; u++)
                sum += uniform(++counter);
            if (tensors[i].deviation > 0)
                value = sum * tensors[i].deviation;
            fwrite(&value, sizeof value, 1, file);    /* x86 and arm keep little-endian numbers */
        }
}

int main(int argc, char **argv)
{
    int vocabulary = argc == 3 ? atoi(argv[2]) : 0;

    if (vocabulary < 1) {
        fprintf(stderr, "usage: init DIR VOCABULARY   (DIR: an existing folder)\n");
        return 2;
    }
    add("embed_tokens", -1, vocabulary, shape.dim, 0.02f);
    for (int layer = 0; layer < shape.layers; layer++)
        add_layer(layer);
    add("norm", -1, shape.dim, 0, 0);
    write_config(argv[1], vocabulary);
    FILE *file = create(argv[1], "model.safetensors");
    write_header(file);
    write_tensors(file);
    finish(file);
    return 0;
}
