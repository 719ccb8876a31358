/* gguf_import.c - a GGUF of the LLaMA family becomes a folder; without tensors, tokenizer files only.
 *
 * The sizes come from the entries llama.*; the tensors must be exactly those that such a model has.
 * LLaMA 3's scaling is not among the entries but in the tensor rope_freqs.weight, as the finished
 * factors: its constants are found again by comparing. */
#include "engine/format/gguf_import.h"
#include "engine/format/tokenizer_parts.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

struct source { const struct gguf *g; void *raw; };

static bool read_rows(void *self, const struct llama_tensor *t, int64_t first, int64_t n, float *out, struct err *err)
{
    const struct source *s = self;
    const struct gguf_tensor *x = gguf_find(s->g, t->gguf);
    return gguf_floats(s->g, x, first * t->columns, n * t->columns, out, s->raw, err);
}

static bool need(const struct gguf *g, const char *key, struct err *err)
{
    return gguf_get(g, key) || fail(err, "%s has no entry %s", g->path, key);
}

static bool read_sizes(const struct gguf *g, struct llama *m, struct err *err)
{
    const struct { const char *key; int64_t *v; } rows[] = {
        {"llama.block_count", &m->layers}, {"llama.embedding_length", &m->hidden},
        {"llama.feed_forward_length", &m->inner}, {"llama.attention.head_count", &m->heads},
        {"llama.context_length", &m->context}};
    for (size_t i = 0; i < COUNT(rows); i++)
        if (!need(g, rows[i].key, err) || !gguf_int(g, rows[i].v, rows[i].key, 1, 1 << 24, err)) return false;
    m->kv_heads = m->heads;
    if (!gguf_int(g, &m->kv_heads, "llama.attention.head_count_kv", 1, 1 << 24, err)) return false;
    int64_t key = m->hidden / m->heads, value, rotated, experts = 0;
    if (!gguf_int(g, &key, "llama.attention.key_length", 1, 1 << 24, err)) return false;
    value = rotated = m->head_dim = key;
    if (!gguf_int(g, &value, "llama.attention.value_length", 1, 1 << 24, err) ||
        !gguf_int(g, &rotated, "llama.rope.dimension_count", 1, 1 << 24, err) ||
        !gguf_int(g, &experts, "llama.expert_count", 0, 1 << 24, err)) return false;
    if (!gguf_get(g, "llama.attention.key_length") && m->hidden % m->heads)
        return fail(err, "%s: the width %lld is no multiple of %lld heads", g->path, (long long)m->hidden, (long long)m->heads);
    if (value != key || rotated != key)
        return fail(err, "%s: keys have %lld dimensions, values %lld, %lld are rotated; hone reads models where all are equal",
                    g->path, (long long)key, (long long)value, (long long)rotated);
    return experts == 0 || fail(err, "%s is a mixture of %lld experts, which hone does not read", g->path, (long long)experts);
}

static bool read_scaling(const struct gguf *g, struct llama *m, struct err *err)
{
    struct text type = TEXT("none");
    double old = 0;
    if (!gguf_text(g, &type, "llama.rope.scaling.type", err) ||
        !gguf_num(g, &m->factor, "llama.rope.scaling.factor", 0, 1e6, err) ||
        !gguf_num(g, &old, "llama.rope.scale_linear", 0, 1e6, err)) return false;
    if (old > 1) {
        m->factor = old;
        type = TEXT("linear");
    }
    if (!text_is(type, "none") && !text_is(type, "linear"))
        return fail(err, "%s: RoPE is scaled by %s; hone reads linear and LLaMA 3's scaling", g->path, shown(g->a, type));
    if (text_is(type, "linear") && m->factor > 1) m->rope = ROPE_LINEAR;
    return true;
}

/* Tries LLaMA 3's constants 1 and 4 with every original context that is a power of two. */
static bool read_factors(const struct gguf *g, struct llama *m, struct err *err)
{
    const struct gguf_tensor *t = gguf_find(g, "rope_freqs.weight");
    if (!t) return true;
    int64_t n = m->head_dim / 2;
    if (t->elements != n || t->type != GGML_F32 || m->rope != ROPE_PLAIN)
        return fail(err, "%s: rope_freqs.weight has %lld numbers of %s where %lld of F32 and no other scaling are read",
                    g->path, (long long)t->elements, ggml_name(t->type), (long long)n);
    float *is = NEW_N(g->a, float, n), *want = NEW_N(g->a, float, n), *raw = NEW_N(g->a, float, n);
    if (!gguf_floats(g, t, 0, n, is, raw, err)) return false;
    struct llama tried = *m;
    tried.rope = ROPE_LLAMA3;
    tried.low = 1;
    tried.high = 4;
    for (int64_t i = 0; i < n; i++)
        if (is[i] > tried.factor) tried.factor = is[i];
    for (tried.original = 16; tried.original <= 16777216; tried.original *= 2) {
        bool equal = true;
        llama3_factors(&tried, want);
        for (int64_t i = 0; i < n && equal; i++) equal = fabsf(is[i] - want[i]) <= 1e-4f * want[i];
        if (!equal) continue;
        if (tried.factor > 1) *m = tried;
        return true;
    }
    return fail(err, "%s: rope_freqs.weight holds factors that are not LLaMA 3's (low 1, high 4)", g->path);
}

