/* import_llama.h - the LLaMA family between formats: its sizes, its tensors under both names, and
 * how a Hugging Face folder is written from either source; private to this folder. */
#ifndef HONE_IMPORT_LLAMA_H
#define HONE_IMPORT_LLAMA_H
#include "engine/format/import.h"
#include "engine/format/import_vocab.h"

enum rope_kind { ROPE_PLAIN, ROPE_LINEAR, ROPE_LLAMA3 };
struct llama {
    int64_t layers, hidden, heads, kv_heads, head_dim, inner, vocab, context;
    double eps, theta;
    bool untied, attention_bias, mlp_bias;
    enum rope_kind rope;
    double factor, low, high, original;    /* linear: factor; llama3: all */
};
/* The limits of every number; names `from` in the sentence. */
bool llama_check(const struct llama *m, const char *from, struct err *err);

enum tensor_kind { K_EMBEDDING, K_NORM, K_HEAD, K_ATTENTION_NORM, K_Q, K_K, K_V, K_O, K_Q_BIAS, K_K_BIAS, K_V_BIAS,
                   K_O_BIAS, K_MLP_NORM, K_GATE, K_UP, K_DOWN, K_GATE_BIAS, K_UP_BIAS, K_DOWN_BIAS, TENSOR_KINDS };
/* A tensor of a model: rows x columns, or (rank 1) rows. heads: 0, or the heads whose rows are in
 * another order outside of Hugging Face. */
struct llama_tensor { enum tensor_kind kind; int layer; char *hf, *gguf; int rank; int64_t rows, columns, heads; };
int64_t llama_tensors(struct llama_tensor **list, const struct llama *m, struct arena *a);

/* LLaMA rotates the pairs (2i, 2i+1) of a head, Hugging Face (i, i + head_dim/2): row `row` of a head
 * in Hugging Face's order is this row of the other. */
static inline int64_t rope_row(int64_t row, int64_t head_dim)
{
    int64_t half = head_dim / 2;
    return row < half ? 2 * row : 2 * (row - half) + 1;
}
/* The factors that LLaMA 3 divides its frequencies by: head_dim / 2 of them. */
void llama3_factors(const struct llama *m, float *out);

/* Reads rows first .. first+n-1 of a tensor in the source's own order. */
struct llama_source {
    bool (*rows)(void *self, const struct llama_tensor *t, int64_t first, int64_t n, float *out, struct err *err);
    void *self;
};
struct importing {
    const char *file, *dir;      /* dir: the folder as long as it is not whole */
    const struct import_options *o;
    struct arena *a;
    struct err *err;
};
bool write_config(const struct importing *i, const struct llama *m, const struct vocab *v); /* v: its special ids */
bool write_weights(const struct importing *i, const struct llama *m, struct llama_source source);

bool rename_new(const char *from, const char *to, struct err *err); /* never replaces */
bool import_gguf(struct importing *i);
bool import_llama2c(struct importing *i);
#endif
