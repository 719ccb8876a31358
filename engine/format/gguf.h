/* gguf.h - reading GGUF files and their block types; private to this folder.
 *
 * File: "GGUF", u32 version (2 or 3), u64 tensors, u64 entries; the entries (text key, u32 type,
 * value); for each tensor text name, u32 rank, u64 dims (the fastest first), u32 type, u64 offset;
 * then, at a multiple of general.alignment (32), the data. A text is u64 length and its bytes.
 * Source: github.com/ggml-org/ggml docs/gguf.md; the blocks: the gguf Python package, quants.py. */
#ifndef HONE_GGUF_H
#define HONE_GGUF_H
#include "engine/base/base.h"

enum gguf_kind { GGUF_U8, GGUF_I8, GGUF_U16, GGUF_I16, GGUF_U32, GGUF_I32, GGUF_F32, GGUF_BOOL, GGUF_TEXT,
                 GGUF_ARRAY, GGUF_U64, GGUF_I64, GGUF_F64, GGUF_KINDS };
enum ggml_type { GGML_F32 = 0, GGML_F16 = 1, GGML_Q4_0 = 2, GGML_Q4_1 = 3, GGML_Q8_0 = 8, GGML_Q4_K = 12,
                 GGML_Q5_K = 13, GGML_Q6_K = 14, GGML_BF16 = 30 };
enum { BLOCK_MOST = 256 };   /* elements of the longest block */

/* A type that is read: `elements` of a block lie in `bytes`. NULL for any other id. */
struct block { const char *name; int elements, bytes; void (*widen)(float *out, const uint8_t *p); };
const struct block *ggml_block(uint32_t type);
const char *ggml_name(uint32_t type);        /* also of known types that are not read */
void ggml_widen(float *out, const void *p, int64_t n, uint32_t type);   /* n: whole blocks */
void q8_0_narrow(uint8_t *out, const float *in, int64_t n);             /* n: whole blocks of 32 */

struct gguf_entry { struct text key; enum gguf_kind kind, of; uint64_t n; const char *at; }; /* of, n: GGUF_ARRAY */
struct gguf_tensor { const char *name; uint32_t type; int rank; int64_t dims[4], elements, bytes, at; };

struct gguf {
    const char *path;
    int fd;
    int64_t size;
    struct gguf_entry *entries; int n_entries;     /* sorted by key */
    struct gguf_tensor *tensors; int n_tensors;    /* in file order */
    struct arena *a;
};
/* Keys, texts and names lie in the arena; the file stays open until gguf_close. */
bool gguf_open(struct gguf *g, const char *path, struct arena *a, struct err *err);
void gguf_close(struct gguf *g);
const struct gguf_tensor *gguf_find(const struct gguf *g, const char *name);
/* Elements first .. first+n-1 (whole blocks) as fp32; `raw` has room for their bytes. */
bool gguf_floats(const struct gguf *g, const struct gguf_tensor *t, int64_t first, int64_t n, float *out, void *raw,
                 struct err *err);

const struct gguf_entry *gguf_get(const struct gguf *g, const char *key);
/* Optional values: an absent key leaves *out; another kind or a value out of range is an error. */
bool gguf_int(const struct gguf *g, int64_t *out, const char *key, int64_t least, int64_t most, struct err *err);
bool gguf_num(const struct gguf *g, double *out, const char *key, double least, double most, struct err *err);
bool gguf_bool(const struct gguf *g, bool *out, const char *key, struct err *err);
bool gguf_text(const struct gguf *g, struct text *out, const char *key, struct err *err);
/* Arrays in g's arena; *n is 0 where the key is absent. */
bool gguf_texts(const struct gguf *g, struct text **out, int *n, const char *key, struct err *err);
bool gguf_ints(const struct gguf *g, int32_t **out, int *n, const char *key, struct err *err);
bool gguf_nums(const struct gguf *g, float **out, int *n, const char *key, struct err *err);
#endif
