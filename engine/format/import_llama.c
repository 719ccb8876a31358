/* import_llama.c - the tensors of the LLaMA family, config.json, and the weights of a folder.
 *
 * One table says for each tensor its names, its shape in terms of the model's sizes, and when it is
 * there; importing and exporting both walk it. */
#include "engine/format/import_llama.h"
#include "engine/format/json.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum extent { ONE, HIDDEN, QUERY, KEY, INNER, VOCAB };
enum presence { ALWAYS, UNTIED, ATTENTION_BIAS, MLP_BIAS };
static const struct {
    const char *hf, *gguf;
    enum extent rows, columns;     /* columns ONE: rank 1 */
    enum presence when;
    bool rotated;
} table[TENSOR_KINDS] = {
    [K_EMBEDDING] = {"model.embed_tokens.weight", "token_embd.weight", VOCAB, HIDDEN, ALWAYS, false},
    [K_NORM] = {"model.norm.weight", "output_norm.weight", HIDDEN, ONE, ALWAYS, false},
    [K_HEAD] = {"lm_head.weight", "output.weight", VOCAB, HIDDEN, UNTIED, false},
    [K_ATTENTION_NORM] = {"input_layernorm.weight", "attn_norm.weight", HIDDEN, ONE, ALWAYS, false},
    [K_Q] = {"self_attn.q_proj.weight", "attn_q.weight", QUERY, HIDDEN, ALWAYS, true},
    [K_K] = {"self_attn.k_proj.weight", "attn_k.weight", KEY, HIDDEN, ALWAYS, true},
    [K_V] = {"self_attn.v_proj.weight", "attn_v.weight", KEY, HIDDEN, ALWAYS, false},
    [K_O] = {"self_attn.o_proj.weight", "attn_output.weight", HIDDEN, QUERY, ALWAYS, false},
    [K_Q_BIAS] = {"self_attn.q_proj.bias", "attn_q.bias", QUERY, ONE, ATTENTION_BIAS, true},
    [K_K_BIAS] = {"self_attn.k_proj.bias", "attn_k.bias", KEY, ONE, ATTENTION_BIAS, true},
    [K_V_BIAS] = {"self_attn.v_proj.bias", "attn_v.bias", KEY, ONE, ATTENTION_BIAS, false},
    [K_O_BIAS] = {"self_attn.o_proj.bias", "attn_output.bias", HIDDEN, ONE, ATTENTION_BIAS, false},
    [K_MLP_NORM] = {"post_attention_layernorm.weight", "ffn_norm.weight", HIDDEN, ONE, ALWAYS, false},
    [K_GATE] = {"mlp.gate_proj.weight", "ffn_gate.weight", INNER, HIDDEN, ALWAYS, false},
    [K_UP] = {"mlp.up_proj.weight", "ffn_up.weight", INNER, HIDDEN, ALWAYS, false},
    [K_DOWN] = {"mlp.down_proj.weight", "ffn_down.weight", HIDDEN, INNER, ALWAYS, false},
    [K_GATE_BIAS] = {"mlp.gate_proj.bias", "ffn_gate.bias", INNER, ONE, MLP_BIAS, false},
    [K_UP_BIAS] = {"mlp.up_proj.bias", "ffn_up.bias", INNER, ONE, MLP_BIAS, false},
    [K_DOWN_BIAS] = {"mlp.down_proj.bias", "ffn_down.bias", HIDDEN, ONE, MLP_BIAS, false}};

bool llama_check(const struct llama *m, const char *from, struct err *err)
{
    const struct { const char *name; int64_t v, least, most; } rows[] = {
        {"layers", m->layers, 1, 1024}, {"hidden size", m->hidden, 8, 65536}, {"heads", m->heads, 1, 1024},
        {"key-value heads", m->kv_heads, 1, 1024}, {"head size", m->head_dim, 2, 1024},
        {"inner size", m->inner, 1, 1048576}, {"vocabulary", m->vocab, 1, VOCAB_MOST},
        {"context", m->context, 1, 16777216}};
    for (size_t i = 0; i < COUNT(rows); i++)
        if (rows[i].v < rows[i].least || rows[i].v > rows[i].most)
            return fail(err, "%s: %s %lld; it must be %lld to %lld", from, rows[i].name, (long long)rows[i].v,
                        (long long)rows[i].least, (long long)rows[i].most);
    if (m->heads % m->kv_heads)
        return fail(err, "%s: %lld heads are no multiple of %lld key-value heads", from, (long long)m->heads,
                    (long long)m->kv_heads);
    if (m->head_dim % 2) return fail(err, "%s: the head size %lld is odd", from, (long long)m->head_dim);
    if (!(m->eps >= 1e-12 && m->eps <= 1e-2)) return fail(err, "%s: the norm's epsilon is %g; it must be 1e-12 to 1e-2", from, m->eps);
    if (!(m->theta >= 1 && m->theta <= 1e9)) return fail(err, "%s: RoPE's theta is %g; it must be 1 to 1e9", from, m->theta);
    if (m->rope != ROPE_PLAIN && !(m->factor >= 1 && m->factor <= 1e4))
        return fail(err, "%s: RoPE's factor is %g; it must be 1 to 10,000", from, m->factor);
    if (m->rope == ROPE_LLAMA3 && !(m->low > 0 && m->high > m->low && m->high <= 1e6 && m->original >= 1 && m->original <= 16777216))
        return fail(err, "%s: RoPE's scaling has low %g, high %g and original context %g; 0 < low < high is needed",
                    from, m->low, m->high, m->original);
    return true;
}

