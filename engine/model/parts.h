/* parts.h - what a model consists of, as tables. All of it is pure: a function of config and
 * training.
 *
 *   piece   a tensor as Hugging Face (or PEFT) names it: what is chosen, loaded, saved and decayed
 *   param   a matrix in memory: one piece, or siblings one below the other, so that q, k and v
 *           (gate and up, their LoRA A) are one product
 *   run     neighbouring rows of a param that are trained: what has gradients and moments
 *
 * The pieces of a block come in the order of its forward pass, and `order` numbers the places where
 * a gradient can end: below the lowest trained one nothing is propagated. */
#ifndef HONE_MODEL_PARTS_H
#define HONE_MODEL_PARTS_H
#include "engine/model/model.h"

enum bias_rule { BIAS_NEVER, BIAS_ATTENTION, BIAS_MLP };

struct family {
    const char *name, *architecture; /* model_type and architectures[0] of config.json */
    const char *embed, *norm, *head; /* tensor names */
    const char *block_norm[2];       /* before attention, before the MLP; %d is the layer */
    struct { const char *module, *target; enum bias_rule bias; } linear[LINEARS];
};
extern const struct family families[];
extern const int families_n;
const struct family *family_find(struct text name);

/* The products of a block: siblings share their input and lie in one matrix. */
enum product { PRODUCT_QKV, PRODUCT_O, PRODUCT_GATE_UP, PRODUCT_DOWN, PRODUCTS };
struct product_row { const char *name; enum linear first; int n; };
extern const struct product_row products[PRODUCTS];
enum product product_of(enum linear l);
int linear_out(const struct model_config *c, enum linear l);
int linear_in(const struct model_config *c, enum linear l);
int product_out(const struct model_config *c, enum product p);
/* The first column of a linear in the output of its product. */
int linear_first(const struct model_config *c, enum linear l);

enum kind { KIND_EMBED, KIND_HEAD, KIND_NORM, KIND_WEIGHT, KIND_BIAS, KIND_LORA_A, KIND_LORA_B };

struct piece {
    const char *name;
    int param, first, rows, cols; /* rows first .. of the param; a vector has one row, and in a
                                     param of several its first column here */
    enum linear linear;           /* of a block's linears; else LINEARS */
    bool trained;
};

struct param {
    const char *name;             /* in the layout: "qkv", "attention norm", "q lora b" */
    enum kind kind;
    int layer, rows, cols, order; /* layer -1: none */
    int piece, n_pieces, run, n_runs;
    bool trained;                 /* at least one piece */
};

/* at: its first element in the param's gradient. */
struct run { int param, first, rows, cols; int64_t at; float decay; };

/* Indices of a block's params; -1: absent. */
struct block_parts { int norm[2], weight[PRODUCTS], bias[PRODUCTS], low[PRODUCTS], up[LINEARS]; };

struct parts {
    struct param *params; int n_params;
    struct piece *pieces; int n_pieces;
    struct run *runs; int n_runs;
    struct block_parts *blocks;   /* [layers] */
    int embed, norm, head;        /* params; head == embed where it is tied */
    int lowest;                   /* the lowest order that is trained; ORDER_NONE: nothing is */
};
#define ORDER_NONE INT32_MAX
int order_norm(const struct model_config *c);    /* of the last norm; the head's is one more */
int order_block(int layer, int place); /* place 0 norm, 1 qkv, 2 o, 3 norm, 4 gate_up, 5 down */

/* All tensors of a model, with adapters where lora->rank > 0. Nothing is trained yet. */
void parts_make(struct parts *out, const struct model_config *c, const struct lora *lora,
                struct arena *a);
/* Marks what is trained and lists the runs. */
bool parts_train(struct parts *p, const struct model_config *c, const struct training *t,
                 struct arena *a, struct err *err);

/* The lowest layer that keeps activations: layers + 1 where none does. */
int parts_first_kept(const struct parts *p, const struct model_config *c);
enum recompute recompute_of(const struct training *t, int first_kept, int layer);

/* Operations of a step: a row, a pair of query and key, a label of the head; and what is done
 * again. */
struct flops { double row, pair, label, again_row, again_pair; };
struct flops flops_make(const struct parts *p, const struct model_config *c,
                        const struct training *t);

int64_t piece_blocks(const struct piece *p);     /* of moments that are codes: each has a scale */
bool param_is_vector(const struct param *p);
bool param_is_lora(const struct param *p);
float lora_scale(const struct lora *l);
/* Where a shape of a tensor is printed: "[576, 192]". */
char *piece_shape(char out[48], const struct piece *p, bool vector);
#endif
