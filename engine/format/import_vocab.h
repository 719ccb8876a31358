/* import_vocab.h - a vocabulary between formats: what a GGUF or llama2.c's tokenizer.bin says, as
 * tokenizer.json says it; private to this folder. */
#ifndef HONE_IMPORT_VOCAB_H
#define HONE_IMPORT_VOCAB_H
#include "engine/base/base.h"

/* As in tokenizer.ggml.token_type. */
enum token_type { TOKEN_NORMAL = 1, TOKEN_UNKNOWN, TOKEN_CONTROL, TOKEN_USER, TOKEN_UNUSED, TOKEN_BYTE };
enum { MERGES_MOST = 4194304, VOCAB_MOST = 4194304, PRE_STEPS_MOST = 8 };

/* What is done with a text before its bytes are merged; rows of import_pre.c. */
struct pre {
    const char *names[8];              /* as in tokenizer.ggml.pre; the first is written */
    const char *regexes[PRE_STEPS_MOST]; /* splits, one after the other */
    bool digits;                       /* \p{N} split one by one first, as HF's Digits */
    bool gpt2;                         /* then GPT-2's pattern, which is part of HF's ByteLevel */
    bool ignore_merges;                /* a piece that is a token is taken as it is */
    bool adds_bos;                     /* where the file does not say */
    bool nfc;
};
const struct pre *pre_find(struct text name);
const struct pre *pre_at(int i);       /* NULL after the last */

struct merge { struct text left, right; };
struct vocab {
    const struct pre *pre;             /* byte-level BPE; NULL: SentencePiece's BPE with byte fallback */
    struct text *tokens; int n;
    int32_t *types;                    /* enum token_type */
    float *scores;                     /* SentencePiece: the pair whose piece scores highest is merged first */
    struct merge *merges; int n_merges;
    int bos, eos, unknown, padding;    /* ids or -1 */
    int turn_end;                      /* another token that ends an answer, or -1 */
    bool adds_bos, adds_eos, space_prefix;
    int64_t context;                   /* tokens, 0: unknown */
    struct text chat_template;
};
/* Checks the vocabulary (no token twice, UTF-8, merges of tokens that exist), makes merges from the
 * scores where it has none, and writes tokenizer.json and tokenizer_config.json into folder dir. */
bool vocab_write(struct vocab *v, const char *dir, const char *from, struct arena *a, struct err *err);
#endif
