/* state.h - a model in memory, and what the files of this folder do for each other.
 *
 * Matrices are views made on the spot (buffer, weight_of): a row of the layout with its shape. Host
 * arrays that an operation reads are in `host`; it has read them when it returns. */
#ifndef HONE_MODEL_STATE_H
#define HONE_MODEL_STATE_H
#include "engine/model/blueprint.h"

/* Where values come from, by tensor name. */
struct origin {
    struct tensors base, adapter, training;
    bool has_adapter, has_training;
    struct lora merged;        /* of the adapter's folder */
};

struct host {
    int32_t *ids, *pos;        /* [rows] */
    int32_t *index, *targets;  /* [rows]: the labelled rows, and their labels */
    int32_t *start, *keys;     /* [rows + 1] borders of queries; [2] of keys on a cache */
    float *losses;                          /* [rows] */
    struct block block;
    float *piece; int64_t piece_n;          /* staging of weights that are loaded or saved */
    uint16_t *half;                         /* [piece_n] */
};

struct place { int slot; int64_t at; };

struct model {
    struct blueprint b;
    const struct kernels *k;
    struct device *d;
    struct arena *a;
    char *base;                             /* device memory: b.layout.bytes */
    struct weight *weights;                 /* [n_params] */
    struct slot *slots; int n_slots;        /* one a run; of moments that are codes, one a piece */
    struct place *places;                   /* [n_pieces]: where a trained piece lies in them */
    struct origin origin;
    struct host host;
    const struct json *config_json;
    struct flops flops;
    uint64_t seed;
    bool adapter_on, in_flight;
    bool carrying;                          /* gradients lie where activations were */
    struct err trouble;                     /* what a step could not say; the update says it */
    int cached; int32_t *cached_ids;
};

/* Sites of random numbers in a step. */
enum site { SITE_NEFTUNE, SITE_LORA, SITE_MOMENTS = SITE_LORA + PRODUCTS, SITES };

/* How blocks are run: a step (labels follow), a reading without gradients, or tokens onto the
 * cache. */
struct pass {
    int rows;
    struct seqs queries, keys;
    bool train;                             /* dropout and noise */
    int cache_at;                           /* the first position in the cache, or -1: none */
    struct draw key;
};

static inline void *buffer_at(const struct model *m, int row)
{
    return row < 0 ? NULL : m->base + m->b.layout.rows[row].at;
}
static inline struct mat buffer(const struct model *m, int row, int rows, int cols, enum dtype t)
{
    return mat_make(buffer_at(m, row), rows, cols, t);
}
/* The gradient of a run of trained rows. */
static inline struct mat run_gradient(const struct model *m, const struct run *r)
{
    const struct storage *s = &m->b.storage[r->param];
    char *at = (char *)buffer_at(m, s->grad) + (size_t)r->at * dtype_bytes(s->gradient);
    return mat_make(at, r->rows, r->cols, s->gradient);
}
static inline bool below(const struct model *m, int order) { return m->b.parts.lowest < order; }

/* ---- batch.c: what a step reads from the host ---- */
bool batch_upload(struct model *m, const struct batch *b, struct pass *p, struct err *err);
int batch_labels(struct model *m, const struct batch *b); /* uploads index and targets; how many */
bool model_wait(struct model *m, struct err *err);             /* a device error in a sentence */

/* ---- update.c ---- */
/* Zero for the gradients of a layer that lie over activations; layer -1: of the embeddings. */
void gradients_begin(struct model *m, int layer);

/* ---- forward.c ---- */
void embed_forward(struct model *m, const struct pass *p);
/* Afterwards stream(layers) is the last stream. */
void blocks_forward(struct model *m, const struct pass *p);
/* What the backward pass of a block reads and the policy did not keep. */
void block_again(struct model *m, const struct pass *p, int layer);
struct mat stream(const struct model *m, int layer, int rows);
struct mat norm_weight(const struct model *m, int param);

/* ---- lora.c ---- */
void adapter_forward(struct model *m, const struct pass *p, int layer, enum product product,
                     struct mat y, struct mat x);
/* The first half of it: dropout(x) A', which the backward pass reads. */
void adapter_low(struct model *m, const struct pass *p, int layer, enum product product,
                 struct mat x);
/* dx.p NULL: not wanted; else dx adds. */
void adapter_backward(struct model *m, const struct pass *p, int layer, enum product product,
                      struct mat dx, struct mat dy, struct mat x);

/* out [rows, cols] adds scale B A; up [rows, rank] are rows of B, low [rank, cols] is A. Sums in
 * double. */
void lora_merge(float *out, int rows, int cols, int rank, const float *up, const float *low,
                double scale);
/* Rows of a piece, in out, add what the model's adapter adds to them: nothing where it has none
 * there. */
bool adapter_merge(struct model *m, int piece, int first, int rows, float *out, struct arena *a,
                   struct err *err);

/* ---- head.c ---- */
/* Of labelled rows first .. first + n - 1. */
void head_logits(struct model *m, int first, int n, struct mat logits);
void head_losses(struct model *m, int labels);                           /* into the losses */
void head_train(struct model *m, int labels); /* losses, gradients, dx of the last stream */

/* ---- backward.c ---- */
void blocks_backward(struct model *m, const struct pass *p);
void weight_gradient(struct model *m, int param, struct mat dy, struct mat x, float alpha);
struct mat vector_gradient(const struct model *m, int param);            /* p NULL: not trained */

/* ---- origin.c ---- */
bool origin_open(struct origin *s, const struct model_files *f, const struct lora *lora,
                 struct arena *a, struct err *err);
void origin_close(struct origin *s);
/* Rows first .. of a piece as it enters the stage: training's masters, else adapter's, else base's
 * (with the adapter merged where the stage has none of its own), else new LoRA values from the
 * seed. */
bool origin_rows(const struct model *m, int piece, int first, int rows, float *out, struct arena *a,
                 struct err *err);
/* Bytes at .. of a checkpoint's tensor, which must be as `row` says: name, type and elements. */
bool origin_moments(const struct model *m, const struct tensor_row *row, int64_t at, int64_t bytes,
                    void *out, struct err *err);

/* ---- weights.c ---- */
/* Rows first .. of a piece as they are now: from the device where it is trained, else from the
 * files. */
bool piece_read(struct model *m, int piece, int first, int rows, float *out, struct arena *a,
                struct err *err);

/* ---- moments.c: what the optimizer keeps ---- */
void slots_make(struct model *m);
void moments_clear(struct model *m);
bool moments_load(struct model *m, struct err *err);
/* The tensors of a trained piece in the order of a checkpoint: m, v, and their scales where they
 * are codes. How many. */
enum { MOMENT_TENSORS = 4 };
int moment_rows(struct tensor_row out[MOMENT_TENSORS], const struct parts *parts,
                const struct training *t, int piece, struct arena *a);
/* The same as memory of the device. */
struct span { char *at; int64_t bytes; };
int moment_spans(struct span out[MOMENT_TENSORS], const struct model *m, int piece);
/* A slot's masters and moments, for a hash over all of them. */
enum { SLOT_SPANS = 1 + MOMENT_TENSORS };
int slot_spans(struct span out[SLOT_SPANS], const struct model *m, int slot);
/* Bytes of the device into the host's staging: at most piece_n * 4. */
bool span_read(struct model *m, const char *at, int64_t bytes, struct err *err);
void weights_settle(struct model *m); /* what is trained, after it changed */
int piece_rows_most(const struct model *m, const struct piece *p); /* rows that fit the staging */
#endif
