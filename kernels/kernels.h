/* kernels.h - the operations of hone on a device: THE table. `ref` is its definition in plain C
 * with sums in double; `cpu` and `cuda` are tested against it. The header depends on nothing of ours.
 *
 * Matrices are row-major; a row is a token. The documents of a micro-batch lie one after the other
 * and `struct seqs` gives their borders, so no operation knows padding. Storage is F32 or BF16,
 * sums are F32 (ref: double). Unless a line says "adds to", an operation overwrites its output.
 *
 * Operations are queued on their device in order and cannot fail by themselves; a device error
 * surfaces at the next sync() as a sentence. A device belongs to one thread at a time. Pointers in
 * a struct mat, and every ids, index, pos, target, rstd, lse and loss, are device memory (from alloc) and
 * may be offset with ordinary arithmetic; what is host memory says so.
 * An operation allocates nothing: its scratch is the workspace, sized by kernels_workspace_bytes.
 *
 * Given equal inputs an operation gives equal bits, whatever the number of threads. */
#ifndef HONE_KERNELS_H
#define HONE_KERNELS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" { /* the CUDA backend's kernels are C++ */
#endif
#ifdef __CUDACC__
#define KERNELS_ANYWHERE __host__ __device__
#else
#define KERNELS_ANYWHERE
#endif

#define KERNELS_ABI 2

struct device;                     /* the backend's own */
struct pool;

enum dtype { F32, BF16, I32, U8, DTYPES };
size_t dtype_bytes(enum dtype t);

/* ld: elements from a row to the next. Does not own p. p == NULL: absent, where a line allows it. */
struct mat { void *p; int rows, cols, ld; enum dtype t; };
struct mat mat_make(void *p, int rows, int cols, enum dtype t);          /* ld = cols */
struct mat mat_rows(struct mat m, int first, int rows);                  /* a view of some rows */
struct mat mat_cols(struct mat m, int first, int cols);                  /* a view of some columns */

/* A weight of a product: w is [out, in], F32 or BF16; it is multiplied in type t (the compute
 * type): with t == BF16 it is rounded to BF16 and so may be an F32 x or dy; sums stay F32. `packed` is memory of
 * kernels_packed_bytes() that settle() fills from w, and NULL where that is 0: then w itself is read
 * (and w.t == t, or w is BF16 and t F32: widened as it is read). A packed weight's w is read by
 * settle only. linear_back needs PACK_BACKWARD; linear can do with either. */
struct weight { struct mat w; void *packed; enum dtype t; };
enum packing { PACK_FORWARD = 1, PACK_BACKWARD = 2 };                    /* which products will come */

/* Sequence i is rows [start[i], start[i+1]); start[0] = 0. start is host memory, read before the
 * operation returns, as all host memory is. */
struct seqs { const int32_t *start; int n, longest; };

/* The key of random numbers: nothing to save, the same on every backend. Element (row, col) of an
 * operation draws kernels_random(draw, row * cols + col). */
struct draw { uint64_t seed; uint32_t step, micro, layer, site; };
uint32_t kernels_random(struct draw d, uint64_t index);                  /* uniform in 32 bits */
/* The same in two halves, for loops: the key of a draw, and the value of one index under a key
 * (the finalizer of SplitMix64, Steele, Lea and Flood 2014, over a Weyl sequence). */
uint64_t kernels_key(struct draw d);
KERNELS_ANYWHERE static inline uint32_t kernels_random_at(uint64_t key, uint64_t index) {
    uint64_t z = key + index * UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return (uint32_t)((z ^ (z >> 31)) >> 32);
}

/* The scalars of an update, in device memory, so that no step needs the host. "in" is uploaded at
 * the start of a step with the outs zeroed, "out" is downloaded at its end. */
struct block {
    float lr, beta1, beta2, eps;      /* in: AdamW */
    float correction1, correction2;   /* in: 1 - beta1^t, 1 - beta2^t */
    float max_norm;                   /* in: 0 = no clipping */
    float inv_trained;                /* in: 1 / trained tokens of the whole step */
    double norm_limit, loss_limit;    /* in: above it the update is left out; 0 = no limit */
    uint64_t key;                     /* in: kernels_key() of what rounds narrow moments at random */
    double sumsq, loss;               /* out: sum of squared gradients; sum of token losses */
    float clip;                       /* out: what gradients are multiplied with */
    int32_t skipped;                  /* out: 1 = the update was left out (not finite, or over a limit) */
};

/* One row of the flat table that adamw walks: n elements that are trained together. */
struct slot {
    float *w;                         /* masters */
    void *g, *m, *v;                  /* gradients, first and second moments */
    float *m_scale, *v_scale;         /* of U8 moments: one a block of the slot's elements */
    int64_t n;
    enum dtype gradient, moment;      /* F32 or BF16; F32, BF16 or U8 */
    float weight_decay;               /* decoupled; 0 for rows that do not decay */
    float lr_scale;                   /* 1, or a group's own factor */
};

