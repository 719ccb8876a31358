/* model.h - a transformer on a device: what it is, what it needs, and its few verbs.
 *
 *   config    what a Hugging Face folder says: family, sizes, rope, biases (pure text -> struct)
 *   layout    every buffer of a stage, by owner, with its bytes: a pure function of config,
 *             training and shape. The plan prints this table and model_open places exactly these
 *             rows; nothing is allocated afterwards.
 *   step      forward and backward of one micro-batch: gradients and losses are added
 *   update    guards, clipping, AdamW, and weights packed again
 *   generate  prompt and tokens with a key-value cache
 *
 * A family is a row (family.c): tensor names, biases, norms. Forward and backward are one
 * hand-written pass over such a block in reading order (forward.c, backward.c): no graph, no
 * autograd.
 *
 * Masters of what is trained are F32; gradients too, or BF16 for the weights of products; moments
 * are F32, BF16 or codes of 8 bits with scales (U8, kernels.h). Weights are multiplied in the
 * compute type, F32 or BF16, from a packed copy made after each update where the device keeps one.
 * What is frozen lies in memory once, as F32 or BF16 (`frozen`), packed once where it is packed. The
 * residual stream is F32; other activations are of the compute type.
 *
 * A model belongs to the thread that owns its device. */
#ifndef HONE_MODEL_H
#define HONE_MODEL_H
#include "engine/base/base.h"
#include "engine/data/data.h"
#include "engine/format/safetensors.h"
#include "kernels/kernels.h"

/* ---- what a folder holds ---- */

enum rope_scaling { ROPE_PLAIN, ROPE_LINEAR, ROPE_LLAMA3 };

struct model_config {
    const struct family *family;       /* the row; family_name() gives "llama" */
    int layers, dim, heads, kv_heads, head_dim, ffn, vocab, max_position;
    float eps, rope_theta;
    enum rope_scaling scaling;
    float rope_factor, rope_low, rope_high; int rope_original;
    bool tied, attention_bias, mlp_bias;
    enum tensor_type type;             /* of the file */
    int64_t parameters;                /* elements, a tied head counted once */
    int n_eos; int32_t eos[8];         /* from generation_config.json, else config.json */
    int32_t bos;                       /* -1: none */
    char source_hash[33];              /* of config.json */
};
/* Reads config.json (strict: ranges of reliability.md, unknown family refused by name) and compares
 * it with the tensors that are really there (names, shapes). The sentence lists what is missing. */
bool model_config_read(struct model_config *out, const char *dir, struct arena *a, struct err *err);
const char *family_name(const struct family *f);

/* ---- what is trained ---- */

/* What a block's backward pass computes again instead of keeping it: each all of the one before,
 * and norm outputs; SwiGLU's; attention and what it adds to the stream; all but the block's input.
 */
enum recompute {
    RECOMPUTE_NONE, RECOMPUTE_NORMS, RECOMPUTE_SELECTIVE, RECOMPUTE_ATTENTION, RECOMPUTE_FULL
};

struct lora {
    int rank;                          /* 0: no adapter */
    float alpha, dropout;
    bool rank_stabilised;              /* scale alpha / sqrt(rank) instead of alpha / rank */
    unsigned targets;                  /* bit i: linear i of a block (enum linear) */
};
enum linear {
    LINEAR_Q, LINEAR_K, LINEAR_V, LINEAR_O, LINEAR_GATE, LINEAR_UP, LINEAR_DOWN, LINEARS
};
/* "all-linear" or names ("q_proj", "gate_proj") to bits. */
bool lora_targets(unsigned *bits, const char *const *names, int n, struct err *err);
/* What a PEFT folder's adapter_config.json says (strict: what this engine cannot do is refused by
 * name); base: the folder or hub name that it belongs to, "" where it says none. */
bool adapter_read(struct lora *out, const char **base, const char *dir, struct arena *a,
                  struct err *err);

