/* tokenizer.h - text to token ids and back, exactly as Hugging Face tokenizers and SentencePiece do it.
 *
 * Read from a model folder: tokenizer.json (BPE: byte-level with the GPT-2, LLaMA-3, Qwen and digit
 * splitting pre-tokenizers or any Split regex; BPE with byte fallback as LLaMA-2's), tokenizer.model
 * (SentencePiece BPE and unigram), or a folder that says `{"model": {"type": "bytes"}}`. Added and
 * special tokens, normalisers and decoders of the file are followed; one that is not known is refused
 * by name. tokenizer_config.json and special_tokens_map.json name bos, eos and the chat template.
 *
 * A tokenizer is immutable and may be used by several threads, each with its own scratch arena. */
#ifndef HONE_TOKENIZER_H
#define HONE_TOKENIZER_H
#include "engine/base/base.h"

struct tokenizer;

/* A growing list of ids in an arena. */
struct ids { struct arena *a; int32_t *p; int64_t n, cap; };
void ids_put(struct ids *list, int32_t id);

/* dir: a model folder or a tokenizer file. The tokenizer lives in arena a. */
bool tokenizer_open(struct tokenizer **out, const char *dir, struct arena *a, struct err *err);
const char *tokenizer_about(const struct tokenizer *t);  /* "byte-level BPE, 49,152 pieces" */
int tokenizer_size(const struct tokenizer *t);           /* ids are 0 .. size-1 (added tokens included) */
int tokenizer_bos(const struct tokenizer *t);            /* id or -1 */
int tokenizer_eos(const struct tokenizer *t);
bool tokenizer_adds_bos(const struct tokenizer *t);      /* the files say that a text begins with bos */
bool tokenizer_special(const struct tokenizer *t, int32_t id); /* a control token: not shown in decoded text */
int tokenizer_find(const struct tokenizer *t, struct text piece); /* id of an added or plain piece, or -1 */
struct text tokenizer_piece(const struct tokenizer *t, int32_t id); /* as it stands in the file */
struct text tokenizer_chat_template(const struct tokenizer *t);     /* Jinja source, or empty */
const char *tokenizer_hash(const struct tokenizer *t);   /* 32 hexadecimal digits over all that decides ids */

enum encode_flags {
    ENCODE_SPECIAL = 1,   /* special tokens written in the text are recognised; without: they are plain text */
    ENCODE_CONTINUES = 2, /* the text goes on where another ended: no dummy prefix ("\xE2\x96\x81") at its very
                             beginning; parts after a special token inside it follow the file's rule as ever */
};
/* Appends the ids of `s`; no bos or eos is added. Bytes that the vocabulary has no token for are left
 * out, as Hugging Face does, and counted in *lost (may be NULL). At most 64 MiB of text a call.
 * `scratch` is the caller's, best not the arena of `out`; what is taken from it is given back. */
bool tokenizer_encode(const struct tokenizer *t, struct ids *out, struct text s, unsigned flags,
                      int64_t *lost, struct arena *scratch, struct err *err);
/* Appends the text of ids; special tokens are left out where `skip_special`. */
void tokenizer_decode(const struct tokenizer *t, struct buf *out, const int32_t *ids, int64_t n,
                      bool skip_special);

/* Decoding while tokens come: bytes that are the start of a longer character are held back until the
 * character is whole; the pieces together equal tokenizer_decode of all ids. Zeroed at the start. */
struct decoding { int64_t n; bool skip_special, started; int cut, n_held; char held[8]; };
void tokenizer_decode_next(const struct tokenizer *t, struct decoding *d, int32_t id, struct buf *out);
/* Appends what was held, as U+FFFD. */
void tokenizer_decode_end(const struct tokenizer *t, struct decoding *d, struct buf *out);
#endif
