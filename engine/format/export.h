/* export.h - the parts of writing a GGUF; private to this folder. */
#ifndef HONE_EXPORT_H
#define HONE_EXPORT_H
#include "engine/format/import_llama.h"

/* Reads config.json of a folder; refuses what the family here cannot say, by name. */
bool export_config(struct llama *m, const char *dir, struct arena *a, struct err *err);
/* The folder's tokenizer as a GGUF says it, filled up to `rows` tokens. */
bool export_vocab(struct vocab *v, const char *dir, int64_t rows, struct arena *a, struct err *err);
#endif