struct training {
    /* Which tensors train: full, lora, or a list of "embeddings", "lm_head", "norms", "last:N",
     * "/regex/". */
    const char *const *parts; int n_parts; /* {"full"}, {"lora"} or the list; 0: none (inference) */
    struct lora lora;                  /* rank > 0: adapters beside the weights, trained or (n_parts
                                          0) only used; 0: a given one is merged as it is loaded */
    enum dtype compute;                /* F32 or BF16 */
    enum dtype frozen;                 /* storage of what is frozen: F32 or BF16 */
    enum dtype moments;                /* storage of AdamW's: F32, BF16 or U8 */
    enum dtype gradients;              /* of what is only multiplied: F32 or BF16. Embeddings,
                                          norms, biases and adapters have F32 */
    enum recompute recompute;
    int recompute_layers;              /* so many of the lowest that keep anything; the others do
                                          the kind before. 0: all */
    float neftune_alpha;
    bool decay_all;                    /* weight decay on vectors too; else on matrices only (which
                                          embeddings are) */
    float weight_decay;
};

/* The largest micro-batch: rows tokens, `longest` of one document, loss_rows labels a slice of the
 * head. alone: a step is one micro-batch, so that a layer's gradients may lie where the activations
 * of the layers above it were; between its model_step and its model_update nothing else is asked.
 */
struct model_shape {
    int rows, longest, loss_rows, cache_tokens; /* cache_tokens: generation; 0 = none */
    bool alone;
};

/* ---- the layout ---- */

enum owner {
    OWN_WEIGHTS, OWN_MASTERS, OWN_MOMENTS, OWN_GRADIENTS, OWN_ACTIVATIONS, OWN_CACHE, OWN_WORKSPACE,
    OWNERS
};
const char *owner_name(enum owner o);  /* "weights", "masters", ... */

/* When a row holds something: what is not needed at the same time may lie in the same place.
 * WHEN_KEPT: from the forward to the backward pass of its layer. WHEN_AFTER: gradients, from the
 * backward pass of their layer on, over activations of the layers above. The head's, the backward
 * pass's and a chat's scratch lie over each other; a chat uses the head too, for one row. */
enum when { WHEN_ALWAYS, WHEN_KEPT, WHEN_AFTER, WHEN_HEAD, WHEN_BACKWARD, WHEN_CHAT };
struct layout_row {
    const char *name; enum owner owner; int layer; enum when when;
    int64_t bytes, at;
};
struct layout {
    struct layout_row *rows; int n;
    int64_t bytes;                     /* of the whole, each row aligned to 256 */
    int64_t owned[OWNERS];             /* they add up to it; gradients and cache: what they take
                                          beside the activations */
    int64_t over;                      /* bytes of rows that lie over others */
    int64_t parameters_trained, parameters_lora;
};
/* Pure: opens nothing. A regular expression that matches nothing, or "last:N" over the layers, is
 * an error. */
bool layout_make(struct layout *out, const struct model_config *c, const struct training *t,
                 const struct model_shape *shape, const struct device_info *device, struct arena *a,
                 struct err *err);

/* Model FLOPs of rows that attend `pairs` query-key pairs (causal, by document), with `labels` rows
 * of the head: frozen weights cost 4, trained 6 a parameter and row, 2 under the lowest trained
 * layer. *hardware adds what is recomputed. */
double model_flops(const struct model_config *c, const struct training *t, int64_t rows,
                   double pairs, int64_t labels, double *hardware);

/* ---- a model in memory ---- */

struct model_files {
    const char *base;                  /* a Hugging Face folder */
    const char *adapter;               /* a PEFT folder, or NULL */
    const char *training;              /* training.safetensors of a checkpoint, or NULL: its masters
                                          win over `base` and `adapter`, by tensor name, for what
                                          is trained now; what is frozen has the base file's
                                          values, so that a resume sees the same */
    bool moments;                      /* read m and v from it too (resume), else they are 0 */
};
struct model;
/* Allocates layout->bytes in one piece and fills it. New LoRA matrices: A uniform as PEFT's kaiming
 * (a = sqrt 5) from the seed, B zero. */
bool model_open(struct model **out, const struct model_config *c, const struct training *t,
                const struct model_shape *shape, const struct layout *layout,
                const struct model_files *files, uint64_t seed, const struct kernels *k,
                struct device *d, struct arena *a, struct err *err);
void model_close(struct model *m);

/* As model_flops, of what this model was opened for; nothing is allocated. */
double model_step_flops(const struct model *m, int64_t rows, double pairs, int64_t labels,
                        double *hardware);

/* ---- training ---- */