/* Narrow moments. An update reads them, works in F32 and rounds the new ones at random, to the two
 * neighbours with the probabilities that make their mean the true value (else a change smaller than
 * half a step of the type would never be kept). Element i of all slots in a row draws
 * r = kernels_random_at(block->key, i): its high half for m, its low half for v.
 *
 * BF16: the 16 bits are added below the type's last bit, then cut off.
 * U8: dynamic quantisation (Dettmers et al. 2021) with eight for ten, so that its borders are exact.
 * MOMENT_BLOCK elements from the slot's first share a scale; a value is sign scale value(c). Of
 * the 2^S codes c of a sign (m: S = 7 and the sign in bit 7; v: S = 8, no sign) those of
 * [2^e, 2^(e+1)) divide [8^(e-S), 8^(e+1-S)) evenly, and 0 is 0:
 *
 *   value(c) = 8^(e-S) (7 c / 2^e - 6), e = floor(log2 c);   0 between 0 and 1: linear
 *
 * scale = the block's largest value / value(2^S - 1), or 0 where that value is under MOMENT_LEAST.
 * A place p between two codes becomes floor(p + r / 2^16), and 1 at least where a v is not 0, so
 * that no divisor vanishes under a first moment that is still there. */
enum { MOMENT_BLOCK = 256, MOMENT_SIGNED = 7, MOMENT_UNSIGNED = 8 };
#define MOMENT_LEAST 1e-30f

/* Causal; heads is a multiple of kv_heads (GQA); head_dim is even and at most ATTENTION_HEAD_DIM,
 * scale is above 0. */
#define ATTENTION_HEAD_DIM 256
struct attention { int heads, kv_heads, head_dim; float scale; };

struct sampling {
    float temperature;                /* 0: greedy, the lowest id of equals */
    float top_p;                      /* 1: off */
    float repetition_penalty;         /* 1: off; as transformers: positive logits divided, negative multiplied */
    int top_k;                        /* 0: off */
};

struct device_info {
    char backend[16], name[96], isa[16], library[48];  /* "cpu", "AMD EPYC", "avx512bf16", "hone 0.1.0" */
    int threads;
    int64_t memory_total, memory_free;                 /* bytes */
    bool fast[DTYPES];                                 /* a product in this type is at least as fast as in F32 */
    /* The packing rule of kernels_packed_bytes: what rows and cols are rounded up to, and how many copies a
     * weight of a type has that is multiplied backward too (forward only: one, where there is any). */
    int pack_rows, pack_cols, pack_copies[DTYPES];
    size_t scratch_per_thread, scratch_shared;         /* parts of kernels_workspace_bytes */
};

/* The largest sizes that the operations will meet, for the workspace. */
struct shape { int rows, longest, dim, heads, kv_heads, head_dim, ffn, vocab, loss_rows; enum dtype t; };

/* Pure, the same for every backend: copies x rows rounded up x cols rounded up x type. */
size_t kernels_packed_bytes(const struct device_info *, int rows, int cols, enum dtype t, unsigned packing);
size_t kernels_workspace_bytes(const struct device_info *, const struct shape *);

struct kernels {
    int abi;
    const char *name;

    /* ---- device ---- */
    int (*count)(void);
    /* pool: the caller's, used by the CPU backends (NULL: one thread). false: why is a sentence. */
    bool (*open)(struct device **out, int index, struct pool *pool, char *why, size_t why_size);
    void (*close)(struct device *);
    void (*info)(struct device *, struct device_info *out);
    double (*peak)(struct device *, enum dtype t);           /* FLOP/s: measured on a CPU (about 0.1 s), a row on a GPU */
    void *(*alloc)(struct device *, size_t bytes);           /* zeroed, aligned to 256; NULL: refused */
    void (*free)(struct device *, void *p, size_t bytes);
    void (*workspace)(struct device *, void *p,
            size_t bytes); /* what operations may use from now on */
    /* from has been read when it returns */
    void (*upload)(struct device *, void *to, const void *from, size_t bytes);
    void (*download)(struct device *, void *to, const void *from,
            size_t bytes); /* valid after sync */
    /* same rows and cols; types may differ */
    void (*convert)(struct device *, struct mat to, struct mat from);
    void (*fill)(struct device *, struct mat m, float value);
    bool (*sync)(struct device *, char *why, size_t why_size);

    /* ---- products: y [rows, out], x [rows, in], w [out, in]; x, y, dy, dx of the compute type or F32 ---- */
    /* w will not change until the next settle */
    void (*settle)(struct device *, const struct weight *w, unsigned packing);
    /* y = alpha x w' + beta y */
    void (*linear)(struct device *, struct mat y, struct mat x, const struct weight *w,
            float alpha, float beta);
    /* dx = alpha dy w + beta dx */
    void (*linear_back)(struct device *, struct mat dx, struct mat dy, const struct weight *w,
            float alpha, float beta);
    /* dw (F32 or BF16, rounded once) adds alpha dy' x; in BF16 where both are */
    void (*linear_grad)(struct device *, struct mat dw, struct mat dy, struct mat x, float alpha);
    void (*bias)(struct device *, struct mat y, struct mat b);          /* y adds b [1,
            cols] to every row */
    void (*bias_grad)(struct device *, struct mat db,
            struct mat dy);   /* db (F32) adds the column sums */

