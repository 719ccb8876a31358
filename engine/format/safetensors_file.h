/* safetensors_file.h - what the parts of the safetensors code share; private to this folder. */
#ifndef HONE_SAFETENSORS_FILE_H
#define HONE_SAFETENSORS_FILE_H
#include "engine/format/safetensors.h"

enum { HEADER_MOST = 100 * 1000 * 1000, TENSORS_PER_FILE = 262144, TENSORS_PER_MODEL = 1000 * 1000,
       TENSOR_RANK_MOST = 8, TENSOR_NAME_MOST = 512, METADATA_MOST = 65536 };
#define SIZE_MOST ((int64_t)1 << 48) /* of a dimension, of a tensor's elements and bytes */

bool tensor_type_find(enum tensor_type *out, struct text name);
bool tensor_type_is_float(enum tensor_type t); /* one that reads as fp32: F32, F16, BF16, F64 */
void floats_widen(float *out, const void *in, int64_t n, enum tensor_type type);
void floats_narrow(void *out, const float *in, int64_t n, enum tensor_type type);

struct header { struct tensor *list; int n; const char **metadata; int n_metadata; };
/* Reads the JSON header (n bytes at p, which it changes: names are decoded where they stand and stay
 * there) of a file with data_bytes of data behind it. list is sorted by name and lives in `lists`;
 * each tensor's `at` counts from the start of the data; `file` is 0. */
bool header_parse(struct header *out, char *p, size_t n, int64_t data_bytes, const char *path,
                  struct arena *a, struct arena *lists, struct err *err);
#endif