struct update {                        /* the scalars of one optimizer step */
    int64_t step;                      /* from 1, of this stage: AdamW's t */
    float lr, beta1, beta2, eps, max_norm;
    double norm_limit, loss_limit;     /* 0: none */
    int64_t trained;                   /* labels of the whole step */
};
struct step_result { double loss; /* nats per label */ double grad_norm; bool skipped; };

/* Begins a step: gradients to zero, the block of scalars uploaded. */
void model_begin(struct model *m, const struct update *u);
/* Forward and backward of one micro-batch: gradients and the block's loss are added. A bad batch
 * (an id over the vocabulary, too many rows) or a device error is said by the next model_update.
 * key: seed, step and micro-batch of dropout and NEFTune. b may change when this returns. */
void model_step(struct model *m, const struct batch *b, struct draw key);
/* Guards, clip, AdamW, repack. false: a device error in a sentence. */
bool model_update(struct model *m, struct step_result *out, struct err *err);

/* ---- without training ---- */

/* Losses of the labels of a batch: losses [rows], 0 where target < 0 (host). Gradients are not
 * touched. */
bool model_losses(struct model *m, const struct batch *b, float *losses, struct err *err);
/* Logits of some rows of a batch: out [n, vocab] F32 (host), for evaluation and comparison. */
bool model_logits(struct model *m, const struct batch *b, const int32_t *rows, int n, float *out,
                  struct err *err);

/* A conversation's cache in memory that the layout holds (shape.cache_tokens). */
void model_forget(struct model *m);                       /* empties the cache */
int model_cached(const struct model *m);                  /* tokens in it; 0 after a step or a
                                                             batch, which use its place, and after
                                                             an update */
const int32_t *model_cached_ids(const struct model *m);   /* which (host, [model_cached]) */
void model_rewind(struct model *m, int tokens);           /* keeps the first `tokens` */
int model_context(const struct model *m);                 /* tokens it can hold: cache_tokens */
/* Reads `n` more tokens into the cache and draws the next id. `recent` (host) is what the penalty
 * counts. false: a device error, or the cache is full ("context of 512 tokens is full"). */
bool model_next(struct model *m, const int32_t *ids, int n, const struct sampling *s,
                const int32_t *recent, int n_recent, struct draw draw, int32_t *next,
                struct err *err);
/* The adapter on or off (off: the base alone answers); training needs it on. */
void model_use_adapter(struct model *m, bool on);

/* ---- saving ---- */

/* The files that were written, for a manifest: size and XXH3-128. What is frozen is read from the
 * files of `base` again, which stay open while the model is. An existing file is never replaced. */
struct saved_file { char name[64]; int64_t bytes; char hash[33]; };
struct saved { struct saved_file files[16]; int n; };
/* Writes config.json and model.safetensors (all weights in `type`, adapters merged when `merge`),
 * without tokenizer files; adds to `saved`. Each file is synced. */
bool model_save(struct model *m, const char *dir, enum tensor_type type, bool merge,
                struct saved *saved, struct err *err);
/* adapter_config.json and adapter_model.safetensors as PEFT reads them. */
bool model_save_adapter(struct model *m, const char *dir, const char *base, struct saved *saved,
                        struct err *err);
/* training.safetensors: NAME (F32 masters of what is trained), NAME.m, NAME.v in the type that they
 * are kept in, and of U8 ones NAME.m.scale, NAME.v.scale: the state bit by bit. */
bool model_save_training(struct model *m, const char *dir, struct saved *saved, struct err *err);
int64_t model_save_bytes(const struct model_config *c, const struct training *t,
                         enum tensor_type type); /* all files together */
/* The tokenizer and other small files of a model folder, copied as they are. */
bool model_copy_files(const char *from, const char *to, struct saved *saved, struct arena *a,
                      struct err *err);
/* XXH3-128 over all masters and moments, in layout order: equal training is equal text. */
bool model_hash(struct model *m, char out[33], struct err *err);

/* How much of an adapter survives rounding to `type`, per linear of each layer: 1 - |lost| /
 * |delta|, with the norms of what it adds and of what rounding takes from that. out:
 * [layers * LINEARS]. */
struct survival { int layer; enum linear linear; double share; };
bool model_survival(struct model *m, enum tensor_type type, struct survival *out, int *n,
                    struct arena *a, struct err *err);
#endif
