/* blueprint.h - the layout with the meaning of its rows: which row holds what. layout_make() hands
 * out the rows; model_open() makes the same blueprint again and puts pointers to them.
 *
 * Legend: T rows of a micro-batch, R rows of a slice of the head, d dim, q = heads head_dim,
 * k = kv_heads head_dim, f ffn, V vocab, r rank. "c" is the compute type. A row number is -1 where
 * the stage has no such buffer; layers that need not keep a buffer share one. */
#ifndef HONE_MODEL_BLUEPRINT_H
#define HONE_MODEL_BLUEPRINT_H
#include "engine/model/parts.h"

struct storage {             /* of a param */
    int w, packed, grad, moments;   /* rows; moments: m, then v */
    int scales;              /* of U8 moments: m's blocks, then v's, each piece with its own */
    enum dtype type, gradient; /* of w, of grad */
    unsigned packing;        /* 0: never multiplied */
};

struct block_rows {
    int x, mid;              /* [T, d] F32: the stream before attention and before the MLP */
    int rstd[2];             /* [T] */
    int n[2];                /* [T, d] c: normed stream */
    int qkv, att, lse;       /* [T, q + 2k] c, [T, q] c, [T, heads] F32 */
    int gu, h;               /* [T, 2f] c, [T, f] c */
    int low[PRODUCTS];       /* [T, n r] c: input times LoRA A */
    int cache_k, cache_v;    /* [cache_tokens, k] c */
};

struct blueprint {
    struct model_config config;
    struct training training;
    struct model_shape shape;
    struct parts parts;
    struct storage *storage;                 /* [parts.n_params] */
    struct block_rows *layers;               /* [layers + 1]; the last one has only x */
    int first_kept;                          /* the lowest layer whose activations are kept */
    int block;                               /* struct block of kernels.h */
    int ids, pos, index, targets, loss, drawn; /* [T] I32 ..., loss [T] F32, drawn [1] */
    int rope;                                /* [positions, head_dim] F32 */
    int xs, ns, rstd, logits;   /* the head's slice: [R, d] F32, [R, d] c, [R], [R, V] F32 */
    int dns, dlab;                           /* [R, d] c; [T, d] F32: gradient of labelled rows */
    int dx, dxc, dn, wide;                   /* [T, d] F32, c, c; [T, max(f, 2q + 2k)] c */
    int drop, dlow;                          /* [T, widest input] c; [T, n r] c */
    int workspace, staging;
    int positions;
    int64_t zone;               /* offset of what is free while weights are loaded: there lies a
                                   weight until it is packed, if only its packed copy stays */
    struct layout layout;
};

bool blueprint_make(struct blueprint *out, const struct model_config *c, const struct training *t,
                    const struct model_shape *shape, const struct device_info *device,
                    struct arena *a, struct err *err);
#endif
