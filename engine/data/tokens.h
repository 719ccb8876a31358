/* tokens.h - private: conversations as ids with their mask, and the cache file that keeps them. */
#ifndef HONE_DATA_TOKENS_H
#define HONE_DATA_TOKENS_H
#include "engine/data/data.h"
#include "engine/data/rows.h"

/* Raised when the same inputs give other tokens than before. */
#define TOKENS_VERSION 2
/* A token in the cache and on its way to it: the id, and whether it is trained. */
#define TRAINED 0x80000000u

/* Appends the conversation's ids to `out`, each with TRAINED where it is to be learnt. Taken from scratch
 * and given back; `out` must be in another arena. */
bool conversation_encode(struct ids *out, const struct conversation *c,
                         const struct tokenizer *tokenizer, const struct template *template,
                         enum train_on on, int64_t *lost, struct arena *scratch, struct err *err);
/* Labels in n tokens of one document: the trained ones but for the first, which nothing predicts. */
int64_t labels_in(const uint32_t *tokens, int64_t n);

/* A document of the cache: 32 bytes, as they are in the file. */
struct document {
    int64_t at;              /* its first token in the token area */
    uint64_t hash;           /* of the row: decides the hold-out */
    int32_t tokens, trained; /* trained: labels */
    uint32_t check;          /* low half of the XXH3 of its tokens */
    uint16_t category;
    uint16_t text;           /* 1: a text, learnt as a whole: it may be split where a conversation is cut */
};

struct token_cache {
    int fd;
    const char *path;
    int vocabulary;          /* ids are below */
    int64_t n_documents, n_tokens;
    struct document *documents;
    int n_categories; const char **categories;
    struct source_report report;
    /* Of the settings that the source was prepared with, not of the file: */
    int max_length;
    const bool *held;        /* [n_documents] belongs to the hold-out */
    const int32_t *kept;     /* [n_documents] labels in its first max_length tokens */
};

/* A cache file while it is made; what it holds in memory goes with cache_end or cache_abandon. */
struct cache_writer {
    int fd;
    char *path, *beside;
    struct arena arena;
    struct token_cache made;
    int64_t cap, cap_categories;
    char *pending; size_t n_pending;
};
bool cache_begin(struct cache_writer *w, const char *dir, const char *key, struct err *err);
bool cache_add(struct cache_writer *w, const uint32_t *tokens, struct document d,
               struct text category, struct err *err);
/* Ends the file and gives it its name. */
bool cache_end(struct cache_writer *w, const char *key, const struct source_report *report,
               struct err *err);
void cache_abandon(struct cache_writer *w);

/* False with an empty err where there is no such cache; with a sentence where it is damaged. */
bool cache_open(struct token_cache **out, const char *dir, const char *key, int vocabulary,
                struct arena *a, struct err *err);
/* Tokens from .. from+n-1 of a document. */
bool cache_read(const struct token_cache *c, int64_t document, int64_t from, int64_t n,
                uint32_t *out, struct err *err);

/* The key under which a source's tokens are kept; reads the file once where it does not remember it. */
bool source_key(char key[33], const struct source_spec *spec, const struct data_settings *s,
                struct arena *a, struct err *err);
/* Whether documents are cut to the window's length; splice puts the rest into the next window. */
bool data_cuts(const struct data_settings *s);
/* What a stream takes of a document: its tokens, or the first max_length; 0 where none of them is learnt. */
int32_t document_taken(const struct token_cache *c, int64_t document,
                       const struct data_settings *s);
/* In how many pieces of about equal length; more than 1 for a text over max_length where documents are cut. */
int32_t document_pieces(const struct token_cache *c, int64_t document,
                        const struct data_settings *s);
#endif