static int64_t extent_of(const struct llama *m, enum extent e)
{
    return (const int64_t[]){1, m->hidden, m->heads * m->head_dim, m->kv_heads * m->head_dim, m->inner, m->vocab}[e];
}

static bool is_there(const struct llama *m, enum presence p)
{
    return (const bool[]){true, m->untied, m->attention_bias, m->mlp_bias}[p];
}

static void add_tensor(struct llama_tensor *out, const struct llama *m, enum tensor_kind kind, int layer, struct arena *a)
{
    *out = (struct llama_tensor){.kind = kind, .layer = layer, .rank = table[kind].columns == ONE ? 1 : 2,
        .rows = extent_of(m, table[kind].rows), .columns = extent_of(m, table[kind].columns)};
    if (table[kind].rotated) out->heads = out->rows / m->head_dim;
    bool of_layer = kind > K_HEAD;
    out->hf = of_layer ? arena_printf(a, "model.layers.%d.%s", layer, table[kind].hf) : arena_printf(a, "%s", table[kind].hf);
    out->gguf = of_layer ? arena_printf(a, "blk.%d.%s", layer, table[kind].gguf) : arena_printf(a, "%s", table[kind].gguf);
}

int64_t llama_tensors(struct llama_tensor **list, const struct llama *m, struct arena *a)
{
    int64_t n = 0;
    *list = NEW_N(a, struct llama_tensor, (m->layers + 1) * TENSOR_KINDS);
    for (int kind = 0; kind <= K_HEAD; kind++)
        if (is_there(m, table[kind].when)) add_tensor(&(*list)[n++], m, (enum tensor_kind)kind, 0, a);
    for (int layer = 0; layer < m->layers; layer++)
        for (int kind = K_HEAD + 1; kind < TENSOR_KINDS; kind++)
            if (is_there(m, table[kind].when)) add_tensor(&(*list)[n++], m, (enum tensor_kind)kind, layer, a);
    return n;
}

/* Long waves are stretched by factor, short ones not at all, those between by a share of both. */
void llama3_factors(const struct llama *m, float *out)
{
    for (int64_t i = 0; i < m->head_dim / 2; i++) {
        double wave = 2 * 3.14159265358979323846 * pow(m->theta, 2.0 * (double)i / (double)m->head_dim);
        double smooth = (m->original / wave - m->low) / (m->high - m->low);
        if (wave < m->original / m->high) out[i] = 1;
        else if (wave > m->original / m->low) out[i] = (float)m->factor;
        else out[i] = (float)(1 / ((1 - smooth) / m->factor + smooth));
    }
}

/* A number that was stored in fp32, by the fewest digits that give it back: 1e-05, not 9.99999975e-06.
 * With a point or exponent, since transformers asks for floats. */
static void put_single(struct buf *b, double v)
{
    char s[64];
    for (int digits = 1; digits <= 9; digits++) {
        snprintf(s, sizeof s, "%.*g", digits, v);
        if (strtof(s, NULL) == (float)v) break;
    }
    size_t from = b->n;
    json_put_num(b, strtod(s, NULL));
    if (!strpbrk(b->p + from, ".e")) buf_put(b, ".0", 2);
}

static void put_rope(struct buf *b, const struct llama *m)
{
    json_put_key(b, "rope_theta");
    put_single(b, m->theta);
    if (m->rope == ROPE_PLAIN) return;
    json_put_key(b, "rope_scaling");
    buf_printf(b, "{\"rope_type\": \"%s\", \"factor\": ", m->rope == ROPE_LINEAR ? "linear" : "llama3");
    put_single(b, m->factor);
    if (m->rope == ROPE_LLAMA3) {
        json_put_key(b, "low_freq_factor");
        put_single(b, m->low);
        json_put_key(b, "high_freq_factor");
        put_single(b, m->high);
        json_field_int(b, "original_max_position_embeddings", (int64_t)m->original);
    }
    buf_put(b, "}", 1);
}

static bool write_generation(const struct importing *i, const struct vocab *v)
{
    struct buf b = buf_make(i->a);
    if (v->eos < 0 || v->turn_end < 0 || v->turn_end == v->eos) return true;
    buf_printf(&b, "{\"eos_token_id\": [%d, %d]}\n", v->eos, v->turn_end);
    return file_replace(path_join(i->a, i->dir, "generation_config.json"), buf_text(&b), i->err);
}

