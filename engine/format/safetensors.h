/* safetensors.h - the weights' file format, read strictly and written so that a power cut cannot
 * leave a plausible lie.
 *
 * File: 8 bytes header length N (little endian), N bytes JSON {"name": {"dtype", "shape",
 * "data_offsets": [begin, end]}, ..., "__metadata__": {text: text}}, then the data without holes.
 * Source: github.com/huggingface/safetensors README; where its reader is lax, this one is not
 * (the acceptance matrix is tests/format/t_safetensors.c).
 *
 * A model is one file or several with an index; both are opened as one set of tensors. */
#ifndef HONE_SAFETENSORS_H
#define HONE_SAFETENSORS_H
#include "engine/base/base.h"

enum tensor_type { T_F32, T_F16, T_BF16, T_F64, T_I64, T_I32, T_I16, T_I8, T_U64, T_U32, T_U16, T_U8,
                   T_BOOL, T_F8_E4M3, T_F8_E5M2, TENSOR_TYPES };
const char *tensor_type_name(enum tensor_type t);    /* "F32", as in the file */
int tensor_type_bytes(enum tensor_type t);

struct tensor {
    const char *name;
    enum tensor_type type;
    int rank;
    int64_t dims[8];
    int64_t elements, bytes;
    int file;                /* index into tensors.paths */
    int64_t at;              /* offset of the first byte in that file */
};

struct tensors {
    struct tensor *list; int n;      /* sorted by name */
    char **paths; int n_paths;       /* the files: kept open, read by pread, never mapped */
    int *fds;
    int64_t bytes;                   /* of all tensors */
    const char **metadata; int n_metadata; /* pairs of the first file: key, value, key, value ... */
};

/* `path` is a .safetensors file, or a folder with model.safetensors, model.safetensors.index.json
 * (every name must be in the shard it points to and the reverse) or adapter_model.safetensors.
 * A folder that holds only pickles (.bin, .pt, .pth) is refused by name. Keeps files open. */
bool tensors_open(struct tensors *t, const char *path, struct arena *a, struct err *err);
void tensors_close(struct tensors *t);
const struct tensor *tensors_find(const struct tensors *t, const char *name);
/* Elements first .. first+n-1 as fp32; only from F32, F16, BF16, F64. */
bool tensors_read_f32(const struct tensors *t, const struct tensor *x, int64_t first, int64_t n, float *out, struct err *err);
/* Bytes at .. of a tensor of any type, as they are. */
bool tensors_read_raw(const struct tensors *t, const struct tensor *x, int64_t at, int64_t bytes, void *out, struct err *err);

/* Writing: all tensors are declared first, then their data follow in the same order in any number of
 * pieces; the file is synced at the end (its folder is the caller's to sync). Opened with O_EXCL, 0600:
 * an existing file is an error. n_metadata counts pairs (key, value, ...); transformers wants
 * "format": "pt" among them. After a failed write call tensors_abandon. */
struct tensor_row { const char *name; enum tensor_type type; int rank; int64_t dims[8]; };
struct tensors_writer;
bool tensors_create(struct tensors_writer **w, const char *path, const struct tensor_row *rows, int n,
                    const char *const *metadata, int n_metadata, struct arena *a, struct err *err);
/* The next n elements of the file, from fp32, converted to the type of the tensor they belong to. */
bool tensors_write_f32(struct tensors_writer *w, const float *p, int64_t n, struct err *err);
bool tensors_write_raw(struct tensors_writer *w, const void *p, int64_t bytes, struct err *err);
/* Syncs and closes; hash: XXH3-128 of the whole file; removes the file and fails where data are missing. */
bool tensors_finish(struct tensors_writer *w, int64_t *bytes, char hash[33], struct err *err);
void tensors_abandon(struct tensors_writer *w);       /* closes and removes the file */
int64_t tensors_file_bytes(const struct tensor_row *rows, int n, const char *const *metadata, int n_metadata); /* what the file will take */

float bf16_to_f32(uint16_t v);
uint16_t f32_to_bf16(float v);      /* nearest even; NaN stays NaN */
float f16_to_f32(uint16_t v);
uint16_t f32_to_f16(float v);
#endif