static bool read_model(const struct gguf *g, struct llama *m, struct err *err)
{
    *m = (struct llama){.theta = 10000, .eps = 1e-5};
    const struct gguf_tensor *embedding = gguf_find(g, "token_embd.weight");
    if (!embedding) return fail(err, "%s has no tensor token_embd.weight", g->path);
    if (!read_sizes(g, m, err) || !need(g, "llama.attention.layer_norm_rms_epsilon", err) ||
        !gguf_num(g, &m->eps, "llama.attention.layer_norm_rms_epsilon", 1e-12, 1e-2, err) ||
        !gguf_num(g, &m->theta, "llama.rope.freq_base", 1, 1e9, err) || !read_scaling(g, m, err)) return false;
    m->vocab = embedding->rank == 2 ? embedding->dims[1] : 0;
    m->untied = gguf_find(g, "output.weight") != NULL;
    m->attention_bias = gguf_find(g, "blk.0.attn_q.bias") != NULL;
    m->mlp_bias = gguf_find(g, "blk.0.ffn_gate.bias") != NULL;
    return llama_check(m, g->path, err) && read_factors(g, m, err) && llama_check(m, g->path, err);
}

static bool check_tensor(const struct gguf *g, const struct llama_tensor *t, struct err *err)
{
    const struct gguf_tensor *x = gguf_find(g, t->gguf);
    if (!x) return fail(err, "%s has no tensor %s", g->path, t->gguf);
    int64_t columns = t->rank == 2 ? t->columns : t->rows, rows = t->rank == 2 ? t->rows : 1;
    if (x->dims[0] != columns || x->elements != columns * rows)
        return fail(err, "%s: tensor %s has rows of %lld and %lld numbers in all; %lld and %lld belong there", g->path, t->gguf,
                    (long long)x->dims[0], (long long)x->elements, (long long)columns, (long long)(columns * rows));
    if (t->rank == 1 && ggml_block(x->type)->elements != 1)
        return fail(err, "%s: tensor %s is %s; norms and biases are read from F32, F16 and BF16", g->path, t->gguf,
                    ggml_name(x->type));
    return true;
}

/* Each tensor that the model has is there in its shape, and no other. */
static bool check_tensors(const struct gguf *g, const struct llama *m, int64_t *raw_bytes, struct err *err)
{
    struct llama_tensor *list;
    int64_t n = llama_tensors(&list, m, g->a);
    if (n > g->n_tensors) return fail(err, "%s holds %d tensors; a model of %lld layers has %lld", g->path, g->n_tensors,
                                      (long long)m->layers, (long long)n);
    *raw_bytes = 0;
    for (int64_t i = 0; i < n; i++) {
        if (!check_tensor(g, &list[i], err)) return false;
        int64_t at_once = (list[i].heads ? m->head_dim : 1) * list[i].columns;
        if (at_once < 1 << 20) at_once = 1 << 20;
        if (at_once * 4 > *raw_bytes) *raw_bytes = at_once * 4;
    }
    bool factors = gguf_find(g, "rope_freqs.weight") != NULL;
    for (int i = 0; i < g->n_tensors && g->n_tensors != n + factors; i++) {
        bool known = strcmp(g->tensors[i].name, "rope_freqs.weight") == 0;
        for (int64_t k = 0; k < n && !known; k++) known = strcmp(list[k].gguf, g->tensors[i].name) == 0;
        if (!known)
            return fail(err, "%s: tensor %s is none of the LLaMA family", g->path, shown(g->a, text_of(g->tensors[i].name)));
    }
    return true;
}

static bool check_family(const struct gguf *g, struct err *err)
{
    struct text family = {0};
    int64_t parts = 1;
    if (!gguf_text(g, &family, "general.architecture", err) || !gguf_int(g, &parts, "split.count", 0, 65535, err)) return false;
    if (parts > 1)
        return fail(err, "%s is one of %lld parts; join them first (llama-gguf-split --merge)", g->path, (long long)parts);
    return g->n_tensors == 0 || text_is(family, "llama") ||
           fail(err, "%s is a model of the family %s; hone imports llama", g->path, shown(g->a, family));
}

static bool import_open(struct importing *i, const struct gguf *g)
{
    struct llama m;
    struct vocab v;
    int64_t raw_bytes = 0;
    if (!check_family(g, i->err)) return false;
    if (g->n_tensors == 0)
        return gguf_vocab(g, &v, 0, i->err) && vocab_write(&v, i->dir, i->file, i->a, i->err);
    if (!read_model(g, &m, i->err) || !check_tensors(g, &m, &raw_bytes, i->err)) return false;
    if (!gguf_vocab(g, &v, m.context, i->err)) return false;
    if (v.n > m.vocab)
        return fail(i->err, "%s has %d tokens but the embedding has %lld rows", g->path, v.n, (long long)m.vocab);
    struct source source = {g, arena_take(i->a, 1, (size_t)raw_bytes)};
    return vocab_write(&v, i->dir, i->file, i->a, i->err) && write_config(i, &m, &v) &&
           write_weights(i, &m, (struct llama_source){read_rows, &source});
}

bool import_gguf(struct importing *i)
{
    struct gguf g;
    if (!gguf_open(&g, i->file, i->a, i->err)) return false;
    bool ok = import_open(i, &g);
    gguf_close(&g);
    return ok;
}