bool write_config(const struct importing *i, const struct llama *m, const struct vocab *v)
{
    struct buf b = buf_make(i->a);
    const struct { const char *key; int64_t v; } sizes[] = {
        {"hidden_size", m->hidden}, {"intermediate_size", m->inner}, {"num_hidden_layers", m->layers},
        {"num_attention_heads", m->heads}, {"num_key_value_heads", m->kv_heads}, {"head_dim", m->head_dim},
        {"vocab_size", m->vocab}, {"max_position_embeddings", m->context}};
    const struct { const char *key; bool v; } flags[] = {
        {"attention_bias", m->attention_bias}, {"mlp_bias", m->mlp_bias}, {"tie_word_embeddings", !m->untied}};
    const struct { const char *key; int id; } ids[] = {
        {"bos_token_id", v->bos}, {"eos_token_id", v->eos}, {"pad_token_id", v->padding}};
    buf_printf(&b, "{\"architectures\": [\"LlamaForCausalLM\"], \"model_type\": \"llama\", \"hidden_act\": \"silu\"");
    for (size_t k = 0; k < COUNT(sizes); k++) json_field_int(&b, sizes[k].key, sizes[k].v);
    json_put_key(&b, "rms_norm_eps");
    put_single(&b, m->eps);
    put_rope(&b, m);
    for (size_t k = 0; k < COUNT(flags); k++) json_put_key(&b, flags[k].key), buf_printf(&b, flags[k].v ? "true" : "false");
    for (size_t k = 0; k < COUNT(ids); k++)
        if (ids[k].id >= 0) json_field_int(&b, ids[k].key, ids[k].id);
    json_put_key(&b, "torch_dtype");
    buf_printf(&b, "\"%s\"}\n", i->o->type == T_F32 ? "float32" : "bfloat16");
    return file_replace(path_join(i->a, i->dir, "config.json"), buf_text(&b), i->err) && write_generation(i, v);
}

/* Rows at once: a head where its rows change places, else about a million numbers. */
static int64_t rows_at_once(const struct llama_tensor *t)
{
    int64_t n = t->heads ? t->rows / t->heads : (1 << 20) / t->columns;
    return n < 1 ? 1 : n > t->rows ? t->rows : n;
}

static bool write_tensor(const struct importing *i, struct tensors_writer *w, const struct llama_tensor *t,
                         struct llama_source source, float *in, float *out)
{
    int64_t step = rows_at_once(t);
    for (int64_t first = 0; first < t->rows; first += step) {
        int64_t n = t->rows - first < step ? t->rows - first : step;
        if (!source.rows(source.self, t, first, n, in, i->err)) return false;
        for (int64_t r = 0; t->heads && r < n; r++)
            memcpy(out + r * t->columns, in + rope_row(r, n) * t->columns, (size_t)t->columns * sizeof *out);
        if (!tensors_write_f32(w, t->heads ? out : in, n * t->columns, i->err)) return false;
    }
    return true;
}

static bool check_room(const struct importing *i, int64_t bytes)
{
    char need[16], have[16];
    int64_t room = disk_free(i->dir);
    if (room < 0 || bytes <= room) return true;
    return fail(i->err, "the weights take %s but %s are free beside %s", text_bytes(need, bytes), text_bytes(have, room), i->dir);
}

bool write_weights(const struct importing *i, const struct llama *m, struct llama_source source)
{
    static const char *const metadata[] = {"format", "pt"};
    struct llama_tensor *list;
    struct tensors_writer *w;
    int64_t n = llama_tensors(&list, m, i->a), most = 0, all = 0, done = 0;
    int size = tensor_type_bytes(i->o->type);
    struct tensor_row *rows = NEW_N(i->a, struct tensor_row, n);
    for (int64_t k = 0; k < n; k++) {
        const struct llama_tensor *t = &list[k];
        rows[k] = (struct tensor_row){t->hf, i->o->type, t->rank, {t->rows, t->columns}};
        if (rows_at_once(t) * t->columns > most) most = rows_at_once(t) * t->columns;
        all += t->rows * t->columns * size;
    }
    if (!check_room(i, tensors_file_bytes(rows, (int)n, metadata, 1))) return false;
    float *in = NEW_N(i->a, float, most), *out = NEW_N(i->a, float, most);
    if (!tensors_create(&w, path_join(i->a, i->dir, "model.safetensors"), rows, (int)n, metadata, 1, i->a, i->err)) return false;
    for (int64_t k = 0; k < n; k++) {
        if (!write_tensor(i, w, &list[k], source, in, out)) {
            tensors_abandon(w);
            return false;
        }
        done += list[k].rows * list[k].columns * size;
        if (i->o->progress) i->o->progress(i->o->arg, done, all);
    }
    return tensors_finish(w, NULL, NULL, i->err);
}