    /* ---- rows ---- */
    /* y[i] = table[ids[i]] */
    void (*embed)(struct device *, struct mat y, struct mat table, const int32_t *ids);
    /* dtable[ids[i]] (F32) adds dy[i]; owner computes */
    void (*embed_grad)(struct device *, struct mat dtable, struct mat dy, const int32_t *ids);
    /* y[i] = x[index[i]] */
    void (*gather)(struct device *, struct mat y, struct mat x, const int32_t *index);
    /* y = 0, then y[index[i]] = x[i] */
    void (*scatter)(struct device *, struct mat y, struct mat x, const int32_t *index);
    /* y adds alpha x */
    void (*add)(struct device *, struct mat y, struct mat x, float alpha);
    /* y = kept x / (1 - p); y may be x; its own backward */
    void (*dropout)(struct device *, struct mat y, struct mat x, float p, struct draw draw);
    /* NEFTune: adds uniform(-1,1) alpha / sqrt(length cols) */
    void (*noise)(struct device *, struct mat x, struct seqs s, float alpha, struct draw draw);

    /* ---- block of a transformer ---- */
    /* x adds residual first (residual.p may be NULL); y = x rstd weight, rstd [rows] F32 = 1/sqrt(mean x^2 + eps), NULL: not wanted */
    void (*norm)(struct device *, struct mat y, float *rstd, struct mat x, struct mat residual,
            struct mat weight, float eps);
    /* dx adds; dweight (F32 [1, cols], NULL p: frozen) adds */
    void (*norm_back)(struct device *, struct mat dx, struct mat dweight, struct mat dy,
            struct mat x, struct mat weight, const float *rstd);
    /* x [rows, heads * head_dim] in place, halves rotated as in transformers; table F32 [positions, head_dim]: cos | sin halves; sign -1: backward */
    void (*rope)(struct device *, struct mat x, const int32_t *pos, struct mat table,
            int head_dim, float sign);
    /* o, q [rows, heads * head_dim], k, v [rows of sk, kv_heads * head_dim]; lse [rows, heads] F32 may be NULL. Query i of a
     * sequence sees its keys 0 .. i + (keys - queries): training, reading a prompt and one token onto a cache are one definition. */
    void (*attn)(struct device *, struct mat o, float *lse, struct mat q, struct mat k,
            struct mat v, struct seqs sq, struct seqs sk, const struct attention *);
    void (*attn_back)(struct device *, struct mat dq, struct mat dk, struct mat dv,
            struct mat d_o, struct mat o, const float *lse, struct mat q, struct mat k, struct mat v, struct seqs s, const struct attention *);
    /* gu [rows, 2 n]: gate | up; y = silu(gate) up */
    void (*swiglu)(struct device *, struct mat y, struct mat gu);
    void (*swiglu_back)(struct device *, struct mat dgu, struct mat dy,
            struct mat gu); /* dgu may be gu */

    /* ---- loss and update ---- */
    /* loss[i] = -log softmax(logits[i])[target[i]], 0 where target < 0. grad.p != NULL: grad = (softmax - onehot) block->inv_trained,
     * 0 rows where target < 0; grad may lie over logits (same first byte, same bytes a row). block is device memory. */
    void (*xent)(struct device *, float *loss, struct mat grad, struct mat logits,
            const int32_t *target, const struct block *block);
    /* block->loss adds the sum, in order, in double */
    void (*total)(struct device *, struct block *block, const float *loss, int n);
    /* block->sumsq adds the squares of all g (in fixed chunks) */
    void (*sumsq)(struct device *, struct block *block, const struct slot *slots, int n);
    /* With norm = sqrt(sumsq): clip = min(1, max_norm / (norm + 1e-6)) as torch; skipped where norm or loss is not finite,
     * norm > norm_limit, or loss * inv_trained > loss_limit. */
    void (*clip)(struct device *, struct block *block);
    /* w, m, v from g * clip, as torch.optim.AdamW; nothing changes where block->skipped. g is left as it is. slots is host memory. */
    void (*adamw)(struct device *, const struct slot *slots, int n, const struct block *block);

    /* ---- generation ---- */
    /* id (device) = one draw from a row of logits F32 [1, vocab], which may be spoiled; recent [n] (host, n at most the
     * workspace's longest) is what the penalty counts. */
    void (*sample)(struct device *, int32_t *id, struct mat logits, const struct sampling *,
            const int32_t *recent, int n, struct draw draw);
};

/* The table of a backend: "ref" is in the program, "cpu" and "cuda" are plug-ins hone-NAME.so in
 * folder `dir`, loaded once. NULL where it cannot be: why is a sentence. */
const struct kernels *kernels_load(const char *name, const char *dir, char *why, size_t why_size);
extern const struct kernels kernels_ref;
/* The one symbol of a plug-in; NULL for another ABI number. */
typedef const struct kernels *kernels_entry(int abi); /* exported as "hone_kernels" */
#ifdef __cplusplus
}
#endif
#endif
