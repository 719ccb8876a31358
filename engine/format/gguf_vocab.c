/* gguf_vocab.c - the vocabulary of a GGUF. */
#include "engine/format/gguf_import.h"
#include "engine/format/tokenizer_parts.h"
#include <string.h>

static bool read_merges(const struct gguf *g, struct vocab *v, struct err *err)
{
    struct text *lines = NULL;
    if (!gguf_texts(g, &lines, &v->n_merges, "tokenizer.ggml.merges", err)) return false;
    v->merges = NEW_N(g->a, struct merge, v->n_merges);
    for (int i = 0; i < v->n_merges; i++) {
        const char *space = lines[i].n > 1 ? memchr(lines[i].p + 1, ' ', lines[i].n - 1) : NULL;
        if (!space) return fail(err, "%s: merge %d is %s, not two tokens", g->path, i, shown(g->a, lines[i]));
        size_t n = (size_t)(space - lines[i].p);
        v->merges[i] = (struct merge){{lines[i].p, n}, {space + 1, lines[i].n - n - 1}};
    }
    return true;
}

static bool read_pre(const struct gguf *g, struct vocab *v, struct err *err)
{
    struct text name = TEXT("default");
    if (!gguf_text(g, &name, "tokenizer.ggml.pre", err)) return false;
    v->pre = pre_find(name);
    if (v->pre) return read_merges(g, v, err);
    struct buf known = buf_make(g->a);
    for (int i = 0; pre_at(i); i++) buf_printf(&known, "%s%s", i ? ", " : "", pre_at(i)->names[0]);
    return fail(err, "%s: the pre-tokenizer %s is not known; known are %s", g->path, shown(g->a, name), known.p);
}

static bool read_scores(const struct gguf *g, struct vocab *v, struct err *err)
{
    int n;
    if (!gguf_nums(g, &v->scores, &n, "tokenizer.ggml.scores", err)) return false;
    return n == v->n || fail(err, "%s has %d tokens but %d scores", g->path, v->n, n);
}

static bool read_types(const struct gguf *g, struct vocab *v, struct err *err)
{
    int n;
    if (!gguf_ints(g, &v->types, &n, "tokenizer.ggml.token_type", err)) return false;
    if (n && n != v->n) return fail(err, "%s has %d tokens but %d token types", g->path, v->n, n);
    if (n) return true;
    v->types = NEW_N(g->a, int32_t, v->n);
    for (int i = 0; i < v->n; i++) v->types[i] = TOKEN_NORMAL;
    return true;
}

static bool read_id(const struct gguf *g, int *out, const char *key, int most, struct err *err)
{
    int64_t v = -1;
    if (!gguf_int(g, &v, key, -1, UINT32_MAX, err)) return false;
    if (v == UINT32_MAX) v = -1; /* some writers say "none" so */
    if (v >= most) return fail(err, "%s: %s is %lld, but there are %d tokens", g->path, key, (long long)v, most);
    *out = (int)v;
    return true;
}

static bool read_ids(const struct gguf *g, struct vocab *v, struct err *err)
{
    const struct { const char *key; int *id; } rows[] = {
        {"tokenizer.ggml.bos_token_id", &v->bos}, {"tokenizer.ggml.eos_token_id", &v->eos},
        {"tokenizer.ggml.unknown_token_id", &v->unknown}, {"tokenizer.ggml.padding_token_id", &v->padding},
        {"tokenizer.ggml.eot_token_id", &v->turn_end}};
    for (size_t i = 0; i < COUNT(rows); i++)
        if (!read_id(g, rows[i].id, rows[i].key, v->n, err)) return false;
    return true;
}

bool gguf_vocab(const struct gguf *g, struct vocab *v, int64_t context, struct err *err)
{
    struct text model = {0};
    *v = (struct vocab){.space_prefix = true, .context = context};
    if (!gguf_text(g, &model, "tokenizer.ggml.model", err) ||
        !gguf_texts(g, &v->tokens, &v->n, "tokenizer.ggml.tokens", err) || !read_types(g, v, err)) return false;
    if (v->n == 0) return fail(err, "%s holds no vocabulary (tokenizer.ggml.tokens)", g->path);
    bool spm = text_is(model, "llama");
    if (!spm && !text_is(model, "gpt2"))
        return fail(err, "%s: the tokenizer is of the kind %s; gpt2 (byte-level BPE) and llama (SentencePiece BPE) are read",
                    g->path, shown(g->a, model));
    if (!(spm ? read_scores(g, v, err) : read_pre(g, v, err)) || !read_ids(g, v, err)) return false;
    v->adds_bos = v->bos >= 0 && (spm || v->pre->adds_bos);
    return gguf_bool(g, &v->adds_bos, "tokenizer.ggml.add_bos_token", err) &&
           gguf_bool(g, &v->adds_eos, "tokenizer.ggml.add_eos_token", err) &&
           gguf_bool(g, &v->space_prefix, "tokenizer.ggml.add_space_prefix", err) &&
           gguf_text(g, &v->chat_template, "tokenizer.chat_template", err);
}
