/* import.h - other people's model files become Hugging Face folders, and the way back to GGUF.
 *
 * Sources of the formats: GGUF: github.com/ggml-org/ggml docs/gguf.md and the gguf Python package;
 * llama2.c: github.com/karpathy/llama2.c export.py (versions 0 and 1) and tokenizer.py. */
#ifndef HONE_IMPORT_H
#define HONE_IMPORT_H
#include "engine/base/base.h"
#include "engine/format/safetensors.h"

struct import_options {
    enum tensor_type type;        /* T_BF16, or T_F32: exact */
    const char *tokenizer;        /* llama2.c: path of its tokenizer.bin or tokenizer.model; NULL: beside the file */
    void (*progress)(void *arg, int64_t done, int64_t all); /* bytes written; may be NULL */
    void *arg;
};
/* Reads `file` (told by its first bytes) and writes a new folder `dir`: config.json, model.safetensors
 * (all tensors in o->type), tokenizer.json and tokenizer_config.json with the chat template, and
 * generation_config.json where a second token ends answers. The folder appears whole or not at all; an
 * existing one is refused. q and k rows are put back in Hugging Face's order. A GGUF without tensors
 * gives the tokenizer files only. What is written is opened once before it is renamed. */
bool import_model(const char *file, const char *dir, const struct import_options *o, struct arena *a, struct err *err);

/* Writes a Hugging Face folder of the LLaMA family as GGUF: type T_F32, T_BF16, or T_I8 for Q8_0
 * (norms and biases stay F32, and rows that are no multiple of 32 long). The tokenizer comes from any
 * form that hone opens, except unigram; a pre-tokenizer that GGUF has no name for is refused. Written
 * beside, synced, renamed; an existing file is refused. */
bool export_gguf(const char *dir, const char *file, enum tensor_type type, struct arena *a, struct err *err);
#endif
