/* gguf_import.h - the two halves of importing a GGUF; private to this folder. */
#ifndef HONE_GGUF_IMPORT_H
#define HONE_GGUF_IMPORT_H
#include "engine/format/gguf.h"
#include "engine/format/import_llama.h"

bool gguf_vocab(const struct gguf *g, struct vocab *v, int64_t context, struct err *err);
#endif
